package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// UDPLen is the length of a UDP header in bytes.
const UDPLen = 8

// UDP is a view of a UDP datagram (RFC 768).
type UDP []byte

// ParseUDP checks that b holds a UDP datagram: header and length. Bytes after
// the datagram's length are cut off.
func ParseUDP(b []byte) (UDP, error) {
	if len(b) < UDPLen {
		return nil, shortError{"UDP header", len(b), UDPLen}
	}
	length := int(binary.BigEndian.Uint16(b[4:]))
	if length < UDPLen {
		return nil, fmt.Errorf("UDP length %d, want at least %d", length, UDPLen)
	}
	if length > len(b) {
		return nil, shortError{"UDP datagram", len(b), length}
	}
	return b[:length], nil
}

// SrcPort is the port of the sender, 0 if it wants no answer.
func (u UDP) SrcPort() uint16 { return binary.BigEndian.Uint16(u) }

// DstPort is the port of the receiver.
func (u UDP) DstPort() uint16 { return binary.BigEndian.Uint16(u[2:]) }

// Length is the length of header and payload in bytes.
func (u UDP) Length() int { return int(binary.BigEndian.Uint16(u[4:])) }

// Checksum is 0 where the sender computed none (IPv4 only).
func (u UDP) Checksum() uint16 { return binary.BigEndian.Uint16(u[6:]) }

// Payload is what the datagram carries.
func (u UDP) Payload() []byte { return u[UDPLen:] }

// ChecksumOK reports whether the checksum is right, or absent over IPv4.
func (u UDP) ChecksumOK(src, dst netip.Addr) bool {
	if u.Checksum() == 0 {
		return src.Is4() // RFC 8200 8.1: over IPv6 it must be there
	}
	return PseudoHeader(src, dst, ProtocolUDP, len(u)).Add(u).Checksum() == 0
}

// UDPHeader is what AppendUDP writes.
type UDPHeader struct {
	Src, Dst netip.AddrPort
}

// AppendUDP appends header and payload, checksum included. A checksum that
// comes out as 0 is sent as 0xffff (RFC 768).
// Precondition: header and payload fit 65,535 bytes.
func AppendUDP(b []byte, h UDPHeader, payload []byte) []byte {
	start, length := len(b), UDPLen+len(payload)
	b = binary.BigEndian.AppendUint16(b, h.Src.Port())
	b = binary.BigEndian.AppendUint16(b, h.Dst.Port())
	b = binary.BigEndian.AppendUint16(b, uint16(length))
	b = append(append(b, 0, 0), payload...)
	sum := PseudoHeader(h.Src.Addr(), h.Dst.Addr(), ProtocolUDP, length).Add(b[start:]).Checksum()
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(b[start+6:], sum)
	return b
}
