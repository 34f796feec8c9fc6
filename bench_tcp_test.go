package hopyard_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/node"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
)

// dumbbell is the network of shared/peers/ns3/dumbbell.cc: clients and servers on
// 1 Gbit/s cables of 1 ms, between them two routers and a bottleneck.
func dumbbell(flows int, rate, delay string, queue int) string {
	var nodes, links strings.Builder
	nodes.WriteString("nodes:\n  r1: { kind: router }\n  r2: { kind: router }\n")
	fmt.Fprintf(&links, "links:\n  - { endpoints: [r1, r2], rate: %s, delay: %s, queue: %dp }\n", rate, delay, queue)
	for i := range flows {
		fmt.Fprintf(&nodes, "  c%d: { kind: host }\n  s%d: { kind: host }\n", i, i)
		fmt.Fprintf(&links, "  - { endpoints: [c%d, r1], rate: 1gbit, delay: 1ms, queue: 10000p }\n", i)
		fmt.Fprintf(&links, "  - { endpoints: [s%d, r2], rate: 1gbit, delay: 1ms, queue: 10000p }\n", i)
	}
	return nodes.String() + links.String()
}

// bulk is a connection whose client sends as much as it can, with no goroutine.
type bulk struct {
	host  *node.Host
	conn  *stack.TCP
	sink  *stack.TCP
	to    netip.AddrPort
	timer sim.Timer
}

// received is how many bytes have arrived.
func (b *bulk) received() uint64 {
	if b.sink == nil {
		return 0
	}
	return b.sink.Conn().Info(0).BytesReceived
}

func newBulk(n *lab.Network, client, server string, at sim.Time) *bulk {
	b := &bulk{host: n.Host(client), to: netip.AddrPortFrom(n.Plan.LookupHost(server)[0], 9)}
	s := n.Host(server)
	l := s.Stack().NewTCP(false)
	if err := l.Bind(netip.AddrPortFrom(netip.Addr{}, 9)); err != nil {
		panic(err)
	}
	if err := l.Listen(10); err != nil {
		panic(err)
	}
	l.OnReady = func(now sim.Time) {
		if c, err := l.Accept(); err == nil {
			c.Drain(now)
			b.sink = c
		}
	}
	b.timer.Init(b)
	b.host.Origin().Set(&b.timer, at)
	return b
}

// Fire opens the connection.
func (b *bulk) Fire(now sim.Time) {
	b.conn = b.host.Stack().NewTCP(false)
	b.conn.OnReady = b.ready
	if err := b.conn.Connect(now, b.to); err != nil {
		panic(err)
	}
	b.host.Settle(now)
}

func (b *bulk) ready(now sim.Time) {
	for b.conn.Writable() {
		if n, err := b.conn.WriteZeros(now, 64<<10); n == 0 || err != nil {
			return
		}
	}
}

// BenchmarkDumbbell is the yardstick with ns-3: generated bulk transfers.
func BenchmarkDumbbell(b *testing.B) {
	for _, c := range []struct {
		flows   int
		rate    string
		delay   string
		queue   int
		seconds int
	}{{1, "100mbit", "1ms", 100, 60}, {100, "1gbit", "10ms", 1000, 10}} {
		b.Run(fmt.Sprintf("%d-flows", c.flows), func(b *testing.B) {
			for range b.N {
				n := build(b, dumbbell(c.flows, c.rate, c.delay, c.queue))
				flows := make([]*bulk, c.flows)
				for i := range flows {
					flows[i] = newBulk(n, fmt.Sprintf("c%d", i), fmt.Sprintf("s%d", i), sim.Time(i)*sim.Time(time.Millisecond))
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				cpu := play(b, n, sim.Time(c.seconds)*sim.Time(time.Second))
				runtime.ReadMemStats(&after)
				count := hops(n)
				b.ReportMetric(float64(count)/cpu, "packet-hops/cpu-s")
				var received uint64
				for _, f := range flows {
					received += f.received()
				}
				b.ReportMetric(float64(received)*8/float64(c.seconds)/1e6, "goodput-Mbit/s")
				b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(count), "allocs/hop")
			}
		})
	}
}

// programs runs one program on each of two hosts until the client's ends, and
// returns the CPU seconds.
func programs(b *testing.B, n *lab.Network, server, client func(n *socket.Net)) float64 {
	b.Helper()
	cpu := cpuSeconds()
	err := n.Kernel.RunVirtual(context.Background(), sim.Never, func() {
		s := n.Host("s0").Start("server", server, nil)
		n.Host("c0").Start("client", client, func(sim.Time) { s.Stop(sim.ErrEnded) })
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	return cpuSeconds() - cpu
}

// BenchmarkCopy is the first dumbbell with programs: io.Copy over net.Conn.
func BenchmarkCopy(b *testing.B) {
	for range b.N {
		n := build(b, dumbbell(1, "100mbit", "1ms", 100))
		cpu := programs(b, n, func(n *socket.Net) {
			l, err := n.Listen("tcp", ":9")
			if err != nil {
				b.Error(err)
				return
			}
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					io.Copy(io.Discard, c)
					c.Close()
				}()
			}
		}, func(n *socket.Net) {
			c, err := n.Dial(context.Background(), "tcp", "s0:9")
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(struct{ io.Writer }{c}, io.LimitReader(zeroReader{}, 60*100e6/8))
			c.(*socket.TCPConn).CloseWrite()
			c.Read(make([]byte, 1))
		})
		b.ReportMetric(float64(hops(n))/cpu, "packet-hops/cpu-s")
	}
}

type zeroReader struct{}

func (zeroReader) Read(b []byte) (int, error) { return len(b), nil }

// BenchmarkHTTPGet is a kept-alive GET over three links.
func BenchmarkHTTPGet(b *testing.B) {
	n := build(b, dumbbell(1, "1gbit", "1ms", 1000))
	answer := []byte(strings.Repeat("x", 1000))
	cpu := programs(b, n, func(n *socket.Net) {
		l, err := n.Listen("tcp", ":80")
		if err != nil {
			b.Error(err)
			return
		}
		http.Serve(l, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(answer) }))
	}, func(n *socket.Net) {
		transport := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			return n.Dial(ctx, network, address)
		}}
		client := &http.Client{Transport: transport}
		for range b.N {
			r, err := client.Get("http://s0/")
			if err != nil {
				b.Error(err)
				return
			}
			io.Copy(io.Discard, r.Body)
			r.Body.Close()
		}
		transport.CloseIdleConnections()
	})
	b.ReportMetric(cpu*1e6/float64(b.N), "cpu-us/request")
}

// BenchmarkIdleConnections weighs established connections, all of one host with
// another.
func BenchmarkIdleConnections(b *testing.B) {
	const count = 100_000
	for range b.N {
		n := build(b, "nodes:\n  h1: { kind: host }\n  h2: { kind: host }\nlinks:\n  - h1-h2\n")
		h1, h2 := n.Host("h1"), n.Host("h2")
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		accepted := make([]*stack.TCP, 0, count)
		for port := range uint16(2) { // a pair of ports for each connection
			l := h2.Stack().NewTCP(false)
			_ = l.Bind(netip.AddrPortFrom(netip.Addr{}, 9+port))
			if err := l.Listen(4096); err != nil {
				b.Fatal(err)
			}
			l.OnReady = func(sim.Time) {
				for c, err := l.Accept(); err == nil; c, err = l.Accept() {
					accepted = append(accepted, c)
				}
			}
		}
		to := netip.AddrPortFrom(n.Plan.LookupHost("h2")[0], 9)
		dialed := make([]*stack.TCP, count)
		dial := &dialer{h: h1, to: to, conns: dialed}
		dial.timer.Init(dial)
		h1.Origin().Set(&dial.timer, 0)
		play(b, n, sim.Time(time.Minute))
		runtime.GC()
		runtime.ReadMemStats(&after)
		if len(accepted) != count {
			b.Fatalf("%d connections of %d", len(accepted), count)
		}
		b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(2*count), "B/connection")
		runtime.KeepAlive(n)
	}
}

// dialer opens connections, ten each millisecond, from its own choice of ports.
type dialer struct {
	h     *node.Host
	to    netip.AddrPort
	conns []*stack.TCP
	next  int
	timer sim.Timer
}

func (d *dialer) Fire(now sim.Time) {
	for range 10 {
		if d.next == len(d.conns) {
			return
		}
		t := d.h.Stack().NewTCP(false)
		local := netip.AddrPortFrom(netip.Addr{}, uint16(1024+d.next%60000))
		t.Options.ReuseAddr = true
		if err := t.Bind(local); err != nil {
			panic(err)
		}
		to := d.to
		if err := t.Connect(now, netip.AddrPortFrom(to.Addr(), to.Port()+uint16(d.next/60000))); err != nil {
			panic(err)
		}
		d.conns[d.next] = t
		d.next++
	}
	d.h.Settle(now)
	d.h.Origin().Set(&d.timer, now.Add(time.Millisecond))
}
