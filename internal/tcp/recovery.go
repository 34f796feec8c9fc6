package tcp

import (
	"github.com/hopyard/hopyard/internal/sim"
)

// caState is the state of loss recovery, with Linux's numbers (tcp_ca_state).
type caState uint8

const (
	caOpen     caState = iota // nothing is wrong
	caDisorder                // duplicate ACKs or SACK blocks, no loss yet
	caCWR                     // cwnd is being reduced, without a loss: congestion echo
	caRecovery                // cwnd is being reduced, and losses are sent again (RFC 6675)
	caLoss                    // the RTO struck (RFC 5681 3.1, RFC 5682)
)

var caNames = [...]string{"open", "disorder", "cwr", "recovery", "loss"}

// resend is what follows an ACK.
type resend uint8

const (
	resendNothing resend = iota
	resendLost
	resendNew
)

func (c *Conn) setCA(s caState) {
	c.congestion.state(c, s)
	c.caState = s
}

// currentSsthresh is tcp_current_ssthresh: where cwnd would be, were it not being
// reduced.
func (c *Conn) currentSsthresh() uint32 {
	if c.inReduction() {
		return c.ssthresh
	}
	return max(c.ssthresh, c.cwnd>>1+c.cwnd>>2)
}

// alert is tcp_fastretrans_alert: what a dubious ACK means for loss recovery.
func (c *Conn) alert(now sim.Time, a *acked, duplicate bool) resend {
	if c.packetsOut == 0 && c.sackedOut > 0 {
		c.sackedOut = 0
	}
	if a.flags&flagECE != 0 {
		c.priorSsthresh = 0
	}
	if c.checkReneging(now, a) {
		return resendNothing
	}
	if c.caState == caOpen {
		c.retransStamp = 0
	} else if !before(c.sndUna, c.highSeq) && c.leaveRecovery(now) {
		return resendNothing
	}
	fast, how := false, resendNothing
	switch c.caState {
	case caRecovery:
		if a.flags&flagUnaAdvanced == 0 {
			if !c.sackEnabled && duplicate {
				c.addRenoSack()
			}
		} else if c.undoPartial(now, a) {
			return resendNothing
		}
		if c.undoDSACK(now) {
			c.tryKeepOpen()
		}
		c.identifyLoss(now, a)
		if c.caState != caRecovery {
			if !c.timeToRecover() {
				return resendNothing
			}
			c.enterRecovery(a.flags&flagECE != 0)
		}
	case caLoss:
		how = c.processLoss(now, a, duplicate)
		c.identifyLoss(now, a)
		if c.caState != caOpen && a.flags&flagLostRetrans == 0 {
			return how
		}
		fallthrough // the timeout was undone, or what it sent again is lost
	default:
		if !c.sackEnabled {
			if a.flags&flagUnaAdvanced != 0 {
				c.sackedOut = 0
			}
			if duplicate {
				c.addRenoSack()
			}
		}
		if c.caState <= caDisorder {
			c.undoDSACK(now)
		}
		c.identifyLoss(now, a)
		if !c.timeToRecover() {
			c.tryToOpen(a)
			return how
		}
		c.enterRecovery(a.flags&flagECE != 0)
		fast = true
	}
	if !c.rackOn() && (duplicate || fast || a.flags&flagDataSacked != 0) {
		c.updateScoreboard(fast)
	}
	return resendLost
}

// leaveRecovery ends a state whose recovery point is acknowledged. It reports
// whether that is all there is to do.
func (c *Conn) leaveRecovery(now sim.Time) bool {
	switch c.caState {
	case caCWR:
		if c.sndUna != c.highSeq {
			c.endReduction(now)
			c.setCA(caOpen)
		}
	case caRecovery:
		if !c.sackEnabled {
			c.sackedOut = 0
		}
		if c.undoRecovery(now) {
			return true
		}
		c.endReduction(now)
	}
	return false
}

// checkReneging is for a peer that dropped what it had SACKed (RFC 2018 8): the
// first segment is marked and yet not acknowledged.
func (c *Conn) checkReneging(now sim.Time, a *acked) bool {
	if a.flags&flagUnaAdvanced == 0 || c.queue.n == 0 || c.queue.at(0).mark&sacked == 0 {
		return false
	}
	c.machine.Stats.TCPSACKReneging++
	delay := max(sim.Duration(c.srtt>>4)*1000, 10*1e6)
	c.setRetransmit(now, pendingRetransmit, delay)
	a.flags &^= flagSetTimer
	return true
}

// timeToRecover reports whether loss is sure enough (tcp_time_to_recover).
func (c *Conn) timeToRecover() bool {
	if c.lostOut > 0 {
		return true
	}
	return !c.rackOn() && c.sackEnabled && c.sackedOut >= c.reordering
}

// identifyLoss is tcp_identify_packet_loss: RACK's way, or without SACK RFC
// 6582's.
func (c *Conn) identifyLoss(now sim.Time, a *acked) {
	switch {
	case c.queue.n == 0:
	case !c.sackEnabled:
		if c.caState < caRecovery && c.sackedOut >= c.reordering ||
			c.caState == caRecovery && a.flags&flagUnaAdvanced != 0 {
			if q := c.queue.at(0); q.mark&lost == 0 {
				c.fragment(0)
				c.markLost(c.queue.at(0))
			}
		}
	case c.rackOn():
		prior := c.retransOut
		if c.rackMarkLost(now) {
			a.flags &^= flagSetTimer
		}
		if prior > c.retransOut {
			a.flags |= flagLostRetrans
		}
	}
}

// updateScoreboard marks lost what lies reordering segments below SACKed ones,
// RFC 6675's way for when RACK is off (tcp_update_scoreboard).
func (c *Conn) updateScoreboard(fast bool) {
	if !c.sackEnabled {
		return
	}
	above := c.sackedOut
	limit := max(c.reordering, 1)
	for i := 0; i < c.queue.n && above >= limit; i++ {
		q := c.queue.at(i)
		if q.mark&sacked != 0 {
			above--
			continue
		}
		if q.mark&(lost|retrans) == 0 {
			c.markLost(q)
		}
	}
	if fast && c.lostOut == 0 && c.queue.n > 0 {
		c.markLost(c.queue.at(0))
	}
}

// markLost is tcp_mark_skb_lost. What was sent again is lost again.
func (c *Conn) markLost(q *sent) {
	if q.mark&sacked != 0 {
		return
	}
	if q.mark&lost != 0 {
		if q.mark&retrans != 0 {
			q.mark &^= retrans
			c.retransOut--
			c.lostTotal++
			if before(q.seq, c.lostFrom) {
				c.lostFrom = q.seq
			}
			c.machine.Stats.TCPLostRetransmit++
		}
		return
	}
	if c.lostOut == 0 || before(q.seq, c.lostFrom) {
		c.lostFrom = q.seq
	}
	q.mark |= lost
	c.lostOut++
	c.lostTotal++
	if q.mark&retrans != 0 {
		q.mark &^= retrans
		c.retransOut--
		c.machine.Stats.TCPLostRetransmit++
	}
}

// enterRecovery is tcp_enter_recovery (RFC 6675 5 step 4).
func (c *Conn) enterRecovery(echo bool) {
	if c.sackEnabled {
		c.machine.Stats.TCPSackRecovery++
	} else {
		c.machine.Stats.TCPRenoRecovery++
	}
	c.priorSsthresh = 0
	c.initUndo()
	if !c.inReduction() {
		if !echo {
			c.priorSsthresh = c.currentSsthresh()
		}
		c.initReduction()
	}
	c.setCA(caRecovery)
}

func (c *Conn) initUndo() {
	c.undoMarker, c.undoing = c.sndUna, true
	c.undoRetrans = int32(c.retransOut)
	if c.retransOut == 0 {
		c.undoRetrans = -1
	}
}

// initReduction starts proportional rate reduction (RFC 6937 3.1).
func (c *Conn) initReduction() {
	c.highSeq = c.sndNxt
	c.tlpHighSeq = 0
	c.cwndCount = 0
	c.priorCwnd = c.cwnd
	c.prrDelivered, c.prrOut = 0, 0
	c.ssthresh = c.congestion.threshold(c)
	c.queueCWR()
}

func (c *Conn) queueCWR() {
	if c.ecn&ecnOK != 0 {
		c.ecn |= ecnQueueCWR
	}
}

// reduceCwnd is RFC 6937 3.1 with the slow start reduction bound: cwnd goes down
// to ssthresh as the peer takes delivery (tcp_cwnd_reduction).
func (c *Conn) reduceCwnd(delivered, newlyLost uint32, flags ackFlags) {
	if delivered == 0 || c.priorCwnd == 0 {
		return
	}
	c.prrDelivered += delivered
	flight := c.inFlight()
	var count int64
	if delta := int64(c.ssthresh) - int64(flight); delta < 0 {
		dividend := uint64(c.ssthresh)*uint64(c.prrDelivered) + uint64(c.priorCwnd) - 1
		count = int64(dividend/uint64(c.priorCwnd)) - int64(c.prrOut)
	} else {
		count = max(int64(c.prrDelivered)-int64(c.prrOut), int64(delivered))
		if flags&flagUnaAdvanced != 0 && newlyLost == 0 {
			count++
		}
		count = min(delta, count)
	}
	if c.prrOut == 0 { // the first retransmission goes out at once
		count = max(count, 1)
	}
	c.cwnd = flight + uint32(max(count, 0))
}

// endReduction is tcp_end_cwnd_reduction.
func (c *Conn) endReduction(now sim.Time) {
	if c.ssthresh < ssthreshInfinite && (c.caState == caCWR || c.undoing) {
		c.cwnd = c.ssthresh
		c.cwndStamp = now
	}
}

// enterCWR is tcp_enter_cwr.
func (c *Conn) enterCWR() {
	c.priorSsthresh = 0
	if c.caState < caCWR {
		c.undoing = false
		c.initReduction()
		c.setCA(caCWR)
	}
}

func (c *Conn) anyRetransDone() bool {
	return c.retransOut > 0 || c.queue.n > 0 && c.queue.at(0).mark&everRetrans != 0
}

func (c *Conn) tryToOpen(a *acked) {
	if !c.anyRetransDone() {
		c.retransStamp = 0
	}
	if a.flags&flagECE != 0 {
		c.enterCWR()
	}
	if c.caState != caCWR {
		c.tryKeepOpen()
	}
}

func (c *Conn) tryKeepOpen() {
	s := caOpen
	if c.sackedOut+c.lostOut > 0 || c.anyRetransDone() {
		s = caDisorder
	}
	if s != c.caState {
		c.setCA(s)
		c.highSeq = c.sndNxt
	}
}

// mayUndo reports whether the reduction was for nothing: all retransmissions were
// (RFC 2883, RFC 3708), or the ACK echoes a timestamp from before them (RFC 3522).
func (c *Conn) mayUndo() bool {
	return c.undoing && (c.undoRetrans == 0 || c.packetDelayed())
}

// packetDelayed is tcp_packet_delayed, Eifel detection.
func (c *Conn) packetDelayed() bool {
	return c.retransStamp > 0 && c.tsEnabled && c.echoed != 0 &&
		before(c.echoed, uint32(int64(c.retransStamp)/1e6)+c.tsOffset)
}

// undoReduction puts cwnd and ssthresh back (tcp_undo_cwnd_reduction).
func (c *Conn) undoReduction(now sim.Time, unmark bool) {
	if unmark {
		for i := range c.queue.n {
			c.queue.at(i).mark &^= lost
		}
		c.lostOut = 0
	}
	if c.priorSsthresh != 0 {
		c.cwnd = c.congestion.undo(c)
		if c.priorSsthresh > c.ssthresh {
			c.ssthresh = c.priorSsthresh
			c.ecn &^= ecnQueueCWR
		}
	}
	c.cwndStamp = now
	c.undoing = false
	c.rack.advanced = true
}

// undoRecovery is tcp_try_undo_recovery. It reports true where recovery has to
// go on for RFC 6582's reason.
func (c *Conn) undoRecovery(now sim.Time) bool {
	if c.mayUndo() {
		if c.caState == caLoss {
			c.machine.Stats.TCPLossUndo++
		} else {
			c.machine.Stats.TCPFullUndo++
		}
		c.undoReduction(now, false)
	} else if c.rack.persist > 0 {
		c.rack.persist--
	}
	if c.holdsState() {
		return true
	}
	c.setCA(caOpen)
	c.reneging = false
	return false
}

// holdsState is RFC 6582 4: without SACK, duplicate ACKs for what was sent again
// must not start another recovery (tcp_is_non_sack_preventing_reopen).
func (c *Conn) holdsState() bool {
	if c.sndUna != c.highSeq || c.sackEnabled {
		return false
	}
	if !c.anyRetransDone() {
		c.retransStamp = 0
	}
	return true
}

func (c *Conn) undoDSACK(now sim.Time) bool {
	if !c.undoing || c.undoRetrans != 0 {
		return false
	}
	c.machine.Stats.TCPDSACKUndo++
	c.rack.persist = uint8(min(rackRecoveriesToShrink, int(c.rack.persist)+1))
	c.undoReduction(now, false)
	return true
}

// undoPartial is tcp_try_undo_partial: a partial ACK of what was merely late.
func (c *Conn) undoPartial(now sim.Time, a *acked) bool {
	if !c.undoing || !c.packetDelayed() {
		return false
	}
	c.checkReordering(a.priorUna, true)
	if c.retransOut > 0 {
		return true
	}
	if !c.anyRetransDone() {
		c.retransStamp = 0
	}
	c.undoReduction(now, true)
	c.machine.Stats.TCPPartialUndo++
	c.tryKeepOpen()
	return false
}

// undoLoss is tcp_try_undo_loss.
func (c *Conn) undoLoss(now sim.Time, spurious bool) bool {
	if !spurious && !c.mayUndo() {
		return false
	}
	c.undoReduction(now, true)
	c.machine.Stats.TCPLossUndo++
	if spurious {
		c.machine.Stats.TCPSpuriousRTOs++
	}
	c.retransmits = 0
	if c.holdsState() {
		return true
	}
	if spurious || c.sackEnabled {
		c.setCA(caOpen)
		c.reneging = false
	}
	return true
}

// enterLoss is RFC 5681 3.1 and RFC 6298 5.4 to 5.6 after a timeout
// (tcp_enter_loss).
func (c *Conn) enterLoss(now sim.Time) {
	first := c.caState < caRecovery
	c.markAllLost(now)
	if c.caState <= caDisorder || !after(c.highSeq, c.sndUna) || c.caState == caLoss && c.retransmits == 0 {
		c.priorSsthresh = c.currentSsthresh()
		c.priorCwnd = c.cwnd
		c.ssthresh = c.congestion.threshold(c)
		c.congestion.loss(c)
		c.initUndo()
	}
	c.cwnd = c.inFlight() + 1
	c.cwndCount = 0
	c.cwndStamp = now
	if c.caState <= caDisorder && c.sackedOut >= uint32(c.machine.Sysctl.Reordering) {
		c.reordering = min(c.reordering, uint32(c.machine.Sysctl.Reordering))
	}
	c.setCA(caLoss)
	c.highSeq = c.sndNxt
	c.queueCWR()
	// RFC 5682 2.1 step 1.
	c.frto = c.machine.Sysctl.FRTO != 0 && (first || c.retransmits > 0)
}

// markAllLost is tcp_timeout_mark_lost: what was sent only now is given its time
// (RFC 8985 6.3).
func (c *Conn) markAllLost(now sim.Time) {
	if c.queue.n == 0 {
		return
	}
	renege := c.queue.at(0).mark&sacked != 0
	switch {
	case renege:
		c.machine.Stats.TCPSACKReneging++
		c.reneging = true
		c.sackedOut = 0
		c.seen = [4]span{}
	case !c.sackEnabled:
		c.sackedOut = 0
	}
	for i := range c.queue.n {
		q := c.queue.at(i)
		if renege {
			q.mark &^= sacked
		} else if c.rackOn() && i > 0 && c.rack.rtt+c.reorderWindow()-now.Sub(q.at) > 0 {
			continue
		}
		c.markLost(q)
	}
}

// processLoss is tcp_process_loss: RFC 5682's F-RTO, then slow start over the
// holes.
func (c *Conn) processLoss(now sim.Time, a *acked, duplicate bool) resend {
	recovered := !before(c.sndUna, c.highSeq)
	if a.flags&flagUnaAdvanced != 0 && c.undoLoss(now, false) {
		return resendNothing
	}
	if c.frto {
		// Step 3b: data that was never sent again is acknowledged, so the timeout was wrong.
		if a.flags&flagOrigSackAcked != 0 && c.undoLoss(now, true) {
			return resendNothing
		}
		if after(c.sndNxt, c.highSeq) {
			if a.flags&flagDataSacked != 0 || duplicate {
				c.frto = false // step 3a
			}
		} else if a.flags&flagUnaAdvanced != 0 && !recovered {
			c.highSeq = c.sndNxt
			// Step 2b: send new data if there is any.
			if c.hasUnsent() && after(c.windowEnd(), c.sndNxt) {
				return resendNew
			}
			c.frto = false
		}
	}
	if recovered {
		c.undoRecovery(now) // step 2a, or all is done
		return resendNothing
	}
	if !c.sackEnabled {
		if after(c.sndNxt, c.highSeq) && duplicate {
			c.addRenoSack()
		} else if a.flags&flagUnaAdvanced != 0 {
			c.sackedOut = 0
		}
	}
	return resendLost
}

// addRenoSack counts a duplicate ACK as a segment that arrived, which one is not
// known (tcp_add_reno_sack).
func (c *Conn) addRenoSack() {
	prior := c.sackedOut
	c.sackedOut++
	c.limitRenoSacks()
	if c.sackedOut > prior {
		c.delivered++
		c.machine.Stats.TCPDelivered++
	}
}

// limitRenoSacks keeps the count possible; where it is not, the path reorders.
func (c *Conn) limitRenoSacks() {
	holes := min(max(c.lostOut, 1), c.packetsOut)
	if c.sackedOut+holes > c.packetsOut {
		c.sackedOut = c.packetsOut - holes
		c.reordering = min(c.packetsOut, uint32(c.machine.Sysctl.MaxReordering))
		c.reordersSeen++
		c.machine.Stats.TCPRenoReorder++
	}
}

// removeRenoSacks takes in that an ACK covers a number of segments: the hole, and
// what had arrived behind it (tcp_remove_reno_sacks).
func (c *Conn) removeRenoSacks(segments uint32) {
	if segments > 0 {
		c.delivered += max(segments, c.sackedOut+1) - c.sackedOut
		c.sackedOut -= min(c.sackedOut, segments-1)
	}
	if c.sackedOut > 0 {
		c.limitRenoSacks()
	}
}
