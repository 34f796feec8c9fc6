package sim

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Kernel owns a run: its clock, its queue of events and the programs that take
// part. All state of the network belongs to the goroutine inside Run; programs
// reach it with calls alone. A lab without programs never sleeps and never
// waits: it is a plain discrete-event loop.
type Kernel struct {
	queue   Queue
	now     Time
	origins []*Origin

	ready []*Caller // programs that an event let go on, in order
	procs []*Proc   // programs that run, in the order of their start
	fault error     // the first program that panicked

	mu       sync.Mutex
	asked    []call      // what programs asked for since the kernel last looked
	asking   atomic.Bool // whether there is any, for a look without the lock
	answered []call      // storage for the next round

	driver driver
	until  Time
	events uint64
	shown  atomic.Int64 // now, for a progress bar in another goroutine
}

// New returns a kernel whose clock stands at zero.
func New() *Kernel { return &Kernel{until: Never} }

// Now is the instant of the run. It may be read in the kernel alone.
func (k *Kernel) Now() Time { return k.now }

// Reached is the instant of the run, a little late; any goroutine may read it,
// to show progress.
func (k *Kernel) Reached() Time { return Time(k.shown.Load()) }

// Events is how many timers have fired.
func (k *Kernel) Events() uint64 { return k.events }

// Origin is a node in the order of events: everything that the node causes goes
// through its origin, which numbers it.
type Origin struct {
	kernel *Kernel
	name   string
	next   Order
	procs  uint32
}

// NewOrigin adds a node to the order of events, after all that are there.
func (k *Kernel) NewOrigin(name string) *Origin {
	o := &Origin{kernel: k, name: name, next: Order(len(k.origins)) << originShift}
	k.origins = append(k.origins, o)
	return o
}

// Name is what the node is called.
func (o *Origin) Name() string { return o.name }

// ID is the node's number in the order of events.
func (o *Origin) ID() uint32 { return o.next.Origin() }

// Next returns the next number of the origin's own sequence.
func (o *Origin) Next() Order {
	o.next++
	return o.next
}

// Now is the instant of the run.
func (o *Origin) Now() Time { return o.kernel.now }

// Set sets t, or moves it; Never stops it.
func (o *Origin) Set(t *Timer, at Time) { o.kernel.queue.Set(t, at, o.Next()) }

// SetOrder is Set for an event that was numbered, with Next, when it was caused
// and enters the queue later.
func (o *Origin) SetOrder(t *Timer, at Time, order Order) { o.kernel.queue.Set(t, at, order) }

// Stop stops t.
func (o *Origin) Stop(t *Timer) { o.kernel.queue.Stop(t) }

// At is the instant t is set to, or Never.
func (o *Origin) At(t *Timer) Time { return o.kernel.queue.At(t) }

// ErrStopped is returned by a run whose context ended before it did.
var ErrStopped = errors.New("stopped before its end")

// End asks the run to end at the present instant. Kernel only.
func (k *Kernel) End() { k.until = k.now }

// EndAt asks the run to end at an instant. Kernel only.
func (k *Kernel) EndAt(t Time) { k.until = max(t, k.now) }

// play is the kernel loop. It returns when the run's end is reached or when
// nothing can ever happen again.
func (k *Kernel) play(ctx context.Context) error {
	for {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("%w: %w", ErrStopped, context.Cause(ctx))
		}
		if k.alive() {
			// Programs whose own timers fired at this instant run first, until all of
			// them wait: which goroutine woke first then makes no difference.
			k.driver.settle()
		}
		k.fire(ctx)
		again := k.resume()
		if k.answer() || again {
			continue
		}
		if k.fault != nil {
			return k.fault
		}
		next := k.queue.Next()
		if k.now >= k.until || next == Never && !k.alive() && !k.driver.waits() {
			return nil
		}
		if err := k.advance(min(next, k.until)); err != nil {
			return err
		}
	}
}

func (k *Kernel) alive() bool { return len(k.procs) > 0 }

// fire runs every event that is due, in order.
func (k *Kernel) fire(ctx context.Context) {
	for k.queue.FireNext(k.now) {
		k.events++
		if k.events%4096 == 0 {
			k.shown.Store(int64(k.now))
			if ctx.Err() != nil {
				return
			}
		}
	}
}

// resume lets programs go on, each until it waits again: two that are woken at
// the same instant cannot race.
func (k *Kernel) resume() bool {
	if len(k.ready) == 0 {
		return false
	}
	for i := 0; i < len(k.ready); i++ {
		c := k.ready[i]
		k.ready[i] = nil
		c.reply <- struct{}{}
		k.driver.settle()
	}
	k.ready = k.ready[:0]
	return true
}

// answer runs what programs asked for, ordered by (node, program, caller, the
// caller's own sequence), so Go's scheduler has no say in it.
func (k *Kernel) answer() bool {
	if !k.asking.Load() {
		return false
	}
	k.mu.Lock()
	calls := k.asked
	k.asked = k.answered
	k.asking.Store(false)
	k.mu.Unlock()
	slices.SortFunc(calls, func(a, b call) int {
		return cmp.Or(cmp.Compare(a.caller.proc.key, b.caller.proc.key), cmp.Compare(a.caller.id, b.caller.id), cmp.Compare(a.seq, b.seq))
	})
	for _, c := range calls {
		c.do(k.now)
	}
	clear(calls)
	k.answered = calls[:0]
	return true
}

// advance moves the clock to the instant of the next event, or to an earlier
// one at which a program asks for something.
func (k *Kernel) advance(to Time) error {
	if !k.alive() && !k.driver.waits() {
		k.now = to
		return nil
	}
	at, err := k.driver.sleep(k.now, to)
	if errors.Is(err, errIdle) {
		return fmt.Errorf("nothing can happen any more, and these programs still wait: %s", k.waiting())
	}
	k.now = max(k.now, at)
	k.shown.Store(int64(k.now))
	return err
}

func (k *Kernel) waiting() string {
	var names []string
	for _, p := range k.procs {
		names = append(names, p.String())
	}
	return strings.Join(names, ", ")
}
