package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// driver is where the kernel's time comes from. Nothing outside this file knows
// which one runs.
type driver interface {
	settle()                                 // returns when no program is running
	sleep(now, to Time) (at Time, err error) // until to, or until wake
	wake()                                   // ends sleep; any goroutine
	catchUp(now Time)                        // brings the programs' clock to now
	waits() bool                             // whether time passes by itself
}

// errIdle says that sleep can never end.
var errIdle = errors.New("idle for ever")

// idleMax stands for "for ever" on the bubble's clock, which ends in 2262.
const idleMax = 200 * 365 * 24 * time.Hour

type virtual struct {
	start time.Time
	woken chan struct{}
	timer *time.Timer // used again and again: a new one for each event is a third of what an event costs
}

func (v *virtual) settle()     { synctest.Wait() }
func (v *virtual) waits() bool { return false }

func (v *virtual) wake() {
	select {
	case v.woken <- struct{}{}:
	default:
	}
}

func (v *virtual) catchUp(now Time) { time.Sleep(time.Until(v.start.Add(Duration(now)))) }

func (v *virtual) sleep(now, to Time) (Time, error) {
	span := min(to.Sub(now), idleMax)
	if v.timer == nil {
		v.timer = time.NewTimer(span)
	} else {
		v.timer.Reset(span)
	}
	select {
	case <-v.timer.C:
		if span == idleMax {
			v.start = v.start.Add(span) // the run's clock stood still
			return now, errIdle
		}
	case <-v.woken:
		v.timer.Stop()
	}
	return Time(time.Since(v.start)), nil
}

type live struct {
	start time.Time
	woken chan struct{}
	done  <-chan struct{}
}

func (l *live) settle()      {}
func (l *live) catchUp(Time) {}
func (l *live) waits() bool  { return true }

func (l *live) wake() {
	select {
	case l.woken <- struct{}{}:
	default:
	}
}

// sleep returns the event's own instant when it is due, however late the
// machine is: events of a live run carry the times of a virtual one.
func (l *live) sleep(now, to Time) (Time, error) {
	timer := time.NewTimer(time.Until(l.start.Add(Duration(min(to, Time(idleMax))))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return to, nil
	case <-l.woken:
	case <-l.done:
		l.done = nil // heard once; programs may still need time to end
	}
	return min(Time(time.Since(l.start)), to), nil
}

// RunVirtual plays the run as fast as the machine goes, until an instant
// (Never: until nothing is left to happen). setUp, if not nil, runs first in the
// kernel, where programs may be started, and finish last.
//
// Programs run in a bubble of testing/synctest, whose clock jumps ahead when
// all its goroutines wait: in the caller's, if it is in one, else in a new one. Test
// needs no more of the T than that it is there; no other way to a bubble is public
// (Go 1.26).
func (k *Kernel) RunVirtual(ctx context.Context, until Time, setUp func(), finish func()) (err error) {
	if inBubble() {
		k.driver = &virtual{start: time.Now(), woken: make(chan struct{}, 1)}
		return k.run(ctx, until, setUp, finish)
	}
	defer func() {
		if r := recover(); r != nil {
			err = errors.Join(err, fmt.Errorf("goroutines were left behind when the lab ended (%v): %s", r, leftBehind()))
		}
	}()
	var t testing.T
	synctest.Test(&t, func(*testing.T) {
		k.driver = &virtual{start: time.Now(), woken: make(chan struct{}, 1)}
		err = k.run(ctx, until, setUp, finish)
	})
	return err
}

// inBubble reports whether the caller runs in a bubble: elsewhere Wait panics.
func inBubble() (inside bool) {
	defer func() { inside = recover() == nil }()
	synctest.Wait()
	return true
}

// RunLive plays the run by the wall clock, until an instant or until ctx ends.
func (k *Kernel) RunLive(ctx context.Context, until Time, setUp func(), finish func()) error {
	k.driver = &live{start: time.Now(), woken: make(chan struct{}, 1), done: ctx.Done()}
	return k.run(ctx, until, setUp, finish)
}

// stopGrace is how long programs may take to end when the run has ended.
const stopGrace = 5 * time.Second

func (k *Kernel) run(ctx context.Context, until Time, setUp, finish func()) (err error) {
	defer func() {
		if r := recover(); r != nil { // a broken invariant; testing's own recovery would hide it
			buf := make([]byte, 64<<10)
			err = fmt.Errorf("hopyard is broken at %v: %v\n%s", k.now, r, buf[:runtime.Stack(buf, false)])
		}
	}()
	k.until = until
	if setUp != nil {
		setUp()
	}
	err = k.play(ctx)
	err = errors.Join(err, k.stopPrograms())
	k.shown.Store(int64(k.now))
	if finish != nil {
		finish()
	}
	return err
}

// stopPrograms ends what still runs and names what does not end.
func (k *Kernel) stopPrograms() error {
	if !k.alive() {
		return nil
	}
	for _, p := range k.procs {
		p.Stop(ErrEnded)
	}
	k.fault = nil
	k.until = k.now.Add(stopGrace)
	err := k.playUntilAlone()
	if k.alive() {
		return errors.Join(err, fmt.Errorf("these programs did not stop when the run ended: %s", k.waiting()))
	}
	return err
}

func (k *Kernel) playUntilAlone() error {
	for k.alive() && k.now < k.until {
		k.driver.settle()
		k.fire(context.Background())
		again := k.resume()
		if k.answer() || again {
			continue
		}
		if err := k.advance(min(k.queue.Next(), k.until)); err != nil {
			return err
		}
	}
	return k.fault
}

// leftBehind names the functions in which goroutines of a bubble wait.
func leftBehind() string {
	buf := make([]byte, 1<<20)
	var names []string
	for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		head, rest, _ := strings.Cut(g, "\n")
		if !strings.Contains(head, "synctest bubble") {
			continue
		}
		if _, created, ok := strings.Cut(rest, "created by "); ok {
			name, _, _ := strings.Cut(created, " in goroutine")
			names = append(names, name)
		}
	}
	return strings.Join(names, ", ")
}
