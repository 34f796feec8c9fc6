package stack

import (
	"net/netip"
	"syscall"
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Two hosts on a link: fe80::ff:fe00:1 with 2001:db8::1, fe80::ff:fe00:2 with
// 2001:db8::2, both ready.
func pair6(t *testing.T) (n *net6, a, b *Stack) {
	n = newNet6(t)
	seg := &segment6{}
	a, b = n.stack("a"), n.stack("b")
	for k, s := range n.stacks {
		i := n.plug(s, seg, byte(k+1))
		n.give(i, []string{"2001:db8::1/64", "2001:db8::2/64"}[k])
		i.SetUp(n.now, true)
	}
	n.run(20)
	n.quiet()
	return n, a, b
}

func TestDuplicateAddressDetection(t *testing.T) {
	n := newNet6(t)
	i := n.plug(n.stack("a"), &segment6{}, 1)
	i.SetUp(0, true)
	a := i.linkLocal()
	if a.Prefix != netip.MustParsePrefix("fe80::ff:fe00:1/64") || a.State != AddressTentative {
		t.Fatalf("link-local address %s %s", a.Prefix, a.State)
	}
	n.run(0.999)
	if a.State != AddressTentative {
		t.Error("ready too early")
	}
	n.run(30)
	// RFC 4862 5.4: one probe, one second. Then three router solicitations.
	n.expect("0.000 a ::>ff02::1:ff00:1 NS fe80::ff:fe00:1 mac false",
		"1.000 a fe80::ff:fe00:1>ff02::2 RS",
		"5.000 a fe80::ff:fe00:1>ff02::2 RS",
		"9.000 a fe80::ff:fe00:1>ff02::2 RS")
	if a.State != AddressReady {
		t.Error("not ready")
	}
	n.expectNoLeak()
}

func TestDuplicateAddressOfARunningHost(t *testing.T) {
	n, a, b := pair6(t)
	i := a.Interface("eth0")
	n.give(i, "2001:db8::2/64")
	n.run(30)
	n.expect("20.000 a ::>ff02::1:ff00:2 NS 2001:db8::2 mac false",
		"20.001 b 2001:db8::2>ff02::1 NA 2001:db8::2 Rfalse Sfalse Otrue mac true")
	if got := i.Addresses()[2]; got.State != AddressDuplicate || got.State.String() != "dadfailed" {
		t.Errorf("%s is %s", got.Prefix, got.State)
	}
	if got := b.Interface("eth0").Addresses()[0].State; got != AddressReady {
		t.Errorf("the owner's address is %s", got)
	}
	if src, _ := a.sourceIPv6(ip6("2001:db8::2"), i); src != ip6("2001:db8::1") {
		t.Errorf("sends from %s", src)
	}
	n.expectNoLeak()
}

func TestDuplicateAddressOfTwoStarters(t *testing.T) {
	n := newNet6(t)
	seg := &segment6{}
	for range 2 {
		n.plug(n.stack("x"), seg, 7).SetUp(0, true) // one MAC twice
	}
	n.run(5)
	for _, s := range n.stacks {
		if a := s.Interface("eth0").linkLocal(); a.State != AddressDuplicate {
			t.Errorf("address is %s", a.State)
		}
	}
}

func TestNeighborDiscovery(t *testing.T) {
	n, a, b := pair6(t)
	if err := n.ping(a, outgoing{dst: ip6("2001:db8::2")}); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	n.expect("20.000 a 2001:db8::1>ff02::1:ff00:2 NS 2001:db8::2 mac true",
		"20.001 b 2001:db8::2>2001:db8::1 NA 2001:db8::2 Rfalse Strue Otrue mac true",
		"20.002 a 2001:db8::1>2001:db8::2 echo",
		"20.003 b 2001:db8::2>2001:db8::1 echo reply")
	if got := a.Neighbors()[0]; got.State != NeighborReachable || got.MAC != (wire.MAC{2, 0, 0, 0, 0, 2}) {
		t.Errorf("a knows %s as %s %s", got.Addr, got.MAC, got.State)
	}
	if got := b.Neighbors()[0]; got.State != NeighborDelay {
		t.Errorf("b knows %s as %s", got.Addr, got.State)
	}
	// b has not been told that a hears it: after 5 s it asks by unicast, and the
	// answer leaves the address out and overrides nothing.
	n.run(26)
	n.expect("25.001 b 2001:db8::2>2001:db8::1 NS 2001:db8::1 mac true",
		"25.002 a 2001:db8::1>2001:db8::2 NA 2001:db8::1 Rfalse Strue Ofalse mac false")
	if got := b.Neighbors()[0]; got.State != NeighborReachable {
		t.Errorf("b knows %s as %s", got.Addr, got.State)
	}
	n.expectDrops()
	n.expectNoLeak()
}

func TestNeighborFailed(t *testing.T) {
	n, a, _ := pair6(t)
	if err := n.send(a, outgoing{dst: ip6("2001:db8::99")}, 10); err != nil {
		t.Fatal(err)
	}
	n.run(30)
	n.expect("20.000 a 2001:db8::1>ff02::1:ff00:99 NS 2001:db8::99 mac true",
		"21.000 a 2001:db8::1>ff02::1:ff00:99 NS 2001:db8::99 mac true",
		"22.000 a 2001:db8::1>ff02::1:ff00:99 NS 2001:db8::99 mac true")
	n.expectDrops("23.000 a: next hop does not answer")
	if got := a.Neighbors()[0].State; got != NeighborFailed {
		t.Errorf("neighbour is %s", got)
	}
	// RFC 4443 3.1: the sender, here the machine itself, is told: address unreachable.
	if got := a.v6.counters[icmp6InMsgs]; got == 0 {
		t.Error("the machine was not told")
	}
	n.expectNoLeak()
}

func TestNeighborOverride(t *testing.T) {
	n, a, _ := pair6(t)
	i := a.Interface("eth0")
	if err := n.ping(a, outgoing{dst: ip6("2001:db8::2")}); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	advertise := func(override bool, k byte) {
		h := wire.NeighborAdvertisementHeader{Src: ip6("2001:db8::2"), Dst: allNodesIPv6, Target: ip6("2001:db8::2"), Override: override, TargetMAC: wire.MAC{2, 0, 0, 0, 0, k}}
		n.raw(i, wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: 255, Src: h.Src, Dst: h.Dst}, wire.AppendNeighborAdvertisement(nil, h))
	}
	entry := func() (byte, NeighborState) { e := a.Neighbors()[0]; return e.MAC[5], e.State }
	advertise(false, 9) // RFC 4861 7.2.5: not taken, but no longer trusted
	if k, state := entry(); k != 2 || state != NeighborStale {
		t.Errorf("after an advertisement without override: %d %s", k, state)
	}
	advertise(true, 9)
	if k, state := entry(); k != 9 || state != NeighborStale {
		t.Errorf("after an advertisement with override: %d %s", k, state)
	}
	n.expectNoLeak()
}

func TestNDFromBeyondARouterIsIgnored(t *testing.T) {
	n, a, _ := pair6(t)
	h := wire.NeighborSolicitationHeader{Src: ip6("2001:db8::7"), Dst: ip6("2001:db8::1"), Target: ip6("2001:db8::1"), SourceMAC: wire.MAC{2, 0, 0, 0, 0, 7}}
	n.raw(a.Interface("eth0"), wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: 254, Src: h.Src, Dst: h.Dst}, wire.AppendNeighborSolicitation(nil, h))
	n.expect()
	n.expectDrops("20.000 a: malformed")
	if len(a.Neighbors()) != 0 {
		t.Error("it was believed")
	}
}

func TestPingLinkLocal(t *testing.T) {
	n, a, _ := pair6(t)
	if err := n.ping(a, outgoing{dst: ip6("fe80::ff:fe00:2")}); err != syscall.EINVAL {
		t.Errorf("without a zone: %v, want EINVAL", err)
	}
	if err := n.ping(a, outgoing{dst: ip6("fe80::ff:fe00:2%eth9")}); err != syscall.EINVAL {
		t.Errorf("in an unknown zone: %v, want EINVAL", err)
	}
	for _, zone := range []string{"eth0", "2"} {
		if err := n.ping(a, outgoing{dst: ip6("fe80::ff:fe00:2%" + zone)}); err != nil {
			t.Error(err)
		}
	}
	n.run(21)
	n.expect("20.000 a fe80::ff:fe00:1>ff02::1:ff00:2 NS fe80::ff:fe00:2 mac true",
		"20.001 b fe80::ff:fe00:2>fe80::ff:fe00:1 NA fe80::ff:fe00:2 Rfalse Strue Otrue mac true",
		"20.002 a fe80::ff:fe00:1>fe80::ff:fe00:2 echo",
		"20.002 a fe80::ff:fe00:1>fe80::ff:fe00:2 echo",
		"20.003 b fe80::ff:fe00:2>fe80::ff:fe00:1 echo reply",
		"20.003 b fe80::ff:fe00:2>fe80::ff:fe00:1 echo reply")
}

func TestPingAllNodes(t *testing.T) {
	n, a, _ := pair6(t)
	if err := n.ping(a, outgoing{dst: ip6("ff02::1%eth0"), noLoop: true}); err != nil {
		t.Fatal(err)
	}
	n.run(20.001)
	n.expect("20.000 a fe80::ff:fe00:1>ff02::1 echo",
		"20.001 b fe80::ff:fe00:2>ff02::1:ff00:1 NS fe80::ff:fe00:1 mac true")
}

func TestPingMyself(t *testing.T) {
	n, a, _ := pair6(t)
	for _, dst := range []string{"::1", "2001:db8::1", "fe80::ff:fe00:1%eth0"} {
		before := a.v6.counters[icmp6InMsgs]
		if err := n.ping(a, outgoing{dst: ip6(dst)}); err != nil {
			t.Errorf("%s: %v", dst, err)
		}
		n.run(float64(n.now)/1e9 + 0.001)
		if got := a.v6.counters[icmp6InMsgs] - before; got != 2 {
			t.Errorf("%s: %d messages, want echo and reply", dst, got)
		}
	}
	n.expect()
	n.expectDrops()
	n.expectNoLeak()
}

func TestIPv6IsOffUntilAskedFor(t *testing.T) {
	n := newNet6(t)
	s := New(Config{Name: "v4", Pool: &n.pool, Tap: n})
	n.stacks = append(n.stacks, s)
	i := n.plug(s, &segment6{}, 1)
	i.SetUp(0, true)
	if len(i.Addresses()) != 0 || s.v6 != nil || i.v6 != nil || s.Deadline() != sim.Never {
		t.Error("IPv6 keeps something")
	}
	if _, err := i.AddAddress(0, AddressConfig{Prefix: netip.MustParsePrefix("2001:db8::1/64")}); err != syscall.EACCES {
		t.Errorf("adding an address: %v, want EACCES", err)
	}
	for dst, want := range map[string]error{"2001:db8::1": syscall.ENETUNREACH, "::1": syscall.EADDRNOTAVAIL} {
		if err := n.ping(s, outgoing{dst: ip6(dst)}); err != want {
			t.Errorf("%s: %v, want %v", dst, err, want)
		}
	}
	s.SetIPv6(0, true)
	if len(i.Addresses()) != 1 {
		t.Error("no link-local address")
	}
	s.SetIPv6(0, false)
	if len(i.Addresses()) != 0 || s.Deadline() != sim.Never || len(s.Routes()) != 0 {
		t.Errorf("left: %d addresses, deadline %s, %d routes", len(i.Addresses()), s.Deadline(), len(s.Routes()))
	}
}

func TestErrorsOfRoutes(t *testing.T) {
	n, a, _ := pair6(t)
	for dst, kind := range map[string]RouteType{"2001:db8:1::": RouteBlackhole, "2001:db8:2::": RouteUnreachable, "2001:db8:3::": RouteProhibit} {
		if err := a.AddRoute(Route{Prefix: netip.PrefixFrom(ip6(dst), 48), Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	for dst, want := range map[string]error{
		"2001:db8:1::1": syscall.EINVAL, "2001:db8:2::1": syscall.EHOSTUNREACH, "2001:db8:3::1": syscall.EACCES, "2001:db8:4::1": syscall.ENETUNREACH,
	} {
		if err := n.ping(a, outgoing{dst: ip6(dst)}); err != want {
			t.Errorf("%s: %v, want %v", dst, err, want)
		}
	}
}

// chain6 is host a, router r with a smaller MTU to host b: 2001:db8:a::1 on the
// left, 2001:db8:b::2 on the right, the router ::ff on both. Neighbours are known.
func chain6(t *testing.T, mtu int) (n *net6, a, r, b *Stack) {
	n = newNet6(t)
	left, right := &segment6{}, &segment6{}
	a, r, b = n.stack("a"), n.stack("r"), n.stack("b")
	r.SetForwardingIPv6(0, true)
	ai, bi := n.plug(a, left, 1), n.plug(b, right, 2)
	rl, rr := n.plug(r, left, 0x11), n.plug(r, right, 0x12)
	rr.SetMTU(mtu)
	bi.SetMTU(mtu)
	for _, x := range []struct {
		i    *Interface
		addr string
	}{{ai, "2001:db8:a::1/64"}, {rl, "2001:db8:a::ff/64"}, {rr, "2001:db8:b::ff/64"}, {bi, "2001:db8:b::2/64"}} {
		n.give(x.i, x.addr)
		x.i.SetUp(0, true)
	}
	for _, x := range []struct {
		i       *Interface
		gateway string
	}{{ai, "2001:db8:a::ff"}, {bi, "2001:db8:b::ff"}} {
		if err := x.i.stack.AddRoute(Route{Prefix: defaultRouteIPv6, Gateway: ip6(x.gateway), Interface: x.i, Metric: 1024}); err != nil {
			t.Fatal(err)
		}
	}
	known := func(i *Interface, addr string, k byte) {
		i.SetNeighbor(0, ip6(addr), wire.MAC{2, 0, 0, 0, 0, k}, NeighborPermanent)
	}
	known(ai, "2001:db8:a::ff", 0x11)
	known(rl, "2001:db8:a::1", 1)
	known(rr, "2001:db8:b::2", 2)
	known(bi, "2001:db8:b::ff", 0x12)
	n.run(20)
	n.quiet()
	return n, a, r, b
}

func TestRouterForwards(t *testing.T) {
	n, a, _, _ := chain6(t, 1500)
	if err := n.ping(a, outgoing{dst: ip6("2001:db8:b::2")}); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	n.expect("20.000 a 2001:db8:a::1>2001:db8:b::2 echo",
		"20.001 r 2001:db8:a::1>2001:db8:b::2 echo",
		"20.002 b 2001:db8:b::2>2001:db8:a::1 echo reply",
		"20.003 r 2001:db8:b::2>2001:db8:a::1 echo reply")
	n.expectDrops()
	n.expectNoLeak()
}

func TestHopLimitExceeded(t *testing.T) {
	n, a, _, _ := chain6(t, 1500)
	if err := n.send(a, outgoing{dst: ip6("2001:db8:b::2"), ttl: 1}, 4); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	n.expect("20.000 a 2001:db8:a::1>2001:db8:b::2 UDP 12 bytes, hop limit 1",
		"20.001 r 2001:db8:a::ff>2001:db8:a::1 ICMPv6 3/0 0, 60 bytes")
	n.expectDrops("20.001 r: TTL exceeded")
	n.expectNoLeak()
}

func TestNoRouteFromRouter(t *testing.T) {
	n, a, _, _ := chain6(t, 1500)
	if err := n.send(a, outgoing{dst: ip6("2001:db8:c::2")}, 4); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	n.expect("20.000 a 2001:db8:a::1>2001:db8:c::2 UDP 12 bytes, hop limit 64",
		"20.001 r 2001:db8:a::ff>2001:db8:a::1 ICMPv6 1/0 0, 60 bytes")
	n.expectDrops("20.001 r: no route")
}

func TestPathMTUDiscovery(t *testing.T) {
	n, a, _, b := chain6(t, 1300)
	dst := ip6("2001:db8:b::2")
	if err := n.send(a, outgoing{dst: dst}, 1400); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	n.expect("20.000 a 2001:db8:a::1>2001:db8:b::2 UDP 1408 bytes, hop limit 64",
		"20.001 r 2001:db8:a::ff>2001:db8:a::1 ICMPv6 2/0 1300, 1240 bytes") // 1280 with the header: RFC 4443 3.2
	n.expectDrops("20.001 r: too big, and must not be fragmented")
	if got := a.PathMTU(n.now, dst); got != 1300 {
		t.Errorf("path MTU %d", got)
	}
	if err := n.send(a, outgoing{dst: dst, discover: DiscoverDo}, 1400); err != syscall.EMSGSIZE {
		t.Errorf("with IPV6_MTU_DISCOVER do: %v, want EMSGSIZE", err)
	}
	if err := n.send(a, outgoing{dst: dst}, 1400); err != nil {
		t.Fatal(err)
	}
	n.run(21.001)
	n.expect("21.000 a 2001:db8:a::1>2001:db8:b::2 fragment 0+1248 more true",
		"21.000 a 2001:db8:a::1>2001:db8:b::2 fragment 1248+160 more false",
		"21.001 r 2001:db8:a::1>2001:db8:b::2 fragment 0+1248 more true",
		"21.001 r 2001:db8:a::1>2001:db8:b::2 fragment 1248+160 more false")
	n.run(22)
	if got := b.v6.counters[ip6ReasmOKs]; got != 1 {
		t.Errorf("%d packets put together", got)
	}
	n.run(622) // RFC 8201 4: after 10 minutes the link's MTU is tried again
	if got := a.PathMTU(n.now, dst); got != 1500 {
		t.Errorf("path MTU %d after 10 minutes", got)
	}
	n.expectNoLeak()
}

func TestReassemblyTimeout(t *testing.T) {
	for _, lost := range []int{1, 2} {
		n, a, b := pair6(t)
		a.Interface("eth0").SetNeighbor(n.now, ip6("2001:db8::2"), wire.MAC{2, 0, 0, 0, 0, 2}, NeighborPermanent)
		b.Interface("eth0").SetNeighbor(n.now, ip6("2001:db8::1"), wire.MAC{2, 0, 0, 0, 0, 1}, NeighborPermanent)
		first := n.sent
		n.drop = func(k int) bool { return k == first+lost }
		if err := n.send(a, outgoing{dst: ip6("2001:db8::2")}, 2000); err != nil {
			t.Fatal(err)
		}
		n.run(21)
		n.quiet()
		n.run(90)
		n.expectDrops("80.001 b: fragments did not arrive in time")
		if lost == 1 {
			n.expect() // RFC 8200 4.5: without the first fragment nobody is told
		} else {
			n.expect("80.001 b 2001:db8::2>2001:db8::1 ICMPv6 3/1 0, 1240 bytes")
		}
		n.expectNoLeak()
	}
}

const anyProtocol wire.Protocol = 253 // for experiments, RFC 3692

// fragment6 is the payload of a fragment; one of no bytes says that it is UDP.
func fragment6(offset, length int, more bool) []byte {
	protocol := wire.ProtocolUDP
	if length > 0 {
		protocol = anyProtocol
	}
	b := wire.AppendIPv6Fragment(nil, wire.IPv6FragmentHeader{NextHeader: protocol, Offset: offset, More: more, ID: 5})
	return append(b, make([]byte, length)...)
}

func TestFragments(t *testing.T) {
	type part struct {
		offset, length int
		more           bool
	}
	tests := []struct {
		name  string
		parts []part
		oks   uint32
		sent  []string
		drops []string
	}{
		{"in order", []part{{0, 16, true}, {16, 8, false}}, 1, nil, nil},
		{"the other way round", []part{{16, 8, false}, {8, 8, true}, {0, 8, true}}, 1, nil, nil},
		{"atomic", []part{{0, 20, false}}, 1, nil, nil},
		{"twice the same", []part{{0, 16, true}, {0, 16, true}, {16, 8, false}}, 1, nil, []string{"20.000 a: too many or overlapping fragments"}},
		// RFC 5722: the one that came goes too, and what comes later waits in vain.
		{
			"overlap",
			[]part{{0, 16, true}, {8, 16, true}},
			0, nil,
			[]string{"20.000 a: too many or overlapping fragments", "20.000 a: too many or overlapping fragments"},
		},
		{
			"two ends",
			[]part{{16, 8, false}, {24, 8, false}},
			0, nil,
			[]string{"20.000 a: too many or overlapping fragments", "20.000 a: too many or overlapping fragments"},
		},
		{
			"length no multiple of 8",
			[]part{{0, 12, true}},
			0,
			[]string{"20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/0 4, 68 bytes"},
			[]string{"20.000 a: malformed"},
		},
		{
			"beyond the end",
			[]part{{65528, 8, true}},
			0,
			[]string{"20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/0 42, 64 bytes"},
			[]string{"20.000 a: malformed"},
		},
		{
			"first without its header",
			[]part{{0, 0, true}},
			0,
			[]string{"20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/3 0, 56 bytes"},
			[]string{"20.000 a: malformed"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n, a, _ := pair6(t)
			i := a.Interface("eth0")
			i.SetNeighbor(n.now, ip6("2001:db8::2"), wire.MAC{2, 0, 0, 0, 0, 2}, NeighborPermanent)
			sink := a.NewRaw(true, anyProtocol)
			defer sink.Close()
			for _, p := range test.parts {
				n.raw(i, wire.IPv6Header{NextHeader: wire.ProtocolFragment, HopLimit: 64, Src: ip6("2001:db8::2"), Dst: ip6("2001:db8::1")},
					fragment6(p.offset, p.length, p.more))
			}
			if got := a.v6.counters[ip6ReasmOKs]; got != test.oks {
				t.Errorf("%d packets put together, want %d", got, test.oks)
			}
			n.expect(test.sent...)
			n.expectDrops(test.drops...)
		})
	}
}

func TestExtensionHeaderProblems(t *testing.T) {
	n, a, _ := pair6(t)
	i := a.Interface("eth0")
	i.SetNeighbor(n.now, ip6("2001:db8::2"), wire.MAC{2, 0, 0, 0, 0, 2}, NeighborPermanent)
	send := func(dst string, next wire.Protocol, payload ...byte) {
		n.raw(i, wire.IPv6Header{NextHeader: next, HopLimit: 64, Src: ip6("2001:db8::2"), Dst: ip6(dst)}, payload)
	}
	send("2001:db8::1", 200, 1, 2, 3) // unknown next header: the field that names it
	send("2001:db8::1", wire.ProtocolDestination, 200, 0, 1, 4, 0, 0, 0, 0)
	send("2001:db8::1", wire.ProtocolDestination, 59, 0, 0xc1, 4, 0, 0, 0, 0)
	send("ff02::1", wire.ProtocolDestination, 59, 0, 0xc1, 4, 0, 0, 0, 0) // not about a group
	send("ff02::1", wire.ProtocolDestination, 59, 0, 0x81, 4, 0, 0, 0, 0) // but about this
	send("2001:db8::1", wire.ProtocolDestination, 59, 0, 0x41, 4, 0, 0, 0, 0)
	n.expect("20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/1 6, 51 bytes",
		"20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/1 40, 56 bytes",
		"20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/2 42, 56 bytes",
		"20.000 a 2001:db8::1>2001:db8::2 ICMPv6 4/2 42, 56 bytes")
}

func TestErrorRateLimit(t *testing.T) {
	n, a, _ := pair6(t)
	i := a.Interface("eth0")
	i.SetNeighbor(n.now, ip6("2001:db8::2"), wire.MAC{2, 0, 0, 0, 0, 2}, NeighborPermanent)
	burst := func() int {
		n.quiet()
		for range 50 {
			n.raw(i, wire.IPv6Header{NextHeader: 200, HopLimit: 64, Src: ip6("2001:db8::2"), Dst: ip6("2001:db8::1")}, nil)
		}
		return len(n.log)
	}
	// The route back is a /64: Linux allows four a second, after six at once.
	if got := burst(); got != 6 {
		t.Errorf("%d errors at once, want 6", got)
	}
	n.run(21)
	if got := burst(); got != 4 {
		t.Errorf("%d errors after a second, want 4", got)
	}
}

func TestNoErrorAboutAnError(t *testing.T) {
	n, a, _ := pair6(t)
	i := a.Interface("eth0")
	i.SetNeighbor(n.now, ip6("2001:db8::2"), wire.MAC{2, 0, 0, 0, 0, 2}, NeighborPermanent)
	unknown := wire.AppendICMPv6(nil, wire.ICMPv6Header{Type: 99, Src: ip6("2001:db8::2"), Dst: ip6("2001:db8::1")}, nil)
	n.raw(i, wire.IPv6Header{NextHeader: wire.ProtocolDestination, HopLimit: 64, Src: ip6("2001:db8::2"), Dst: ip6("2001:db8::1")},
		append([]byte{58, 0, 0x81, 4, 0, 0, 0, 0}, unknown...))
	n.raw(i, wire.IPv6Header{NextHeader: 200, HopLimit: 64, Src: ip6("::"), Dst: ip6("2001:db8::1")}, nil)
	n.expect()
}

func TestInterfaceDownAndUp(t *testing.T) {
	n, a, _ := pair6(t)
	i := a.Interface("eth0")
	advertise6(n, i, 9, 1800, wire.AppendPrefixInformation(nil, wire.PrefixInformation{
		Prefix: netip.MustParsePrefix("2001:db8:7::/64"), OnLink: true, Autonomous: true, ValidSeconds: 1000, PreferredSeconds: 1000,
	}))
	i.SetUp(n.now, false)
	if len(i.Addresses()) != 2 || len(a.Routes()) != 0 || len(i.groups()) != 0 || a.Deadline() != sim.Never {
		t.Errorf("left: %d addresses, routes %v, groups %v, deadline %s", len(i.Addresses()), a.Routes(), i.groups(), a.Deadline())
	}
	n.quiet()
	i.SetUp(n.now, true)
	n.run(22)
	n.expect("20.000 a ::>ff02::1:ff00:1 NS 2001:db8::1 mac false",
		"20.000 a ::>ff02::1:ff00:1 NS fe80::ff:fe00:1 mac false",
		"21.000 a fe80::ff:fe00:1>ff02::2 RS")
	i.SetCarrier(n.now, false)
	i.SetCarrier(n.now, true)
	n.expect("22.000 a fe80::ff:fe00:1>ff02::2 RS")
}

func TestAddressWaitsForCarrier(t *testing.T) {
	n := newNet6(t)
	i := n.plug(n.stack("a"), &segment6{}, 1)
	i.SetCarrier(0, false)
	i.SetUp(0, true)
	n.run(5)
	n.expect()
	i.SetCarrier(n.now, true)
	n.run(6)
	n.expect("5.000 a ::>ff02::1:ff00:1 NS fe80::ff:fe00:1 mac false", "6.000 a fe80::ff:fe00:1>ff02::2 RS")
}

func TestForwardingRules(t *testing.T) {
	n, _, r, _ := chain6(t, 1500)
	in := r.Interface("eth0")
	in.SetNeighbor(n.now, ip6("fe80::1"), wire.MAC{2, 0, 0, 0, 0, 1}, NeighborPermanent)
	for prefix, kind := range map[string]RouteType{"2001:db8:1::/48": RouteBlackhole, "2001:db8:2::/48": RouteUnreachable, "2001:db8:3::/48": RouteProhibit} {
		if err := r.AddRoute(Route{Prefix: netip.MustParsePrefix(prefix), Type: kind}); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ src, dst, sent, drop string }{
		{"2001:db8:a::1", "2001:db8:1::1", "", "blackhole route"},
		{"2001:db8:a::1", "2001:db8:2::1", "2001:db8:a::ff>2001:db8:a::1 ICMPv6 1/0 0, 48 bytes", "no route"},
		{"2001:db8:a::1", "2001:db8:3::1", "2001:db8:a::ff>2001:db8:a::1 ICMPv6 1/1 0, 48 bytes", "prohibited"},
		{"fe80::1", "2001:db8:b::2", "fe80::ff:fe00:11>fe80::1 ICMPv6 1/2 0, 48 bytes", "invalid source address"},
		{"::", "2001:db8:b::2", "", "for another station"},
		{"ff02::5", "2001:db8:b::2", "", "invalid source address"},
		{"::1", "2001:db8:b::2", "", "invalid source address"},
		{"2001:db8:a::1", "::1", "", "invalid source address"},
		{"2001:db8:a::1", "ff00::1", "", "invalid source address"},
		{"2001:db8:a::1", "ff01::1", "", "invalid source address"},
	}
	for _, test := range tests {
		n.raw(in, wire.IPv6Header{NextHeader: 200, HopLimit: 64, Src: ip6(test.src), Dst: ip6(test.dst)}, nil)
		var want []string
		if test.sent != "" {
			want = []string{"20.000 r " + test.sent}
		}
		n.expect(want...)
		n.expectDrops("20.000 r: " + test.drop)
	}
	r.SetForwardingIPv6(n.now, false)
	n.raw(in, wire.IPv6Header{NextHeader: 200, HopLimit: 64, Src: ip6("2001:db8:a::1"), Dst: ip6("2001:db8:b::2")}, nil)
	n.expectDrops("20.000 r: not for this host, and it does not forward")
}

// FuzzInputIPv6 gives a host and a router any packet: whatever they do with it,
// they survive and keep no frame for ever.
func FuzzInputIPv6(f *testing.F) {
	f.Add(byte(58), byte(255), byte(1), wire.AppendRouterAdvertisement(nil, wire.RouterAdvertisementHeader{Src: ip6("fe80::9"), Dst: allNodesIPv6, LifetimeSeconds: 9}))
	f.Add(byte(44), byte(64), byte(0), fragment6(8, 16, true))
	f.Add(byte(0), byte(1), byte(2), []byte{60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 0xde, 4, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, next, hopLimit, to byte, payload []byte) {
		if len(payload) > 60000 {
			return
		}
		n, _, r, _ := chain6(t, 1400)
		n.mute = true
		for _, i := range []*Interface{r.Interface("eth0"), n.stacks[0].Interface("eth0")} {
			dst := []netip.Addr{i.Addresses()[0].Addr(), allNodesIPv6, ip6("2001:db8:b::2"), i.linkLocal().Addr()}[to%4]
			for _, src := range []netip.Addr{ip6("fe80::9"), ip6("2001:db8:a::1"), netip.IPv6Unspecified()} {
				if len(payload) >= 4 && next == 58 {
					fillChecksumICMPv6(payload, src, dst)
				}
				n.raw(i, wire.IPv6Header{NextHeader: wire.Protocol(next), HopLimit: hopLimit, Src: src, Dst: dst}, payload)
			}
		}
		n.run(200)
		n.expectNoLeak()
	})
}

// fillChecksumICMPv6 makes a message's checksum right.
func fillChecksumICMPv6(b []byte, src, dst netip.Addr) {
	b[2], b[3] = 0, 0
	sum := wire.PseudoHeader(src, dst, wire.ProtocolICMPv6, len(b)).Add(b).Checksum()
	b[2], b[3] = byte(sum>>8), byte(sum)
}

func TestForwardAllocatesNothing(t *testing.T) {
	n, _, r, _ := chain6(t, 1500)
	in := r.Interface("eth0")
	r.Interface("eth1").out = discard{}
	h := wire.IPv6Header{NextHeader: wire.ProtocolUDP, HopLimit: 64, Src: ip6("2001:db8:a::1"), Dst: ip6("2001:db8:b::2")}
	payload := make([]byte, 1000)
	forward := func() { n.raw(in, h, payload) }
	forward()
	if got := testing.AllocsPerRun(200, forward); got != 0 {
		t.Errorf("%v allocations a packet", got)
	}
	n.expectDrops()
}

type discard struct{}

func (discard) Send(now sim.Time, f *wire.Frame) { f.Release() }

func BenchmarkForwardIPv6(b *testing.B) {
	n, _, r, _ := chain6(&testing.T{}, 1500)
	r.Interface("eth1").out = discard{}
	in := r.Interface("eth0")
	h := wire.IPv6Header{NextHeader: wire.ProtocolUDP, HopLimit: 64, Src: ip6("2001:db8:a::1"), Dst: ip6("2001:db8:b::2")}
	payload := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		n.raw(in, h, payload)
	}
}
