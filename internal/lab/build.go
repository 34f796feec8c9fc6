package lab

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hopyard/hopyard/internal/ether"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/node"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// Network is a lab that has been built: the machines and links that run.
// Everything in it belongs to the kernel.
type Network struct {
	Plan     *Plan
	Kernel   *sim.Kernel
	Recorder *record.Recorder // nil: nothing is recorded
	Pool     *wire.Pool

	Nodes []Machine    // by their place in Plan.Nodes
	Links []*link.Link // by their place in Plan.Links

	failed []bool // nodes
	cut    []bool // links
}

// Machine is a node that has been built; one of the pointers is set.
type Machine struct {
	Host   *node.Host // a host or a router
	Switch *node.Switch
	Hub    *node.Hub
}

// receiver is the machine as a link sees it.
func (m Machine) receiver() link.Receiver {
	switch {
	case m.Host != nil:
		return m.Host
	case m.Switch != nil:
		return m.Switch
	}
	return m.Hub
}

// Build makes a network of a plan that has no errors. Its links and machines
// tell rec, which may be nil, what happens. The network is at rest until Start.
func Build(p *Plan, rec *record.Recorder) *Network {
	n := &Network{
		Plan: p, Kernel: sim.New(), Recorder: rec, Pool: &wire.Pool{},
		Nodes: make([]Machine, 0, len(p.Nodes)), Links: make([]*link.Link, 0, len(p.Links)),
		failed: make([]bool, len(p.Nodes)), cut: make([]bool, len(p.Links)),
	}
	b := &builder{Network: n, lookup: p.LookupHost, sysctls: map[sysctlKind]*stack.Sysctl{}}
	if rec != nil {
		b.tap = rec
	}
	for i := range p.Nodes {
		b.node(i)
	}
	for i := range p.Links {
		b.link(i)
	}
	for i := range p.Nodes {
		b.plug(i)
	}
	return n
}

// LookupHost is the addresses that a name of the lab stands for: for a node all
// its addresses in the order of its interfaces, for node:interface those of one.
// It reads the plan alone, so any goroutine may call it.
func (p *Plan) LookupHost(name string) (found []netip.Addr) {
	if name == "localhost" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1})}
	}
	name, port, one := strings.Cut(name, ":")
	i := p.Node(name)
	if i < 0 {
		return nil
	}
	n := &p.Nodes[i]
	if !one {
		for _, lo := range n.Loopback {
			found = append(found, lo.Addr())
		}
	}
	for _, itf := range n.Interfaces {
		if one && itf.Name != port {
			continue
		}
		for _, a := range itf.Addr {
			found = append(found, a.Addr())
		}
	}
	return found
}

// builder is what Build needs on the way.
type builder struct {
	*Network
	lookup  func(name string) []netip.Addr // one for all machines
	tap     link.Tap                       // nil where nothing is recorded
	sysctls map[sysctlKind]*stack.Sysctl
	places  [][]int // of each link's ends
}

// sysctlKind is what makes the settings of machines that set none differ.
type sysctlKind struct{ router, ipv6 bool }

func (b *builder) place(p record.Place) int {
	if b.Recorder == nil {
		return 0
	}
	return b.Recorder.AddPlace(p)
}

// node makes a machine without its links.
func (b *builder) node(i int) {
	p := &b.Plan.Nodes[i]
	origin := b.Kernel.NewOrigin(p.Name)
	place := b.place(record.Place{Node: p.Name})
	var m Machine
	switch p.Kind {
	case Switch:
		m.Switch = node.NewSwitch(origin, ether.SwitchConfig{Tap: b.tap, Place: place})
	case Hub:
		m.Hub = node.NewHub(origin, ether.HubConfig{Tap: b.tap, Place: place})
	default:
		s := stack.New(stack.Config{
			Name: p.Name, ID: origin.ID(), Seed: b.Plan.Lab.Seed, Pool: b.Pool, Tap: b.tap, Place: place, Sysctl: b.sysctl(p),
		})
		m.Host = node.NewHost(origin, s, b.lookup)
	}
	b.Nodes = append(b.Nodes, m)
}

// link joins machines.
func (b *builder) link(i int) {
	p := &b.Plan.Links[i]
	cfg := link.Config{Name: p.Name, Seed: b.Plan.Lab.Seed, Tap: b.tap}
	var places []int
	for k, e := range p.Ends {
		n := &b.Plan.Nodes[e.Node]
		itf := &n.Interfaces[e.Interface]
		place := b.place(record.Place{Node: n.Name, Port: itf.Name, MAC: itf.MAC, RateBitsPerSecond: p.Settings[k].RateBitsPerSecond})
		places = append(places, place)
		m := b.Nodes[e.Node]
		cfg.Ends = append(cfg.Ends, link.EndConfig{
			Origin: m.Origin(), Receiver: m.receiver(), Port: e.Interface, Place: place, Settings: p.Settings[k],
		})
	}
	b.places = append(b.places, places)
	b.Links = append(b.Links, link.New(cfg))
}

// Origin is the machine in the order of events.
func (m Machine) Origin() *sim.Origin {
	switch {
	case m.Host != nil:
		return m.Host.Origin()
	case m.Switch != nil:
		return m.Switch.Origin()
	}
	return m.Hub.Origin()
}

// plug gives a machine its ports, in the order of its interfaces.
func (b *builder) plug(i int) {
	m := b.Nodes[i]
	for _, itf := range b.Plan.Nodes[i].Interfaces {
		end := b.Links[itf.Link].End(itf.End)
		switch {
		case m.Switch != nil:
			m.Switch.AddPort(itf.Name, end)
		case m.Hub != nil:
			m.Hub.AddPort(end)
		default:
			m.Host.AddPort(m.Host.Stack().AddInterface(stack.InterfaceConfig{
				Name: itf.Name, MAC: itf.MAC, MTU: itf.MTU, Out: end, Place: b.places[itf.Link][itf.End],
			}))
		}
	}
}

// Start switches every interface on and gives it its addresses, routes and
// services, as a machine's start-up scripts do. Kernel only.
func (n *Network) Start(now sim.Time) error {
	for i := range n.Plan.Nodes {
		if h := n.Nodes[i].Host; h != nil {
			if err := n.startHost(now, &n.Plan.Nodes[i], h); err != nil {
				return fmt.Errorf("node %q: %w", n.Plan.Nodes[i].Name, err)
			}
			h.Settle(now)
		}
	}
	return nil
}

func (n *Network) startHost(now sim.Time, p *NodePlan, h *node.Host) error {
	s := h.Stack()
	for _, c := range p.Sysctl {
		if err := s.SetSysctl(c.Name, c.Value); err != nil {
			return fmt.Errorf("sysctl %s=%s: %w", c.Name, c.Value, err)
		}
	}
	for _, a := range p.Loopback {
		if _, err := s.Interface("lo").AddAddress(now, stack.AddressConfig{Prefix: a}); err != nil {
			return fmt.Errorf("address %s on lo: %w", a, err)
		}
	}
	for _, itf := range p.Interfaces {
		i := s.Interface(itf.Name)
		for _, a := range itf.Addr {
			if _, err := i.AddAddress(now, stack.AddressConfig{Prefix: a, Detect: p.DAD != nil && *p.DAD}); err != nil {
				return fmt.Errorf("address %s on %s: %w", a, itf.Name, err)
			}
		}
		i.SetUp(now, true)
		if len(itf.Advertise) > 0 {
			i.Advertise(now, &stack.RouterAdvertising{})
		}
	}
	for _, r := range p.Routes {
		if err := s.AddRoute(r.route(p, s)); err != nil {
			return fmt.Errorf("route to %s: %w", r.To, err)
		}
	}
	for _, v := range p.Services {
		if err := node.StartService(h, v.Name, v.Port); err != nil {
			return fmt.Errorf("service %s: %w", v.Name, err)
		}
	}
	return nil
}

var routeTypes = map[RouteType]stack.RouteType{
	"": stack.RouteUnicast, Unicast: stack.RouteUnicast, Blackhole: stack.RouteBlackhole, Unreachable: stack.RouteUnreachable, Prohibit: stack.RouteProhibit,
}

// route is the plan's route as the stack takes it.
func (r *RoutePlan) route(p *NodePlan, s *stack.Stack) stack.Route {
	route := stack.Route{Prefix: r.To, Gateway: r.Via, Metric: r.Metric, Type: routeTypes[r.Type]}
	if r.Interface >= 0 {
		route.Interface = s.Interface(p.Interfaces[r.Interface].Name)
	}
	return route
}

// Host is the host or router of that name, or nil.
func (n *Network) Host(name string) *node.Host {
	if i := n.Plan.Node(name); i >= 0 {
		return n.Nodes[i].Host
	}
	return nil
}

// FailNode switches a node off or on again: all its links go down with it, so
// its neighbours see no carrier. Kernel only.
func (n *Network) FailNode(now sim.Time, i int, failed bool) {
	n.failed[i] = failed
	for _, itf := range n.Plan.Nodes[i].Interfaces {
		n.carrier(now, itf.Link)
	}
}

// CutLink cuts a link or mends it. Kernel only.
func (n *Network) CutLink(now sim.Time, i int, cut bool) {
	n.cut[i] = cut
	n.carrier(now, i)
}

// carrier has a link up if it is not cut and all its nodes work.
func (n *Network) carrier(now sim.Time, i int) {
	up := !n.cut[i]
	for _, e := range n.Plan.Links[i].Ends {
		up = up && !n.failed[e.Node]
	}
	n.Links[i].SetUp(now, up)
}

// sysctl is the settings that a machine starts from, shared by all of its kind.
func (b *builder) sysctl(p *NodePlan) *stack.Sysctl {
	kind := sysctlKind{router: p.Kind == Router, ipv6: p.UsesIPv6}
	if b.sysctls[kind] == nil {
		s := stack.DefaultSysctl()
		s.IPForward = kind.router
		s.IPv6.Disable, s.IPv6.Forwarding = !kind.ipv6, kind.router
		b.sysctls[kind] = s
	}
	return b.sysctls[kind]
}
