package stack

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// receiveIPv6 takes an IPv6 packet from an interface, and owns the frame, which
// begins at its Ethernet header. to is how the frame was addressed.
func (s *Stack) receiveIPv6(now sim.Time, i *Interface, f *wire.Frame, to cast) {
	if s.sysctl.IPv6.Disable {
		s.drop(now, i, f, wire.DropUnknownType)
		return
	}
	s.count6(ip6InReceives)
	const start = wire.EthernetLen
	v, err := wire.ParseIPv6(f.Bytes()[start:])
	if err != nil {
		s.count6(ip6InHdrErrors)
		s.drop(now, i, f, wire.DropMalformed)
		return
	}
	p := packet{
		frame: f, in: i, src: v.Src(), dst: v.Dst(), protocol: v.NextHeader(), ip: start, payload: start + wire.IPv6Len,
		end: start + len(v), ttl: v.HopLimit(), tos: v.TrafficClass(), cast: to,
	}
	if why := addressesIPv6(&p); why != wire.NotDropped {
		s.count6(ip6InAddrErrors)
		s.drop(now, i, f, why)
		return
	}
	if p.protocol == wire.ProtocolHopByHop {
		if _, problem := v.HopByHop(); problem.Bad() {
			s.refuseHeader(now, &p, problem)
			return
		}
	}
	s.inputIPv6(now, &p)
}

// addressesIPv6 reports addresses that must not be on a wire (RFC 4291 2.5.3, 2.7;
// ip6_rcv_core).
func addressesIPv6(p *packet) wire.Drop {
	if p.src.IsMulticast() {
		return wire.DropInvalidSource
	}
	if p.in.loopback {
		return wire.NotDropped
	}
	if p.src.IsLoopback() || p.dst.IsLoopback() || p.dst.IsInterfaceLocalMulticast() || p.dst.IsUnspecified() {
		return wire.DropInvalidSource
	}
	if p.dst.IsMulticast() && p.dst.As16()[1]&15 == 0 {
		return wire.DropInvalidSource // errata 3480: scope 0 is reserved
	}
	return wire.NotDropped
}

// inputIPv6 delivers a packet or passes it on.
func (s *Stack) inputIPv6(now sim.Time, p *packet) {
	if p.dst.IsMulticast() {
		if !p.in.inGroup(p.dst) {
			// A card filters these out. Without MLD every switch floods them, so they are
			// counted as Input does with frames for other stations.
			s.count(otherHost)
			p.frame.Release()
			return
		}
		p.cast = toMulticast
		s.acceptIPv6(now, p)
		return
	}
	a := s.localIPv6(p.in, p.dst)
	switch {
	case p.in.loopback || a != nil && a.usable():
		s.acceptIPv6(now, p)
	case a != nil:
		// RFC 4862 5.4: a tentative address takes nothing but ND, which goes to groups.
		s.count6(ip6InDiscards)
		s.drop(now, p.in, p.frame, wire.DropAddressNotReady)
	default:
		s.forwardIPv6(now, p)
	}
}

// localIPv6 is the machine's own address a as packets from i reach it: those of
// link-local scope only on their link. nil: it is another machine's.
func (s *Stack) localIPv6(i *Interface, a netip.Addr) *Address {
	if a.IsLinkLocalUnicast() {
		return i.addressIPv6(a)
	}
	if l := s.locals.lookup(a); l != nil {
		return l.owner
	}
	return nil
}

// acceptIPv6 walks the extension headers of a packet for this machine, puts
// fragments together and hands up what is whole.
func (s *Stack) acceptIPv6(now sim.Time, p *packet) {
	x, problem := wire.IPv6(p.ipPacket()).Extensions()
	if problem.Bad() {
		s.refuseHeader(now, p, problem)
		return
	}
	p.protocol, p.payload = x.Upper, p.ip+x.Offset
	switch p.protocol {
	case wire.ProtocolFragment:
		s.reassembleIPv6(now, p, x)
	case wire.ProtocolNone: // RFC 8200 4.7
		s.drop(now, p.in, p.frame, wire.DropUnknownType)
	default:
		s.count6(ip6InDelivers)
		s.deliver(now, p)
	}
}

// refuseHeader drops a packet whose extension headers are wrong, and tells its
// source if it must know.
func (s *Stack) refuseHeader(now sim.Time, p *packet, problem wire.HeaderProblem) {
	s.count6(ip6InHdrErrors)
	if !problem.Silent && !(problem.UnicastOnly && p.dst.IsMulticast()) {
		s.sendErrorIPv6(now, p, errorIPv6{kind: wire.ICMPv6ParamProblem, code: problem.Code, rest: uint32(problem.Pointer)})
	}
	s.drop(now, p.in, p.frame, wire.DropMalformed)
}

// forwardIPv6 passes a packet on (ip6_forward). The frame is sent as it is but for
// the hop limit.
func (s *Stack) forwardIPv6(now sim.Time, p *packet) {
	if why := s.forwardableIPv6(now, p); why != wire.NotDropped {
		s.drop(now, p.in, p.frame, why)
		return
	}
	r, why := s.forwardRouteIPv6(now, p)
	if why != wire.NotDropped {
		s.drop(now, p.in, p.frame, why)
		return
	}
	out, next := r.Interface, p.dst
	if r.Gateway.IsValid() {
		next = r.Gateway
	}
	if out == p.in {
		s.redirectIPv6(now, p, next)
	}
	mtu := out.mtuIPv6()
	if r.MTU != 0 {
		mtu = min(mtu, int(r.MTU))
	}
	if p.end-p.ip > mtu {
		s.count6(ip6InTooBigErrors)
		s.count6(ip6FragFails)
		s.icmpv6Error(now, p, problemTooBig, mtu)
		s.drop(now, p.in, p.frame, wire.DropFragmentationOff)
		return
	}
	wire.IPv6(p.ipPacket()).DecrementHopLimit()
	s.count6(ip6OutForwDatagrams)
	p.frame.Trim(p.end)
	p.frame.Pull(p.ip)
	s.transmit(now, out, next, p.frame)
}

// forwardableIPv6 makes the checks that need no route.
func (s *Stack) forwardableIPv6(now sim.Time, p *packet) wire.Drop {
	switch {
	case !s.sysctl.IPv6.Forwarding:
		s.count6(ip6InAddrErrors)
		return wire.DropForwardingOff
	case p.cast != toHost || p.src.IsUnspecified():
		s.count6(ip6InDiscards)
		return wire.DropNotForUs
	case p.ttl <= 1:
		s.count6(ip6InHdrErrors)
		s.icmpv6Error(now, p, problemTTLExceeded, 0)
		return wire.DropTTLExceeded
	case p.src.IsLinkLocalUnicast() || p.dst.IsLinkLocalUnicast():
		// RFC 4291 2.5.6: not to other links. RFC 4443 3.1: beyond scope.
		s.count6(ip6InAddrErrors)
		s.sendErrorIPv6(now, p, errorIPv6{kind: wire.ICMPv6Unreachable, code: wire.ICMPv6BeyondScope})
		return wire.DropInvalidSource
	}
	return wire.NotDropped
}

// forwardRouteIPv6 finds the route of a packet to pass on.
func (s *Stack) forwardRouteIPv6(now sim.Time, p *packet) (*Route, wire.Drop) {
	r := s.routes[1].lookup(p.dst, nil)
	switch {
	case r == nil:
		s.count6(ip6InNoRoutes)
		s.icmpv6Error(now, p, problemNoRoute, 0)
		return nil, wire.DropNoRoute
	case r.Type == RouteBlackhole:
		return nil, wire.DropBlackhole
	case r.Type == RouteProhibit:
		s.icmpv6Error(now, p, problemProhibited, 0)
		return nil, wire.DropProhibited
	case r.Type != RouteUnicast || r.Interface == nil:
		// Linux answers an unreachable route with "no route" (ip6_pkt_discard).
		s.icmpv6Error(now, p, problemNoRoute, 0)
		return nil, wire.DropNoRoute
	case !r.Interface.up:
		return nil, wire.DropInterfaceDown
	}
	return r, wire.NotDropped
}
