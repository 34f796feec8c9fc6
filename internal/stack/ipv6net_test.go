package stack

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// net6 is a few stacks on shared segments, for whole exchanges at exact times. A
// frame takes 1 ms to every other port of its segment.
type net6 struct {
	t      *testing.T
	now    sim.Time
	pool   wire.Pool
	stacks []*Stack
	flying []flight
	log    []string       // what was sent, as describe6 says it
	drops  []string       // what was dropped
	drop   func(int) bool // whether the n-th frame is lost; nil: none
	sent   int
	mute   bool

	describe func(frame []byte) string // nil: describe6
}

type flight struct {
	at    sim.Time
	to    *Interface
	frame *wire.Frame
}

// port6 is a port of a segment.
type port6 struct {
	net     *net6
	segment *segment6
	iface   *Interface
}

type segment6 struct{ ports []*port6 }

const flightTime = sim.Time(time.Millisecond)

func newNet6(t *testing.T) *net6 { return &net6{t: t} }

// stack adds a machine whose addresses need no random wait before their check.
func (n *net6) stack(name string) *Stack {
	sysctl := DefaultSysctl()
	sysctl.IPv6.RouterSolicitationDelay = 0
	s := New(Config{Name: name, ID: uint32(len(n.stacks) + 1), Seed: 1, Pool: &n.pool, Tap: n, Sysctl: sysctl, Place: len(n.stacks)})
	s.SetIPv6(n.now, true)
	n.stacks = append(n.stacks, s)
	return s
}

// plug gives a machine an interface at a segment; its MAC ends in k. It stays down.
func (n *net6) plug(s *Stack, seg *segment6, k byte) *Interface {
	p := &port6{net: n, segment: seg}
	name := fmt.Sprintf("eth%d", len(s.Interfaces())-1)
	p.iface = s.AddInterface(InterfaceConfig{Name: name, MAC: wire.MAC{2, 0, 0, 0, 0, k}, Out: p, Place: int(s.place)})
	seg.ports = append(seg.ports, p)
	return p.iface
}

func (p *port6) Send(now sim.Time, f *wire.Frame) {
	n := p.net
	n.sent++
	if !n.mute { // what a fuzzer sends has no description
		describe := n.describe
		if describe == nil {
			describe = describe6
		}
		n.log = append(n.log, fmt.Sprintf("%.3f %s %s", float64(now)/1e9, p.iface.stack.name, describe(f.Bytes())))
	}
	if n.drop == nil || !n.drop(n.sent) {
		for _, to := range p.segment.ports {
			if to != p {
				n.flying = append(n.flying, flight{now + flightTime, to.iface, f.Clone()})
			}
		}
	}
	f.Release()
}

func (n *net6) Sent(sim.Time, int, *wire.Frame)     {}
func (n *net6) Received(sim.Time, int, *wire.Frame) {}
func (n *net6) Dropped(now sim.Time, place int, f *wire.Frame, why wire.Drop) {
	n.drops = append(n.drops, fmt.Sprintf("%.3f %s: %s", float64(now)/1e9, n.stacks[place].name, why))
}

// run lets time pass until an instant given as seconds.
func (n *net6) run(seconds float64) {
	until := sim.Time(seconds * 1e9)
	for {
		next := sim.Never
		for _, s := range n.stacks {
			next = min(next, s.Deadline())
		}
		if len(n.flying) > 0 {
			next = min(next, n.flying[0].at)
		}
		if next > until {
			break
		}
		n.now = next
		for len(n.flying) > 0 && n.flying[0].at == next {
			f := n.flying[0]
			n.flying = n.flying[1:]
			f.to.stack.Input(next, f.to, f.frame)
		}
		for _, s := range n.stacks {
			s.Advance(next)
		}
	}
	n.now = until
}

// expect compares what was sent since the last call.
func (n *net6) expect(want ...string) {
	n.t.Helper()
	compareLines(n.t, "sent", n.log, want)
	n.log = nil
}

// expectDrops compares what was dropped since the last call.
func (n *net6) expectDrops(want ...string) {
	n.t.Helper()
	compareLines(n.t, "dropped", n.drops, want)
	n.drops = nil
}

func compareLines(t *testing.T, what string, got, want []string) {
	t.Helper()
	if g, w := strings.Join(got, "\n"), strings.Join(want, "\n"); g != w {
		t.Errorf("%s\n%s\nwant\n%s", what, g, w)
	}
}

// quiet forgets what was sent and dropped so far.
func (n *net6) quiet() { n.log, n.drops = nil, nil }

// expectNoLeak reports frames that nobody released.
func (n *net6) expectNoLeak() {
	n.t.Helper()
	if lent := n.pool.Lent() - len(n.flying); lent != 0 {
		n.t.Errorf("%d frames not released", lent)
	}
}

// send sends a UDP datagram past the sockets, from port 1000 to 2000.
func (n *net6) send(s *Stack, o outgoing, size int) error {
	o.protocol = wire.ProtocolUDP
	if err := s.route(n.now, &o); err != nil {
		return err
	}
	f := s.newFrame(size + 100)
	h := wire.UDPHeader{Src: netip.AddrPortFrom(o.src, 1000), Dst: netip.AddrPortFrom(o.dst, 2000)}
	f.SetBytes(wire.AppendUDP(f.Buffer(), h, make([]byte, size)))
	return s.send(n.now, f, &o)
}

// ping sends an echo request.
func (n *net6) ping(s *Stack, o outgoing) error {
	o.protocol = wire.ProtocolICMPv6
	if err := s.route(n.now, &o); err != nil {
		return err
	}
	f := s.newFrame(100)
	h := wire.ICMPv6Header{Type: wire.ICMPv6Echo, Rest: wire.EchoRest(1, 1), Src: o.src, Dst: o.dst}
	f.SetBytes(wire.AppendICMPv6(f.Buffer(), h, []byte("hello")))
	return s.send(n.now, f, &o)
}

// raw hands a machine an IPv6 packet as it would come from the wire.
func (n *net6) raw(i *Interface, h wire.IPv6Header, payload []byte) {
	dst := i.mac
	if h.Dst.IsMulticast() {
		dst = wire.MulticastMAC(h.Dst)
	}
	f := n.pool.Get(wire.EthernetLen + wire.IPv6Len + len(payload))
	b := wire.AppendEthernet(f.Buffer(), wire.EthernetHeader{Dst: dst, Src: wire.MAC{2, 0, 0, 0, 0, 0xee}, Type: wire.TypeIPv6})
	f.SetBytes(append(wire.AppendIPv6(b, h, len(payload)), payload...))
	i.stack.Input(n.now, i, f)
}

func ip6(text string) netip.Addr { return netip.MustParseAddr(text) }

// give gives an interface an address without waiting for its check to end.
func (n *net6) give(i *Interface, text string) {
	n.t.Helper()
	if _, err := i.AddAddress(n.now, AddressConfig{Prefix: netip.MustParsePrefix(text)}); err != nil {
		n.t.Fatal(err)
	}
}

// describe6 says what an IPv6 frame is in a few words.
func describe6(frame []byte) string {
	v, err := wire.ParseIPv6(frame[wire.EthernetLen:])
	if err != nil {
		return err.Error()
	}
	x, problem := v.Extensions()
	if problem.Bad() {
		return problem.Error()
	}
	text := fmt.Sprintf("%s>%s ", v.Src(), v.Dst())
	upper := []byte(v[x.Offset:])
	switch x.Upper {
	case wire.ProtocolFragment:
		h, _ := wire.ParseIPv6Fragment(upper)
		return text + fmt.Sprintf("fragment %d+%d more %t", h.Offset(), len(h.Payload()), h.More())
	case wire.ProtocolUDP:
		return text + fmt.Sprintf("UDP %d bytes, hop limit %d", len(upper), v.HopLimit())
	case wire.ProtocolICMPv6:
		if !wire.ICMPv6(upper).ChecksumOK(v.Src(), v.Dst()) {
			return text + "bad checksum"
		}
		return text + describeICMPv6(upper)
	}
	return text + x.Upper.String()
}

func describeICMPv6(m wire.ICMPv6) string {
	switch m.Type() {
	case wire.ICMPv6NeighborSolicitation:
		_, has := wire.NeighborSolicitation(m).Options().LinkLayer(wire.NDSourceLinkLayer)
		return fmt.Sprintf("NS %s mac %t", wire.NeighborSolicitation(m).Target(), has)
	case wire.ICMPv6NeighborAdvertisement:
		a := wire.NeighborAdvertisement(m)
		_, has := a.Options().LinkLayer(wire.NDTargetLinkLayer)
		return fmt.Sprintf("NA %s R%t S%t O%t mac %t", a.Target(), a.Router(), a.Solicited(), a.Override(), has)
	case wire.ICMPv6RouterSolicitation:
		return "RS"
	case wire.ICMPv6RouterAdvertisement:
		a := wire.RouterAdvertisement(m)
		var text strings.Builder
		text.WriteString(fmt.Sprintf("RA %ds", a.LifetimeSeconds()))
		for b := []byte(a.Options()); len(b) > 0; {
			o, rest, _ := wire.NextNDOption(b)
			if p, ok := o.PrefixInformation(); ok {
				text.WriteString(fmt.Sprintf(" %s %d/%d", p.Prefix, p.ValidSeconds, p.PreferredSeconds))
			}
			b = rest
		}
		return text.String()
	case wire.ICMPv6Redirect:
		return fmt.Sprintf("redirect %s to %s", wire.NDRedirect(m).Destination(), wire.NDRedirect(m).Target())
	case wire.ICMPv6Echo:
		return "echo"
	case wire.ICMPv6EchoReply:
		return "echo reply"
	}
	return fmt.Sprintf("ICMPv6 %d/%d %d, %d bytes", m.Type(), m.Code(), m.Rest(), len(m))
}
