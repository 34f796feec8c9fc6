package stack

import (
	"cmp"
	"net/netip"
	"slices"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// MTUDiscover is what a socket does about the path MTU (IP_MTU_DISCOVER,
// IPV6_MTU_DISCOVER).
type MTUDiscover uint8

// The ways of path MTU discovery.
const (
	DiscoverWant  MTUDiscover = iota // set DF while the packet fits the path, fragment what does not
	DiscoverDont                     // never set DF
	DiscoverDo                       // always set DF; EMSGSIZE beyond the path MTU
	DiscoverProbe                    // set DF and heed only the interface's MTU
)

// SocketOptions are a socket's settings, by the names of setsockopt. The zero
// value is Linux's default.
type SocketOptions struct {
	TTL                uint8       // IP_TTL, IPV6_UNICAST_HOPS; 0: the default
	MulticastTTL       uint8       // IP_MULTICAST_TTL, IPV6_MULTICAST_HOPS; 0: 1
	TOS                uint8       // IP_TOS, IPV6_TCLASS
	MTUDiscover        MTUDiscover // IP_MTU_DISCOVER
	Broadcast          bool        // SO_BROADCAST
	RecvErr            bool        // IP_RECVERR: ICMP errors go to the error queue
	ReuseAddr          bool        // SO_REUSEADDR
	ReusePort          bool        // SO_REUSEPORT
	V6Only             bool        // IPV6_V6ONLY
	MulticastNoLoop    bool        // IP_MULTICAST_LOOP off
	MulticastInterface *Interface  // IP_MULTICAST_IF
	Interface          *Interface  // SO_BINDTODEVICE
	ReceiveBuffer      int         // SO_RCVBUF as the kernel counts it; 0: net.core.rmem_default
}

// Datagram is what a socket received. Its payload lies in the frame, which the
// reader releases.
type Datagram struct {
	Frame     *wire.Frame
	Payload   []byte
	Src, Dst  netip.AddrPort // Dst is as in the packet (IP_PKTINFO); ports are 0 for raw sockets
	Interface *Interface
	TTL, TOS  uint8
	At        sim.Time
}

// Release gives the frame back.
func (d *Datagram) Release() {
	if d.Frame != nil {
		d.Frame.Release()
		d.Frame, d.Payload = nil, nil
	}
}

// ErrorMessage is an entry of a socket's error queue (IP_RECVERR, struct
// sock_extended_err).
type ErrorMessage struct {
	Errno    syscall.Errno
	Offender netip.Addr // who sent the ICMP message; unset for a local error
	Type     uint8
	Code     uint8
	Info     int            // the MTU, where the packet was too big
	To       netip.AddrPort // where the packet that caused it went
	Payload  []byte         // what is quoted of that packet's payload
	At       sim.Time
}

// endpoint is what UDP and raw sockets share.
type endpoint struct {
	Options SocketOptions

	// OnReady is called in the kernel when there is something to read or an error
	// waits; it may be nil. It must not call the endpoint's Close.
	OnReady func(now sim.Time)

	stack    *Stack
	v6       bool
	closed   bool
	autoAddr bool           // the local address came with Connect
	local    netip.AddrPort // Addr unset: every address
	remote   netip.AddrPort // unset: not connected
	pending  syscall.Errno

	queue  []Datagram
	head   int32
	queued int32           // bytes
	seldom *endpointSeldom // nil until needed
}

// endpointSeldom is what few sockets have.
type endpointSeldom struct {
	errors []ErrorMessage
	joined []membership
	drops  uint64
}

// rare is the endpoint's seldom, made when first needed.
func (e *endpoint) rare() *endpointSeldom {
	if e.seldom == nil {
		e.seldom = &endpointSeldom{}
	}
	return e.seldom
}

type membership struct {
	iface *Interface
	group netip.Addr
}

// Local is where the socket is bound; the unspecified address stands for all.
func (e *endpoint) Local() netip.AddrPort {
	if e.local.Addr().IsValid() {
		return e.local
	}
	if e.v6 {
		return netip.AddrPortFrom(netip.IPv6Unspecified(), e.local.Port())
	}
	return netip.AddrPortFrom(netip.IPv4Unspecified(), e.local.Port())
}

// Remote is where the socket is connected, or the zero AddrPort.
func (e *endpoint) Remote() netip.AddrPort { return e.remote }

// Stack is the machine the socket belongs to.
func (e *endpoint) Stack() *Stack { return e.stack }

// Drops is how many datagrams found the receive buffer full.
func (e *endpoint) Drops() uint64 {
	if e.seldom == nil {
		return 0
	}
	return e.seldom.drops
}

// Pending takes the error that waits (SO_ERROR), nil if none does. Receive and
// Send of a socket return it first; the wrapper asks before either.
func (e *endpoint) Pending() error {
	if e.pending == 0 {
		return nil
	}
	err := e.pending
	e.pending = 0
	return err
}

// Readable reports whether Receive, Pending or ReadError has something.
func (e *endpoint) Readable() bool {
	return len(e.queue) > int(e.head) || e.pending != 0 || e.seldom != nil && len(e.seldom.errors) > 0
}

// Receive takes the oldest datagram; the caller releases it.
func (e *endpoint) Receive() (Datagram, bool) {
	if int(e.head) == len(e.queue) {
		return Datagram{}, false
	}
	d := e.queue[e.head]
	e.queue[e.head] = Datagram{}
	e.head++
	if int(e.head) == len(e.queue) {
		e.queue, e.head = e.queue[:0], 0
	}
	e.queued -= int32(truesize(d.Frame))
	return d, true
}

// ReadError takes the oldest entry of the error queue (MSG_ERRQUEUE).
func (e *endpoint) ReadError() (ErrorMessage, bool) {
	r := e.seldom
	if r == nil || len(r.errors) == 0 {
		return ErrorMessage{}, false
	}
	m := r.errors[0]
	r.errors = slices.Delete(r.errors, 0, 1)
	return m, true
}

// JoinGroup joins a multicast group on an interface; nil: the one a route to the
// group goes through. EADDRINUSE where the socket is in it, ENODEV without an
// interface.
func (e *endpoint) JoinGroup(i *Interface, group netip.Addr) error {
	if !group.IsMulticast() {
		return syscall.EINVAL
	}
	if i == nil {
		if r := e.stack.routes[family(group)].lookup(group, nil); r != nil {
			i = r.Interface
		}
	}
	if i == nil {
		return syscall.ENODEV
	}
	m := membership{i, group}
	r := e.rare()
	if slices.Contains(r.joined, m) {
		return syscall.EADDRINUSE
	}
	r.joined = append(r.joined, m)
	i.JoinGroup(group)
	return nil
}

// LeaveGroup undoes JoinGroup; EADDRNOTAVAIL where the socket is not in the group.
func (e *endpoint) LeaveGroup(i *Interface, group netip.Addr) error {
	r := e.rare()
	k := slices.IndexFunc(r.joined, func(m membership) bool { return m.group == group && (i == nil || m.iface == i) })
	if k < 0 {
		return syscall.EADDRNOTAVAIL
	}
	r.joined[k].iface.LeaveGroup(group)
	r.joined = slices.Delete(r.joined, k, k+1)
	return nil
}

// close releases what the socket holds.
func (e *endpoint) close() {
	e.closed = true
	for d, ok := e.Receive(); ok; d, ok = e.Receive() {
		d.Release()
	}
	if r := e.seldom; r != nil {
		for _, m := range r.joined {
			m.iface.LeaveGroup(m.group)
		}
		r.joined, r.errors = nil, nil
	}
}

// accept queues a datagram, or drops it where the buffer is full: as in Linux one
// more is taken while anything is free.
func (e *endpoint) accept(now sim.Time, d Datagram) bool {
	limit := e.Options.ReceiveBuffer
	if limit == 0 {
		limit = e.stack.sysctl.RmemDefault
	}
	size := truesize(d.Frame)
	if queued := int(e.queued); queued+size > limit && queued > 0 || size > limit {
		e.rare().drops++
		return false
	}
	if e.head > 32 && int(e.head)*2 > len(e.queue) { // never empty for long: move up
		n := copy(e.queue, e.queue[e.head:])
		clear(e.queue[n:])
		e.queue, e.head = e.queue[:n], 0
	}
	e.queue = append(e.queue, d)
	e.queued += int32(size)
	e.ready(now)
	return true
}

func (e *endpoint) ready(now sim.Time) {
	if e.OnReady != nil {
		e.OnReady(now)
	}
}

// fail leaves an error with the socket.
func (e *endpoint) fail(now sim.Time, err syscall.Errno) {
	e.pending = err
	e.ready(now)
}

// errorQueueMax bounds the error queue, which Linux charges to the receive buffer.
const errorQueueMax = 256

// enqueueError puts m on the error queue.
func (e *endpoint) enqueueError(m ErrorMessage) {
	if r := e.rare(); len(r.errors) < errorQueueMax {
		r.errors = append(r.errors, m)
	}
}

// frameOverhead is what a packet takes in a buffer besides its storage: struct
// sk_buff and skb_shared_info of a 64-bit Linux.
const frameOverhead = 232 + 320

// truesize is what Linux charges a buffer for a frame: its storage, rounded as
// kmalloc does, and the overhead.
func truesize(f *wire.Frame) int {
	storage := 512
	for storage < f.Len() {
		storage *= 2
	}
	return storage + frameOverhead
}

// demux finds the endpoint for what arrives.
type demux struct {
	udp      []boundUDP // by port; of one port the latest bound first
	sniffers *sniffers  // nil until there is one
	// tcp is the *tcpLayer or, until it is needed, what is to be started with it: one
	// field, for the sake of hosts by the hundred thousand.
	tcp TCPService
}

// sniffers are the sockets that get copies of what goes by.
type sniffers struct {
	raw     []*Raw
	packets []*Packet
}

// sniff is the machine's sniffers, made when first needed.
func (s *Stack) sniff() *sniffers {
	d := s.demuxTable()
	if d.sniffers == nil {
		d.sniffers = &sniffers{}
	}
	return d.sniffers
}

// sniffed reports whether there are packet sockets.
func (s *Stack) sniffed() bool {
	return s.ports != nil && s.ports.sniffers != nil && len(s.ports.sniffers.packets) > 0
}

// boundUDP is a socket at its port. Most machines have one or two, and those with
// many seldom bind another: a sorted slice is smaller and nearer than a map.
type boundUDP struct {
	port   uint16
	socket *UDP
}

// udpPort finds the sockets at a port, the latest bound first, and their place.
func (d *demux) udpPort(port uint16) (list []boundUDP, place int) {
	place, _ = slices.BinarySearchFunc(d.udp, port, func(b boundUDP, port uint16) int { return cmp.Compare(b.port, port) })
	end := place
	for end < len(d.udp) && d.udp[end].port == port {
		end++
	}
	return d.udp[place:end], place
}

// demuxTable is the demultiplexer, made when first needed.
func (s *Stack) demuxTable() *demux {
	if s.ports == nil {
		s.ports = &demux{}
	}
	return s.ports
}

// tcpLayer is the machine's TCP, nil until it is needed.
func (s *Stack) tcpLayer() *tcpLayer {
	if s.ports == nil {
		return nil
	}
	l, _ := s.ports.tcp.(*tcpLayer)
	return l
}
