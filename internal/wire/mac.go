package wire

import (
	"encoding/hex"
	"fmt"
	"net/netip"
)

// MAC is an Ethernet address (IEEE 802, EUI-48). It is comparable, and the zero
// MAC stands for "not known".
type MAC [6]byte

// Broadcast is the address of every station on a LAN.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// IsMulticast reports whether the group bit is set; it is for Broadcast too.
func (m MAC) IsMulticast() bool { return m[0]&1 != 0 }

// IsLocal reports whether the address was given locally rather than by its maker.
func (m MAC) IsLocal() bool { return m[0]&2 != 0 }

// String writes the address as Linux does: 02:00:00:00:00:01.
func (m MAC) String() string {
	const digits = "0123456789abcdef"
	text := make([]byte, 0, 17)
	for i, b := range m {
		if i > 0 {
			text = append(text, ':')
		}
		text = append(text, digits[b>>4], digits[b&15])
	}
	return string(text)
}

// ParseMAC reads six pairs of hexadecimal digits with colons or dashes between.
func ParseMAC(s string) (MAC, error) {
	var m MAC
	if len(s) != 17 {
		return m, fmt.Errorf("%q is not a MAC address: want six pairs of hexadecimal digits, as in 02:00:00:00:00:01", s)
	}
	for i := range m {
		if _, err := hex.Decode(m[i:i+1], []byte(s[3*i:3*i+2])); err != nil || i < 5 && s[3*i+2] != s[2] || s[2] != ':' && s[2] != '-' {
			return MAC{}, fmt.Errorf("%q is not a MAC address: want six pairs of hexadecimal digits, as in 02:00:00:00:00:01", s)
		}
	}
	return m, nil
}

// MulticastMAC is the Ethernet group address of an IP group: RFC 1112 6.4 for
// IPv4, RFC 2464 7 for IPv6.
func MulticastMAC(group netip.Addr) MAC {
	if group.Is4() {
		a := group.As4()
		return MAC{0x01, 0x00, 0x5e, a[1] & 0x7f, a[2], a[3]}
	}
	a := group.As16()
	return MAC{0x33, 0x33, a[12], a[13], a[14], a[15]}
}

// InterfaceID is the modified EUI-64 identifier of an IPv6 address (RFC 4291 A).
func (m MAC) InterfaceID() [8]byte {
	return [8]byte{m[0] ^ 2, m[1], m[2], 0xff, 0xfe, m[3], m[4], m[5]}
}
