package shell

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// pingCount is what ping counts and measures, as iputils' ping_common.c does. It
// knows no clock and no socket.
type pingCount struct {
	sent, received   int
	repeats, corrupt int
	errors           int

	timed      bool // the payload has room for a timestamp
	least      time.Duration
	most       time.Duration
	sum, sumSq float64 // microseconds
	pipe       int     // the most requests that were under way at a time

	begun, last time.Time                // of the first and the last request
	requests    map[uint16]pingedRequest // by sequence number, which wraps
}

type pingedRequest struct {
	at       time.Time
	answered bool
}

// request counts a request that is sent, or that could not be.
func (c *pingCount) request(at time.Time) (seq uint16) {
	c.sent++
	seq = uint16(c.sent)
	if c.sent == 1 {
		c.begun = at
	}
	if c.requests == nil {
		c.requests = map[uint16]pingedRequest{}
	}
	c.last, c.requests[seq] = at, pingedRequest{at: at}
	return seq
}

// underWay notes how many requests were on their way when this one's fate came.
func (c *pingCount) underWay(seq uint16) {
	if n := int(uint16(c.sent)-seq) + 1; n <= 0x8000 {
		c.pipe = max(c.pipe, n)
	}
}

// reply counts a reply and returns how long it took, in whole microseconds, and
// whether it is not the first to its request.
func (c *pingCount) reply(seq uint16, at time.Time) (took time.Duration, repeat bool) {
	c.underWay(seq)
	r := c.requests[seq]
	took = max(at.Sub(r.at), 0).Truncate(time.Microsecond)
	if c.timed {
		us := float64(took.Microseconds())
		c.sum += us
		c.sumSq += us * us
		if c.received+c.repeats == 0 || took < c.least {
			c.least = took
		}
		c.most = max(c.most, took)
	}
	if r.answered {
		c.repeats++
		return took, true
	}
	r.answered = true
	c.requests[seq] = r
	c.received++
	return took, false
}

// failure counts an error that was reported about a request.
func (c *pingCount) failure(seq uint16) {
	c.underWay(seq)
	c.errors++
}

// String is the summary under "--- NAME ping statistics ---".
func (c *pingCount) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d packets transmitted, %d received", c.sent, c.received)
	for _, extra := range []struct {
		n    int
		what string
	}{{c.repeats, "duplicates"}, {c.corrupt, "corrupted"}, {c.errors, "errors"}} {
		if extra.n > 0 {
			fmt.Fprintf(&b, ", +%d %s", extra.n, extra.what)
		}
	}
	if c.sent > 0 {
		fmt.Fprintf(&b, ", %s%% packet loss, time %dms", lossPercent(c.sent, c.received),
			c.last.Sub(c.begun).Round(time.Millisecond).Milliseconds())
	}
	b.WriteByte('\n')
	separator := ""
	if c.received > 0 && c.timed {
		n := float64(c.received + c.repeats)
		mean := math.Floor(c.sum / n)
		// The deviation is that of the population, from the sum of squares.
		deviation := math.Floor(math.Sqrt(max(0, (c.sumSq-c.sum*c.sum/n)/n)))
		fmt.Fprintf(&b, "rtt min/avg/max/mdev = %s/%s/%s/%s ms",
			milliseconds(c.least), milliseconds(time.Duration(mean)*time.Microsecond),
			milliseconds(c.most), milliseconds(time.Duration(deviation)*time.Microsecond))
		separator = ", "
	}
	if c.pipe > 1 {
		fmt.Fprintf(&b, "%spipe %d", separator, c.pipe)
	}
	b.WriteByte('\n')
	return b.String()
}

// lossPercent has six digits at most, as printf's %g.
func lossPercent(sent, received int) string {
	return fmt.Sprintf("%.6g", 100*float64(sent-received)/float64(sent))
}

// milliseconds writes d in milliseconds with three decimals.
func milliseconds(d time.Duration) string {
	us := d.Microseconds()
	return fmt.Sprintf("%d.%03d", us/1000, us%1000)
}

// roundTrip writes a reply's time with three digits after the first, as iputils
// does: the longer it took, the fewer decimals.
func roundTrip(d time.Duration) string {
	us := d.Microseconds()
	switch {
	case us >= 100000-50:
		return fmt.Sprintf("%d", (us+500)/1000)
	case us >= 10000-5:
		us += 50
		return fmt.Sprintf("%d.%01d", us/1000, us%1000/100)
	case us >= 1000:
		us += 5
		return fmt.Sprintf("%d.%02d", us/1000, us%1000/10)
	}
	return fmt.Sprintf("%d.%03d", us/1000, us%1000)
}
