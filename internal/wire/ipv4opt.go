package wire

import (
	"encoding/binary"
	"net/netip"
)

// IPv4OptionType is the first byte of an IPv4 option: a flag that says whether
// every fragment carries it, a class and a number (RFC 791 3.1).
type IPv4OptionType uint8

// The options that hopyard knows by name.
const (
	IPv4OptionEnd         IPv4OptionType = 0
	IPv4OptionNop         IPv4OptionType = 1
	IPv4OptionRecordRoute IPv4OptionType = 7
	IPv4OptionTimestamp   IPv4OptionType = 68
	IPv4OptionRouterAlert IPv4OptionType = 148 // RFC 2113
)

// String names the option.
func (t IPv4OptionType) String() string {
	switch t {
	case IPv4OptionEnd:
		return "End of Option List"
	case IPv4OptionNop:
		return "No Operation"
	case IPv4OptionRecordRoute:
		return "Record Route"
	case IPv4OptionTimestamp:
		return "Internet Timestamp"
	case IPv4OptionRouterAlert:
		return "Router Alert"
	}
	return "Unknown Option"
}

// IPv4Option is one option. Data follows type and length; the two one-byte
// options have none.
type IPv4Option struct {
	Type IPv4OptionType
	Data []byte
}

// NextIPv4Option takes the first option off b. It reports false where b is
// empty or where the option's length makes no sense: then rest is all of b.
func NextIPv4Option(b []byte) (o IPv4Option, rest []byte, ok bool) {
	kind, data, rest, ok := nextOption(b)
	return IPv4Option{IPv4OptionType(kind), data}, rest, ok
}

// nextOption reads one option of IPv4 or TCP, which agree: 0 ends the list, 1
// fills, all others have a length that counts type and length too. An end of
// list takes all the bytes after it with it.
func nextOption(b []byte) (kind uint8, data, rest []byte, ok bool) {
	switch {
	case len(b) == 0:
		return 0, nil, b, false
	case b[0] == 0:
		return 0, b[1:], nil, true
	case b[0] == 1:
		return 1, nil, b[1:], true
	case len(b) < 2 || b[1] < 2 || int(b[1]) > len(b):
		return b[0], nil, b, false
	}
	return b[0], b[2:b[1]], b[b[1]:], true
}

// Recorded is the number of addresses that routers have written into a record
// route option so far, never more than fit.
func (o IPv4Option) Recorded() int {
	if o.Type != IPv4OptionRecordRoute || len(o.Data) < 1 {
		return 0
	}
	// The pointer counts from 1 at the option's type; 4 is the first address.
	return max(0, min(int(o.Data[0])-4, len(o.Data)-1)/4)
}

// Route is the i-th recorded address.
// Precondition: i < Recorded.
func (o IPv4Option) Route(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(o.Data[1+4*i:]))
}

// AppendRouterAlert appends the router alert option (RFC 2113), 4 bytes.
func AppendRouterAlert(b []byte) []byte {
	return append(b, byte(IPv4OptionRouterAlert), 4, 0, 0)
}

// AppendRecordRoute appends an empty record route option for so many routers,
// filled up to 4 bytes with an end of list.
// Precondition: 1 <= routers <= 9 (RFC 791: 40 bytes of options).
func AppendRecordRoute(b []byte, routers int) []byte {
	b = append(b, byte(IPv4OptionRecordRoute), byte(3+4*routers), 4)
	for range routers {
		b = binary.BigEndian.AppendUint32(b, 0)
	}
	return append(b, byte(IPv4OptionEnd))
}
