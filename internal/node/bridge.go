package node

import (
	"github.com/hopyard/hopyard/internal/ether"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Switch is a machine that joins links as a learning bridge.
type Switch struct {
	origin *sim.Origin
	*ether.Switch
}

var (
	_ link.Receiver       = (*Switch)(nil)
	_ link.CarrierWatcher = (*Switch)(nil)
)

// NewSwitch makes a switch without ports.
func NewSwitch(o *sim.Origin, cfg ether.SwitchConfig) *Switch {
	return &Switch{origin: o, Switch: ether.NewSwitch(cfg)}
}

// Name is what the switch is called.
func (s *Switch) Name() string { return s.origin.Name() }

// Origin is the switch in the order of events.
func (s *Switch) Origin() *sim.Origin { return s.origin }

// Receive takes a frame from the link at a port.
func (s *Switch) Receive(now sim.Time, port int, f *wire.Frame) { s.Input(now, port, f) }

// Carrier is told that the link at a port went up or down.
func (s *Switch) Carrier(now sim.Time, port int, up bool) { s.SetPort(now, port, up) }

// Hub is a machine that repeats what comes in at one port to all others.
type Hub struct {
	origin *sim.Origin
	*ether.Hub
}

var _ link.Receiver = (*Hub)(nil)

// NewHub makes a hub without ports.
func NewHub(o *sim.Origin, cfg ether.HubConfig) *Hub { return &Hub{origin: o, Hub: ether.NewHub(cfg)} }

// Name is what the hub is called.
func (h *Hub) Name() string { return h.origin.Name() }

// Origin is the hub in the order of events.
func (h *Hub) Origin() *sim.Origin { return h.origin }

// Receive takes a frame from the link at a port.
func (h *Hub) Receive(now sim.Time, port int, f *wire.Frame) { h.Input(now, port, f) }
