package socket

import (
	"os"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
)

// gate lets one goroutine through at a time. A sync.Mutex would not do: it is held
// while the kernel works, and the kernel waits until all goroutines are durably
// blocked (testing/synctest), which one that waits for a mutex is not.
type gate chan struct{}

func newGate() gate { return make(gate, 1) }

func (g gate) enter() { g <- struct{}{} }
func (g gate) leave() { <-g }

// side is one direction of a socket: a blocking operation at a time, that ends
// when the kernel can do it, when its deadline passes or when the socket closes.
type side struct {
	gate   gate // held by the goroutine whose operation it is
	caller *sim.Caller
	result error

	// The rest belongs to the kernel.
	origin  *sim.Origin
	timer   sim.Timer
	try     func(now sim.Time) (done bool, err error) // the operation that waits, or nil
	expired bool
}

func newSide(p *sim.Proc) *side {
	s := &side{gate: newGate(), caller: p.NewCaller(), origin: p.Origin()}
	s.timer.Init((*expiry)(s))
	return s
}

// do runs try in the kernel, now and each time ready is called, until it is
// done. It returns os.ErrDeadlineExceeded if the deadline comes first.
func (s *side) do(try func(now sim.Time) (done bool, err error)) error {
	s.gate.enter()
	defer s.gate.leave()
	s.caller.Call(func(now sim.Time) {
		if s.expired {
			s.finish(os.ErrDeadlineExceeded)
			return
		}
		s.try = try
		s.ready(now)
	})
	return s.result
}

// ready tries the operation that waits, if one does. Kernel only.
func (s *side) ready(now sim.Time) {
	if s.try == nil {
		return
	}
	if done, err := s.try(now); done {
		s.finish(err)
	}
}

// fail ends the operation that waits, if one does. Kernel only.
func (s *side) fail(err error) {
	if s.try != nil {
		s.finish(err)
	}
}

func (s *side) finish(err error) {
	s.try, s.result = nil, err
	s.caller.Return()
}

type expiry side

// Fire ends the operation that waits: its deadline has come.
func (e *expiry) Fire(sim.Time) {
	s := (*side)(e)
	s.expired = true
	s.fail(os.ErrDeadlineExceeded)
}

// setDeadline sets or, with the zero time, clears the deadline. Kernel only.
func (s *side) setDeadline(now sim.Time, clear bool, left time.Duration) {
	s.expired = false
	s.origin.Stop(&s.timer)
	switch {
	case clear:
	case left <= 0:
		(*expiry)(s).Fire(now)
	default:
		s.origin.Set(&s.timer, now.Add(left))
	}
}
