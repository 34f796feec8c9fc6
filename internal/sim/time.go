// Package sim is what drives a network: time, the order of events, random
// streams and the kernel that plays them, in virtual or in live time.
//
// It knows nothing of networks. Everything that happens in a lab is either a
// Timer that fires in the kernel, in the one order that Queue keeps, or a Call
// that a program (an ordinary goroutine, a Proc) leaves with the kernel. Start
// reading at Kernel.
package sim

import (
	"fmt"
	"math"
	"time"
)

// Time is an instant of a run, in nanoseconds since its start.
type Time int64

// Duration is a span of time in nanoseconds.
type Duration = time.Duration

// Never is later than every instant of a run: a deadline that is not set.
const Never Time = math.MaxInt64

// Add returns the instant d after t; it stops at Never instead of wrapping.
func (t Time) Add(d Duration) Time {
	sum := t + Time(d)
	if d > 0 && sum < t {
		return Never
	}
	return sum
}

// Sub returns the span from u to t.
func (t Time) Sub(u Time) Duration { return Duration(t - u) }

// String writes t in seconds with nine decimals, as a capture would.
func (t Time) String() string {
	if t == Never {
		return "never"
	}
	sign := ""
	if t < 0 {
		sign, t = "-", -t
	}
	return fmt.Sprintf("%s%d.%09ds", sign, t/1e9, t%1e9)
}
