package lab

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/hopyard/hopyard/internal/link"
)

// What Show writes out at most; the rest is counted.
const (
	shownSegments = 40
	shownMembers  = 24
	shownNodes    = 30
	shownPorts    = 12
	shownRoutes   = 16
)

// Show draws the plan as text: each segment with what is plugged in and how,
// then the machines with their addresses and routes.
func Show(w io.Writer, p *Plan) error {
	b := bufio.NewWriter(w)
	name := p.Lab.Name
	if name == "" {
		name = "lab"
	}
	kinds := map[Kind]int{}
	for i := range p.Nodes {
		kinds[p.Nodes[i].Kind]++
	}
	fmt.Fprintf(b, "%s: %s, %s, %s\n", name, countKinds(kinds), count(len(p.Links), "link"), count(len(p.Segments), "segment"))
	for s := range p.Segments[:min(len(p.Segments), shownSegments)] {
		p.showSegment(b, s)
	}
	more(b, "", len(p.Segments)-shownSegments, "segment")
	p.showMachines(b)
	return b.Flush()
}

func countKinds(kinds map[Kind]int) string {
	var parts []string
	for _, k := range []Kind{Host, Router, Switch, Hub} {
		if n := kinds[k]; n > 0 {
			parts = append(parts, count(n, string(k)))
		}
	}
	return strings.Join(parts, ", ")
}

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case strings.HasSuffix(what, "ch"):
		what += "e"
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func more(w io.Writer, indent string, n int, what string) {
	if n > 0 {
		fmt.Fprintf(w, "%s... and %s more\n", indent, count(n, what))
	}
}

// showSegment draws one broadcast domain. A cable is one line; others are a
// tree: bridges, then what is plugged into each.
func (p *Plan) showSegment(w io.Writer, s int) {
	segment := &p.Segments[s]
	fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(strings.Join([]string{p.segmentTitle(segment), prefixText(segment.IPv4), prefixText(segment.IPv6)}, "  ")))
	if segment.Cable {
		k := &p.Links[segment.Links[0]]
		fmt.Fprintf(w, "  %s ────%s──── %s\n", p.endText(k.Ends[0]), linkText(k, " ", " "), p.endText(k.Ends[1]))
		return
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	defer t.Flush()
	if len(segment.Bridges) == 0 {
		p.showMembers(t, segment.Members, -1)
		return
	}
	for _, b := range segment.Bridges[:min(len(segment.Bridges), shownMembers)] {
		fmt.Fprintf(t, "  %s (%s)\n", p.Nodes[b].Name, p.Nodes[b].Kind)
		var plugged []EndPlan
		for _, port := range p.Nodes[b].Interfaces {
			for e, other := range p.Links[port.Link].Ends {
				if e != port.End {
					plugged = append(plugged, other)
				}
			}
		}
		p.showMembers(t, plugged, b)
	}
	more(t, "  ", len(segment.Bridges)-shownMembers, "bridge")
}

// showMembers lists what hangs on a bridge (or, with -1, on a shared cable).
func (p *Plan) showMembers(w io.Writer, members []EndPlan, bridge int) {
	for i, e := range members[:min(len(members), shownMembers)] {
		branch := "├──"
		if i == len(members)-1 {
			branch = "└──"
		}
		k := &p.Links[p.interfaceOf(e).Link]
		port := " ──"
		if bridge < 0 {
			port = ""
		}
		for _, end := range k.Ends {
			if end.Node == bridge && bridge >= 0 {
				port = " port " + p.interfaceOf(end).Name + " ──"
			}
		}
		if !p.Nodes[e.Node].isMachine() {
			fmt.Fprintf(w, "   %s%s %s (%s)%s\n", branch, port, p.endName(e), p.Nodes[e.Node].Kind, linkText(k, "  ", ""))
			continue
		}
		fmt.Fprintf(w, "   %s%s %s\t%s%s\n", branch, port, p.endName(e), addressText(p.interfaceOf(e)), linkText(k, "\t", ""))
	}
	more(w, "   └── ", len(members)-shownMembers, "interface")
}

func (p *Plan) segmentTitle(s *Segment) string {
	switch {
	case s.Cable:
		return "Cable " + s.Name
	case len(s.Bridges) == 0:
		return "Shared cable " + s.Name
	}
	return "LAN " + s.Name
}

func prefixText(x netip.Prefix) string {
	if !x.IsValid() {
		return ""
	}
	return x.String()
}

func (p *Plan) endText(e EndPlan) string {
	return strings.TrimSpace(p.endName(e) + " " + addressText(p.interfaceOf(e)))
}

func addressText(i *InterfacePlan) string {
	var parts []string
	for _, a := range i.Addr {
		parts = append(parts, a.String())
	}
	if i.SLAAC {
		parts = append(parts, "SLAAC")
	}
	return strings.Join(parts, " ")
}

// linkText says how a link impairs, in the lab file's words; nothing when it
// does not.
func linkText(k *LinkPlan, before, after string) string {
	forward, backward := settingsText(k.Settings[0]), settingsText(k.Settings[len(k.Settings)-1])
	text := forward
	if forward != backward && len(k.Ends) == 2 {
		text = fmt.Sprintf("-> %s, <- %s", orPlain(forward), orPlain(backward))
	}
	if text == "" {
		return ""
	}
	return before + text + after
}

func orPlain(s string) string {
	if s == "" {
		return "unlimited"
	}
	return s
}

func settingsText(s link.Settings) string {
	var parts []string
	add := func(set bool, key string, value any) {
		if set {
			parts = append(parts, fmt.Sprintf("%s %v", key, value))
		}
	}
	add(s.RateBitsPerSecond != 0, "rate", Rate(s.RateBitsPerSecond))
	add(s.Delay != 0, "delay", s.Delay)
	add(s.Jitter != 0, "jitter", s.Jitter)
	add(s.Loss != 0, "loss", Probability(s.Loss))
	add(s.LossBurst > 1, "burst", s.LossBurst)
	add(s.Duplicate != 0, "duplicate", Probability(s.Duplicate))
	add(s.Reorder != 0, "reorder", Probability(s.Reorder))
	add(s.Corrupt != 0, "corrupt", Probability(s.Corrupt))
	add(s.QueuePackets != 0 || s.QueueBytes != 0, "queue", Queue{s.QueuePackets, s.QueueBytes})
	add(s.MTU != 0 && s.MTU != 1500, "mtu", s.MTU)
	return strings.Join(parts, ", ")
}

// showMachines lists hosts and routers with interfaces and routes, the routers
// first: they are what holds the network together.
func (p *Plan) showMachines(w io.Writer) {
	var machines []*NodePlan
	for i := range p.Nodes {
		if p.Nodes[i].isMachine() {
			machines = append(machines, &p.Nodes[i])
		}
	}
	slices.SortStableFunc(machines, func(a, b *NodePlan) int { return rank(a.Kind) - rank(b.Kind) })
	for _, n := range machines[:min(len(machines), shownNodes)] {
		fmt.Fprintf(w, "\n%s %s\n", strings.ToUpper(string(n.Kind[:1]))+string(n.Kind[1:]), n.Name)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		for i := range n.Interfaces[:min(len(n.Interfaces), shownPorts)] {
			port := &n.Interfaces[i]
			fmt.Fprintf(t, "  %s\t%s%s\n", port.Name, port.MAC, strings.TrimRight("\t"+addressText(port), "\t"))
		}
		t.Flush()
		more(w, "  ", len(n.Interfaces)-shownPorts, "interface")
		for _, r := range n.Routes[:min(len(n.Routes), shownRoutes)] {
			fmt.Fprintf(w, "  route %s\n", n.routeText(r))
		}
		more(w, "  ", len(n.Routes)-shownRoutes, "route")
	}
	more(w, "\n", len(machines)-shownNodes, "machine")
}

func rank(k Kind) int {
	if k == Router {
		return 0
	}
	return 1
}

// routeText writes a route as `ip route` does.
func (n *NodePlan) routeText(r RoutePlan) string {
	text := r.To.String()
	if r.To.Bits() == 0 {
		text = "default"
	}
	if r.Type != "" && r.Type != Unicast {
		text = string(r.Type) + " " + text
	}
	if r.Via.IsValid() {
		text += " via " + r.Via.String()
	}
	if r.Interface >= 0 {
		text += " dev " + n.Interfaces[r.Interface].Name
	}
	if r.Metric != 0 {
		text += fmt.Sprintf(" metric %d", r.Metric)
	}
	if r.Given {
		text += "  (given)"
	}
	return text
}
