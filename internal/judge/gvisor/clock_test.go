package gvisor

import (
	"sync"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"gvisor.dev/gvisor/pkg/tcpip"
)

// clock is gVisor's time: the kernel moves it and fires its timers.
type clock struct {
	mu      sync.Mutex
	now     sim.Time
	pending []*alarm // in the order in which they were set
}

// alarm is one timer.
type alarm struct {
	clock *clock
	at    sim.Time
	ring  func()
}

var (
	_ tcpip.Clock = (*clock)(nil)
	_ tcpip.Timer = (*alarm)(nil)
)

// epoch is an instant of the present, as Linux's clocks show one.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return epoch.Add(time.Duration(c.now))
}

func (c *clock) NowMonotonic() tcpip.MonotonicTime {
	c.mu.Lock()
	defer c.mu.Unlock()
	// One that stands at zero looks like a time that was never set.
	return tcpip.MonotonicTime{}.Add(time.Hour + time.Duration(c.now))
}

func (c *clock) AfterFunc(d time.Duration, f func()) tcpip.Timer {
	a := &alarm{clock: c, ring: f}
	a.Reset(d)
	return a
}

func (a *alarm) Reset(d time.Duration) {
	a.Stop()
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	a.at = a.clock.now.Add(max(d, 0))
	a.clock.pending = append(a.clock.pending, a)
}

func (a *alarm) Stop() bool {
	a.clock.mu.Lock()
	defer a.clock.mu.Unlock()
	return a.clock.remove(a)
}

func (c *clock) remove(a *alarm) bool {
	for i, p := range c.pending {
		if p == a {
			c.pending = append(c.pending[:i], c.pending[i+1:]...)
			return true
		}
	}
	return false
}

// set moves the clock.
func (c *clock) set(now sim.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = now
}

// next is when the earliest timer is due, or Never.
func (c *clock) next() sim.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.first(); a != nil {
		return a.at
	}
	return sim.Never
}

func (c *clock) first() (first *alarm) {
	for _, a := range c.pending {
		if first == nil || a.at < first.at {
			first = a
		}
	}
	return first
}

// due takes out one timer that is due and returns what it does, or nil.
func (c *clock) due() func() {
	c.mu.Lock()
	defer c.mu.Unlock()
	a := c.first()
	if a == nil || a.at > c.now {
		return nil
	}
	c.remove(a)
	return a.ring
}
