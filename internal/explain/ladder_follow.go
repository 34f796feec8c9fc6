package explain

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/tcp"
	"github.com/hopyard/hopyard/internal/wire"
)

// connection is one connection as it is followed from segment to segment.
type connection struct {
	ends  [2]*end // the one whose segment came first, the other
	rungs []*rung
	whole bool // its handshake is in the recording
	first [2]tcp.State
	syn   *rung // the last SYN that arrived and was not answered
}

// end is what can be known of one end of a connection from its segments.
type end struct {
	port  netip.AddrPort
	state tcp.State // 0: not known

	// What it sends.
	based  bool
	iss    uint32 // relative numbers count from it
	next   uint32 // beyond the last that it sent
	fin    bool
	scale  int // what it offered, -1: nothing
	sackOK bool
	last   segment // the last it sent
	lastAt sim.Time
	sent   bool
	copies int // duplicate ACKs in a row that it sent
	flight []sending

	// What comes back for it.
	acked    bool
	una      uint32
	backAt   sim.Time // when anything last arrived
	back     bool
	window   int          // that its peer offers
	dups     int          // duplicate ACKs in a row that arrived
	hole     bool         // SACK tells of one
	sackTop  uint32       // where the highest SACKed block begins
	rtt      sim.Duration // of the first sample, 0: none
	probed   bool         // a tail loss probe is out
	lossEnd  uint32       // after a timeout: until this is acknowledged
	loss     bool
	asked    bool // a keepalive or window probe arrived and is not answered
	sawAgain bool // a SYN arrived again

	// What it received.
	received bool
	rcvNxt   uint32
	top      uint32           // beyond the highest that arrived
	islands  []wire.SACKBlock // beyond rcvNxt, apart from each other
	peerFin  bool
	finAt    uint32
}

// sending is bytes and when they were last sent.
type sending struct {
	left, right uint32
	at          sim.Time
	again       bool
}

func before(a, b uint32) bool { return int32(a-b) < 0 }

// connections parts the rungs by connection and follows each.
func (l *Ladder) connections() []*connection {
	var all []*connection
	open := map[flow]*connection{}
	for _, r := range l.rungs {
		r.settle(l.names[r.dst.Addr()])
		f := flowOf(r.src, r.dst)
		c := open[f]
		if c == nil || c.isNew(r) {
			c = &connection{ends: [2]*end{{port: r.src, scale: -1}, {port: r.dst, scale: -1}}}
			open[f] = c
			all = append(all, c)
		}
		c.rungs = append(c.rungs, r)
		if r.flags.Has(wire.TCPSyn) {
			e := c.ends[c.side(r.src)]
			e.based, e.iss = true, r.seq
		}
	}
	for _, c := range all {
		c.follow()
	}
	return all
}

// isNew reports whether a segment opens another connection between the same ends.
func (c *connection) isNew(r *rung) bool {
	e := c.ends[c.side(r.src)]
	return r.flags.Has(wire.TCPSyn) && !r.flags.Has(wire.TCPAck) && e.based && e.iss != r.seq
}

func (c *connection) side(p netip.AddrPort) int {
	if c.ends[0].port == p {
		return 0
	}
	return 1
}

// step is the sending or the arrival of a segment.
type step struct {
	order   int
	rung    *rung
	arrives bool
}

// follow goes through all that is sent and arrives, in its order.
func (c *connection) follow() {
	var steps []step
	for _, r := range c.rungs {
		steps = append(steps, step{r.order, r, false})
		if r.arrives {
			steps = append(steps, step{r.arriveOrder, r, true})
		}
	}
	slices.SortStableFunc(steps, func(a, b step) int { return cmp.Compare(a.order, b.order) })
	if first := c.rungs[0]; first.flags.Has(wire.TCPSyn) && !first.flags.Has(wire.TCPAck) {
		c.whole = true
		c.ends[0].state, c.ends[1].state = tcp.Closed, tcp.Listen
		if slices.ContainsFunc(c.rungs, func(r *rung) bool {
			return r.src == c.ends[1].port && r.flags&(wire.TCPSyn|wire.TCPAck) == wire.TCPSyn
		}) {
			c.ends[1].state = tcp.Closed // both open actively
		}
	}
	if c.deaf() {
		c.ends[1].state = 0
	}
	c.first = [2]tcp.State{c.ends[0].state, c.ends[1].state}
	for _, s := range steps {
		from := c.side(s.rung.src)
		if s.arrives {
			c.arrive(s.rung, c.ends[1-from], c.ends[from])
			s.rung.states[1-from] = stateName(c.ends[1-from].state)
			continue
		}
		c.send(s.rung, c.ends[from], c.ends[1-from])
		s.rung.states[from] = stateName(c.ends[from].state)
	}
}

// deaf reports whether nothing reached the other end, and nothing came from it: it
// may not be there at all.
func (c *connection) deaf() bool {
	return !slices.ContainsFunc(c.rungs, func(r *rung) bool { return r.src == c.ends[1].port || r.arrives })
}

func stateName(s tcp.State) string {
	if s == 0 {
		return ""
	}
	return s.String()
}

// base gives relative numbers a start where the handshake is not known: as
// Wireshark, the first byte seen is number 1.
func (e *end) base(seq uint32) {
	if !e.based {
		e.based, e.iss = true, seq-1
	}
}

func (r *rung) mark(format string, args ...any) {
	r.marks = append(r.marks, fmt.Sprintf(format, args...))
}

// send is what a segment tells when it leaves.
func (c *connection) send(r *rung, e, peer *end) {
	e.base(r.seq)
	if r.flags.Has(wire.TCPAck) {
		peer.base(r.ack)
	}
	c.text(r, e, peer)
	c.losses(r)
	switch {
	case r.flags.Has(wire.TCPSyn|wire.TCPAck) && e.sent && e.last.flags&(wire.TCPSyn|wire.TCPAck) == wire.TCPSyn:
		r.mark("simultaneous open: the SYN again, with an ACK") // RFC 9293 3.5, figure 7
	case r.room() > 0 && e.sent && before(r.seq, e.next) && !isProbe(r, e):
		r.again = true
		r.mark("%s", e.why(r, peer))
	case e.sent && isProbe(r, e) && e.window == 0:
		r.mark("window probe")
	case e.sent && isProbe(r, e):
		r.mark("keepalive")
	case r.room() == 0 && r.flags&(wire.TCPRst|wire.TCPAck) == wire.TCPAck:
		c.pureACK(r, e)
	}
	if win := c.scaled(r, e, peer); win == 0 && r.flags&(wire.TCPRst|wire.TCPSyn) == 0 {
		r.mark("zero window")
	}
	c.sendState(r, e)
	if !e.sent || before(e.next, r.seq+r.room()) {
		e.next = r.seq + r.room()
	}
	e.sent, e.last, e.lastAt, e.asked, e.sawAgain = true, r.segment, r.at, false, false
	if r.room() > 0 {
		e.note(r)
	}
}

// isProbe reports whether a segment repeats the number before the next, which
// asks for an ACK and carries nothing new (RFC 9293 3.8.4, and Linux's window probes).
func isProbe(r *rung, e *end) bool {
	return r.length <= 1 && r.flags&(wire.TCPSyn|wire.TCPFin|wire.TCPRst) == 0 && r.seq == e.next-1 && e.acked && e.una == e.next
}

// note remembers when bytes were sent.
func (e *end) note(r *rung) {
	right := r.seq + r.room()
	again := false
	e.flight = slices.DeleteFunc(e.flight, func(f sending) bool {
		old := !before(f.left, r.seq) && !before(right, f.right)
		again = again || old
		return old
	})
	e.flight = append(e.flight, sending{r.seq, right, r.at, again})
}

// losses marks what the recording knows of the segment's way.
func (c *connection) losses(r *rung) {
	switch {
	case !r.arrives && r.why == wire.DropLoss:
		r.mark("lost on the link behind %v", r.lostAt)
	case !r.arrives && r.why != wire.NotDropped:
		r.mark("dropped at %v: %v", r.lostAt, r.why)
	case r.why == wire.DropNoSocket:
		r.mark("%v", r.why)
	case !r.arrives:
		r.mark("on its way when the recording ends")
	case r.copies > 1:
		r.mark("arrives %d times", r.copies)
	}
}

// pureACK marks an ACK that carries nothing, by what it says that the one before
// did not.
func (c *connection) pureACK(r *rung, e *end) {
	l := &e.last
	same := e.sent && l.flags.Has(wire.TCPAck) && l.ack == r.ack
	synAck := l.flags.Has(wire.TCPSyn) // its window is not scaled, and no data came before it
	switch {
	case r.tellsTwice():
		r.mark("D-SACK: tells of bytes that came twice")
	case same && !synAck && len(r.blocks) == 0 && r.window != l.window:
		r.mark("window update")
	case same && e.asked:
		r.mark("answers the probe")
	case same && (!synAck || len(r.blocks) > 0):
		e.copies++
		r.mark("duplicate ACK %d", e.copies)
		return
	}
	if !same {
		e.copies = 0
	}
}

// tellsTwice is RFC 2883 4: the first SACK block is below the ACK, or within the
// second.
func (s *segment) tellsTwice() bool {
	if len(s.blocks) == 0 {
		return false
	}
	first := s.blocks[0]
	return !before(s.ack, first.Right) ||
		len(s.blocks) > 1 && !before(first.Left, s.blocks[1].Left) && !before(s.blocks[1].Right, first.Right)
}

// sendState is how sending moves the state (RFC 9293 3.3.2, figure 5).
func (c *connection) sendState(r *rung, e *end) {
	switch {
	case r.flags.Has(wire.TCPRst):
		if c.syn != nil && c.syn.dst == e.port && e.state == tcp.SynReceived { // it never listened
			c.syn.states[c.side(e.port)] = stateName(tcp.Closed)
			c.first[c.side(e.port)] = tcp.Closed
		}
		e.state = tcp.Closed
	case r.flags.Has(wire.TCPSyn | wire.TCPAck):
		c.syn = nil
		if e.state == 0 || e.state == tcp.Listen {
			e.state = tcp.SynReceived
		}
	case r.flags.Has(wire.TCPSyn):
		if e.state == tcp.Closed || e.state == 0 {
			e.state = tcp.SynSent
		}
	}
	if r.flags.Has(wire.TCPSyn) {
		e.scale, e.sackOK = r.scale, r.sackOK
	}
	if r.flags.Has(wire.TCPFin) {
		e.fin = true
		switch e.state {
		case tcp.Established, tcp.SynReceived:
			e.state = tcp.FinWait1
		case tcp.CloseWait:
			e.state = tcp.LastAck
		}
	}
}

// arrive is what a segment does to the end that it reaches.
func (c *connection) arrive(r *rung, e, peer *end) {
	e.back, e.backAt = true, r.arrivedAt
	if r.why == wire.DropNoSocket {
		if e.state == tcp.Listen {
			c.first[c.side(e.port)] = tcp.Closed
		}
		e.state = tcp.Closed
		return
	}
	if r.flags.Has(wire.TCPRst) {
		c.resets(r, e)
		return
	}
	if r.flags.Has(wire.TCPSyn) {
		c.arriveSYN(r, e)
	}
	if r.flags.Has(wire.TCPAck) {
		window := c.scaled(r, peer, e)
		e.acknowledged(r, window == e.window)
		e.window = window
	}
	e.receive(r)
	if e.peerFin && e.rcvNxt == e.finAt {
		e.finished()
	}
}

// resets ends a connection if the RST is acceptable: in SYN-SENT it acknowledges
// the SYN, later it has the next number exactly (RFC 9293 3.10.7.3, RFC 5961 3.2).
func (c *connection) resets(r *rung, e *end) {
	switch {
	case e.state == tcp.SynSent:
		if r.flags.Has(wire.TCPAck) && r.ack == e.next {
			e.state = tcp.Closed
		}
	case e.state == tcp.Listen:
	case !e.received || r.seq == e.rcvNxt:
		e.state = tcp.Closed
	default:
		r.mark("not the next number: a challenge ACK answers it")
	}
}

func (c *connection) arriveSYN(r *rung, e *end) {
	e.sawAgain = e.received
	switch {
	case r.flags.Has(wire.TCPAck):
	case e.state == tcp.Listen || e.state == 0 || e.state == tcp.SynSent:
		e.state = tcp.SynReceived
		c.syn = r
	}
}

// acknowledged takes in an ACK that arrives for what the end sent; sameWindow: it
// offers what the one before did (RFC 5681 2).
func (e *end) acknowledged(r *rung, sameWindow bool) {
	for _, b := range r.blocks {
		if before(r.ack, b.Left) && (!e.hole || before(e.sackTop, b.Left)) {
			e.hole, e.sackTop = true, b.Left
		}
	}
	switch {
	case !e.sent:
		return
	case e.acked && e.una == r.ack && r.room() == 0 && e.una != e.next && (sameWindow || len(r.blocks) > 0):
		e.dups++
	case !e.acked || before(e.una, r.ack):
		e.advance(r)
	}
	if r.ack != e.next {
		return
	}
	switch e.state { // all is acknowledged, a SYN or FIN included
	case tcp.SynSent:
		if r.flags.Has(wire.TCPSyn) {
			e.state = tcp.Established
		}
	case tcp.SynReceived:
		e.state = tcp.Established
	case tcp.FinWait1:
		e.state = tcp.FinWait2
	case tcp.Closing:
		e.state = tcp.TimeWait
	case tcp.LastAck:
		e.state = tcp.Closed
	}
}

// advance is an ACK that acknowledges more.
func (e *end) advance(r *rung) {
	e.acked, e.una, e.dups, e.probed = true, r.ack, 0, false
	e.hole = e.hole && before(r.ack, e.sackTop)
	e.flight = slices.DeleteFunc(e.flight, func(f sending) bool {
		done := !before(r.ack, f.right)
		if done && !f.again && e.rtt == 0 { // Karn: only of what was sent once
			e.rtt = r.arrivedAt.Sub(f.at)
		}
		return done
	})
	if e.loss && !before(r.ack, e.lossEnd) {
		e.loss = false
	}
}

// receive puts what the segment carries where it belongs.
func (e *end) receive(r *rung) {
	if r.room() == 0 {
		e.asked = e.asked || e.received && r.seq == e.rcvNxt-1
		return
	}
	right := r.seq + r.room()
	if !e.received {
		e.received, e.rcvNxt, e.top = true, r.seq, r.seq
	}
	switch {
	case before(e.rcvNxt, r.seq):
		r.mark("waits for %s", plural(int(r.seq-e.rcvNxt)-covered(e.islands, e.rcvNxt, r.seq), "byte"))
		e.islands = join(e.islands, wire.SACKBlock{Left: r.seq, Right: right})
	case before(r.seq, e.top) && before(e.rcvNxt, right) && len(e.islands) > 0 && !r.again:
		r.mark("out of order: overtaken on the way")
	}
	if before(e.top, right) {
		e.top = right
	}
	if r.flags.Has(wire.TCPFin) {
		e.peerFin, e.finAt = true, right
	}
	if !before(e.rcvNxt, r.seq) && before(e.rcvNxt, right) {
		e.rcvNxt = right
	}
	for _, h := range e.islands { // at most one begins here: they do not touch
		if !before(e.rcvNxt, h.Left) && before(e.rcvNxt, h.Right) {
			e.rcvNxt = h.Right
		}
	}
	e.islands = slices.DeleteFunc(e.islands, func(h wire.SACKBlock) bool { return !before(e.rcvNxt, h.Right) })
}

// join adds a block to some that neither overlap nor touch, and keeps them so.
func join(blocks []wire.SACKBlock, b wire.SACKBlock) []wire.SACKBlock {
	blocks = slices.DeleteFunc(blocks, func(o wire.SACKBlock) bool {
		apart := before(o.Right, b.Left) || before(b.Right, o.Left)
		if !apart {
			if before(o.Left, b.Left) {
				b.Left = o.Left
			}
			if before(b.Right, o.Right) {
				b.Right = o.Right
			}
		}
		return !apart
	})
	return append(blocks, b)
}

// covered is how many of the bytes between two numbers are in blocks that do
// not overlap.
func covered(blocks []wire.SACKBlock, left, right uint32) int {
	n := 0
	for _, b := range blocks {
		if !before(b.Left, left) && before(b.Left, right) {
			n += int(b.Right - b.Left)
		}
	}
	return n
}

// finished is the peer's FIN, in order.
func (e *end) finished() {
	switch e.state {
	case tcp.Established, tcp.SynReceived:
		e.state = tcp.CloseWait
	case tcp.FinWait1:
		e.state = tcp.Closing
	case tcp.FinWait2:
		e.state = tcp.TimeWait
	}
}
