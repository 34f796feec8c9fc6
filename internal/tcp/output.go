package tcp

import (
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// hasUnsent reports whether data or a FIN waits to be sent for the first time.
func (c *Conn) hasUnsent() bool {
	return before(c.sndNxt, c.writeEnd) || c.fin && c.sndNxt == c.finSeq
}

// windowEnd is the first sequence number that the peer's window does not allow.
func (c *Conn) windowEnd() uint32 { return c.sndUna + c.sndWnd }

// push sends what may be sent (tcp_push_pending_frames). more: the user will
// write more at once (MSG_MORE).
func (c *Conn) push(now sim.Time, more bool) {
	hold := holdByNagle
	switch {
	case more || c.Options.Cork:
		hold = holdPartial
	case c.Options.NoDelay:
		hold = holdNothing
	}
	c.transmitNew(now, hold, false)
	c.armProbe(now)
	c.settle(now)
}

// hold is what becomes of a segment that is not full.
type hold uint8

const (
	holdByNagle hold = iota // waits while a small one is unacknowledged
	holdPartial             // waits for more, at most 200 ms
	holdNothing
)

// transmitNew sends new segments as far as congestion window, peer's window and
// Nagle's rule allow (tcp_write_xmit). probe: one segment, whatever the
// congestion window says.
func (c *Conn) transmitNew(now sim.Time, hold hold, probe bool) {
	if c.state.in(Closed, SynSent, SynReceived, Listen) {
		return
	}
	limited, count := false, uint32(0)
	mss := c.currentMSS()
	for c.hasUnsent() {
		if c.inFlight() >= c.cwnd && !probe {
			limited = true
			break
		}
		n := min(uint32(mss), c.writeEnd-c.sndNxt)
		s := sent{seq: c.sndNxt, end: c.sndNxt + n, flags: wire.TCPAck}
		if c.fin && s.end == c.finSeq {
			s.flags |= wire.TCPFin
			s.end++
		}
		if after(s.end, c.windowEnd()) || !c.mayBeSmall(s, int(n) < mss, hold) {
			break
		}
		if n > 0 && c.pushes(s.seq, s.seq+n) {
			s.flags |= wire.TCPPsh
		}
		if int(n) < mss {
			c.smallEnd = s.end
		}
		c.sendNew(now, s)
		count++
		if probe {
			break
		}
	}
	limited = limited || c.inFlight() >= c.cwnd
	if count == 0 && !limited {
		return
	}
	if c.inReduction() {
		c.prrOut += count
	}
	if !probe && count > 0 {
		c.scheduleLossProbe(now, false)
	}
	c.validateCwnd(now, limited)
}

// pushes reports whether a segment gets a PSH: a write ends in it, or half the
// peer's window went by without one (forced_push).
func (c *Conn) pushes(seq, end uint32) bool {
	if after(c.pushSeq, seq) && !after(c.pushSeq, end) || after(end, c.pushedAt+c.maxWindow/2) {
		c.pushedAt = end
		return true
	}
	return false
}

// mayBeSmall is Nagle's rule as Minshall has it (tcp_nagle_test): a segment that
// is not full waits only for another one that is not full, RFC 9293 3.7.4.
func (c *Conn) mayBeSmall(s sent, small bool, hold hold) bool {
	if !small || s.flags.Has(wire.TCPFin) || hold == holdNothing {
		return true
	}
	if hold == holdPartial {
		return false
	}
	outstanding := after(c.smallEnd, c.sndUna) && !after(c.smallEnd, c.sndNxt)
	return c.packetsOut == 0 || !outstanding
}

// sendNew sends a segment for the first time and keeps it for another.
func (c *Conn) sendNew(now sim.Time, s sent) {
	c.restartAfterIdle(now)
	s.at = now
	c.stampDelivery(now, &s)
	kept := c.queue.push(s)
	c.sndNxt = s.end
	c.packetsOut++
	c.machine.Stats.TCPOrigDataSent++
	c.sendSegment(now, kept, false)
	if c.packetsOut == 1 || c.timers.pending == pendingLossProbe {
		c.rearmRTO(now)
	}
}

// sendSegment puts a segment of the queue on the wire.
func (c *Conn) sendSegment(now sim.Time, s *sent, again bool) {
	n := s.end - s.seq
	if s.flags.Has(wire.TCPFin) {
		n--
	}
	c.emit(now, s.seq, s.flags, s.seq-c.sndUna, n, again)
	if n > 0 {
		c.dataSent(now)
	}
}

// dataSent is tcp_event_data_sent: who answers at once is in conversation, and
// its ACKs may wait for its data.
func (c *Conn) dataSent(now sim.Time) {
	if c.packetsOut <= 1 {
		c.congestion.resume(now, now.Sub(c.lastSent))
	}
	c.lastSent = now
	if c.ack.ato > 0 && now.Sub(c.ack.lastData) < c.ack.ato {
		c.ack.pingpong = true
	}
}

// emit builds one segment and sends it: n bytes from an offset in the queue. All
// but SYNs and resets come through here.
func (c *Conn) emit(now sim.Time, seq uint32, flags wire.TCPFlags, offset, n uint32, again bool) {
	var space [40]byte
	h := wire.TCPHeader{
		Src: c.Route.Local, Dst: c.Route.Remote, Seq: seq, Ack: c.rcvNxt,
		Window: c.selectWindow(now), Options: c.appendOptions(space[:0], now),
	}
	c.Route.ECT = false
	if c.ecn&ecnOK != 0 {
		if n > 0 && !again {
			c.Route.ECT = true
			if c.ecn&ecnQueueCWR != 0 {
				c.ecn &^= ecnQueueCWR
				flags |= wire.TCPCwr
			}
		}
		if c.ecn&ecnDemandCWR != 0 {
			flags |= wire.TCPEce
		}
	}
	h.Flags = flags
	f := c.machine.Output.Frame(wire.TCPMinLen + len(h.Options) + int(n))
	b := wire.AppendTCPHeader(f.Buffer(), h)
	if n > 0 {
		c.dataSegsOut++
		if c.blank {
			b = append(b, zeros[:n]...)
		} else {
			first, second := c.out.view(int(offset), int(n))
			b = append(append(b, first...), second...)
		}
	}
	f.SetBytes(b)
	c.finish(now, f, &c.Route)
	c.ackSent(now)
}

// finish puts the checksum into the segment in f and sends it.
func (c *Conn) finish(now sim.Time, f *wire.Frame, r *Route) {
	wire.SetTCPChecksum(f.Bytes(), r.Local.Addr(), r.Remote.Addr())
	c.machine.Stats.OutSegs++
	c.segsOut++
	if err := c.machine.Output.Transmit(now, r, f); err != nil {
		// Lost on the way out is lost as anywhere: a timer will see to it. The reason is
		// told should nothing help.
		if errno, ok := err.(syscall.Errno); ok && errno != syscall.EMSGSIZE {
			c.soft = errno
		}
	}
}

// appendOptions writes the options of an established connection, laid out as
// Linux does.
func (c *Conn) appendOptions(b []byte, now sim.Time) []byte {
	if c.tsEnabled {
		b = append(b, byte(wire.TCPOptionNop), byte(wire.TCPOptionNop))
		b = wire.AppendTimestamps(b, c.timestamp(now), c.tsRecent)
	}
	var blocks [4]wire.SACKBlock
	if n := c.sackBlocks(blocks[:], (40-len(b)-4)/8); n > 0 {
		b = append(b, byte(wire.TCPOptionNop), byte(wire.TCPOptionNop))
		b = wire.AppendSACK(b, blocks[:n]...)
	}
	return b
}

// timestamp is the connection's timestamp clock, which ticks every millisecond.
func (c *Conn) timestamp(now sim.Time) uint32 {
	return uint32(int64(now)/1e6) + c.tsOffset
}

// currentMSS is how much a segment may carry now: SACK blocks take room
// (tcp_current_mss).
func (c *Conn) currentMSS() int {
	if c.recents == 0 && !c.dsack {
		return c.mss
	}
	var blocks [4]wire.SACKBlock
	room := 40
	if c.tsEnabled {
		room -= timestampLen
	}
	if n := c.sackBlocks(blocks[:], (room-4)/8); n > 0 {
		return c.mss - 4 - 8*n
	}
	return c.mss
}

// syncMSS is tcp_sync_mss: the path MTU, the peer's limit and the options say
// how much a segment may carry.
func (c *Conn) syncMSS(pathMTU int) {
	c.pathMTU = pathMTU
	header := wire.IPv4MinLen + wire.TCPMinLen
	if c.Route.Remote.Addr().Is6() {
		header = wire.IPv6Len + wire.TCPMinLen
	}
	mss := min(pathMTU-header, c.mssClamp)
	mss = max(mss, c.machine.Sysctl.MinSndMSS)
	if c.tsEnabled {
		mss -= timestampLen
	}
	if c.maxWindow > 0 { // tcp_bound_to_half_wnd
		half := int(c.maxWindow)
		if half > mssDefault {
			half /= 2
		}
		if mss > half {
			mss = max(half, 68-header)
		}
	}
	c.mss = mss
}

// SetPathMTU tells that the path takes IP packets up to mtu bytes, as an ICMP
// error or a route says (RFC 1191 6.4). What is out and too long is sent again at
// once.
func (c *Conn) SetPathMTU(now sim.Time, mtu int) {
	if c.state.in(Closed, TimeWait, Listen) || mtu == c.pathMTU {
		return
	}
	shrunk := mtu < c.pathMTU
	c.syncMSS(mtu)
	if !shrunk || c.state.in(SynSent, SynReceived) {
		return
	}
	for i := range c.queue.n { // tcp_simple_retransmit
		s := c.queue.at(i)
		if int(s.end-s.seq) > c.mss && s.mark&sacked == 0 {
			c.markLost(s)
		}
	}
	if c.lostOut > 0 && c.caState != caLoss {
		c.highSeq = c.sndNxt
		c.ssthresh = c.currentSsthresh()
		c.priorSsthresh = 0
		c.undoMarker = 0
		c.setCA(caLoss)
	}
	c.retransmitLost(now)
	c.settle(now)
}

// sendAck sends an ACK without data.
func (c *Conn) sendAck(now sim.Time) {
	if c.state == Closed {
		return
	}
	c.emit(now, c.acceptableSeq(), wire.TCPAck, 0, 0, false)
}

// acceptableSeq is tcp_acceptable_seq: SND.NXT, or less where the peer took its
// window back, so that it takes the segment.
func (c *Conn) acceptableSeq() uint32 {
	if !before(c.windowEnd(), c.sndNxt) {
		return c.sndNxt
	}
	if c.scaling && c.sndNxt-c.windowEnd() < 1<<c.sndScale {
		return c.sndNxt
	}
	return c.windowEnd()
}

// sendFin queues a FIN and sends what it may.
func (c *Conn) sendFin(now sim.Time) {
	if c.fin {
		return
	}
	c.fin, c.finSeq = true, c.writeEnd
	c.transmitNew(now, holdNothing, false)
	c.armProbe(now)
}

// sendReset tells the peer that the connection is no more (tcp_send_active_reset).
func (c *Conn) sendReset(now sim.Time) {
	c.machine.Stats.OutRsts++
	c.emit(now, c.acceptableSeq(), wire.TCPRst|wire.TCPAck, 0, 0, false)
}

// probeBare sends a segment that the peer must answer: an empty one with a
// sequence number that it has had (tcp_xmit_probe_skb; RFC 9293 3.8.4).
func (c *Conn) probeBare(now sim.Time) {
	c.emit(now, c.sndUna-1, wire.TCPAck, 0, 0, false)
}

// probeWindow sends what makes the peer tell its window (tcp_write_wakeup): new
// data as far as the window goes, else an empty segment.
func (c *Conn) probeWindow(now sim.Time) {
	if !c.hasUnsent() || !before(c.sndNxt, c.windowEnd()) {
		c.probeBare(now)
		return
	}
	n := min(c.windowEnd()-c.sndNxt, uint32(c.currentMSS()), c.writeEnd-c.sndNxt)
	s := sent{seq: c.sndNxt, end: c.sndNxt + n, flags: wire.TCPAck}
	if n > 0 {
		s.flags |= wire.TCPPsh
	}
	if c.fin && s.end == c.finSeq && before(s.end, c.windowEnd()) {
		s.flags |= wire.TCPFin
		s.end++
	}
	c.sendNew(now, s)
}

// syn is the options of a SYN or SYN-ACK.
type syn struct {
	mss           uint16
	sackPermitted bool
	timestamps    bool
	tsVal, tsEcr  uint32
	windowScale   int8 // -1: none
}

// append writes them, laid out as Linux does: MSS, SACK permitted with
// timestamps, window scale.
func (o *syn) append(b []byte) []byte {
	b = wire.AppendMSS(b, o.mss)
	switch {
	case o.timestamps && o.sackPermitted:
		b = wire.AppendSACKPermitted(b)
		b = wire.AppendTimestamps(b, o.tsVal, o.tsEcr)
	case o.timestamps:
		b = append(b, byte(wire.TCPOptionNop), byte(wire.TCPOptionNop))
		b = wire.AppendTimestamps(b, o.tsVal, o.tsEcr)
	case o.sackPermitted:
		b = append(b, byte(wire.TCPOptionNop), byte(wire.TCPOptionNop))
		b = wire.AppendSACKPermitted(b)
	}
	if o.windowScale >= 0 {
		b = append(b, byte(wire.TCPOptionNop))
		b = wire.AppendWindowScale(b, uint8(o.windowScale))
	}
	return b
}

// sendSyn sends or resends the SYN, or the SYN-ACK of a simultaneous open.
func (c *Conn) sendSyn(now sim.Time, flags wire.TCPFlags) {
	k := c.machine.Sysctl
	o := syn{mss: uint16(c.advMSS), windowScale: -1}
	if flags.Has(wire.TCPAck) {
		o.sackPermitted, o.timestamps = c.sackEnabled, c.tsEnabled
		o.tsEcr = c.tsRecent
		if c.tsEnabled { // advMSS leaves them out by now, the option counts them in (RFC 6691)
			o.mss += timestampLen
		}
	} else {
		o.sackPermitted, o.timestamps = k.SACK, k.Timestamps
	}
	o.tsVal = c.timestamp(now)
	if k.WindowScaling && (!flags.Has(wire.TCPAck) || c.scaling) {
		o.windowScale = int8(c.rcvScale)
	}
	var space [40]byte
	h := wire.TCPHeader{
		Src: c.Route.Local, Dst: c.Route.Remote, Seq: c.iss, Flags: c.synFlags(flags),
		Window: uint16(min(c.rcvWnd, 65535)), Options: o.append(space[:0]),
	}
	if flags.Has(wire.TCPAck) {
		h.Ack = c.rcvNxt
	}
	c.Route.ECT = false
	f := c.machine.Output.Frame(wire.TCPMinLen + len(h.Options))
	f.SetBytes(wire.AppendTCPHeader(f.Buffer(), h))
	c.finish(now, f, &c.Route)
}

// Reset answers a segment that is for no connection (RFC 9293 3.10.7.1;
// tcp_v4_send_reset). It does not answer a reset.
func (m *Machine) Reset(now sim.Time, s *Segment) {
	if s.Flags.Has(wire.TCPRst) {
		return
	}
	h := wire.TCPHeader{Src: s.Dst, Dst: s.Src, Flags: wire.TCPRst}
	if s.Flags.Has(wire.TCPAck) {
		h.Seq = s.Ack
	} else {
		h.Flags |= wire.TCPAck
		h.Ack = s.end()
	}
	m.Stats.OutRsts++
	m.reply(now, h, 0)
}

// reply sends a segment without data for which there is no Conn.
func (m *Machine) reply(now sim.Time, h wire.TCPHeader, tos uint8) {
	f := m.Output.Frame(wire.TCPMinLen + len(h.Options))
	f.SetBytes(wire.AppendTCPHeader(f.Buffer(), h))
	wire.SetTCPChecksum(f.Bytes(), h.Src.Addr(), h.Dst.Addr())
	m.Stats.OutSegs++
	_ = m.Output.Transmit(now, &Route{Local: h.Src, Remote: h.Dst, TOS: tos}, f) // nobody waits for it
}
