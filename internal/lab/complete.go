package lab

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"syscall"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/stack"
)

// checker completes a lab and finds what is wrong between its parts: names that
// are not declared, settings that do not go together.
type checker struct {
	*Lab
	found  diag.List
	nodes  map[string]*Node
	groups map[string]*Group
	links  map[string]*Link
	broken map[diag.Position]bool // things that the reader could not make out in full, and has told of
}

// complete fills in what the file leaves to rules that need no addresses: seed,
// what nodes share with their group, kinds, the short form and names of links.
// It may be called again, and judges nothing that is broken.
func (l *Lab) complete(broken map[diag.Position]bool) diag.List {
	c := &checker{Lab: l, nodes: map[string]*Node{}, groups: map[string]*Group{}, links: map[string]*Link{}, broken: broken}
	if l.Seed == 0 {
		l.Seed = 1
	}
	if l.Routing == "" {
		l.Routing = RoutingAuto
	}
	c.declare()
	if len(l.Nodes) == 0 {
		c.found.Errorf(l.Pos, "the lab has no nodes").Note("give it some, as in nodes: { h1: { kind: host }, h2: { kind: host } }")
		return c.found
	}
	for i := range l.Nodes {
		c.node(&l.Nodes[i])
	}
	for i := range l.Links {
		c.link(&l.Links[i])
	}
	c.nameLinks()
	c.timeline()
	c.pools()
	return c.found
}

// declare lists what has a name, and tells of names that are given twice.
func (c *checker) declare() {
	for i := range c.Groups {
		g := &c.Groups[i]
		if first := c.groups[g.Name]; first != nil {
			c.found.Errorf(g.Pos, "a group named %q is there already", g.Name).See(first.Pos, "here")
			continue
		}
		c.groups[g.Name] = g
	}
	for i := range c.Nodes {
		n := &c.Nodes[i]
		if first := c.nodes[n.Name]; first != nil {
			c.found.Errorf(n.Pos, "a node named %q is there already", n.Name).See(first.Pos, "here")
			continue
		}
		if g := c.groups[n.Name]; g != nil {
			c.found.Errorf(n.Pos, "%q is the name of a group too; commands could not tell them apart", n.Name).See(g.Pos, "the group")
		}
		c.nodes[n.Name] = n
	}
}

func (c *checker) nodeNames() []string {
	names := make([]string, len(c.Nodes))
	for i := range c.Nodes {
		names[i] = c.Nodes[i].Name
	}
	return names
}

func (c *checker) groupNames() []string {
	names := make([]string, len(c.Groups))
	for i := range c.Groups {
		names[i] = c.Groups[i].Name
	}
	return names
}

func (c *checker) linkNames() []string {
	names := make([]string, len(c.Links))
	for i := range c.Links {
		names[i] = c.Links[i].Name
	}
	return names
}

// node takes over what the group says, then checks what goes together.
func (c *checker) node(n *Node) {
	if n.Group != "" {
		g := c.groups[n.Group]
		if g == nil {
			c.found.Errorf(n.Pos, "node %q is in group %q, which is not under groups", n.Name, n.Group).Suggest(n.Group, c.groupNames())
		} else {
			inherit(&n.Settings, &g.Settings)
		}
	}
	if n.Kind == "" {
		n.Kind = Host
	}
	if n.Kind == Switch || n.Kind == Hub {
		c.layer2(n)
		return
	}
	if n.RAdv != nil && *n.RAdv && n.Kind != Router {
		c.found.Errorf(n.Pos, "node %q is a %s; only a router sends router advertisements (radv)", n.Name, n.Kind)
	}
	families := [2]bool{}
	for _, g := range n.Gateway {
		if families[family(g.Is4())] {
			c.found.Errorf(n.Pos, "node %q has two gateways of one kind; give the second as a route with its metric", n.Name)
		}
		families[family(g.Is4())] = true
	}
	for i := range n.Routes {
		c.route(&n.Routes[i])
	}
	c.sysctls(n)
}

// sysctls checks names and values against what a machine has.
func (c *checker) sysctls(n *Node) {
	for _, s := range n.Sysctl {
		err := stack.DefaultSysctl().Set(s.Name, s.Value)
		switch {
		case errors.Is(err, syscall.ENOENT):
			c.found.Errorf(s.Pos, "unknown sysctl %q", s.Name).Suggest(s.Name, stack.SysctlNames())
		case err != nil:
			c.found.Errorf(s.Pos, "sysctl %s: %v", s.Name, err)
		}
	}
}

// inherit copies what the node does not say itself.
func inherit(to, from *Settings) {
	into, source := reflect.ValueOf(to).Elem(), reflect.ValueOf(from).Elem()
	for i := range into.NumField() {
		if into.Field(i).IsZero() {
			into.Field(i).Set(source.Field(i))
		}
	}
}

func family(is4 bool) int {
	if is4 {
		return 0
	}
	return 1
}

// layer2 refuses what a switch or a hub, which has no address, cannot have.
func (c *checker) layer2(n *Node) {
	for _, s := range []struct {
		key string
		set bool
	}{
		{"addr", len(n.Addr) > 0},
		{"mac", len(n.MAC) > 0},
		{"gateway", len(n.Gateway) > 0},
		{"routes", len(n.Routes) > 0},
		{"sysctl", len(n.Sysctl) > 0},
		{"services", len(n.Services) > 0},
		{"dad", n.DAD != nil},
		{"radv", n.RAdv != nil},
		{"ipv6", n.IPv6 != IPv6Unset},
	} {
		if s.set {
			c.found.Errorf(n.Pos, "node %q is a %s, which works on layer 2 and has no %q", n.Name, n.Kind, s.key)
		}
	}
}

func (c *checker) route(r *Route) {
	special := r.Type != "" && r.Type != Unicast
	switch {
	case c.broken[r.Pos]:
	case !r.To.IsValid():
		c.found.Errorf(r.Pos, "a route needs `to`: where it leads, as in to: 10.2.0.0/16 or to: default")
	case r.Via.IsValid() && r.To.Addr().Is4() != r.Via.Is4():
		c.found.Errorf(r.Pos, "a route to %s cannot go via %s: one is IPv4, the other IPv6", r.To, r.Via)
	case special && (r.Via.IsValid() || r.Dev != ""):
		c.found.Errorf(r.Pos, "a %s route leads nowhere: it takes no via and no dev", r.Type)
	case !special && !r.Via.IsValid() && r.Dev == "":
		c.found.Errorf(r.Pos, "a route needs `via`, the next router, or `dev`, the interface to leave by")
	}
	r.To = r.To.Masked()
}

// link finds the ends of the short form and checks that all are declared.
func (c *checker) link(k *Link) {
	if k.short != "" {
		k.Ends = c.resolveShort(k)
		k.short = ""
	}
	if len(k.Ends) == 1 {
		c.found.Errorf(k.Pos, "a link joins two nodes or more; this names only %q", k.Ends[0].Node)
	}
	seen := map[End]bool{}
	for _, e := range k.Ends {
		if c.nodes[e.Node] == nil {
			c.undeclared(at(e.Pos, k.Pos), e.Node)
		}
		key := End{Node: e.Node, Interface: e.Interface}
		if e.Interface != "" && seen[key] || len(k.Ends) == 2 && k.Ends[0].Node == k.Ends[1].Node && seen[key] {
			c.found.Errorf(at(e.Pos, k.Pos), "both ends of this link are at %s", e.Node)
		}
		seen[key] = true
	}
	if len(k.Ends) > 2 && k.Impairments.differ() {
		c.found.Errorf(k.Pos, "a segment of %d nodes has no directions: give one value, or use cables and a switch", len(k.Ends))
	}
	if m := k.MTU; m.ForwardSet && (m.Forward < 68 || m.Forward > 65535) || m.BackwardSet && (m.Backward < 68 || m.Backward > 65535) {
		c.found.Errorf(k.Pos, "an MTU is from 68 (RFC 791) to 65535 bytes")
	}
}

func (c *checker) undeclared(at diag.Position, name string) {
	m := c.found.Errorf(at, "there is no node %q under nodes", name).Suggest(name, c.nodeNames())
	if m.Suggestion == "" {
		m.Note("declare it, as in nodes: { %s: { kind: host } }", name)
	}
}

func at(first, second diag.Position) diag.Position {
	if first.IsValid() {
		return first
	}
	return second
}

// differ reports whether any setting is given for one direction alone, or
// otherwise than the other.
func (i Impairments) differ() bool {
	v := reflect.ValueOf(i)
	for _, d := range v.Fields() {
		if d.FieldByName("ForwardSet").Bool() != d.FieldByName("BackwardSet").Bool() ||
			!reflect.DeepEqual(d.FieldByName("Forward").Interface(), d.FieldByName("Backward").Interface()) {
			return true
		}
	}
	return false
}

// resolveShort splits h1-sw1 at the dash that leaves two declared nodes: names
// may hold dashes themselves.
func (c *checker) resolveShort(k *Link) []End {
	var whole, part [][2]string
	for i, r := range k.short {
		if r != '-' {
			continue
		}
		left, right := strings.TrimSpace(k.short[:i]), strings.TrimSpace(k.short[i+1:])
		known := 0
		for _, side := range []string{left, right} {
			name, port, named := strings.Cut(side, ":")
			if c.nodes[name] != nil && (!named || interfacePattern.MatchString(port)) {
				known++
			}
		}
		switch {
		case known == 2:
			whole = append(whole, [2]string{left, right})
		case left != "" && right != "":
			part = append(part, [2]string{left, right})
			if known == 1 {
				part[0], part[len(part)-1] = part[len(part)-1], part[0]
			}
		}
	}
	switch {
	case len(whole) > 1:
		c.found.Errorf(k.Pos, "%q can be read as %s to %s or as %s to %s", k.short, whole[0][0], whole[0][1], whole[1][0], whole[1][1]).
			Note("write it as a list: [%s, %s]", whole[0][0], whole[0][1])
		return nil
	case len(whole) == 0 && len(part) == 0:
		c.found.Errorf(k.Pos, "want two nodes with a dash between, as in h1-sw1; this is %q", k.short)
		return nil
	case len(whole) == 0:
		whole = part
	}
	var ends []End
	for _, side := range whole[0] {
		name, port, _ := strings.Cut(side, ":")
		ends = append(ends, End{Node: name, Interface: port, Pos: k.Pos})
	}
	return ends
}

// nameLinks gives those that have no name theirs, a-b; the second between the
// same nodes is a-b-2.
func (c *checker) nameLinks() {
	for i := range c.Links {
		k := &c.Links[i]
		if k.Name == "" {
			continue
		}
		if first := c.links[k.Name]; first != nil {
			c.found.Errorf(k.Pos, "a link named %q is there already", k.Name).See(first.Pos, "here")
			continue
		}
		if n := c.nodes[k.Name]; n != nil {
			c.found.Errorf(k.Pos, "%q is the name of a node too; events could not tell them apart", k.Name).See(n.Pos, "the node")
		}
		c.links[k.Name] = k
	}
	for i := range c.Links {
		k := &c.Links[i]
		if k.Name != "" {
			continue
		}
		var names []string
		for _, e := range k.Ends {
			names = append(names, e.Node)
		}
		base := strings.Join(names, "-")
		k.Name = base
		for n := 2; c.links[k.Name] != nil || c.nodes[k.Name] != nil; n++ {
			k.Name = fmt.Sprintf("%s-%d", base, n)
		}
		c.links[k.Name] = k
	}
}

// findLink looks a link up by its name, from either side: sw-h1 is h1-sw.
func (l *Lab) findLink(name string) int {
	if i := slices.IndexFunc(l.Links, func(k Link) bool { return k.Name == name }); i >= 0 {
		return i
	}
	return slices.IndexFunc(l.Links, func(k Link) bool {
		return len(k.Ends) == 2 && k.Ends[1].Node+"-"+k.Ends[0].Node == name
	})
}

// LinkNamed is the link of that name, or of its two nodes in either order; nil
// when there is none.
func (l *Lab) LinkNamed(name string) *Link {
	if i := l.findLink(name); i >= 0 {
		return &l.Links[i]
	}
	return nil
}

// NodesNamed are the nodes that a name means: one, or those of a group.
func (l *Lab) NodesNamed(name string) []*Node {
	var all []*Node
	for i := range l.Nodes {
		if n := &l.Nodes[i]; n.Name == name || n.Group == name && name != "" {
			all = append(all, n)
		}
	}
	return all
}
