package lab

import (
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/wire"
)

// codec is how a type that is not a plain struct, list or word is read, and how
// the JSON schema describes it.
type codec struct {
	read   func(r *reader, v reflect.Value, n *yaml.Node)
	schema func(s *schemaWriter) map[string]any
}

// codecs is the table of those types.
var codecs map[reflect.Type]codec

func init() { // the table's functions use the table
	codecs = map[reflect.Type]codec{}
	quantity(durationPattern, "10ms", parseDuration)
	quantity(ratePattern, "100mbit", parseRate)
	quantity(sharePattern, "1%", parseProbability)
	quantity(sizePattern, "64KiB", parseBytes)
	quantity(frequencyPattern, "10/s", parseFrequency)
	quantity(queuePattern, "100p", parseQueue)
	enum[IPv6]("true", "false", "slaac")
	enum[Routing](string(RoutingAuto), string(RoutingNone))
	enum[Kind](string(Host), string(Router), string(Switch), string(Hub))
	enum[RouteType](string(Unicast), string(Blackhole), string(Unreachable), string(Prohibit))
	add(readMTU, schemaMTU)
	add(readLoss, schemaLoss)
	add(readRoute, func(s *schemaWriter) map[string]any { return s.ref(reflect.TypeFor[Route]()) })
	add(readPrefix, schemaText)
	add(readAddr, schemaText)
	add(readText, schemaText)
	add(readNodes, schemaNamed[Node])
	add(readGroups, schemaNamed[Group])
	add(readLinks, schemaLinks)
	add(readEnd, schemaText)
	add(readAddresses, schemaAddresses)
	add(readMACs, schemaMACs)
	add(readSysctls, schemaSysctls)
	add(readServices, schemaServices)
	add(readChecks, schemaChecks)
	add(readRuns, schemaList[Run])
	add(readEvents, schemaList[Event])
}

func add[T any](read func(r *reader, v *T, n *yaml.Node), schema func(s *schemaWriter) map[string]any) {
	codecs[reflect.TypeFor[T]()] = codec{
		read:   func(r *reader, v reflect.Value, n *yaml.Node) { read(r, v.Addr().Interface().(*T), n) },
		schema: schema,
	}
}

// quantity adds a type that is a number with a unit.
func quantity[T any](pattern, example string, parse func(string) (T, *diag.Message)) {
	add(func(r *reader, v *T, n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || isNull(n) {
			r.errorf(r.at(n), "want one value with a unit, as in %s; this is %s", example, describe(n))
			return
		}
		value, err := parse(n.Value)
		if err != nil {
			m := r.errorf(r.at(n), "%s", err.Text)
			m.Suggestion = err.Suggestion
			return
		}
		*v = value
	}, func(*schemaWriter) map[string]any {
		return map[string]any{"anyOf": []any{map[string]any{"type": "string", "pattern": pattern}, map[string]any{"const": 0}}, "examples": []any{example}}
	})
}

// enum adds a type of a few words.
func enum[T ~string](words ...string) {
	add(func(r *reader, v *T, n *yaml.Node) {
		if n.Kind == yaml.ScalarNode && slices.Contains(words, n.Value) {
			*v = T(n.Value)
			return
		}
		if why := refusal(reflect.TypeFor[T](), n.Value); why != "" && n.Kind == yaml.ScalarNode {
			r.errorf(r.at(n), "%s", why)
			return
		}
		m := r.errorf(r.at(n), "want %s; this is %s", strings.Join(words[:len(words)-1], ", ")+" or "+words[len(words)-1], describe(n))
		m.Suggest(n.Value, words)
	}, func(*schemaWriter) map[string]any {
		all := []any{}
		for _, w := range words {
			all = append(all, w)
			if w == "true" || w == "false" {
				all = append(all, w == "true")
			}
		}
		return map[string]any{"enum": all}
	})
}

// direction is any Directed.
type direction interface {
	read(r *reader, n *yaml.Node)
	schemaOf(s *schemaWriter) map[string]any
}

// read reads one value, or a map { a->b: .., b->a: .. }. The names of the ends
// are put in the place of a and b when the link's ends are known (resolveLink),
// so the first key is kept as it was written.
func (d *Directed[T]) read(r *reader, n *yaml.Node) {
	if n.Kind != yaml.MappingNode || !slices.ContainsFunc(n.Content, func(k *yaml.Node) bool { return strings.Contains(k.Value, "->") }) {
		before := len(r.found)
		var v T
		r.value(reflect.ValueOf(&v).Elem(), n)
		if len(r.found) == before {
			*d = Both(v)
		}
		return
	}
	for _, p := range r.pairs(n) {
		forward, known := r.forward(p.key)
		if !known {
			continue
		}
		into, set := &d.Backward, &d.BackwardSet
		if forward {
			into, set = &d.Forward, &d.ForwardSet
		}
		if *set {
			r.errorf(r.at(p.key), "this direction is given twice")
			continue
		}
		*set = true
		r.value(reflect.ValueOf(into).Elem(), p.value)
	}
}

// forward reports whether a key names the direction from the first end to the
// second. The names of the nodes come before the letters a and b.
func (r *reader) forward(key *yaml.Node) (forward, known bool) {
	from, to, _ := strings.Cut(strings.ReplaceAll(key.Value, " ", ""), "->")
	for _, ends := range [][2]string{r.ends, {"a", "b"}} {
		switch {
		case ends[0] == ends[1]: // not known, or a cable from a node to itself
		case from == ends[0] && to == ends[1]:
			return true, true
		case from == ends[1] && to == ends[0]:
			return false, true
		}
	}
	a, b := r.ends[0], r.ends[1]
	if a == b {
		a, b = "a", "b"
	}
	r.errorf(r.at(key), "unknown direction %q; want %s->%s or %s->%s", key.Value, a, b, b, a)
	return false, false
}

func readMTU(r *reader, v *MTU, n *yaml.Node) {
	s := strings.TrimSpace(n.Value)
	number, unit, ok := split(s)
	if unit != "" {
		w, known := sizes.worth(unit)
		number, ok = number*w, ok && known
	}
	if n.Kind != yaml.ScalarNode || !ok || number != float64(int(number)) || number < 0 {
		r.errorf(r.at(n), "want a whole number; this is %s", describe(n))
		return
	}
	*v = MTU(number)
}

// readLoss reads 1% or { rate: 1%, burst: 5 }.
func readLoss(r *reader, v *Loss, n *yaml.Node) {
	if n.Kind == yaml.MappingNode {
		r.structure(reflect.ValueOf(v).Elem(), n)
		return
	}
	r.value(reflect.ValueOf(&v.Rate).Elem(), n)
}

func readText(r *reader, v *text, n *yaml.Node) {
	v.at = r.at(n)
	r.string(reflect.ValueOf(&v.value).Elem(), n)
}

// word reads one word that is not empty, or tells.
func (r *reader) word(n *yaml.Node, what string) (string, bool) {
	if n.Kind != yaml.ScalarNode || isNull(n) || n.Value == "" {
		r.errorf(r.at(n), "want %s; this is %s", what, describe(n))
		return "", false
	}
	return n.Value, true
}

func readPrefix(r *reader, v *netip.Prefix, n *yaml.Node) {
	s, ok := r.word(n, "a prefix such as 10.0.0.0/24")
	if !ok {
		return
	}
	if p, ok := r.prefix(r.at(n), s); ok {
		*v = p
	}
}

// prefix reads address/length; it says what is missing or out of range.
func (r *reader) prefix(at diag.Position, s string) (netip.Prefix, bool) {
	if p, err := netip.ParsePrefix(s); err == nil && !p.Addr().Is4In6() {
		return p, true
	}
	address, length, slash := strings.Cut(s, "/")
	a, err := netip.ParseAddr(address)
	switch {
	case err != nil:
		r.badAddress(at, address)
	case a.Zone() != "":
		r.errorf(at, "%q: an address here has no zone (%%%s)", s, a.Zone())
	case !slash:
		usual := 24
		if a.Is6() {
			usual = 64
		}
		r.errorf(at, "%q needs its prefix length: how much of it names the network, as in %s/%d", s, s, usual)
	default:
		r.errorf(at, "%q: the prefix length is a number from 0 to %d, not %q", s, a.BitLen(), length)
	}
	return netip.Prefix{}, false
}

func (r *reader) badAddress(at diag.Position, s string) {
	m := r.errorf(at, "%q is not an IP address", s)
	parts := strings.Split(s, ".")
	if len(parts) < 2 || strings.Contains(s, ":") {
		return
	}
	if len(parts) != 4 {
		m.Note("an IPv4 address has four numbers; this has %d", len(parts))
		return
	}
	for _, p := range parts {
		if len(p) > 3 || len(p) == 3 && p > "255" {
			m.Note("the numbers of an IPv4 address go from 0 to 255; %s does not", p)
		} else if len(p) > 1 && p[0] == '0' {
			m.Note("%s has a leading zero, which some programs read as octal", p)
		}
	}
}

func readAddr(r *reader, v *netip.Addr, n *yaml.Node) {
	s, ok := r.word(n, "an address such as 10.0.0.1")
	if !ok {
		return
	}
	a, err := netip.ParseAddr(s)
	switch {
	case err == nil && a.Zone() == "":
		*v = a.Unmap()
	case strings.Contains(s, "/"):
		r.errorf(r.at(n), "want an address alone, without a prefix length; this is %q", s)
	default:
		r.badAddress(r.at(n), s)
	}
}

func readMAC(r *reader, v *wire.MAC, n *yaml.Node) bool {
	s, ok := r.word(n, "a MAC address such as 02:00:00:00:00:01")
	if !ok {
		return false
	}
	m, err := wire.ParseMAC(s)
	switch {
	case err != nil:
		r.errorf(r.at(n), "%v", err)
		return false
	case m.IsMulticast():
		r.errorf(r.at(n), "%s is a group's address (the lowest bit of its first byte is set); an interface needs one of its own", m)
		return false
	}
	*v = m
	return true
}
