package scenario

import (
	"context"
	"errors"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
)

// Options say how a scenario is played.
type Options struct {
	Live  bool     // by the wall clock
	Until sim.Time // end then at the latest; 0: as the lab says

	// Progress, if not nil, is called by another goroutine about five times a
	// second of wall time, from the first second on.
	Progress func(Progress)

	// SetUp, if not nil, runs in the kernel when the network is up.
	SetUp func(now sim.Time) error

	// Stay has the run go on when all that the lab asks for is done, until it is
	// stopped or the lab's duration is over.
	Stay bool

	// Sample has the connections of tcp loads sampled, for Report.Series. It changes
	// nothing of what happens.
	Sample bool
}

// Progress is how far a run has come.
type Progress struct {
	Share  float64 // of the run's virtual time; negative where its end is not known
	Time   sim.Time
	Until  sim.Time // sim.Never where it is not known
	Frames uint64   // sent so far; 0 where nothing is recorded
	Wall   time.Duration
}

const (
	progressAfter = time.Second
	progressEvery = 200 * time.Millisecond

	// When a lab says no duration, it ends when nothing is on the way any more.
	settleEvery = 10 * time.Millisecond
	settleMax   = 10 * time.Second
)

// player is one playing of a scenario on a network. All of it belongs to the
// kernel.
type player struct {
	*Scenario
	network *lab.Network
	origin  *sim.Origin // the scenario itself, after all nodes

	commands []*commandResult // by item; nil for a load
	loads    []*loadResult    // by item; nil for a command
	sources  []*source
	happened []happening

	counter *counter
	flows   *flows

	open    int // what is still to happen or to end
	running int // commands
	idle    sim.Time
	settle  sim.Timer
	last    sim.Timer // holds the run until its end, where that is known

	sampling bool
	losing   map[*link.Link][]*fault // events that choose packets to lose

	started error // what went wrong before the first event
	report  *Report
}

// happening is an event that took place.
type happening struct {
	at         sim.Time
	name, text string
}

func (p *player) note(now sim.Time, name, text string) {
	p.happened = append(p.happened, happening{now, name, text})
}

// Play plays the scenario on a network newly built from its plan, whose recorder
// it watches where there is one, and returns what came of it. With an error the
// report is nil or, if the run was stopped, of what happened until then.
func (s *Scenario) Play(ctx context.Context, n *lab.Network, o Options) (*Report, error) {
	p := &player{Scenario: s, network: n, origin: n.Kernel.NewOrigin("scenario"), counter: newCounter(s.questions), flows: newFlows(s.plan), losing: map[*link.Link][]*fault{}, sampling: o.Sample}
	if n.Recorder != nil {
		n.Recorder.Attach(p.counter)
		n.Recorder.Attach(p.flows)
	}
	p.settle.Init((*settler)(p))
	until := sim.Never
	if s.lab.Duration > 0 {
		until = sim.Time(s.lab.Duration)
	}
	if o.Until > 0 {
		until = min(until, o.Until)
	}
	begin := time.Now()
	stop := p.watch(o, until, begin)
	run := n.Kernel.RunVirtual
	if o.Live {
		run = n.Kernel.RunLive
	}
	err := run(ctx, until, func() { p.setUp(until, o) }, p.finish)
	stop()
	err = errors.Join(p.started, err)
	if p.report != nil {
		p.report.Wall = time.Since(begin)
		if errors.Is(err, sim.ErrStopped) {
			p.report.Stopped = true
			p.report.Passed = false
		} else if err != nil {
			return nil, err
		}
	}
	return p.report, err
}

// watch reports progress until stop is called.
func (p *player) watch(o Options, until sim.Time, begin time.Time) (stop func()) {
	if o.Progress == nil {
		return func() {}
	}
	done, gone := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(gone)
		timer := time.NewTimer(progressAfter)
		defer timer.Stop()
		for {
			select {
			case <-done:
				return
			case <-timer.C:
				timer.Reset(progressEvery)
			}
			at := p.network.Kernel.Reached()
			share := -1.0
			if until != sim.Never {
				share = float64(at) / float64(until)
			}
			o.Progress(Progress{Share: share, Time: at, Until: until, Frames: p.counter.shown.Load(), Wall: time.Since(begin)})
		}
	}()
	return func() { close(done); <-gone }
}

// setUp starts the network and sets a timer for everything that is to happen.
func (p *player) setUp(until sim.Time, o Options) {
	p.started = p.network.Start(0)
	if p.started == nil && o.SetUp != nil {
		p.started = o.SetUp(0)
	}
	if p.started != nil {
		p.network.Kernel.End()
		return
	}
	if p.lab.Duration > 0 {
		p.last.Init(nothing{}) // a kernel with no event left would end before
		p.origin.Set(&p.last, until)
	}
	p.open = 1 // this
	if o.Stay {
		p.open++
	}
	for _, it := range p.items {
		if it.load != nil {
			r := &loadResult{}
			p.loads, p.commands = append(p.loads, r), append(p.commands, nil)
			if it.load.tcp {
				p.startTransfers(it, r)
			} else {
				p.startLoad(it, r)
			}
			continue
		}
		r := &commandResult{}
		p.loads, p.commands = append(p.loads, nil), append(p.commands, r)
		for _, n := range it.nodes {
			s := &schedule{player: p, item: it, result: r, node: n}
			s.timer.Init(s)
			p.open++
			p.origin.Set(&s.timer, sim.Time(it.At))
		}
	}
	for i := range p.lab.Events {
		f := &fault{player: p, event: &p.lab.Events[i], lose: p.losses[i]}
		f.timer.Init(f)
		p.open++
		p.origin.Set(&f.timer, sim.Time(f.event.At))
	}
	p.finished(0)
}

// finished notes that one thing that was asked for is done. When all are, and the
// lab does not say how long it runs, it ends once nothing is on its way.
func (p *player) finished(now sim.Time) {
	if p.open--; p.open == 0 && p.lab.Duration == 0 {
		p.idle = now
		p.origin.Set(&p.settle, now)
	}
}

// nothing is what happens at the end.
type nothing struct{}

// Fire does nothing.
func (nothing) Fire(sim.Time) {}

type settler player

// Fire ends the run if no frame is left anywhere, and looks again if one is.
func (s *settler) Fire(now sim.Time) {
	p := (*player)(s)
	if p.network.Pool.Lent() == 0 || now.Sub(p.idle) >= settleMax {
		p.network.Kernel.End()
		return
	}
	p.origin.Set(&p.settle, now.Add(settleEvery))
}

// finish closes what the scenario opened and writes the report.
func (p *player) finish() {
	for _, s := range p.sources {
		s.close()
	}
	if p.started == nil {
		p.report = p.newReport()
	}
}
