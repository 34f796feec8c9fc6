package tcp

import (
	"math/bits"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// ackPolicy decides when an ACK goes out (RFC 9293 3.8.6.3; Linux's quick and
// delayed ACKs).
type ackPolicy struct {
	ato       sim.Duration // how long one may wait, by how often data comes; 0: none came yet
	lastData  sim.Time
	quick     int  // so many go out at once
	pingpong  bool // the user answers: let ACKs ride on the answers
	scheduled bool // one is owed
	atOnce    bool // one must not wait
	pushed    int  // small segments with data since (ICSK_ACK_PUSHED, PUSHED2)
	mss       int  // the peer's segments, as far as seen (rcv_mss)
	lastSize  int

	compressed     int // ACKs with SACK blocks held back
	compressedNext uint32
	duplicates     int
}

// receiveSpace measures how fast the user reads, for a window that does not limit
// (dynamic right-sizing; tcp_rcv_space_adjust).
type receiveSpace struct {
	copied  uint32
	at      sim.Time
	space   uint32
	rtt     int64 // microseconds, 8 times as much
	rttSeq  uint32
	rttAt   sim.Time
	lastEcr uint32
}

// receiveWindow is what is left of the window last offered.
func (c *Conn) receiveWindow() uint32 {
	return uint32(max(int32(c.rcvWup+c.rcvWnd-c.rcvNxt), 0))
}

// windowFrom is how much payload a buffer is taken to hold: half goes to
// overhead (tcp_win_from_space).
func windowFrom(space int) int { return space / 2 }

// outOfOrder is how many bytes wait behind a hole.
func (c *Conn) outOfOrder() (n int) {
	for _, s := range c.spans {
		n += int(s.right - s.left)
	}
	return n
}

// selectWindow is the window to offer, as it goes into a segment
// (tcp_select_window; RFC 9293 3.8.6.2.2: it does not shrink).
func (c *Conn) selectWindow(sim.Time) uint16 {
	old, offered := c.rcvWnd, c.receiveWindow()
	window := c.newWindow()
	if window < offered {
		if window == 0 {
			c.machine.Stats.TCPWantZeroWindowAdv++
		}
		unit := uint32(1) << c.rcvScale
		window = (offered + unit - 1) &^ (unit - 1)
	}
	c.rcvWnd, c.rcvWup = window, c.rcvNxt
	window = min(window, 65535<<c.rcvScale) >> c.rcvScale
	switch {
	case window == 0 && old > 0:
		c.machine.Stats.TCPToZeroWindowAdv++
	case window > 0 && old == 0:
		c.machine.Stats.TCPFromZeroWindowAdv++
	}
	return uint16(window)
}

// newWindow is __tcp_select_window: what is free, in whole segments where
// little is (receiver's silly window avoidance).
func (c *Conn) newWindow() uint32 {
	full := min(int(c.windowMax), windowFrom(c.rcvbuf))
	free := windowFrom(c.rcvbuf) - c.in.n - c.outOfOrder()
	mss := min(c.ack.mss, full)
	if mss <= 0 || free < 0 {
		return 0
	}
	if free < full/2 {
		c.ack.quick = 0
		unit := 1 << c.rcvScale
		free &^= unit - 1
		if free < full>>4 || free < mss {
			return 0
		}
	}
	free = min(free, int(c.ssthreshIn))
	if c.rcvScale > 0 {
		unit := 1 << c.rcvScale
		return uint32((free + unit - 1) &^ (unit - 1))
	}
	window := int(c.rcvWnd)
	if window <= free-mss || window > free {
		return uint32(free / mss * mss)
	}
	if mss == full && free > window+full/2 {
		return uint32(free)
	}
	return uint32(window)
}

// initialWindow sizes the first window and the scale (tcp_select_initial_window).
func (m *Machine) initialWindow(rcvbuf, clamp, mss int) (window uint32, scale uint8) {
	space := windowFrom(rcvbuf)
	if clamp > 0 {
		space = min(space, clamp)
	}
	if space > mss && mss > 0 {
		space = space / mss * mss
	}
	window = uint32(space)
	if m.Sysctl.WindowScaling {
		most := max(space, m.Sysctl.Rmem[2])
		if clamp > 0 {
			most = min(most, clamp)
		}
		scale = uint8(min(max(bits.Len(uint(most))-1-15, 0), windowScaleMax))
	}
	return window, scale
}

// takeData queues the payload of a segment, and its FIN (tcp_data_queue).
func (c *Conn) takeData(now sim.Time, s *Segment) {
	seq, end := s.Seq, s.Seq+uint32(len(s.Payload))
	fin := s.Flags.Has(wire.TCPFin)
	finish := end
	if fin {
		finish++
	}
	if seq == finish {
		return
	}
	switch {
	case !after(finish, c.rcvNxt): // all of it is old
		c.machine.Stats.DelayedACKLost++
		c.setDSACK(seq, finish)
		c.quickAck(quickAcksMax)
		c.ack.scheduled = true
		return
	case !before(seq, c.rcvNxt+c.receiveWindow()) && (len(s.Payload) > 0 || seq != c.rcvNxt):
		if seq == c.rcvNxt {
			c.machine.Stats.TCPZeroWindowDrop++
		}
		c.quickAck(quickAcksMax)
		c.ack.scheduled, c.ack.atOnce = true, seq == c.rcvNxt
		return
	}
	payload := s.Payload
	if before(seq, c.rcvNxt) { // the head is old
		c.setDSACK(seq, c.rcvNxt)
		payload = payload[c.rcvNxt-seq:]
		seq = c.rcvNxt
	}
	if limit := c.rcvNxt + c.receiveWindow(); after(end, limit) { // the tail is beyond the window
		payload = payload[:limit-seq]
		end, fin = limit, false
	}
	if c.overMemory() && len(payload) > 0 {
		c.machine.Stats.TCPRcvQDrop++
		c.ack.scheduled, c.ack.atOnce = true, true
		return
	}
	if fin {
		c.finAhead, c.finAt = true, end
	}
	if seq == c.rcvNxt {
		c.takeInOrder(now, payload)
	} else {
		c.takeOutOfOrder(seq, payload)
	}
	if c.finAhead && c.rcvNxt == c.finAt {
		c.finAhead = false
		c.takeFin(now)
	}
	if c.in.n > 0 || c.readEnd {
		c.notify(now)
	}
}

// takeInOrder takes what was expected, and what waited behind it.
func (c *Conn) takeInOrder(now sim.Time, payload []byte) {
	if !c.drain {
		c.in.writeAt(&c.machine.memory, int(c.rcvNxt-c.copied), payload)
	}
	c.advance(uint32(len(payload)))
	c.measurePeer(now, len(payload))
	if c.drain {
		defer c.adjustSpace(now)
	}
	if len(c.spans) == 0 {
		return
	}
	for len(c.spans) > 0 && !after(c.spans[0].left, c.rcvNxt) {
		s := c.spans[0]
		c.spans = slices.Delete(c.spans, 0, 1)
		if before(s.left, c.rcvNxt) { // RFC 2883 4: some of it has come twice
			c.setDSACK(s.left, minSeq(s.right, c.rcvNxt))
		}
		if after(s.right, c.rcvNxt) {
			c.advance(s.right - c.rcvNxt)
		}
	}
	if len(c.spans) == 0 { // RFC 5681 4.2: at once when a hole closes
		c.spans = nil
		c.ack.atOnce = true
	}
	c.trimRecent()
}

// advance makes n bytes more readable, or with Drain read.
func (c *Conn) advance(n uint32) {
	c.rcvNxt += n
	c.bytesReceived += uint64(n)
	if c.drain {
		c.copied += n
	} else {
		c.in.extend(int(n))
	}
}

func minSeq(a, b uint32) uint32 {
	if before(a, b) {
		return a
	}
	return b
}

// spansMax bounds how many holes there may be: a peer that sends every other byte
// must not cost more than its bytes.
const spansMax = 1024

// takeOutOfOrder keeps what came before its time (tcp_data_queue_ofo), told in
// SACK blocks, the latest first (RFC 2018 4).
func (c *Conn) takeOutOfOrder(seq uint32, payload []byte) {
	c.ack.scheduled = true
	stats := &c.machine.Stats
	stats.TCPOFOQueue++
	if len(payload) == 0 { // a FIN alone takes no room, but a number that is told all the same
		c.remember(span{seq, seq + 1})
		return
	}
	right := seq + uint32(len(payload))
	i := 0
	for i < len(c.spans) && before(c.spans[i].right, seq) {
		i++
	}
	if i == len(c.spans) && i >= spansMax {
		stats.TCPOFODrop++
		return
	}
	if !c.drain {
		c.in.writeAt(&c.machine.memory, int(seq-c.copied), payload)
	}
	merged := span{seq, right}
	k := i
	for ; k < len(c.spans) && !after(c.spans[k].left, right); k++ {
		s := c.spans[k]
		if low, high := maxSeq(s.left, seq), minSeq(s.right, right); before(low, high) {
			stats.TCPOFOMerge++
			c.setDSACKOutOfOrder(low, high)
		}
		merged = span{minSeq(merged.left, s.left), maxSeq(merged.right, s.right)}
	}
	c.spans = slices.Replace(c.spans, i, k, merged)
	if len(c.spans) > spansMax {
		c.spans = c.spans[:spansMax]
	}
	if c.finAhead && merged.right == c.finAt {
		merged.right++
	}
	c.remember(merged)
}

func maxSeq(a, b uint32) uint32 {
	if after(a, b) {
		return a
	}
	return b
}

// remember puts a block first among those to be told.
func (c *Conn) remember(s span) {
	kept := c.recent
	n := 1
	c.recent[0] = s
	for _, old := range kept[:c.recents] {
		if n < len(c.recent) && (before(old.right, s.left) || after(old.left, s.right)) {
			c.recent[n] = old
			n++
		}
	}
	c.recents = n
}

// trimRecent forgets blocks that are in order now (tcp_sack_remove).
func (c *Conn) trimRecent() {
	n := 0
	for _, s := range c.recent[:c.recents] {
		if after(s.left, c.rcvNxt) {
			c.recent[n] = s
			n++
		}
	}
	c.recents = n
}

// setDSACK has the next ACK tell of bytes that came twice (RFC 2883).
func (c *Conn) setDSACK(left, right uint32) {
	if !c.sackEnabled || !c.machine.Sysctl.DSACK {
		return
	}
	if before(left, c.rcvNxt) {
		c.machine.Stats.TCPDSACKOldSent++
	} else {
		c.machine.Stats.TCPDSACKOfoSent++
	}
	c.dsack, c.duplicate = true, span{left, right}
}

// setDSACKOutOfOrder widens one that is already due (tcp_dsack_extend).
func (c *Conn) setDSACKOutOfOrder(left, right uint32) {
	if c.dsack && !after(left, c.duplicate.right) && !before(right, c.duplicate.left) {
		c.duplicate = span{minSeq(left, c.duplicate.left), maxSeq(right, c.duplicate.right)}
		return
	}
	c.setDSACK(left, right)
}

// sackBlocks fills in the blocks to tell, at most limit: a duplicate first.
func (c *Conn) sackBlocks(b []wire.SACKBlock, limit int) (n int) {
	if !c.sackEnabled || c.recents == 0 && !c.dsack {
		return 0
	}
	limit = min(limit, len(b))
	if c.dsack && n < limit {
		b[0] = wire.SACKBlock{Left: c.duplicate.left, Right: c.duplicate.right}
		n = 1
	}
	for _, s := range c.recent[:c.recents] {
		if n < limit {
			b[n] = wire.SACKBlock{Left: s.left, Right: s.right}
			n++
		}
	}
	return n
}

// overMemory reports whether the machine's connections hold more than tcp_mem
// allows.
func (c *Conn) overMemory() bool { return c.machine.memory.held > c.machine.Sysctl.Mem }

// measurePeer is tcp_event_data_recv: how large the peer's segments are and how
// often they come.
func (c *Conn) measurePeer(now sim.Time, n int) {
	p := &c.ack
	p.scheduled = true
	if n == 0 {
		return
	}
	c.measureMSS(n)
	c.measureRoundTrip(now)
	switch gap := now.Sub(p.lastData); {
	case p.ato == 0: // the first: answer at once for a while, the peer is in slow start
		c.moreQuick(quickAcksMax)
		p.ato = delayedAckMin
	case gap <= delayedAckMin/2:
		p.ato = p.ato/2 + delayedAckMin/2
	case gap < p.ato:
		p.ato = min(p.ato/2+gap, c.rto)
	case gap > c.rto: // long idle
		c.moreQuick(quickAcksMax)
	}
	p.lastData = now
	if n >= 128 {
		c.growWindow()
	}
}

// measureMSS is tcp_measure_rcv_mss.
func (c *Conn) measureMSS(n int) {
	p := &c.ack
	last := p.lastSize
	p.lastSize = 0
	if n >= p.mss {
		p.mss = min(n, c.advMSS)
		if p.mss == 0 {
			p.mss = n
		}
		return
	}
	if n >= mssDefault {
		p.lastSize = n
		if n == last {
			p.mss = n
			return
		}
	}
	p.pushed = min(p.pushed+1, 2)
}

// growWindow lets the offered window grow with what arrives (tcp_grow_window).
func (c *Conn) growWindow() {
	limit := min(c.windowMax, uint32(max(windowFrom(c.rcvbuf)-c.in.n, 0)))
	if c.ssthreshIn < limit {
		c.ssthreshIn = min(limit, c.ssthreshIn+2*uint32(c.advMSS))
		c.ack.quick |= 1
	}
}

// moreQuick allows so many ACKs at once (tcp_incr_quickack).
func (c *Conn) moreQuick(most int) {
	n := 2
	if c.ack.mss > 0 {
		n = max(int(c.rcvWnd)/(2*c.ack.mss), 2)
	}
	c.ack.quick = max(c.ack.quick, min(n, most))
}

// quickAck is tcp_enter_quickack_mode.
func (c *Conn) quickAck(most int) {
	c.moreQuick(most)
	c.ack.pingpong = false
	c.ack.ato = delayedAckMin
}

// ackAfterData sends an ACK or sees that one will be sent (__tcp_ack_snd_check).
func (c *Conn) ackAfterData(now sim.Time) {
	p := &c.ack
	if !p.scheduled {
		return
	}
	full := c.rcvNxt-c.rcvWup > uint32(p.mss) &&
		(int(c.rcvNxt-c.copied) < c.Options.ReceiveLowat || c.newWindow() >= c.rcvWnd)
	if full || p.quick > 0 && !p.pingpong || p.atOnce {
		c.sendAck(now)
		return
	}
	if len(c.spans) == 0 && !c.finAhead {
		c.delayAck(now)
		return
	}
	c.compressAck(now)
}

// compressAck holds back duplicate ACKs but the first three in a round trip, a
// millisecond at most.
func (c *Conn) compressAck(now sim.Time) {
	p := &c.ack
	if p.compressedNext != c.rcvNxt {
		p.compressedNext, p.duplicates = c.rcvNxt, 0
	}
	if !c.sackEnabled || p.compressed >= c.machine.Sysctl.CompSackCount || p.duplicates < dupThresh {
		p.duplicates++
		c.sendAck(now)
		return
	}
	p.compressed++
	if c.compressed != sim.Never {
		return
	}
	rtt := c.space.rtt
	if c.srtt > 0 && (c.srtt < rtt || rtt == 0) {
		rtt = c.srtt
	}
	c.compressed = now.Add(min(c.machine.Sysctl.CompSackDelay, sim.Duration(rtt)*(1000>>3)/20))
}

// delayAck is tcp_send_delayed_ack.
func (c *Conn) delayAck(now sim.Time) {
	p := &c.ack
	wait := p.ato
	if wait > delayedAckMin {
		most := 500 * sim.Duration(1e6)
		if p.pingpong || p.pushed > 0 {
			most = delayedAckMax
		}
		if c.srtt > 0 {
			most = min(most, max(sim.Duration(c.srtt>>3)*1000, delayedAckMin))
		}
		wait = min(wait, most)
	}
	at := now.Add(wait)
	if c.delayedAck != sim.Never {
		if c.delayedAck <= now.Add(wait/4) { // due soon anyway
			c.sendAck(now)
			return
		}
		at = min(at, c.delayedAck)
	}
	c.delayedAck = at
}

// delayedAckTimeout sends the ACK that nothing came to carry (tcp_delack_timer_handler).
func (c *Conn) delayedAckTimeout(now sim.Time) {
	c.delayedAck = sim.Never
	p := &c.ack
	if !p.scheduled {
		return
	}
	if !p.pingpong { // the guess was too short
		p.ato = min(2*p.ato, c.rto)
	} else { // no answer came: not a conversation
		p.pingpong = false
		p.ato = delayedAckMin
	}
	c.machine.Stats.DelayedACKs++
	c.sendAck(now)
}

// ackSent is tcp_event_ack_sent.
func (c *Conn) ackSent(sim.Time) {
	p := &c.ack
	if p.quick > 0 {
		if p.quick--; p.quick == 0 {
			p.ato = delayedAckMin
		}
	}
	p.scheduled, p.atOnce, p.pushed, p.compressed = false, false, 0, 0
	c.delayedAck, c.compressed = sim.Never, sim.Never
	c.dsack = false
}

// ackAfterRead is tcp_cleanup_rbuf: the user made room.
func (c *Conn) ackAfterRead(now sim.Time, n int) {
	if c.state.in(Closed, TimeWait) {
		return
	}
	p := &c.ack
	due := p.scheduled && (c.rcvNxt-c.rcvWup > uint32(p.mss) ||
		n > 0 && c.in.n == 0 && (p.pushed > 1 || p.pushed > 0 && !p.pingpong))
	if !due && !c.peerFin && 2*c.receiveWindow() <= c.windowMax {
		window := c.newWindow()
		due = window > 0 && window >= 2*c.receiveWindow()
	}
	if due {
		c.sendAck(now)
	}
}

// measureRoundTrip estimates the round trip as the receiver sees it: how long a
// window takes (tcp_rcv_rtt_measure), where there are no timestamps.
func (c *Conn) measureRoundTrip(now sim.Time) {
	s := &c.space
	if c.tsEnabled {
		return
	}
	if s.rttAt != 0 {
		if before(c.rcvNxt, s.rttSeq) {
			return
		}
		c.updateRoundTrip(now.Sub(s.rttAt), true)
	}
	s.rttSeq, s.rttAt = c.rcvNxt+c.rcvWnd, now
}

func (c *Conn) updateRoundTrip(d sim.Duration, windowed bool) {
	s := &c.space
	m := max(int64(d)/1000, 1) << 3
	switch {
	case s.rtt == 0:
		s.rtt = m
	case windowed:
		s.rtt = min(s.rtt, m)
	default:
		s.rtt += (m - s.rtt) >> 3
	}
}

// adjustSpace is tcp_rcv_space_adjust: what the user read in a round trip, twice
// and some, is what the buffer should hold.
func (c *Conn) adjustSpace(now sim.Time) {
	s := &c.space
	if s.rtt == 0 || now.Sub(s.at) < sim.Duration(s.rtt>>3)*1000 {
		return
	}
	copied := c.copied - s.copied
	if copied > s.space && c.machine.Sysctl.ModerateRcvbuf && c.Options.ReceiveBuffer == 0 {
		window := uint64(copied)<<1 + 16*uint64(c.advMSS)
		if s.space > 0 {
			window += 2 * (window * uint64(copied-s.space) / uint64(s.space))
		}
		if want := int(min(2*window, uint64(c.machine.Sysctl.Rmem[2]))); want > c.rcvbuf {
			c.rcvbuf = want
			c.windowMax = uint32(windowFrom(want))
		}
	}
	if copied > s.space {
		s.space = copied
	}
	s.copied, s.at = c.copied, now
}
