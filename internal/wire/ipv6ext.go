package wire

import (
	"encoding/binary"
	"fmt"
)

// HeaderProblem is what is wrong with the extension headers of an IPv6 packet,
// in the terms of an ICMPv6 parameter problem (RFC 4443 3.4). The zero
// HeaderProblem is none.
type HeaderProblem struct {
	Reason  string // empty: no problem
	Code    uint8  // of ICMPv6ParamProblem
	Pointer int    // the offending field, in bytes from the start of the packet

	Silent      bool // drop the packet and tell nobody
	UnicastOnly bool // tell nobody either where the packet was sent to a group
}

// Bad reports whether there is a problem.
func (h HeaderProblem) Bad() bool { return h.Reason != "" }

// Error says what is wrong and where.
func (h HeaderProblem) Error() string {
	return fmt.Sprintf("IPv6 packet, byte %d: %s", h.Pointer, h.Reason)
}

// Extensions is what the extension headers of a packet come to.
type Extensions struct {
	Upper   Protocol // what follows them: an upper layer, or ProtocolFragment
	Offset  int      // where that starts, in bytes from the start of the packet
	NamedAt int      // where the Next Header field is that names Upper

	Alerted     bool   // a Router Alert option was there (RFC 2711)
	RouterAlert uint16 // its value
}

// The limits that Linux sets to options (IP6_DEFAULT_MAX_HBH_OPTS_CNT,
// IP6_DEFAULT_MAX_DST_OPTS_CNT; ip6_parse_tlv for padding).
const (
	ipv6OptionsMax = 8
	ipv6PaddingMax = 7 // bytes in a row: more is never needed to align
)

// extensionUnit is what lengths of extension headers count, and the least one.
const extensionUnit = 8

// Extensions walks the extension headers in front of the upper layer, as the
// destination of the packet does (RFC 8200 4). It stops at a fragment header,
// behind which the rest may be missing.
func (p IPv6) Extensions() (Extensions, HeaderProblem) {
	x := Extensions{Upper: p.NextHeader(), Offset: IPv6Len, NamedAt: 6}
	for {
		switch x.Upper {
		case ProtocolHopByHop:
			if x.Offset != IPv6Len {
				// RFC 8200 4.1: only right after the IPv6 header.
				return x, HeaderProblem{Reason: "hop-by-hop options not in the first place", Code: ICMPv6UnknownNextHeader, Pointer: x.NamedAt}
			}
		case ProtocolRouting, ProtocolDestination:
		default:
			return x, HeaderProblem{}
		}
		if problem := p.extension(&x); problem.Bad() {
			return x, problem
		}
	}
}

// HopByHop reads the hop-by-hop options alone, as a router on the way does; of a
// packet that has none it reports nothing. Offset is where the next header is.
func (p IPv6) HopByHop() (Extensions, HeaderProblem) {
	x := Extensions{Upper: p.NextHeader(), Offset: IPv6Len, NamedAt: 6}
	if x.Upper != ProtocolHopByHop {
		return x, HeaderProblem{}
	}
	problem := p.extension(&x)
	return x, problem
}

// Upper finds the upper layer of a packet or of the quoted start of one, without
// judging the headers before it. It is ProtocolNone where the packet ends before
// it, or is a fragment and not the first.
func (p IPv6) Upper() (Protocol, []byte) {
	next, at := p.NextHeader(), IPv6Len
	for {
		size := extensionUnit
		switch next {
		case ProtocolHopByHop, ProtocolRouting, ProtocolDestination:
			if len(p) >= at+2 {
				size *= 1 + int(p[at+1])
			}
		case ProtocolFragment:
			if len(p) >= at+size && IPv6Fragment(p[at:]).Offset() != 0 {
				return ProtocolNone, nil
			}
		default:
			return next, p[at:]
		}
		if len(p) < at+size {
			return ProtocolNone, nil
		}
		next, at = Protocol(p[at]), at+size
	}
}

// extension reads the header at x.Offset and moves x behind it.
func (p IPv6) extension(x *Extensions) HeaderProblem {
	at := x.Offset
	if len(p)-at < extensionUnit {
		return HeaderProblem{Reason: x.Upper.String() + " cut short", Pointer: at, Silent: true}
	}
	end := at + extensionUnit*(1+int(p[at+1]))
	if end > len(p) {
		return HeaderProblem{Reason: x.Upper.String() + " longer than the packet", Pointer: at + 1, Silent: true}
	}
	var problem HeaderProblem
	if x.Upper == ProtocolRouting {
		problem = p.routing(at)
	} else {
		problem = p.options(x, at+2, end)
	}
	x.Upper, x.NamedAt, x.Offset = Protocol(p[at]), at, end
	return problem
}

// routing checks a routing header. No type is followed: type 0 is deprecated
// (RFC 5095) and Linux follows the others only when told to. Without segments
// left it is skipped, with some it is an error (RFC 8200 4.4).
func (p IPv6) routing(at int) HeaderProblem {
	if segmentsLeft := p[at+3]; segmentsLeft == 0 {
		return HeaderProblem{}
	}
	return HeaderProblem{Reason: "routing type that is not followed", Code: ICMPv6ErroneousHeader, Pointer: at + 2}
}

// IPv6OptionType is the first byte of an option: its two high bits say what to
// do with an unknown one, the third whether it may change on the way (RFC 8200
// 4.2).
type IPv6OptionType uint8

// The options that hopyard speaks.
const (
	IPv6OptionPad1        IPv6OptionType = 0
	IPv6OptionPadN        IPv6OptionType = 1
	IPv6OptionRouterAlert IPv6OptionType = 5 // RFC 2711
)

// String names the option.
func (t IPv6OptionType) String() string {
	switch t {
	case IPv6OptionPad1:
		return "Pad1"
	case IPv6OptionPadN:
		return "PadN"
	case IPv6OptionRouterAlert:
		return "Router Alert"
	}
	return "Unknown Option"
}

// IPv6Option is one option of a hop-by-hop or destination options header. Data
// follows type and length; Pad1 has none.
type IPv6Option struct {
	Type IPv6OptionType
	Data []byte
}

// NextIPv6Option takes the first option off b. It reports false where b is empty
// or where the option's length makes no sense: then rest is all of b.
func NextIPv6Option(b []byte) (o IPv6Option, rest []byte, ok bool) {
	switch {
	case len(b) == 0:
		return IPv6Option{}, b, false
	case IPv6OptionType(b[0]) == IPv6OptionPad1:
		return IPv6Option{}, b[1:], true
	case len(b) < 2 || 2+int(b[1]) > len(b):
		return IPv6Option{Type: IPv6OptionType(b[0])}, b, false
	}
	end := 2 + int(b[1])
	return IPv6Option{IPv6OptionType(b[0]), b[2:end]}, b[end:], true
}

// options reads the options in p[at:end] (RFC 8200 4.2), with Linux's limits.
func (p IPv6) options(x *Extensions, at, end int) HeaderProblem {
	count, padding := 0, 0
	for at < end {
		o, rest, ok := NextIPv6Option(p[at:end])
		if !ok {
			return HeaderProblem{Reason: "option longer than its header", Pointer: at, Silent: true}
		}
		size := end - at - len(rest)
		if o.Type == IPv6OptionPad1 || o.Type == IPv6OptionPadN {
			padding += size
			if padding > ipv6PaddingMax || !allZero(o.Data) {
				return HeaderProblem{Reason: "too much padding, or padding that is not zero", Pointer: at, Silent: true}
			}
			at += size
			continue
		}
		padding = 0
		if count++; count > ipv6OptionsMax {
			return HeaderProblem{Reason: "too many options", Pointer: at, Silent: true}
		}
		if o.Type == IPv6OptionRouterAlert && x.Upper == ProtocolHopByHop {
			if len(o.Data) != 2 {
				return HeaderProblem{Reason: "router alert of a wrong length", Pointer: at, Silent: true}
			}
			x.Alerted, x.RouterAlert = true, binary.BigEndian.Uint16(o.Data)
		} else if problem := unknownOption(o.Type, at); problem.Bad() {
			return problem
		}
		at += size
	}
	return HeaderProblem{}
}

// unknownOption does what the two high bits of an unknown option ask for.
func unknownOption(t IPv6OptionType, at int) HeaderProblem {
	problem := HeaderProblem{Reason: "unknown option", Code: ICMPv6UnknownIPv6Option, Pointer: at}
	switch t >> 6 {
	case 0:
		return HeaderProblem{}
	case 1:
		problem.Silent = true
	case 3:
		problem.UnicastOnly = true
	}
	return problem
}

func allZero(b []byte) bool {
	for _, v := range b {
		if v != 0 {
			return false
		}
	}
	return true
}

// AppendIPv6Options appends a hop-by-hop or destination options header: options,
// as they go on the wire, filled up with padding to a multiple of 8 bytes.
// Precondition: options are at most 2046 bytes.
func AppendIPv6Options(b []byte, next Protocol, options []byte) []byte {
	size := (2 + len(options) + extensionUnit - 1) / extensionUnit * extensionUnit
	b = append(append(b, byte(next), byte(size/extensionUnit-1)), options...)
	switch pad := size - 2 - len(options); pad {
	case 0:
	case 1:
		b = append(b, byte(IPv6OptionPad1))
	default:
		b = append(b, byte(IPv6OptionPadN), byte(pad-2))
		for range pad - 2 {
			b = append(b, 0)
		}
	}
	return b
}

// AppendIPv6RouterAlert appends a router alert option (RFC 2711 2.1).
func AppendIPv6RouterAlert(b []byte, value uint16) []byte {
	return append(b, byte(IPv6OptionRouterAlert), 2, byte(value>>8), byte(value))
}

// IPv6FragmentLen is the length of a fragment header in bytes.
const IPv6FragmentLen = 8

// IPv6Fragment is a view of a fragment header (RFC 8200 4.5) and what follows.
type IPv6Fragment []byte

// ParseIPv6Fragment checks that b holds a fragment header.
func ParseIPv6Fragment(b []byte) (IPv6Fragment, error) {
	if len(b) < IPv6FragmentLen {
		return nil, shortError{"IPv6 fragment header", len(b), IPv6FragmentLen}
	}
	return b, nil
}

// NextHeader says what the fragmentable part begins with, in the first fragment.
func (f IPv6Fragment) NextHeader() Protocol { return Protocol(f[0]) }

// Offset is the place of the payload in the fragmentable part in bytes.
func (f IPv6Fragment) Offset() int { return int(binary.BigEndian.Uint16(f[2:]) &^ 7) }

// More is the M flag: this is not the last fragment.
func (f IPv6Fragment) More() bool { return f[3]&1 != 0 }

// ID tells the fragments of one packet from those of another.
func (f IPv6Fragment) ID() uint32 { return binary.BigEndian.Uint32(f[4:]) }

// Atomic reports whether the fragment is the whole packet (RFC 6946).
func (f IPv6Fragment) Atomic() bool { return f.Offset() == 0 && !f.More() }

// Payload is what follows the header.
func (f IPv6Fragment) Payload() []byte { return f[IPv6FragmentLen:] }

// IPv6FragmentHeader is what AppendIPv6Fragment writes.
type IPv6FragmentHeader struct {
	NextHeader Protocol
	Offset     int // bytes, a multiple of 8
	More       bool
	ID         uint32
}

// AppendIPv6Fragment appends a fragment header.
func AppendIPv6Fragment(b []byte, h IPv6FragmentHeader) []byte {
	offset := uint16(h.Offset) &^ 7
	if h.More {
		offset |= 1
	}
	b = append(b, byte(h.NextHeader), 0)
	b = binary.BigEndian.AppendUint16(b, offset)
	return binary.BigEndian.AppendUint32(b, h.ID)
}
