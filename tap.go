package hopyard

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/uplink"
)

// TAP has a TAP device of this machine take the place of a node of the lab: what
// the node would send and receive, this machine does. It takes Linux, and root or
// CAP_NET_ADMIN.
type TAP struct {
	Node   string // a node with one link
	Device string // its name; "": the kernel numbers it

	// Joined, if not nil, is told the device's name and the commands that give it the
	// node's address and routes, before the run starts.
	Joined func(device string, commands []string)
}

// joined is a device and where it is plugged in.
type joined struct {
	node   int
	device uplink.Device
}

func (l *Lab) openTAPs(o RunOptions) (devices []joined, err error) {
	if len(o.TAP) > 0 && !o.Live {
		return nil, errors.New("a TAP device goes by the wall clock: run the lab live (--live)")
	}
	defer func() {
		if err != nil {
			for _, d := range devices {
				_ = d.device.Close()
			}
		}
	}()
	for _, t := range o.TAP {
		i := l.plan.Node(t.Node)
		if i < 0 {
			var names []string
			for k := range l.plan.Nodes {
				names = append(names, l.plan.Nodes[k].Name)
			}
			hint := ""
			if near := diag.Nearest(t.Node, names); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			return devices, fmt.Errorf("the lab has no node %q for a TAP device%s", t.Node, hint)
		}
		p := &l.plan.Nodes[i]
		if len(p.Interfaces) != 1 {
			return devices, fmt.Errorf("%q has %d links; a TAP device takes the place of a node with one: give the lab a host for this machine", t.Node, len(p.Interfaces))
		}
		device, name, err := uplink.OpenTAP(t.Device)
		if err != nil {
			return devices, err
		}
		devices = append(devices, joined{i, device})
		if t.Joined != nil {
			t.Joined(name, l.commands(p, name))
		}
	}
	return devices, nil
}

// commands give the device the node's place in the network: its addresses, and
// the way to the lab's other networks. This machine's default route stays as it is.
func (l *Lab) commands(p *lab.NodePlan, device string) []string {
	list := []string{"ip link set " + device + " up"}
	seen := map[netip.Prefix]bool{}
	for _, a := range p.Interfaces[0].Addr {
		list = append(list, fmt.Sprintf("ip address add %s dev %s", a, device))
		seen[a.Masked()] = true
	}
	for i := range l.plan.Nodes {
		for _, itf := range l.plan.Nodes[i].Interfaces {
			for _, a := range itf.Addr {
				if via := gateway(p, a.Masked()); via.IsValid() && !seen[a.Masked()] {
					list = append(list, fmt.Sprintf("ip route add %s via %s dev %s", a.Masked(), via, device))
				}
				seen[a.Masked()] = true
			}
		}
	}
	return list
}

// gateway is the router by which a node reaches a network, unset for none.
func gateway(p *lab.NodePlan, to netip.Prefix) (via netip.Addr) {
	bits := -1
	for _, r := range p.Routes {
		if r.To.Addr().Is4() == to.Addr().Is4() && r.To.Bits() <= to.Bits() && r.To.Contains(to.Addr()) && r.To.Bits() > bits {
			via, bits = r.Via, r.To.Bits()
		}
	}
	return via
}

// plugIn puts the devices in the places of their nodes. Kernel only.
func plugIn(now sim.Time, n *lab.Network, devices []joined) {
	for _, d := range devices {
		machine, port := n.Nodes[d.node], n.Plan.Nodes[d.node].Interfaces[0]
		if machine.Host != nil { // it says nothing any more
			machine.Host.Stack().Interface(port.Name).SetUp(now, false)
			machine.Host.Settle(now)
		}
		uplink.Attach(machine.Origin(), n.Links[port.Link].End(port.End), n.Pool, d.device)
	}
}
