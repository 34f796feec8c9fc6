package tcp

import (
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// fragment splits a segment of the queue that is longer than the MSS is now, so
// that it can be sent again.
func (c *Conn) fragment(i int) {
	q := c.queue.at(i)
	mss := uint32(c.currentMSS())
	length := q.end - q.seq
	if q.flags.Has(wire.TCPFin) {
		length--
	}
	if length <= mss {
		return
	}
	rest := *q
	q.end = q.seq + mss
	q.flags &^= wire.TCPFin | wire.TCPPsh
	rest.seq = q.end
	c.queue.insert(i, rest)
	c.packetsOut++
	switch {
	case rest.mark&sacked != 0:
		c.sackedOut++
	case rest.mark&lost != 0:
		c.lostOut++
	}
	if rest.mark&retrans != 0 {
		c.retransOut++
	}
}

// retransmitOne sends the i-th segment of the queue again; false where the peer's
// window forbids it (__tcp_retransmit_skb).
func (c *Conn) retransmitOne(now sim.Time, i int) bool {
	q := c.queue.at(i)
	if !before(q.seq, c.windowEnd()) && q.seq != c.sndUna {
		return false
	}
	c.fragment(i)
	q = c.queue.at(i)
	if q.flags.Has(wire.TCPFin) && q.end-q.seq == 1 {
		q.flags &^= wire.TCPPsh
	}
	c.sendSegment(now, q, true)
	q.at = now
	q.retries++
	if q.mark&retrans == 0 {
		q.mark |= retrans
		c.retransOut++
	}
	q.mark |= everRetrans
	c.stampDelivery(now, q)
	if c.retransStamp == 0 {
		c.retransStamp = now
	}
	if c.undoRetrans < 0 {
		c.undoRetrans = 0
	}
	c.undoRetrans++
	c.totalRetrans++
	c.bytesRetrans += uint64(q.end - q.seq)
	c.machine.Stats.RetransSegs++
	return true
}

// retransmitHead sends the oldest segment again.
func (c *Conn) retransmitHead(now sim.Time) {
	if c.queue.n > 0 && !c.retransmitOne(now, 0) {
		c.machine.Stats.TCPRetransFail++
	}
}

// retransmitLost sends what is lost again as far as cwnd allows
// (tcp_xmit_retransmit_queue; NextSeg of RFC 6675 4).
func (c *Conn) retransmitLost(now sim.Time) {
	if c.lostOut == 0 {
		return
	}
	rearm := false
	for i := c.queue.find(c.lostFrom); i < c.queue.n; i++ {
		q := c.queue.at(i)
		c.lostFrom = q.seq
		if c.inFlight() >= c.cwnd {
			break
		}
		if q.mark&lost == 0 || q.mark&(sacked|retrans) != 0 {
			continue
		}
		if c.caState == caLoss {
			c.machine.Stats.TCPSlowStartRetrans++
		} else {
			c.machine.Stats.TCPFastRetrans++
		}
		if !c.retransmitOne(now, i) {
			break
		}
		if c.inReduction() {
			c.prrOut++
		}
		if i == 0 && c.pending != pendingReorder {
			rearm = true
		}
	}
	if rearm {
		c.setRetransmit(now, pendingRetransmit, c.rto)
	}
}

// resendAfterAck sends what an ACK asks for (tcp_xmit_recovery), and then new
// data: the window may have opened.
func (c *Conn) resendAfterAck(now sim.Time, how resend) {
	if how == resendNew {
		c.transmitNew(now, holdNothing, false)
		if after(c.sndNxt, c.highSeq) {
			return // RFC 5682 2.1 step 2b
		}
		c.frto = false
		how = resendLost
	}
	if how == resendLost {
		c.retransmitLost(now)
	}
}

// controlCongestion sets cwnd after an ACK (tcp_cong_control).
func (c *Conn) controlCongestion(now sim.Time, a *acked) {
	delivered := c.delivered - a.delivered
	if c.inReduction() {
		c.reduceCwnd(delivered, c.lostTotal-a.lost, a.flags)
		return
	}
	// Raise cwnd for what moves forward; out of order only where the path is known to
	// reorder (tcp_may_raise_cwnd).
	raise := a.flags&(flagDataAcked|flagSynAcked) != 0
	if c.reordering > uint32(c.machine.Sysctl.Reordering) {
		raise = a.flags&(flagDataAcked|flagSynAcked|flagDataSacked) != 0
	}
	if raise && (a.flags&flagECE == 0 || c.cwnd < c.ssthresh) {
		c.congestion.increase(c, now, delivered, a.rtt)
		c.cwndStamp = now
	}
}

// isCwndLimited is RFC 7661's test: cwnd only grows where it is what limits.
func (c *Conn) isCwndLimited() bool {
	if c.cwndLimited {
		return true
	}
	return c.cwnd < c.ssthresh && c.cwnd < 2*c.maxOut
}

// validateCwnd notes how much of cwnd is used (tcp_cwnd_validate; RFC 2861).
func (c *Conn) validateCwnd(now sim.Time, limited bool) {
	if !before(c.sndUna, c.maxOutSeq) || limited || !c.cwndLimited && c.packetsOut > c.maxOut {
		c.cwndLimited = limited
		c.maxOut = c.packetsOut
		c.maxOutSeq = c.sndNxt
	}
	if c.isCwndLimited() { // all of it
		c.cwndUsed = 0
		c.cwndStamp = now
		return
	}
	if c.packetsOut > c.cwndUsed {
		c.cwndUsed = c.packetsOut
	}
	if c.machine.Sysctl.SlowStartAfterIdle && now.Sub(c.cwndStamp) >= c.rto {
		c.shrinkToUsed(now)
	}
}

// shrinkToUsed is tcp_cwnd_application_limited: an application that sent less than
// it might for an RTO loses half of what it did not use.
func (c *Conn) shrinkToUsed(now sim.Time) {
	if c.caState == caOpen && !c.full {
		if used := max(c.cwndUsed, initialCwnd); used < c.cwnd {
			c.ssthresh = c.currentSsthresh()
			c.cwnd = (c.cwnd + used) >> 1
		}
		c.cwndUsed = 0
	}
	c.cwndStamp = now
}

// restartAfterIdle is RFC 5681 4.1: after an RTO without sending, cwnd starts
// anew (tcp_slow_start_after_idle_check).
func (c *Conn) restartAfterIdle(now sim.Time) {
	if !c.machine.Sysctl.SlowStartAfterIdle || c.packetsOut > 0 {
		return
	}
	idle := now.Sub(c.lastSent)
	if idle <= c.rto || c.lastSent == 0 {
		return
	}
	cwnd := c.cwnd
	restart := min(uint32(initialCwnd), cwnd)
	c.ssthresh = c.currentSsthresh()
	for idle -= c.rto; idle > 0 && cwnd > restart; idle -= c.rto {
		cwnd >>= 1
	}
	c.cwnd = max(cwnd, restart)
	c.cwndStamp = now
	c.cwndUsed = 0
}

// rates measure how fast data is delivered (draft-ietf-ccwg-bbr 4.1.2; tcp_rate.c).
type rates struct {
	deliveredAt  sim.Time
	firstSent    sim.Time
	limitedUntil uint32 // delivered when the application last ran dry, 0: it does not
	rateCount    uint32
	rateInterval sim.Duration
	rateLimited  bool
}

// rateSample is one measurement.
type rateSample struct {
	valid          bool
	prior          uint32
	priorAt        sim.Time
	sentAt         sim.Time
	end            uint32
	sendInterval   sim.Duration
	limited        bool
	retransmission bool
	delivered      uint32
	interval       sim.Duration
}

// stampDelivery is tcp_rate_skb_sent.
func (c *Conn) stampDelivery(now sim.Time, q *sent) {
	if c.packetsOut == 0 {
		c.firstSent, c.deliveredAt = now, now
	}
	q.firstSent, q.deliveredAt, q.delivered = c.firstSent, c.deliveredAt, c.delivered
	q.mark &^= appLimited | counted
	if c.limitedUntil != 0 {
		q.mark |= appLimited
	}
}

// noteDelivered is tcp_rate_skb_delivered.
func (c *Conn) noteDelivered(now sim.Time, q *sent, a *acked) {
	if q.mark&counted != 0 {
		return
	}
	r := &a.rate
	if !r.valid || sentAfter(q.at, q.end, r.sentAt, r.end) {
		r.valid = true
		r.prior, r.priorAt = q.delivered, q.deliveredAt
		r.sentAt, r.end = q.at, q.end
		r.limited = q.mark&appLimited != 0
		r.retransmission = q.mark&everRetrans != 0
		c.firstSent = q.at
		r.sendInterval = q.at.Sub(q.firstSent)
	}
	q.mark |= counted
	c.deliveredAt = now
}

// sampleRate is tcp_rate_gen.
func (c *Conn) sampleRate(now sim.Time, a *acked) {
	if c.limitedUntil != 0 && after(c.delivered, c.limitedUntil) {
		c.limitedUntil = 0
	}
	r := &a.rate
	if !r.valid {
		return
	}
	r.delivered = c.delivered - r.prior
	r.interval = max(r.sendInterval, now.Sub(r.priorAt))
	if r.interval < c.minRTT.best() || r.interval == 0 {
		r.valid = false
		return
	}
	if !r.limited || uint64(r.delivered)*uint64(c.rateInterval) >= uint64(c.rateCount)*uint64(r.interval) {
		c.rateCount, c.rateInterval, c.rateLimited = r.delivered, r.interval, r.limited
	}
}
