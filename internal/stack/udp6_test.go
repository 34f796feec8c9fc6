package stack

import (
	"net/netip"
	"syscall"
	"testing"
)

func bound6(t *testing.T, s *Stack, v6 bool, local string) *UDP {
	t.Helper()
	u := s.NewUDP(v6)
	if err := u.Bind(netip.MustParseAddrPort(local)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(u.Close)
	return u
}

func TestUDPOverIPv6(t *testing.T) {
	n, a, b := pair6(t)
	client, server := bound6(t, a, true, "[::]:4000"), bound6(t, b, true, "[::]:53")
	for _, to := range []string{"[2001:db8::2]:53", "[fe80::ff:fe00:2%eth0]:53"} {
		if err := client.Send(n.now, []byte("hi"), netip.MustParseAddrPort(to)); err != nil {
			t.Fatal(err)
		}
	}
	n.run(21)
	for _, want := range []string{"[2001:db8::1]:4000", "[fe80::ff:fe00:1%eth0]:4000"} {
		d, ok := server.Receive()
		if !ok || string(d.Payload) != "hi" || d.Src.String() != want || d.TTL != 64 {
			t.Errorf("received %q from %s, hop limit %d, want it from %s", d.Payload, d.Src, d.TTL, want)
			continue
		}
		if err := server.Send(n.now, []byte("ho"), d.Src); err != nil {
			t.Error(err)
		}
		d.Release()
	}
	n.run(22)
	for range 2 {
		d, ok := client.Receive()
		if !ok || string(d.Payload) != "ho" {
			t.Errorf("answer %q", d.Payload)
		}
		d.Release()
	}
	n.expectNoLeak()
}

func TestPortUnreachableIPv6(t *testing.T) {
	n, a, _ := pair6(t)
	u := a.NewUDP(true)
	defer u.Close()
	to := netip.MustParseAddrPort("[2001:db8::2]:99")
	if err := u.Connect(n.now, to); err != nil {
		t.Fatal(err)
	}
	if err := u.Send(n.now, []byte("hi"), netip.AddrPort{}); err != nil {
		t.Fatal(err)
	}
	n.run(20.003)
	if err := u.Pending(); err != nil {
		t.Errorf("too early: %v", err)
	}
	n.run(20.004)
	if err := u.Pending(); err != syscall.ECONNREFUSED {
		t.Errorf("%v, want ECONNREFUSED", err)
	}
	n.expectDrops("20.003 b: nobody listens on the port")
}

func TestUnreachableNeighborErrors(t *testing.T) {
	n, a, _ := pair6(t)
	u := a.NewUDP(true)
	defer u.Close()
	u.Options.RecvErr = true
	to := netip.MustParseAddrPort("[2001:db8::99]:99")
	if err := u.Send(n.now, []byte("hi"), to); err != nil {
		t.Fatal(err)
	}
	n.run(23.001)
	m, ok := u.ReadError()
	if !ok || m.Errno != syscall.EHOSTUNREACH || m.Type != 1 || m.Code != 3 || m.Offender != ip6("2001:db8::1") || m.To != to || string(m.Payload) != "hi" {
		t.Errorf("error queue: %+v", m)
	}
}

func TestPacketTooBigReachesTheSocket(t *testing.T) {
	n, a, _, _ := chain6(t, 1300)
	u := a.NewUDP(true)
	defer u.Close()
	u.Options.RecvErr, u.Options.MTUDiscover = true, DiscoverDo
	to := netip.MustParseAddrPort("[2001:db8:b::2]:99")
	if err := u.Send(n.now, make([]byte, 1400), to); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	if m, ok := u.ReadError(); !ok || m.Errno != syscall.EMSGSIZE || m.Info != 1300 || m.Offender != ip6("2001:db8:a::ff") {
		t.Errorf("error queue: %+v", m)
	}
	if err := u.Pending(); err != syscall.EMSGSIZE {
		t.Errorf("pending %v, want EMSGSIZE", err)
	}
	if err := u.Send(n.now, make([]byte, 1400), to); err != syscall.EMSGSIZE {
		t.Errorf("second datagram: %v, want EMSGSIZE", err)
	}
}

func TestDualStackSocket(t *testing.T) {
	n, a, b := pair6(t)
	n.give(a.Interface("eth0"), "10.0.0.1/24")
	n.give(b.Interface("eth0"), "10.0.0.2/24")
	both, four := bound6(t, b, true, "[::]:7"), bound6(t, a, false, "0.0.0.0:4000")
	if err := four.Send(n.now, []byte("hi"), netip.MustParseAddrPort("10.0.0.2:7")); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	d, ok := both.Receive()
	if !ok || d.Src != netip.MustParseAddrPort("[::ffff:10.0.0.1]:4000") {
		t.Fatalf("received from %s", d.Src)
	}
	if err := both.Send(n.now, []byte("ho"), d.Src); err != nil {
		t.Fatal(err)
	}
	d.Release()
	n.run(22)
	d, ok = four.Receive()
	if !ok || d.Src != netip.MustParseAddrPort("10.0.0.2:7") {
		t.Errorf("answer from %s", d.Src)
	}
	d.Release()

	only := b.NewUDP(true)
	defer only.Close()
	only.Options.V6Only = true
	if err := only.Bind(netip.MustParseAddrPort("[::]:8")); err != nil {
		t.Fatal(err)
	}
	bound6(t, b, false, "0.0.0.0:8") // the port is free for IPv4
	if err := only.Send(n.now, nil, netip.MustParseAddrPort("[::ffff:10.0.0.1]:4000")); err != syscall.ENETUNREACH {
		t.Errorf("IPv4 from a socket of IPv6 alone: %v, want ENETUNREACH", err)
	}
	n.expectNoLeak()
}

func TestMulticastIPv6(t *testing.T) {
	n, a, b := pair6(t)
	group := netip.MustParseAddrPort("[ff02::114%eth0]:5000")
	sender, listener := bound6(t, a, true, "[::]:4000"), bound6(t, b, true, "[::]:5000")
	if err := sender.Send(n.now, []byte("hi"), group); err != nil {
		t.Fatal(err)
	}
	n.run(21)
	if _, ok := listener.Receive(); ok {
		t.Error("received without having joined")
	}
	if err := listener.JoinGroup(b.Interface("eth0"), ip6("ff02::114")); err != nil {
		t.Fatal(err)
	}
	if err := sender.Send(n.now, []byte("hi"), group); err != nil {
		t.Fatal(err)
	}
	n.run(22)
	d, ok := listener.Receive()
	if !ok || d.Src.String() != "[fe80::ff:fe00:1%eth0]:4000" || d.TTL != 1 {
		t.Errorf("received from %s with hop limit %d", d.Src, d.TTL)
	}
	d.Release()
	n.expectNoLeak()
}
