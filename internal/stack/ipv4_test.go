package stack

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// describe4 says what a frame of IPv4 is, in as few words as tests need.
func describe4(b []byte) string {
	eth := wire.Ethernet(b)
	to := fmt.Sprintf("%02x", eth.Dst()[5])
	if eth.Type() == wire.TypeARP {
		a := wire.ARP(eth.Payload())
		return fmt.Sprintf(">%s ARP %s %s for %s", to, a.Op(), a.SenderIP(), a.TargetIP())
	}
	ip, err := wire.ParseIPv4(eth.Payload())
	if err != nil {
		return err.Error()
	}
	text := fmt.Sprintf(">%s %s>%s ttl %d %d bytes", to, ip.Src(), ip.Dst(), ip.TTL(), len(ip))
	if ip.IsFragment() {
		return fmt.Sprintf("%s at %d more %v", text, ip.FragmentOffset(), ip.MoreFragments())
	}
	if m := wire.ICMP(ip.Payload()); ip.Protocol() == wire.ProtocolICMP {
		return fmt.Sprintf("%s ICMP %d/%d", text, m.Type(), m.Code())
	}
	return text + " " + ip.Protocol().String()
}

// line4 is a (10.0.1.1, MAC 1) - r (10.0.1.254, MAC 2; 10.0.2.254, MAC 3) - b
// (10.0.2.1, MAC 4). The second link takes packets of mtu bytes.
func line4(t *testing.T, mtu int) (n *net6, a, r, b *Stack) {
	n = newNet6(t)
	n.describe = describe4
	var left, right segment6
	machine := func(name string, forward bool) *Stack {
		sysctl := DefaultSysctl()
		sysctl.IPForward = forward
		s := New(Config{Name: name, ID: uint32(len(n.stacks) + 1), Seed: 1, Pool: &n.pool, Tap: n, Sysctl: sysctl, Place: len(n.stacks)})
		n.stacks = append(n.stacks, s)
		return s
	}
	a, r, b = machine("a", false), machine("r", true), machine("b", false)
	up := func(s *Stack, seg *segment6, k byte, prefix string, mtu int) {
		i := n.plug(s, seg, k)
		i.SetMTU(mtu)
		if _, err := i.AddAddress(0, AddressConfig{Prefix: netip.MustParsePrefix(prefix)}); err != nil {
			t.Fatal(err)
		}
		i.SetUp(0, true)
	}
	up(a, &left, 1, "10.0.1.1/24", 1500)
	up(r, &left, 2, "10.0.1.254/24", 1500)
	up(r, &right, 3, "10.0.2.254/24", mtu)
	up(b, &right, 4, "10.0.2.1/24", mtu)
	for s, gateway := range map[*Stack]string{a: "10.0.1.254", b: "10.0.2.254"} {
		if err := s.AddRoute(Route{Prefix: netip.MustParsePrefix("0.0.0.0/0"), Gateway: netip.MustParseAddr(gateway)}); err != nil {
			t.Fatal(err)
		}
	}
	return n, a, r, b
}

// udp4 is a socket of s that has its errors queued.
func udp4(t *testing.T, s *Stack, local string) *UDP {
	t.Helper()
	u := s.NewUDP(false)
	if err := u.Bind(netip.MustParseAddrPort(local)); err != nil {
		t.Fatal(err)
	}
	u.Options.RecvErr = true
	return u
}

func send4(t *testing.T, n *net6, u *UDP, to string, size int) {
	t.Helper()
	if err := u.Send(n.now, bytes.Repeat([]byte("x"), size), netip.MustParseAddrPort(to)); err != nil {
		t.Fatal(err)
	}
}

// RFC 826: the question is broadcast, who is asked learns from it, the answer is
// unicast; on the way back nobody need ask.
func TestARPAcrossARouter(t *testing.T) {
	n, a, r, b := line4(t, 1500)
	u, v := udp4(t, a, "0.0.0.0:1000"), udp4(t, b, "0.0.0.0:7")
	send4(t, n, u, "10.0.2.1:7", 10)
	n.run(0.1)
	n.expect(
		"0.000 a >ff ARP request 10.0.1.1 for 10.0.1.254",
		"0.001 r >01 ARP reply 10.0.1.254 for 10.0.1.1",
		"0.002 a >02 10.0.1.1>10.0.2.1 ttl 64 38 bytes UDP",
		"0.003 r >ff ARP request 10.0.2.254 for 10.0.2.1",
		"0.004 b >03 ARP reply 10.0.2.1 for 10.0.2.254",
		"0.005 r >04 10.0.1.1>10.0.2.1 ttl 63 38 bytes UDP",
	)
	d, ok := v.Receive()
	if !ok || string(d.Payload) != "xxxxxxxxxx" || d.TTL != 63 || d.Src.String() != "10.0.1.1:1000" {
		t.Errorf("%+v", d)
	}
	d.Release()
	send4(t, n, v, "10.0.1.1:1000", 1)
	n.run(0.2)
	n.expect("0.100 b >03 10.0.2.1>10.0.1.1 ttl 64 29 bytes UDP", "0.101 r >01 10.0.2.1>10.0.1.1 ttl 63 29 bytes UDP")
	// What was learned from a request is only believed (STALE, and DELAY once used);
	// what answered is confirmed.
	if got := r.Neighbors(); len(got) != 2 || got[0].State != NeighborDelay || got[1].State != NeighborReachable {
		t.Errorf("%+v, %+v", got[0], got[1])
	}
	if d, ok := u.Receive(); ok {
		d.Release()
	}
	n.expectDrops()
	if n.pool.Lent() != 0 {
		t.Error("frames were never released")
	}
}

// Three requests a second apart, then those that wait are told (Linux's
// mcast_solicit and retrans_time_ms, arp_error_report).
func TestARPFails(t *testing.T) {
	n, a, _, _ := line4(t, 1500)
	u := udp4(t, a, "0.0.0.0:1000")
	send4(t, n, u, "10.0.1.99:7", 10)
	send4(t, n, u, "10.0.1.99:7", 10)
	n.run(10)
	n.expect(
		"0.000 a >ff ARP request 10.0.1.1 for 10.0.1.99",
		"1.000 a >ff ARP request 10.0.1.1 for 10.0.1.99",
		"2.000 a >ff ARP request 10.0.1.1 for 10.0.1.99",
	)
	n.expectDrops("3.000 a: next hop does not answer", "3.000 a: next hop does not answer")
	if m, ok := u.ReadError(); !ok || m.Errno != syscall.EHOSTUNREACH {
		t.Errorf("%+v", m)
	}
	if s := a.Interface("eth0").LookupNeighbor(netip.MustParseAddr("10.0.1.99")).State; s != NeighborFailed {
		t.Error(s)
	}
}

// A router that is asked in vain tells the source so.
func TestRouterTellsThatAHostDoesNotAnswer(t *testing.T) {
	n, a, _, _ := line4(t, 1500)
	u := udp4(t, a, "0.0.0.0:1000")
	send4(t, n, u, "10.0.2.99:7", 10)
	n.run(10)
	if m, ok := u.ReadError(); !ok || m.Errno != syscall.EHOSTUNREACH || m.Offender.String() != "10.0.1.254" || m.Type != 3 || m.Code != 1 {
		t.Errorf("%+v", m)
	}
	n.expectDrops("3.003 r: next hop does not answer")
}

func TestICMPErrorsReachTheSocket(t *testing.T) {
	for _, c := range []struct {
		name, to   string
		ttl        uint8
		errno      syscall.Errno
		offender   string
		kind, code uint8
		drop       string
	}{
		{"TTL", "10.0.2.1:7", 1, syscall.EHOSTUNREACH, "10.0.1.254", 11, 0, "r: TTL exceeded"},
		{"no route", "192.0.2.1:7", 0, syscall.ENETUNREACH, "10.0.1.254", 3, 0, "r: no route"},
		{"no socket", "10.0.2.1:7", 0, syscall.ECONNREFUSED, "10.0.2.1", 3, 3, "b: nobody listens on the port"},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, a, _, _ := line4(t, 1500)
			u := udp4(t, a, "0.0.0.0:1000")
			u.Options.TTL = c.ttl
			send4(t, n, u, c.to, 10)
			n.run(1)
			m, ok := u.ReadError()
			if !ok || m.Errno != c.errno || m.Offender.String() != c.offender || m.Type != c.kind || m.Code != c.code || m.To.String() != c.to {
				t.Errorf("%+v", m)
			}
			if len(n.drops) != 1 || !strings.HasSuffix(n.drops[0], c.drop) {
				t.Error(n.drops)
			}
		})
	}
}

// RFC 791 3.2: a router cuts what may be cut; the receiver puts it together.
func TestRouterFragments(t *testing.T) {
	n, a, _, b := line4(t, 600)
	u, v := udp4(t, a, "0.0.0.0:1000"), udp4(t, b, "0.0.0.0:7")
	u.Options.MTUDiscover = DiscoverDont
	send4(t, n, u, "10.0.2.1:7", 1000)
	n.run(0.1)
	if len(n.log) < 2 {
		t.Fatal(n.log)
	}
	n.log = n.log[len(n.log)-2:]
	n.expect("0.005 r >04 10.0.1.1>10.0.2.1 ttl 63 596 bytes at 0 more true", "0.005 r >04 10.0.1.1>10.0.2.1 ttl 63 452 bytes at 576 more false")
	d, ok := v.Receive()
	if !ok || len(d.Payload) != 1000 {
		t.Errorf("%d bytes", len(d.Payload))
	}
	d.Release()
	n.expectDrops()
}

// RFC 1191: with DF the router refuses and tells its MTU; the next datagram is
// cut by its sender.
func TestPathMTU(t *testing.T) {
	n, a, _, _ := line4(t, 600)
	u := udp4(t, a, "0.0.0.0:1000")
	u.Options.MTUDiscover = DiscoverDo
	send4(t, n, u, "10.0.2.1:7", 1000)
	n.run(0.1)
	if m, ok := u.ReadError(); !ok || m.Errno != syscall.EMSGSIZE || m.Info != 600 {
		t.Errorf("%+v", m)
	}
	if err := u.Send(n.now, make([]byte, 1000), netip.MustParseAddrPort("10.0.2.1:7")); err != syscall.EMSGSIZE {
		t.Errorf("once it is known: %v", err)
	}
	if err := u.Send(n.now, make([]byte, 572), netip.MustParseAddrPort("10.0.2.1:7")); err != nil {
		t.Errorf("what fits: %v", err)
	}
}

// A fragment is missing: after ipfrag_time the rest goes, and the source is told
// since the first one was there (RFC 792, RFC 1122 3.3.2).
func TestReassemblyTimesOut(t *testing.T) {
	n, a, _, b := line4(t, 600)
	u := udp4(t, a, "0.0.0.0:1000")
	udp4(t, b, "0.0.0.0:7")
	u.Options.MTUDiscover = DiscoverDont
	n.drop = func(sent int) bool { return sent == 7 } // the second fragment behind the router
	send4(t, n, u, "10.0.2.1:7", 1000)
	n.run(40)
	n.expectDrops("30.006 b: fragments did not arrive in time")
	if m, ok := u.ReadError(); !ok || m.Type != 11 || m.Code != 1 {
		t.Errorf("%+v", m)
	}
	if n.pool.Lent() != 0 {
		t.Errorf("%d frames were never released", n.pool.Lent())
	}
}

// icmp_ratelimit: six at once, then one a second.
func TestICMPErrorsAreLimited(t *testing.T) {
	n, a, _, _ := line4(t, 1500)
	u := udp4(t, a, "0.0.0.0:1000")
	u.Options.TTL = 1
	send4(t, n, u, "10.0.2.1:7", 1)
	n.run(10)
	n.quiet()
	_ = u.Pending() // the next send would return it, as in Linux
	for range 10 {
		send4(t, n, u, "10.0.2.1:7", 1)
	}
	n.run(10.1)
	told := 0
	for {
		if _, ok := u.ReadError(); !ok {
			break
		}
		told++
	}
	if told != 1+6 {
		t.Errorf("%d errors, want one and then a burst of 6", told)
	}
}

// RFC 5227 2.1: an address that another machine has is not used.
func TestDuplicateAddressIsFound(t *testing.T) {
	n, a, _, _ := line4(t, 1500)
	mine, err := a.Interface("eth0").AddAddress(n.now, AddressConfig{Prefix: netip.MustParsePrefix("10.0.1.254/24"), Detect: true})
	if err != nil {
		t.Fatal(err)
	}
	free, err := a.Interface("eth0").AddAddress(n.now, AddressConfig{Prefix: netip.MustParsePrefix("10.0.1.7/24"), Detect: true})
	if err != nil {
		t.Fatal(err)
	}
	if mine.State != AddressTentative {
		t.Error(mine.State)
	}
	n.run(20)
	if mine.State != AddressDuplicate || free.State != AddressReady {
		t.Errorf("10.0.1.254 is %v, want duplicate; 10.0.1.7 is %v, want ready", mine.State, free.State)
	}
}

// sink is a link that goes nowhere.
type sink struct{}

func (sink) Send(_ sim.Time, f *wire.Frame) { f.Release() }

func forwarder(t testing.TB) (*Stack, *Interface, func() *wire.Frame) {
	var pool wire.Pool
	sysctl := DefaultSysctl()
	sysctl.IPForward = true
	s := New(Config{Name: "r", Pool: &pool, Sysctl: sysctl})
	var ports []*Interface
	for k, prefix := range []string{"10.0.1.254/24", "10.0.2.254/24"} {
		i := s.AddInterface(InterfaceConfig{Name: fmt.Sprintf("eth%d", k), MAC: wire.MAC{2, 0, 0, 0, 0, byte(k)}, Out: sink{}})
		if _, err := i.AddAddress(0, AddressConfig{Prefix: netip.MustParsePrefix(prefix)}); err != nil {
			t.Fatal(err)
		}
		i.SetUp(0, true)
		ports = append(ports, i)
	}
	ports[1].SetNeighbor(0, netip.MustParseAddr("10.0.2.1"), wire.MAC{2, 9}, NeighborPermanent)
	src, dst := netip.MustParseAddr("10.0.1.1"), netip.MustParseAddr("10.0.2.1")
	return s, ports[0], func() *wire.Frame {
		f := pool.Get(100)
		b := wire.AppendEthernet(f.Buffer(), wire.EthernetHeader{Dst: ports[0].MAC(), Src: wire.MAC{2, 8}, Type: wire.TypeIPv4})
		b = wire.AppendIPv4(b, wire.IPv4Header{TTL: 64, Protocol: wire.ProtocolUDP, Src: src, Dst: dst}, 30)
		f.SetBytes(b[:len(b)+30])
		f.ChecksumsGood = true
		return f
	}
}

func TestForwardingDoesNotAllocate(t *testing.T) {
	s, in, frame := forwarder(t)
	if allocs := testing.AllocsPerRun(100, func() { s.Input(0, in, frame()) }); allocs != 0 {
		t.Errorf("%v allocations for a packet", allocs)
	}
}

func BenchmarkForward(b *testing.B) {
	s, in, frame := forwarder(b)
	b.ReportAllocs()
	for b.Loop() {
		s.Input(0, in, frame())
	}
}
