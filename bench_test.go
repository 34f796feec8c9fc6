package hopyard_test

import (
	"context"
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/node"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// build makes and starts the network of a generated lab, without a recorder.
func build(b *testing.B, text string) *lab.Network {
	b.Helper()
	l, found := lab.Parse("bench.yaml", []byte(text))
	if found.HasErrors() {
		b.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		b.Fatal(found)
	}
	n := lab.Build(plan, nil)
	if err := n.Start(0); err != nil {
		b.Fatal(err)
	}
	return n
}

// requester sends datagrams to an echo service at even intervals.
type requester struct {
	host     *node.Host
	udp      *stack.UDP
	to       netip.AddrPort
	interval time.Duration
	payload  []byte
	timer    sim.Timer
	answers  int
}

func newRequester(b *testing.B, h *node.Host, to netip.AddrPort, size int, interval time.Duration, first sim.Time) *requester {
	b.Helper()
	r := &requester{host: h, udp: h.Stack().NewUDP(false), to: to, interval: interval, payload: make([]byte, size)}
	if err := r.udp.Bind(netip.AddrPort{}); err != nil {
		b.Fatal(err)
	}
	r.udp.OnReady = r.ready
	r.timer.Init(r)
	h.Origin().Set(&r.timer, first)
	return r
}

func (r *requester) Fire(now sim.Time) {
	_ = r.udp.Send(now, r.payload, r.to)
	r.host.Settle(now)
	r.host.Origin().Set(&r.timer, now.Add(r.interval))
}

func (r *requester) ready(sim.Time) {
	for d, ok := r.udp.Receive(); ok; d, ok = r.udp.Receive() {
		r.answers++
		d.Release()
	}
}

// hops counts packets received from links.
func hops(n *lab.Network) (count uint64) {
	for _, k := range n.Links {
		for i := range k.Ends() {
			count += k.End(i).Counters().ReceivedFrames
		}
	}
	return count
}

// play runs the network until an instant and returns the CPU seconds it took.
func play(b *testing.B, n *lab.Network, until sim.Time) float64 {
	b.Helper()
	before := cpuSeconds()
	if err := n.Kernel.RunVirtual(context.Background(), until, nil, nil); err != nil {
		b.Fatal(err)
	}
	return cpuSeconds() - before
}

// cpuSeconds is the CPU time of the process so far.
func cpuSeconds() float64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// BenchmarkChain sends requests through a chain of routers; each answers for
// 2·(routers+1) packet-hops. One hop is a link and the router behind it.
func BenchmarkChain(b *testing.B) {
	for _, routers := range []int{1, 10} {
		b.Run(fmt.Sprintf("%d-routers", routers), func(b *testing.B) {
			n := build(b, chain(routers))
			server := netip.AddrPortFrom(n.Plan.LookupHost("server")[0], 7)
			const interval = 20 * time.Microsecond
			r := newRequester(b, n.Host("client"), server, 100, interval, sim.Time(time.Second))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			cpu := play(b, n, sim.Time(time.Second).Add(interval*time.Duration(b.N)))
			runtime.ReadMemStats(&after)
			count := hops(n)
			if b.N > 10000 && r.answers < b.N*9/10 {
				b.Fatalf("%d answers to %d requests", r.answers, b.N)
			}
			b.ReportMetric(float64(count)/cpu, "hops/cpu-s")
			b.ReportMetric(cpu*1e9/float64(count), "ns/hop")
			b.ReportMetric(float64(after.Mallocs-before.Mallocs)/float64(count), "allocs/hop")
		})
	}
}

func chain(routers int) string {
	var s strings.Builder
	s.WriteString("name: chain\ndefaults: { link: { rate: 1gbit, delay: 10us } }\nnodes:\n  client: { kind: host }\n  server: { kind: host, services: [echo] }\n")
	var links strings.Builder
	links.WriteString("links:\n")
	last := "client"
	for i := range routers {
		fmt.Fprintf(&s, "  r%d: { kind: router }\n", i)
		links.WriteString(fmt.Sprintf("  - %s-r%d\n", last, i))
		last = fmt.Sprintf("r%d", i)
	}
	return s.String() + links.String() + "  - " + last + "-server\n"
}

// tree is a core router, access routers at it, and hosts with the echo service
// at each of those.
func tree(routers, hosts int) string {
	var s strings.Builder
	s.WriteString("name: tree\ndefaults: { link: { rate: 100mbit, delay: 1ms } }\nnodes:\n  core: { kind: router }\n")
	for r := range routers {
		fmt.Fprintf(&s, "  a%d: { kind: router }\n", r)
	}
	for i := range routers * hosts {
		fmt.Fprintf(&s, "  h%d: { kind: host, services: [echo] }\n", i)
	}
	s.WriteString("links:\n")
	for r := range routers {
		fmt.Fprintf(&s, "  - core-a%d\n", r)
	}
	for i := range routers * hosts {
		fmt.Fprintf(&s, "  - a%d-h%d\n", i/hosts, i)
	}
	return s.String()
}

// BenchmarkTree is a tree of hosts, each of which asks another one's echo service
// once a second for 10 s: the network and traffic of ns-3's tree.cc, with which
// it is compared (there 10,000 hosts take minutes, so 1,000 too).
func BenchmarkTree(b *testing.B) {
	for _, routers := range []int{10, 100} {
		b.Run(fmt.Sprintf("%d-hosts", routers*100), func(b *testing.B) {
			for b.Loop() {
				runTree(b, routers, 100)
			}
		})
	}
}

func runTree(b *testing.B, routers, hosts int) {
	n, count := build(b, tree(routers, hosts)), routers*hosts
	var all []*requester
	for i := range count {
		to := n.Plan.LookupHost(fmt.Sprintf("h%d", (i*7919+13)%count))[0]
		first := sim.Time(time.Duration(i*104729%1_000_000) * time.Microsecond)
		all = append(all, newRequester(b, n.Host(fmt.Sprintf("h%d", i)), netip.AddrPortFrom(to, 7), 100, time.Second, first))
	}
	runtime.GC()
	cpu := play(b, n, sim.Time(10*time.Second))
	answers := 0
	for _, r := range all {
		answers += r.answers
	}
	b.ReportMetric(float64(hops(n)), "hops")
	b.ReportMetric(float64(answers), "answers")
	b.ReportMetric(float64(hops(n))/cpu, "hops/cpu-s")
}

// BenchmarkIdleHosts is what a host with its link and its share of the routers
// takes while nothing happens, at 100,000 hosts: without the plan, and with it.
func BenchmarkIdleHosts(b *testing.B) {
	const routers, hosts = 400, 250
	heap := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		text := tree(routers, hosts)
		empty := heap()
		l, found := lab.Parse("idle.yaml", []byte(text))
		if found.HasErrors() {
			b.Fatal(found)
		}
		plan, found := lab.NewPlan(l)
		if found.HasErrors() {
			b.Fatal(found)
		}
		planned := heap()
		n := lab.Build(plan, nil)
		if err := n.Start(0); err != nil {
			b.Fatal(err)
		}
		built := heap()
		b.ReportMetric((built-planned)/(routers*hosts), "B/host")
		b.ReportMetric((built-empty)/(routers*hosts), "B/host-with-plan")
		runtime.KeepAlive(n)
		runtime.KeepAlive(text)
	}
}
