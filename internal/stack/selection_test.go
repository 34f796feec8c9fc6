package stack

import (
	"net/netip"
	"slices"
	"testing"
)

// The examples of RFC 6724 10.1. Prefix lengths are 64 where it does not say.
func TestSourceSelection(t *testing.T) {
	tests := []struct {
		dst        string
		candidates []string // "!" marks a deprecated one, "*" one of the outgoing interface
		want       string
	}{
		{"2001:db8:1::1", []string{"2001:db8:3::1", "fe80::1"}, "2001:db8:3::1"}, // prefer appropriate scope
		{"ff05::1", []string{"2001:db8:3::1", "fe80::1"}, "2001:db8:3::1"},
		{"2001:db8:1::1", []string{"2001:db8:1::1!", "2001:db8:2::1"}, "2001:db8:1::1"}, // prefer same address
		{"fec0::1", []string{"fe80::1", "2001:db8:1::1"}, "2001:db8:1::1"},
		{"fe80::1", []string{"fe80::2!", "2001:db8:1::1"}, "fe80::2"},
		{"2001:db8:1::1", []string{"2001:db8:1::2", "2001:db8:3::2"}, "2001:db8:1::2"},                                                 // longest match
		{"2002:c633:6401::1", []string{"2002:c633:6401::d5e3:7953:13eb:22e8", "2001:db8:1::2"}, "2002:c633:6401::d5e3:7953:13eb:22e8"}, // matching label
		{"fd00::9", []string{"2001:db8:1::2", "fd11::1"}, "fd11::1"},
		// Rules 3 and 5, for which it has no example.
		{"2001:db8:1::1", []string{"2001:db8:1::2!", "2001:db8:9::2"}, "2001:db8:9::2"},
		{"2001:db8:1::1", []string{"2001:db8:1::2", "2001:db8:9::2*"}, "2001:db8:9::2"},
	}
	for _, test := range tests {
		for range 2 { // the order of candidates does not matter
			var best *sourceCandidate
			for _, text := range test.candidates {
				c := &sourceCandidate{}
				if last := text[len(text)-1]; last == '!' || last == '*' {
					c.deprecated, c.outgoing, text = last == '!', last == '*', text[:len(text)-1]
				}
				c.prefix = netip.PrefixFrom(ip6(text), 64)
				if best == nil || betterSource(ip6(test.dst), c, best) {
					best = c
				}
			}
			if got := best.prefix.Addr(); got != ip6(test.want) {
				t.Errorf("to %s from %v: %s, want %s", test.dst, test.candidates, got, test.want)
			}
			slices.Reverse(test.candidates)
		}
	}
}

// The examples of RFC 6724 10.2; IPv4 sources have their own prefix lengths.
func TestDestinationOrder(t *testing.T) {
	type pair struct {
		dst, src   string // no src: unreachable
		deprecated bool
	}
	tests := []struct {
		name   string
		better pair
		worse  pair
	}{
		{"matching scope", pair{dst: "2001:db8:1::1", src: "2001:db8:1::2"}, pair{dst: "198.51.100.121", src: "169.254.13.78"}},
		{"matching scope of IPv4", pair{dst: "198.51.100.121", src: "198.51.100.117"}, pair{dst: "2001:db8:1::1", src: "fe80::1"}},
		{"higher precedence", pair{dst: "2001:db8:1::1", src: "2001:db8:1::2"}, pair{dst: "10.1.2.3", src: "10.1.2.4"}},
		{"smaller scope", pair{dst: "fe80::1", src: "fe80::2"}, pair{dst: "2001:db8:1::1", src: "2001:db8:1::2"}},
		{"not deprecated", pair{dst: "2001:db8:1::1", src: "2001:db8:1::2"}, pair{dst: "fe80::1", src: "fe80::2", deprecated: true}},
		{"longest match", pair{dst: "2001:db8:3ffe::1", src: "2001:db8:3f44::2"}, pair{dst: "2001:db8:1::1", src: "2001:db8:3f44::2"}},
		{"matching label", pair{dst: "2002:c633:6401::1", src: "2002:c633:6401::2"}, pair{dst: "2001:db8:1::1", src: "2002:c633:6401::2"}},
		{"precedence over 6to4", pair{dst: "2001:db8:1::1", src: "2001:db8:1::2"}, pair{dst: "2002:c633:6401::1", src: "2002:c633:6401::2"}},
		{"reachable", pair{dst: "192.0.2.1", src: "192.0.2.2"}, pair{dst: "2001:db8::1"}},
	}
	make1 := func(p pair) *destination {
		d := &destination{addr: netip.MustParseAddr(p.dst), deprecated: p.deprecated}
		if p.src != "" {
			src := netip.MustParseAddr(p.src)
			bits := 64
			if src.Is4() {
				bits = 24
			}
			d.source = netip.PrefixFrom(src, bits)
		}
		return d
	}
	for _, test := range tests {
		a, b := make1(test.better), make1(test.worse)
		if compareDestinations(a, b) >= 0 || compareDestinations(b, a) <= 0 {
			t.Errorf("%s: %s is not before %s", test.name, a.addr, b.addr)
		}
	}
}

func TestSortDestinations(t *testing.T) {
	n, a, _ := pair6(t)
	list := []netip.Addr{ip6("10.0.0.1"), ip6("2001:db8:5::1"), ip6("2001:db8::9"), ip6("::1")}
	a.SortDestinations(n.now, list)
	want := []netip.Addr{ip6("::1"), ip6("2001:db8::9"), ip6("10.0.0.1"), ip6("2001:db8:5::1")}
	if !slices.Equal(list, want) {
		t.Errorf("%v, want %v", list, want)
	}
}
