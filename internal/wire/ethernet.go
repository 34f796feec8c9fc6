package wire

import (
	"encoding/binary"
	"fmt"
)

// EtherType says what an Ethernet frame carries (IANA, IEEE 802 numbers).
type EtherType uint16

// The types that hopyard speaks.
const (
	TypeIPv4 EtherType = 0x0800
	TypeARP  EtherType = 0x0806
	TypeVLAN EtherType = 0x8100
	TypeIPv6 EtherType = 0x86dd
)

// String names the type.
func (t EtherType) String() string {
	switch t {
	case TypeIPv4:
		return "IPv4"
	case TypeARP:
		return "ARP"
	case TypeVLAN:
		return "802.1Q"
	case TypeIPv6:
		return "IPv6"
	}
	return fmt.Sprintf("0x%04x", uint16(t))
}

// Sizes of an Ethernet frame in bytes, without preamble and FCS.
const (
	EthernetLen    = 14 // the header
	VLANLen        = 4  // an 802.1Q tag
	EthernetMinLen = 60 // shorter frames are padded with zeros (IEEE 802.3)

	// EthernetOverhead is what a frame takes on the wire besides its own bytes:
	// preamble 8, FCS 4, gap 12.
	EthernetOverhead = 24
)

// Ethernet is a view of an Ethernet II frame.
type Ethernet []byte

// ParseEthernet checks that b holds an Ethernet header, with its tag if it says
// it has one.
func ParseEthernet(b []byte) (Ethernet, error) {
	if len(b) < EthernetLen {
		return nil, shortError{"Ethernet header", len(b), EthernetLen}
	}
	if EtherType(binary.BigEndian.Uint16(b[12:])) == TypeVLAN && len(b) < EthernetLen+VLANLen {
		return nil, shortError{"802.1Q tag", len(b) - EthernetLen, VLANLen}
	}
	return b, nil
}

// Dst is the station the frame goes to.
func (e Ethernet) Dst() MAC { return MAC(e[0:6]) }

// Src is the station the frame comes from.
func (e Ethernet) Src() MAC { return MAC(e[6:12]) }

// Tagged reports whether the frame has an 802.1Q tag.
func (e Ethernet) Tagged() bool { return EtherType(binary.BigEndian.Uint16(e[12:])) == TypeVLAN }

// VLAN is the VLAN identifier of the tag, or 0.
func (e Ethernet) VLAN() uint16 {
	if !e.Tagged() {
		return 0
	}
	return binary.BigEndian.Uint16(e[14:]) & 0xfff
}

// Priority is the priority code point of the tag, or 0.
func (e Ethernet) Priority() uint8 {
	if !e.Tagged() {
		return 0
	}
	return e[14] >> 5
}

// Type says what the frame carries, after the tag if there is one.
func (e Ethernet) Type() EtherType { return EtherType(binary.BigEndian.Uint16(e[e.HeaderLen()-2:])) }

// HeaderLen is 14, or 18 with a tag.
func (e Ethernet) HeaderLen() int {
	if e.Tagged() {
		return EthernetLen + VLANLen
	}
	return EthernetLen
}

// Payload is what follows the header, padding included.
func (e Ethernet) Payload() []byte { return e[e.HeaderLen():] }

// SetDst readdresses the frame.
func (e Ethernet) SetDst(m MAC) { copy(e[0:6], m[:]) }

// SetSrc sets who sends the frame.
func (e Ethernet) SetSrc(m MAC) { copy(e[6:12], m[:]) }

// EthernetHeader is what AppendEthernet writes. VLAN 0 means no tag.
type EthernetHeader struct {
	Dst, Src MAC
	Type     EtherType
	VLAN     uint16
	Priority uint8
}

// AppendEthernet appends a header.
func AppendEthernet(b []byte, h EthernetHeader) []byte {
	b = append(b, h.Dst[:]...)
	b = append(b, h.Src[:]...)
	if h.VLAN != 0 || h.Priority != 0 {
		b = binary.BigEndian.AppendUint16(b, uint16(TypeVLAN))
		b = binary.BigEndian.AppendUint16(b, uint16(h.Priority)<<13|h.VLAN&0xfff)
	}
	return binary.BigEndian.AppendUint16(b, uint16(h.Type))
}

// shortError says that bytes end before the header does.
type shortError struct {
	what       string
	have, want int
}

func (e shortError) Error() string {
	return fmt.Sprintf("%s cut short: %d bytes, want at least %d", e.what, e.have, e.want)
}
