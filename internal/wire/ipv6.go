package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// IPv6Len is the length of the fixed IPv6 header in bytes.
const IPv6Len = 40

// IPv6MinMTU is what every IPv6 link must carry (RFC 8200 5).
const IPv6MinMTU = 1280

// IPv6 is a view of an IPv6 packet (RFC 8200), without padding after it.
type IPv6 []byte

// ParseIPv6 checks that b holds an IPv6 packet: version, length. Bytes after
// the packet are cut off. Extension headers are walked by Extensions.
func ParseIPv6(b []byte) (IPv6, error) {
	if len(b) < IPv6Len {
		return nil, shortError{"IPv6 header", len(b), IPv6Len}
	}
	if b[0]>>4 != 6 {
		return nil, fmt.Errorf("IPv6 packet with version %d", b[0]>>4)
	}
	total := IPv6Len + int(binary.BigEndian.Uint16(b[4:]))
	if total > len(b) {
		return nil, shortError{"IPv6 packet", len(b), total}
	}
	return b[:total], nil
}

// ParseQuotedIPv6 checks that b holds the header of an IPv6 packet, as an
// ICMPv6 error quotes it: the packet may end anywhere after it (RFC 4443 2.4 c).
func ParseQuotedIPv6(b []byte) (IPv6, error) {
	if len(b) < IPv6Len {
		return nil, shortError{"quoted IPv6 header", len(b), IPv6Len}
	}
	if b[0]>>4 != 6 {
		return nil, fmt.Errorf("quoted IPv6 packet with version %d", b[0]>>4)
	}
	return b[:min(len(b), IPv6Len+int(binary.BigEndian.Uint16(b[4:])))], nil
}

// TrafficClass is DSCP and ECN.
func (p IPv6) TrafficClass() uint8 { return p[0]<<4 | p[1]>>4 }

// FlowLabel is the label of the flow (RFC 6437), 20 bits.
func (p IPv6) FlowLabel() uint32 { return binary.BigEndian.Uint32(p) & 0xfffff }

// PayloadLen is the length of what follows the fixed header in bytes.
func (p IPv6) PayloadLen() int { return int(binary.BigEndian.Uint16(p[4:])) }

// NextHeader says what follows the fixed header.
func (p IPv6) NextHeader() Protocol { return Protocol(p[6]) }

// HopLimit is how many routers the packet may still pass.
func (p IPv6) HopLimit() uint8 { return p[7] }

// Src is where the packet comes from.
func (p IPv6) Src() netip.Addr { return netip.AddrFrom16([16]byte(p[8:24])) }

// Dst is where the packet goes.
func (p IPv6) Dst() netip.Addr { return netip.AddrFrom16([16]byte(p[24:40])) }

// Payload is what follows the fixed header.
func (p IPv6) Payload() []byte { return p[IPv6Len:] }

// DecrementHopLimit takes one off the hop limit.
func (p IPv6) DecrementHopLimit() { p[7]-- }

// IPv6Header is what AppendIPv6 writes.
type IPv6Header struct {
	TrafficClass uint8
	FlowLabel    uint32
	NextHeader   Protocol
	HopLimit     uint8
	Src, Dst     netip.Addr
}

// AppendIPv6 appends a header for so many bytes after it, extension headers
// included.
func AppendIPv6(b []byte, h IPv6Header, payloadLen int) []byte {
	b = binary.BigEndian.AppendUint32(b, 6<<28|uint32(h.TrafficClass)<<20|h.FlowLabel&0xfffff)
	b = binary.BigEndian.AppendUint16(b, uint16(payloadLen))
	b = append(b, byte(h.NextHeader), h.HopLimit)
	src, dst := h.Src.As16(), h.Dst.As16()
	return append(append(b, src[:]...), dst[:]...)
}
