package tcp

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Listener is a socket in LISTEN: half-open connections, which cost little, and
// those that wait to be accepted.
type Listener struct {
	Options Options
	// Notify is called when a connection may be accepted.
	Notify func(now sim.Time)

	machine  *Machine
	local    netip.AddrPort // Addr unset: every address
	backlog  int
	requests map[flow]*request
	timers   sim.Queue
	order    sim.Order
	ready    []*Conn
	closed   bool
	flooded  bool // cookies were sent, so an ACK may bring one
	// made tells the machine's owner of a new connection, whose segments are its own
	// from now on.
	made func(now sim.Time, c *Conn)
}

// flow is the ends of a connection.
type flow struct{ local, remote netip.AddrPort }

// request is a connection in SYN-RECEIVED (Linux's request_sock).
type request struct {
	timer    sim.Timer
	listener *Listener
	flow     flow
	irs, iss uint32
	at       sim.Time // of the first SYN-ACK
	retries  uint8
	acked    bool // the peer's ACK came while the accept queue was full or data is awaited
	window   uint32
	scale    uint8
	mss      uint16
	pathMTU  int
	tsRecent uint32
	tsOffset uint32
	peer     options
	ecn      bool
	tos      uint8
	nextOOW  sim.Time
}

// Listen opens a listener (RFC 9293 3.10.1, passive). backlog bounds both queues,
// as listen(2) has it; made is called for each connection when its handshake is done.
func (m *Machine) Listen(local netip.AddrPort, backlog int, options Options, made func(now sim.Time, c *Conn)) *Listener {
	return &Listener{Options: options, machine: m, local: local, backlog: max(backlog, 0), made: made, requests: map[flow]*request{}}
}

// Local is where it listens.
func (l *Listener) Local() netip.AddrPort { return l.local }

// Backlog is how many connections may wait, and Waiting how many do.
func (l *Listener) Backlog() int { return l.backlog }

// Waiting is how many connections wait to be accepted.
func (l *Listener) Waiting() int { return len(l.ready) }

// HalfOpen is how many handshakes are under way.
func (l *Listener) HalfOpen() int { return len(l.requests) }

// Accept takes the connection that has waited longest, nil where none does.
func (l *Listener) Accept() *Conn {
	if len(l.ready) == 0 {
		return nil
	}
	c := l.ready[0]
	l.ready = slices.Delete(l.ready, 0, 1)
	c.parent = nil
	return c
}

// SetBacklog is another listen(2).
func (l *Listener) SetBacklog(n int) { l.backlog = max(n, 0) }

// lostChild forgets a connection that ended before it was accepted. The user gets
// it all the same, and reads the error: accept(2) does as much.
func (l *Listener) lostChild(c *Conn) { c.parent = nil }

// Close ends listening: half-open connections are forgotten, those that wait are
// reset (inet_csk_listen_stop).
func (l *Listener) Close(now sim.Time) {
	if l.closed {
		return
	}
	l.closed = true
	for _, r := range l.requests { // any order: nothing is sent
		l.timers.Stop(&r.timer)
	}
	l.requests = nil
	for _, c := range l.ready {
		c.Abort(now)
	}
	l.ready = nil
}

// Deadline is when Advance has something to do.
func (l *Listener) Deadline() sim.Time { return l.timers.Next() }

// Advance sends SYN-ACKs again, as is due.
func (l *Listener) Advance(now sim.Time) {
	for l.timers.FireNext(now) {
	}
}

// Input is RFC 9293 3.10.7.2, with half-open connections in it: a segment for a
// port that listens and for no connection. isn is what Yields gave, 0 for none;
// pathMTU what the way back takes.
func (l *Listener) Input(now sim.Time, s *Segment, isn uint32, pathMTU int) {
	f := flow{s.Dst, s.Src}
	if r := l.requests[f]; r != nil {
		l.inputRequest(now, r, s)
		return
	}
	switch {
	case s.Flags.Has(wire.TCPRst):
	case s.Flags.Has(wire.TCPAck):
		if !s.Flags.Has(wire.TCPSyn) && l.takeCookie(now, s, pathMTU) {
			return
		}
		l.machine.Reset(now, s)
	case s.Flags.Has(wire.TCPSyn) && !s.Flags.Has(wire.TCPFin):
		l.inputSyn(now, s, isn, pathMTU)
	}
}

// inputSyn answers a SYN (tcp_conn_request).
func (l *Listener) inputSyn(now sim.Time, s *Segment, isn uint32, pathMTU int) {
	m, k := l.machine, l.machine.Sysctl
	cookie := false
	if k.SynCookies == 2 || len(l.requests) >= max(l.backlog, 1) && isn == 0 {
		if k.SynCookies == 0 {
			m.Stats.TCPReqQFullDrop++
			m.Stats.ListenDrops++
			return
		}
		m.Stats.TCPReqQFullDoCookies++
		cookie = true
	}
	if len(l.ready) > l.backlog {
		m.Stats.ListenOverflows++
		m.Stats.ListenDrops++
		return
	}
	r := l.newRequest(now, s, pathMTU)
	if cookie {
		l.flooded = true
		m.Stats.SyncookiesSent++
		r.iss = m.cookie(now, r)
		if !r.peer.timestamps { // without timestamps a cookie has no room for these
			r.peer.sackPermitted, r.peer.windowScale, r.ecn = false, -1, false
		}
		r.sendSynAck(now)
		return
	}
	if k.SynCookies == 0 && k.MaxSynBacklog-len(l.requests) < k.MaxSynBacklog>>2 {
		m.Stats.ListenDrops++
		return
	}
	r.iss = isn
	if isn == 0 {
		r.iss = m.initialSequence(now, s.Dst, s.Src)
	}
	l.requests[r.flow] = r
	r.timer.Init(r)
	r.arm(now, rtoInitial)
	r.sendSynAck(now)
}

// newRequest takes down what a SYN says.
func (l *Listener) newRequest(now sim.Time, s *Segment, pathMTU int) *request {
	m, k := l.machine, l.machine.Sysctl
	r := &request{listener: l, flow: flow{s.Dst, s.Src}, irs: s.Seq, at: now, peer: s.options, pathMTU: pathMTU}
	r.peer.sackPermitted = r.peer.sackPermitted && k.SACK
	r.peer.timestamps = r.peer.timestamps && k.Timestamps
	if !k.WindowScaling {
		r.peer.windowScale = -1
	}
	if r.peer.timestamps {
		r.tsRecent = s.options.tsVal
		r.tsOffset = m.timestampOffset(s.Dst, s.Src)
	}
	r.mss = uint16(advertisedMSS(pathMTU, s.Src.Addr(), l.Options.MaxSegment))
	// RFC 3168 6.1.1: both bits ask for ECN.
	r.ecn = k.ECN != 0 && s.Flags.Has(wire.TCPEce|wire.TCPCwr)
	rcvbuf := k.Rmem[1]
	if l.Options.ReceiveBuffer > 0 {
		rcvbuf = l.Options.ReceiveBuffer
	}
	mss := int(r.mss)
	if r.peer.timestamps {
		mss -= timestampLen
	}
	r.window, r.scale = m.initialWindow(rcvbuf, l.Options.WindowClamp, mss)
	if r.peer.windowScale < 0 {
		r.scale = 0
	}
	return r
}

func (r *request) arm(now sim.Time, d sim.Duration) {
	l := r.listener
	l.order++
	l.timers.Set(&r.timer, now.Add(min(d, l.machine.Sysctl.RTOMax)), l.order)
}

// Fire sends the SYN-ACK again, or gives up (reqsk_timer_handler).
func (r *request) Fire(now sim.Time) {
	l := r.listener
	retries := l.machine.Sysctl.SynAckRetries
	if l.Options.SynRetries > 0 {
		retries = l.Options.SynRetries
	}
	// Half full of young requests: old ones have to go earlier.
	if int(r.retries) >= retries {
		l.forget(r)
		l.machine.Stats.AttemptFails++
		return
	}
	r.retries++
	r.arm(now, rtoInitial<<r.retries)
	if r.acked && l.Options.DeferAccept == 0 && len(l.ready) > l.backlog {
		return // the peer is connected; there is no room for it yet
	}
	l.machine.Stats.RetransSegs++
	l.machine.Stats.TCPSynRetrans++
	r.sendSynAck(now)
}

func (l *Listener) forget(r *request) {
	l.timers.Stop(&r.timer)
	delete(l.requests, r.flow)
}

// sendSynAck answers with SYN and ACK.
func (r *request) sendSynAck(now sim.Time) {
	o := syn{
		mss: r.mss, sackPermitted: r.peer.sackPermitted, timestamps: r.peer.timestamps, windowScale: -1,
		tsVal: uint32(int64(now)/1e6) + r.tsOffset, tsEcr: r.tsRecent,
	}
	if r.peer.windowScale >= 0 {
		o.windowScale = int8(r.scale)
	}
	var space [40]byte
	h := wire.TCPHeader{
		Src: r.flow.local, Dst: r.flow.remote, Seq: r.iss, Ack: r.irs + 1, Flags: wire.TCPSyn | wire.TCPAck,
		Window: uint16(min(r.window, 65535)), Options: o.append(space[:0]),
	}
	if r.ecn {
		h.Flags |= wire.TCPEce
	}
	r.listener.machine.reply(now, h, r.tos)
}

// inputRequest is a segment for a half-open connection (tcp_check_req).
func (l *Listener) inputRequest(now sim.Time, r *request, s *Segment) {
	stats := &l.machine.Stats
	rst, syn, ack := s.Flags.Has(wire.TCPRst), s.Flags.Has(wire.TCPSyn), s.Flags.Has(wire.TCPAck)
	old := r.peer.timestamps && s.options.timestamps && int32(r.tsRecent-s.options.tsVal) > pawsWindow
	if s.Seq == r.irs && syn && !ack && !rst && !old { // the SYN again: our answer was lost
		if now >= r.nextOOW {
			r.nextOOW = now.Add(l.machine.Sysctl.InvalidRateLimit)
			stats.TCPSynRetrans++
			stats.RetransSegs++
			r.sendSynAck(now)
			r.arm(now, rtoInitial<<r.retries)
		} else {
			stats.TCPACKSkippedSynRecv++
		}
		return
	}
	if ack && s.Ack != r.iss+1 {
		l.machine.Reset(now, s)
		return
	}
	if first := r.irs + 1; old || before(s.end(), first) || after(s.Seq, first+r.window) {
		if !rst && now >= r.nextOOW {
			r.nextOOW = now.Add(l.machine.Sysctl.InvalidRateLimit)
			r.sendAck(now)
		}
		return
	}
	switch {
	case rst:
		stats.EmbryonicRsts++
		stats.AttemptFails++
		l.forget(r)
		return
	case syn:
		if s.Seq != r.irs {
			stats.EmbryonicRsts++
			l.forget(r)
			l.machine.Reset(now, s)
			return
		}
	}
	if !ack {
		return
	}
	if l.Options.DeferAccept > 0 && s.length() == 0 && now.Sub(r.at) < l.Options.DeferAccept {
		r.acked = true // TCP_DEFER_ACCEPT: nothing to accept before data
		return
	}
	if len(l.ready) > l.backlog {
		stats.ListenOverflows++
		stats.ListenDrops++
		if l.machine.Sysctl.AbortOnOverflow {
			l.forget(r)
			l.machine.Reset(now, s)
			return
		}
		r.acked = true // the peer's retransmission is another chance
		return
	}
	l.forget(r)
	if r.peer.timestamps && s.options.timestamps && !after(s.Seq, r.irs+1) {
		r.tsRecent = s.options.tsVal
	}
	l.establish(now, r, s)
}

// sendAck answers something out of window.
func (r *request) sendAck(now sim.Time) {
	var space [40]byte
	h := wire.TCPHeader{
		Src: r.flow.local, Dst: r.flow.remote, Seq: r.iss + 1, Ack: r.irs + 1, Flags: wire.TCPAck,
		Window: uint16(r.window >> r.scale),
	}
	if r.peer.timestamps {
		h.Options = wire.AppendTimestamps(append(space[:0], 1, 1), uint32(int64(now)/1e6)+r.tsOffset, r.tsRecent)
	}
	r.listener.machine.reply(now, h, r.tos)
}

// establish makes the connection and gives it the segment that completed the
// handshake.
func (l *Listener) establish(now sim.Time, r *request, s *Segment) {
	m := l.machine
	c := m.newConn(Route{Local: r.flow.local, Remote: r.flow.remote, TOS: r.tos}, l.Options)
	c.parent = l
	c.iss, c.irs = r.iss, r.irs
	c.sndUna, c.sndNxt, c.writeEnd = r.iss+1, r.iss+1, r.iss+1
	c.pushSeq = c.writeEnd
	c.rcvNxt, c.rcvWup, c.copied = r.irs+1, r.irs+1, r.irs+1
	c.rcvWnd, c.rcvScale = r.window, r.scale
	c.windowMax, c.ssthreshIn = clampOf(l.Options.WindowClamp, r.scale), r.window
	c.advMSS = int(r.mss)
	c.pathMTU = r.pathMTU
	c.tsOffset = r.tsOffset
	c.tsRecent = r.tsRecent
	if r.ecn {
		c.ecn = ecnOK
	}
	o := Segment{options: r.peer, Window: s.Window}
	c.takeSynOptions(now, &o)
	c.tsRecent = r.tsRecent
	c.sndWl1 = s.Seq
	c.sndWnd = uint32(s.Window) << c.sndScale
	c.maxWindow = c.sndWnd
	c.lastIn = now
	m.Stats.PassiveOpens++
	if r.retries > 0 { // RFC 6298 5.7: the SYN-ACK's RTO has struck
		c.totalRetrans = uint32(r.retries)
		c.retransStamp = r.at
	} else if r.at != now || c.tsEnabled {
		c.minRTT.add(now, max(now.Sub(r.at), 1), m.Sysctl.MinRTTWindow)
		c.sampleRTT(max(now.Sub(r.at), 1))
	}
	c.syncMSS(c.pathMTU)
	c.establish(now)
	l.ready = append(l.ready, c)
	l.made(now, c)
	t := *s
	t.Flags &^= wire.TCPSyn
	c.Input(now, &t)
	if l.Notify != nil {
		l.Notify(now)
	}
}

// The MSS values that a cookie can tell, as Linux has them.
var cookieMSS = [...]uint16{536, 1300, 1440, 1460}

const (
	cookieMinute = 60 * 1e9
	cookieAge    = 2 // minutes; MAX_SYNCOOKIE_AGE
)

// cookie is the sequence number of a SYN-ACK that says all that must be known
// when the ACK comes (RFC 4987 3.6; D. J. Bernstein's layout as in Linux): the
// minute in 8 bits, a hash, an MSS. Window scale, SACK and ECN go into the low
// bits of the timestamp.
func (m *Machine) cookie(now sim.Time, r *request) uint32 {
	index := len(cookieMSS) - 1
	for ; index > 0; index-- {
		if r.peer.mss >= cookieMSS[index] {
			break
		}
	}
	minute := uint32(now / cookieMinute)
	if r.peer.timestamps {
		bits := uint32(15)
		if r.peer.windowScale >= 0 {
			bits = uint32(r.peer.windowScale)
		}
		if r.peer.sackPermitted {
			bits |= 1 << 4
		}
		if r.ecn {
			bits |= 1 << 5
		}
		// The clock's value is moved back to one with these bits.
		clock := uint32(int64(now)/1e6) + r.tsOffset
		want := clock&^63 | bits
		if want > clock {
			want -= 64
		}
		r.tsOffset += want - clock
	}
	h := m.hash(hashCookie, r.flow.local, r.flow.remote, 0)
	tag := uint32(m.hash(hashCookie, r.flow.local, r.flow.remote, minute+1))
	return uint32(h) + r.irs + minute<<24 + (tag+uint32(index))&0xffffff
}

// takeCookie makes a connection of an ACK that brings a cookie back
// (cookie_v4_check). It reports false where it does not.
func (l *Listener) takeCookie(now sim.Time, s *Segment, pathMTU int) bool {
	m := l.machine
	if !l.flooded || m.Sysctl.SynCookies == 0 {
		return false
	}
	f := flow{s.Dst, s.Src}
	value := s.Ack - 1 - uint32(m.hash(hashCookie, f.local, f.remote, 0)) - (s.Seq - 1)
	minute := uint32(now / cookieMinute)
	age := (minute - value>>24) & 0xff
	if age >= cookieAge {
		m.Stats.SyncookiesFailed++
		return false
	}
	tag := uint32(m.hash(hashCookie, f.local, f.remote, minute-age+1))
	index := (value - tag) & 0xffffff
	if int(index) >= len(cookieMSS) || len(l.ready) > l.backlog {
		m.Stats.SyncookiesFailed++
		return false
	}
	m.Stats.SyncookiesRecv++
	syn := *s
	syn.Seq = s.Seq - 1
	syn.Flags = wire.TCPSyn
	syn.options = options{mss: cookieMSS[index], windowScale: -1, timestamps: s.options.timestamps, tsVal: s.options.tsVal}
	if s.options.timestamps {
		bits := s.options.tsEcr
		if scale := int8(bits & 15); scale < 15 {
			syn.options.windowScale = scale
		}
		syn.options.sackPermitted = bits&(1<<4) != 0
		if bits&(1<<5) != 0 {
			syn.Flags |= wire.TCPEce | wire.TCPCwr
		}
	}
	r := l.newRequest(now, &syn, pathMTU)
	r.iss = s.Ack - 1
	l.establish(now, r, s)
	return true
}
