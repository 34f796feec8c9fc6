package wire

import (
	"bytes"
	"net/netip"
	"testing"
)

var (
	ndSrc  = netip.MustParseAddr("fe80::1")
	ndDst  = netip.MustParseAddr("fe80::2")
	ndHost = netip.MustParseAddr("2001:db8::9")
	ndAny  = netip.IPv6Unspecified()
	ndMAC  = MAC{2, 0, 0, 0, 0, 1}
)

func TestNDMessages(t *testing.T) {
	group := SolicitedNode(ndHost)
	if group != netip.MustParseAddr("ff02::1:ff00:9") {
		t.Fatalf("solicited-node group is %s", group)
	}
	ns, _ := ParseNeighborSolicitation(AppendNeighborSolicitation(nil, NeighborSolicitationHeader{Src: ndSrc, Dst: group, Target: ndHost, SourceMAC: ndMAC}))
	if mac, ok := ns.Options().LinkLayer(NDSourceLinkLayer); ns.Target() != ndHost || mac != ndMAC || !ok || !ICMPv6(ns).ChecksumOK(ndSrc, group) {
		t.Errorf("solicitation %x", []byte(ns))
	}
	na, _ := ParseNeighborAdvertisement(AppendNeighborAdvertisement(nil, NeighborAdvertisementHeader{
		Src: ndSrc, Dst: ndDst, Target: ndHost, Router: true, Override: true, TargetMAC: ndMAC,
	}))
	if mac, _ := na.Options().LinkLayer(NDTargetLinkLayer); na.Target() != ndHost || !na.Router() || na.Solicited() || !na.Override() || mac != ndMAC {
		t.Errorf("advertisement %x", []byte(na))
	}
	rs, _ := ParseRouterSolicitation(AppendRouterSolicitation(nil, RouterSolicitationHeader{Src: ndSrc, Dst: ndDst}))
	if len(rs) != RouterSolicitationLen || len(rs.Options()) != 0 {
		t.Errorf("router solicitation %x", []byte(rs))
	}
	quoted := bytes.Repeat([]byte{7}, 45)
	re, _ := ParseNDRedirect(AppendNDRedirect(nil, NDRedirectHeader{Src: ndSrc, Dst: ndDst, Target: ndSrc, Destination: ndHost, TargetMAC: ndMAC, Quoted: quoted}))
	if re.Target() != ndSrc || re.Destination() != ndHost || !bytes.HasPrefix(re.Options().Redirected(), quoted) || len(re) != 40+8+56 {
		t.Errorf("redirect %x", []byte(re))
	}
}

func TestRouterAdvertisementOptions(t *testing.T) {
	prefix := PrefixInformation{Prefix: netip.MustParsePrefix("2001:db8::/64"), OnLink: true, Autonomous: true, ValidSeconds: Infinity, PreferredSeconds: 604800}
	options := AppendLinkLayerOption(nil, NDSourceLinkLayer, ndMAC)
	options = AppendMTUOption(options, 1400)
	options = AppendPrefixInformation(options, prefix)
	options = AppendRDNSS(options, 1800, ndSrc, ndHost)
	h := RouterAdvertisementHeader{
		Src: ndSrc, Dst: ndDst, HopLimit: 64, Other: true, LifetimeSeconds: 1800,
		ReachableMilliseconds: 30000, RetransMilliseconds: 1000, Options: options,
	}
	m, err := ParseRouterAdvertisement(AppendRouterAdvertisement(nil, h))
	if err != nil {
		t.Fatal(err)
	}
	if m.HopLimit() != 64 || m.Managed() || !m.Other() || m.LifetimeSeconds() != 1800 || m.ReachableMilliseconds() != 30000 || m.RetransMilliseconds() != 1000 {
		t.Errorf("fixed part %x", []byte(m[:16]))
	}
	if mtu, ok := m.Options().MTU(); mtu != 1400 || !ok {
		t.Errorf("MTU %d", mtu)
	}
	o, _ := m.Options().Find(NDPrefix)
	if got, ok := o.PrefixInformation(); got != prefix || !ok {
		t.Errorf("prefix %+v, want %+v", got, prefix)
	}
	o, _ = m.Options().Find(NDRDNSS)
	if seconds, servers, ok := o.RDNSS(); seconds != 1800 || servers != 2 || !ok || o.Server(1) != ndHost {
		t.Errorf("RDNSS %d %d", seconds, servers)
	}
	if err := CheckND(m, NDContext{ndSrc, ndDst, 255}); err != nil {
		t.Error(err)
	}
}

func TestCheckND(t *testing.T) {
	group := SolicitedNode(ndHost)
	all := netip.MustParseAddr("ff02::1")
	change := func(b []byte, at int, v byte) []byte { b[at] = v; return b }
	rs := AppendRouterSolicitation(nil, RouterSolicitationHeader{SourceMAC: ndMAC, Src: ndSrc, Dst: ndDst})
	ra := func() []byte {
		return AppendRouterAdvertisement(nil, RouterAdvertisementHeader{Src: ndSrc, Dst: all, Options: AppendMTUOption(nil, 1500)})
	}
	ns := func(target netip.Addr, mac MAC) []byte {
		return AppendNeighborSolicitation(nil, NeighborSolicitationHeader{Src: ndSrc, Dst: group, Target: target, SourceMAC: mac})
	}
	na := func(target netip.Addr) []byte {
		return AppendNeighborAdvertisement(nil, NeighborAdvertisementHeader{Src: ndSrc, Dst: all, Target: target, Solicited: true})
	}
	re := func(target, destination netip.Addr) []byte {
		return AppendNDRedirect(nil, NDRedirectHeader{Src: ndSrc, Dst: ndDst, Target: target, Destination: destination})
	}
	tests := []struct {
		name string
		b    []byte
		c    NDContext
		want error
	}{
		{"hop limit", rs, NDContext{ndSrc, ndDst, 254}, errNDHopLimit},
		{"code", change(ra(), 1, 1), NDContext{ndSrc, all, 255}, errNDCode},
		{"short", ra()[:15], NDContext{ndSrc, all, 255}, shortError{"router advertisement", 15, 16}},
		{"no header", ra()[:7], NDContext{ndSrc, all, 255}, shortError{"ICMPv6 header", 7, 8}},
		{"type", change(ra(), 0, 128), NDContext{ndSrc, all, 255}, errNDType},
		{"RS", rs, NDContext{ndSrc, ndDst, 255}, nil},
		{"RS without source with a MAC", rs, NDContext{ndAny, ndDst, 255}, errNDUnspecified},
		{"RA from a global address", ra(), NDContext{ndHost, all, 255}, errNDSource},
		{"RA with an option of length 0", change(ra(), 17, 0), NDContext{ndSrc, all, 255}, errNDOption},
		{"RA with an option too long", change(ra(), 17, 2), NDContext{ndSrc, all, 255}, errNDOption},
		{"NS", ns(ndHost, ndMAC), NDContext{ndSrc, group, 255}, nil},
		{"NS for a group", ns(all, ndMAC), NDContext{ndSrc, group, 255}, errNDTarget},
		{"NS probe", ns(ndHost, MAC{}), NDContext{ndAny, group, 255}, nil},
		{"NS probe with a MAC", ns(ndHost, ndMAC), NDContext{ndAny, group, 255}, errNDUnspecified},
		{"NS probe to all", ns(ndHost, MAC{}), NDContext{ndAny, all, 255}, errNDProbe},
		{"NA", na(ndHost), NDContext{ndSrc, ndDst, 255}, nil},
		{"NA solicited to all", na(ndHost), NDContext{ndSrc, all, 255}, errNDSolicited},
		{"NA for a group", na(all), NDContext{ndSrc, ndDst, 255}, errNDTarget},
		{"redirect to a router", re(ndSrc, ndHost), NDContext{ndSrc, ndDst, 255}, nil},
		{"redirect on the link", re(ndHost, ndHost), NDContext{ndSrc, ndDst, 255}, nil},
		{"redirect to a global router", re(ndHost, netip.MustParseAddr("2001:db8::8")), NDContext{ndSrc, ndDst, 255}, errNDGateway},
		{"redirect of a group", re(ndSrc, all), NDContext{ndSrc, ndDst, 255}, errNDDestination},
		{"redirect from afar", re(ndSrc, ndHost), NDContext{ndHost, ndDst, 255}, errNDSource},
	}
	for _, test := range tests {
		if got := CheckND(test.b, test.c); got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestAppendNDAllocatesNothing(t *testing.T) {
	b := make([]byte, 0, 256)
	h := NeighborSolicitationHeader{Src: ndSrc, Dst: ndDst, Target: ndHost, SourceMAC: ndMAC}
	if n := testing.AllocsPerRun(100, func() { AppendNeighborSolicitation(b, h) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzND(f *testing.F) {
	options := AppendPrefixInformation(AppendMTUOption(nil, 1500), PrefixInformation{Prefix: netip.MustParsePrefix("2001:db8::/64")})
	f.Add(AppendRouterAdvertisement(nil, RouterAdvertisementHeader{Src: ndSrc, Dst: ndDst, Options: AppendRDNSS(options, 1, ndHost)}))
	f.Add(AppendNeighborSolicitation(nil, NeighborSolicitationHeader{Src: ndSrc, Dst: ndDst, Target: ndHost, SourceMAC: ndMAC}))
	f.Add(AppendNDRedirect(nil, NDRedirectHeader{Src: ndSrc, Dst: ndDst, Target: ndSrc, Destination: ndHost, Quoted: []byte{1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		CheckND(b, NDContext{ndSrc, ndDst, 255})
		for o := b; ; {
			option, rest, ok := NextNDOption(o)
			if !ok {
				break
			}
			option.PrefixInformation()
			if _, n, ok := option.RDNSS(); ok {
				option.Server(n - 1)
			}
			o = rest
		}
		NDOptions(b).LinkLayer(NDTargetLinkLayer)
		NDOptions(b).MTU()
		NDOptions(b).Redirected()
	})
}
