package gvisor

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand"
	"net/netip"
	"os"
	"runtime"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/tcp"
	"github.com/hopyard/hopyard/internal/wire"
	"gvisor.dev/gvisor/pkg/buffer"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/link/ethernet"
	"gvisor.dev/gvisor/pkg/tcpip/network/arp"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv6"
	netstack "gvisor.dev/gvisor/pkg/tcpip/stack"
	gtcp "gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

// With a single processor the scheduler's queues say exactly whether anybody
// else has something to do (see settle).
func TestMain(m *testing.M) {
	runtime.GOMAXPROCS(1)
	os.Exit(m.Run())
}

// The ends of the link.
var (
	ourAddrs   = map[bool]string{false: "10.77.1.11", true: "fd77:1::11"} // by whether IPv6
	theirAddrs = map[bool]string{false: "10.77.1.2", true: "fd77:1::2"}
)

const theirMAC = "\x02\x00\x00\x00\x77\x02"

// horizon is how long a run may take: where much is lost and SACK is off, an RTO
// of two minutes follows another.
const horizon = 100 * time.Hour

// setting is what the runs differ in.
type setting struct {
	link   string // impairments of the link, as a lab file has them
	sysctl string // of our host, as a lab file has them
	ipv6   bool
	seed   uint64
	// gVisor's:
	buffer int // of sending and of receiving; 0: its defaults
	noSACK bool
}

// peer is a gVisor stack that is plugged into a link. Its methods belong to the
// kernel unless they say otherwise.
type peer struct {
	t       *testing.T
	network *lab.Network
	ipv6    bool
	origin  *sim.Origin
	end     *link.End
	timer   sim.Timer

	clock *clock
	stack *netstack.Stack
	wire  *channel.Endpoint
	calls chan func()

	digest    uint64        // of all frames that came and went, with their times
	took      time.Duration // of virtual time, from our connection to its end
	info      tcp.Info      // of our connection at its start
	mayResend bool          // the path misleads: segments may go again though none was lost
}

// program is one of either side's.
type program struct {
	name string
	done chan struct{}
	err  error
}

var (
	_ link.Receiver = (*peer)(nil)
	_ sim.Handler   = (*peer)(nil)
)

// newPeer builds the lab of our host h1 and gVisor.
func newPeer(t *testing.T, s setting) *peer {
	t.Helper()
	link := s.link
	if link == "" {
		link = "rate: 1gbit"
	}
	l, found := lab.Parse("gvisor.yaml", fmt.Appendf(nil, `
name: gvisor
seed: %d
nodes:
  h1: { kind: host, addr: [%s/24, "%s/64"], sysctl: { %s } }
  outside: { kind: hub }
links:
  - { endpoints: [h1, outside], %s }
`, s.seed+1, ourAddrs[false], ourAddrs[true], s.sysctl, link))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	p := &peer{t: t, network: lab.Build(plan, nil), ipv6: s.ipv6, clock: &clock{}, calls: make(chan func())}
	outside := plan.Node("outside")
	port := plan.Nodes[outside].Interfaces[0]
	p.origin = p.network.Nodes[outside].Hub.Origin()
	p.end = p.network.Links[port.Link].End(port.End)
	p.timer.Init(p)
	p.newStack(s)
	// It is outside the bubble of the run, and so is all that it starts.
	go func() {
		for f := range p.calls {
			f()
		}
	}()
	return p
}

// newStack makes gVisor's side.
func (p *peer) newStack(s setting) {
	p.t.Helper()
	random := rand.New(rand.NewSource(int64(s.seed)))
	p.stack = netstack.New(netstack.Options{
		NetworkProtocols:   []netstack.NetworkProtocolFactory{ipv4.NewProtocol, ipv6.NewProtocol, arp.NewProtocol},
		TransportProtocols: []netstack.TransportProtocolFactory{gtcp.NewProtocol},
		Clock:              p.clock,
		RandSource:         rand.NewSource(int64(s.seed)),
		SecureRNG:          random,
	})
	p.wire = channel.New(1<<14, 1500+header.EthernetMinimumSize, tcpip.LinkAddress(theirMAC))
	if err := p.stack.CreateNIC(1, ethernet.New(p.wire)); err != nil {
		p.t.Fatal(err)
	}
	for v6, a := range theirAddrs {
		address := tcpip.ProtocolAddress{Protocol: protocolOf(v6), AddressWithPrefix: tcpip.AddressWithPrefix{Address: address(a), PrefixLen: 24}}
		if v6 {
			address.AddressWithPrefix.PrefixLen = 64
		}
		if err := p.stack.AddProtocolAddress(1, address, netstack.AddressProperties{}); err != nil {
			p.t.Fatal(err)
		}
	}
	p.stack.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: 1}, {Destination: header.IPv6EmptySubnet, NIC: 1}})
	sack := tcpip.TCPSACKEnabled(!s.noSACK)
	p.set(&sack)
	if s.buffer > 0 {
		p.set(&tcpip.TCPSendBufferSizeRangeOption{Min: 4096, Default: s.buffer, Max: s.buffer})
		p.set(&tcpip.TCPReceiveBufferSizeRangeOption{Min: 4096, Default: s.buffer, Max: s.buffer})
		moderate := tcpip.TCPModerateReceiveBufferOption(false)
		p.set(&moderate)
	}
}

func protocolOf(v6 bool) tcpip.NetworkProtocolNumber {
	if v6 {
		return ipv6.ProtocolNumber
	}
	return ipv4.ProtocolNumber
}

// address is one as gVisor has it.
func address(s string) tcpip.Address { return tcpip.AddrFromSlice(netip.MustParseAddr(s).AsSlice()) }

func (p *peer) set(o tcpip.SettableTransportProtocolOption) {
	p.t.Helper()
	if err := p.stack.SetTransportProtocolOption(gtcp.ProtocolNumber, o); err != nil {
		p.t.Fatal(err)
	}
}

// Receive hands a frame of the link to gVisor.
func (p *peer) Receive(now sim.Time, _ int, f *wire.Frame) {
	b := append([]byte(nil), f.Bytes()...)
	f.Release()
	p.note(now, b)
	p.do(now, func() {
		pkt := netstack.NewPacketBuffer(netstack.PacketBufferOptions{Payload: buffer.MakeWithData(b)})
		defer pkt.DecRef()
		p.wire.InjectInbound(0, pkt)
	})
}

// Fire has gVisor do what is due.
func (p *peer) Fire(now sim.Time) {
	p.clock.set(now)
	for ring := p.clock.due(); ring != nil; ring = p.clock.due() {
		p.do(now, func() { go ring() })
	}
	p.flush(now)
}

// do has gVisor do something and all that follows from it at this instant.
func (p *peer) do(now sim.Time, f func()) {
	p.clock.set(now)
	p.calls <- f
	settle()
	p.flush(now)
}

// flush sends what gVisor wants to send.
func (p *peer) flush(now sim.Time) {
	for pkt := p.wire.Read(); pkt != nil; pkt = p.wire.Read() {
		view := pkt.ToView()
		p.note(now, view.AsSlice())
		f := p.network.Pool.Get(view.Size())
		f.SetBytes(append(f.Buffer(), view.AsSlice()...))
		view.Release()
		pkt.DecRef()
		p.end.Send(now, f)
	}
	p.origin.Set(&p.timer, p.clock.next())
}

// note adds a frame to the digest.
func (p *peer) note(now sim.Time, b []byte) {
	h := fnv.New64a()
	fmt.Fprint(h, p.digest, now)
	h.Write(b)
	p.digest = h.Sum64()
}

// settle returns when all goroutines but the caller's wait. There is one
// processor, which the caller has: none of them runs, so none is added to the
// scheduler's queues while they are looked at, save by a system call that ends.
func settle() {
	samples := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}, {Name: "/sched/goroutines/not-in-go:goroutines"}}
	for busy := true; busy; {
		runtime.Gosched()
		metrics.Read(samples)
		busy = samples[0].Value.Uint64()+samples[1].Value.Uint64() > 0
	}
}

// sleep lets time pass for a program on gVisor's side. Outside the kernel.
func (p *peer) sleep(d time.Duration) {
	over := make(chan struct{})
	p.clock.AfterFunc(d, func() { close(over) })
	<-over
}

// run plays ours on h1 and theirs on gVisor until nothing is left to happen;
// theirs goes first, up to where it waits. Either must end, without an error.
// Nothing may be left of their connections or of the frames.
func (p *peer) run(ours func(n *socket.Net) error, theirs func() error) {
	p.t.Helper()
	they := &program{name: "theirs", done: make(chan struct{})}
	we := &program{name: "ours", done: make(chan struct{})}
	setUp := func() {
		if err := p.network.Start(0); err != nil {
			p.t.Error(err)
		}
		p.end.SetReceiver(0, p)
		p.do(0, func() {
			go func() {
				they.err = theirs()
				close(they.done)
			}()
		})
		p.network.Host("h1").Start("ours", func(n *socket.Net) {
			we.err = ours(n)
			close(we.done)
		}, nil)
	}
	if err := p.network.Kernel.RunVirtual(context.Background(), sim.Time(horizon), setUp, nil); err != nil {
		p.t.Errorf("the run ended: %v", err)
	}
	for _, side := range []*program{we, they} {
		select {
		case <-side.done:
			if side.err != nil {
				p.t.Errorf("%s: %v", side.name, side.err)
			}
		default:
			p.t.Errorf("%s: it does not end", side.name)
		}
	}
	if lent := p.network.Pool.Lent(); lent != 0 {
		p.t.Errorf("%d frames were not given back", lent)
	}
	if left := p.ourStack().TCPSockets(); len(left) != 0 {
		p.t.Errorf("%d sockets of ours are left", len(left))
	}
	stats := p.stack.Stats().TCP
	if bad, sums := stats.InvalidSegmentsReceived.Value(), stats.ChecksumErrors.Value(); bad+sums != 0 {
		p.t.Errorf("gVisor got %d segments without sense and %d bad checksums", bad, sums)
	}
	// gVisor was seen to send its FIN twice and then, unanswered, to wait for ever.
	if left := stats.CurrentConnected.Value(); left != 0 && p.lost() == 0 {
		p.t.Errorf("%d of gVisor's connections are left", left)
	}
	p.stack.Destroy()
	close(p.calls)
}

func (p *peer) ourStack() *stack.Stack { return p.network.Host("h1").Stack() }

// ours is our host's counters of TCP.
func (p *peer) ours() tcp.Stats { return *p.ourStack().TCPStats() }

// lost is how many frames the link lost in both directions.
func (p *peer) lost() (n uint64) {
	for i := range 2 {
		for _, d := range p.network.Links[0].End(i).Counters().Drops {
			n += d.Frames
		}
	}
	return n
}
