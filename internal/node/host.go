// Package node is the machines of a network, assembled from engines: hosts and
// routers around a stack, switches and hubs around package ether.
//
// A node is what links are plugged into (link.Receiver) and what has a place in
// the order of events (sim.Origin); it arms the timer for its engine's deadline
// and knows nothing of protocols.
package node

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
	"github.com/hopyard/hopyard/internal/stack"
	"github.com/hopyard/hopyard/internal/wire"
)

// Host is a machine with a network layer: a host or, where it forwards, a router.
type Host struct {
	origin *sim.Origin
	stack  *stack.Stack
	lookup func(name string) []netip.Addr
	ports  []*stack.Interface
	first  [1]*stack.Interface // ports of a machine that has one: nearer, and no allocation
	armed  sim.Time            // what the timer is set to
	timer  sim.Timer
}

var (
	_ link.Receiver       = (*Host)(nil)
	_ link.CarrierWatcher = (*Host)(nil)
	_ socket.Host         = (*Host)(nil)
)

// NewHost makes a machine around a stack. lookup finds the addresses of names for
// its programs.
func NewHost(o *sim.Origin, s *stack.Stack, lookup func(name string) []netip.Addr) *Host {
	h := &Host{origin: o, stack: s, lookup: lookup, armed: sim.Never}
	h.timer.Init((*hostTimer)(h))
	h.ports = h.first[:0]
	return h
}

// AddPort makes an interface of the stack the host's next port and returns its
// number, by which a link hands frames to it.
func (h *Host) AddPort(i *stack.Interface) int {
	h.ports = append(h.ports, i)
	return len(h.ports) - 1
}

// Name is what the machine is called.
func (h *Host) Name() string { return h.origin.Name() }

// Origin is the machine in the order of events.
func (h *Host) Origin() *sim.Origin { return h.origin }

// Stack is the machine's network layer. Kernel only; call Settle after changing it.
func (h *Host) Stack() *stack.Stack { return h.stack }

// LookupHost finds the addresses of a name.
func (h *Host) LookupHost(name string) []netip.Addr { return h.lookup(name) }

// Start starts a program on the machine. exit, if not nil, runs in the kernel
// when it has ended. Kernel only.
func (h *Host) Start(name string, main func(n *socket.Net), exit func(now sim.Time)) *sim.Proc {
	var n *socket.Net
	p := h.origin.Go(name, func(*sim.Proc) { main(n) }, exit)
	n = socket.New(p, h) // before the program begins: it does so with a call
	return p
}

// Open starts a program that does nothing until it is stopped, and returns its
// access to the network, for goroutines of others to use. Kernel only.
func (h *Host) Open(name string) *socket.Net {
	return socket.New(h.origin.Go(name, func(p *sim.Proc) { <-p.Context().Done() }, nil), h)
}

// Receive takes a frame from the link at a port.
func (h *Host) Receive(now sim.Time, port int, f *wire.Frame) {
	h.stack.Input(now, h.ports[port], f)
	h.Settle(now)
}

// Carrier is told that the link at a port went up or down.
func (h *Host) Carrier(now sim.Time, port int, up bool) {
	h.ports[port].SetCarrier(now, up)
	h.Settle(now)
}

// Settle arms the timer for the stack's deadline, after the stack was touched.
func (h *Host) Settle(sim.Time) {
	if deadline := h.stack.Deadline(); deadline != h.armed {
		h.armed = deadline
		h.origin.Set(&h.timer, deadline)
	}
}

type hostTimer Host

// Fire has the stack do what is due.
func (t *hostTimer) Fire(now sim.Time) {
	h := (*Host)(t)
	h.armed = sim.Never
	h.stack.Advance(now)
	h.Settle(now)
}
