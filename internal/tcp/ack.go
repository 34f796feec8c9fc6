package tcp

import (
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// scoreboard is what is out, what became of it, and what congestion control
// makes of that.
type scoreboard struct {
	queue      sentQueue
	packetsOut uint32
	sackedOut  uint32 // without SACK: duplicate ACKs since SND.UNA moved
	lostOut    uint32
	lostFrom   uint32 // no segment before it is lost and not sent again
	retransOut uint32

	congestion    congestion
	caState       caState
	cwnd          uint32 // segments
	cwndCount     uint32 // ACKed segments that do not yet make one more
	ssthresh      uint32
	priorCwnd     uint32
	priorSsthresh uint32
	cwndStamp     sim.Time
	cwndUsed      uint32
	maxOut        uint32 // the most that was out in this window
	maxOutSeq     uint32
	cwndLimited   bool

	highSeq      uint32 // SND.NXT when the state was entered: RFC 6675's RecoveryPoint
	undoMarker   uint32
	undoing      bool  // undoMarker holds
	undoRetrans  int32 // retransmissions that were not shown to be needless; negative: unknown
	retransStamp sim.Time
	prrDelivered uint32
	prrOut       uint32
	frto         bool
	reneging     bool
	seen         [4]span // the SACK blocks of the last ACK
	echoed       uint32  // the timestamp that the last ACK echoed
	reordering   uint32
	reorderSeen  bool
	tlpHighSeq   uint32 // 0: no probe is out
	tlpRetrans   bool
	rack         rack

	delivered   uint32
	deliveredCE uint32
	lostTotal   uint32
}

// ackFlags say what an ACK brought.
type ackFlags uint16

const (
	flagData          ackFlags = 1 << iota // the segment carries data
	flagWindowUpdate                       // the window changed
	flagDataAcked                          // data was acknowledged
	flagRetransAcked                       // of it some that was sent again
	flagSynAcked                           // the SYN
	flagDataSacked                         // new SACK information
	flagECE                                // congestion echo
	flagLostRetrans                        // a retransmission was found lost
	flagOrigSackAcked                      // never-retransmitted data was acknowledged in recovery
	flagUnaAdvanced                        // SND.UNA moved
	flagDSACK                              // a duplicate was reported
	flagSackReneging                       // the peer forgot what it had SACKed
	flagSetTimer                           // the RTO is to be restarted
)

const (
	flagAcked  = flagDataAcked | flagSynAcked
	flagNotDup = flagData | flagWindowUpdate | flagAcked
)

// acked is what one ACK did, gathered on the way through it.
type acked struct {
	flags       ackFlags
	priorUna    uint32
	priorOut    uint32
	priorInFlt  uint32
	delivered   uint32 // c.delivered before
	lost        uint32 // c.lostTotal before
	reorderTo   uint32 // lowest sequence number that was found reordered
	reordered   bool
	ackedOnce   bool     // some that were sent once are acknowledged:
	firstAcked  sim.Time // when the first and the last of them were sent
	lastAcked   sim.Time
	sackedOnce  bool // and SACKed
	firstSacked sim.Time
	lastSacked  sim.Time
	rtt         sim.Duration // of this ACK, 0: none
	rate        rateSample
}

func (c *Conn) inFlight() uint32 {
	return c.packetsOut - c.sackedOut - c.lostOut + c.retransOut
}

// inReduction reports whether proportional rate reduction sets cwnd.
func (c *Conn) inReduction() bool { return c.caState == caCWR || c.caState == caRecovery }

// processAck is tcp_ack: steps of RFC 9293 3.10.7.4 "fifth, check the ACK field"
// for a synchronised state. It reports false where the ACK is for something not
// yet sent, or too old to be true.
func (c *Conn) processAck(now sim.Time, s *Segment) bool {
	a := acked{priorUna: c.sndUna, priorOut: c.packetsOut, delivered: c.delivered, lost: c.lostTotal}
	a.priorInFlt = c.inFlight()
	if before(s.Ack, c.sndUna) {
		return c.oldAck(now, s, &a)
	}
	if after(s.Ack, c.sndNxt) {
		return false
	}
	if after(s.Ack, c.sndUna) {
		a.flags |= flagUnaAdvanced
		c.retransmits = 0
	}
	c.takeTimestamp(now, s)
	if len(s.Payload) > 0 {
		a.flags |= flagData
	} else {
		c.machine.Stats.TCPPureAcks++
	}
	c.updateWindow(now, s, &a)
	if s.options.sackCount > 0 && c.sackEnabled {
		c.tagSacked(now, s, &a)
	}
	if c.ecn&ecnOK != 0 && s.Flags.Has(wire.TCPEce) && !s.Flags.Has(wire.TCPSyn) {
		a.flags |= flagECE
	}
	c.soft = 0
	c.probesOut = 0
	c.lastAckArrived = now
	if c.packetsOut == 0 {
		if a.flags&flagDSACK != 0 { // the last retransmission was needless too
			c.alert(now, &a, false)
		}
		c.ackProbe(now)
		return true
	}
	c.bytesAcked += uint64(s.Ack - c.sndUna)
	c.cleanQueue(now, s, &a)
	c.updateReorderWindow(&a)
	if c.tlpHighSeq != 0 {
		c.processLossProbeAck(now, s, &a)
	}
	resend := resendNothing
	if c.dubious(&a) {
		resend = c.alert(now, &a, c.isDuplicate(&a))
	}
	if a.flags&flagSetTimer != 0 {
		c.setTransmitTimer(now)
	}
	c.sampleRate(now, &a)
	c.controlCongestion(now, &a)
	c.resendAfterAck(now, resend)
	return true
}

// oldAck is an ACK of less than is acknowledged: no news but its SACK blocks. It
// reports false for one older than a window, or than all that ever was acknowledged
// (RFC 5961 5.2): the segment is not the peer's.
func (c *Conn) oldAck(now sim.Time, s *Segment, a *acked) bool {
	if before(s.Ack, c.sndUna-uint32(min(uint64(c.maxWindow), c.bytesAcked))) {
		return false
	}
	if s.options.sackCount > 0 && c.sackEnabled && c.packetsOut > 0 {
		c.tagSacked(now, s, a)
		resend := c.alert(now, a, true)
		c.sampleRate(now, a)
		c.resendAfterAck(now, resend)
	}
	return true
}

// updateWindow is tcp_ack_update_window; RFC 9293 3.10.7.4 SND.WL1 and SND.WL2.
func (c *Conn) updateWindow(now sim.Time, s *Segment, a *acked) {
	window := uint32(s.Window)
	if !s.Flags.Has(wire.TCPSyn) {
		window <<= c.sndScale
	}
	if after(s.Ack, c.sndUna) || after(s.Seq, c.sndWl1) || s.Seq == c.sndWl1 && (window > c.sndWnd || window == 0) {
		a.flags |= flagWindowUpdate
		c.sndWl1 = s.Seq
		if c.sndWnd == window {
			a.flags &^= flagWindowUpdate
			if after(s.Ack, c.sndUna) {
				a.flags |= flagWindowUpdate
			}
		}
		if c.sndWnd != window {
			c.sndWnd = window
			if window > c.maxWindow {
				c.maxWindow = window
				c.syncMSS(c.pathMTU)
			}
		}
	}
}

// ackProbe is tcp_ack_probe: nothing is out; a window that opened ends probing,
// one that stays closed is probed on.
func (c *Conn) ackProbe(now sim.Time) {
	if !c.hasUnsent() {
		return
	}
	end := c.sndNxt + min(uint32(c.mss), c.writeEnd-c.sndNxt)
	if !after(end, c.windowEnd()) {
		c.backoff, c.probesSince = 0, 0
		if c.pending == pendingWindowProbe {
			c.stopRetransmit()
		}
		return
	}
	c.setRetransmit(now, pendingWindowProbe, c.untilUserTimeout(now, c.probesSince, c.probeWait()))
}

// tagSacked takes in SACK blocks (RFC 2018 5, RFC 2883 4).
func (c *Conn) tagSacked(now sim.Time, s *Segment, a *acked) {
	blocks := s.options.sack[:s.options.sackCount]
	if c.isDSACK(s, blocks) {
		a.flags |= flagDSACK
		c.takeDSACK(blocks[0], s.Ack)
		blocks = blocks[1:]
	}
	if c.packetsOut == 0 {
		return
	}
	for _, b := range blocks {
		if !after(b.Right, b.Left) || after(b.Right, c.sndNxt) || !after(b.Right, c.sndUna) {
			continue // RFC 2018 5.1; tcp_is_sackblock_valid
		}
		c.tagBlock(now, span{b.Left, b.Right}, span{b.Left, b.Right}, c.seen[:], a)
	}
	c.seen = [4]span{}
	for i, b := range blocks {
		c.seen[i] = span{b.Left, b.Right}
	}
	if a.reordered {
		c.checkReordering(a.reorderTo, false)
	}
}

// tagBlock marks the segments of a block in part of it, but for what the last ACK
// told already: most blocks grow by a segment.
func (c *Conn) tagBlock(now sim.Time, block, part span, seen []span, a *acked) {
	for k, s := range seen {
		if s.left == s.right || !before(s.left, part.right) || !before(part.left, s.right) {
			continue
		}
		if before(part.left, s.left) {
			c.tagBlock(now, block, span{part.left, s.left}, seen[k+1:], a)
		}
		if !before(s.right, part.right) {
			return
		}
		part.left = s.right
	}
	if before(part.left, c.sndUna) {
		part.left = c.sndUna
	}
	for i := c.queue.find(part.left); i < c.queue.n; i++ {
		q := c.queue.at(i)
		if !before(q.seq, part.right) {
			break
		}
		// Whole segments only: what is SACKed in part is sent again.
		if q.mark&sacked == 0 && !before(q.seq, block.left) && !after(q.end, block.right) {
			c.tagOne(now, q, a)
		}
	}
}

// tagOne marks a segment that arrived (tcp_sacktag_one).
func (c *Conn) tagOne(now sim.Time, q *sent, a *acked) {
	c.rackAdvance(now, q)
	if q.mark&retrans != 0 {
		// Not taken for lost: its retransmission is still on the way.
		if q.mark&lost != 0 {
			q.mark &^= lost | retrans
			c.lostOut--
			c.retransOut--
		}
	} else {
		if q.mark&everRetrans == 0 {
			// New information about what was sent once and lies below the highest SACKed:
			// the path reorders (RFC 8985 6.2 step 3).
			if c.sackedOut > 0 && before(q.seq, c.rack.fack) && !a.reorderedBefore(q.seq) {
				a.reordered, a.reorderTo = true, q.seq
			}
			if !after(q.end, c.highSeq) {
				a.flags |= flagOrigSackAcked
			}
			if !a.sackedOnce {
				a.sackedOnce, a.firstSacked = true, q.at
			}
			a.lastSacked = q.at
		}
		if q.mark&lost != 0 {
			q.mark &^= lost
			c.lostOut--
		}
	}
	q.mark |= sacked
	a.flags |= flagDataSacked
	c.sackedOut++
	c.delivered++
	c.machine.Stats.TCPDelivered++
	c.noteDelivered(now, q, a)
	if c.sackedOut == 1 || after(q.end, c.rack.fack) { // of the first there is nothing to compare with
		c.rack.fack = q.end
	}
}

func (a *acked) reorderedBefore(seq uint32) bool { return a.reordered && !before(seq, a.reorderTo) }

// isDSACK is RFC 2883 4: the first block reports a duplicate if it lies below the
// ACK or inside the second block.
func (c *Conn) isDSACK(s *Segment, blocks []wire.SACKBlock) bool {
	first := blocks[0]
	if before(first.Left, s.Ack) {
		return true
	}
	return len(blocks) > 1 && !after(first.Right, blocks[1].Right) && !before(first.Left, blocks[1].Left)
}

// takeDSACK counts a retransmission that was not needed (tcp_check_dsack).
func (c *Conn) takeDSACK(b wire.SACKBlock, ack uint32) {
	c.machine.Stats.TCPDSACKRecv++
	if !after(b.Right, b.Left) || after(b.Right, c.sndNxt) {
		return
	}
	c.dsackDups++
	c.rack.dsackSeen = true
	n := int32(1)
	if length := int32(b.Right - b.Left); length > int32(c.mss) && c.mss > 0 {
		n = (length + int32(c.mss) - 1) / int32(c.mss)
	}
	// Only what was sent since recovery began can be undone (tcp_check_dsack).
	if c.undoing && c.undoRetrans > 0 && !after(b.Right, ack) && after(b.Right, c.undoMarker) {
		c.undoRetrans = max(0, c.undoRetrans-n)
	}
}

// cleanQueue drops what is acknowledged and takes the round trip's time
// (tcp_clean_rtx_queue; RFC 6298 3, Karn's algorithm).
func (c *Conn) cleanQueue(now sim.Time, s *Segment, a *acked) {
	ack, bytes := s.Ack, 0
	popped, fully := uint32(0), true
	for c.queue.n > 0 {
		q := c.queue.at(0)
		if after(q.end, ack) {
			if !after(ack, q.seq) {
				break
			}
			fully = false
			break
		}
		c.drop(now, q, a)
		if q.flags.Has(wire.TCPSyn) {
			a.flags |= flagSynAcked
			c.retransStamp = 0
		} else {
			a.flags |= flagDataAcked
			bytes += int(q.end - q.seq)
			if q.flags.Has(wire.TCPFin) {
				bytes--
			}
		}
		c.packetsOut--
		popped++
		c.queue.pop()
	}
	if !fully {
		// Part of a segment: the queue keeps the rest.
		q := c.queue.at(0)
		bytes += int(ack - q.seq)
		q.seq = ack
		a.flags |= flagDataAcked
	}
	c.sndUna = ack
	if bytes > 0 {
		c.out.discard(&c.machine.memory, min(bytes, c.out.n), true)
	}
	c.checkSpace(now)
	c.takeRTT(now, s, a)
	if a.flags&flagAcked == 0 {
		return
	}
	a.flags |= flagSetTimer
	if !c.sackEnabled {
		c.removeRenoSacks(popped)
		// Without SACK a hole that fills does not say which segments arrived.
	} else if popped > 0 && a.reordered {
		c.checkReordering(a.reorderTo, false)
	}
}

// checkSpace lets a writer that waits go on when a third of the send buffer is
// free. Where the buffer is what limits, it grows with cwnd (tcp_check_space).
func (c *Conn) checkSpace(now sim.Time) {
	if !c.full {
		return
	}
	if c.inFlight() < c.cwnd {
		c.expandSendBuffer()
	}
	if c.sndbuf-c.queued() >= c.queued()/2 && c.notSent() < c.notsentLowat() {
		c.full = false
		c.notify(now)
	}
}

// drop settles the account of a segment that is acknowledged.
func (c *Conn) drop(now sim.Time, q *sent, a *acked) {
	if q.mark&retrans != 0 {
		c.retransOut--
		a.flags |= flagRetransAcked
	} else if q.mark&everRetrans != 0 {
		a.flags |= flagRetransAcked
	}
	if q.mark&(retrans|everRetrans|sacked) == 0 {
		a.lastAcked = q.at
		if !a.ackedOnce {
			a.ackedOnce, a.firstAcked = true, q.at
		}
		if c.sackedOut > 0 && before(q.seq, c.rack.fack) && !a.reorderedBefore(q.seq) {
			a.reordered, a.reorderTo = true, q.seq
		}
		if !after(q.end, c.highSeq) {
			a.flags |= flagOrigSackAcked
		}
	}
	if q.mark&sacked != 0 {
		if c.sackedOut > 0 {
			c.sackedOut--
		}
	} else if c.sackEnabled {
		c.delivered++
		c.machine.Stats.TCPDelivered++
		c.rackAdvance(now, q)
	}
	if q.mark&lost != 0 {
		c.lostOut--
	}
	c.noteDelivered(now, q, a)
}

// takeRTT samples the round trip: of data sent once, else of the timestamp echo,
// which is good for data sent again too (RFC 7323 4.1).
func (c *Conn) takeRTT(now sim.Time, s *Segment, a *acked) {
	var rtt, sackRTT sim.Duration
	if a.ackedOnce && a.flags&flagRetransAcked == 0 {
		rtt = now.Sub(a.firstAcked)
		a.rtt = now.Sub(a.lastAcked)
	}
	if a.sackedOnce {
		sackRTT = now.Sub(a.firstSacked)
		if a.rtt == 0 {
			a.rtt = now.Sub(a.lastSacked)
		}
	}
	if rtt == 0 {
		rtt = sackRTT
	}
	if rtt == 0 && c.tsEnabled && s.options.timestamps && s.options.tsEcr != 0 && a.flags&flagAcked != 0 {
		ticks := c.timestamp(now) - s.options.tsEcr
		if ticks < 1<<31 {
			rtt = max(sim.Duration(ticks), 1) * 1e6
			if a.rtt == 0 {
				a.rtt = rtt
			}
		}
	}
	if rtt <= 0 {
		return
	}
	c.minRTT.add(now, max(a.rtt, 1), c.machine.Sysctl.MinRTTWindow)
	c.sampleRTT(rtt)
}

// setTransmitTimer is tcp_set_xmit_timer: a probe for a lost tail, else the RTO.
func (c *Conn) setTransmitTimer(now sim.Time) {
	if !c.scheduleLossProbe(now, true) {
		c.rearmRTO(now)
	}
}

// dubious reports whether the ACK asks for more than going on.
func (c *Conn) dubious(a *acked) bool {
	return a.flags&flagNotDup == 0 || a.flags&(flagDataSacked|flagECE|flagDSACK|flagLostRetrans) != 0 || c.caState != caOpen
}

// isDuplicate is RFC 5681 2's duplicate ACK.
func (c *Conn) isDuplicate(a *acked) bool {
	return a.flags&(flagUnaAdvanced|flagNotDup) == 0
}
