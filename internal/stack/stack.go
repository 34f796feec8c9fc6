// Package stack is one machine's network layer: interfaces, neighbours, routes,
// IPv4, IPv6, ICMP, UDP and what sockets are made of.
//
// It is passive: frames, time and calls go in, frames and the next deadline come
// out; it has no goroutine, lock or clock. It follows Linux, packet path and
// sysctls included. It knows links only as something to send to and programs
// only as endpoints. It speaks neither IGMP nor MLD: who is in which multicast
// group is told to nobody, so switches flood and no router forwards multicasts.
// Start reading at Stack.Input, then ipv4.go.
package stack

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Sender takes frames out of an interface; *link.End is one.
type Sender interface {
	Send(now sim.Time, f *wire.Frame)
}

// Config is what a stack is made of.
type Config struct {
	Name   string // names the random stream, with Seed
	ID     uint32 // the node's number: the high bits of Frame.Packet
	Seed   uint64
	Pool   *wire.Pool // nil: a pool of its own
	Tap    link.Tap   // may be nil
	Place  int        // the node itself, for drops without an interface
	Sysctl *Sysctl    // nil: the defaults, shared; SetSysctl copies before it writes
}

// Stack is one machine's network layer. Everything in it belongs to the kernel.
type Stack struct {
	// What every packet needs comes first, in three cache lines.
	sysctl    *Sysctl
	ports     *demux   // nil until the first endpoint
	deadline  sim.Time // of timers
	locals    localTable
	routes    [2]routeTable             // by family
	paths     map[netip.Addr]*pathEntry // what was learned of ways; nil until then
	tap       link.Tap
	counters  *counters // nil until the first count
	pool      *wire.Pool
	packets   uint64 // number of the last packet made here, ID included
	ipID      uint16
	ownSysctl bool
	place     int32

	name   string
	seed   uint64
	random *sim.Stream // made at the first draw
	timers *timers     // nil until one is set

	interfaces []*Interface   // by index; lo first, once it is made
	neighbors  *neighborTable // nil until the first entry
	loops      *loopQueue     // what goes from the machine to itself; nil until then
	v4         *ipv4State     // reassembly, path MTU, rate limits; nil until needed
	v6         *ipv6State     // nil until needed
}

// New returns a stack with lo up and nothing else.
func New(cfg Config) *Stack {
	s := &Stack{
		name: cfg.Name, seed: cfg.Seed, pool: cfg.Pool, tap: cfg.Tap, place: int32(cfg.Place), sysctl: cfg.Sysctl,
		packets: uint64(cfg.ID) << 40, deadline: sim.Never,
	}
	if s.pool == nil {
		s.pool = &wire.Pool{}
	}
	if s.sysctl == nil {
		s.sysctl = defaultSysctl
	}
	return s
}

// Name is what the machine is called.
func (s *Stack) Name() string { return s.name }

// Deadline is when Advance must be called next, or Never.
func (s *Stack) Deadline() sim.Time { return s.deadline }

// Advance fires the timers that are due.
func (s *Stack) Advance(now sim.Time) {
	if s.timers == nil {
		return
	}
	for s.timers.queue.FireNext(now) {
	}
	s.deadline = s.timers.queue.Next()
}

// timers is every timer of a stack.
type timers struct {
	queue sim.Queue
	order sim.Order // of the last one set
}

// setTimer sets or moves a timer of the stack; Never stops it.
func (s *Stack) setTimer(t *sim.Timer, at sim.Time) {
	if s.timers == nil {
		s.timers = &timers{}
	}
	s.timers.order++
	s.timers.queue.Set(t, at, s.timers.order)
	s.deadline = s.timers.queue.Next()
}

// stopTimer stops a timer of the stack.
func (s *Stack) stopTimer(t *sim.Timer) {
	if t.Pending() {
		s.timers.queue.Stop(t)
		s.deadline = s.timers.queue.Next()
	}
}

// timerAt is the instant a timer of the stack is set to, or Never.
func (s *Stack) timerAt(t *sim.Timer) sim.Time {
	if !t.Pending() {
		return sim.Never
	}
	return s.timers.queue.At(t)
}

// rand is the stack's own stream of random numbers.
func (s *Stack) rand() *sim.Stream {
	if s.random == nil {
		s.random = sim.NewStream(s.seed, "stack "+s.name)
	}
	return s.random
}

// newFrame lends a frame for a packet made here, with its number. Transport
// headers and payload are appended first, the others pushed in front.
func (s *Stack) newFrame(size int) *wire.Frame {
	s.packets++
	f := s.pool.Get(size)
	f.Packet, f.ChecksumsGood = s.packets, true
	return f
}

// drop tells the tap why a frame goes no further, and releases it. i may be nil.
func (s *Stack) drop(now sim.Time, i *Interface, f *wire.Frame, why wire.Drop) {
	if s.tap != nil {
		place := s.place
		if i != nil && !i.loopback {
			place = i.place
		}
		s.tap.Dropped(now, int(place), f, why)
	}
	f.Release()
}

// family is 0 for IPv4 and 1 for IPv6: the index of tables kept for each.
func family(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// packet is an IP packet of either family on its way up, as the layers under
// the present one found it. The frame begins at its Ethernet header.
type packet struct {
	frame    *wire.Frame
	in       *Interface // where it came in; lo for what the machine sends to itself
	src, dst netip.Addr
	protocol wire.Protocol // the upper layer's, after extension headers
	ip       int           // where the IP header starts in the frame
	payload  int           // where the upper layer starts
	end      int           // where the packet ends: padding may follow
	ttl, tos uint8
	cast     cast // how the destination address was reached
}

// cast is whom an address or a frame is for.
type cast uint8

const (
	toHost cast = iota
	toBroadcast
	toMulticast
	toOther // another station
)

// ipPacket is the IP packet, header included.
func (p *packet) ipPacket() []byte { return p.frame.Bytes()[p.ip:p.end] }

// upper is what the IP packet carries.
func (p *packet) upper() []byte { return p.frame.Bytes()[p.payload:p.end] }

// outgoing says how a packet made here is sent. The zero value of a field asks
// for Linux's default. Below the line is what routing found.
type outgoing struct {
	src, dst  netip.Addr // src may be unset: chosen by route
	protocol  wire.Protocol
	ttl       uint8 // 0: the default TTL or hop limit; 1 for multicast
	tos       uint8
	discover  MTUDiscover
	broadcast bool       // may go to a broadcast address, else EACCES
	noLoop    bool       // multicast: no copy to this machine
	iface     *Interface // nil: by route

	nextHop netip.Addr
	cast    cast
	mtu     int  // of the path
	locked  bool // the path's MTU is too small to be believed: no DF
}

// route finds the way for o and fills in src, iface, nextHop, cast and mtu.
// Errors are syscall.Errno as Linux gives them to a socket.
func (s *Stack) route(now sim.Time, o *outgoing) error {
	if o.dst.Is4() {
		return s.routeIPv4(now, o)
	}
	return s.routeIPv6(now, o)
}

// send sends the upper-layer packet in f, which it owns. EMSGSIZE where the path
// MTU forbids it; o.mtu then tells the limit.
// Precondition: route succeeded on o; checksums are in place.
func (s *Stack) send(now sim.Time, f *wire.Frame, o *outgoing) error {
	if o.dst.Is4() {
		return s.sendIPv4(now, f, o)
	}
	return s.sendIPv6(now, f, o)
}

// problem is why an ICMP error is sent, in terms of both families.
type problem uint8

const (
	problemNoRoute problem = iota
	problemHostUnreachable
	problemProtocolUnreachable
	problemPortUnreachable
	problemTooBig // with the next hop's MTU
	problemProhibited
	problemTTLExceeded
	problemReassemblyTimeout
)

// icmpError tells the source of p what went wrong with it, if the rules allow.
// The caller still owns the frame.
func (s *Stack) icmpError(now sim.Time, p *packet, why problem, mtu int) {
	if p.dst.Is4() {
		s.icmpv4Error(now, p, why, mtu)
		return
	}
	s.icmpv6Error(now, p, why, mtu)
}
