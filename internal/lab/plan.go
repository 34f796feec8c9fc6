package lab

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/wire"
)

// Plan is a lab with everything worked out that the file leaves open. All of it
// is in the order of the file, and things name each other by their place in it.
type Plan struct {
	Lab      *Lab
	Nodes    []NodePlan
	Links    []LinkPlan
	Segments []Segment

	found  diag.List
	byName map[string]int
}

// NodePlan is one machine.
type NodePlan struct {
	*Node
	Interfaces []InterfacePlan // a switch's or hub's are its ports
	Loopback   []netip.Prefix  // given addresses of lo
	Routes     []RoutePlan     // beside the connected ones
	UsesIPv6   bool

	blocks     []netip.Prefix // what its cables to single hosts are drawn from
	incomplete bool           // an address of it is wrong, so what depends on them is not judged
}

// InterfacePlan is one interface of a node, or one port of a switch or hub.
type InterfacePlan struct {
	Name      string
	MAC       wire.MAC // zero for ports
	Link, End int      // Plan.Links[Link].Ends[End] is this
	Segment   int
	MTU       int            // the largest IP packet it may send
	Addr      []netip.Prefix // IPv4 first; IPv6 link-local ones are not in it
	SLAAC     bool           // makes an IPv6 address from router advertisements
	Advertise []netip.Prefix // prefixes that this router advertises here
}

// LinkPlan is one link.
type LinkPlan struct {
	*Link
	Ends     []EndPlan
	Settings []link.Settings // of what each end sends
}

// EndPlan is where a link is plugged in: Plan.Nodes[Node].Interfaces[Interface].
type EndPlan struct{ Node, Interface int }

// Segment is one broadcast domain: all interfaces that hear each other's ARP,
// over any number of links, switches and hubs.
type Segment struct {
	Name    string
	Links   []int
	Bridges []int     // the switches and hubs in it
	Members []EndPlan // the interfaces of hosts and routers on it
	IPv4    netip.Prefix
	IPv6    netip.Prefix
	Cable   bool // nothing but one cable between two machines
}

// RoutePlan is one route of a node.
type RoutePlan struct {
	To        netip.Prefix
	Via       netip.Addr // invalid: on the link, or nowhere
	Interface int        // -1: nowhere
	Metric    uint32
	Type      RouteType
	Given     bool // by the file; others are computed
}

// NewPlan works out interfaces, segments, addresses and routes. The list tells
// what does not go together, with places in the file where the lab was read
// from one; the plan is fit to build when it has no errors.
func NewPlan(l *Lab) (*Plan, diag.List) {
	p := &Plan{Lab: l, byName: map[string]int{}}
	if p.found = l.complete(nil); !p.found.HasErrors() {
		p.interfaces()
		p.segments()
		p.addresses()
		p.routes()
	}
	p.found.Sort()
	l.Quote(p.found)
	return p, p.found
}

// Node is the place of a node in Nodes, or -1.
func (p *Plan) Node(name string) int {
	if i, ok := p.byName[name]; ok {
		return i
	}
	return -1
}

// Interface is the place of a node's interface, or -1.
func (n *NodePlan) Interface(name string) int {
	return slices.IndexFunc(n.Interfaces, func(i InterfacePlan) bool { return i.Name == name })
}

func (n *NodePlan) isMachine() bool { return n.Kind != Switch && n.Kind != Hub }

// interfaces plugs every link in, names what has no name and numbers the MAC
// addresses, node by node.
func (p *Plan) interfaces() {
	for i := range p.Lab.Nodes {
		n := &p.Lab.Nodes[i]
		p.byName[n.Name] = i
		p.Nodes = append(p.Nodes, NodePlan{Node: n})
	}
	for i := range p.Lab.Links {
		k := &p.Lab.Links[i]
		forward, backward := p.Lab.LinkSettings(k)
		made := LinkPlan{Link: k}
		for e, end := range k.Ends {
			node := p.byName[end.Node]
			n := &p.Nodes[node]
			settings := forward
			if e == 1 && len(k.Ends) == 2 {
				settings = backward
			}
			mtu := settings.MTU
			if mtu == 0 {
				mtu = 1500
			}
			if other := n.Interface(end.Interface); end.Interface != "" && other >= 0 {
				p.found.Errorf(at(end.Pos, k.Pos), "%s of %q is plugged in already", end.Interface, end.Node).
					See(p.Links[n.Interfaces[other].Link].Pos, "by this link")
			}
			made.Ends = append(made.Ends, EndPlan{node, len(n.Interfaces)})
			made.Settings = append(made.Settings, settings)
			n.Interfaces = append(n.Interfaces, InterfacePlan{Name: end.Interface, Link: i, End: e, MTU: mtu})
		}
		p.Links = append(p.Links, made)
	}
	for i := range p.Nodes {
		p.Nodes[i].nameInterfaces()
	}
	p.macs()
}

// nameInterfaces gives the unnamed ones the first free eth0, eth1, ...; ports
// the first free 1, 2, ...
func (n *NodePlan) nameInterfaces() {
	taken := map[string]bool{}
	for _, i := range n.Interfaces {
		taken[i.Name] = true
	}
	next := 0
	for i := range n.Interfaces {
		for n.Interfaces[i].Name == "" {
			name := "eth" + strconv.Itoa(next)
			if !n.isMachine() {
				name = strconv.Itoa(next + 1)
			}
			if next++; !taken[name] {
				n.Interfaces[i].Name = name
			}
		}
	}
}

// macs gives every interface of a machine its address: the given one, else the
// next of 02:00:00:00:00:01 and so on, which are locally administered.
func (p *Plan) macs() {
	given := map[wire.MAC]bool{}
	for i := range p.Nodes {
		n := &p.Nodes[i]
		for _, m := range n.MAC {
			if j := p.interfaceNamed(n, m.Interface, m.Pos, "MAC address"); j >= 0 {
				n.Interfaces[j].MAC = m.MAC
				given[m.MAC] = true
			}
		}
	}
	next := uint32(0)
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if !n.isMachine() {
			continue
		}
		for j := range n.Interfaces {
			for n.Interfaces[j].MAC == (wire.MAC{}) {
				next++
				mac := wire.MAC{2, 0, 0, byte(next >> 16), byte(next >> 8), byte(next)}
				if !given[mac] {
					n.Interfaces[j].MAC = mac
				}
			}
		}
	}
}

// interfaceNamed finds the interface that a setting is for; "" is the only one.
func (p *Plan) interfaceNamed(n *NodePlan, name string, pos diag.Position, what string) int {
	names := make([]string, len(n.Interfaces))
	for i := range n.Interfaces {
		names[i] = n.Interfaces[i].Name
	}
	pos = at(pos, n.Pos)
	switch i := n.Interface(name); {
	case i >= 0:
		return i
	case len(names) == 0:
		p.found.Errorf(pos, "%q has no link that its %s could be used on", n.Name, what)
	case name == "" && len(names) == 1:
		return 0
	case name == "":
		p.found.Errorf(pos, "%q has %d interfaces; say which one has this %s, as in { %s: ... }", n.Name, len(names), what, names[0])
	default:
		m := p.found.Errorf(pos, "%q has no interface %q: no link is plugged in there", n.Name, name).Suggest(name, names)
		if m.Suggestion == "" && len(names) <= 8 {
			m.Note("it has %s", enumerate(names))
		}
	}
	return -1
}

// segments joins links over switches and hubs into broadcast domains, in the
// order of their first link.
func (p *Plan) segments() {
	parent := make([]int, len(p.Links))
	for i := range parent {
		parent[i] = i
	}
	find := func(i int) int {
		for parent[i] != i {
			parent[i] = parent[parent[i]]
			i = parent[i]
		}
		return i
	}
	for i := range p.Nodes {
		if n := &p.Nodes[i]; !n.isMachine() {
			for _, port := range n.Interfaces {
				a, b := find(n.Interfaces[0].Link), find(port.Link)
				parent[max(a, b)] = min(a, b) // the first link stays the root
			}
		}
	}
	number := map[int]int{}
	for i := range p.Links {
		root := find(i)
		s, known := number[root]
		if !known {
			s = len(p.Segments)
			number[root] = s
			p.Segments = append(p.Segments, Segment{})
		}
		p.Segments[s].Links = append(p.Segments[s].Links, i)
		for _, e := range p.Links[i].Ends {
			p.Nodes[e.Node].Interfaces[e.Interface].Segment = s
			if p.Nodes[e.Node].isMachine() {
				p.Segments[s].Members = append(p.Segments[s].Members, e)
			}
		}
	}
	for i := range p.Nodes {
		if n := &p.Nodes[i]; !n.isMachine() && len(n.Interfaces) > 0 {
			s := &p.Segments[n.Interfaces[0].Segment]
			s.Bridges = append(s.Bridges, i)
		}
	}
	for i := range p.Segments {
		s := &p.Segments[i]
		s.Cable = len(s.Links) == 1 && len(s.Members) == 2 && len(s.Bridges) == 0
		s.Name = p.Links[s.Links[0]].Name
		if len(s.Bridges) > 0 {
			s.Name = p.Nodes[s.Bridges[0]].Name
		}
	}
}

// interfaceOf is the interface that an end names.
func (p *Plan) interfaceOf(e EndPlan) *InterfacePlan { return &p.Nodes[e.Node].Interfaces[e.Interface] }

// endName names an interface as lab files do: h1:eth0.
func (p *Plan) endName(e EndPlan) string {
	return fmt.Sprintf("%s:%s", p.Nodes[e.Node].Name, p.interfaceOf(e).Name)
}
