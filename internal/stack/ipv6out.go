package stack

import (
	"encoding/binary"
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// routeIPv6 finds the way for o: see Stack.route.
func (s *Stack) routeIPv6(now sim.Time, o *outgoing) error {
	if zone := o.dst.Zone(); zone != "" {
		i := s.zoneOf(o.dst)
		if i == nil || o.iface != nil && o.iface != i {
			return syscall.EINVAL // sin6_scope_id says one thing, SO_BINDTODEVICE another
		}
		o.dst = o.dst.WithZone("")
		if o.dst.IsLinkLocalUnicast() || o.dst.IsMulticast() {
			o.iface = i
		}
	}
	o.src, o.cast = o.src.WithZone(""), toHost
	if o.dst.IsUnspecified() {
		o.dst = netip.IPv6Loopback() // RFC 4291 says never; BSD and Linux mean this machine
	}
	if s.sysctl.IPv6.Disable {
		if o.dst.IsLoopback() {
			return syscall.EADDRNOTAVAIL
		}
		return syscall.ENETUNREACH
	}
	if o.dst.IsMulticast() {
		return s.routeMulticastIPv6(o)
	}
	if o.dst.IsLinkLocalUnicast() && o.iface == nil {
		return syscall.EINVAL // which link? fe80::1%eth0 says it
	}
	if s.isOwnIPv6(o.dst, o.iface) {
		lo := s.loopback()
		o.iface, o.nextHop, o.mtu = lo, o.dst, lo.MTU()
		if !o.src.IsValid() || o.src.IsUnspecified() {
			o.src = o.dst
		}
		return nil
	}
	r := s.routes[1].lookup(o.dst, o.iface)
	if err := routeError(r); err != nil {
		s.count6(ip6OutNoRoutes)
		return err
	}
	if r.Protocol == ProtocolRA && r.Gateway.IsValid() {
		r = s.reachableRouter(r)
	}
	return s.followIPv6(now, o, r)
}

// isOwnIPv6 reports whether packets to a, which leave by i if that is link-local,
// are delivered on this machine.
func (s *Stack) isOwnIPv6(a netip.Addr, i *Interface) bool {
	if a.IsLoopback() {
		return true
	}
	if i == nil || i.loopback || !a.IsLinkLocalUnicast() {
		l := s.locals.lookup(a)
		return l != nil && l.owner.usable()
	}
	own := i.addressIPv6(a)
	return own != nil && own.usable()
}

// routeError is what a socket gets for a route (fib6_prop in Linux's ip6_fib.c).
func routeError(r *Route) error {
	switch {
	case r == nil:
		return syscall.ENETUNREACH
	case r.Type == RouteBlackhole:
		return syscall.EINVAL
	case r.Type == RouteProhibit:
		return syscall.EACCES
	case r.Type != RouteUnicast || r.Interface == nil:
		return syscall.EHOSTUNREACH
	case !r.Interface.up:
		return syscall.ENETUNREACH
	}
	return nil
}

// followIPv6 fills in what a route says.
func (s *Stack) followIPv6(now sim.Time, o *outgoing, r *Route) error {
	o.iface, o.nextHop, o.mtu = r.Interface, o.dst, r.Interface.mtuIPv6()
	if r.Gateway.IsValid() {
		o.nextHop = r.Gateway
	}
	if r.MTU != 0 {
		o.mtu = min(o.mtu, int(r.MTU))
	}
	if s.paths != nil && o.discover != DiscoverProbe {
		s.applyPath(now, o)
	}
	if o.src.IsValid() && !o.src.IsUnspecified() {
		return nil
	}
	o.src = r.Source
	if !o.src.IsValid() {
		src, ok := s.sourceIPv6(o.dst, o.iface)
		if !ok {
			return syscall.EADDRNOTAVAIL
		}
		o.src = src
	}
	return nil
}

// routeMulticastIPv6 finds the interface of a multicast packet: the one asked for
// or, as Linux's ff00::/8 routes give, the first that is up.
func (s *Stack) routeMulticastIPv6(o *outgoing) error {
	for _, i := range s.interfaces {
		if o.iface != nil {
			break
		}
		if i.up && !i.loopback && i.v6 != nil {
			o.iface = i
		}
	}
	if o.iface == nil || !o.iface.up {
		return syscall.ENETUNREACH
	}
	o.cast, o.nextHop, o.mtu = toMulticast, o.dst, o.iface.mtuIPv6()
	if o.src.IsValid() && !o.src.IsUnspecified() {
		return nil
	}
	src, ok := s.sourceIPv6(o.dst, o.iface)
	if !ok {
		return syscall.EADDRNOTAVAIL
	}
	o.src = src
	return nil
}

// payloadMaxIPv6 is the longest payload without a jumbogram.
const payloadMaxIPv6 = 65535

// sendIPv6 sends an upper-layer packet, which f begins with: see Stack.send.
func (s *Stack) sendIPv6(now sim.Time, f *wire.Frame, o *outgoing) error {
	if f.Len() > payloadMaxIPv6 {
		f.Release()
		return syscall.EMSGSIZE
	}
	s.count6(ip6OutRequests)
	h := wire.IPv6Header{TrafficClass: o.tos, NextHeader: o.protocol, HopLimit: o.ttl, Src: o.src, Dst: o.dst}
	if h.HopLimit == 0 {
		h.HopLimit = o.iface.hopLimitIPv6()
		if o.cast == toMulticast {
			h.HopLimit = 1 // IPV6_DEFAULT_MCASTHOPS
		}
	}
	size := wire.IPv6Len + f.Len()
	if size <= o.mtu {
		pushIPv6(f, h)
		s.outputIPv6(now, f, o)
		return nil
	}
	if o.discover == DiscoverDo || o.discover == DiscoverProbe {
		s.count6(ip6FragFails)
		f.Release()
		return syscall.EMSGSIZE
	}
	s.fragmentIPv6(now, f, h, o)
	return nil
}

// pushIPv6 puts the header in front of the packet in f.
func pushIPv6(f *wire.Frame, h wire.IPv6Header) {
	length := f.Len()
	b := f.Push(wire.IPv6Len)
	wire.AppendIPv6(b[:0], h, length)
}

// outputIPv6 sends a packet, which f begins with, to the next hop: ip6_output.
func (s *Stack) outputIPv6(now sim.Time, f *wire.Frame, o *outgoing) {
	if o.cast == toMulticast && !o.iface.loopback {
		if !o.noLoop && o.iface.inGroup(o.dst) {
			s.loop(now, o.iface, f.Clone(), o.cast)
		}
		if o.dst.IsInterfaceLocalMulticast() || wire.IPv6(f.Bytes()).HopLimit() == 0 {
			f.Release() // stays on the machine (RFC 4291 2.7)
			return
		}
	}
	s.finishOutput(now, f, o)
}

// fragmentIPv6 cuts a packet at its source (RFC 8200 4.5): only here, never on the
// way. The IPv6 header is all that is not cut.
func (s *Stack) fragmentIPv6(now sim.Time, f *wire.Frame, h wire.IPv6Header, o *outgoing) {
	v := s.ipv6()
	if v.fragmentID == 0 {
		v.fragmentID = uint32(s.rand().Uint64()) // RFC 7739 5: not to be guessed
	}
	v.fragmentID++
	room := (max(o.mtu, wire.IPv6MinMTU) - wire.IPv6Len - wire.IPv6FragmentLen) &^ 7
	upper := h.NextHeader
	h.NextHeader = wire.ProtocolFragment
	for at, all := 0, f.Bytes(); at < len(all); at += room {
		part := all[at:min(at+room, len(all))]
		c := s.pool.Get(wire.IPv6Len + wire.IPv6FragmentLen + len(part))
		c.Packet, c.ChecksumsGood = f.Packet, f.ChecksumsGood
		b := wire.AppendIPv6(c.Buffer(), h, wire.IPv6FragmentLen+len(part))
		b = wire.AppendIPv6Fragment(b, wire.IPv6FragmentHeader{NextHeader: upper, Offset: at, More: at+len(part) < len(all), ID: v.fragmentID})
		c.SetBytes(append(b, part...))
		s.count6(ip6FragCreates)
		s.outputIPv6(now, c, o)
	}
	s.count6(ip6FragOKs)
	f.Release()
}

// setPayloadLenIPv6 writes the length field of the header that b begins with.
func setPayloadLenIPv6(b []byte, n int) { binary.BigEndian.PutUint16(b[4:], uint16(n)) }
