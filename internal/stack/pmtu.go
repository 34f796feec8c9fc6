package stack

import (
	"net/netip"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
)

// pathEntry is what was learned of the way to one destination (Linux: a FIB
// nexthop exception): its MTU (RFC 1191, RFC 8201) or a better router (redirect).
type pathEntry struct {
	mtu       int // 0: not known to be less than the interface's
	locked    bool
	mtuUntil  sim.Time
	gateway   netip.Addr
	gatewayTo sim.Time
}

// redirectLifetime is ip_rt_gc_timeout.
const redirectLifetime = 300 * time.Second

// path is what is known of the way to dst and still holds, or nil.
func (s *Stack) path(now sim.Time, dst netip.Addr) *pathEntry {
	e := s.paths[dst]
	if e == nil {
		return nil
	}
	if e.mtu != 0 && now >= e.mtuUntil {
		e.mtu, e.locked = 0, false
	}
	if e.gateway.IsValid() && now >= e.gatewayTo {
		e.gateway = netip.Addr{}
	}
	if e.mtu == 0 && !e.gateway.IsValid() {
		delete(s.paths, dst)
		return nil
	}
	return e
}

// makePath is the entry for dst, made if there is none.
func (s *Stack) makePath(dst netip.Addr) *pathEntry {
	if s.paths == nil {
		s.paths = map[netip.Addr]*pathEntry{}
	}
	e := s.paths[dst]
	if e == nil {
		e = &pathEntry{}
		s.paths[dst] = e
	}
	return e
}

// applyPath lets o go the way that was learned.
func (s *Stack) applyPath(now sim.Time, o *outgoing) {
	e := s.path(now, o.dst)
	if e == nil || o.cast != toHost {
		return
	}
	if e.mtu != 0 && e.mtu < o.mtu {
		o.mtu, o.locked = e.mtu, e.locked
	}
	if e.gateway.IsValid() {
		o.nextHop = e.gateway
	}
}

// learnMTU is __ip_rt_update_pmtu and ip6_rt_update_pmtu: a router says that it
// passes no more than mtu to dst. Below least (min_pmtu, 1280) it is not believed:
// the entry is locked there, and DF no longer set.
func (s *Stack) learnMTU(now sim.Time, dst netip.Addr, mtu, least int, lifetime sim.Duration) {
	e := s.path(now, dst)
	if e != nil && e.mtu != 0 && (e.locked || e.mtu < mtu) {
		return
	}
	e = s.makePath(dst)
	if mtu < least {
		mtu, e.locked = least, true
	}
	e.mtu, e.mtuUntil = mtu, now.Add(lifetime)
}

// PathMTU is the largest packet that fits the way to dst as far as is known, or
// 0 where there is no route.
func (s *Stack) PathMTU(now sim.Time, dst netip.Addr) int {
	o := outgoing{dst: dst, broadcast: true}
	if s.route(now, &o) != nil {
		return 0
	}
	return o.mtu
}
