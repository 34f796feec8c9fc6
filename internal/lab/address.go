package lab

import (
	"math/bits"
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/subnet"
)

// Where addresses come from when the lab does not say: RFC 1918 space, halved,
// and a unique local prefix (RFC 4193).
var (
	defaultLAN   = netip.MustParsePrefix("10.0.0.0/9")
	defaultCable = netip.MustParsePrefix("10.128.0.0/9")
	defaultIPv6  = netip.MustParsePrefix("fd00::/48")
)

const (
	lanBits   = 24
	cableBits = 30
	ipv6Bits  = 64

	// A router with more cables to single hosts than this gets one block for all
	// of them, so that the others need one route to it.
	blockCablesMin = 8
)

// addressing is the work of drawing addresses.
type addressing struct {
	*Plan
	lan, cable, ipv6 *subnet.Pool
	blocks4, blocks6 map[int]*subnet.Pool // by router, for its cables to single hosts
}

// addresses places those given, then draws the rest, segment by segment.
func (p *Plan) addresses() {
	p.useIPv6()
	p.placeGiven()
	var taken []netip.Prefix
	for i := range p.Nodes {
		for j := range p.Nodes[i].Interfaces {
			for _, a := range p.Nodes[i].Interfaces[j].Addr {
				taken = append(taken, a.Masked())
			}
		}
		taken = append(taken, p.Nodes[i].Loopback...)
	}
	pool := func(given, usual netip.Prefix) *subnet.Pool {
		if !given.IsValid() {
			given = usual
		}
		return subnet.NewPool(given, taken)
	}
	a := &addressing{
		Plan: p, lan: pool(p.Lab.Pools.LAN, defaultLAN), cable: pool(p.Lab.Pools.Cable, defaultCable), ipv6: pool(p.Lab.Pools.IPv6, defaultIPv6),
		blocks4: map[int]*subnet.Pool{}, blocks6: map[int]*subnet.Pool{},
	}
	a.reserve()
	for s := range p.Segments {
		p.checkGiven(s)
		a.draw4(s)
		a.draw6(s)
	}
	p.duplicates()
	p.overlaps()
}

// useIPv6 settles who speaks IPv6: what a node says, else the lab. A router that
// says nothing does when anyone does, or there would be no way between them.
func (p *Plan) useIPv6() {
	anyone := false
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if !n.isMachine() {
			continue
		}
		mode := n.mode(p.Lab)
		n.UsesIPv6 = mode == IPv6On || mode == IPv6SLAAC
		for _, a := range n.Addr {
			if a.SLAAC || slices.ContainsFunc(a.Prefixes, func(x netip.Prefix) bool { return x.Addr().Is6() }) {
				n.UsesIPv6 = true
			}
		}
		anyone = anyone || n.UsesIPv6
	}
	for i := range p.Nodes {
		if n := &p.Nodes[i]; n.Kind == Router && n.mode(p.Lab) == IPv6Unset && anyone {
			n.UsesIPv6 = true
		}
	}
}

func (n *NodePlan) mode(l *Lab) IPv6 {
	if n.IPv6 != IPv6Unset {
		return n.IPv6
	}
	return l.IPv6
}

// placeGiven puts the given addresses on their interfaces.
func (p *Plan) placeGiven() {
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for _, a := range n.Addr {
			pos := n.Pos
			if len(a.Pos) > 0 {
				pos = a.Pos[0]
			}
			if a.Interface == "lo" {
				n.Loopback = append(n.Loopback, a.Prefixes...)
				continue
			}
			j := p.interfaceNamed(n, a.Interface, pos, "address")
			if j < 0 {
				n.incomplete = true
				continue
			}
			to := &n.Interfaces[j]
			to.SLAAC = to.SLAAC || a.SLAAC
			for k, prefix := range a.Prefixes {
				if p.usable(prefix, a.position(k, n.Pos)) {
					to.Addr = append(to.Addr, prefix)
				} else {
					n.incomplete = true
				}
			}
		}
		for j := range n.Interfaces {
			to := &n.Interfaces[j]
			to.SLAAC = to.SLAAC || n.isMachine() && n.Kind != Router && n.mode(p.Lab) == IPv6SLAAC && !has(to.Addr, false)
			slices.SortStableFunc(to.Addr, func(a, b netip.Prefix) int { return family(a.Addr().Is4()) - family(b.Addr().Is4()) })
		}
	}
}

func (a *Addresses) position(i int, otherwise diag.Position) diag.Position {
	if i < len(a.Pos) {
		return a.Pos[i]
	}
	return otherwise
}

// usable refuses an address that no interface takes, and warns of one that no
// host should have: what comes of that is worth a lab.
func (p *Plan) usable(a netip.Prefix, pos diag.Position) bool {
	before := len(p.found)
	switch {
	case a.Addr().IsMulticast():
		p.found.Errorf(pos, "%s is a multicast address; an interface needs one of its own", a.Addr())
	case a.Addr().IsUnspecified():
		p.found.Errorf(pos, "%s means \"no address\"", a.Addr())
	case a.Addr().IsLoopback():
		p.found.Errorf(pos, "%s is the loopback's, which every machine has by itself", a.Addr())
	case !subnet.Usable(a, a.Addr()) && a.Addr().Is4() && a.Addr() == subnet.Last(a):
		p.found.Warnf(pos, "%s is the broadcast address of %s, not a host's", a.Addr(), a.Masked())
	case !subnet.Usable(a, a.Addr()) && a.Addr().Is4():
		p.found.Warnf(pos, "%s names the network %s itself, and is not a host's", a.Addr(), a.Masked())
	}
	return !p.found[before:].HasErrors()
}

func has(addresses []netip.Prefix, is4 bool) bool {
	return slices.ContainsFunc(addresses, func(a netip.Prefix) bool { return a.Addr().Is4() == is4 })
}

// givenPosition is where an address was given, for a message.
func (p *Plan) givenPosition(e EndPlan, address netip.Prefix) diag.Position {
	n := &p.Nodes[e.Node]
	for i := range n.Addr {
		for k, a := range n.Addr[i].Prefixes {
			if a == address && (n.Addr[i].Interface == "" || n.Addr[i].Interface == p.interfaceOf(e).Name) {
				return n.Addr[i].position(k, n.Pos)
			}
		}
	}
	return n.Pos
}

// checkGiven settles the prefixes of a segment from the addresses given on it,
// and warns of those that are of no network of another: they cannot talk.
func (p *Plan) checkGiven(s int) {
	segment := &p.Segments[s]
	for _, is4 := range []bool{true, false} {
		var first EndPlan
		var network netip.Prefix
		for _, e := range segment.Members {
			for _, a := range p.interfaceOf(e).Addr {
				if a.Addr().Is4() != is4 {
					continue
				}
				switch {
				case !network.IsValid():
					network, first = a.Masked(), e
				case a.Masked() == network || e == first:
				case a.Overlaps(network):
					p.found.Warnf(p.givenPosition(e, a), "%s has %s, whose network is %s, on the segment where %s says %s", p.endName(e), a, a.Masked(), p.endName(first), network).
						Note("they do not agree on how long the network part is, so one may take the other for far away")
				default:
					p.found.Warnf(p.givenPosition(e, a), "%s has %s on the segment of %s, where %s has %s", p.endName(e), a, segment.Name, p.endName(first), network).
						Note("machines of two networks on one segment cannot reach each other without a router")
				}
			}
		}
		if is4 {
			segment.IPv4 = network
		} else {
			segment.IPv6 = network
		}
	}
}

// reserve sets aside one block for each router with many cables to single hosts.
func (a *addressing) reserve() {
	counts := map[int]int{}
	for s := range a.Segments {
		if r, ok := a.leafCable(s); ok {
			counts[r]++
		}
	}
	for r := range a.Nodes {
		n := counts[r]
		if n <= blockCablesMin {
			continue
		}
		extra := bits.Len(uint(n - 1))
		if prefix, ok := a.cable.Next(cableBits - extra); ok {
			a.blocks4[r] = subnet.NewPool(prefix, nil)
			a.Nodes[r].blocks = append(a.Nodes[r].blocks, prefix)
		}
		if a.Nodes[r].UsesIPv6 {
			if prefix, ok := a.ipv6.Next(ipv6Bits - extra); ok {
				a.blocks6[r] = subnet.NewPool(prefix, nil)
				a.Nodes[r].blocks = append(a.Nodes[r].blocks, prefix)
			}
		}
	}
}

// leafCable is the router of a cable to a host that has no other way, with no
// address given on it.
func (a *addressing) leafCable(s int) (router int, ok bool) {
	segment := &a.Segments[s]
	if !segment.Cable {
		return 0, false
	}
	hosts := 0
	for _, e := range segment.Members {
		if has(a.interfaceOf(e).Addr, true) {
			return 0, false
		}
		if a.Nodes[e.Node].Kind == Router {
			router = e.Node
		} else if len(a.Nodes[e.Node].Interfaces) == 1 {
			hosts++
		}
	}
	return router, hosts == 1 && a.Nodes[segment.Members[0].Node].Kind != a.Nodes[segment.Members[1].Node].Kind
}

// next draws a prefix for a segment: of its router's block, else of the pool.
func (a *addressing) next(s int, blocks map[int]*subnet.Pool, pool *subnet.Pool, length int) (netip.Prefix, bool) {
	if r, leaf := a.leafCable(s); leaf && blocks[r] != nil {
		if prefix, ok := blocks[r].Next(length); ok {
			return prefix, true
		}
	}
	return pool.Next(length)
}

func (a *addressing) draw4(s int) {
	segment := &a.Segments[s]
	wanting := a.wanting(segment, func(e EndPlan) bool { return !has(a.interfaceOf(e).Addr, true) })
	if len(wanting) == 0 {
		return
	}
	if !segment.IPv4.IsValid() {
		var ok bool
		length, pool := lanBits, a.lan
		if segment.Cable {
			length, pool = cableBits, a.cable
		} else if need := bits.Len(uint(len(segment.Members) + 1)); need > 32-lanBits {
			length = 32 - need // the network's and the broadcast address count too
		}
		if segment.IPv4, ok = a.next(s, a.blocks4, pool, length); !ok {
			a.found.Errorf(a.Links[segment.Links[0]].Pos, "the pool has no /%d left for the segment of %s", length, segment.Name).
				Note("give a larger one under pools, or give addresses")
			return
		}
	}
	a.give(segment, segment.IPv4, wanting)
}

func (a *addressing) draw6(s int) {
	segment := &a.Segments[s]
	hosts, all := 0, len(segment.Members) > 0
	for _, e := range segment.Members {
		n := &a.Nodes[e.Node]
		if n.UsesIPv6 && n.Kind != Router {
			hosts++
		}
		all = all && n.UsesIPv6
	}
	if hosts == 0 && !all {
		return
	}
	if !segment.IPv6.IsValid() {
		var ok bool
		if segment.IPv6, ok = a.next(s, a.blocks6, a.ipv6, ipv6Bits); !ok {
			a.found.Errorf(a.Links[segment.Links[0]].Pos, "the IPv6 pool has no /64 left for the segment of %s", segment.Name).
				Note("give a larger one under pools: ipv6")
			return
		}
	}
	a.give(segment, segment.IPv6, a.wanting(segment, func(e EndPlan) bool {
		i := a.interfaceOf(e)
		return a.Nodes[e.Node].UsesIPv6 && !i.SLAAC && !has(i.Addr, false)
	}))
	a.advertise(segment)
}

// wanting lists the interfaces that need an address: those of routers first.
func (a *addressing) wanting(s *Segment, needs func(EndPlan) bool) []EndPlan {
	var routers, hosts []EndPlan
	for _, e := range s.Members {
		switch {
		case !needs(e):
		case a.Nodes[e.Node].Kind == Router:
			routers = append(routers, e)
		default:
			hosts = append(hosts, e)
		}
	}
	return append(routers, hosts...)
}

// give hands out the lowest free addresses of a prefix.
func (a *addressing) give(s *Segment, prefix netip.Prefix, wanting []EndPlan) {
	taken := map[netip.Addr]bool{}
	for _, e := range s.Members {
		for _, x := range a.interfaceOf(e).Addr {
			taken[x.Addr()] = true
		}
	}
	next := uint64(0)
	for _, e := range wanting {
		for {
			address, ok := subnet.Host(prefix, next)
			if !ok {
				a.found.Errorf(a.Links[s.Links[0]].Pos, "%s has no address left for %s", prefix, a.endName(e)).Note("it holds too few hosts; give a shorter prefix length")
				return
			}
			if next++; subnet.Usable(prefix, address) && !taken[address] {
				i := a.interfaceOf(e)
				i.Addr = append(i.Addr, netip.PrefixFrom(address, prefix.Bits()))
				break
			}
		}
	}
}

// advertise makes routers send router advertisements: where they are told to,
// else where a host wants to make its address from one.
func (a *addressing) advertise(s *Segment) {
	wanted := slices.ContainsFunc(s.Members, func(e EndPlan) bool { return a.interfaceOf(e).SLAAC })
	for _, e := range s.Members {
		n := &a.Nodes[e.Node]
		if n.Kind == Router && n.UsesIPv6 && (n.RAdv != nil && *n.RAdv || n.RAdv == nil && wanted) {
			a.interfaceOf(e).Advertise = []netip.Prefix{s.IPv6}
		}
	}
}

// duplicates warns of one address at two interfaces: on one segment it is a
// conflict, elsewhere a network in two places.
func (p *Plan) duplicates() {
	owner := map[netip.Addr]EndPlan{}
	for i := range p.Nodes {
		for j := range p.Nodes[i].Interfaces {
			e := EndPlan{i, j}
			for _, a := range p.interfaceOf(e).Addr {
				if first, taken := owner[a.Addr()]; taken {
					p.found.Warnf(p.givenPosition(e, a), "%s has the address %s, and so has %s", p.endName(e), a.Addr(), p.endName(first)).
						See(p.givenPosition(first, a), "first here")
					continue
				}
				owner[a.Addr()] = e
			}
		}
	}
}

// overlaps warns of segments whose networks hold each other's addresses.
func (p *Plan) overlaps() {
	type placed struct {
		prefix  netip.Prefix
		segment int
	}
	var all []placed
	for s := range p.Segments {
		for _, x := range []netip.Prefix{p.Segments[s].IPv4, p.Segments[s].IPv6} {
			if x.IsValid() {
				all = append(all, placed{x, s})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b placed) int { return a.prefix.Compare(b.prefix) })
	widest := placed{}
	for _, x := range all {
		if widest.prefix.IsValid() && widest.prefix.Overlaps(x.prefix) {
			p.found.Warnf(p.Links[p.Segments[x.segment].Links[0]].Pos, "the network %s of %s overlaps %s of %s", x.prefix, p.Segments[x.segment].Name, widest.prefix, p.Segments[widest.segment].Name).
				Note("a router takes the longer prefix, and for one of the two it will be wrong")
			continue
		}
		widest = x
	}
}
