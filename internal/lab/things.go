package lab

import (
	"net/netip"
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// lab reads the top of a file, or what is under topology.
func (r *reader) lab(l *Lab, n *yaml.Node) {
	if n = r.resolve(n); n == nil {
		return
	}
	if n.Kind != yaml.MappingNode {
		r.errorf(r.at(n), "a lab is a map with nodes and links; this is %s", describe(n))
		return
	}
	if r.depth++; r.depth > depthMax {
		r.errorf(r.at(n), "values nest deeper than %d levels", depthMax)
		r.full = true
		return
	}
	defer func() { r.depth-- }()
	var own []pair
	pairs := r.pairs(n)
	for _, p := range pairs {
		switch p.key.Value {
		case "include":
			r.include(l, p.value)
		case "topology":
		default:
			// A key that starts with x- is the author's own: a place for anchors.
			if !strings.HasPrefix(p.key.Value, "x-") {
				own = append(own, p)
			}
		}
	}
	r.keys(reflect.ValueOf(l).Elem(), own)
	for _, p := range pairs {
		if p.key.Value == "topology" {
			r.lab(l, p.value)
		}
	}
}

// namePattern keeps names usable in links (no colon), paths and commands.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]{0,62}$`)

// interfacePattern is what Linux takes, without the characters that lab files
// use themselves (IFNAMSIZ is 16 with the final zero).
var interfacePattern = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_./]{0,14}$`)

func (r *reader) name(n *yaml.Node, what string) bool {
	if namePattern.MatchString(n.Value) {
		return true
	}
	r.errorf(r.at(n), "%q cannot be the name of a %s: want letters, digits, - and _, at most 63", n.Value, what)
	return false
}

// named reads a map from names to settings; a list holds names without any.
func (r *reader) named(n *yaml.Node, what string, each func(key, value *yaml.Node)) {
	switch n.Kind {
	case yaml.MappingNode:
		for _, p := range r.pairs(n) {
			if r.name(p.key, what) {
				each(p.key, p.value)
			}
		}
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if item = r.resolve(item); item == nil {
				return
			} else if item.Kind != yaml.ScalarNode {
				r.errorf(r.at(item), "want the name of a %s; this is %s", what, describe(item))
			} else if r.name(item, what) {
				each(item, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Line: item.Line, Column: item.Column})
			}
		}
	default:
		if !isNull(n) {
			r.errorf(r.at(n), "want a map from the name of each %s to its settings; this is %s", what, describe(n))
		}
	}
}

func readNodes(r *reader, v *[]Node, n *yaml.Node) {
	r.named(n, "node", func(key, value *yaml.Node) {
		node := Node{Name: key.Value, Pos: r.at(key)}
		r.value(reflect.ValueOf(&node).Elem(), value)
		*v = append(*v, node)
	})
}

func readGroups(r *reader, v *[]Group, n *yaml.Node) {
	r.named(n, "group", func(key, value *yaml.Node) {
		group := Group{Name: key.Value, Pos: r.at(key)}
		r.value(reflect.ValueOf(&group).Elem(), value)
		*v = append(*v, group)
	})
}

func readLinks(r *reader, v *[]Link, n *yaml.Node) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.errorf(r.at(n), "links is a list, one line for each, as in `- h1-sw1`; this is %s", describe(n))
		return
	}
	for _, item := range n.Content {
		if item = r.resolve(item); item == nil {
			return
		}
		k := Link{Pos: r.at(item)}
		switch item.Kind {
		case yaml.ScalarNode:
			k.short = item.Value
		case yaml.SequenceNode:
			r.value(reflect.ValueOf(&k.Ends).Elem(), item)
		default:
			r.linkMap(&k, item)
		}
		*v = append(*v, k)
	}
}

// linkMap reads the map form. Its ends come first wherever they stand, because
// directions are named after them.
func (r *reader) linkMap(k *Link, n *yaml.Node) {
	pairs := r.pairs(n)
	for _, p := range pairs {
		if p.key.Value == "endpoints" || p.key.Value == "ends" || p.key.Value == "nodes" {
			r.value(reflect.ValueOf(&k.Ends).Elem(), p.value)
			if len(k.Ends) == 1 && p.value.Kind == yaml.ScalarNode {
				k.short, k.Pos, k.Ends = p.value.Value, r.at(p.value), nil
			}
			break
		}
	}
	ends, short := k.Ends, k.short
	if len(ends) == 2 {
		r.ends = [2]string{ends[0].Node, ends[1].Node}
	}
	before := len(r.found)
	r.keys(reflect.ValueOf(k).Elem(), pairs)
	r.ends = [2]string{}
	k.Ends, k.short = ends, short
	if len(ends) == 0 && short == "" && len(r.found) == before {
		r.errorf(k.Pos, "a link needs endpoints: the nodes that it joins, as in endpoints: [h1, sw1]")
	}
}

func readEnd(r *reader, v *End, n *yaml.Node) {
	s, ok := r.word(n, "a node, or node:interface")
	v.Pos = r.at(n)
	if ok {
		v.Node, v.Interface, _ = strings.Cut(s, ":")
		if strings.HasSuffix(s, ":") || v.Interface != "" && !interfacePattern.MatchString(v.Interface) {
			r.errorf(v.Pos, "%q cannot be the name of an interface: want letters, digits and . _ /, at most 15", v.Interface)
			v.Interface = ""
		}
	}
}

// perInterface reads one value for the only interface, or a map from
// interfaces to values.
func (r *reader) perInterface(n *yaml.Node, each func(name string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		each("", n)
		return
	}
	for _, p := range r.pairs(n) {
		if !interfacePattern.MatchString(p.key.Value) {
			r.errorf(r.at(p.key), "%q cannot be the name of an interface: want letters, digits and . _ /, at most 15", p.key.Value)
			continue
		}
		if value := r.resolve(p.value); value != nil {
			each(p.key.Value, value)
		}
	}
}

func readAddresses(r *reader, v *[]Addresses, n *yaml.Node) {
	r.perInterface(n, func(name string, value *yaml.Node) {
		items := []*yaml.Node{value}
		if value.Kind == yaml.SequenceNode {
			items = value.Content
		}
		a := Addresses{Interface: name}
		for _, item := range items {
			if item = r.resolve(item); item == nil {
				return
			}
			s, ok := r.word(item, "an address with its prefix length, such as 10.0.0.1/24")
			if !ok {
				continue
			}
			if s == "slaac" {
				a.SLAAC = true
			} else if p, ok := r.prefix(r.at(item), s); ok {
				a.Prefixes, a.Pos = append(a.Prefixes, p), append(a.Pos, r.at(item))
			}
		}
		*v = append(*v, a)
	})
}

func readMACs(r *reader, v *[]MACAddress, n *yaml.Node) {
	r.perInterface(n, func(name string, value *yaml.Node) {
		m := MACAddress{Interface: name, Pos: r.at(value)}
		if readMAC(r, &m.MAC, value) {
			*v = append(*v, m)
		}
	})
}

func readSysctls(r *reader, v *[]Sysctl, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.errorf(r.at(n), "sysctl takes a map, as in { net.ipv4.ip_forward: 1 }; this is %s", describe(n))
		return
	}
	for _, p := range r.pairs(n) {
		value := r.resolve(p.value)
		if value == nil {
			return
		}
		if s, ok := r.word(value, "a value"); ok {
			// Linux takes net/ipv4/ip_forward too.
			*v = append(*v, Sysctl{strings.ReplaceAll(p.key.Value, "/", "."), s, r.at(p.key)})
		}
	}
}

// readServices reads a list of names, or a map from names to settings.
func readServices(r *reader, v *[]Service, n *yaml.Node) {
	one := func(key, value *yaml.Node) {
		s := Service{Name: key.Value, Pos: r.at(key)}
		if why := refusal(reflect.TypeFor[Service](), s.Name); why != "" {
			r.errorf(s.Pos, "%s", why)
			return
		}
		if _, known := servicePorts[s.Name]; !known {
			r.errorf(s.Pos, "unknown service %q", s.Name).Suggest(s.Name, serviceNames()).Note("there are %s", enumerate(serviceNames()))
			return
		}
		r.value(reflect.ValueOf(&s).Elem(), value)
		if s.Port == 0 {
			s.Port = servicePorts[s.Name]
		}
		*v = append(*v, s)
	}
	if n.Kind == yaml.ScalarNode && !isNull(n) {
		n = &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{n}, Line: n.Line, Column: n.Column}
	}
	r.named(n, "service", one)
}

// servicePorts are the services there are, with the port of each.
var servicePorts = map[string]uint16{
	"echo":    7, // RFC 862
	"discard": 9, // RFC 863
}

func serviceNames() []string { return []string{"echo", "discard"} }

// readChecks reads a map from names to an expression or to its settings.
func readChecks(r *reader, v *[]Check, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		if !isNull(n) {
			r.errorf(r.at(n), "validate takes a map from the name of each check to its expression; this is %s", describe(n))
		}
		return
	}
	for _, p := range r.pairs(n) {
		value := r.resolve(p.value)
		if value == nil {
			return
		}
		c := Check{Name: p.key.Value, Pos: r.at(value), Points: 1}
		if value.Kind == yaml.MappingNode {
			for _, q := range r.pairs(value) {
				if q.key.Value == "expect" || q.key.Value == "check" {
					c.Pos = r.at(q.value)
				}
			}
			r.value(reflect.ValueOf(&c).Elem(), value)
		} else if s, ok := r.word(value, "an expression"); ok {
			c.Expect = s
		} else {
			continue
		}
		*v = append(*v, c)
	}
}

func readRuns(r *reader, v *[]Run, n *yaml.Node)     { readList(r, v, n, "run") }
func readEvents(r *reader, v *[]Event, n *yaml.Node) { readList(r, v, n, "events") }

// readList reads a list that adds to what an included file has given.
func readList[T any](r *reader, v *[]T, n *yaml.Node, what string) {
	if isNull(n) {
		return
	}
	if n.Kind != yaml.SequenceNode {
		r.errorf(r.at(n), "%s is a list, one line for each, as in `- { at: 1s, ... }`; this is %s", what, describe(n))
		return
	}
	for _, item := range n.Content {
		var fresh T
		if item = r.resolve(item); item == nil {
			return
		} else if isNull(item) {
			r.errorf(r.at(item), "this item of %s is empty", what)
			continue
		}
		r.value(reflect.ValueOf(&fresh).Elem(), item)
		*v = append(*v, fresh)
	}
}

// readRoute reads a route, whose `to` may be "default" or an address alone, as
// `ip route` takes them.
func readRoute(r *reader, v *Route, n *yaml.Node) {
	if n.Kind != yaml.MappingNode {
		r.errorf(r.at(n), "a route takes a map, as in { to: 10.2.0.0/16, via: 10.0.0.254 }; this is %s", describe(n))
		return
	}
	v.Pos = r.at(n)
	before, pairs, isDefault := len(r.found), r.pairs(n), false
	for i, p := range pairs {
		if p.key.Value != "to" && p.key.Value != "dst" && p.key.Value != "destination" {
			continue
		}
		to := *p.value
		if a, err := netip.ParseAddr(to.Value); err == nil {
			to.Value = netip.PrefixFrom(a, a.BitLen()).String()
		} else if isDefault = to.Value == "default"; isDefault {
			to.Value = anywhere(true).String()
		}
		pairs[i].value = &to
	}
	r.keys(reflect.ValueOf(v).Elem(), pairs)
	if isDefault && v.Via.Is6() {
		v.To = anywhere(false)
	}
	if len(r.found) > before {
		r.broken[v.Pos] = true
	}
}
