package ether_test

import (
	"context"
	"runtime"
	"testing"

	"github.com/hopyard/hopyard/internal/ether"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// relay is a switch of two ports with a station at each, which answers every
// frame with the same one turned round.
type relay struct {
	sw       *ether.Switch
	stations [2]*link.End
	left     int
	before   runtime.MemStats
	after    runtime.MemStats
}

type switchPort struct{ *relay }

func (r switchPort) Receive(now sim.Time, port int, f *wire.Frame) { r.sw.Input(now, port, f) }

type station struct{ *relay }

func (s station) Receive(now sim.Time, port int, f *wire.Frame) {
	s.left--
	switch {
	case s.left == 0:
		runtime.ReadMemStats(&s.after)
		fallthrough
	case s.left < 0:
		f.Release()
		return
	}
	eth := wire.Ethernet(f.Bytes())
	src := eth.Src()
	eth.SetSrc(eth.Dst())
	eth.SetDst(src)
	s.stations[port].Send(now, f)
}

// play passes frames through the switch n times and returns the allocations of
// all but the first millisecond.
func (r *relay) play(t testing.TB, n int) uint64 {
	k := sim.New()
	var pool wire.Pool
	set := link.Settings{RateBitsPerSecond: 1e9, Delay: 1000}
	r.sw = ether.NewSwitch(ether.SwitchConfig{})
	center := k.NewOrigin("switch")
	for i, name := range []string{"a", "b"} {
		l := link.New(link.Config{Name: name + "-switch", Seed: 1, Ends: []link.EndConfig{
			{Origin: k.NewOrigin(name), Receiver: station{r}, Port: i, Settings: set},
			{Origin: center, Receiver: switchPort{r}, Port: i, Settings: set},
		}})
		r.stations[i] = l.End(0)
		r.sw.AddPort(name, l.End(1))
	}
	r.left = n
	warm := &warmUp{r: r}
	warm.timer.Init(warm)
	err := k.RunVirtual(context.Background(), sim.Never, func() {
		center.Set(&warm.timer, 1_000_000)
		f := pool.Get(60)
		f.SetBytes(wire.AppendEthernet(f.Buffer(), wire.EthernetHeader{Dst: wire.MAC{2, 0, 0, 0, 0, 2}, Src: wire.MAC{2, 0, 0, 0, 0, 1}, Type: wire.TypeIPv4}))
		r.stations[0].Send(0, f)
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if pool.Lent() != 0 {
		t.Errorf("%d frames are still out", pool.Lent())
	}
	return r.after.Mallocs - r.before.Mallocs
}

// warmUp looks at the memory once all tables have their size.
type warmUp struct {
	timer sim.Timer
	r     *relay
}

func (w *warmUp) Fire(sim.Time) { runtime.ReadMemStats(&w.r.before) }

func TestSwitchedHopDoesNotAllocate(t *testing.T) {
	// The runtime itself allocates a little now and then.
	if n := (&relay{}).play(t, 20_000); n > 20 {
		t.Errorf("%d allocations in nearly 40,000 hops", n)
	}
}

// BenchmarkSwitchedHop is one frame from station to station: two links and the
// switch between, so an operation is two packet-hops.
func BenchmarkSwitchedHop(b *testing.B) {
	b.ReportAllocs()
	(&relay{}).play(b, b.N)
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/hop")
}
