package lab

import (
	"regexp"
	"slices"
	"strings"

	"github.com/hopyard/hopyard/internal/diag"
)

// timeline checks run, events, capture and validate.
func (c *checker) timeline() {
	runs := map[string]diag.Position{}
	for i := range c.Run {
		r := &c.Run[i]
		c.run(r)
		if first, taken := runs[r.Name]; taken && r.Name != "" {
			c.found.Errorf(r.Pos, "a run named %q is there already", r.Name).See(first, "here")
		}
		runs[r.Name] = r.Pos
	}
	for i := range c.Events {
		c.event(&c.Events[i])
	}
	for i, name := range c.Capture.Links {
		if c.findLink(name) < 0 {
			c.found.Errorf(c.Capture.Pos, "capture: there is no link %q", c.Capture.Links[i]).Suggest(name, c.linkNames())
		}
	}
	checks := map[string]diag.Position{}
	for _, k := range c.Validate {
		if first, taken := checks[k.Name]; taken {
			c.found.Errorf(k.Pos, "a check named %q is there already", k.Name).See(first, "here")
		}
		checks[k.Name] = k.Pos
		if strings.TrimSpace(k.Expect) == "" {
			c.found.Errorf(k.Pos, "check %q has no expression; give it `expect`", k.Name)
		}
	}
}

func (c *checker) run(r *Run) {
	if r.Node != "" || !c.broken[r.Pos] {
		c.machine(r.Pos, r.Node)
	}
	switch {
	case c.broken[r.Pos]:
	case r.Cmd == "" && r.Load == nil:
		c.found.Errorf(r.Pos, "an item of run needs `cmd`, a command line, or `load`, traffic to generate")
	case r.Cmd != "" && r.Load != nil:
		c.found.Errorf(r.Pos, "an item of run has a cmd or a load, not both")
	case r.Load != nil && (r.Expect != nil || r.Stdin != "" || r.Every != 0):
		c.found.Errorf(r.Pos, "expect, stdin and every go with cmd; a load is judged under validate")
	}
	if r.Load != nil {
		c.load(r.Load)
	}
	if r.Expect != nil {
		for _, want := range []string{r.Expect.Stdout, r.Expect.Stderr} {
			if pattern, is := strings.CutPrefix(want, "~"); is {
				if _, err := regexp.Compile(pattern); err != nil {
					c.found.Errorf(r.Expect.Pos, "%q is not a regular expression: %s", pattern, strings.TrimPrefix(err.Error(), "error parsing regexp: "))
				}
			}
		}
	}
}

// machine checks the node of a run: one that has programs, or a group of such.
func (c *checker) machine(at diag.Position, name string) {
	if name == "" {
		c.found.Errorf(at, "an item of run needs `node`: who does it")
		return
	}
	who := c.NodesNamed(name)
	if len(who) == 0 {
		if c.groups[name] != nil {
			c.found.Errorf(at, "group %q has no nodes", name)
			return
		}
		c.found.Errorf(at, "there is no node and no group %q", name).Suggest(name, slices.Concat(c.nodeNames(), c.groupNames()))
		return
	}
	for _, n := range who {
		if n.Kind == Switch || n.Kind == Hub {
			c.found.Errorf(at, "%q is a %s and runs no commands; name a host or a router", n.Name, n.Kind)
			return
		}
	}
}

func (c *checker) load(l *Load) {
	switch {
	case c.broken[l.Pos]:
		return
	case len(l.UDP)*len(l.Ping)+len(l.UDP)*len(l.TCP)+len(l.TCP)*len(l.Ping) > 0 || l.UDP+l.TCP+l.Ping == "":
		c.found.Errorf(l.Pos, "a load is one of udp: node:port, tcp: node:port and ping: node")
		return
	case l.UDP+l.TCP != "" && !strings.Contains(l.UDP+l.TCP, ":"):
		c.found.Errorf(l.Pos, "%q needs a port, as in %s:7", l.UDP+l.TCP, l.UDP+l.TCP)
	case l.TCP != "" && (l.Rate != 0 || l.Poisson):
		c.found.Errorf(l.Pos, "tcp sends as fast as the network lets it; rate and poisson are for udp and ping")
	}
	target, _, _ := strings.Cut(l.UDP+l.TCP+l.Ping, ":")
	// What holds a dot or begins like a number is an address, and judged when it is used.
	if name := namePattern.MatchString(target); name && c.nodes[target] == nil && !strings.HasPrefix(l.UDP+l.TCP+l.Ping, "[") && !strings.Contains(l.UDP+l.TCP+l.Ping, "::") {
		c.found.Errorf(l.Pos, "there is no node %q to send to", target).Suggest(target, c.nodeNames())
	}
	if l.TCP == "" && l.Size > 65507 {
		c.found.Errorf(l.Pos, "a packet holds at most 65507 bytes of payload (65535 less the headers)")
	}
}

func (c *checker) event(e *Event) {
	if c.broken[e.Pos] {
		return
	}
	given := 0
	for _, s := range []string{e.Fail, e.Recover, e.Link} {
		if s != "" {
			given++
		}
	}
	set := e.Set != (Impairments{})
	switch {
	case given != 1 || (set != (e.Lose != "")) != (e.Link != ""):
		c.found.Errorf(e.Pos, "an event is one of fail: node or link, recover: node or link, and link: L with set: { ... } or with lose: words")
		return
	case e.Count != 0 && e.Lose == "" || e.Count < 0:
		c.found.Errorf(e.Pos, "count says how many packets lose: takes, from 1")
	case e.Recover != "" && e.For != 0:
		c.found.Errorf(e.Pos, "recover takes no `for`: say fail with `for`, which undoes it")
	}
	name := e.Fail + e.Recover
	switch {
	case e.Link != "" && c.findLink(e.Link) < 0:
		c.found.Errorf(e.Pos, "there is no link %q", e.Link).Suggest(e.Link, c.linkNames())
	case name != "" && c.nodes[name] == nil && c.findLink(name) < 0:
		c.found.Errorf(e.Pos, "there is no node and no link %q", name).Suggest(name, slices.Concat(c.nodeNames(), c.linkNames()))
	}
}

// pools checks that address pools are of their family and apart.
func (c *checker) pools() {
	p := &c.Pools
	if p.LAN.IsValid() && !p.LAN.Addr().Is4() {
		c.found.Errorf(p.Pos, "pools: lan is of IPv4 addresses; %s goes to pools: ipv6", p.LAN)
	}
	if p.Cable.IsValid() && !p.Cable.Addr().Is4() {
		c.found.Errorf(p.Pos, "pools: cable is of IPv4 addresses; %s goes to pools: ipv6", p.Cable)
	}
	if p.IPv6.IsValid() && !p.IPv6.Addr().Is6() {
		c.found.Errorf(p.Pos, "pools: ipv6 is of IPv6 addresses, and %s is not", p.IPv6)
	}
	if p.LAN.IsValid() && p.Cable.IsValid() && p.LAN.Overlaps(p.Cable) {
		c.found.Errorf(p.Pos, "pools: lan %s and cable %s overlap", p.LAN, p.Cable)
	}
}
