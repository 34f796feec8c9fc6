package tcp

import (
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Input takes a segment for the connection: RFC 9293 3.10.7, step by step, with
// what Linux does in each.
func (c *Conn) Input(now sim.Time, s *Segment) {
	c.segsIn++
	if len(s.Payload) > 0 {
		c.dataSegsIn++
	}
	switch c.state {
	case Closed:
		c.machine.Reset(now, s) // 3.10.7.1
	case SynSent:
		c.inputSynSent(now, s)
	case TimeWait:
		c.inputTimeWait(now, s)
	default:
		c.inputSynchronized(now, s)
	}
	c.settle(now)
}

// inputSynSent is RFC 9293 3.10.7.3.
func (c *Conn) inputSynSent(now sim.Time, s *Segment) {
	// First, check the ACK bit.
	if s.Flags.Has(wire.TCPAck) && (!after(s.Ack, c.sndUna) || after(s.Ack, c.sndNxt)) {
		c.machine.Reset(now, s)
		return
	}
	if s.Flags.Has(wire.TCPAck) && s.options.timestamps && s.options.tsEcr != 0 &&
		!within(s.options.tsEcr, uint32(int64(c.synAt)/1e6)+c.tsOffset, c.timestamp(now)+1) {
		c.machine.Stats.PAWSActive++ // an echo of a time before this connection
		c.machine.Reset(now, s)
		return
	}
	// Second, check the RST bit.
	if s.Flags.Has(wire.TCPRst) {
		if s.Flags.Has(wire.TCPAck) {
			c.end(now, syscall.ECONNREFUSED)
		}
		return
	}
	// Fourth, check the SYN bit.
	if !s.Flags.Has(wire.TCPSyn) {
		return
	}
	c.takeSynOptions(now, s)
	c.irs, c.rcvNxt, c.rcvWup, c.copied = s.Seq, s.Seq+1, s.Seq+1, s.Seq+1
	c.sndWl1 = s.Seq
	c.lastIn = now
	if !s.Flags.Has(wire.TCPAck) { // simultaneous open
		c.state = SynReceived
		c.sndWnd, c.maxWindow = uint32(s.Window), uint32(s.Window)
		c.sendSyn(now, wire.TCPSyn|wire.TCPAck)
		return
	}
	if c.ecn&ecnOK != 0 && (!s.Flags.Has(wire.TCPEce) || s.Flags.Has(wire.TCPCwr)) {
		c.ecn = 0
	}
	if !c.processAck(now, s) {
		return
	}
	c.sndWnd, c.maxWindow = uint32(s.Window), uint32(s.Window)
	c.establish(now)
	if len(s.Payload) > 0 {
		c.takeData(now, s.withoutSyn())
	}
	if c.ack.pingpong {
		c.ack.scheduled = true
		c.ack.ato = delayedAckMin
		c.delayAck(now)
		return
	}
	c.sendAck(now)
	c.push(now, false)
}

// withoutSyn is the segment behind its SYN.
func (s *Segment) withoutSyn() *Segment {
	t := *s
	t.Seq++
	t.Flags &^= wire.TCPSyn
	return &t
}

// takeSynOptions settles what both SYNs agreed on.
func (c *Conn) takeSynOptions(now sim.Time, s *Segment) {
	k, o := c.machine.Sysctl, &s.options
	c.scaling = k.WindowScaling && o.windowScale >= 0
	c.sndScale = 0
	if c.scaling {
		c.sndScale = uint8(o.windowScale)
	} else {
		c.rcvScale = 0
		c.windowMax = min(c.windowMax, 65535)
	}
	c.sackEnabled = k.SACK && o.sackPermitted
	c.tsEnabled = k.Timestamps && o.timestamps
	if c.tsEnabled {
		c.tsRecent, c.tsRecentAt = o.tsVal, now
	}
	c.mssClamp = mssDefault
	if c.Route.Remote.Addr().Is6() {
		c.mssClamp = 1220
	}
	if o.mss > 0 {
		c.mssClamp = int(o.mss)
	}
	if u := c.Options.MaxSegment; u > 0 {
		c.mssClamp = min(c.mssClamp, u)
	}
	c.syncMSS(c.pathMTU)
	if c.tsEnabled {
		c.advMSS -= timestampLen
	}
	c.guessPeerMSS()
}

// guessPeerMSS is tcp_initialize_rcv_mss.
func (c *Conn) guessPeerMSS() {
	hint := min(c.advMSS, c.mss, int(c.rcvWnd)/2, mssDefault)
	c.ack.mss = max(hint, mssMin)
}

// establish enters ESTABLISHED (tcp_finish_connect, tcp_init_transfer).
func (c *Conn) establish(now sim.Time) {
	c.state = Established
	c.establishedAt = now
	c.lastAckArrived = now
	c.pushedAt = c.sndNxt
	c.smallEnd = c.sndUna
	// RFC 5681 3.1: lost SYNs cost the initial window; Linux overlooks the first.
	c.cwnd = initialCwnd
	if c.totalRetrans > 1 {
		c.cwnd = 1
	}
	c.retransStamp = 0
	c.cwndStamp = now
	c.expandSendBuffer()
	c.space.at, c.space.copied = now, c.copied
	c.space.space = min(c.rcvWnd, uint32(initialCwnd*c.advMSS))
	c.windowMax = min(c.windowMax, uint32(windowFrom(c.rcvbuf)))
	c.ssthreshIn = min(c.ssthreshIn, c.windowMax)
	c.armKeepalive(now)
	c.notify(now)
}

// inputSynchronized is RFC 9293 3.10.7.4.
func (c *Conn) inputSynchronized(now sim.Time, s *Segment) {
	if !s.Flags.Has(wire.TCPAck) && !s.Flags.Has(wire.TCPRst) && !s.Flags.Has(wire.TCPSyn) {
		return
	}
	if !c.validate(now, s) {
		return
	}
	// Fifth, check the ACK field.
	if !s.Flags.Has(wire.TCPAck) {
		return
	}
	c.lastIn = now
	c.echoed = 0
	if s.options.timestamps && c.tsEnabled {
		c.echoed = s.options.tsEcr
	}
	if c.state == SynReceived && (!after(s.Ack, c.sndUna) || after(s.Ack, c.sndNxt)) {
		c.machine.Reset(now, s)
		return
	}
	c.hearECN(s)
	if !c.processAck(now, s) {
		c.challenge(now) // RFC 5961 5.2: for something not yet sent, or too old
		return
	}
	if !c.advanceState(now, s) {
		return
	}
	if c.tsEnabled && s.options.timestamps {
		c.measureEcho(now, s)
	}
	// Seventh, the segment text, and eighth, the FIN.
	switch c.state {
	case CloseWait, Closing, LastAck, TimeWait:
		if before(s.Seq, c.rcvNxt) && s.length() > 0 {
			c.takeData(now, s) // old: answered
		}
	case FinWait1, FinWait2:
		if c.refusesData(now, s) {
			return
		}
		c.takeData(now, s)
	default:
		c.takeData(now, s)
	}
	if c.state == Closed {
		return
	}
	if c.state == TimeWait {
		if c.ack.scheduled {
			c.sendAck(now)
		}
		return
	}
	if c.hasUnsent() {
		c.push(now, c.Options.Cork)
	}
	c.ackAfterData(now)
}

// advanceState is what an acceptable ACK does to the state. It reports whether
// the segment has more to say.
func (c *Conn) advanceState(now sim.Time, s *Segment) bool {
	if c.state == SynReceived {
		c.sndWnd = uint32(s.Window) << c.sndScale
		c.maxWindow = max(c.maxWindow, c.sndWnd)
		c.sndWl1 = s.Seq
		c.syncMSS(c.pathMTU)
		c.establish(now)
		if c.sendEnd {
			c.leave()
			c.sendFin(now)
		}
	}
	if !c.fin || before(c.sndUna, c.finSeq+1) { // our FIN is not acknowledged
		return true
	}
	switch c.state {
	case FinWait1:
		c.state = FinWait2
		c.notify(now)
		if c.orphan {
			if c.refusesData(now, s) {
				return false
			}
			c.orphanFinWait2(now)
			if c.state == Closed {
				return false
			}
		}
	case Closing:
		c.enterTimeWait(now)
		return false
	case LastAck:
		c.end(now, 0)
		return false
	}
	return true
}

// refusesData is RFC 9293 3.6.1 (RFC 1122 4.2.2.13): data after close, or after
// shutdown of both directions, which nobody will read, resets the connection. As in
// Linux the reset takes its number from the segment.
func (c *Conn) refusesData(now sim.Time, s *Segment) bool {
	if !c.readEnd || len(s.Payload) == 0 || !after(s.Seq+uint32(len(s.Payload)), c.rcvNxt) {
		return false
	}
	c.machine.Stats.TCPAbortOnData++
	c.takeReset(now)
	c.machine.Reset(now, s)
	return true
}

// takeFin is RFC 9293 3.10.7.4, eighth: a FIN in order.
func (c *Conn) takeFin(now sim.Time) {
	c.rcvNxt++
	c.peerFin, c.readEnd = true, true
	c.ack.scheduled = true
	c.spans, c.recents = nil, 0
	switch c.state {
	case SynReceived, Established:
		c.state = CloseWait
		c.ack.pingpong = true
	case FinWait1: // ours is not acknowledged: simultaneous close
		c.state = Closing
		c.sendAck(now)
	case FinWait2:
		c.sendAck(now)
		c.enterTimeWait(now)
	}
	c.notify(now)
}

// enterTimeWait keeps the connection for late segments (RFC 9293 3.6.1).
func (c *Conn) enterTimeWait(now sim.Time) {
	c.state = TimeWait
	c.machine.Stats.TW++
	c.timers.clear()
	c.keepalive = now.Add(timeWaitLen)
	c.out.release(&c.machine.memory)
	c.queue = sentQueue{}
	c.notify(now)
}

// inputTimeWait is TIME-WAIT's part of 3.10.7.4 (tcp_timewait_state_process).
func (c *Conn) inputTimeWait(now sim.Time, s *Segment) {
	old := c.pawsRejects(now, s)
	switch {
	case s.Flags.Has(wire.TCPRst):
		// RFC 1337 F1: a stray reset must not end TIME-WAIT; Linux lets it by default.
		if !old && s.Seq == c.rcvNxt && !c.machine.Sysctl.RFC1337 {
			c.machine.Stats.TWKilled++
			c.end(now, 0)
		}
		return
	case !old && s.Seq == c.rcvNxt && s.length() == 0 && !s.Flags.Has(wire.TCPSyn):
		c.keepalive = now.Add(timeWaitLen)
		if s.options.timestamps && c.tsEnabled {
			c.tsRecent, c.tsRecentAt = s.options.tsVal, now
		}
		return
	}
	if old {
		c.machine.Stats.PAWSEstab++
	}
	if s.Flags.Has(wire.TCPAck) || s.Flags.Has(wire.TCPSyn) {
		if old || s.Flags.Has(wire.TCPAck) {
			c.keepalive = now.Add(timeWaitLen)
		}
		if c.answerOutOfWindow(now, s) {
			c.sendAck(now)
		}
	}
}

// Yields reports whether a SYN may open a new connection in place of this one in
// TIME-WAIT: its sequence number or timestamp is beyond all that was used (RFC 9293
// 3.6.1, RFC 6191). isn is the sequence number for the new one to start at.
func (c *Conn) Yields(now sim.Time, s *Segment) (isn uint32, ok bool) {
	if c.state != TimeWait || s.Flags&(wire.TCPSyn|wire.TCPRst|wire.TCPAck) != wire.TCPSyn || c.pawsRejects(now, s) {
		return 0, false
	}
	newer := c.tsEnabled && s.options.timestamps && before(c.tsRecent, s.options.tsVal)
	if !after(s.Seq, c.rcvNxt) && !newer {
		return 0, false
	}
	isn = c.sndNxt + 65535 + 2
	if isn == 0 {
		isn = 1
	}
	c.end(now, 0)
	return isn, true
}

// validate is "first" to "fourth" of RFC 9293 3.10.7.4: PAWS, sequence number,
// RST, SYN (tcp_validate_incoming). It reports whether the segment goes on.
func (c *Conn) validate(now sim.Time, s *Segment) bool {
	rst := s.Flags.Has(wire.TCPRst)
	if c.pawsRejects(now, s) && !rst { // RFC 7323 5.3 R1
		c.machine.Stats.PAWSEstab++
		if c.answerOutOfWindow(now, s) {
			c.sendDuplicateAck(now, s)
		} else {
			c.machine.Stats.TCPACKSkippedPAWS++
		}
		return false
	}
	if before(s.end(), c.rcvWup) || after(s.Seq, c.rcvNxt+c.receiveWindow()) {
		switch {
		case rst:
			if c.resetsAfterFin(s) {
				c.takeReset(now)
			}
		case s.Flags.Has(wire.TCPSyn):
			c.synChallenge(now)
		case c.answerOutOfWindow(now, s):
			c.sendDuplicateAck(now, s)
		default:
			c.machine.Stats.TCPACKSkippedSeq++
		}
		return false
	}
	if rst {
		// RFC 5961 3.2: only the exact number resets; the right edge of a SACK block is as
		// good a proof.
		if s.Seq == c.rcvNxt || c.resetsAfterFin(s) || len(c.spans) > 0 && s.Seq == c.spans[len(c.spans)-1].right {
			c.takeReset(now)
		} else {
			c.challenge(now)
		}
		return false
	}
	if s.Flags.Has(wire.TCPSyn) {
		if c.state == SynReceived && s.Flags.Has(wire.TCPAck) && s.Seq+1 == c.rcvNxt {
			*s = *s.withoutSyn() // the other half of a simultaneous open
			return true
		}
		c.synChallenge(now) // RFC 5961 4.2
		return false
	}
	return true
}

// synChallenge answers a SYN on a connection that is there.
func (c *Conn) synChallenge(now sim.Time) {
	if c.state == SynReceived {
		c.sendSyn(now, wire.TCPSyn|wire.TCPAck)
		return
	}
	c.machine.Stats.TCPSYNChallenge++
	c.challenge(now)
}

// resetsAfterFin is tcp_reset_check: macOS numbers a RST that follows its FIN as
// if the FIN were not there.
func (c *Conn) resetsAfterFin(s *Segment) bool {
	return s.Seq == c.rcvNxt-1 && c.state.in(CloseWait, LastAck, Closing)
}

// takeReset is tcp_reset: the error by state.
func (c *Conn) takeReset(now sim.Time) {
	switch c.state {
	case SynSent, SynReceived:
		c.end(now, syscall.ECONNREFUSED)
	case CloseWait:
		c.machine.Stats.EstabResets++
		c.end(now, syscall.EPIPE)
	default:
		if c.state == Established {
			c.machine.Stats.EstabResets++
		}
		c.end(now, syscall.ECONNRESET)
	}
}

// pawsRejects is RFC 7323 5.3: the timestamp is older than the last. After 24
// days the last says nothing (5.5).
func (c *Conn) pawsRejects(now sim.Time, s *Segment) bool {
	if !c.tsEnabled || !s.options.timestamps || int32(c.tsRecent-s.options.tsVal) <= pawsWindow ||
		now.Sub(c.tsRecentAt) >= pawsIdle {
		return false
	}
	return !c.disorderedAck(now, s)
}

// disorderedAck is tcp_disordered_ack: a pure ACK that was overtaken, and says
// nothing new, is let through so that it does not cause an ACK itself.
func (c *Conn) disorderedAck(now sim.Time, s *Segment) bool {
	return s.Flags&^(wire.TCPEce|wire.TCPPsh) == wire.TCPAck && len(s.Payload) == 0 && s.Seq == c.rcvNxt && s.Ack == c.sndUna &&
		uint32(s.Window)<<c.sndScale == c.sndWnd && int32(c.tsRecent-s.options.tsVal) <= int32(c.rto/1e6)
}

// takeTimestamp is RFC 7323 4.3 (2): the timestamp to echo.
func (c *Conn) takeTimestamp(now sim.Time, s *Segment) {
	if !c.tsEnabled || !s.options.timestamps || after(s.Seq, c.rcvWup) {
		return
	}
	if int32(s.options.tsVal-c.tsRecent) >= 0 || now.Sub(c.tsRecentAt) >= pawsIdle {
		c.tsRecent, c.tsRecentAt = s.options.tsVal, now
	}
}

// answerOutOfWindow limits what segments out of window cause, so that two ends
// that disagree do not answer each other for ever (tcp_oow_rate_limited). Those
// with data are always answered.
func (c *Conn) answerOutOfWindow(now sim.Time, s *Segment) bool {
	if len(s.Payload) > 0 && !s.Flags.Has(wire.TCPSyn) {
		return true
	}
	if now < c.nextOOW {
		return false
	}
	c.nextOOW = now.Add(c.machine.Sysctl.InvalidRateLimit)
	return true
}

// sendDuplicateAck is tcp_send_dupack: at once, with a DSACK for what came again.
func (c *Conn) sendDuplicateAck(now sim.Time, s *Segment) {
	if s.length() > 0 && before(s.Seq, c.rcvNxt) {
		c.machine.Stats.DelayedACKLost++
		c.quickAck(quickAcksMax)
		if c.sackEnabled {
			c.setDSACK(s.Seq, minSeq(s.end(), c.rcvNxt))
		}
	}
	c.sendAck(now)
}

// challengeLimit is the machine's budget of challenge ACKs (RFC 5961 7).
type challengeLimit struct {
	second sim.Time
	left   int
}

// challenge sends a challenge ACK (RFC 5961).
func (c *Conn) challenge(now sim.Time) {
	if now < c.nextOOW {
		c.machine.Stats.TCPACKSkippedChallenge++
		return
	}
	c.nextOOW = now.Add(c.machine.Sysctl.InvalidRateLimit)
	if limit := c.machine.Sysctl.ChallengeAckLimit; limit != 1<<31-1 {
		l := &c.machine.challenges
		if second := now / 1e9; second != l.second || l.left == 0 && l.second == 0 {
			l.second, l.left = second, limit
		}
		if l.left == 0 {
			return
		}
		l.left--
	}
	c.machine.Stats.TCPChallengeACK++
	c.sendAck(now)
}

// measureEcho is tcp_rcv_rtt_measure_ts: a full segment that echoes a timestamp
// times the round trip for the receiver.
func (c *Conn) measureEcho(now sim.Time, s *Segment) {
	if s.options.tsEcr == c.space.lastEcr || len(s.Payload) < c.ack.mss {
		return
	}
	c.space.lastEcr = s.options.tsEcr
	if d := c.timestamp(now) - s.options.tsEcr; d < 1<<31 {
		c.updateRoundTrip(max(sim.Duration(d), 1)*1e6, false)
	}
}

// hearECN is the receiver's half of RFC 3168 6.1.3. The sender's window may be as
// small as one segment after a congestion mark, so the next ACKs do not wait
// (tcp_ecn_accept_cwr, tcp_ecn_check_ce).
func (c *Conn) hearECN(s *Segment) {
	if c.ecn&ecnOK == 0 || len(s.Payload) == 0 {
		return
	}
	if s.Flags.Has(wire.TCPCwr) {
		c.ecn &^= ecnDemandCWR
		c.ack.atOnce = true
	}
	if s.CE {
		if c.ecn&ecnDemandCWR == 0 {
			c.quickAck(2)
		}
		c.ecn |= ecnDemandCWR | ecnSeen
	}
}

// expandSendBuffer is tcp_sndbuf_expand: room for two congestion windows.
func (c *Conn) expandSendBuffer() {
	if c.Options.SendBuffer > 0 {
		return
	}
	segment := 1
	for segment < max(c.mssClamp, c.mss)+640 { // MAX_TCP_HEADER and struct skb_shared_info
		segment *= 2
	}
	segment += 256 // struct sk_buff
	want := 2 * segment * int(max(initialCwnd, c.cwnd, c.reordering+1))
	c.sndbuf = max(c.sndbuf, min(want, c.machine.Sysctl.Wmem[2]))
}

// Unreachable is an ICMP error about a segment of this connection: a soft error
// in a connection that stands (RFC 9293 3.9.2.2, RFC 5461), the end of one that
// does not yet (tcp_v4_err).
func (c *Conn) Unreachable(now sim.Time, seq uint32, err syscall.Errno) {
	if c.state.in(Closed, TimeWait, Listen) || !within(seq, c.sndUna, c.sndNxt+1) {
		return
	}
	if c.state.in(SynSent, SynReceived) {
		c.end(now, err)
		c.settle(now)
		return
	}
	c.soft = err
}
