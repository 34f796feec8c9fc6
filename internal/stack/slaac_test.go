package stack

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/wire"
)

// routed6 is a router with 2001:db8::ff/64 that advertises itself, and a host.
func routed6(t *testing.T, config RouterAdvertising) (n *net6, r, h *Interface) {
	n = newNet6(t)
	seg := &segment6{}
	router, host := n.stack("r"), n.stack("h")
	router.SetForwardingIPv6(0, true)
	r, h = n.plug(router, seg, 0xff), n.plug(host, seg, 1)
	n.give(r, "2001:db8::ff/64")
	r.SetUp(0, true)
	r.Advertise(0, &config)
	n.run(10)
	n.quiet()
	return n, r, h
}

func TestAutoconfiguration(t *testing.T) {
	n, r, h := routed6(t, RouterAdvertising{})
	h.SetUp(n.now, true)
	n.run(12.6)
	var answer string
	for _, line := range n.log {
		if strings.Contains(line, "RA") {
			answer = line
		}
	}
	// RFC 4861 6.2.6: within half a second of the solicitation, which comes at 11.
	if answer < "11.001 " || answer > "11.502 " || !strings.HasSuffix(answer, " r fe80::ff:fe00:ff>ff02::1 RA 1800s 2001:db8::/64 2592000/604800") {
		t.Errorf("answer: %q", answer)
	}
	addrs := h.Addresses()
	if len(addrs) != 2 || addrs[1].Prefix != netip.MustParsePrefix("2001:db8::ff:fe00:1/64") || addrs[1].State != AddressReady || !addrs[1].Dynamic {
		t.Errorf("addresses %+v", addrs)
	}
	var routes []string
	for _, route := range h.stack.Routes() {
		routes = append(routes, strings.TrimSpace(route.Prefix.String()+" "+route.Protocol.String()+" "+route.Gateway.String()))
	}
	compareLines(t, "routes", routes, []string{"2001:db8::/64 ra invalid IP", "fe80::/64 kernel invalid IP", "::/0 ra fe80::ff:fe00:ff"})
	if e := h.LookupNeighbor(ip6("fe80::ff:fe00:ff")); e == nil || !e.Router || e.MAC != r.mac {
		t.Errorf("neighbour %+v", e)
	}
	n.quiet()
	if err := n.ping(h.stack, outgoing{dst: ip6("2001:db8::ff")}); err != nil {
		t.Fatal(err)
	}
	n.run(13)
	if got := len(n.log); got != 4 {
		t.Errorf("ping sent %q", n.log)
	}
	n.expectNoLeak()
}

func TestDefaultRouterExpires(t *testing.T) {
	n, r, h := routed6(t, RouterAdvertising{Lifetime: 100 * time.Second, ValidLifetime: 60 * time.Second, PreferredLifetime: 30 * time.Second})
	h.SetUp(n.now, true)
	n.run(12.6)
	learned := float64(h.v6.routers[0].until)/1e9 - 100
	r.SetCarrier(n.now, false)
	r.out = discard{} // the router falls silent
	state := func() (addresses int, s AddressState, router bool) {
		for _, a := range h.Addresses() {
			if a.Dynamic {
				addresses, s = addresses+1, a.State
			}
		}
		return addresses, s, h.stack.routes[1].lookup(ip6("2001:db8:9::1"), nil) != nil
	}
	for _, step := range []struct {
		after     float64
		addresses int
		state     AddressState
		router    bool
	}{
		{29.999, 1, AddressReady, true},
		{30, 1, AddressDeprecated, true},
		{59.999, 1, AddressDeprecated, true},
		{60, 0, AddressReady, true},
		{99.999, 0, AddressReady, true},
		{100, 0, AddressReady, false},
	} {
		n.run(learned + step.after)
		if addresses, s, router := state(); addresses != step.addresses || s != step.state || router != step.router {
			t.Errorf("after %v s: %d addresses %q, router %t", step.after, addresses, s, router)
		}
	}
	if len(h.v6.prefixes) != 0 || len(h.stack.Routes()) != 1 {
		t.Errorf("left: %v", h.stack.Routes())
	}
}

// advertise6 hands h a router advertisement from fe80::k.
func advertise6(n *net6, h *Interface, k byte, lifetime uint16, options []byte) {
	src := netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: k})
	options = wire.AppendLinkLayerOption(options, wire.NDSourceLinkLayer, wire.MAC{2, 0, 0, 0, 0, k})
	m := wire.AppendRouterAdvertisement(nil, wire.RouterAdvertisementHeader{
		Src: src, Dst: allNodesIPv6, LifetimeSeconds: lifetime, HopLimit: 32, RetransMilliseconds: 500, ReachableMilliseconds: 20000, Options: options,
	})
	n.raw(h, wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: 255, Src: src, Dst: allNodesIPv6}, m)
}

func host6(t *testing.T) (n *net6, h *Interface) {
	n = newNet6(t)
	h = n.plug(n.stack("h"), &segment6{}, 1)
	h.SetUp(0, true)
	n.run(20)
	n.quiet()
	return n, h
}

func TestAdvertisedParameters(t *testing.T) {
	n, h := host6(t)
	advertise6(n, h, 9, 1800, wire.AppendMTUOption(nil, 1400))
	if h.mtuIPv6() != 1400 || h.hopLimitIPv6() != 32 || h.retransIPv6() != 500*time.Millisecond {
		t.Errorf("MTU %d, hop limit %d, retransmission after %s", h.mtuIPv6(), h.hopLimitIPv6(), h.retransIPv6())
	}
	if r := h.v6.reachable; r < 10*time.Second || r > 30*time.Second {
		t.Errorf("reachable for %s", r)
	}
	advertise6(n, h, 9, 1800, wire.AppendMTUOption(nil, 1279))
	advertise6(n, h, 9, 1800, wire.AppendMTUOption(nil, 9000))
	if h.mtuIPv6() != 1400 {
		t.Errorf("MTU %d", h.mtuIPv6())
	}
}

func TestSecondRouterTakesOver(t *testing.T) {
	n, h := host6(t)
	advertise6(n, h, 8, 1800, nil)
	advertise6(n, h, 9, 1800, nil)
	n.give(h, "2001:db8::1/64")
	n.run(22)
	hop := func() netip.Addr {
		o := outgoing{dst: ip6("2001:db8:9::1")}
		if err := h.stack.route(n.now, &o); err != nil {
			t.Fatal(err)
		}
		return o.nextHop
	}
	if got := hop(); got != ip6("fe80::8") {
		t.Errorf("first by %s", got)
	}
	h.stack.updateNeighbor(n.now, h.LookupNeighbor(ip6("fe80::8")), NeighborUpdate{State: NeighborFailed})
	if got := hop(); got != ip6("fe80::9") {
		t.Errorf("then by %s", got)
	}
	advertise6(n, h, 9, 0, nil) // it is a default router no more
	if got := hop(); got != ip6("fe80::8") {
		t.Errorf("at last by %s", got)
	}
}

func TestPrefixLifetimes(t *testing.T) {
	option := func(prefix string, valid, preferred uint32) []byte {
		return wire.AppendPrefixInformation(nil, wire.PrefixInformation{Prefix: netip.MustParsePrefix(prefix), OnLink: true, Autonomous: true, ValidSeconds: valid, PreferredSeconds: preferred})
	}
	n, h := host6(t)
	for _, ignored := range []string{"fe80::/64", "ff00::/64"} {
		advertise6(n, h, 9, 0, option(ignored, 100, 100))
	}
	advertise6(n, h, 9, 0, option("2001:db8:1::/64", 100, 200)) // preferred for longer than valid
	advertise6(n, h, 9, 0, option("2001:db8:2::/48", 100, 100)) // no room for the identifier
	if got := len(h.Addresses()); got != 1 {
		t.Errorf("%d addresses", got)
	}
	advertise6(n, h, 9, 0, option("2001:db8::/64", 20000, 10000))
	a := h.Addresses()[1]
	left := func() time.Duration { return a.v6.validUntil.Sub(n.now) }
	for _, step := range []struct {
		valid uint32
		want  time.Duration
	}{
		{30000, 30000 * time.Second}, {8000, 8000 * time.Second}, // longer than two hours: as told
		{100, 2 * time.Hour}, // RFC 4862 5.5.3 e: but not shorter
		{100, 2 * time.Hour}, {7300, 7300 * time.Second}, {wire.Infinity, 0},
	} {
		advertise6(n, h, 9, 0, option("2001:db8::/64", step.valid, 10))
		if step.want == 0 {
			if got := a.v6.validUntil.String(); got != "never" {
				t.Errorf("valid until %s", got)
			}
		} else if got := left(); got != step.want {
			t.Errorf("told %d s: valid for %s, want %s", step.valid, got, step.want)
		}
	}
	n.run(31)
	if a.State != AddressDeprecated {
		t.Errorf("after its preferred lifetime: %q", a.State)
	}
	advertise6(n, h, 9, 0, option("2001:db8::/64", 0, 0)) // the prefix is not on the link any more
	if len(h.v6.prefixes) != 1 || h.stack.routes[1].lookup(ip6("2001:db8::5"), nil) != nil {
		t.Errorf("prefixes %v", h.v6.prefixes)
	}
}

func TestRouterIgnoresAdvertisements(t *testing.T) {
	n, h := host6(t)
	h.stack.SetForwardingIPv6(n.now, true)
	advertise6(n, h, 9, 1800, nil)
	if len(h.v6.routers) != 0 {
		t.Error("a router listened")
	}
	h.stack.ownSettings().IPv6.AcceptRA = 2
	advertise6(n, h, 9, 1800, nil)
	if len(h.v6.routers) != 1 {
		t.Error("a router with accept_ra=2 did not listen")
	}
}

func TestRouterAdvertisements(t *testing.T) {
	n := newNet6(t)
	router := n.stack("r")
	router.SetForwardingIPv6(0, true)
	i := n.plug(router, &segment6{}, 0xff)
	i.Advertise(0, &RouterAdvertising{MaxInterval: 30 * time.Second, MinInterval: 30 * time.Second})
	i.SetUp(0, true)
	n.run(60)
	// RFC 4861 6.2.4: the first three at most 16 s apart.
	n.expect("0.000 r ::>ff02::1:ff00:ff NS fe80::ff:fe00:ff mac false",
		"1.000 r fe80::ff:fe00:ff>ff02::1 RA 90s",
		"17.000 r fe80::ff:fe00:ff>ff02::1 RA 90s",
		"33.000 r fe80::ff:fe00:ff>ff02::1 RA 90s")
	n.run(64)
	i.Advertise(n.now, nil)
	n.run(200)
	n.expect("63.000 r fe80::ff:fe00:ff>ff02::1 RA 90s", "64.000 r fe80::ff:fe00:ff>ff02::1 RA 0s")
}

func TestRedirect(t *testing.T) {
	// Two routers and a host on one link; the host's default is r, the way to
	// 2001:db8:9::/48 is by q.
	n := newNet6(t)
	seg := &segment6{}
	h, r, q := n.stack("h"), n.stack("r"), n.stack("q")
	r.SetForwardingIPv6(0, true)
	q.SetForwardingIPv6(0, true)
	hi, ri, qi := n.plug(h, seg, 1), n.plug(r, seg, 8), n.plug(q, seg, 9)
	n.give(hi, "2001:db8::1/64")
	for _, i := range []*Interface{hi, ri, qi} {
		i.SetUp(0, true)
	}
	if err := ri.stack.AddRoute(Route{Prefix: netip.MustParsePrefix("2001:db8:9::/48"), Gateway: ip6("fe80::ff:fe00:9"), Interface: ri}); err != nil {
		t.Fatal(err)
	}
	if err := r.AddRoute(Route{Prefix: netip.MustParsePrefix("2001:db8::/64"), Interface: ri}); err != nil {
		t.Fatal(err)
	}
	if err := h.AddRoute(Route{Prefix: defaultRouteIPv6, Gateway: ip6("fe80::ff:fe00:8"), Interface: hi, Metric: 1024}); err != nil {
		t.Fatal(err)
	}
	n.run(20)
	n.quiet()
	dst := ip6("2001:db8:9::5")
	if err := n.send(h, outgoing{dst: dst}, 4); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	found := false
	for _, line := range n.log {
		found = found || strings.HasSuffix(line, "r fe80::ff:fe00:8>2001:db8::1 redirect 2001:db8:9::5 to fe80::ff:fe00:9")
	}
	o := outgoing{dst: dst}
	if err := h.route(n.now, &o); err != nil || !found || o.nextHop != ip6("fe80::ff:fe00:9") {
		t.Errorf("redirect sent %t, next hop %s %v, sent:\n%s", found, o.nextHop, err, strings.Join(n.log, "\n"))
	}
}
