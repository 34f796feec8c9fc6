package stack

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// forwardIPv4 is the second half of ip_route_input_slow and ip_forward: the frame
// that came in goes out again, changed in place.
func (s *Stack) forwardIPv4(now sim.Time, p *packet, ip wire.IPv4) {
	r := s.routes[0].lookup(p.dst, nil)
	if r == nil || r.Type != RouteUnicast {
		s.unroutable(now, p, r)
		return
	}
	if why := s.validateSource(now, p); why != wire.NotDropped {
		s.dropIn(now, p, why)
		return
	}
	if p.cast != toHost {
		s.dropIn(now, p, wire.DropNotForUs) // ip_forward: never a link-layer broadcast
		return
	}
	if ip.TTL() <= 1 {
		s.count(ipInHdrErrors)
		s.icmpError(now, p, problemTTLExceeded, 0)
		s.dropIn(now, p, wire.DropTTLExceeded)
		return
	}
	nextHop, mtu := p.dst, r.mtu()
	if r.Gateway.IsValid() {
		nextHop = r.Gateway
	}
	if s.paths != nil {
		if e := s.path(now, p.dst); e != nil && e.gateway.IsValid() {
			nextHop = e.gateway
		}
	}
	s.count(ipForwDatagrams)
	if len(ip) > mtu && ip.DontFragment() {
		s.count(ipFragFails)
		s.icmpError(now, p, problemTooBig, mtu)
		s.dropIn(now, p, wire.DropFragmentationOff)
		return
	}
	if r.Interface == p.in && s.sysctl.SendRedirects {
		s.sendRedirect(now, p, nextHop)
	}
	ip.DecrementTTL()
	// FORWARD
	f := p.frame
	f.Trim(p.end)
	f.Pull(wire.EthernetLen)
	s.outputIPv4(now, f, &outgoing{dst: p.dst, iface: r.Interface, nextHop: nextHop, mtu: mtu})
}

// mtu is the largest packet that the route takes.
func (r *Route) mtu() int {
	mtu := int(r.Interface.mtu)
	if r.MTU > 0 {
		mtu = min(mtu, int(r.MTU))
	}
	return mtu
}

// unroutable is ip_error: what a router says of a packet that it cannot forward.
func (s *Stack) unroutable(now sim.Time, p *packet, r *Route) {
	switch {
	case r == nil:
		s.count(ipOutNoRoutes)
		s.icmpError(now, p, problemNoRoute, 0)
		s.dropIn(now, p, wire.DropNoRoute)
	case r.Type == RouteUnreachable:
		s.icmpError(now, p, problemHostUnreachable, 0)
		s.dropIn(now, p, wire.DropNoRoute)
	case r.Type == RouteProhibit:
		s.icmpError(now, p, problemProhibited, 0)
		s.dropIn(now, p, wire.DropProhibited)
	default:
		s.dropIn(now, p, wire.DropBlackhole)
	}
}

// Redirects are sent to one source at growing intervals (ip_rt_send_redirect).
const (
	redirectLoad    = 20 * 1e6
	redirectNumber  = 9
	redirectSilence = redirectLoad << (redirectNumber + 1)
)

// sendRedirect tells the source of a packet, which sits on the link that the
// packet leaves by, of the better router or of the neighbour itself.
func (s *Stack) sendRedirect(now sim.Time, p *packet, gateway netip.Addr) {
	back := s.routes[0].lookup(p.src, p.in)
	if back == nil || back.Gateway.IsValid() || back.Type != RouteUnicast {
		return // only to hosts on the link
	}
	limit := s.peerLimit(now, p.src)
	if now.Sub(limit.redirectedAt) > redirectSilence {
		limit.redirects = 0
	}
	if limit.redirects >= redirectNumber {
		limit.redirectedAt = now // too stubborn; silent while it goes on
		return
	}
	if limit.redirects > 0 && now.Sub(limit.redirectedAt) <= redirectLoad<<limit.redirects {
		return
	}
	g := gateway.As4()
	if s.icmpv4Message(now, p, wire.ICMPHeader{
		Type: wire.ICMPRedirect, Code: 1, // for the host, RFC 1812 5.2.7.2
		Rest: uint32(g[0])<<24 | uint32(g[1])<<16 | uint32(g[2])<<8 | uint32(g[3]),
	}) {
		limit.redirectedAt = now
		limit.redirects++
	}
}
