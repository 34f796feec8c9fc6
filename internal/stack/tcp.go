package stack

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/tcp"
	"github.com/hopyard/hopyard/internal/wire"
)

// tcpLayer joins the TCP engine to the machine: it knows which connection a
// segment is for. It is made with the first socket or segment.
type tcpLayer struct {
	stack     *Stack
	machine   *tcp.Machine
	ipv4      map[flowIPv4]*TCP
	ipv6      map[flowIPv6]*TCP
	ports     map[uint16]*portUse
	perturbed uint64 // moves the ports of outgoing connections on (RFC 6056 3.3.4)
}

// flowIPv4 and flowIPv6 are the ends of a connection, small enough to hash fast.
type (
	flowIPv4 struct{ local, remote, ports uint32 }
	flowIPv6 struct {
		local, remote [16]byte
		ports         uint32
	}
)

// TCP is the kernel's side of a TCP socket: one that is new, listens, or has a
// connection. The connection may outlive its user.
type TCP struct {
	endpoint
	// TCPOptions are the settings of TCP itself; SetTCPOptions changes them.
	TCPOptions tcp.Options

	conn     *tcp.Conn
	listener *tcp.Listener
	timer    sim.Timer
	changed  bool  // OnReady is due
	claim    claim // how it holds its port
	children map[*tcp.Conn]*TCP
}

var (
	_ tcp.Output  = (*tcpLayer)(nil)
	_ sim.Handler = (*TCP)(nil)
)

// tcp is the machine's TCP, made when first needed.
func (s *Stack) tcp() *tcpLayer {
	if l := s.tcpLayer(); l != nil {
		return l
	}
	d := s.demuxTable()
	l := &tcpLayer{stack: s, ports: map[uint16]*portUse{}, ipv4: map[flowIPv4]*TCP{}}
	l.machine = tcp.NewMachine(s.sysctl.TCP, l, s.seed, s.name)
	waiting := d.tcp
	d.tcp = l
	if waiting != nil {
		waiting.StartTCP(s)
	}
	return l
}

// TCPService is something to be started when the machine's TCP is first used.
type TCPService interface{ StartTCP(s *Stack) }

// StartTCP does nothing: the layer is started. It makes the layer what stands
// where services waited for it.
func (l *tcpLayer) StartTCP(*Stack) {}

// twoServices are one after the other.
type twoServices struct{ first, second TCPService }

// StartTCP starts both.
func (t twoServices) StartTCP(s *Stack) {
	t.first.StartTCP(s)
	t.second.StartTCP(s)
}

// WhenTCP has a service started when the machine's TCP is first used, by a segment
// that comes or a socket that is opened: what nobody asks for costs a machine
// nothing but the note.
func (s *Stack) WhenTCP(service TCPService) {
	d := s.demuxTable()
	switch {
	case s.tcpLayer() != nil:
		service.StartTCP(s)
	case d.tcp != nil:
		d.tcp = twoServices{d.tcp, service}
	default:
		d.tcp = service
	}
}

// TCPStats are the machine's counters of TCP, nil where it has none yet.
func (s *Stack) TCPStats() *tcp.Stats {
	l := s.tcpLayer()
	if l == nil {
		return nil
	}
	return &l.machine.Stats
}

// TCPSockets lists listeners, then connections, orphans and those in TIME-WAIT
// included, each by local and remote end.
func (s *Stack) TCPSockets() []*TCP {
	if s.ports == nil {
		return nil
	}
	t := s.tcp()
	all := make([]*TCP, 0, len(t.ipv4)+len(t.ipv6))
	for _, c := range t.ipv4 { // any order: sorted below
		all = append(all, c)
	}
	for _, c := range t.ipv6 { // any order: sorted below
		all = append(all, c)
	}
	for _, use := range t.ports { // any order: sorted below
		for _, o := range use.owners {
			if o.listener != nil {
				all = append(all, o)
			}
		}
	}
	slices.SortFunc(all, func(a, b *TCP) int {
		if (a.listener != nil) != (b.listener != nil) {
			if a.listener != nil {
				return -1
			}
			return 1
		}
		if n := a.Local().Compare(b.Local()); n != 0 {
			return n
		}
		return a.Remote().Compare(b.Remote())
	})
	return all
}

// NewTCP opens a TCP socket of IPv4 or, with v6, of IPv6, which carries IPv4 too
// unless Options.V6Only is set.
func (s *Stack) NewTCP(v6 bool) *TCP {
	s.tcp()
	return s.newTCP(v6)
}

func (s *Stack) newTCP(v6 bool) *TCP {
	t := &TCP{endpoint: endpoint{stack: s, v6: v6}}
	t.timer.Init(t)
	return t
}

// Conn is the connection, nil while there is none.
func (t *TCP) Conn() *tcp.Conn { return t.conn }

// Listener is the listener, nil where the socket does not listen.
func (t *TCP) Listener() *tcp.Listener { return t.listener }

// Listen makes the socket take connections (listen(2)); backlog is bounded by
// net.core.somaxconn. EADDRINUSE, EINVAL where it has a connection.
func (t *TCP) Listen(backlog int) error {
	if t.closed || t.conn != nil {
		return syscall.EINVAL
	}
	backlog = min(max(backlog, 0), t.stack.sysctl.Somaxconn)
	if t.listener != nil {
		t.listener.SetBacklog(backlog)
		return nil
	}
	if t.local.Port() == 0 {
		if err := t.Bind(netip.AddrPort{}); err != nil {
			return err
		}
	}
	layer := t.stack.tcp()
	if layer.listens(t) {
		return syscall.EADDRINUSE
	}
	t.children = map[*tcp.Conn]*TCP{}
	t.listener = layer.machine.Listen(t.local, backlog, t.TCPOptions, t.made)
	t.listener.Notify = t.notify
	return nil
}

// made gives a new connection of the listener its socket.
func (t *TCP) made(_ sim.Time, c *tcp.Conn) {
	child := t.stack.newTCP(t.v6)
	child.Options, child.TCPOptions = t.Options, t.TCPOptions
	child.local, child.remote, child.conn = c.Local(), c.Remote(), c
	c.Route.Via, c.Route.TTL = child, t.Options.TTL
	c.Notify = child.notify
	layer := t.stack.tcp()
	layer.insert(child)
	layer.hold(child, claimChild)
	t.children[c] = child
}

// Accept takes the connection that has waited longest; EAGAIN where none does.
func (t *TCP) Accept() (*TCP, error) {
	if t.listener == nil {
		return nil, syscall.EINVAL
	}
	c := t.listener.Accept()
	if c == nil {
		return nil, syscall.EAGAIN
	}
	child := t.children[c]
	delete(t.children, c)
	return child, nil
}

// Connect starts to open a connection (a non-blocking connect(2)): OnReady tells
// when it stands or has failed. Errors are a route's, EADDRNOTAVAIL where no port is
// free, EISCONN, EALREADY.
func (t *TCP) Connect(now sim.Time, remote netip.AddrPort) error {
	switch {
	case t.closed || t.listener != nil:
		return syscall.EINVAL
	case t.conn != nil && t.conn.State() == tcp.SynSent:
		return syscall.EALREADY
	case t.conn != nil:
		return syscall.EISCONN
	case !remote.IsValid():
		return syscall.EINVAL
	}
	o, err := t.prepare(now, remote.Addr(), wire.ProtocolTCP)
	if err != nil {
		return err
	}
	if o.cast != toHost {
		return syscall.ENETUNREACH
	}
	layer := t.stack.tcp()
	local := netip.AddrPortFrom(o.src, t.local.Port())
	to := netip.AddrPortFrom(o.dst, remote.Port())
	if local.Port() == 0 {
		if local, err = layer.connectPort(now, o.src, to); err != nil {
			return err
		}
	} else if other := layer.find(local, to); other != nil && !layer.giveUp(now, other) {
		return syscall.EADDRNOTAVAIL
	}
	t.local, t.remote = local, to
	if t.claim == claimNone {
		layer.hold(t, claimConnect)
	}
	route := tcp.Route{Local: local, Remote: to, TTL: t.Options.TTL, TOS: t.Options.TOS, Via: t}
	layer.insert(t)
	t.conn = layer.machine.Dial(now, route, t.TCPOptions, o.mtu, t.notify)
	t.after(now)
	return nil
}

// Read takes what has arrived; see tcp.Conn. ENOTCONN without a connection.
func (t *TCP) Read(now sim.Time, b []byte) (int, error) {
	if t.conn == nil {
		return 0, syscall.ENOTCONN
	}
	n, err := t.conn.Read(now, b)
	t.after(now)
	return n, err
}

// Discard reads up to n bytes and throws them away.
func (t *TCP) Discard(now sim.Time, n int) int {
	n = t.conn.Discard(now, n)
	t.after(now)
	return n
}

// Write queues bytes to be sent; see tcp.Conn. more: others follow at once
// (MSG_MORE). EPIPE or ENOTCONN without a connection.
func (t *TCP) Write(now sim.Time, b []byte, more bool) (int, error) {
	if t.conn == nil {
		return 0, syscall.EPIPE
	}
	n, err := t.conn.Write(now, b, more)
	t.after(now)
	return n, err
}

// WriteZeros is Write of n zeros, for generated traffic.
func (t *TCP) WriteZeros(now sim.Time, n int) (int, error) {
	if t.conn == nil {
		return 0, syscall.EPIPE
	}
	n, err := t.conn.WriteZeros(now, n)
	t.after(now)
	return n, err
}

// Drain has all that arrives thrown away; Readable tells of the end alone.
func (t *TCP) Drain(now sim.Time) {
	t.conn.Drain(now)
	t.after(now)
}

// CloseWrite sends a FIN after what is written (shutdown(SHUT_WR)).
func (t *TCP) CloseWrite(now sim.Time) error {
	if t.conn == nil {
		return syscall.ENOTCONN
	}
	err := t.conn.CloseWrite(now)
	t.after(now)
	return err
}

// CloseRead discards what comes from now on (shutdown(SHUT_RD)).
func (t *TCP) CloseRead(now sim.Time) error {
	if t.conn == nil {
		return syscall.ENOTCONN
	}
	t.conn.CloseRead(now)
	t.after(now)
	return nil
}

// Close ends the user's part. The connection goes on until the peer has all.
func (t *TCP) Close(now sim.Time) {
	if t.closed {
		return
	}
	t.close()
	t.OnReady = nil
	switch {
	case t.listener != nil:
		t.listener.Close(now)
		t.stack.stopTimer(&t.timer)
		for _, child := range t.children { // any order: they were reset already, by their age
			child.closed = true
		}
		t.children = nil
		t.stack.tcp().drop(t)
	case t.conn != nil:
		t.conn.Close(now)
		t.after(now)
	default:
		t.stack.tcp().drop(t)
	}
}

// SetTCPOptions changes settings of TCP and makes them felt.
func (t *TCP) SetTCPOptions(now sim.Time, change func(o *tcp.Options)) {
	change(&t.TCPOptions)
	switch {
	case t.listener != nil:
		t.listener.Options = t.TCPOptions
	case t.conn != nil:
		t.conn.Options = t.TCPOptions
		t.conn.Route.TTL, t.conn.Route.TOS = t.Options.TTL, t.Options.TOS
		t.conn.Touch(now)
		t.after(now)
	}
}

// Readable reports whether Read or Accept has something, the end or an error
// included.
func (t *TCP) Readable() bool {
	if t.listener != nil {
		return t.listener.Waiting() > 0
	}
	return t.conn != nil && t.conn.Readable()
}

// Writable reports whether Write takes something or fails.
func (t *TCP) Writable() bool { return t.conn != nil && t.conn.Writable() }

func (t *TCP) notify(sim.Time) { t.changed = true }

// after is what follows every call into the engine: its deadline is armed, and
// the user hears what changed.
func (t *TCP) after(now sim.Time) {
	deadline := sim.Never
	switch {
	case t.conn != nil:
		deadline = t.conn.Deadline()
	case t.listener != nil:
		deadline = t.listener.Deadline()
	}
	// A timer that is set too early looks again; moving it for each segment would cost
	// more.
	if at := t.stack.timerAt(&t.timer); deadline < at || deadline == sim.Never && at != sim.Never {
		t.stack.setTimer(&t.timer, deadline)
	}
	if t.changed {
		t.changed = false
		t.ready(now)
	}
}

// Fire does what is due.
func (t *TCP) Fire(now sim.Time) {
	switch {
	case t.conn != nil && t.conn.Deadline() <= now:
		t.conn.Advance(now)
	case t.listener != nil:
		t.listener.Advance(now)
	}
	t.after(now)
}

// Frame lends a frame for a segment (tcp.Output).
func (l *tcpLayer) Frame(n int) *wire.Frame { return l.stack.newFrame(n) }

// Transmit sends a segment (tcp.Output).
func (l *tcpLayer) Transmit(now sim.Time, r *tcp.Route, f *wire.Frame) error {
	o := outgoing{src: r.Local.Addr(), dst: r.Remote.Addr(), protocol: wire.ProtocolTCP, ttl: r.TTL, tos: r.TOS}
	if t, ok := r.Via.(*TCP); ok {
		o.iface, o.discover = t.Options.Interface, t.Options.MTUDiscover
	}
	if o.discover == DiscoverWant && l.stack.sysctl.IPNoPMTUDisc {
		o.discover = DiscoverDont
	}
	if r.ECT {
		o.tos = o.tos&^3 | ect0
	}
	if err := l.stack.route(now, &o); err != nil {
		f.Release()
		return err
	}
	return l.stack.send(now, f, &o)
}

// The code points of RFC 3168 5 in the TOS octet.
const (
	ect0                  = 2
	congestionExperienced = 3
)

// Gone takes a connection out of the tables (tcp.Output).
func (l *tcpLayer) Gone(_ sim.Time, c *tcp.Conn) {
	t := c.Route.Via.(*TCP)
	l.stack.stopTimer(&t.timer)
	l.remove(t)
	if t.claim != claimBind || t.closed {
		l.drop(t)
	}
}

// receiveTCP is tcp_v4_rcv for both families. It owns the frame.
func (s *Stack) receiveTCP(now sim.Time, p *packet) {
	l := s.tcp()
	stats := &l.machine.Stats
	view, err := wire.ParseTCP(p.upper())
	if err != nil {
		stats.InErrs++
		s.dropIn(now, p, wire.DropMalformed)
		return
	}
	stats.InSegs++
	if p.cast != toHost {
		s.dropIn(now, p, wire.DropNoSocket)
		return
	}
	if !p.frame.ChecksumsGood && !view.ChecksumOK(p.src, p.dst) {
		stats.InCsumErrors++
		stats.InErrs++
		s.dropIn(now, p, wire.DropBadChecksum)
		return
	}
	segment := tcp.Parse(p.src, p.dst, view, p.tos&3 == congestionExperienced)
	if l.deliver(now, p.in, &segment) {
		p.frame.Release()
	} else {
		s.dropIn(now, p, wire.DropNoSocket)
	}
}

// deliver gives a segment to its connection, else to a listener; without either
// it is answered with a reset.
func (l *tcpLayer) deliver(now sim.Time, in *Interface, segment *tcp.Segment) bool {
	isn := uint32(0)
	if t := l.find(segment.Dst, segment.Src); t != nil {
		var yields bool
		if isn, yields = t.conn.Yields(now, segment); !yields || l.listenerFor(in, segment.Dst) == nil {
			t.conn.Input(now, segment)
			t.after(now)
			return true
		}
	}
	t := l.listenerFor(in, segment.Dst)
	if t == nil {
		l.machine.Reset(now, segment)
		return false
	}
	o := outgoing{src: segment.Dst.Addr(), dst: segment.Src.Addr(), protocol: wire.ProtocolTCP}
	if l.stack.route(now, &o) != nil {
		return true // no way back: the SYN is lost
	}
	prior := t.listener.Waiting()
	t.listener.Input(now, segment, isn, o.mtu)
	made := t.listener.Waiting() > prior // asked before a user who waits accepts it in after
	t.after(now)
	if made { // the segment that completed the handshake may have set timers
		if child := l.find(segment.Dst, segment.Src); child != nil {
			child.after(now)
		}
	}
	return true
}

// reportTCP hands an ICMP error to the connection that the packet belonged to.
func (l *tcpLayer) reportTCP(now sim.Time, r *report) {
	if len(r.quoted) < 8 {
		return
	}
	local := netip.AddrPortFrom(r.packet.src, binary.BigEndian.Uint16(r.quoted))
	remote := netip.AddrPortFrom(r.packet.dst, binary.BigEndian.Uint16(r.quoted[2:]))
	t := l.find(local, remote)
	if t == nil {
		return
	}
	if r.tooBig {
		o := outgoing{src: local.Addr(), dst: remote.Addr(), protocol: wire.ProtocolTCP}
		if l.stack.route(now, &o) == nil {
			t.conn.SetPathMTU(now, o.mtu)
		}
	} else {
		t.conn.Unreachable(now, binary.BigEndian.Uint32(r.quoted[4:]), r.message.Errno)
	}
	t.after(now)
}
