package socket

import (
	"os"
	"sync/atomic"
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
	until  atomic.Int64 // the deadline as the program sees it, 0: none

	// The rest belongs to the kernel.
	origin  *sim.Origin
	timer   sim.Timer
	try     func(now sim.Time) (done bool, err error) // the operation that waits, or nil
	expired bool
	trying  bool
	again   bool
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

// ready tries the operation that waits, if one does. What trying sets off may
// call ready again: then it is tried once more. Kernel only.
func (s *side) ready(now sim.Time) {
	s.again = true
	if s.trying {
		return
	}
	s.trying = true
	for s.again && s.try != nil {
		s.again = false
		if done, err := s.try(now); done {
			s.finish(err)
		}
	}
	s.trying = false
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

// deadlineOf is a deadline in Unix nanoseconds, 0 for none.
func deadlineOf(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return max(t.UnixNano(), 1)
}

// passed reports whether the deadline has passed for the program.
func (s *side) passed() bool {
	until := s.until.Load()
	return until != 0 && time.Now().UnixNano() >= until
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
