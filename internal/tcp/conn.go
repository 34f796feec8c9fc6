package tcp

import (
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Options are a connection's settings, by the names of setsockopt. A listener's
// pass on to what it accepts. The zero value is Linux's default.
type Options struct {
	NoDelay           bool         // TCP_NODELAY
	Cork              bool         // TCP_CORK
	KeepAlive         bool         // SO_KEEPALIVE
	KeepaliveIdle     sim.Duration // TCP_KEEPIDLE; 0: the sysctl
	KeepaliveInterval sim.Duration // TCP_KEEPINTVL
	KeepaliveProbes   int          // TCP_KEEPCNT
	UserTimeout       sim.Duration // TCP_USER_TIMEOUT
	Linger            bool         // SO_LINGER
	LingerTime        sim.Duration
	Linger2           sim.Duration // TCP_LINGER2: FIN-WAIT-2 of an orphan; 0: the sysctl, negative: none
	MaxSegment        int          // TCP_MAXSEG
	SynRetries        int          // TCP_SYNCNT
	WindowClamp       int          // TCP_WINDOW_CLAMP
	NotsentLowat      int          // TCP_NOTSENT_LOWAT
	SendBuffer        int          // SO_SNDBUF as the kernel counts it; 0: tuned
	ReceiveBuffer     int          // SO_RCVBUF as the kernel counts it; 0: tuned
	ReceiveLowat      int          // SO_RCVLOWAT
	DeferAccept       sim.Duration // TCP_DEFER_ACCEPT
	Congestion        string       // TCP_CONGESTION; "": the sysctl
}

// Conn is one connection. The zero value is not usable: Dial makes one, and a
// Listener.
type Conn struct {
	// Options may be changed at any time; Touch makes the changes felt.
	Options Options
	// Notify is called when something may have changed that the user waits for: there
	// is something to read, room to write, an error, another state. It may be nil, and
	// must not call the connection.
	Notify func(now sim.Time)
	// Route is where segments go.
	Route Route

	machine *Machine
	state   State
	err     syscall.Errno // what ended it, or waits to be told (sk_err)
	soft    syscall.Errno // told should it time out (sk_err_soft)
	orphan  bool          // the user has closed it (SOCK_DEAD)
	readEnd bool          // the user reads no more, or a FIN came (RCV_SHUTDOWN)
	sendEnd bool          // the user writes no more (SEND_SHUTDOWN)
	gone    bool
	parent  *Listener // until it is accepted

	sender
	receiver
	scoreboard
	timers
	rates
}

// sender is what Conn knows of its own sending (RFC 9293 3.3.1).
type sender struct {
	iss      uint32
	sndUna   uint32
	sndNxt   uint32
	sndWnd   uint32 // scaled
	sndWl1   uint32 // SEG.SEQ of the last window update; SND.WL2 is not needed (tcp_may_update_window)
	writeEnd uint32 // what the user has written ends here
	finSeq   uint32 // of the FIN, once queued
	fin      bool
	out      ring // from sndUna, SYN not counted
	blank    bool // all that is queued is zeros, and none of it stored

	maxWindow   uint32 // the largest window that the peer offered
	sndScale    uint8
	ecn         ecnState
	mss         int    // largest segment, options but timestamps not counted
	mssClamp    int    // what the peer's SYN allowed
	advMSS      int    // what ours said
	pathMTU     int    // IP packet
	smallEnd    uint32 // end of the last small segment (Minshall's rule)
	pushSeq     uint32 // PSH up to here
	pushedAt    uint32 // where PSH was last forced
	sndbuf      int
	full        bool // a writer waits for room (SOCK_NOSPACE)
	lastSent    sim.Time
	synAt       sim.Time // when the SYN was sent
	tsOffset    uint32
	tsEnabled   bool
	sackEnabled bool
	scaling     bool
}

// receiver is what Conn knows of its peer's sending.
type receiver struct {
	irs        uint32
	rcvNxt     uint32
	copied     uint32 // the user has read up to here
	drain      bool   // and reads all at once, without looking at it
	rcvWnd     uint32
	rcvWup     uint32 // rcvNxt when a window was last sent
	rcvScale   uint8
	in         ring   // from copied
	spans      []span // beyond rcvNxt, ascending
	recent     [4]span
	recents    int
	duplicate  span // to be told with the next ACK (RFC 2883)
	dsack      bool
	peerFin    bool // a FIN is received in order
	finAt      uint32
	finAhead   bool // a FIN came out of order
	rcvbuf     int
	windowMax  uint32 // window_clamp
	ssthreshIn uint32 // rcv_ssthresh: the window that is offered at most

	tsRecent   uint32
	tsRecentAt sim.Time

	ack     ackPolicy
	space   receiveSpace
	lastIn  sim.Time // anything arrived
	nextOOW sim.Time // before it nothing out of window is answered
}

// span is bytes from left up to but without right.
type span struct{ left, right uint32 }

// ecnState is where RFC 3168's conversation stands.
type ecnState uint8

const (
	ecnOK        ecnState = 1 << iota
	ecnQueueCWR           // tell the peer that cwnd was reduced
	ecnDemandCWR          // tell the peer that congestion was seen, until it says CWR
	ecnSeen
)

// State is the state of the connection.
func (c *Conn) State() State { return c.state }

// Local is this end.
func (c *Conn) Local() netip.AddrPort { return c.Route.Local }

// Remote is the other end.
func (c *Conn) Remote() netip.AddrPort { return c.Route.Remote }

// Orphan reports whether its user has closed it.
func (c *Conn) Orphan() bool { return c.orphan }

// TakeError takes the error that waits (SO_ERROR), nil if none does.
func (c *Conn) TakeError() error {
	if c.err == 0 {
		return nil
	}
	err := c.err
	c.err = 0
	return err
}

// Established reports whether the handshake is behind it.
func (c *Conn) Established() bool { return !c.state.in(SynSent, SynReceived, Closed) }

// unread is how many bytes wait to be read.
func (c *Conn) unread() int { return c.in.n }

// Readable reports whether Read would return: data, the end, or an error.
func (c *Conn) Readable() bool {
	lowat := max(1, c.Options.ReceiveLowat)
	return c.in.n >= lowat || c.readEnd || c.err != 0 || c.state == Closed
}

// Writable reports whether Write would take a byte, or fail
// (sk_stream_is_writeable: a third of the buffer is free).
func (c *Conn) Writable() bool {
	if c.err != 0 || c.sendEnd || c.state == Closed {
		return true
	}
	return c.Established() && !c.full && c.queued() < c.sndbuf && c.notSent() < c.notsentLowat()
}

// Room is how much Write would take now.
func (c *Conn) Room() int {
	if !c.Established() || c.full || c.sendEnd || c.err != 0 {
		return 0
	}
	return max(0, min(c.sndbuf-c.queued(), c.notsentLowat()-c.notSent()))
}

func (c *Conn) notsentLowat() int {
	if c.Options.NotsentLowat > 0 {
		return c.Options.NotsentLowat
	}
	return c.machine.Sysctl.NotsentLowat
}

// queued is how many bytes are written and not acknowledged.
func (c *Conn) queued() int { return c.out.n }

// notSent is how many bytes wait to be sent for the first time.
func (c *Conn) notSent() int {
	n := int(int32(c.writeEnd - c.sndNxt))
	return max(0, n) // a FIN that is sent comes after writeEnd
}

// Write queues as much of b as there is room for and returns how much; 0 and no
// error: wait for Writable. EPIPE after CloseWrite or the connection's end.
func (c *Conn) Write(now sim.Time, b []byte, more bool) (int, error) {
	n, err := c.admit(len(b))
	if n == 0 || err != nil {
		return 0, err
	}
	c.fillIn()
	c.out.write(&c.machine.memory, b[:n])
	c.sendMore(now, n, more)
	return n, nil
}

// WriteZeros is Write of n zeros, which are not stored: what generated traffic
// sends (BenchmarkDumbbell).
func (c *Conn) WriteZeros(now sim.Time, n int) (int, error) {
	n, err := c.admit(n)
	if n == 0 || err != nil {
		return 0, err
	}
	if c.out.n > 0 && !c.blank {
		for left := n; left > 0; left -= min(left, len(zeros)) {
			c.out.write(&c.machine.memory, zeros[:min(left, len(zeros))])
		}
	} else {
		c.blank = true
		c.out.extend(n)
	}
	c.sendMore(now, n, false)
	return n, nil
}

// zeros is as much as a segment carries at most.
var zeros [65536]byte

// fillIn stores the zeros that were only counted.
func (c *Conn) fillIn() {
	if !c.blank {
		return
	}
	c.blank = false
	left := c.out.n
	for c.out.n = 0; left > 0; {
		k := min(left, len(zeros))
		c.out.write(&c.machine.memory, zeros[:k])
		left -= k
	}
}

// admit is how much of n bytes the user may write now.
func (c *Conn) admit(n int) (int, error) {
	if err := c.TakeError(); err != nil {
		return 0, err
	}
	if c.sendEnd || c.state == Closed {
		return 0, syscall.EPIPE
	}
	if !c.Established() || c.full {
		return 0, nil
	}
	room := c.Room()
	if n >= room {
		c.full = true // until a third is free again
	}
	return min(n, room), nil
}

// sendMore sends what may be sent of n bytes more.
func (c *Conn) sendMore(now sim.Time, n int, more bool) {
	c.writeEnd += uint32(n)
	if !more {
		c.pushSeq = c.writeEnd
	}
	c.push(now, more)
}

// Read takes bytes that arrived. io.EOF's place is taken by 0 and nil where Ended
// says so; EAGAIN where there is nothing yet.
func (c *Conn) Read(now sim.Time, b []byte) (int, error) {
	n := c.in.read(b, 0)
	if n > 0 {
		c.consume(now, n)
		return n, nil
	}
	switch {
	case c.err != 0:
		return 0, c.TakeError()
	case c.readEnd || c.state == Closed:
		return 0, nil
	case len(b) == 0:
		return 0, nil
	case c.state.in(SynSent, SynReceived):
		return 0, syscall.EAGAIN
	}
	return 0, syscall.EAGAIN
}

// Discard reads up to n bytes and throws them away (MSG_TRUNC).
func (c *Conn) Discard(now sim.Time, n int) int {
	n = min(n, c.in.n)
	if n > 0 {
		c.consume(now, n)
	}
	return n
}

// Drain has all that arrives counted and thrown away: what a discard service
// does, without a copy. It reads what has arrived.
func (c *Conn) Drain(now sim.Time) {
	if c.in.n > 0 {
		c.consume(now, c.in.n)
	}
	c.drain = true
}

// consume is what follows a read (tcp_recvmsg, tcp_cleanup_rbuf).
func (c *Conn) consume(now sim.Time, n int) {
	c.in.discard(&c.machine.memory, n, len(c.spans) == 0)
	c.copied += uint32(n)
	c.adjustSpace(now)
	c.ackAfterRead(now, n)
	c.settle(now)
}

// Peek copies bytes that arrived without taking them (MSG_PEEK).
func (c *Conn) Peek(b []byte) int { return c.in.read(b, 0) }

// Ended reports whether nothing will be read any more: the peer has finished and
// all is read.
func (c *Conn) Ended() bool { return c.in.n == 0 && (c.readEnd || c.state == Closed) }

// CloseRead discards what comes from now on (shutdown(SHUT_RD)).
func (c *Conn) CloseRead(now sim.Time) {
	c.readEnd = true
	c.notify(now)
}

// CloseWrite sends a FIN after what is written (shutdown(SHUT_WR)). ENOTCONN
// where there is no connection.
func (c *Conn) CloseWrite(now sim.Time) error {
	if c.state.in(Closed, SynSent) {
		return syscall.ENOTCONN
	}
	if !c.sendEnd {
		c.sendEnd = true
		if c.leave() {
			c.sendFin(now)
		}
		c.settle(now)
	}
	c.notify(now)
	return nil
}

// leave is RFC 9293 3.10.4: the state after CLOSE. It reports whether a FIN goes
// out now: in SYN-RECEIVED it waits until the connection stands.
func (c *Conn) leave() bool {
	switch c.state {
	case Established:
		c.state = FinWait1
		return true
	case CloseWait:
		c.state = LastAck
		return true
	}
	return false
}

// Close ends the user's part: the engine goes on alone (tcp_close). What was not
// read makes it a reset, as RFC 2525 2.17 asks; so does SO_LINGER with no time.
func (c *Conn) Close(now sim.Time) {
	if c.orphan {
		return
	}
	unread := c.unread() > 0
	c.orphan, c.readEnd = true, true
	c.Notify = nil
	c.in.release(&c.machine.memory)
	c.copied = c.rcvNxt
	switch {
	case c.state == Closed:
	case c.state == SynSent:
		c.end(now, 0)
	case unread:
		c.machine.Stats.TCPAbortOnClose++
		c.reset(now)
	case c.Options.Linger && c.Options.LingerTime == 0:
		c.machine.Stats.TCPAbortOnLinger++
		c.reset(now)
	default:
		if !c.sendEnd {
			c.sendEnd = true
			if c.leave() {
				c.sendFin(now)
			}
		}
		if c.state == FinWait2 {
			c.orphanFinWait2(now)
		}
	}
	c.settle(now)
	if c.state == Closed {
		c.farewell(now)
	}
}

// orphanFinWait2 gives a peer that does not finish tcp_fin_timeout to do so.
func (c *Conn) orphanFinWait2(now sim.Time) {
	wait := c.finTimeout()
	if wait < 0 {
		c.reset(now)
		return
	}
	c.timers.keepalive = now.Add(wait)
}

func (c *Conn) finTimeout() sim.Duration {
	if c.Options.Linger2 != 0 {
		return c.Options.Linger2
	}
	return max(c.machine.Sysctl.FinTimeout, 3*c.rto) // tcp_fin_time: at least 3.5 RTOs
}

// Abort resets the connection (RFC 9293 3.10.5).
func (c *Conn) Abort(now sim.Time) {
	c.orphan = true
	c.Notify = nil
	if c.state != Closed {
		c.reset(now)
	}
	c.farewell(now)
}

// reset sends a RST where the peer knows of us, and ends the connection.
func (c *Conn) reset(now sim.Time) {
	if c.state.in(Established, SynReceived, FinWait1, FinWait2, CloseWait, LastAck, Closing) {
		c.sendReset(now)
	}
	c.end(now, 0)
}

// end closes the connection with an error, 0 for none, and lets the user know.
func (c *Conn) end(now sim.Time, err syscall.Errno) {
	if c.state == Closed {
		return
	}
	if c.state.in(SynSent, SynReceived) {
		c.machine.Stats.AttemptFails++
	}
	c.state = Closed
	c.err = err
	c.readEnd, c.sendEnd = true, true
	c.timers.clear()
	c.out.release(&c.machine.memory)
	c.scoreboard.queue = sentQueue{}
	c.packetsOut, c.lostOut, c.sackedOut, c.retransOut = 0, 0, 0, 0
	if c.parent != nil {
		c.parent.lostChild(c)
	}
	c.notify(now)
	c.farewell(now)
}

// farewell takes the connection out of the machine's tables once: it is closed,
// so no segment is for it.
func (c *Conn) farewell(now sim.Time) {
	if c.gone || c.state != Closed {
		return
	}
	c.gone = true
	if c.orphan {
		c.in.release(&c.machine.memory)
		c.spans = nil
	}
	c.machine.Output.Gone(now, c)
}

func (c *Conn) notify(now sim.Time) {
	if c.Notify != nil {
		c.Notify(now)
	}
}

// Touch makes changes of Options felt.
func (c *Conn) Touch(now sim.Time) {
	if c.Options.ReceiveBuffer > 0 {
		c.rcvbuf = max(c.Options.ReceiveBuffer, 2304)
	}
	if c.Options.SendBuffer > 0 {
		c.sndbuf = max(c.Options.SendBuffer, 4608)
	}
	c.Route.ECT = c.ecn&ecnOK != 0
	c.armKeepalive(now)
	if c.Established() && !c.Options.Cork {
		c.push(now, false)
	}
	c.settle(now)
}

// synFlags tells of a SYN what it asks or grants for ECN.
func (c *Conn) synFlags(flags wire.TCPFlags) wire.TCPFlags {
	if flags.Has(wire.TCPAck) {
		if c.ecn&ecnOK != 0 {
			flags |= wire.TCPEce
		}
		return flags
	}
	// RFC 3168 6.1.1.1: a SYN sent again does not ask, for some hosts drop those that do
	// (tcp_ecn_fallback).
	if c.machine.Sysctl.ECN == 1 && c.totalRetrans == 0 {
		flags |= wire.TCPEce | wire.TCPCwr
	}
	return flags
}
