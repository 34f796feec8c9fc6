package scenario

import (
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/tcp"
)

// Series is how one connection of a tcp load went over time.
type Series struct {
	Name   string // of the load
	Node   string
	Points []Point
}

// Point is the state of a connection at an instant.
type Point struct {
	At       time.Duration
	Cwnd     int // segments
	Ssthresh int // segments; 0: not yet found
	InFlight int // segments
	Window   int // the peer's, bytes
	RTT      time.Duration
	RTO      time.Duration
	Acked    uint64 // bytes so far
}

const (
	sampleFirst = 5 * time.Millisecond
	samplesMax  = 4000
)

// sampler looks at a transfer at even intervals. When it has many samples, it
// throws every other away and looks half as often: memory is bounded, whatever the
// length.
type sampler struct {
	transfer *transfer
	timer    sim.Timer
	every    sim.Duration
	points   []Point
}

func (t *transfer) sample(now sim.Time) {
	t.samples = &sampler{transfer: t, every: sampleFirst}
	t.samples.timer.Init(t.samples)
	t.samples.Fire(now)
}

// Fire takes a sample. It changes nothing of what happens.
func (s *sampler) Fire(now sim.Time) {
	t := s.transfer
	if t.done {
		return
	}
	s.take(now, t.tcp.Conn().Info(now))
	if len(s.points) == samplesMax {
		for i := range samplesMax / 2 {
			s.points[i] = s.points[2*i]
		}
		s.points = s.points[:samplesMax/2]
		s.every *= 2
	}
	t.player.origin.Set(&s.timer, now.Add(s.every))
}

func (s *sampler) take(now sim.Time, i tcp.Info) {
	p := Point{
		At: time.Duration(now), Cwnd: i.Cwnd, Ssthresh: i.Ssthresh, InFlight: i.InFlight, Window: i.SendWindow,
		RTT: i.RTT, RTO: i.RTO, Acked: i.BytesAcked,
	}
	if p.Ssthresh == 1<<31-1 {
		p.Ssthresh = 0
	}
	s.points = append(s.points, p)
}

// series are the samples of all transfers, in the order of the lab.
func (p *player) series() (all []Series) {
	for i, r := range p.loads {
		if r == nil {
			continue
		}
		for _, t := range r.transfers {
			if t.samples != nil {
				all = append(all, Series{Name: p.items[i].title(), Node: t.host.Name(), Points: t.samples.points})
			}
		}
	}
	return all
}
