package lab

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/subnet"
)

// routesMax is how long a computed table gets before it is shortened.
const routesMax = 256

// destination is a network to be reached, and the routers that stand on it.
type destination struct {
	prefix  netip.Prefix
	routers []int // in the order of the file
}

// neighbour is a router that stands on a segment of another.
type neighbour struct {
	router int
	mine   int     // interface to leave by
	theirs EndPlan // where it arrives
}

// routing is the work of computing routes for one address family.
type routing struct {
	*Plan
	is4          bool
	neighbours   [][]neighbour // by node; nil for what is no router
	destinations []destination
	owned        map[int][]netip.Prefix // blocks by router
}

// routes puts the given routes in place and computes the others: the fewest
// hops, ties broken by the order of the file.
func (p *Plan) routes() {
	for i := range p.Nodes {
		p.givenRoutes(&p.Nodes[i])
	}
	if p.Lab.Routing != RoutingAuto {
		return
	}
	for _, is4 := range []bool{true, false} {
		r := &routing{Plan: p, is4: is4, neighbours: make([][]neighbour, len(p.Nodes)), owned: map[int][]netip.Prefix{}}
		r.survey()
		for i := range p.Nodes {
			switch n := &p.Nodes[i]; {
			case n.Kind == Router:
				r.router(i)
			case n.isMachine():
				r.host(i)
			}
		}
	}
}

// givenRoutes takes gateway and routes from the file.
func (p *Plan) givenRoutes(n *NodePlan) {
	for _, g := range n.Gateway {
		if i := p.onLink(n, g); i >= 0 {
			n.Routes = append(n.Routes, RoutePlan{To: anywhere(g.Is4()), Via: g, Interface: i, Given: true})
		} else {
			p.noWay(n, g, Route{Pos: n.Pos}, "gateway")
		}
	}
	for _, r := range n.Node.Routes {
		planned := RoutePlan{To: r.To, Via: r.Via, Interface: -1, Metric: r.Metric, Type: r.Type, Given: true}
		switch {
		case r.Dev != "":
			if planned.Interface = p.interfaceNamed(n, r.Dev, r.Pos, "route"); planned.Interface < 0 {
				continue
			}
		case r.Via.IsValid():
			if planned.Interface = p.onLink(n, r.Via); planned.Interface < 0 {
				p.noWay(n, r.Via, r, "next router")
				continue
			}
		}
		n.Routes = append(n.Routes, planned)
	}
}

func (p *Plan) noWay(n *NodePlan, via netip.Addr, r Route, what string) {
	if n.incomplete {
		return
	}
	var networks []string
	for _, i := range n.Interfaces {
		for _, a := range i.Addr {
			networks = append(networks, a.Masked().String())
		}
	}
	m := p.found.Errorf(at(r.Pos, n.Pos), "the %s %s of %q is on no network of its own, so it cannot be reached", what, via, n.Name)
	if len(networks) > 0 && len(networks) <= 8 {
		m.Note("%q is on %s", n.Name, enumerate(networks))
	}
}

// onLink is the interface on whose network an address is, or -1.
func (p *Plan) onLink(n *NodePlan, a netip.Addr) int {
	return slices.IndexFunc(n.Interfaces, func(i InterfacePlan) bool {
		return a.Is6() && a.IsLinkLocalUnicast() ||
			slices.ContainsFunc(i.Addr, func(x netip.Prefix) bool { return x.Contains(a) })
	})
}

func anywhere(is4 bool) netip.Prefix {
	if is4 {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// address is an interface's first address of the family.
func (r *routing) address(e EndPlan) (netip.Prefix, bool) {
	for _, a := range r.interfaceOf(e).Addr {
		if a.Addr().Is4() == r.is4 {
			return a, true
		}
	}
	return netip.Prefix{}, false
}

// survey finds the routers' neighbours and the networks to be reached.
func (r *routing) survey() {
	leaf := r.blocks()
	for s := range r.Segments {
		segment := &r.Segments[s]
		prefix := segment.IPv6
		if r.is4 {
			prefix = segment.IPv4
		}
		var on []EndPlan
		for _, e := range segment.Members {
			if _, ok := r.address(e); ok && r.Nodes[e.Node].Kind == Router {
				on = append(on, e)
			}
		}
		for _, mine := range on {
			for _, theirs := range on {
				if mine.Node != theirs.Node {
					r.neighbours[mine.Node] = append(r.neighbours[mine.Node], neighbour{theirs.Node, mine.Interface, theirs})
				}
			}
		}
		if prefix.IsValid() && !leaf[s] && len(on) > 0 {
			r.destinations = append(r.destinations, destination{prefix, nodesOf(on)})
		}
	}
	for i := range r.Nodes {
		for _, b := range r.owned[i] {
			r.destinations = append(r.destinations, destination{b, []int{i}})
		}
		for _, a := range r.Nodes[i].Loopback {
			if r.Nodes[i].Kind == Router && a.Addr().Is4() == r.is4 {
				r.destinations = append(r.destinations, destination{a.Masked(), []int{i}})
			}
		}
	}
}

func nodesOf(ends []EndPlan) []int {
	var nodes []int
	for _, e := range ends {
		if !slices.Contains(nodes, e.Node) {
			nodes = append(nodes, e.Node)
		}
	}
	slices.Sort(nodes)
	return nodes
}

// blocks tells which segments others reach through a block of their router, and
// gives that router a route that ends what the block leaves empty: without it a
// packet there would go back by the default route and round (RFC 4632 5.1).
func (r *routing) blocks() map[int]bool {
	leaf := map[int]bool{}
	for i := range r.Nodes {
		for _, b := range r.Nodes[i].blocks {
			if b.Addr().Is4() != r.is4 {
				continue
			}
			r.owned[i] = append(r.owned[i], b)
			r.Nodes[i].Routes = append(r.Nodes[i].Routes, RoutePlan{To: b, Interface: -1, Type: Unreachable})
			for _, port := range r.Nodes[i].Interfaces {
				s := &r.Segments[port.Segment]
				if r.is4 && s.IPv4.IsValid() && b.Overlaps(s.IPv4) || !r.is4 && s.IPv6.IsValid() && b.Overlaps(s.IPv6) {
					leaf[port.Segment] = true
				}
			}
		}
	}
	return leaf
}

// paths is, from one router, how far every router is and the first step there.
type paths struct {
	hops  []int32 // -1: no way
	first []int32 // place in neighbours of the start
}

// from goes out from a router in rings. In each, routers are taken in the order
// of the file, so equal ways are settled by it.
func (r *routing) from(start int) paths {
	p := paths{make([]int32, len(r.Nodes)), make([]int32, len(r.Nodes))}
	for i := range p.hops {
		p.hops[i] = -1
	}
	p.hops[start] = 0
	queue := []int{start}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for k, n := range r.neighbours[at] {
			if p.hops[n.router] >= 0 {
				continue
			}
			p.hops[n.router] = p.hops[at] + 1
			p.first[n.router] = p.first[at]
			if at == start {
				p.first[n.router] = int32(k)
			}
			queue = append(queue, n.router)
		}
	}
	return p
}

// nearest is the router of a destination that the fewest hops lead to, or -1.
func (p paths) nearest(d destination) int {
	best := -1
	for _, router := range d.routers {
		if p.hops[router] >= 0 && (best < 0 || p.hops[router] < p.hops[best]) {
			best = router
		}
	}
	return best
}

// router computes one router's table.
func (r *routing) router(i int) {
	n := &r.Nodes[i]
	if len(r.neighbours[i]) == 0 {
		return
	}
	ways := r.from(i)
	var table []RoutePlan
	exits := map[netip.Addr]bool{}
	for _, d := range r.destinations {
		to := ways.nearest(d)
		if to < 0 || to == i {
			continue
		}
		step := r.neighbours[i][ways.first[to]]
		via, _ := r.address(step.theirs)
		exits[via.Addr()] = true
		table = append(table, RoutePlan{To: d.prefix, Via: via.Addr(), Interface: step.mine})
	}
	if len(table)+len(n.Interfaces) > routesMax {
		if len(exits) == 1 {
			table = []RoutePlan{{To: anywhere(r.is4), Via: table[0].Via, Interface: table[0].Interface}}
		} else {
			table = merge(table)
		}
	}
	n.add(table)
}

// add appends computed routes, but not where the file has given one.
func (n *NodePlan) add(table []RoutePlan) {
	for _, t := range table {
		if !slices.ContainsFunc(n.Routes, func(r RoutePlan) bool { return r.Given && r.To == t.To }) {
			n.Routes = append(n.Routes, t)
		}
	}
}

// merge makes one route of two siblings with the same next router, again and
// again: 10.0.0.0/24 and 10.0.1.0/24 are 10.0.0.0/23.
func merge(table []RoutePlan) []RoutePlan {
	slices.SortStableFunc(table, func(a, b RoutePlan) int { return a.To.Compare(b.To) })
	slices.SortStableFunc(table, func(a, b RoutePlan) int { return a.To.Addr().Compare(b.To.Addr()) })
	var merged []RoutePlan
	for _, t := range table {
		merged = append(merged, t)
		for len(merged) > 1 {
			a, b := merged[len(merged)-2], merged[len(merged)-1]
			parent, ok := subnet.Parent(a.To)
			if !ok || a.To == b.To || a.To.Bits() != b.To.Bits() || a.Via != b.Via || a.Interface != b.Interface || !parent.Contains(b.To.Addr()) {
				break
			}
			a.To = parent
			merged = append(merged[:len(merged)-2], a)
		}
	}
	return merged
}

// host computes a host's routes: by default to the first router it sees, and
// to those networks apart that another router of its own is nearer to.
func (r *routing) host(i int) {
	n := &r.Nodes[i]
	var steps []neighbour
	for j := range n.Interfaces {
		if _, ok := r.address(EndPlan{i, j}); !ok {
			continue // SLAAC brings its own default router
		}
		for _, e := range r.Segments[n.Interfaces[j].Segment].Members {
			if _, ok := r.address(e); ok && r.Nodes[e.Node].Kind == Router {
				steps = append(steps, neighbour{e.Node, j, e})
			}
		}
	}
	given := slices.ContainsFunc(n.Routes, func(x RoutePlan) bool { return x.Given && x.To == anywhere(r.is4) })
	if len(steps) == 0 || given {
		return
	}
	via, _ := r.address(steps[0].theirs)
	table := []RoutePlan{{To: anywhere(r.is4), Via: via.Addr(), Interface: steps[0].mine}}
	if slices.ContainsFunc(steps, func(s neighbour) bool { return s.router != steps[0].router }) {
		table = append(table, r.apart(n, steps)...)
	}
	n.add(table)
}

// apart lists the networks that another router than the first is nearer to.
func (r *routing) apart(n *NodePlan, steps []neighbour) []RoutePlan {
	ways := make([]paths, len(steps))
	for k, s := range steps {
		ways[k] = r.from(s.router)
	}
	var table []RoutePlan
	for _, d := range r.destinations {
		if slices.ContainsFunc(n.Interfaces, func(i InterfacePlan) bool {
			return r.Segments[i.Segment].IPv4 == d.prefix || r.Segments[i.Segment].IPv6 == d.prefix
		}) {
			continue
		}
		best, hops := 0, int32(-1)
		for k := range steps {
			if to := ways[k].nearest(d); to >= 0 && (hops < 0 || ways[k].hops[to] < hops) {
				best, hops = k, ways[k].hops[to]
			}
		}
		if hops >= 0 && steps[best].router != steps[0].router {
			via, _ := r.address(steps[best].theirs)
			table = append(table, RoutePlan{To: d.prefix, Via: via.Addr(), Interface: steps[best].mine})
		}
	}
	if len(table) > routesMax {
		return merge(table)
	}
	return table
}
