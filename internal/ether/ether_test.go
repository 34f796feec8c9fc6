package ether

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// lan logs what leaves a switch or hub: "port packet", or why it does not.
type lan struct {
	pool wire.Pool
	log  []string
}

type lanPort struct {
	lan  *lan
	name string
}

func (p lanPort) Send(_ sim.Time, f *wire.Frame) {
	p.lan.log = append(p.lan.log, fmt.Sprintf("%s %d", p.name, f.Packet))
	f.Release()
}

func (l *lan) Dropped(_ sim.Time, place int, f *wire.Frame, why wire.Drop) {
	l.log = append(l.log, fmt.Sprintf("place %d %d: %v", place, f.Packet, why))
}

func (l *lan) newSwitch(cfg SwitchConfig, ports int) *Switch {
	cfg.Tap, cfg.Place = l, 9
	s := NewSwitch(cfg)
	for i := range ports {
		name := string(rune('1' + i))
		s.AddPort(name, lanPort{l, name})
	}
	return s
}

func (l *lan) frame(packet uint64, src, dst wire.MAC) *wire.Frame {
	f := l.pool.Get(60)
	f.SetBytes(wire.AppendEthernet(f.Buffer(), wire.EthernetHeader{Dst: dst, Src: src, Type: wire.TypeIPv4}))
	f.Packet = packet
	return f
}

// expect checks what happened since the last time, and that no frame is out.
func (l *lan) expect(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(l.log, want) {
		t.Errorf("got %q, want %q", l.log, want)
	}
	if n := l.pool.Lent(); n != 0 {
		t.Errorf("%d frames are still out", n)
	}
	l.log = nil
}

func mac(n int) wire.MAC { return wire.MAC{2, 0, 0, byte(n >> 16), byte(n >> 8), byte(n)} }

const second = sim.Time(time.Second)

func TestSwitchFloodsThenLearns(t *testing.T) {
	var l lan
	s := l.newSwitch(SwitchConfig{}, 4)
	s.Input(1*second, 0, l.frame(1, mac(1), wire.Broadcast))
	l.expect(t, "2 1", "3 1", "4 1")
	s.Input(2*second, 3, l.frame(2, mac(4), mac(1)))
	l.expect(t, "1 2")
	s.Input(3*second, 0, l.frame(3, mac(1), mac(4)))
	l.expect(t, "4 3")
	s.Input(3*second, 0, l.frame(4, mac(1), mac(7)))
	l.expect(t, "2 4", "3 4", "4 4")
	s.Input(3*second, 3, l.frame(5, mac(4), wire.MAC{1, 0, 0x5e, 0, 0, 1}))
	l.expect(t, "1 5", "2 5", "3 5")
	if got, want := s.Table(5*second), []Station{{mac(1), "1", 2e9}, {mac(4), "4", 2e9}}; !reflect.DeepEqual(got, want) {
		t.Errorf("table %v, want %v", got, want)
	}
	if got, want := s.Counters(), (Counters{Received: 5, Forwarded: 2, Flooded: 3, Learned: 2}); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

func TestSwitchFilters(t *testing.T) {
	var l lan
	s := l.newSwitch(SwitchConfig{}, 2)
	s.Input(0, 0, l.frame(1, mac(1), mac(2)))
	s.Input(0, 0, l.frame(2, mac(2), mac(1))) // both stations are behind port 1
	l.expect(t, "2 1", "place 9 2: no other port leads there")
	for i, src := range []wire.MAC{{}, wire.Broadcast, {1, 0, 0, 0, 0, 1}} {
		s.Input(0, 0, l.frame(uint64(i), src, mac(1)))
	}
	l.expect(t, "place 9 0: malformed", "place 9 1: malformed", "place 9 2: malformed")
	for _, last := range []byte{0, 2, 15} {
		s.Input(0, 1, l.frame(uint64(last), mac(5), wire.MAC{1, 0x80, 0xc2, 0, 0, last}))
	}
	l.expect(t, "place 9 0: unknown protocol", "place 9 2: unknown protocol", "place 9 15: unknown protocol")
	s.Input(0, 1, l.frame(16, mac(5), wire.MAC{1, 0x80, 0xc2, 0, 0, 16}))
	l.expect(t, "1 16")
	short := l.pool.Get(13)
	short.SetBytes(append(short.Buffer(), make([]byte, 13)...))
	s.Input(0, 1, short)
	l.expect(t, "place 9 0: malformed")
	if got, want := s.Counters(), (Counters{Received: 10, Flooded: 2, Filtered: 1, Reserved: 3, Invalid: 4, Learned: 3}); got != want {
		t.Errorf("counters %+v, want %+v", got, want)
	}
}

func TestStationMoves(t *testing.T) {
	var l lan
	s := l.newSwitch(SwitchConfig{}, 3)
	s.Input(0, 0, l.frame(1, mac(1), wire.Broadcast))
	s.Input(1, 1, l.frame(2, mac(1), wire.Broadcast))
	l.log = nil
	s.Input(2, 2, l.frame(3, mac(3), mac(1)))
	l.expect(t, "2 3")
	if got := s.Counters().Moved; got != 1 {
		t.Errorf("%d moved", got)
	}
}

// IEEE 802.1D 7.9.2; Linux forgets at exactly the ageing time (has_expired).
func TestAgeing(t *testing.T) {
	var l lan
	s := l.newSwitch(SwitchConfig{}, 3)
	s.Input(0, 0, l.frame(1, mac(1), wire.Broadcast))
	s.Input(10*second, 1, l.frame(1, mac(2), wire.Broadcast))
	s.Input(20*second, 0, l.frame(1, mac(1), wire.Broadcast)) // heard again
	l.log = nil
	s.Input(310*second-1, 2, l.frame(2, mac(3), mac(2)))
	l.expect(t, "2 2")
	s.Input(310*second, 2, l.frame(3, mac(3), mac(2)))
	l.expect(t, "1 3", "2 3")
	s.Input(320*second-1, 2, l.frame(4, mac(3), mac(1)))
	l.expect(t, "1 4")
	if got := len(s.Table(320 * second)); got != 1 {
		t.Errorf("%d stations, want the third alone", got)
	}
	if got := s.Counters().Aged; got != 2 {
		t.Errorf("%d aged, want 2", got)
	}
}

func TestFullTableFloods(t *testing.T) {
	var l lan
	s := l.newSwitch(SwitchConfig{TableMax: 2}, 3)
	for i := range 3 {
		s.Input(0, i, l.frame(1, mac(i), wire.Broadcast))
	}
	l.log = nil
	s.Input(1, 0, l.frame(2, mac(0), mac(2)))
	l.expect(t, "2 2", "3 2")
	s.Input(1, 2, l.frame(3, mac(0), mac(1))) // what is known may still move
	l.expect(t, "2 3")
	if c := s.Counters(); c.Missed != 1 || c.Moved != 1 {
		t.Errorf("%+v", c)
	}
	s.Input(301*second, 2, l.frame(4, mac(2), mac(1))) // room again
	if got, want := s.Table(301*second), []Station{{mac(2), "3", 0}}; !reflect.DeepEqual(got, want) {
		t.Errorf("table %v, want %v", got, want)
	}
}

func TestPortDown(t *testing.T) {
	var l lan
	s := l.newSwitch(SwitchConfig{}, 3)
	s.Input(0, 0, l.frame(1, mac(1), wire.Broadcast))
	s.Input(0, 1, l.frame(1, mac(2), wire.Broadcast))
	l.log = nil
	s.SetPort(1, 0, false)
	s.Input(1, 1, l.frame(2, mac(2), mac(1)))
	l.expect(t, "3 2")
	s.Input(1, 0, l.frame(3, mac(1), mac(2)))
	l.expect(t, "place 9 3: interface down")
	s.SetPort(2, 0, true)
	s.Input(2, 1, l.frame(4, mac(2), mac(1)))
	l.expect(t, "1 4", "3 4")
	s.SetPort(3, 0, false)
	s.SetPort(3, 2, false)
	s.Input(3, 1, l.frame(5, mac(2), mac(1)))
	l.expect(t, "place 9 5: no other port leads there")
}

// TestTableAgainstModel compares the table with a plain map.
func TestTableAgainstModel(t *testing.T) {
	type where struct {
		port int
		seen sim.Time
	}
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 0))
		var table table
		model := map[wire.MAC]where{}
		now := sim.Time(0)
		for range 2000 {
			now += sim.Time(r.IntN(10))
			m, port := mac(r.IntN(60)), r.IntN(4)
			switch r.IntN(20) {
			case 0:
				table.flush(port)
				for m, w := range model {
					if w.port == port {
						delete(model, m)
					}
				}
			case 1, 2:
				limit := now - sim.Time(r.IntN(200))
				table.expire(limit)
				for m, w := range model {
					if w.seen <= limit {
						delete(model, m)
					}
				}
			default:
				_, known := model[m]
				if known || len(model) < 40 {
					model[m] = where{port, now}
				}
				table.see(now, m, port, 40)
			}
			got := map[wire.MAC]where{}
			for i := table.newest(); i != 0; i = table.entries[i].older {
				got[table.entries[i].mac] = where{int(table.entries[i].port), table.entries[i].seen}
			}
			if !reflect.DeepEqual(got, model) || len(table.index) != len(model) {
				t.Fatalf("seed=%d: table %v, model %v", seed, got, model)
			}
		}
	}
}

func TestHubRepeats(t *testing.T) {
	var l lan
	h := NewHub(HubConfig{Tap: &l, Place: 3})
	h.AddPort(lanPort{&l, "1"})
	h.Input(0, 0, l.frame(1, mac(1), mac(2)))
	l.expect(t, "place 3 1: no other port leads there")
	h.AddPort(lanPort{&l, "2"})
	h.AddPort(lanPort{&l, "3"})
	for in := range 3 {
		h.Input(0, in, l.frame(uint64(in), mac(1), mac(2)))
	}
	l.expect(t, "2 0", "3 0", "1 1", "3 1", "1 2", "2 2")
}

// keep is a port that keeps the frame, to send it again.
type keep struct{ f *wire.Frame }

func (k *keep) Send(_ sim.Time, f *wire.Frame) { k.f = f }

// trained is a switch that knows n stations at each of two ports.
func trained(l *lan, n int) (*Switch, *keep) {
	s, k := NewSwitch(SwitchConfig{TableMax: 1 << 20}), &keep{}
	s.AddPort("1", lanPort{l, "1"})
	s.AddPort("2", k)
	for i := range n {
		s.Input(0, 0, l.frame(0, mac(2*i), mac(2*i)))
		s.Input(0, 1, l.frame(0, mac(2*i+1), mac(2*i+1)))
	}
	return s, k
}

func TestKnownUnicastDoesNotAllocate(t *testing.T) {
	var l lan
	s, k := trained(&l, 100)
	k.f = l.frame(1, mac(0), mac(1))
	now := sim.Time(0)
	if n := testing.AllocsPerRun(1000, func() { now++; s.Input(now, 0, k.f) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkSwitchUnicast(b *testing.B) {
	for _, n := range []int{2, 1000} {
		b.Run(fmt.Sprintf("stations=%d", 2*n), func(b *testing.B) {
			var l lan
			s, k := trained(&l, n)
			k.f = l.frame(1, mac(0), mac(1))
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				src, dst := mac(i%n*2), mac((i+1)%n*2+1)
				copy(k.f.Bytes(), dst[:])
				copy(k.f.Bytes()[6:], src[:])
				s.Input(sim.Time(i), 0, k.f)
			}
		})
	}
}
