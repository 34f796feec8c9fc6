package scenario

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/node"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// loadPlan is generated traffic, judged and with the lab's defaults filled in.
type loadPlan struct {
	target   string // as in the lab
	name     string // of a node, or an address
	port     uint16
	ping     bool
	tcp      bool
	total    int64        // bytes of tcp; 0: as many as duration allows
	interval sim.Duration // mean time between packets of one source
	size     int
	duration sim.Duration // 0: to the lab's end
	poisson  bool
}

// Defaults of a load (see the lab file's documentation).
const (
	loadIntervalDefault = sim.Duration(1e9)
	loadSizeDefault     = 56
)

// load judges an item's load.
func (s *Scenario) load(found *diag.List, it *item) {
	l := it.Run.Load
	p := &loadPlan{target: l.UDP + l.TCP + l.Ping, tcp: l.TCP != "", ping: l.Ping != "", interval: loadIntervalDefault, size: int(l.Size), duration: l.For, poisson: l.Poisson}
	it.load = p
	if l.Rate > 0 {
		p.interval = max(sim.Duration(1e9/float64(l.Rate)), 1)
	}
	if p.tcp {
		p.size, p.total = 0, int64(l.Size)
	} else if p.size == 0 {
		p.size = loadSizeDefault
	}
	if p.duration == 0 {
		p.duration = it.Run.For
	}
	if p.duration == 0 && s.lab.Duration == 0 && p.total == 0 {
		found.Errorf(l.Pos, "a load without an end: give it `for`, or the lab `duration`")
	}
	p.name = p.target
	if !p.ping {
		host, port, err := net.SplitHostPort(p.target)
		if err != nil {
			found.Errorf(l.Pos, "%q is not node:port", p.target)
			return
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			found.Errorf(l.Pos, "%q is not a port: want a number from 1 to 65535", port)
		}
		p.name, p.port = host, uint16(n)
	}
	if _, err := netip.ParseAddr(p.name); err == nil {
		return
	}
	if i := s.plan.Node(p.name); i < 0 {
		found.Errorf(l.Pos, "there is no node %q to send to", p.name).Suggest(p.name, nodeNames(s.plan))
	} else if k := s.plan.Nodes[i].Kind; k == lab.Switch || k == lab.Hub {
		found.Errorf(l.Pos, "%q is a %s and has no address to send to", p.name, k)
	}
}

// loadResult is what came of an item that is a load, of all its sources.
type loadResult struct {
	sources                int
	sent, received, failed uint64
	rtt                    histogram
	problem                string // the first error
	transfers              []*transfer
	payload                []byte // shared: the kernel sends one packet at a time
}

// source sends one node's part of a load and takes the answers. It costs one
// timer of the kernel and one socket, and no goroutine.
type source struct {
	player *player
	item   *item
	result *loadResult
	host   *node.Host
	remote netip.AddrPort
	stream *sim.Stream // of a load whose gaps are random; else nil
	timer  sim.Timer

	udp *stack.UDP // one of the two
	raw *stack.Raw
	id  uint16 // of echo requests

	next, end sim.Time
	seq       uint16
}

// stampLen is what a load puts in front of its payload: the instant at which the
// packet was to be sent.
const stampLen = 8

// pingIDFirst numbers the echo requests of loads apart from those of programs,
// which count from 1.
const pingIDFirst = 0x8000

// startLoad makes a source on each node of an item.
func (p *player) startLoad(it *item, r *loadResult) {
	r.payload = make([]byte, wire.ICMPLen+it.load.size)
	r.sources = len(it.nodes)
	for i, n := range it.nodes {
		s := &source{player: p, item: it, result: r, host: p.network.Nodes[n].Host, id: pingIDFirst + uint16(it.number)}
		s.timer.Init(s)
		s.next, s.end = sim.Time(it.At), sim.Never
		if it.load.duration > 0 {
			s.end = s.next.Add(it.load.duration)
		}
		if it.load.poisson || len(it.nodes) > 1 {
			stream := sim.NewStream(p.network.Plan.Lab.Seed, fmt.Sprintf("load %s %s", it.title(), s.host.Name()))
			if it.load.poisson {
				s.stream = stream
				s.next = s.next.Add(s.gap())
			} else if i > 0 {
				// Sources that all began at once would send in step for ever.
				s.next = s.next.Add(stream.Between(0, it.load.interval-1))
			}
		}
		p.open++
		p.sources = append(p.sources, s)
		p.origin.Set(&s.timer, min(s.next, s.end))
	}
}

// gap is the time to the next packet.
func (s *source) gap() sim.Duration {
	if s.stream == nil {
		return s.item.load.interval
	}
	return sim.Duration(s.stream.Exp() * float64(s.item.load.interval))
}

// Fire sends the packet that is due.
func (s *source) Fire(now sim.Time) {
	if now >= s.end {
		s.player.finished(now)
		return
	}
	if s.udp == nil && s.raw == nil {
		if err := s.open(now); err != nil {
			s.fail(err)
			s.player.finished(now)
			return
		}
	}
	s.result.sent++
	if err := s.send(now); err != nil {
		s.fail(err)
	}
	s.host.Settle(now)
	s.next = s.next.Add(s.gap())
	s.player.origin.Set(&s.timer, min(s.next, s.end))
}

func (s *source) fail(err error) {
	if s.result.failed++; s.result.problem == "" {
		s.result.problem = s.host.Name() + ": " + err.Error()
	}
}

// open opens the socket, at the first packet: an address may come up late.
func (s *source) open(now sim.Time) error {
	a, err := s.player.resolve(s.item.load.name)
	if err != nil {
		return err
	}
	s.remote = netip.AddrPortFrom(a, s.item.load.port)
	st := s.host.Stack()
	if s.item.load.ping {
		protocol := wire.ProtocolICMP
		if a.Is6() {
			protocol = wire.ProtocolICMPv6
		}
		raw := st.NewRaw(a.Is6(), protocol)
		if err := raw.Connect(now, a); err != nil {
			raw.Close()
			return err
		}
		s.raw, raw.OnReady = raw, s.pingReady
		return nil
	}
	udp := st.NewUDP(a.Is6())
	if err := udp.Connect(now, s.remote); err != nil {
		udp.Close()
		return err
	}
	s.udp, udp.OnReady = udp, s.udpReady
	return nil
}

// resolve finds the address that a load sends to.
func (p *player) resolve(name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a, nil
	}
	if found := p.network.Plan.LookupHost(name); len(found) > 0 {
		return found[0], nil
	}
	return netip.Addr{}, fmt.Errorf("%s has no address", name)
}

func (s *source) send(now sim.Time) error {
	payload := s.result.payload[wire.ICMPLen:]
	if len(payload) >= stampLen {
		binary.BigEndian.PutUint64(payload, uint64(s.next))
	}
	if s.udp != nil {
		return s.udp.Send(now, payload, netip.AddrPort{})
	}
	s.seq++
	rest := wire.EchoRest(s.id, s.seq)
	b := s.result.payload[:0]
	if s.remote.Addr().Is6() {
		b = wire.AppendICMPv6(b, wire.ICMPv6Header{Type: wire.ICMPv6Echo, Rest: rest, Src: netip.IPv6Unspecified(), Dst: s.remote.Addr()}, payload)
	} else {
		b = wire.AppendICMP(b, wire.ICMPHeader{Type: wire.ICMPEcho, Rest: rest}, payload)
	}
	return s.raw.Send(now, b, s.remote.Addr(), stack.RawOptions{})
}

// udpReady takes what has come to the socket: answers and errors.
func (s *source) udpReady(now sim.Time) {
	if err := s.udp.Pending(); err != nil {
		s.fail(err)
	}
	for {
		d, ok := s.udp.Receive()
		if !ok {
			return
		}
		s.answered(now, d.Payload)
		d.Release()
	}
}

// pingReady is udpReady for echo replies; a raw socket hears all of its protocol.
func (s *source) pingReady(now sim.Time) {
	if err := s.raw.Pending(); err != nil {
		s.fail(err)
	}
	for {
		d, ok := s.raw.Receive()
		if !ok {
			return
		}
		if s.remote.Addr().Is6() {
			if m, err := wire.ParseICMPv6(d.Payload); err == nil && m.Type() == wire.ICMPv6EchoReply && m.ID() == s.id {
				s.answered(now, m.Payload())
			}
		} else if m, err := wire.ParseICMP(d.Payload); err == nil && m.Type() == wire.ICMPEchoReply && m.ID() == s.id {
			s.answered(now, m.Payload())
		}
		d.Release()
	}
}

// answered counts an answer; its latency counts from when the packet was to be
// sent, so that a sender that was held up hides nothing.
func (s *source) answered(now sim.Time, payload []byte) {
	s.result.received++
	if len(payload) >= stampLen && s.item.load.size >= stampLen {
		s.result.rtt.add(now.Sub(sim.Time(binary.BigEndian.Uint64(payload))))
	}
}

// close gives back what the source holds.
func (s *source) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.raw != nil {
		s.raw.Close()
	}
}

// describe says what the load does.
func (l *loadPlan) describe() string {
	var b strings.Builder
	if l.tcp {
		fmt.Fprintf(&b, "tcp to %s", l.target)
		if l.total > 0 {
			fmt.Fprintf(&b, ", %d bytes", l.total)
		}
		if l.duration > 0 {
			fmt.Fprintf(&b, ", for %s", seconds(l.duration))
		}
		return b.String()
	}
	what := "udp"
	if l.ping {
		what = "ping"
	}
	fmt.Fprintf(&b, "%s to %s, %d bytes, every %s", what, l.target, l.size, seconds(l.interval))
	if l.poisson {
		b.WriteString(" on average (poisson)")
	}
	if l.duration > 0 {
		fmt.Fprintf(&b, ", for %s", seconds(l.duration))
	}
	return b.String()
}
