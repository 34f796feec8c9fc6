package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
)

// Protocol says what an IP packet carries (IANA, protocol numbers); in IPv6 it
// may be an extension header.
type Protocol uint8

// The protocols that hopyard speaks.
const (
	ProtocolHopByHop    Protocol = 0
	ProtocolICMP        Protocol = 1
	ProtocolIGMP        Protocol = 2
	ProtocolTCP         Protocol = 6
	ProtocolUDP         Protocol = 17
	ProtocolRouting     Protocol = 43
	ProtocolFragment    Protocol = 44
	ProtocolICMPv6      Protocol = 58
	ProtocolNone        Protocol = 59
	ProtocolDestination Protocol = 60
)

// String names the protocol.
func (p Protocol) String() string {
	switch p {
	case ProtocolHopByHop:
		return "Hop-by-Hop Options"
	case ProtocolICMP:
		return "ICMP"
	case ProtocolIGMP:
		return "IGMP"
	case ProtocolTCP:
		return "TCP"
	case ProtocolUDP:
		return "UDP"
	case ProtocolRouting:
		return "Routing Header"
	case ProtocolFragment:
		return "Fragment Header"
	case ProtocolICMPv6:
		return "ICMPv6"
	case ProtocolNone:
		return "No Next Header"
	case ProtocolDestination:
		return "Destination Options"
	}
	return fmt.Sprintf("protocol %d", uint8(p))
}

// IPv4MinLen is the length of an IPv4 header without options in bytes.
const IPv4MinLen = 20

// IPv4 is a view of an IPv4 packet (RFC 791), without padding after it.
type IPv4 []byte

// ParseIPv4 checks that b holds an IPv4 packet: version, lengths. It leaves the
// checksum to ChecksumOK. Bytes after the packet's total length are cut off.
func ParseIPv4(b []byte) (IPv4, error) {
	if len(b) < IPv4MinLen {
		return nil, shortError{"IPv4 header", len(b), IPv4MinLen}
	}
	if b[0]>>4 != 4 {
		return nil, fmt.Errorf("IPv4 packet with version %d", b[0]>>4)
	}
	header := int(b[0]&15) * 4
	total := int(binary.BigEndian.Uint16(b[2:]))
	if header < IPv4MinLen {
		return nil, fmt.Errorf("IPv4 header length %d, want at least %d", header, IPv4MinLen)
	}
	if total < header {
		return nil, fmt.Errorf("IPv4 total length %d is shorter than its header of %d", total, header)
	}
	if total > len(b) {
		return nil, shortError{"IPv4 packet", len(b), total}
	}
	return b[:total], nil
}

// ParseQuotedIPv4 checks that b holds the header of an IPv4 packet, as an ICMP
// error quotes it: the packet may end anywhere after its header, often 8 bytes
// on (RFC 792; RFC 1812 4.3.2.3 asks for more), whatever its total length says.
func ParseQuotedIPv4(b []byte) (IPv4, error) {
	if len(b) < IPv4MinLen {
		return nil, shortError{"quoted IPv4 header", len(b), IPv4MinLen}
	}
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	switch {
	case b[0]>>4 != 4:
		return nil, fmt.Errorf("quoted IPv4 packet with version %d", b[0]>>4)
	case header < IPv4MinLen || total < header:
		return nil, fmt.Errorf("quoted IPv4 packet with header length %d and total length %d", header, total)
	case header > len(b):
		return nil, shortError{"quoted IPv4 header", len(b), header}
	}
	return b[:min(len(b), total)], nil
}

// HeaderLen is the length of the header with its options in bytes.
func (p IPv4) HeaderLen() int { return int(p[0]&15) * 4 }

// TOS is the old type of service octet: DSCP (RFC 2474) and ECN (RFC 3168).
func (p IPv4) TOS() uint8 { return p[1] }

// TotalLen is the length of the packet in bytes.
func (p IPv4) TotalLen() int { return int(binary.BigEndian.Uint16(p[2:])) }

// ID tells the fragments of one packet from those of another.
func (p IPv4) ID() uint16 { return binary.BigEndian.Uint16(p[4:]) }

// DontFragment is the DF flag.
func (p IPv4) DontFragment() bool { return p[6]&0x40 != 0 }

// MoreFragments is the MF flag.
func (p IPv4) MoreFragments() bool { return p[6]&0x20 != 0 }

// FragmentOffset is the place of the payload in the whole packet's, in bytes.
func (p IPv4) FragmentOffset() int { return int(binary.BigEndian.Uint16(p[6:])&0x1fff) * 8 }

// IsFragment reports whether the packet is part of a larger one.
func (p IPv4) IsFragment() bool { return binary.BigEndian.Uint16(p[6:])&0x3fff != 0 }

// TTL is how many routers the packet may still pass.
func (p IPv4) TTL() uint8 { return p[8] }

// Protocol says what the packet carries.
func (p IPv4) Protocol() Protocol { return Protocol(p[9]) }

// Checksum is the header's.
func (p IPv4) Checksum() uint16 { return binary.BigEndian.Uint16(p[10:]) }

// Src is where the packet comes from.
func (p IPv4) Src() netip.Addr { return netip.AddrFrom4([4]byte(p[12:16])) }

// Dst is where the packet goes.
func (p IPv4) Dst() netip.Addr { return netip.AddrFrom4([4]byte(p[16:20])) }

// Options are the bytes between the fixed header and the payload.
func (p IPv4) Options() []byte { return p[IPv4MinLen:p.HeaderLen()] }

// Payload is what the packet carries.
func (p IPv4) Payload() []byte { return p[p.HeaderLen():] }

// ChecksumOK reports whether the header's checksum is right.
func (p IPv4) ChecksumOK() bool { return Sum(0).Add(p[:p.HeaderLen()]).Checksum() == 0 }

// DecrementTTL takes one off the TTL and mends the checksum (RFC 1624).
func (p IPv4) DecrementTTL() {
	before := binary.BigEndian.Uint16(p[8:])
	p[8]--
	binary.BigEndian.PutUint16(p[10:], updateChecksum(p.Checksum(), before, binary.BigEndian.Uint16(p[8:])))
}

// UpdateChecksum computes the header's checksum anew, after its fields changed.
func (p IPv4) UpdateChecksum() {
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], Sum(0).Add(p[:p.HeaderLen()]).Checksum())
}

// IPv4Header is what AppendIPv4 writes. Options must be a multiple of 4 bytes,
// 40 at most.
type IPv4Header struct {
	TOS            uint8
	ID             uint16
	DontFragment   bool
	MoreFragments  bool
	FragmentOffset int // bytes, a multiple of 8
	TTL            uint8
	Protocol       Protocol
	Src, Dst       netip.Addr
	Options        []byte
}

// AppendIPv4 appends a header for a payload of so many bytes, checksum
// included.
func AppendIPv4(b []byte, h IPv4Header, payloadLen int) []byte {
	start := len(b)
	header := IPv4MinLen + len(h.Options)
	flags := uint16(h.FragmentOffset / 8)
	if h.DontFragment {
		flags |= 0x4000
	}
	if h.MoreFragments {
		flags |= 0x2000
	}
	b = append(b, 0x40|byte(header/4), h.TOS)
	b = binary.BigEndian.AppendUint16(b, uint16(header+payloadLen))
	b = binary.BigEndian.AppendUint16(b, h.ID)
	b = binary.BigEndian.AppendUint16(b, flags)
	b = append(b, h.TTL, byte(h.Protocol), 0, 0)
	src, dst := h.Src.As4(), h.Dst.As4()
	b = append(append(append(b, src[:]...), dst[:]...), h.Options...)
	IPv4(b[start:]).UpdateChecksum()
	return b
}

// ErrTooLong is returned where a packet would not fit its length field.
var ErrTooLong = errors.New("message too long for an IP packet")
