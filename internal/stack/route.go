package stack

import (
	"cmp"
	"net/netip"
	"slices"
	"syscall"
)

// RouteType is what a route does with a packet.
type RouteType uint8

// The types of a route, as ip route has them.
const (
	RouteUnicast     RouteType = iota
	RouteLocal                 // delivered on this machine
	RouteBroadcast             // sent as a broadcast
	RouteBlackhole             // dropped in silence; EINVAL to a local sender
	RouteUnreachable           // ICMP host unreachable; EHOSTUNREACH
	RouteProhibit              // ICMP prohibited; EACCES
)

var routeTypeNames = [...]string{"unicast", "local", "broadcast", "blackhole", "unreachable", "prohibit"}

// String names the type as ip route does.
func (t RouteType) String() string { return routeTypeNames[t] }

// RouteProtocol says who made a route.
type RouteProtocol uint8

// Who makes routes, as ip route has them.
const (
	ProtocolStatic   RouteProtocol = iota // by hand
	ProtocolKernel                        // connected
	ProtocolRA                            // from a router advertisement
	ProtocolRedirect                      // from an ICMP redirect
	ProtocolDynamic                       // from a routing protocol
)

var routeProtocolNames = [...]string{"static", "kernel", "ra", "redirect", "dynamic"}

// String names the maker as ip route does.
func (p RouteProtocol) String() string { return routeProtocolNames[p] }

// Route is an entry of the routing table, of either family. What forwarding reads
// comes first, so that it is one cache line more often than not.
type Route struct {
	Gateway   netip.Addr // unset: on the link
	Interface *Interface // nil: found by the gateway, or none needed
	Metric    uint32
	MTU       uint16 // 0: the interface's
	Type      RouteType
	Protocol  RouteProtocol
	Prefix    netip.Prefix
	Source    netip.Addr // preferred source; unset: chosen
}

// compareRoutes is the order of look-up and of views: longest prefix, address,
// metric. IPv6 has routes of one metric through several interfaces, as every
// interface has fe80::/64.
func compareRoutes(a, b *Route) int {
	c := cmp.Or(cmp.Compare(b.Prefix.Bits(), a.Prefix.Bits()), a.Prefix.Addr().Compare(b.Prefix.Addr()), cmp.Compare(a.Metric, b.Metric))
	if c != 0 || a.Prefix.Addr().Is4() || a.Interface == nil || b.Interface == nil {
		return c
	}
	return cmp.Compare(a.Interface.index, b.Interface.index)
}

// AddRoute adds a route, as ip route add does: EEXIST where the prefix has one of
// that metric, ENETUNREACH where the gateway is not on a connected network,
// ENETDOWN where the interface is down.
func (s *Stack) AddRoute(r Route) error {
	if err := s.completeRoute(&r); err != nil {
		return err
	}
	return s.addRoute(r)
}

// ReplaceRoute adds a route, or takes the place of the one with its prefix and
// metric, as ip route replace does.
func (s *Stack) ReplaceRoute(r Route) error {
	if err := s.completeRoute(&r); err != nil {
		return err
	}
	s.routes[family(r.Prefix.Addr())].removeFunc(func(o *Route) bool { return o.Prefix == r.Prefix && o.Metric == r.Metric })
	return s.addRoute(r)
}

// RemoveRoute takes the route of that prefix and metric away; ESRCH where there
// is none.
func (s *Stack) RemoveRoute(p netip.Prefix, metric uint32) error {
	p = p.Masked()
	if !s.routes[family(p.Addr())].removeFunc(func(r *Route) bool { return r.Prefix == p && r.Metric == metric }) {
		return syscall.ESRCH
	}
	return nil
}

// Routes are the routes of both families, IPv4 first, longest prefix first; the
// machine's own addresses are not among them.
func (s *Stack) Routes() []*Route {
	list := slices.Concat(s.routes[0].list, s.routes[1].list)
	slices.SortStableFunc(list, func(a, b *Route) int {
		return cmp.Or(cmp.Compare(family(a.Prefix.Addr()), family(b.Prefix.Addr())), compareRoutes(a, b))
	})
	return list
}

// completeRoute checks a route and finds its interface by the gateway.
func (s *Stack) completeRoute(r *Route) error {
	r.Prefix = r.Prefix.Masked()
	if !r.Prefix.IsValid() {
		return syscall.EINVAL
	}
	if r.Type != RouteUnicast {
		return nil
	}
	if r.Gateway.IsValid() && !r.Gateway.IsLinkLocalUnicast() {
		via := s.routes[family(r.Gateway)].lookup(r.Gateway, r.Interface)
		if via == nil || via.Type != RouteUnicast || via.Gateway.IsValid() || s.IsLocal(r.Gateway) {
			return syscall.ENETUNREACH // fib_check_nh: the gateway must be on a link
		}
		r.Interface = via.Interface
	}
	if r.Interface == nil {
		return syscall.ENODEV
	}
	if !r.Interface.up {
		return syscall.ENETDOWN
	}
	return nil
}

func (s *Stack) addRoute(r Route) error { return s.routes[family(r.Prefix.Addr())].add(&r) }

func (s *Stack) removeRoutesOf(i *Interface) {
	for k := range s.routes {
		s.routes[k].removeFunc(func(r *Route) bool { return r.Interface == i })
	}
}

// routeTable is the routes of one family. A host has two or three, so they are a
// sorted slice; beyond routesSmall a finder finds the prefix.
type routeTable struct {
	list   []*Route
	finder routeFinder // nil while list is sorted and short
}

// routeFinder finds routes by the longest prefix, then the least metric.
type routeFinder interface {
	insert(r *Route) bool // false: there is one of its prefix and metric
	remove(r *Route)
	lookup(a netip.Addr, only *Interface) *Route
}

const routesSmall = 12

func (t *routeTable) add(r *Route) error {
	if t.finder != nil {
		if !t.finder.insert(r) {
			return syscall.EEXIST
		}
		t.list = append(t.list, r)
		return nil
	}
	k, found := slices.BinarySearchFunc(t.list, r, compareRoutes)
	if found {
		return syscall.EEXIST
	}
	t.list = slices.Insert(t.list, k, r)
	if len(t.list) > routesSmall {
		t.build()
	}
	return nil
}

// build makes the finder.
func (t *routeTable) build() {
	t.finder = &prefixRoutes{}
	if any := t.list[0].Prefix.Addr(); any.Is6() {
		t.finder = &routeNode{prefix: netip.PrefixFrom(any, 0).Masked()}
	}
	for _, r := range t.list {
		t.finder.insert(r)
	}
}

// removeFunc removes the routes that gone names and reports whether there were any.
func (t *routeTable) removeFunc(gone func(*Route) bool) bool {
	before := len(t.list)
	t.list = slices.DeleteFunc(t.list, func(r *Route) bool {
		is := gone(r)
		if is && t.finder != nil {
			t.finder.remove(r)
		}
		return is
	})
	if t.finder != nil && len(t.list) <= routesSmall/2 {
		t.finder = nil
		slices.SortFunc(t.list, compareRoutes)
	}
	return len(t.list) != before
}

// lookup finds the route of the longest prefix, then of the least metric. With
// only set, routes through other interfaces do not count.
func (t *routeTable) lookup(a netip.Addr, only *Interface) *Route {
	if t.finder != nil {
		return t.finder.lookup(a, only)
	}
	for _, r := range t.list {
		if r.Prefix.Contains(a) && (only == nil || r.Interface == only) {
			return r
		}
	}
	return nil
}

// routeNode is a node of a path-compressed binary trie, which finds IPv6 routes. Its children's prefixes
// are longer than its own and begin with it.
type routeNode struct {
	prefix   netip.Prefix
	routes   []*Route // by metric; empty where the trie only forks
	children [2]*routeNode
}

// bit is bit n of an IPv6 address, from the left.
func bit(a netip.Addr, n int) int {
	b := a.As16()
	return int(b[n>>3]>>(7-n&7)) & 1
}

// insert adds r below n, whose prefix r's begins with; false if it is there.
func (n *routeNode) insert(r *Route) bool {
	for n.prefix.Bits() < r.Prefix.Bits() {
		side := &n.children[bit(r.Prefix.Addr(), n.prefix.Bits())]
		switch {
		case *side == nil:
			*side = &routeNode{prefix: r.Prefix}
		case !contains((*side).prefix, r.Prefix):
			fork := &routeNode{prefix: fork((*side).prefix, r.Prefix)}
			fork.children[bit((*side).prefix.Addr(), fork.prefix.Bits())] = *side
			*side = fork
		}
		n = *side
	}
	k, found := slices.BinarySearchFunc(n.routes, r, compareRoutes)
	if !found {
		n.routes = slices.Insert(n.routes, k, r)
	}
	return !found
}

// contains reports whether all of q lies in p.
func contains(p, q netip.Prefix) bool { return p.Bits() <= q.Bits() && p.Contains(q.Addr()) }

// fork is the longest prefix that both begin with.
func fork(p, q netip.Prefix) netip.Prefix {
	n := 0
	for n < min(p.Bits(), q.Bits()) && bit(p.Addr(), n) == bit(q.Addr(), n) {
		n++
	}
	return netip.PrefixFrom(p.Addr(), n).Masked()
}

// remove takes r out; nodes stay, for routes that go tend to come again.
func (n *routeNode) remove(r *Route) {
	for n != nil && n.prefix != r.Prefix && contains(n.prefix, r.Prefix) && n.prefix.Bits() < r.Prefix.Bits() {
		n = n.children[bit(r.Prefix.Addr(), n.prefix.Bits())]
	}
	if n != nil && n.prefix == r.Prefix {
		n.routes = slices.DeleteFunc(n.routes, func(o *Route) bool { return o == r })
	}
}

func (n *routeNode) lookup(a netip.Addr, only *Interface) (best *Route) {
	for n != nil && n.prefix.Contains(a) {
		for _, r := range n.routes {
			if only == nil || r.Interface == only {
				best = r
				break
			}
		}
		if n.prefix.Bits() == a.BitLen() {
			break
		}
		n = n.children[bit(a, n.prefix.Bits())]
	}
	return best
}
