package scenario

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// What is kept of who talked to whom; the rest is only counted.
const (
	flowsMax      = 4096
	dropKindsMax  = 4096
	tracesMax     = 2 * flowsMax
	traceStepsMax = 64
	tracesEach    = 32 // packets of one direction that are followed until one arrives
	answersMax    = 4  // kinds of ICMP errors that came back

	packetNodeShift = 40 // wire.Frame.Packet begins with the number of the node
)

// flowKind tells conversations of the same two addresses apart.
type flowKind uint8

const (
	flowIP   flowKind = iota // by the IP protocol
	flowEcho                 // echo requests and replies, of either family
	flowARP
)

// flowKey is a conversation. a is the side that spoke first.
type flowKey struct {
	a, b     netip.Addr
	kind     flowKind
	protocol wire.Protocol
}

func (k flowKey) reversed() flowKey { k.a, k.b = k.b, k.a; return k }

// keyOf is the conversation that a packet belongs to, with the packet's source as
// the first side; of an ARP reply, with the side that asked. Frames without
// addresses belong to none.
func keyOf(p *packet) (k flowKey, ok bool) {
	switch {
	case p.kind == wire.TypeARP && p.arp == wire.ARPReply:
		return flowKey{a: p.dst, b: p.src, kind: flowARP}, true
	case p.kind == wire.TypeARP && p.arp != 0:
		return flowKey{a: p.src, b: p.dst, kind: flowARP}, true
	case !p.isIP:
		return flowKey{}, false
	}
	k = flowKey{a: p.src, b: p.dst, protocol: p.protocol}
	if request, reply := p.echo(); request || reply {
		k.kind = flowEcho
	} else if p.fragment && !p.hasPorts && (p.protocol == wire.ProtocolICMP || p.protocol == wire.ProtocolICMPv6) {
		k.kind = flowEcho // nothing else of ICMP is long enough to be cut
	}
	return k, true
}

// flow is a conversation and what became of it.
type flow struct {
	key   flowKey
	first sim.Time
	port  uint16 // of the second side, where all packets go to one
	ports bool   // to several
	there direction
	back  direction

	answers []answer // ICMP errors about its packets
	more    uint64   // of other kinds
}

// direction is one half of a conversation.
type direction struct {
	packets, bytes uint64
	drops          uint64

	trace   *trace // of the packet followed last; nil before the first
	traced  int    // how many were followed
	longest []step // of those that did not arrive, before the last
}

// answer is a kind of ICMP error that came back about a conversation's packets.
type answer struct {
	what    string
	from    netip.Addr
	packets uint64
}

// trace follows one packet through the network.
type trace struct {
	steps          []step
	ended, arrived bool
}

// step is a node that the packet reached, and from which other.
type step struct {
	node   int32
	parent int32 // -1 for the first
	drop   wire.Drop
}

// dropKey is a kind of drop.
type dropKey struct {
	place int
	why   wire.Drop
}

// dropKind counts drops at one place for one reason.
type dropKind struct {
	dropKey
	count  uint64
	at     sim.Time // the first
	packet string   // the first, in words
}

// flows is the record.Sink behind the report's conversations and drops. Its
// memory is bounded, however long the run.
type flows struct {
	plan   *lab.Plan
	owners map[netip.Addr]int32 // of addresses: the node
	places []flowPlace

	byKey    map[flowKey]*flow
	list     []*flow // in the order of their first packet
	others   direction
	tracing  map[uint64]*trace // by packet
	drops    map[dropKey]*dropKind
	dropList []*dropKind
	dropped  uint64 // of any kind, but for bystanders
	unlisted uint64 // of kinds that found no room
	ignored  uint64 // copies that reached one they were not for

	packet, about packet
}

// flowPlace is what flows knows of a place.
type flowPlace struct {
	place record.Place
	node  int32
	link  int32 // -1: the node itself
	peers []int32
}

var _ record.Sink = (*flows)(nil)

func newFlows(plan *lab.Plan) *flows {
	f := &flows{
		plan: plan, owners: map[netip.Addr]int32{},
		byKey: map[flowKey]*flow{}, tracing: map[uint64]*trace{}, drops: map[dropKey]*dropKind{},
	}
	for i := range plan.Nodes {
		for _, in := range plan.Nodes[i].Interfaces {
			for _, p := range in.Addr {
				f.owners[p.Addr()] = int32(i)
			}
		}
		for _, p := range plan.Nodes[i].Loopback {
			f.owners[p.Addr()] = int32(i)
		}
	}
	return f
}

// AddPlace implements record.Sink.
func (f *flows) AddPlace(number int, p record.Place) {
	for len(f.places) <= number {
		f.places = append(f.places, flowPlace{node: -1, link: -1})
	}
	at := flowPlace{place: p, node: int32(f.plan.Node(p.Node)), link: -1}
	if at.node >= 0 && p.Port != "" {
		n := &f.plan.Nodes[at.node]
		if i := n.Interface(p.Port); i >= 0 {
			at.link = int32(n.Interfaces[i].Link)
			for _, e := range f.plan.Links[at.link].Ends {
				if int32(e.Node) != at.node {
					at.peers = append(at.peers, int32(e.Node))
				}
			}
		}
	}
	f.places[number] = at
}

// Close implements record.Sink.
func (f *flows) Close() error { return nil }

// Event implements record.Sink.
func (f *flows) Event(e record.Event) {
	switch e.Kind {
	case record.Sent:
		f.sent(&e)
	case record.Received:
		if len(f.tracing) > 0 {
			f.received(&e)
		}
	case record.Dropped:
		f.drop(&e)
	}
}

// sent counts a packet when it leaves the node that made it: lab.Build numbers
// packets by their maker's place in the plan.
func (f *flows) sent(e *record.Event) {
	node := f.places[e.Place].node
	if uint64(node) != e.Packet>>packetNodeShift {
		return
	}
	f.packet.read(e.Data)
	key, ok := keyOf(&f.packet)
	if !ok {
		return
	}
	d := f.direction(e, key)
	d.packets++
	d.bytes += uint64(len(e.Data))
	if d != &f.others && d.traced < tracesEach && (d.trace == nil || d.trace.ended && !d.trace.arrived) && len(f.tracing) < tracesMax {
		d.follow(f, e.Packet, node)
	}
}

// follow has a packet traced: the direction's first or, as long as none arrived,
// a later one.
func (d *direction) follow(f *flows, packet uint64, node int32) {
	if d.trace != nil && len(d.trace.steps) >= len(d.longest) {
		d.longest = d.trace.steps
	}
	d.traced++
	d.trace = &trace{steps: []step{{node: node, parent: -1}}}
	f.tracing[packet] = d.trace
}

// steps is the way to show: that of the packet that arrived, else the longest.
func (d *direction) steps() []step {
	if d.trace != nil && (d.trace.arrived || len(d.trace.steps) >= len(d.longest)) {
		return d.trace.steps
	}
	return d.longest
}

// direction finds the half of the conversation that the packet in f.packet, just
// sent, belongs to. An ICMP error is an answer in the conversation that it is about.
func (f *flows) direction(e *record.Event, key flowKey) *direction {
	if f.packet.isError && f.packet.about(&f.about) {
		if k, ok := keyOf(&f.about); ok {
			if c, back := f.find(&f.about, k); c != nil && !back {
				c.answer(f.packet.errorName(), f.packet.src)
				return &c.back
			}
		}
	}
	if c, back := f.find(&f.packet, key); c != nil {
		if back {
			return &c.back
		}
		c.aim(&f.packet)
		return &c.there
	}
	if len(f.list) == flowsMax {
		return &f.others
	}
	c := &flow{key: key, first: e.At, port: f.packet.dstPort}
	f.byKey[key] = c
	f.list = append(f.list, c)
	if key.kind == flowARP && f.packet.arp == wire.ARPReply { // to what was not asked
		return &c.back
	}
	return &c.there
}

// find is the conversation that a packet of that key belongs to, and whether it
// goes back to the side that spoke first.
func (f *flows) find(p *packet, k flowKey) (c *flow, back bool) {
	if c = f.byKey[k]; c != nil {
		return c, k.kind == flowARP && p.arp == wire.ARPReply
	}
	if k.kind == flowARP {
		return nil, false
	}
	c = f.byKey[k.reversed()]
	return c, c != nil
}

// aim notes the port that a packet goes to.
func (c *flow) aim(p *packet) {
	if p.hasPorts && p.dstPort != c.port {
		c.ports = true
	}
}

func (c *flow) answer(what string, from netip.Addr) {
	for i := range c.answers {
		if a := &c.answers[i]; a.what == what && a.from == from {
			a.packets++
			return
		}
	}
	if len(c.answers) == answersMax {
		c.more++
		return
	}
	c.answers = append(c.answers, answer{what, from, 1})
}

// received follows the packets that are traced.
func (f *flows) received(e *record.Event) {
	t := f.tracing[e.Packet]
	if t == nil {
		return
	}
	at := &f.places[e.Place]
	parent := int32(-1)
	for i := len(t.steps) - 1; i >= 0 && parent < 0; i-- {
		if slices.Contains(at.peers, t.steps[i].node) {
			parent = int32(i)
		}
	}
	if parent < 0 || len(t.steps) == traceStepsMax {
		f.endTrace(e.Packet, t)
		return
	}
	t.steps = append(t.steps, step{node: at.node, parent: parent})
	f.packet.read(e.Data)
	if owner, known := f.owners[f.packet.dst]; known && owner == at.node {
		t.arrived = true
		f.endTrace(e.Packet, t)
	}
}

func (f *flows) endTrace(packet uint64, t *trace) {
	t.ended = true
	delete(f.tracing, packet)
}

// drop counts a drop.
func (f *flows) drop(e *record.Event) {
	at := &f.places[e.Place]
	if t := f.tracing[e.Packet]; t != nil {
		for i := range t.steps {
			if t.steps[i].node == at.node {
				t.steps[i].drop = e.Why
			}
		}
		if !bystander(e.Why) {
			f.endTrace(e.Packet, t)
		}
	}
	if bystander(e.Why) {
		f.ignored++
		return
	}
	f.dropped++
	f.packet.read(e.Data)
	if key, ok := keyOf(&f.packet); ok {
		if c, back := f.find(&f.packet, key); c != nil && back {
			c.back.drops++
		} else if c != nil {
			c.there.drops++
		}
	}
	key := dropKey{e.Place, e.Why}
	k := f.drops[key]
	if k == nil {
		if len(f.dropList) == dropKindsMax {
			f.unlisted++
			return
		}
		k = &dropKind{dropKey: key, at: e.At, packet: f.packet.sentence()}
		f.drops[key] = k
		f.dropList = append(f.dropList, k)
	}
	k.count++
}

// path is the way that a packet took: the names of the nodes to the one that has
// the address, or to where it was dropped. Of one that went to all and was
// answered by nobody, it is the way before it was multiplied, and flooded.
func (f *flows) path(steps []step, to netip.Addr) (names []string, arrived, flooded bool) {
	if len(steps) == 0 {
		return nil, false, false
	}
	last := -1
	for i := range steps {
		if i == 0 && len(steps) > 1 {
			continue // one that asks for itself announces itself
		}
		if owner, known := f.owners[to]; known && owner == steps[i].node {
			last, arrived = i, true
			break
		}
		if d := steps[i].drop; d != wire.NotDropped && !bystander(d) {
			last = i
		}
	}
	if last < 0 {
		last, flooded = trunk(steps)
	}
	for i := int32(last); i >= 0; i = steps[i].parent {
		names = append(names, f.plan.Nodes[steps[i].node].Name)
	}
	slices.Reverse(names)
	return names, arrived, flooded
}

// trunk is the last step before the way parts, and whether it does.
func trunk(steps []step) (last int, parts bool) {
	for {
		next := -1
		for i := last + 1; i < len(steps); i++ {
			if int(steps[i].parent) != last {
				continue
			}
			if next >= 0 {
				return last, true
			}
			next = i
		}
		if next < 0 {
			return last, false
		}
		last = next
	}
}
