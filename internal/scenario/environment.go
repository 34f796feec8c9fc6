package scenario

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// environment is what checks may use. Its zero value says the types when checks
// are compiled.
type environment struct {
	Run      map[string]runValue                                   `expr:"run"`
	Ping     func(name string) (pingValue, error)                  `expr:"ping"`
	Load     func(name string) (loadValue, error)                  `expr:"load"`
	TCP      func(name string) (tcpValue, error)                   `expr:"tcp"`
	Frames   func(where string, words ...string) (int, error)      `expr:"frames"`
	Drops    func(where string, words ...string) (int, error)      `expr:"drops"`
	ARP      func(node string) (map[string]string, error)          `expr:"arp"`
	MACTable func(node string) (map[string]string, error)          `expr:"mac_table"`
	MAC      func(end string) (string, error)                      `expr:"mac"`
	Addr     func(end string) (string, error)                      `expr:"addr"`
	Route    func(node string, destination string) (string, error) `expr:"route"`
	Elapsed  time.Duration                                         `expr:"elapsed"`
}

// runValue is what came of a command: of its first run and, in nodes, of the last
// on each node.
type runValue struct {
	Exit   int                  `expr:"exit"` // of the first run that failed, else 0
	Stdout string               `expr:"stdout"`
	Stderr string               `expr:"stderr"`
	At     time.Duration        `expr:"at"`
	Took   time.Duration        `expr:"took"` // the longest
	Times  int                  `expr:"times"`
	Nodes  map[string]nodeValue `expr:"nodes"`
}

// nodeValue is what came of a command on one node.
type nodeValue struct {
	Exit   int           `expr:"exit"`
	Stdout string        `expr:"stdout"`
	Stderr string        `expr:"stderr"`
	At     time.Duration `expr:"at"`
	Took   time.Duration `expr:"took"`
}

// pingValue is what all runs of a ping counted.
type pingValue struct {
	Sent     int           `expr:"sent"`
	Received int           `expr:"received"`
	Lost     int           `expr:"lost"`
	Min      time.Duration `expr:"rtt_min"`
	Avg      time.Duration `expr:"rtt_avg"`
	Max      time.Duration `expr:"rtt_max"`

	sum   time.Duration
	timed int
}

// loadValue is what a load counted, of all its sources.
type loadValue struct {
	Sent     int           `expr:"sent"`
	Received int           `expr:"received"`
	Lost     int           `expr:"lost"`
	Errors   int           `expr:"errors"`
	Min      time.Duration `expr:"rtt_min"`
	Avg      time.Duration `expr:"rtt_avg"`
	Max      time.Duration `expr:"rtt_max"`
	P50      time.Duration `expr:"rtt_p50"`
	P99      time.Duration `expr:"rtt_p99"`
}

// newEnvironment answers from what the player has seen, and from the network as
// it is now.
func (p *player) newEnvironment(now sim.Time) environment {
	return environment{
		Run: p.runValues(), Ping: p.ping, Load: p.loadNamed, Elapsed: time.Duration(now),
		Frames: func(where string, words ...string) (int, error) { return p.asked(false, where, words) },
		Drops:  func(where string, words ...string) (int, error) { return p.asked(true, where, words) },
		TCP:    func(name string) (tcpValue, error) { return p.tcpNamed(now, name) },
		ARP:    p.arp, MAC: p.mac, Addr: p.addr, Route: p.route,
		MACTable: func(node string) (map[string]string, error) { return p.macTable(now, node) },
	}
}

func (p *player) runValues() map[string]runValue {
	values := map[string]runValue{}
	for i, it := range p.items {
		if it.Name != "" && p.commands[i] != nil {
			values[it.Name] = p.commands[i].value()
		}
	}
	return values
}

func (r *commandResult) value() runValue {
	v := runValue{Times: r.times, Nodes: map[string]nodeValue{}}
	for i, x := range r.executions {
		n := nodeValue{Exit: x.exit, Stdout: x.stdout.String(), Stderr: x.stderr.String(), At: time.Duration(x.at), Took: x.took()}
		if i == 0 {
			v.Stdout, v.Stderr, v.At = n.Stdout, n.Stderr, n.At
		}
		if v.Exit == 0 {
			v.Exit = n.Exit
		}
		v.Took = max(v.Took, n.Took)
		v.Nodes[x.node] = n
	}
	return v
}

// find is the number of the item of that name.
func (p *player) find(name string) (int, error) {
	for i, it := range p.items {
		if it.Name == name && name != "" {
			return i, nil
		}
	}
	return 0, fmt.Errorf("there is no item of run called %q", name)
}

func (p *player) ping(name string) (pingValue, error) {
	i, err := p.find(name)
	if err != nil {
		return pingValue{}, err
	}
	if !isPing(p.items[i].Run) {
		return pingValue{}, fmt.Errorf("%q is no ping", name)
	}
	if r := p.commands[i]; r != nil {
		return r.ping, nil
	}
	v := p.loads[i].value()
	return pingValue{Sent: v.Sent, Received: v.Received, Lost: v.Lost, Min: v.Min, Avg: v.Avg, Max: v.Max}, nil
}

func (p *player) loadNamed(name string) (loadValue, error) {
	i, err := p.find(name)
	if err != nil {
		return loadValue{}, err
	}
	if p.loads[i] == nil {
		return loadValue{}, fmt.Errorf("%q is no load", name)
	}
	return p.loads[i].value(), nil
}

func (r *loadResult) value() loadValue {
	return loadValue{
		Sent: int(r.sent), Received: int(r.received), Lost: int(r.sent) - int(r.received), Errors: int(r.failed),
		Min: r.rtt.min, Avg: r.rtt.avg(), Max: r.rtt.max, P50: r.rtt.quantile(0.5), P99: r.rtt.quantile(0.99),
	}
}

// asked is the count of a frames() or a drops().
func (p *player) asked(drops bool, where string, words []string) (int, error) {
	if p.network.Recorder == nil {
		return 0, errors.New("nothing was recorded, so nothing was counted")
	}
	i, known := p.Scenario.asked[questionKey{drops, where, strings.Join(words, "")}]
	if !known {
		return 0, errors.New("the place and the words must be written out")
	}
	return p.counter.tallies[i].count, nil
}

func (p *player) stack(name string) (*stack.Stack, error) {
	h := p.network.Host(name)
	if h == nil {
		return nil, fmt.Errorf("there is no host or router %q", name)
	}
	return h.Stack(), nil
}

// arp is the neighbour table of a machine, both families: address to hardware
// address. Entries without one are left out.
func (p *player) arp(name string) (map[string]string, error) {
	s, err := p.stack(name)
	if err != nil {
		return nil, err
	}
	table := map[string]string{}
	for _, n := range s.Neighbors() {
		switch n.State {
		case stack.NeighborNone, stack.NeighborIncomplete, stack.NeighborFailed:
		default:
			table[n.Addr.String()] = n.MAC.String()
		}
	}
	return table, nil
}

func (p *player) macTable(now sim.Time, name string) (map[string]string, error) {
	i := p.plan.Node(name)
	if i < 0 || p.network.Nodes[i].Switch == nil {
		return nil, fmt.Errorf("there is no switch %q", name)
	}
	table := map[string]string{}
	for _, s := range p.network.Nodes[i].Switch.Table(now) {
		table[s.MAC.String()] = s.Port
	}
	return table, nil
}

func (p *player) mac(end string) (string, error) {
	i, err := p.interfaceOf(end)
	if err != nil {
		return "", err
	}
	if i.MAC == (wire.MAC{}) {
		return "", fmt.Errorf("%s has no hardware address", end)
	}
	return i.MAC.String(), nil
}

// addr is the first address of an interface as it is now.
func (p *player) addr(end string) (string, error) {
	i, ferr := p.interfaceOf(end)
	if ferr != nil {
		return "", ferr
	}
	name, _, _ := strings.Cut(end, ":")
	s, err := p.stack(name)
	if err != nil {
		return "", err
	}
	if itf := s.Interface(i.Name); itf != nil && len(itf.Addresses()) > 0 {
		return itf.Addresses()[0].Addr().String(), nil
	}
	return "", fmt.Errorf("%s has no address", end)
}

// route says by which route a machine would send to a destination, as ip route
// does: "via 10.0.1.1 dev eth0", "dev eth0", "unreachable"; "none" without one.
func (p *player) route(name, destination string) (string, error) {
	s, err := p.stack(name)
	if err != nil {
		return "", err
	}
	to, err := netip.ParseAddr(destination)
	if err != nil {
		found := p.network.Plan.LookupHost(destination)
		if len(found) == 0 {
			return "", fmt.Errorf("%q is no address and no node with one", destination)
		}
		to = found[0]
	}
	var best *stack.Route
	for _, r := range s.Routes() {
		if r.Prefix.Contains(to) && (best == nil || r.Prefix.Bits() > best.Prefix.Bits() || r.Prefix.Bits() == best.Prefix.Bits() && r.Metric < best.Metric) {
			best = r
		}
	}
	switch {
	case s.IsLocal(to):
		return "local", nil
	case best == nil:
		return "none", nil
	case best.Type != stack.RouteUnicast:
		return best.Type.String(), nil
	case best.Gateway.IsValid():
		return fmt.Sprintf("via %s dev %s", best.Gateway, best.Interface.Name()), nil
	}
	return "dev " + best.Interface.Name(), nil
}
