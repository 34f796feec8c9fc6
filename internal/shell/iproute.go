package shell

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// neighbors writes the neighbour tables as ip neighbour does.
func (v *ipView) neighbors(s *stack.Stack) {
	for _, n := range s.Neighbors() {
		i := n.Interface
		// NOARP entries (multicast, broadcast) are not shown unless asked for.
		if v.device != "" && i.Name() != v.device || !v.wants(n.Addr.Is6()) || n.State == stack.NeighborNone || n.State == stack.NeighborNoARP {
			continue
		}
		fmt.Fprintf(&v.out, "%v dev %s", n.Addr, i.Name())
		if n.MAC != (wire.MAC{}) {
			fmt.Fprintf(&v.out, " lladdr %v", n.MAC)
		}
		if n.Router {
			v.out.WriteString(" router")
		}
		fmt.Fprintf(&v.out, " %v \n", n.State)
	}
}

// routes writes the routing table as ip route does: of IPv4 unless -6 asks for
// the other, default route first.
func (v *ipView) routes(s *stack.Stack) {
	all := s.Routes()
	for _, wantDefault := range []bool{true, false} {
		for _, r := range all {
			if (r.Prefix.Bits() == 0) != wantDefault || r.Prefix.Addr().Is6() != v.v6 {
				continue
			}
			if v.device != "" && (r.Interface == nil || r.Interface.Name() != v.device) {
				continue
			}
			fmt.Fprintf(&v.out, "%s \n", routeLine(r))
		}
	}
}

func routeLine(r *stack.Route) string {
	var words []string
	if r.Type != stack.RouteUnicast {
		words = append(words, r.Type.String())
	}
	switch {
	case r.Prefix.Bits() == 0:
		words = append(words, "default")
	case r.Prefix.IsSingleIP():
		words = append(words, r.Prefix.Addr().String())
	default:
		words = append(words, r.Prefix.String())
	}
	if r.Gateway.IsValid() {
		words = append(words, "via", r.Gateway.String())
	}
	if r.Interface != nil {
		words = append(words, "dev", r.Interface.Name())
	}
	// As iproute2, say nothing of a route that was set by hand.
	if r.Protocol != stack.ProtocolStatic {
		words = append(words, "proto", r.Protocol.String())
	}
	if r.Prefix.Addr().Is4() && r.Type == stack.RouteUnicast && !r.Gateway.IsValid() {
		words = append(words, "scope", "link")
	}
	if r.Source.IsValid() {
		words = append(words, "src", r.Source.String())
	}
	if r.Metric != 0 {
		words = append(words, "metric", fmt.Sprint(r.Metric))
	}
	if r.MTU != 0 {
		words = append(words, "mtu", fmt.Sprint(r.MTU))
	}
	if r.Prefix.Addr().Is6() {
		words = append(words, "pref", "medium")
	}
	return strings.Join(words, " ")
}

// runARP is net-tools' arp: the table of neighbours by IPv4 address.
func runARP(p *program, args []string) int {
	f := p.flags()
	f.BoolP("numeric", "n", false, "write no names; there are none to write yet")
	bsd := f.BoolP("all", "a", false, "the BSD look")
	f.later("delete", "d", "deleting an entry is")
	f.later("set", "s", "setting an entry is")
	operands, exit, done := f.parse(args, 0, 1)
	if done {
		return exit
	}
	var only netip.Addr
	if len(operands) > 0 {
		t, err := p.lookup(operands[0], true, false)
		if err != nil {
			return p.fail(exitFailure, "%s: %v", operands[0], err)
		}
		only = t.addr
	}
	var lines []string
	p.net.Inspect(func(_ sim.Time, s *stack.Stack) {
		for _, n := range s.Neighbors() {
			if n.Addr.Is4() && n.State != stack.NeighborNone && n.State != stack.NeighborNoARP && (!only.IsValid() || n.Addr == only) {
				lines = append(lines, arpLine(n, *bsd))
			}
		}
	})
	if len(lines) == 0 {
		if only.IsValid() {
			p.printf("%s (%v) -- no entry\n", operands[0], only)
			return exitFailure
		}
		return exitOK
	}
	if !*bsd {
		p.printf("Address                  HWtype  HWaddress           Flags Mask            Iface\n")
	}
	for _, line := range lines {
		p.printf("%s\n", line)
	}
	return exitOK
}

func arpLine(n *stack.Neighbor, bsd bool) string {
	known := n.MAC != (wire.MAC{})
	switch {
	case bsd && known:
		return fmt.Sprintf("? (%v) at %v [ether] on %s", n.Addr, n.MAC, n.Interface.Name())
	case bsd:
		return fmt.Sprintf("? (%v) at <incomplete> on %s", n.Addr, n.Interface.Name())
	case known:
		flag := "C"
		if n.State == stack.NeighborPermanent {
			flag = "CM"
		}
		return fmt.Sprintf("%-23v  %-7s %-19v %-5s %-15s %s", n.Addr, "ether", n.MAC, flag, "", n.Interface.Name())
	}
	return fmt.Sprintf("%-23v  %-7s %-19s %-5s %-15s %s", n.Addr, "", "(incomplete)", "", "", n.Interface.Name())
}
