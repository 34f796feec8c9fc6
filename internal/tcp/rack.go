package tcp

import "github.com/hopyard/hopyard/internal/sim"

// rack is RFC 8985's state: the latest segment that arrived, by when it was sent.
type rack struct {
	at            sim.Time
	end           uint32
	rtt           sim.Duration
	fack          uint32 // the end of the highest segment that is SACKed; means nothing where none is
	advanced      bool
	dsackSeen     bool
	steps         uint8 // of the reordering window, in quarters of the least RTT
	persist       uint8 // recoveries until the window shrinks again
	lastDelivered uint32
}

const rackRecoveriesToShrink = 16 // TCP_RACK_RECOVERY_THRESH; RFC 8985 6.2 step 4

func (c *Conn) rackOn() bool { return c.machine.Sysctl.Recovery&1 != 0 && c.sackEnabled }

// sentAfter is RACK_sent_after of RFC 8985 6.1.
func sentAfter(at sim.Time, end uint32, otherAt sim.Time, otherEnd uint32) bool {
	return at > otherAt || at == otherAt && after(end, otherEnd)
}

// rackAdvance notes a segment that arrived (RFC 8985 6.2 steps 1 and 2;
// tcp_rack_advance). One that was sent again and is acknowledged sooner than a
// round trip can be is taken for the first sending.
func (c *Conn) rackAdvance(now sim.Time, q *sent) {
	rtt := now.Sub(q.at)
	if q.mark&(retrans|everRetrans) != 0 && c.minRTT.best() > 0 && rtt < c.minRTT.best() {
		return
	}
	c.rack.advanced = true
	c.rack.rtt = rtt
	if sentAfter(q.at, q.end, c.rack.at, c.rack.end) {
		c.rack.at, c.rack.end = q.at, q.end
	}
}

// reorderWindow is how much later than later ones a segment may come before it is
// lost (RFC 8985 6.2 step 4; tcp_rack_reo_wnd).
func (c *Conn) reorderWindow() sim.Duration {
	if !c.reorderSeen {
		if c.caState >= caRecovery || c.sackedOut >= c.reordering {
			return 0
		}
	}
	return min(c.minRTT.best()/4*sim.Duration(c.rack.steps), sim.Duration(c.srtt>>3)*1000)
}

// updateReorderWindow widens the window once in a round trip in which a
// retransmission was needless, and forgets that after 16 recoveries
// (tcp_rack_update_reo_wnd).
func (c *Conn) updateReorderWindow(a *acked) {
	r := &c.rack
	if !c.rackOn() || len(c.queue.items) == 0 && c.packetsOut == 0 && !r.dsackSeen {
		return
	}
	// Nothing sent since the last change has been acknowledged yet: same round trip.
	if r.dsackSeen && before(a.delivered, r.lastDelivered) {
		r.dsackSeen = false
	}
	if r.dsackSeen {
		r.steps = uint8(min(255, int(r.steps)+1))
		r.dsackSeen = false
		r.lastDelivered = c.delivered
		r.persist = rackRecoveriesToShrink
	} else if r.persist == 0 {
		r.steps = 1
	}
}

// detectLoss marks what later sent segments have overtaken by more than the
// reordering window, and says how long until the next would be (RFC 8985 6.2 step 5;
// tcp_rack_detect_loss). Segments lie in the order of sequence numbers, and one
// that was sent once and after the latest to arrive has none behind it that was sent earlier.
func (c *Conn) detectLoss(now sim.Time) (wait sim.Duration) {
	window := c.reorderWindow()
	for i := range c.queue.n {
		q := c.queue.at(i)
		if q.mark&sacked != 0 || q.mark&lost != 0 && q.mark&retrans == 0 {
			continue
		}
		if !sentAfter(c.rack.at, c.rack.end, q.at, q.end) {
			if q.mark&everRetrans == 0 {
				break
			}
			continue
		}
		if left := c.rack.rtt + window - now.Sub(q.at); left > 0 {
			wait = max(wait, left)
			continue
		}
		c.markLost(q)
	}
	return wait
}

// rackMarkLost is tcp_rack_mark_lost; it reports whether it set the reordering
// timer.
func (c *Conn) rackMarkLost(now sim.Time) bool {
	if !c.rack.advanced {
		return false
	}
	c.rack.advanced = false
	wait := c.detectLoss(now)
	if wait == 0 {
		return false
	}
	c.setRetransmit(now, pendingReorder, wait+timeoutMin)
	return true
}

// reorderTimeout is tcp_rack_reo_timeout: what was given time for reordering is
// lost now.
func (c *Conn) reorderTimeout(now sim.Time) {
	if c.packetsOut == 0 {
		return
	}
	prior := c.inFlight()
	wait := c.detectLoss(now)
	if prior != c.inFlight() {
		if c.caState != caRecovery {
			c.enterRecovery(false)
			c.reduceCwnd(1, 0, 0)
		}
		c.retransmitLost(now)
	}
	if wait > 0 {
		c.setRetransmit(now, pendingReorder, wait+timeoutMin)
	} else if c.pending != pendingRetransmit {
		c.rearmRTO(now)
	}
}

// checkReordering notes that a segment arrived late by distance in sequence
// numbers (tcp_check_sack_reordering).
func (c *Conn) checkReordering(low uint32, timestamp bool) {
	highest := c.rack.fack
	if c.sackedOut == 0 { // tcp_highest_sack_seq
		highest = c.sndUna
	}
	if !before(low, highest) {
		return
	}
	if metric := highest - low; c.mss > 0 && metric > c.reordering*uint32(c.mss) {
		n := (metric + uint32(c.mss) - 1) / uint32(c.mss)
		c.reordering = min(n, uint32(c.machine.Sysctl.MaxReordering))
	}
	c.reorderSeen = true
	c.reordersSeen++
	if timestamp {
		c.machine.Stats.TCPTSReorder++
	} else {
		c.machine.Stats.TCPSACKReorder++
	}
}

// scheduleLossProbe starts the probe timeout, two round trips (RFC 8985 7.2;
// tcp_schedule_loss_probe). It reports false where there is to be none.
func (c *Conn) scheduleLossProbe(now sim.Time, advancing bool) bool {
	if k := c.machine.Sysctl.EarlyRetrans; k != 3 && k != 4 || c.packetsOut == 0 || !c.sackEnabled ||
		c.caState != caOpen && c.caState != caCWR {
		return false
	}
	d := rtoInitial
	if c.srtt > 0 {
		d = sim.Duration(c.srtt>>2) * 1000
		if c.packetsOut == 1 {
			d += c.machine.Sysctl.RTOMin // the peer may delay its ACK
		} else {
			d += timeoutMin
		}
	}
	limit := c.rto
	if !advancing {
		limit = c.untilRTO(now)
	}
	if limit > 0 {
		d = min(d, limit)
	}
	c.setRetransmit(now, pendingLossProbe, d)
	return true
}

// sendLossProbe sends new data or the last segment again, so that the ACK tells
// of a lost tail (RFC 8985 7.3).
func (c *Conn) sendLossProbe(now sim.Time) {
	if c.packetsOut == 0 {
		return
	}
	if c.tlpHighSeq != 0 { // one at a time
		c.rearmRTO(now)
		return
	}
	c.tlpRetrans = false
	prior := c.packetsOut
	if c.hasUnsent() {
		c.transmitNew(now, holdNothing, true)
	}
	if c.packetsOut == prior {
		last := c.queue.n - 1
		if c.queue.at(last).mark&sacked != 0 || !c.retransmitOne(now, last) {
			c.rearmRTO(now)
			return
		}
		c.tlpRetrans = true
	}
	c.machine.Stats.TCPLossProbes++
	c.tlpHighSeq = c.sndNxt
	c.stopRetransmit()
	c.rearmRTO(now)
}

// processLossProbeAck is RFC 8985 7.4.2: a probe that filled a hole means a loss,
// which costs what losses cost.
func (c *Conn) processLossProbeAck(now sim.Time, s *Segment, a *acked) {
	if before(s.Ack, c.tlpHighSeq) {
		return
	}
	switch {
	case !c.tlpRetrans || a.flags&flagDSACK != 0:
		c.tlpHighSeq = 0
	case after(s.Ack, c.tlpHighSeq):
		c.initReduction()
		c.setCA(caCWR)
		c.endReduction(now)
		c.tryKeepOpen()
		c.machine.Stats.TCPLossProbeRecovery++
		c.tlpHighSeq = 0
	case a.flags&(flagUnaAdvanced|flagNotDup|flagDataSacked) == 0:
		c.tlpHighSeq = 0
	}
}
