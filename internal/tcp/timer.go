package tcp

import (
	"math/bits"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// timers are a connection's deadlines. As in Linux those of retransmission and
// probing exclude each other: pending says what retransmit is for.
type timers struct {
	deadline   sim.Time // the earliest of those below: the only one that outsiders see
	retransmit sim.Time
	delayedAck sim.Time
	compressed sim.Time // an ACK with SACK blocks that was held back
	keepalive  sim.Time // keepalive, FIN-WAIT-2 of an orphan, TIME-WAIT

	pending     pending
	backoff     uint8
	retransmits uint8 // timeouts since something was acknowledged (icsk_retransmits)
	probesOut   uint8
	probesSince sim.Time // when probing a closed window began, 0: not probing

	rto            sim.Duration
	srtt, mdev     int64 // microseconds, 8 and 4 times as much (RFC 6298 in fixed point)
	mdevMax        int64
	rttvar         int64
	rttSeq         uint32
	minRTT         minFilter
	rttSamples     uint32
	totalRetrans   uint32
	bytesRetrans   uint64
	bytesAcked     uint64
	bytesReceived  uint64
	segsIn         uint32
	segsOut        uint32
	dataSegsIn     uint32
	dataSegsOut    uint32
	reordersSeen   uint32
	dsackDups      uint32
	establishedAt  sim.Time
	lastAckArrived sim.Time
}

// pending is what the retransmission timer is for.
type pending uint8

const (
	pendingNone pending = iota
	pendingRetransmit
	pendingWindowProbe // the peer's window is closed (RFC 9293 3.8.6.1)
	pendingLossProbe   // RFC 8985 7
	pendingReorder     // RFC 8985 6.3
)

var pendingNames = [...]string{"", "on", "persist", "probe", "reorder"}

func (t *timers) clear() {
	t.retransmit, t.delayedAck, t.compressed, t.keepalive, t.deadline = sim.Never, sim.Never, sim.Never, sim.Never, sim.Never
	t.pending = pendingNone
}

// Deadline is when Advance has something to do; sim.Never: at no time.
func (c *Conn) Deadline() sim.Time { return c.deadline }

// settle stores the deadline. Every call from outside ends in it.
func (c *Conn) settle(sim.Time) {
	c.deadline = min(c.retransmit, c.delayedAck, c.compressed, c.keepalive)
}

// Advance does what is due.
func (c *Conn) Advance(now sim.Time) {
	if c.retransmit <= now {
		why := c.pending
		c.stopRetransmit()
		switch why {
		case pendingRetransmit:
			c.retransmitTimeout(now)
		case pendingWindowProbe:
			c.probeTimeout(now)
		case pendingLossProbe:
			c.sendLossProbe(now)
		case pendingReorder:
			c.reorderTimeout(now)
		}
	}
	if c.delayedAck <= now {
		c.delayedAckTimeout(now)
	}
	if c.compressed <= now {
		c.compressed = sim.Never
		if c.ack.compressed > 0 {
			c.ack.compressed--
			c.machine.Stats.TCPAckCompressed += uint64(c.ack.compressed)
			c.sendAck(now)
		}
	}
	if c.keepalive <= now {
		c.keepalive = sim.Never
		c.keepaliveTimeout(now)
	}
	c.settle(now)
}

func (c *Conn) setRetransmit(now sim.Time, why pending, d sim.Duration) {
	c.pending = why
	c.retransmit = now.Add(min(d, c.machine.Sysctl.RTOMax))
}

func (c *Conn) stopRetransmit() { c.pending, c.retransmit = pendingNone, sim.Never }

// rearmRTO is RFC 6298 5.1 to 5.3. Where another timer ran for the same segments,
// their RTO still counts from when they were sent (tcp_rearm_rto).
func (c *Conn) rearmRTO(now sim.Time) {
	if c.packetsOut == 0 {
		c.stopRetransmit()
		return
	}
	d := c.rto
	if c.pending == pendingReorder || c.pending == pendingLossProbe {
		d = max(c.untilRTO(now), sim.Duration(1))
	}
	c.setRetransmit(now, pendingRetransmit, d)
}

// untilRTO is how long the oldest segment has until its RTO.
func (c *Conn) untilRTO(now sim.Time) sim.Duration {
	return c.queue.at(0).at.Add(c.rto).Sub(now)
}

// retransmitTimeout is RFC 6298 5.4 to 5.7 (tcp_retransmit_timer).
func (c *Conn) retransmitTimeout(now sim.Time) {
	if c.packetsOut == 0 {
		return
	}
	stats := &c.machine.Stats
	c.tlpHighSeq = 0
	if c.sndWnd == 0 && !c.orphan && !c.state.in(SynSent, SynReceived) {
		// The peer took its window back. It is probed with what was sent, for as long as
		// it answers at all.
		if now.Sub(c.lastIn) > 2*c.machine.Sysctl.RTOMax {
			c.timeout(now)
			return
		}
		c.enterLoss(now)
		c.retransmitHead(now)
		c.backOff(now)
		return
	}
	if c.giveUp(now) {
		return
	}
	if c.retransmits == 0 {
		switch {
		case c.caState == caRecovery && c.sackEnabled:
			stats.TCPSackFailures++
		case c.caState == caRecovery:
			stats.TCPRenoFailures++
		case c.caState == caLoss:
			stats.TCPLossFailures++
		}
	}
	stats.TCPTimeouts++
	if c.state.in(SynSent, SynReceived) {
		c.retransmitSyn(now)
	} else {
		c.enterLoss(now)
		c.retransmitHead(now)
	}
	c.retransmits++
	c.backOff(now)
}

// backOff doubles the RTO (RFC 6298 5.5) and starts it. The first SYNs are sent a
// second apart (tcp_syn_linear_timeouts).
func (c *Conn) backOff(now sim.Time) {
	linear := c.state == SynSent && int(c.retransmits) <= c.machine.Sysctl.SynLinearTimeouts
	if !linear {
		c.backoff++
		c.rto = min(2*c.rto, c.machine.Sysctl.RTOMax)
	}
	c.setRetransmit(now, pendingRetransmit, c.untilUserTimeout(now, c.retransStamp, c.rto))
}

// untilUserTimeout cuts a wait short so that TCP_USER_TIMEOUT, counted from since,
// strikes when it should (tcp_clamp_rto_to_user_timeout).
func (c *Conn) untilUserTimeout(now, since sim.Time, wait sim.Duration) sim.Duration {
	if c.Options.UserTimeout == 0 || since == 0 {
		return wait
	}
	return min(wait, max(since.Add(c.Options.UserTimeout).Sub(now), timeoutMin))
}

func (c *Conn) retransmitSyn(now sim.Time) {
	flags := wire.TCPSyn
	if c.state == SynReceived {
		flags |= wire.TCPAck
	}
	if c.retransStamp == 0 {
		c.retransStamp = c.queue.at(0).at
	}
	c.queue.at(0).mark |= everRetrans
	c.queue.at(0).at = now
	c.machine.Stats.TCPSynRetrans++
	c.machine.Stats.RetransSegs++
	c.totalRetrans++
	c.sendSyn(now, flags)
}

// giveUp ends a connection that had its retries (tcp_write_timeout).
func (c *Conn) giveUp(now sim.Time) bool {
	k := c.machine.Sysctl
	expired := false
	switch {
	case c.state.in(SynSent, SynReceived):
		retries := k.SynRetries
		if c.Options.SynRetries > 0 {
			retries = c.Options.SynRetries
		}
		if c.state == SynSent {
			retries += k.SynLinearTimeouts
		}
		expired = int(c.retransmits) >= retries
		if c.Options.UserTimeout > 0 && c.retransStamp > 0 {
			expired = expired || now.Sub(c.retransStamp) >= c.Options.UserTimeout
		}
	default:
		retries := k.Retries2
		if c.orphan {
			retries = c.orphanRetries()
			if c.overMemory() {
				c.machine.Stats.TCPAbortOnMemory++
				c.reset(now)
				return true
			}
		}
		limit := c.modelTimeout(retries)
		if c.Options.UserTimeout > 0 {
			limit = c.Options.UserTimeout
		}
		expired = c.retransmits > 0 && c.retransStamp > 0 && now.Sub(c.retransStamp) >= limit
	}
	if expired {
		c.timeout(now)
	}
	return expired
}

// orphanRetries is tcp_orphan_retries: fewer where nobody waits any more.
func (c *Conn) orphanRetries() int {
	retries := c.machine.Sysctl.OrphanRetries
	alive := c.rto < c.machine.Sysctl.RTOMax
	switch {
	case c.soft != 0 && !alive:
		return 0
	case retries == 0 && alive:
		return 8
	}
	return retries
}

// modelTimeout is how long a number of retransmissions takes that start at the
// least RTO and double it (tcp_model_timeout): 924.6 s for 15.
func (c *Conn) modelTimeout(retries int) sim.Duration {
	k := c.machine.Sysctl
	doublings := bits.Len64(uint64(k.RTOMax/k.RTOMin)) - 1
	if retries <= doublings {
		return (2<<retries - 1) * k.RTOMin
	}
	return (2<<doublings-1)*k.RTOMin + sim.Duration(retries-doublings)*k.RTOMax
}

// timeout ends the connection because the peer does not answer.
func (c *Conn) timeout(now sim.Time) {
	c.machine.Stats.TCPAbortOnTimeout++
	err := c.soft
	if err == 0 {
		err = syscall.ETIMEDOUT
	}
	c.end(now, err)
}

// armProbe has a closed window probed (RFC 9293 3.8.6.1): something is to be
// sent, nothing is out, so no ACK will tell that the window opened.
func (c *Conn) armProbe(now sim.Time) {
	if c.packetsOut == 0 && c.pending == pendingNone && c.hasUnsent() && c.Established() && c.state != Closed {
		c.setRetransmit(now, pendingWindowProbe, max(c.rto, c.machine.Sysctl.RTOMin))
	}
}

// probeTimeout is tcp_probe_timer.
func (c *Conn) probeTimeout(now sim.Time) {
	if c.packetsOut > 0 || !c.hasUnsent() {
		c.probesOut, c.probesSince = 0, 0
		return
	}
	if c.probesSince == 0 {
		c.probesSince = now
	} else if u := c.Options.UserTimeout; u > 0 && now.Sub(c.probesSince) >= u {
		c.timeout(now)
		return
	}
	retries := c.machine.Sysctl.Retries2
	if c.orphan {
		retries = c.orphanRetries()
	}
	if int(c.probesOut) >= retries {
		c.timeout(now)
		return
	}
	c.machine.Stats.TCPWinProbe++
	c.probeWindow(now)
	if c.packetsOut > 0 || !c.hasUnsent() { // it was sent as data: the RTO is in charge
		c.probesOut, c.backoff = 0, 0
		return
	}
	c.probesOut++
	if int(c.backoff) < c.machine.Sysctl.Retries2 {
		c.backoff++
	}
	c.setRetransmit(now, pendingWindowProbe, c.untilUserTimeout(now, c.probesSince, c.probeWait()))
}

// probeWait is tcp_probe0_when.
func (c *Conn) probeWait() sim.Duration {
	d := max(c.rto, c.machine.Sysctl.RTOMin)
	for range c.backoff {
		if d >= c.machine.Sysctl.RTOMax {
			break
		}
		d *= 2
	}
	return min(d, c.machine.Sysctl.RTOMax)
}

// armKeepalive starts or stops the keepalive timer as SO_KEEPALIVE says.
func (c *Conn) armKeepalive(now sim.Time) {
	if !c.state.in(Established, FinWait1, FinWait2, CloseWait, LastAck, Closing) || c.orphan {
		return
	}
	c.keepalive = sim.Never
	if c.Options.KeepAlive {
		c.keepalive = now.Add(c.keepaliveIdle() - c.idle(now))
	}
}

func (c *Conn) keepaliveIdle() sim.Duration {
	if c.Options.KeepaliveIdle > 0 {
		return c.Options.KeepaliveIdle
	}
	return c.machine.Sysctl.KeepaliveTime
}

// idle is how long nothing has arrived.
func (c *Conn) idle(now sim.Time) sim.Duration {
	return min(now.Sub(max(c.lastIn, c.establishedAt)), now.Sub(max(c.lastAckArrived, c.establishedAt)))
}

// keepaliveTimeout is RFC 9293 3.8.4 with Linux's times (tcp_keepalive_timer). It
// also ends TIME-WAIT and the FIN-WAIT-2 of an orphan.
func (c *Conn) keepaliveTimeout(now sim.Time) {
	switch {
	case c.state == TimeWait:
		c.end(now, 0)
		return
	case c.state == FinWait2 && c.orphan: // the peer never finished; Linux forgets it silently
		c.end(now, 0)
		return
	case !c.Options.KeepAlive || c.state.in(Closed, SynSent, SynReceived):
		return
	}
	k := c.machine.Sysctl
	interval, probes := k.KeepaliveInterval, k.KeepaliveProbes
	if c.Options.KeepaliveInterval > 0 {
		interval = c.Options.KeepaliveInterval
	}
	if c.Options.KeepaliveProbes > 0 {
		probes = c.Options.KeepaliveProbes
	}
	if c.packetsOut > 0 || c.hasUnsent() { // the RTO or the window probe watches the peer
		c.keepalive = now.Add(c.keepaliveIdle())
		return
	}
	idle := c.idle(now)
	if idle < c.keepaliveIdle() {
		c.keepalive = now.Add(c.keepaliveIdle() - idle)
		return
	}
	u := c.Options.UserTimeout
	if u > 0 && idle >= u && c.probesOut > 0 || u == 0 && int(c.probesOut) >= probes {
		c.sendReset(now)
		c.timeout(now)
		return
	}
	c.machine.Stats.TCPKeepAlive++
	c.probeBare(now)
	c.probesOut++
	c.keepalive = now.Add(interval)
}

// sampleRTT is RFC 6298 2 and 3 as Linux computes it (tcp_rtt_estimator): the
// deviation grows at once and shrinks once in a round trip, and is at least the
// least RTO.
func (c *Conn) sampleRTT(rtt sim.Duration) {
	m := max(int64(rtt)/1000, 1)
	floor := int64(c.machine.Sysctl.RTOMin) / 1000
	if c.srtt == 0 {
		c.srtt = m << 3
		c.mdev = m << 1
		c.rttvar = max(c.mdev, floor)
		c.mdevMax = c.rttvar
		c.rttSeq = c.sndNxt
	} else {
		m -= c.srtt >> 3
		c.srtt += m
		if m < 0 {
			// An RTT that falls is no reason to wait longer: the deviation takes an eighth
			// of what it would.
			if m = -m - c.mdev>>2; m > 0 {
				m >>= 3
			}
		} else {
			m -= c.mdev >> 2
		}
		c.mdev += m
		if c.mdev > c.mdevMax {
			c.mdevMax = c.mdev
			c.rttvar = max(c.rttvar, c.mdevMax)
		}
		if after(c.sndUna, c.rttSeq) {
			if c.mdevMax < c.rttvar {
				c.rttvar -= (c.rttvar - c.mdevMax) >> 2
			}
			c.rttSeq = c.sndNxt
			c.mdevMax = floor
		}
	}
	c.rttSamples++
	c.setRTO()
}

// setRTO is RFC 6298 2.3 without a backoff.
func (c *Conn) setRTO() {
	if c.srtt > 0 {
		c.rto = min(sim.Duration(c.srtt>>3+c.rttvar)*1000, c.machine.Sysctl.RTOMax)
	}
	c.backoff = 0
}

// minFilter is a running minimum over a window of time (lib/win_minmax.c): the
// best of the window and the two that would follow it.
type minFilter struct {
	at    [3]sim.Time
	value [3]sim.Duration
}

// add takes a sample and drops what is older than the window.
func (f *minFilter) add(now sim.Time, v, window sim.Duration) {
	if f.value[0] == 0 || v <= f.value[0] || now.Sub(f.at[2]) > window {
		for i := range f.value {
			f.at[i], f.value[i] = now, v
		}
		return
	}
	switch {
	case v <= f.value[1]:
		f.at[1], f.value[1] = now, v
		f.at[2], f.value[2] = now, v
	case v <= f.value[2]:
		f.at[2], f.value[2] = now, v
	}
	switch age := now.Sub(f.at[0]); {
	case age > window:
		f.at[0], f.value[0] = f.at[1], f.value[1]
		f.at[1], f.value[1] = f.at[2], f.value[2]
		f.at[2], f.value[2] = now, v
	case f.at[1] == f.at[0] && age > window/4:
		f.at[1], f.value[1] = now, v
		f.at[2], f.value[2] = now, v
	case f.at[2] == f.at[1] && age > window/2:
		f.at[2], f.value[2] = now, v
	}
}

// best is the minimum, 0 without a sample.
func (f *minFilter) best() sim.Duration { return f.value[0] }
