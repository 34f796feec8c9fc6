package wire

import (
	"encoding/binary"
	"net/netip"
)

// ICMPLen is the length of an ICMP or ICMPv6 header in bytes, with the four
// bytes that each type uses in its own way.
const ICMPLen = 8

// ICMPType is the type of an ICMP message (RFC 792; IANA, ICMP parameters).
type ICMPType uint8

// The types that hopyard speaks.
const (
	ICMPEchoReply    ICMPType = 0
	ICMPUnreachable  ICMPType = 3
	ICMPRedirect     ICMPType = 5
	ICMPEcho         ICMPType = 8
	ICMPTimeExceeded ICMPType = 11
	ICMPParamProblem ICMPType = 12
	ICMPTimestamp    ICMPType = 13
)

// Codes of ICMPUnreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
const (
	ICMPNetUnreachable      uint8 = 0
	ICMPHostUnreachable     uint8 = 1
	ICMPProtocolUnreachable uint8 = 2
	ICMPPortUnreachable     uint8 = 3
	ICMPFragmentationNeeded uint8 = 4
	ICMPSourceRouteFailed   uint8 = 5
	ICMPNetUnknown          uint8 = 6
	ICMPHostUnknown         uint8 = 7
	ICMPSourceIsolated      uint8 = 8
	ICMPNetProhibited       uint8 = 9
	ICMPHostProhibited      uint8 = 10
	ICMPNetTOS              uint8 = 11
	ICMPHostTOS             uint8 = 12
	ICMPAdminProhibited     uint8 = 13
	ICMPPrecedenceViolation uint8 = 14
	ICMPPrecedenceCutoff    uint8 = 15
)

// Codes of ICMPTimeExceeded and ICMPv6TimeExceeded.
const (
	ICMPTTLExceeded        uint8 = 0
	ICMPReassemblyExceeded uint8 = 1
)

// ICMPv6Type is the type of an ICMPv6 message (RFC 4443, RFC 4861).
type ICMPv6Type uint8

// The types that hopyard speaks.
const (
	ICMPv6Unreachable           ICMPv6Type = 1
	ICMPv6PacketTooBig          ICMPv6Type = 2
	ICMPv6TimeExceeded          ICMPv6Type = 3
	ICMPv6ParamProblem          ICMPv6Type = 4
	ICMPv6Echo                  ICMPv6Type = 128
	ICMPv6EchoReply             ICMPv6Type = 129
	ICMPv6RouterSolicitation    ICMPv6Type = 133
	ICMPv6RouterAdvertisement   ICMPv6Type = 134
	ICMPv6NeighborSolicitation  ICMPv6Type = 135
	ICMPv6NeighborAdvertisement ICMPv6Type = 136
	ICMPv6Redirect              ICMPv6Type = 137
)

// Codes of ICMPv6Unreachable (RFC 4443 3.1).
const (
	ICMPv6NoRoute            uint8 = 0
	ICMPv6AdminProhibited    uint8 = 1
	ICMPv6BeyondScope        uint8 = 2
	ICMPv6AddressUnreachable uint8 = 3
	ICMPv6PortUnreachable    uint8 = 4
	ICMPv6FailedPolicy       uint8 = 5
	ICMPv6RejectRoute        uint8 = 6
)

// Codes of ICMPv6ParamProblem (RFC 4443 3.4).
const (
	ICMPv6ErroneousHeader   uint8 = 0
	ICMPv6UnknownNextHeader uint8 = 1
	ICMPv6UnknownIPv6Option uint8 = 2
)

// ICMP is a view of an ICMP message (RFC 792).
type ICMP []byte

// ParseICMP checks that b holds an ICMP header.
func ParseICMP(b []byte) (ICMP, error) {
	if len(b) < ICMPLen {
		return nil, shortError{"ICMP header", len(b), ICMPLen}
	}
	return b, nil
}

// Type is the message's type.
func (m ICMP) Type() ICMPType { return ICMPType(m[0]) }

// Code is the message's code, whose meaning depends on the type.
func (m ICMP) Code() uint8 { return m[1] }

// Checksum is the whole message's.
func (m ICMP) Checksum() uint16 { return binary.BigEndian.Uint16(m[2:]) }

// Rest is the second half of the header as one number: identifier and sequence
// of an echo, the gateway of a redirect.
func (m ICMP) Rest() uint32 { return binary.BigEndian.Uint32(m[4:]) }

// ID is an echo's identifier.
func (m ICMP) ID() uint16 { return binary.BigEndian.Uint16(m[4:]) }

// Seq is an echo's sequence number.
func (m ICMP) Seq() uint16 { return binary.BigEndian.Uint16(m[6:]) }

// MTU is the next hop's, in a fragmentation needed message (RFC 1191 4).
func (m ICMP) MTU() int { return int(binary.BigEndian.Uint16(m[6:])) }

// Gateway is the better router, in a redirect.
func (m ICMP) Gateway() netip.Addr { return netip.AddrFrom4([4]byte(m[4:8])) }

// Payload is an echo's data, or the start of the packet that an error is about.
func (m ICMP) Payload() []byte { return m[ICMPLen:] }

// ChecksumOK reports whether the checksum is right.
func (m ICMP) ChecksumOK() bool { return Sum(0).Add(m).Checksum() == 0 }

// IsError reports whether the message is about another packet; no error is ever
// sent about an error (RFC 1122 3.2.2).
func (m ICMP) IsError() bool {
	switch m.Type() {
	case ICMPUnreachable, ICMPRedirect, ICMPTimeExceeded, ICMPParamProblem, 4: // 4: source quench, RFC 6633
		return true
	}
	return false
}

// ICMPHeader is what AppendICMP writes; Rest is the second half of the header.
type ICMPHeader struct {
	Type ICMPType
	Code uint8
	Rest uint32
}

// EchoRest puts an echo's identifier and sequence number into Rest.
func EchoRest(id, seq uint16) uint32 { return uint32(id)<<16 | uint32(seq) }

// AppendICMP appends a message, checksum included.
func AppendICMP(b []byte, h ICMPHeader, payload []byte) []byte {
	start := len(b)
	b = append(b, byte(h.Type), h.Code, 0, 0)
	b = binary.BigEndian.AppendUint32(b, h.Rest)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[start+2:], Sum(0).Add(b[start:]).Checksum())
	return b
}

// ICMPv6 is a view of an ICMPv6 message (RFC 4443).
type ICMPv6 []byte

// ParseICMPv6 checks that b holds an ICMPv6 header.
func ParseICMPv6(b []byte) (ICMPv6, error) {
	if len(b) < ICMPLen {
		return nil, shortError{"ICMPv6 header", len(b), ICMPLen}
	}
	return b, nil
}

// Type is the message's type.
func (m ICMPv6) Type() ICMPv6Type { return ICMPv6Type(m[0]) }

// Code is the message's code, whose meaning depends on the type.
func (m ICMPv6) Code() uint8 { return m[1] }

// Checksum is the whole message's, with the pseudo-header.
func (m ICMPv6) Checksum() uint16 { return binary.BigEndian.Uint16(m[2:]) }

// Rest is the second half of the header as one number.
func (m ICMPv6) Rest() uint32 { return binary.BigEndian.Uint32(m[4:]) }

// ID is an echo's identifier.
func (m ICMPv6) ID() uint16 { return binary.BigEndian.Uint16(m[4:]) }

// Seq is an echo's sequence number.
func (m ICMPv6) Seq() uint16 { return binary.BigEndian.Uint16(m[6:]) }

// MTU is the next hop's, in a packet too big message.
func (m ICMPv6) MTU() int { return int(binary.BigEndian.Uint32(m[4:])) }

// Payload is what follows the header.
func (m ICMPv6) Payload() []byte { return m[ICMPLen:] }

// ChecksumOK reports whether the checksum is right.
func (m ICMPv6) ChecksumOK(src, dst netip.Addr) bool {
	return PseudoHeader(src, dst, ProtocolICMPv6, len(m)).Add(m).Checksum() == 0
}

// IsError reports whether the message is about another packet (RFC 4443 2.1).
func (m ICMPv6) IsError() bool { return m.Type() < 128 }

// ICMPv6Header is what AppendICMPv6 writes; Rest is the second half of the
// header. The addresses go into the checksum.
type ICMPv6Header struct {
	Type     ICMPv6Type
	Code     uint8
	Rest     uint32
	Src, Dst netip.Addr
}

// AppendICMPv6 appends a message, checksum included.
func AppendICMPv6(b []byte, h ICMPv6Header, payload []byte) []byte {
	start := len(b)
	b = append(b, byte(h.Type), h.Code, 0, 0)
	b = binary.BigEndian.AppendUint32(b, h.Rest)
	b = append(b, payload...)
	sum := PseudoHeader(h.Src, h.Dst, ProtocolICMPv6, len(b)-start).Add(b[start:]).Checksum()
	binary.BigEndian.PutUint16(b[start+2:], sum)
	return b
}
