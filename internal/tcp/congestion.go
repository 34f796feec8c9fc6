package tcp

import (
	"math/bits"

	"github.com/hopyard/hopyard/internal/sim"
)

// congestion decides how cwnd grows and how far a loss takes it down. It is asked
// only; recovery.go moves cwnd while losses are repaired.
type congestion interface {
	// name is as TCP_CONGESTION has it.
	name() string
	// threshold is ssthresh after congestion.
	threshold(c *Conn) uint32
	// increase raises cwnd after an ACK that delivered a number of segments; rtt is its
	// sample of the round trip, 0 for none.
	increase(c *Conn, now sim.Time, delivered uint32, rtt sim.Duration)
	// undo is cwnd after a reduction that was for nothing.
	undo(c *Conn) uint32
	// state tells that recovery changes state.
	state(c *Conn, s caState)
	// loss tells that an RTO struck.
	loss(c *Conn)
	// resume tells that sending starts again after an idle time.
	resume(now sim.Time, idle sim.Duration)
}

// Algorithms are the names of the congestion control algorithms.
var Algorithms = []string{"reno", "cubic"}

// newCongestion is the algorithm of that name, CUBIC where there is none.
func newCongestion(name string) congestion {
	if name == "reno" {
		return reno{}
	}
	return &cubic{}
}

// slowStart is RFC 5681 3.1 with appropriate byte counting (RFC 3465, L = all);
// it returns what is left of delivered at ssthresh.
func (c *Conn) slowStart(delivered uint32) uint32 {
	cwnd := min(c.cwnd+delivered, c.ssthresh)
	delivered -= cwnd - c.cwnd
	c.cwnd = min(cwnd, cwndMax)
	return delivered
}

// avoid raises cwnd by one in every each segments.
func (c *Conn) avoid(each, delivered uint32) {
	if c.cwndCount >= each {
		c.cwndCount = 0
		c.cwnd++
	}
	c.cwndCount += delivered
	if c.cwndCount >= each {
		n := c.cwndCount / each
		c.cwndCount -= n * each
		c.cwnd += n
	}
	c.cwnd = min(c.cwnd, cwndMax)
}

const cwndMax = 1 << 20 // segments: beyond any buffer

// reno is NewReno (RFC 5681 3.1).
type reno struct{}

func (reno) name() string                  { return "reno" }
func (reno) threshold(c *Conn) uint32      { return max(c.cwnd>>1, 2) }
func (reno) undo(c *Conn) uint32           { return max(c.cwnd, c.priorCwnd) }
func (reno) state(*Conn, caState)          {}
func (reno) loss(*Conn)                    {}
func (reno) resume(sim.Time, sim.Duration) {}

func (reno) increase(c *Conn, _ sim.Time, delivered uint32, _ sim.Duration) {
	if !c.isCwndLimited() {
		return
	}
	if c.cwnd < c.ssthresh {
		if delivered = c.slowStart(delivered); delivered == 0 {
			return
		}
	}
	c.avoid(c.cwnd, delivered)
}

// cubic is CUBIC (RFC 9438) in Linux's fixed point (tcp_cubic.c): whole numbers
// give the same recording on every machine. Times are in 1/1024 s.
type cubic struct {
	each       uint32 // segments that raise cwnd by one
	lastMax    uint32 // W_max
	lastCwnd   uint32
	lastUpdate sim.Time
	origin     uint32 // where the plateau is
	k          uint64 // K: how long after the reduction it is reached
	delayMin   sim.Duration
	epoch      sim.Time
	inEpoch    bool
	acks       uint32 // since estimated was raised
	estimated  uint32 // W_est

	// HyStart (RFC 9406's forerunner, as Linux has it).
	found      bool
	roundStart sim.Time
	roundEnd   uint32
	lastAck    sim.Time
	roundRTT   sim.Duration
	samples    int
	started    bool
}

const (
	cubicBeta    = 717 // of 1024: RFC 9438 4.6
	cubicScale   = 410 // C = 0.4 in 1/1024
	cubicHz      = 10  // log2 of ticks in a second
	hystartCwnd  = 16
	hystartGap   = 2 * 1e6  // ns between ACKs of one train
	hystartLow   = 4 * 1e6  // bounds of what the RTT may grow
	hystartHigh  = 16 * 1e6 //
	hystartCount = 8
)

func (*cubic) name() string        { return "cubic" }
func (*cubic) undo(c *Conn) uint32 { return max(c.cwnd, c.priorCwnd) }
func (*cubic) loss(*Conn)          {}

// resume: the curve does not go on while nothing is sent (RFC 9438 5.8).
func (u *cubic) resume(now sim.Time, idle sim.Duration) {
	if u.inEpoch && idle > 0 {
		u.epoch = min(u.epoch.Add(idle), now)
	}
}

// threshold is RFC 9438 4.6, with fast convergence (4.7).
func (u *cubic) threshold(c *Conn) uint32 {
	u.inEpoch = false
	if c.cwnd < u.lastMax {
		u.lastMax = c.cwnd * (1024 + cubicBeta) / 2048
	} else {
		u.lastMax = c.cwnd
	}
	return max(c.cwnd*cubicBeta/1024, 2)
}

func (u *cubic) state(_ *Conn, s caState) {
	if s == caLoss {
		*u = cubic{}
	}
}

func (u *cubic) increase(c *Conn, now sim.Time, delivered uint32, rtt sim.Duration) {
	u.observe(c, now, rtt)
	if !c.isCwndLimited() {
		return
	}
	if c.cwnd < c.ssthresh {
		if delivered = c.slowStart(delivered); delivered == 0 {
			return
		}
	}
	u.update(c.cwnd, delivered, now)
	c.avoid(u.each, delivered)
}

// update sets each so that cwnd follows W_cubic(t) (RFC 9438 4.2), or W_est where
// that is more (4.3).
func (u *cubic) update(cwnd, delivered uint32, now sim.Time) {
	u.acks += delivered
	if u.lastCwnd == cwnd && u.inEpoch && now.Sub(u.lastUpdate) <= 1e9/32 {
		return
	}
	if !u.inEpoch || now.Sub(u.lastUpdate) >= 1e6 {
		u.lastCwnd, u.lastUpdate = cwnd, now
		if !u.inEpoch {
			u.inEpoch, u.epoch, u.acks, u.estimated = true, now, delivered, cwnd
			u.k, u.origin = 0, cwnd
			if u.lastMax > cwnd {
				u.k = cubeRoot(1 << (10 + 3*cubicHz) / cubicScale * uint64(u.lastMax-cwnd))
				u.origin = u.lastMax
			}
		}
		u.follow(cwnd, now)
	}
	step := cwnd * (8 * (1024 + cubicBeta) / 3 / (1024 - cubicBeta)) >> 3
	for step > 0 && u.acks > step {
		u.acks -= step
		u.estimated++
	}
	if u.estimated > cwnd {
		u.each = min(u.each, cwnd/(u.estimated-cwnd))
	}
	u.each = max(u.each, 2)
}

func (u *cubic) follow(cwnd uint32, now sim.Time) {
	t := uint64(now.Sub(u.epoch)+u.delayMin) << cubicHz / 1e9
	distance := max(t, u.k) - min(t, u.k)
	distance = min(distance, 1<<17) // the cube must not overflow; that is far beyond any cwnd
	delta := uint32(min(uint64(cubicScale)*distance*distance*distance>>(10+3*cubicHz), cwndMax))
	target := u.origin + delta
	if t < u.k {
		target = u.origin - min(delta, u.origin)
	}
	u.each = 100 * cwnd
	if target > cwnd {
		u.each = cwnd / (target - cwnd)
	}
	if u.lastMax == 0 { // no loss yet: 5 % in a round trip at least
		u.each = min(u.each, 20)
	}
}

// cubeRoot is the whole part of the cube root.
func cubeRoot(v uint64) uint64 {
	var root uint64
	for bit := uint64(1) << ((bits.Len64(v) + 2) / 3); bit > 0; bit >>= 1 {
		if next := root + bit; next*next*next <= v {
			root = next
		}
	}
	return root
}

// observe is HyStart: it ends slow start when ACKs arrive spread over half the
// least RTT, or when the RTT grows.
func (u *cubic) observe(c *Conn, now sim.Time, rtt sim.Duration) {
	if rtt <= 0 || u.inEpoch && now.Sub(u.epoch) < 1e9 {
		return
	}
	if u.delayMin == 0 || rtt < u.delayMin {
		u.delayMin = rtt
	}
	if u.found || c.cwnd >= c.ssthresh || c.cwnd < hystartCwnd {
		return
	}
	if !u.started || after(c.sndUna, u.roundEnd) {
		u.started = true
		u.roundStart, u.lastAck, u.roundEnd = now, now, c.sndNxt
		u.roundRTT, u.samples = 1<<62, 0
	}
	if now.Sub(u.lastAck) <= hystartGap {
		u.lastAck = now
		if now.Sub(u.roundStart) > (u.delayMin+min(1e6, u.ackDelay(c)))/2 {
			u.found = true
			c.machine.Stats.TCPHystartTrainDetect++
			c.ssthresh = c.cwnd
		}
	}
	if u.roundRTT = min(u.roundRTT, rtt); u.samples < hystartCount {
		u.samples++
	} else if u.roundRTT > u.delayMin+min(max(u.delayMin>>3, hystartLow), hystartHigh) {
		u.found = true
		c.machine.Stats.TCPHystartDelayDetect++
		c.ssthresh = c.cwnd
	}
}

// ackDelay is hystart_ack_delay: what a receiver that coalesces may add, four of
// the largest bursts at the present rate.
func (u *cubic) ackDelay(c *Conn) sim.Duration {
	rate := c.pacingRate()
	if rate == 0 {
		return 0
	}
	return sim.Duration(4 * 65536 * 1e9 / rate)
}
