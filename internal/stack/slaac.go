package stack

import (
	"net/netip"
	"slices"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// defaultRouter is an entry of the default router list (RFC 4861 5.1).
type defaultRouter struct {
	addr  netip.Addr
	until sim.Time
}

// onLinkPrefix is an entry of the prefix list (RFC 4861 5.1).
type onLinkPrefix struct {
	prefix netip.Prefix
	until  sim.Time
}

// raMetric is what Linux gives default routes from router advertisements
// (IP6_RT_PRIO_USER); prefixMetric what it gives prefixes on the link.
const (
	raMetric     = 1024
	prefixMetric = 256
)

var defaultRouteIPv6 = netip.MustParsePrefix("::/0")

// acceptsRA reports whether router advertisements are heeded: a router does only
// if told to (ipv6_accept_ra).
func (s *Stack) acceptsRA() bool {
	c := &s.sysctl.IPv6
	return c.AcceptRA == 2 || c.AcceptRA == 1 && !c.Forwarding
}

// routerSolicitor asks for routers.
type routerSolicitor interfaceIPv6

// solicitRouters asks at once, and again until one answers or it has asked often
// enough (RFC 4861 6.3.7).
func (s *Stack) solicitRouters(now sim.Time, i *Interface) {
	if !s.acceptsRA() || s.sysctl.IPv6.RouterSolicitations == 0 {
		return
	}
	i.v6.solicited = 0
	(*routerSolicitor)(i.v6).Fire(now)
}

// Fire sends a router solicitation.
func (r *routerSolicitor) Fire(now sim.Time) {
	i := r.iface
	s := i.stack
	a := i.linkLocal()
	if r.solicited >= s.sysctl.IPv6.RouterSolicitations || a == nil || !a.usable() {
		return
	}
	r.solicited++
	f := s.newFrame(ndFrameSize)
	f.SetBytes(wire.AppendRouterSolicitation(f.Buffer(), wire.RouterSolicitationHeader{Src: a.Addr(), Dst: allRoutersIPv6, SourceMAC: i.mac}))
	s.sendND(now, i, f, ndEnvelope{src: a.Addr(), dst: allRoutersIPv6})
	s.setTimer(&r.solicit, now.Add(s.sysctl.IPv6.RouterSolicitationInterval))
}

// receiveRouterAdvertisement does what a router tells (RFC 4861 6.3.4, RFC 4862
// 5.5.3; ndisc_router_discovery).
func (s *Stack) receiveRouterAdvertisement(now sim.Time, p *packet, m wire.RouterAdvertisement) {
	i := p.in
	if !s.acceptsRA() || s.localIPv6(i, p.src) != nil {
		return
	}
	v := i.v6
	s.stopTimer(&v.solicit)
	s.learnRouter(now, i, p.src, time.Duration(m.LifetimeSeconds())*time.Second)
	if m.HopLimit() != 0 {
		v.hopLimit = m.HopLimit()
	}
	if t := m.ReachableMilliseconds(); t != 0 {
		v.setReachable(time.Duration(t)*time.Millisecond, s)
	}
	if t := m.RetransMilliseconds(); t != 0 {
		v.retrans = time.Duration(t) * time.Millisecond
	}
	if mtu, ok := m.Options().MTU(); ok && mtu >= wire.IPv6MinMTU && mtu <= int(i.mtu) {
		v.mtu = mtu
	}
	mac, told := m.Options().LinkLayer(wire.NDSourceLinkLayer)
	if n := i.neighbor(now, p.src); n != nil {
		s.updateNeighbor(now, n, NeighborUpdate{MAC: mac, KnownMAC: told, State: NeighborStale, Override: true, WeakOverride: true, Router: true, SetRouter: true})
		n.Router = true
	}
	for b := []byte(m.Options()); len(b) > 0; {
		o, rest, _ := wire.NextNDOption(b) // CheckND saw them all
		if prefix, ok := o.PrefixInformation(); ok {
			s.learnPrefix(now, i, prefix)
		}
		b = rest
	}
	s.scheduleLifetimes(i)
}

// setReachable takes a base reachable time, and draws from it (RFC 4861 6.3.4).
func (v *interfaceIPv6) setReachable(base sim.Duration, s *Stack) {
	if v.reachableBase == base {
		return
	}
	v.reachableBase = base
	v.reachable = s.rand().Between(base/2, base+base/2)
}

// learnRouter adds, keeps or removes a default router.
func (s *Stack) learnRouter(now sim.Time, i *Interface, addr netip.Addr, lifetime sim.Duration) {
	v := i.v6
	k := slices.IndexFunc(v.routers, func(r defaultRouter) bool { return r.addr == addr })
	switch {
	case lifetime == 0:
		s.forgetRouter(i, addr)
	case k >= 0:
		v.routers[k].until = now.Add(lifetime)
	default:
		v.routers = append(v.routers, defaultRouter{addr, now.Add(lifetime)})
		s.chooseRouter(i)
	}
}

// forgetRouter takes a router off the list (RFC 4861 6.3.5).
func (s *Stack) forgetRouter(i *Interface, addr netip.Addr) {
	if i.v6 == nil {
		return
	}
	i.v6.routers = slices.DeleteFunc(i.v6.routers, func(r defaultRouter) bool { return r.addr == addr })
	s.chooseRouter(i)
}

// forgetRouters empties the list.
func (s *Stack) forgetRouters(i *Interface) {
	i.v6.routers = nil
	s.chooseRouter(i)
}

// chooseRouter makes the interface's default route that of the best router: the
// first whose neighbour entry has not failed (RFC 4861 6.3.6).
func (s *Stack) chooseRouter(i *Interface) {
	var best netip.Addr
	for _, r := range i.v6.routers {
		if n := i.LookupNeighbor(r.addr); n == nil || n.State != NeighborFailed {
			best = r.addr
			break
		}
	}
	if !best.IsValid() && len(i.v6.routers) > 0 {
		// All have failed: each is tried in turn.
		i.v6.routers = append(i.v6.routers[1:], i.v6.routers[0])
		best = i.v6.routers[0].addr
	}
	isOurs := func(r *Route) bool {
		return r.Protocol == ProtocolRA && r.Interface == i && r.Prefix == defaultRouteIPv6
	}
	for _, r := range s.routes[1].list {
		if isOurs(r) && r.Gateway == best {
			return
		}
	}
	s.routes[1].removeFunc(isOurs)
	if best.IsValid() {
		// EEXIST: by hand there is a default route of the same metric, which goes first.
		_ = s.addRoute(Route{Prefix: defaultRouteIPv6, Gateway: best, Interface: i, Metric: raMetric, Protocol: ProtocolRA})
	}
}

// reachableRouter is r or, where its router has failed and there are others, the
// route that takes its place.
func (s *Stack) reachableRouter(r *Route) *Route {
	i := r.Interface
	if i.v6 == nil || len(i.v6.routers) < 2 {
		return r
	}
	if n := i.LookupNeighbor(r.Gateway); n == nil || n.State != NeighborFailed {
		return r
	}
	s.chooseRouter(i)
	if better := s.routes[1].lookup(r.Prefix.Addr(), i); better != nil {
		return better
	}
	return r
}

// learnPrefix takes a prefix information option (RFC 4861 6.3.4 for the L flag,
// RFC 4862 5.5.3 for the A flag; addrconf_prefix_rcv).
func (s *Stack) learnPrefix(now sim.Time, i *Interface, o wire.PrefixInformation) {
	prefix := o.Prefix.Masked()
	if prefix.Addr().IsLinkLocalUnicast() || prefix.Addr().IsMulticast() || o.PreferredSeconds > o.ValidSeconds {
		return
	}
	if o.OnLink {
		s.learnOnLink(now, i, prefix, o.ValidSeconds)
	}
	if o.Autonomous && s.sysctl.IPv6.Autoconf && prefix.Bits() == 64 { // RFC 2464 4: the identifier has 64 bits
		s.learnAddress(now, i, eui64(prefix, i.mac), o)
	}
}

// ends is the instant so many seconds from now.
func ends(now sim.Time, seconds uint32) sim.Time {
	if seconds == wire.Infinity {
		return sim.Never
	}
	return now.Add(time.Duration(seconds) * time.Second)
}

// learnOnLink adds, keeps or removes a prefix on the link.
func (s *Stack) learnOnLink(now sim.Time, i *Interface, prefix netip.Prefix, seconds uint32) {
	v := i.v6
	k := slices.IndexFunc(v.prefixes, func(p onLinkPrefix) bool { return p.prefix == prefix })
	switch {
	case seconds == 0 && k >= 0:
		s.forgetPrefix(i, k)
	case seconds == 0:
	case k >= 0:
		v.prefixes[k].until = ends(now, seconds)
	default:
		v.prefixes = append(v.prefixes, onLinkPrefix{prefix, ends(now, seconds)})
		// EEXIST: an address given by hand has made the route.
		_ = s.addRoute(Route{Prefix: prefix, Interface: i, Metric: prefixMetric, Protocol: ProtocolRA})
	}
}

// forgetPrefix takes the k-th prefix off the list, with its route.
func (s *Stack) forgetPrefix(i *Interface, k int) {
	prefix := i.v6.prefixes[k].prefix
	i.v6.prefixes = slices.Delete(i.v6.prefixes, k, k+1)
	s.routes[1].removeFunc(func(r *Route) bool {
		return r.Protocol == ProtocolRA && r.Interface == i && r.Prefix == prefix && !r.Gateway.IsValid()
	})
}

func (s *Stack) forgetPrefixes(i *Interface) {
	for len(i.v6.prefixes) > 0 {
		s.forgetPrefix(i, 0)
	}
}

// addressesMax is net.ipv6.conf.all.max_addresses.
const addressesMax = 16

// twoHours is the lifetime that an unauthenticated advertisement cannot shorten
// (RFC 4862 5.5.3 e).
const twoHours = 2 * time.Hour

// learnAddress makes an address of a prefix, or renews it.
func (s *Stack) learnAddress(now sim.Time, i *Interface, own netip.Prefix, o wire.PrefixInformation) {
	valid, preferred := ends(now, o.ValidSeconds), ends(now, o.PreferredSeconds)
	a := i.addressIPv6(own.Addr())
	if a == nil {
		if o.ValidSeconds == 0 || len(i.addresses) >= addressesMax {
			return
		}
		// It cannot fail: the interface does not have it.
		a, _ = i.AddAddress(now, AddressConfig{Prefix: own, NoPrefixRoute: true, ValidUntil: valid, PreferredUntil: preferred})
		a.Dynamic = true
		return
	}
	if !a.Dynamic {
		return
	}
	switch left := a.v6.validUntil.Sub(now); {
	case valid.Sub(now) > twoHours || valid > a.v6.validUntil:
		a.v6.validUntil = valid
	case left > twoHours:
		a.v6.validUntil = now.Add(twoHours)
	}
	a.v6.preferredUntil = min(preferred, a.v6.validUntil)
	if a.State == AddressDeprecated && now < a.v6.preferredUntil {
		a.State = AddressReady
	}
}

// lifetimes ends what routers gave for a time.
type lifetimes interfaceIPv6

// scheduleLifetimes sets the timer to the next end of a lifetime.
func (s *Stack) scheduleLifetimes(i *Interface) {
	next := sim.Never
	for _, r := range i.v6.routers {
		next = min(next, r.until)
	}
	for _, p := range i.v6.prefixes {
		next = min(next, p.until)
	}
	for _, a := range i.addresses {
		if a.v6 == nil {
			continue
		}
		if a.v6.validUntil != 0 {
			next = min(next, a.v6.validUntil)
		}
		if a.v6.preferredUntil != 0 && a.State == AddressReady {
			next = min(next, a.v6.preferredUntil)
		}
	}
	s.setTimer(&i.v6.life, next)
}

// Fire ends what is over.
func (l *lifetimes) Fire(now sim.Time) {
	i := l.iface
	s := i.stack
	for k := len(l.routers) - 1; k >= 0; k-- {
		if l.routers[k].until <= now {
			s.forgetRouter(i, l.routers[k].addr)
		}
	}
	for k := len(l.prefixes) - 1; k >= 0; k-- {
		if l.prefixes[k].until <= now {
			s.forgetPrefix(i, k)
		}
	}
	for k := len(i.addresses) - 1; k >= 0; k-- {
		switch a := i.addresses[k]; {
		case a.v6 == nil:
		case a.v6.validUntil != 0 && a.v6.validUntil <= now:
			i.RemoveAddress(now, a.Addr()) // cannot fail: it is in the list
		case a.State == AddressReady && a.v6.preferredUntil != 0 && a.v6.preferredUntil <= now:
			a.State = AddressDeprecated
		}
	}
	s.scheduleLifetimes(i)
}
