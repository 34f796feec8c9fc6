package stack

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

var localhostIPv4 = netip.AddrFrom4([4]byte{127, 0, 0, 1})

// routeIPv4 is ip_route_output_key: interface, next hop and source for o.dst.
func (s *Stack) routeIPv4(now sim.Time, o *outgoing) error {
	if o.src.IsValid() && (o.src.IsUnspecified() || o.src.IsMulticast()) {
		o.src = netip.Addr{}
	}
	if o.src.IsValid() && !s.IsLocal(o.src) {
		return syscall.EINVAL
	}
	if o.dst.IsUnspecified() { // RFC 1122 3.2.1.3: this host
		o.dst = localhostIPv4
		if o.src.IsValid() {
			o.dst = o.src
		}
	}
	l := s.locals.lookup(o.dst)
	switch {
	case isLoopback(o.dst) || l != nil && !l.broadcast:
		o.iface = s.loopback()
		if !o.src.IsValid() {
			o.src = o.dst
		}
	case l != nil:
		o.cast = toBroadcast
		if o.iface == nil {
			o.iface = l.owner.Interface
		}
	case o.dst.IsMulticast() || o.dst == limitedBroadcast:
		o.cast = toMulticast
		if o.dst == limitedBroadcast {
			o.cast = toBroadcast
		}
		if o.iface == nil && o.src.IsValid() && !isLoopback(o.src) {
			o.iface = s.locals.lookup(o.src).owner.Interface
		}
	}
	o.nextHop = o.dst
	if o.iface == nil || o.cast == toHost && !o.iface.loopback {
		if err := s.routeByTable(o); err != nil {
			return err
		}
	}
	if o.cast == toBroadcast && !o.broadcast {
		return syscall.EACCES
	}
	if !o.iface.up {
		return syscall.ENETDOWN
	}
	if !o.src.IsValid() {
		o.src = s.selectSourceIPv4(o.iface, o.nextHop)
	}
	if o.mtu == 0 {
		o.mtu = int(o.iface.mtu)
	}
	if s.paths != nil {
		s.applyPath(now, o)
	}
	return nil
}

// routeByTable looks o.dst up.
func (s *Stack) routeByTable(o *outgoing) error {
	r := s.routes[0].lookup(o.dst, o.iface)
	if r == nil {
		if o.iface != nil {
			return nil // ip_route_output_key_hash_rcu: bound to a device, so it is on the link
		}
		s.count(ipOutNoRoutes)
		return syscall.ENETUNREACH
	}
	switch r.Type {
	case RouteBlackhole:
		return syscall.EINVAL
	case RouteUnreachable:
		return syscall.EHOSTUNREACH
	case RouteProhibit:
		return syscall.EACCES
	}
	o.iface, o.mtu = r.Interface, r.mtu()
	if o.cast == toHost && r.Gateway.IsValid() {
		o.nextHop = r.Gateway
	}
	if !o.src.IsValid() {
		o.src = r.Source
	}
	return nil
}

// selectSourceIPv4 is inet_select_addr: the first primary address of the
// interface in dst's subnet, else its first, else any interface's.
func (s *Stack) selectSourceIPv4(i *Interface, dst netip.Addr) netip.Addr {
	first := netip.Addr{}
	for _, a := range i.addresses {
		if !a.Addr().Is4() || a.Secondary || !a.active {
			continue
		}
		if a.Prefix.Contains(dst) {
			return a.Addr()
		}
		if !first.IsValid() {
			first = a.Addr()
		}
	}
	if first.IsValid() {
		return first
	}
	for _, other := range s.interfaces {
		for _, a := range other.addresses {
			if a.Addr().Is4() && !a.Secondary && a.active {
				return a.Addr()
			}
		}
	}
	return netip.IPv4Unspecified()
}

// sendIPv4 is __ip_make_skb and ip_local_out: it puts the header in front of the
// upper-layer packet in f, which it owns.
func (s *Stack) sendIPv4(now sim.Time, f *wire.Frame, o *outgoing) error {
	length := wire.IPv4MinLen + f.Len()
	if length > 65535 {
		f.Release()
		return syscall.EMSGSIZE
	}
	limit := o.mtu
	if o.discover == DiscoverProbe {
		limit = int(o.iface.mtu)
	}
	if length > limit && (o.discover == DiscoverDo || o.discover == DiscoverProbe) {
		o.mtu = limit
		f.Release()
		s.count(ipFragFails)
		return syscall.EMSGSIZE
	}
	h := wire.IPv4Header{TOS: o.tos, TTL: o.ttl, Protocol: o.protocol, Src: o.src, Dst: o.dst}
	if h.TTL == 0 {
		h.TTL = uint8(s.sysctl.IPDefaultTTL)
		if o.cast == toMulticast {
			h.TTL = 1
		}
	}
	switch o.discover {
	case DiscoverDo, DiscoverProbe:
		h.DontFragment = true
	case DiscoverWant:
		h.DontFragment = length <= o.mtu && !o.locked
	}
	if !h.DontFragment { // RFC 6864: an ID is of use to fragments only
		s.ipID++
		h.ID = s.ipID
	}
	payload := f.Len()
	wire.AppendIPv4(f.Push(wire.IPv4MinLen)[:0], h, payload)
	s.count(ipOutRequests)
	// OUTPUT
	if o.cast != toHost && !o.iface.loopback {
		s.loopCopy(now, f, o)
	}
	if o.cast == toMulticast && h.TTL == 0 {
		f.Release()
		return nil
	}
	s.outputIPv4(now, f, o)
	return nil
}

// loopCopy gives this machine its copy of a multicast or broadcast that it sends
// (ip_mc_output).
func (s *Stack) loopCopy(now sim.Time, f *wire.Frame, o *outgoing) {
	if o.cast == toBroadcast || !o.noLoop && o.iface.inGroup(o.dst) {
		s.loop(now, o.iface, f.Clone(), o.cast)
	}
}

// outputIPv4 is ip_output: it sends the IP packet in f, in fragments if need be.
func (s *Stack) outputIPv4(now sim.Time, f *wire.Frame, o *outgoing) {
	// POSTROUTING
	if f.Len() > o.mtu {
		s.fragmentIPv4(now, f, o)
		return
	}
	s.finishOutput(now, f, o)
}

// finishOutput sends one IP packet of either family to its next hop.
func (s *Stack) finishOutput(now sim.Time, f *wire.Frame, o *outgoing) {
	switch {
	case o.iface.loopback:
		s.loop(now, o.iface, f, o.cast)
	case o.cast == toHost:
		s.transmit(now, o.iface, o.nextHop, f)
	case o.cast == toBroadcast:
		s.transmitTo(now, o.iface, wire.Broadcast, f)
	default:
		s.transmitTo(now, o.iface, wire.MulticastMAC(o.dst), f)
	}
}

// sendFrame sends a whole frame out of i, and owns it.
func (i *Interface) sendFrame(now sim.Time, f *wire.Frame) {
	s := i.stack
	if !i.up || i.out == nil {
		i.rare().sentDrops++
		s.drop(now, i, f, wire.DropInterfaceDown)
		return
	}
	if s.sniffed() {
		s.tapPackets(now, i, f, wire.EtherType(binary.BigEndian.Uint16(f.Bytes()[12:])), true)
	}
	i.sentPackets++
	i.sentBytes += uint64(f.Len())
	i.out.Send(now, f)
}

// The way from this machine to itself takes about as long as in Linux and is
// about as fast. It must cost something: two programs that answer each other over
// 127.0.0.1 would stop the clock.
const (
	loopDelay              = 10 * time.Microsecond
	loopPicosecondsPerByte = 800 // 10 Gbit/s
)

// loopQueue is packets on their way from this machine to itself.
type loopQueue struct {
	stack   *Stack
	timer   sim.Timer
	packets []looped
	head    int
	freeAt  sim.Time // what was sent before is through
}

// looped is a packet on its way from this machine to itself.
type looped struct {
	frame *wire.Frame
	in    *Interface
	to    cast
	at    sim.Time
}

// loop delivers the IP packet in f to this machine itself, a little later.
func (s *Stack) loop(now sim.Time, i *Interface, f *wire.Frame, to cast) {
	kind := wire.TypeIPv4
	if f.Bytes()[0]>>4 == 6 {
		kind = wire.TypeIPv6
	}
	h := wire.EthernetHeader{Src: i.mac, Dst: i.mac, Type: kind}
	wire.AppendEthernet(f.Push(wire.EthernetLen)[:0], h)
	if i.loopback {
		i.sentPackets++
		i.sentBytes += uint64(f.Len())
	}
	if s.loops == nil {
		s.loops = &loopQueue{stack: s}
		s.loops.timer.Init(s.loops)
	}
	q := s.loops
	q.freeAt = max(q.freeAt, now).Add(sim.Duration(f.Len()) * loopPicosecondsPerByte / 1000)
	at := q.freeAt.Add(loopDelay)
	q.packets = append(q.packets, looped{f, i, to, at})
	if !q.timer.Pending() {
		s.setTimer(&q.timer, at)
	}
}

// Fire delivers what is due.
func (q *loopQueue) Fire(now sim.Time) {
	for q.head < len(q.packets) && q.packets[q.head].at <= now {
		l := q.packets[q.head]
		q.packets[q.head] = looped{}
		q.head++
		q.stack.unloop(now, l)
	}
	if q.head == len(q.packets) {
		q.packets, q.head = q.packets[:0], 0
		return
	}
	if q.head > 64 && 2*q.head > len(q.packets) {
		n := copy(q.packets, q.packets[q.head:])
		q.packets, q.head = q.packets[:n], 0
	}
	q.stack.setTimer(&q.timer, q.packets[q.head].at)
}

// unloop receives what loop sent.
func (s *Stack) unloop(now sim.Time, l looped) {
	kind := wire.Ethernet(l.frame.Bytes()).Type()
	if l.in.loopback {
		l.in.receivedPackets++
		l.in.receivedBytes += uint64(l.frame.Len())
		if s.sniffed() {
			s.tapPackets(now, l.in, l.frame, kind, false)
		}
	}
	if kind == wire.TypeIPv6 {
		s.receiveIPv6(now, l.in, l.frame, l.to)
		return
	}
	s.count(ipInReceives)
	ip, err := wire.ParseIPv4(l.frame.Bytes()[wire.EthernetLen:])
	if err != nil {
		s.drop(now, l.in, l.frame, wire.DropMalformed)
		return
	}
	p := ipv4Packet(l.in, l.frame, ip, l.to)
	s.localIPv4(now, &p, ip)
}
