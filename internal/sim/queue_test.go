package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// probe is a timer that notes that it fired.
type probe struct {
	timer Timer
	name  int
	fired *[]int
	then  func(now Time)
}

func (p *probe) Fire(now Time) {
	*p.fired = append(*p.fired, p.name)
	if p.then != nil {
		p.then(now)
	}
}

func newProbe(name int, fired *[]int) *probe {
	p := &probe{name: name, fired: fired}
	p.timer.Init(p)
	return p
}

// model is a queue that is obviously right: a slice, sorted when asked.
type model []modelEntry

type modelEntry struct {
	at    Time
	order Order
	name  int
}

func (m *model) stop(name int) {
	*m = slices.DeleteFunc(*m, func(e modelEntry) bool { return e.name == name })
}

func (m *model) set(name int, at Time, order Order) {
	m.stop(name)
	if at != Never {
		*m = append(*m, modelEntry{at, order, name})
	}
}

func (m *model) first() (first modelEntry, ok bool) {
	for _, e := range *m {
		if !ok || e.at < first.at || e.at == first.at && e.order < first.order {
			first, ok = e, true
		}
	}
	return first, ok
}

func (m *model) at(name int) Time {
	for _, e := range *m {
		if e.name == name {
			return e.at
		}
	}
	return Never
}

// TestQueueAgainstModel also sets, moves and stops timers from a handler.
func TestQueueAgainstModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 0))
		var q Queue
		var m model
		var fired, want []int
		var probes []*probe
		for i := range 1 + r.IntN(80) {
			probes = append(probes, newProbe(i, &fired))
		}
		order, now := Order(0), Time(0)
		change := func() {
			p := probes[r.IntN(len(probes))]
			order++
			switch r.IntN(8) {
			case 0, 1:
				q.Stop(&p.timer)
				m.stop(p.name)
			case 2:
				q.Set(&p.timer, Never, order)
				m.set(p.name, Never, order)
			default:
				at := now + Time(r.IntN(50))
				ranked := order ^ Order(r.IntN(4))<<50
				q.Set(&p.timer, at, ranked)
				m.set(p.name, at, ranked)
			}
		}
		for range 3000 {
			change()
			if r.IntN(3) > 0 {
				continue
			}
			now += Time(r.IntN(5))
			changes := r.IntN(4)
			for _, p := range probes {
				p.then = func(at Time) {
					if p.timer.Pending() || q.At(&p.timer) != Never {
						t.Fatalf("seed=%d: a timer that fires is pending", seed)
					}
					for range changes {
						change()
					}
					if first, ok := m.first(); ok && q.Next() != first.at || q.Len() != len(m) {
						t.Fatalf("seed=%d: in a handler, next %v of %d, want %v of %d", seed, q.Next(), q.Len(), first, len(m))
					}
				}
			}
			first, ok := m.first()
			due := ok && first.at <= now
			if due {
				m.stop(first.name)
				want = append(want, first.name)
			}
			if q.FireNext(now) != due || !slices.Equal(fired, want) {
				t.Fatalf("seed=%d: fired %v, want %v", seed, fired, want)
			}
			for _, p := range probes {
				if q.At(&p.timer) != m.at(p.name) || p.timer.Pending() != (m.at(p.name) != Never) {
					t.Fatalf("seed=%d: timer %d is at %v, want %v", seed, p.name, q.At(&p.timer), m.at(p.name))
				}
			}
		}
	}
}

func TestOrderOfOneInstant(t *testing.T) {
	var q Queue
	var fired []int
	for _, o := range []Order{3<<originShift + 1, 1<<originShift + 2, 2 << originShift, 1<<originShift + 1} {
		q.Set(&newProbe(int(o.Origin())*10+int(o&0xff), &fired).timer, 7, o)
	}
	if q.FireNext(6) {
		t.Error("fired before its time")
	}
	for q.FireNext(7) {
	}
	if want := []int{11, 12, 20, 31}; !slices.Equal(fired, want) {
		t.Errorf("fired %v, want %v", fired, want)
	}
}

func TestEmptyQueue(t *testing.T) {
	var q Queue
	var timer Timer
	q.Stop(&timer)
	q.Set(&timer, Never, 0)
	if q.Next() != Never || q.Len() != 0 || q.FireNext(Never) || timer.Pending() {
		t.Error("the zero queue is not empty")
	}
}

// hold is a timer of the hold model: it fires and sets itself again.
type hold struct {
	timer Timer
	q     *Queue
	r     *rand.PCG
	n     *Order
}

func (h *hold) Fire(now Time) {
	*h.n++
	h.q.Set(&h.timer, now+Time(h.r.Uint64()&0xfffff), *h.n)
}

func newHold(pending int) *Queue {
	q, r, n := &Queue{}, rand.NewPCG(1, 1), new(Order)
	holds := make([]hold, pending)
	for i := range holds {
		h := &holds[i]
		h.q, h.r, h.n = q, r, n
		h.timer.Init(h)
		h.Fire(0)
	}
	return q
}

func TestQueueDoesNotAllocate(t *testing.T) {
	q := newHold(1000)
	if n := testing.AllocsPerRun(10_000, func() { q.FireNext(Never) }); n != 0 {
		t.Errorf("%v allocations an event", n)
	}
}

// BenchmarkQueue is the hold model: with so many pending, fire one and set it
// again.
func BenchmarkQueue(b *testing.B) {
	for _, pending := range []int{1e3, 1e5, 1e6} {
		b.Run(fmt.Sprintf("pending=%.0e", float64(pending)), func(b *testing.B) {
			q := newHold(pending)
			b.ReportAllocs()
			for b.Loop() {
				q.FireNext(Never)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
