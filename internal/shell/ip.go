package shell

import (
	"fmt"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
)

// ipView is what an ip command is asked to show.
type ipView struct {
	v4, v6 bool
	device string
	out    strings.Builder
}

// ipObjects are the objects of ip, each with the shortest form that iproute2
// reads first.
var ipObjects = []string{"address", "link", "neighbour", "neighbor", "route"}

// runIP reads ip's own grammar: any object and verb may be cut short.
func runIP(p *program, args []string) int {
	v := &ipView{}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		switch args[0] {
		case "-4":
			v.v4 = true
		case "-6":
			v.v6 = true
		case "-h", "-help", "--help":
			p.usage(p.Stdout)
			return exitOK
		default:
			return p.fail(exitFailure, "Option %q is unknown, try \"ip --help\".", args[0])
		}
		args = args[1:]
	}
	if len(args) == 0 {
		p.usage(p.Stderr)
		return exitFailure
	}
	object := abbreviation(args[0], ipObjects)
	if object == "" {
		hint := `try "ip --help"`
		if near := diag.Nearest(args[0], ipObjects); near != "" {
			hint = "did you mean " + near + "?"
		}
		return p.fail(exitFailure, "Object %q is unknown, %s", args[0], hint)
	}
	return v.run(p, object, args[1:])
}

// abbreviation is the first word that begins with text, or "".
func abbreviation(text string, words []string) string {
	for _, w := range words {
		if text != "" && strings.HasPrefix(w, text) {
			return w
		}
	}
	return ""
}

func (v *ipView) run(p *program, object string, args []string) int {
	verb := "show"
	if len(args) > 0 {
		if verb = abbreviation(args[0], []string{"show", "list", "lst", "get", "add", "delete", "replace", "change", "set", "flush"}); verb != "" {
			args = args[1:]
		} else {
			verb = "show"
		}
	}
	switch verb {
	case "show", "list", "lst":
	default:
		return p.fail(exitFailure, "%s %s is not there yet; only show is", object, verb)
	}
	if err := v.filter(args); err != nil {
		return p.fail(exitFailure, "%v", err)
	}
	known := true
	p.net.Inspect(func(now sim.Time, s *stack.Stack) {
		if known = v.device == "" || s.Interface(v.device) != nil; !known {
			return
		}
		switch object {
		case "address":
			v.links(now, s, true)
		case "link":
			v.links(now, s, false)
		case "neighbour", "neighbor":
			v.neighbors(s)
		case "route":
			v.routes(s)
		}
	})
	if !known {
		fmt.Fprintf(p.Stderr, "Device %q does not exist.\n", v.device)
		return exitFailure
	}
	p.printf("%s", v.out.String())
	return exitOK
}

// filter reads [dev] DEVICE.
func (v *ipView) filter(args []string) error {
	if len(args) > 0 && args[0] == "dev" {
		args = args[1:]
		if len(args) == 0 {
			return fmt.Errorf("a device is missing after dev")
		}
	}
	if len(args) > 0 {
		v.device, args = args[0], args[1:]
	}
	if len(args) > 0 {
		return fmt.Errorf("%q is not there yet; show takes dev DEVICE", args[0])
	}
	return nil
}

func (v *ipView) wants(is6 bool) bool { return v.v4 == v.v6 || v.v6 == is6 }

// links writes interfaces as ip link does, or with their addresses as ip address
// does.
func (v *ipView) links(now sim.Time, s *stack.Stack, addresses bool) {
	mode := "mode DEFAULT "
	if addresses {
		mode = ""
	}
	for _, i := range s.Interfaces() {
		if v.device != "" && i.Name() != v.device {
			continue
		}
		fmt.Fprintf(&v.out, "%d: %s: <%s> mtu %d qdisc noqueue state %s %sgroup default qlen 1000\n",
			i.Index(), i.Name(), linkFlags(i), i.MTU(), linkState(i), mode)
		if i.Loopback() {
			v.out.WriteString("    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n")
		} else {
			fmt.Fprintf(&v.out, "    link/ether %v brd ff:ff:ff:ff:ff:ff\n", i.MAC())
		}
		if addresses {
			v.addresses(now, i)
		}
	}
}

func linkFlags(i *stack.Interface) string {
	flags := []string{"BROADCAST", "MULTICAST"}
	if i.Loopback() {
		flags = []string{"LOOPBACK"}
	}
	if i.Up() && !i.Running() {
		flags = append([]string{"NO-CARRIER"}, flags...)
	}
	if i.Up() {
		flags = append(flags, "UP")
	}
	if i.Running() {
		flags = append(flags, "LOWER_UP")
	}
	return strings.Join(flags, ",")
}

func linkState(i *stack.Interface) string {
	switch {
	case i.Loopback() && i.Up():
		return "UNKNOWN"
	case i.Running():
		return "UP"
	}
	return "DOWN"
}

func (v *ipView) addresses(now sim.Time, i *stack.Interface) {
	for _, a := range i.Addresses() {
		if !v.wants(a.Addr().Is6()) {
			continue
		}
		fmt.Fprintf(&v.out, "    %s\n", addressLine(a))
		valid, preferred := a.Lifetimes()
		fmt.Fprintf(&v.out, "       valid_lft %s preferred_lft %s\n", lifetime(now, valid), lifetime(now, preferred))
	}
}

// lifetime is what is left until then, in whole seconds as Linux counts them.
func lifetime(now, until sim.Time) string {
	if until == sim.Never {
		return "forever"
	}
	return fmt.Sprintf("%dsec", max(until.Sub(now), 0)/time.Second)
}

func addressLine(a *stack.Address) string {
	var b strings.Builder
	addr := a.Addr()
	if addr.Is6() {
		fmt.Fprintf(&b, "inet6 %v scope %s", a.Prefix, scopeName(a))
	} else {
		fmt.Fprintf(&b, "inet %v", a.Prefix)
		if n := a.Prefix.Bits(); n < 31 && !a.Interface.Loopback() {
			last := addr.As4()
			for bit := n; bit < 32; bit++ {
				last[bit/8] |= 0x80 >> (bit % 8)
			}
			fmt.Fprintf(&b, " brd %d.%d.%d.%d", last[0], last[1], last[2], last[3])
		}
		fmt.Fprintf(&b, " scope %s", scopeName(a))
	}
	for _, mark := range []struct {
		on   bool
		text string
	}{{a.Secondary, "secondary"}, {a.Dynamic, "dynamic"}, {a.State.String() != "", a.State.String()}} {
		if mark.on {
			b.WriteString(" " + mark.text)
		}
	}
	if addr.Is4() {
		b.WriteString(" " + a.Interface.Name())
	}
	return b.String()
}

func scopeName(a *stack.Address) string {
	switch addr := a.Addr(); {
	case addr.IsLoopback():
		return "host"
	case addr.IsLinkLocalUnicast():
		return "link"
	}
	return "global"
}
