package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

// packetIPv6 is an IPv6 packet from fe80::1 to fe80::2 with these bytes behind
// its header.
func packetIPv6(next Protocol, payload ...byte) IPv6 {
	h := IPv6Header{NextHeader: next, HopLimit: 64, Src: netip.MustParseAddr("fe80::1"), Dst: netip.MustParseAddr("fe80::2")}
	return append(AppendIPv6(nil, h, len(payload)), payload...)
}

func TestExtensions(t *testing.T) {
	const u = byte(ProtocolUDP)
	long := bytes.Repeat([]byte{9, 0}, 9) // nine options of no bytes
	tests := []struct {
		name    string
		next    Protocol
		bytes   []byte
		want    Extensions
		problem HeaderProblem
	}{
		{"none", ProtocolUDP, []byte{1}, Extensions{Upper: ProtocolUDP, Offset: 40, NamedAt: 6}, HeaderProblem{}},
		{"no next header", ProtocolNone, nil, Extensions{Upper: ProtocolNone, Offset: 40, NamedAt: 6}, HeaderProblem{}},
		{
			"router alert", ProtocolHopByHop,
			[]byte{u, 0, 5, 2, 0, 7, 1, 0},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40, Alerted: true, RouterAlert: 7},
			HeaderProblem{},
		},
		{"all of them", ProtocolHopByHop, []byte{
			60, 0, 0, 1, 3, 0, 0, 0, // Pad1, PadN
			43, 0, 1, 4, 0, 0, 0, 0, // destination options
			60, 0, 0, 0, 0, 0, 0, 0, // routing, no segments left
			u, 0, 0, 0, 1, 2, 0, 0, 99,
		}, Extensions{Upper: ProtocolUDP, Offset: 72, NamedAt: 64}, HeaderProblem{}},
		{
			"stops at a fragment", ProtocolDestination,
			[]byte{44, 0, 1, 4, 0, 0, 0, 0, u, 0, 0, 1, 0, 0, 0, 1},
			Extensions{Upper: ProtocolFragment, Offset: 48, NamedAt: 40},
			HeaderProblem{},
		},
		{
			"hop-by-hop later", ProtocolDestination,
			[]byte{0, 0, 1, 4, 0, 0, 0, 0, u, 0, 1, 4, 0, 0, 0, 0},
			Extensions{Upper: ProtocolHopByHop, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "hop-by-hop options not in the first place", Code: 1, Pointer: 40},
		},
		{
			"routing with segments left", ProtocolRouting,
			[]byte{u, 0, 0, 1, 0, 0, 0, 0},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "routing type that is not followed", Pointer: 42},
		},
		{
			"unknown option to skip", ProtocolDestination,
			[]byte{u, 0, 0x1e, 4, 9, 9, 9, 9},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{},
		},
		{
			"unknown option to drop", ProtocolDestination,
			[]byte{u, 0, 0x5e, 4, 9, 9, 9, 9},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "unknown option", Code: 2, Pointer: 42, Silent: true},
		},
		{
			"unknown option to report", ProtocolDestination,
			[]byte{u, 0, 0, 0x9e, 3, 9, 9, 9},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "unknown option", Code: 2, Pointer: 43},
		},
		{
			"unknown option to report to one", ProtocolHopByHop,
			[]byte{u, 0, 0xde, 4, 9, 9, 9, 9},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "unknown option", Code: 2, Pointer: 42, UnicastOnly: true},
		},
		{
			"cut short", ProtocolDestination,
			[]byte{u, 0, 1},
			Extensions{Upper: ProtocolDestination, Offset: 40, NamedAt: 6},
			HeaderProblem{Reason: "Destination Options cut short", Pointer: 40, Silent: true},
		},
		{
			"too long", ProtocolDestination,
			[]byte{u, 1, 1, 4, 0, 0, 0, 0},
			Extensions{Upper: ProtocolDestination, Offset: 40, NamedAt: 6},
			HeaderProblem{Reason: "Destination Options longer than the packet", Pointer: 41, Silent: true},
		},
		{
			"option too long", ProtocolDestination,
			[]byte{u, 0, 9, 5, 0, 0, 0, 0},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "option longer than its header", Pointer: 42, Silent: true},
		},
		{
			"padding not zero", ProtocolDestination,
			[]byte{u, 0, 1, 4, 0, 0, 0, 1},
			Extensions{Upper: ProtocolUDP, Offset: 48, NamedAt: 40},
			HeaderProblem{Reason: "too much padding, or padding that is not zero", Pointer: 42, Silent: true},
		},
		{
			"too many options", ProtocolDestination, AppendIPv6Options(nil, ProtocolUDP, long),
			Extensions{Upper: ProtocolUDP, Offset: 64, NamedAt: 40},
			HeaderProblem{Reason: "too many options", Pointer: 58, Silent: true},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, problem := packetIPv6(test.next, test.bytes...).Extensions()
			if got != test.want || problem != test.problem {
				t.Errorf("got\n%+v %+v, want\n%+v %+v", got, problem, test.want, test.problem)
			}
		})
	}
}

func TestHopByHopReadsNoFurther(t *testing.T) {
	p := packetIPv6(ProtocolHopByHop, 60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 0xde, 4, 0, 0, 0, 0)
	got, problem := p.HopByHop()
	want := Extensions{Upper: ProtocolDestination, Offset: 48, NamedAt: 40, Alerted: true}
	if got != want || problem.Bad() {
		t.Errorf("got %+v %v, want %+v", got, problem, want)
	}
}

func TestAppendIPv6Options(t *testing.T) {
	for n := range 20 {
		options := AppendIPv6RouterAlert(nil, 1)
		for range n {
			options = append(options, 0x1e, 0)
		}
		b := AppendIPv6Options(nil, ProtocolUDP, options)
		if len(b)%8 != 0 || !bytes.Equal(b[2:2+len(options)], options) {
			t.Errorf("%d options: %x", n, b)
		}
		x, problem := packetIPv6(ProtocolHopByHop, b...).Extensions()
		if problem.Bad() != (n > 7) || x.Offset != 40+len(b) {
			t.Errorf("%d options: %+v %+v", n, x, problem)
		}
	}
}

func TestIPv6FragmentRoundTrip(t *testing.T) {
	want := IPv6FragmentHeader{NextHeader: ProtocolUDP, Offset: 65528, More: true, ID: 0xdeadbeef}
	f, err := ParseIPv6Fragment(AppendIPv6Fragment(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	got := IPv6FragmentHeader{f.NextHeader(), f.Offset(), f.More(), f.ID()}
	if got != want || f.Atomic() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if _, err := ParseIPv6Fragment(make([]byte, 7)); err == nil {
		t.Error("7 bytes are no fragment header")
	}
}

func TestUpper(t *testing.T) {
	tests := []struct {
		next  Protocol
		bytes []byte
		want  Protocol
		rest  int
	}{
		{ProtocolUDP, []byte{1, 2}, ProtocolUDP, 2},
		{ProtocolDestination, []byte{58, 0, 0xc1, 4, 0, 0, 0, 0, 9}, ProtocolICMPv6, 1}, // an unknown option does not matter
		{ProtocolFragment, []byte{17, 0, 0, 1, 0, 0, 0, 1, 9, 9, 9}, ProtocolUDP, 3},
		{ProtocolFragment, []byte{17, 0, 0, 8, 0, 0, 0, 1, 9, 9, 9}, ProtocolNone, 0},
		{ProtocolDestination, []byte{58, 1, 1, 4, 0, 0, 0, 0}, ProtocolNone, 0},
		{ProtocolRouting, []byte{58}, ProtocolNone, 0},
		{ProtocolFragment, nil, ProtocolNone, 0},
	}
	for _, test := range tests {
		got, rest := packetIPv6(test.next, test.bytes...).Upper()
		if got != test.want || len(rest) != test.rest {
			t.Errorf("%s %x: %s and %d bytes, want %s and %d", test.next, test.bytes, got, len(rest), test.want, test.rest)
		}
	}
}

func FuzzExtensions(f *testing.F) {
	f.Add([]byte(packetIPv6(ProtocolHopByHop, 60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 0xde, 4, 0, 0, 0, 0)))
	f.Add([]byte(packetIPv6(ProtocolRouting, 44, 0, 0, 0, 0, 0, 0, 0, 17, 0, 0, 1, 0, 0, 0, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ParseIPv6(b)
		if err != nil {
			return
		}
		x, problem := p.Extensions()
		if x.Offset > len(p) || x.NamedAt >= x.Offset || problem.Pointer > len(p) {
			t.Errorf("%+v %+v in %d bytes", x, problem, len(p))
		}
		if !problem.Bad() && p[x.NamedAt] != byte(x.Upper) {
			t.Errorf("byte %d does not name %s", x.NamedAt, x.Upper)
		}
		p.HopByHop()
		if upper, _ := p.Upper(); !problem.Bad() && x.Upper != ProtocolFragment && upper != x.Upper {
			t.Errorf("upper layer %s, want %s", upper, x.Upper)
		}
	})
}
