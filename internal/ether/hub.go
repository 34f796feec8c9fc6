package ether

import (
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// HubConfig is what a hub is made of.
type HubConfig struct {
	Tap   Tap // may be nil
	Place int // handed to the tap
}

// Hub repeats each frame to all other ports and looks at nothing. It takes whole
// frames, where a real one repeats bits, so ports may have different rates.
type Hub struct {
	cfg   HubConfig
	ports []Sender
}

// NewHub makes a hub without ports.
func NewHub(cfg HubConfig) *Hub { return &Hub{cfg: cfg} }

// AddPort adds a port and returns its number, counted from 0.
func (h *Hub) AddPort(out Sender) int {
	h.ports = append(h.ports, out)
	return len(h.ports) - 1
}

// Input takes a frame that arrived at a port, and owns it.
func (h *Hub) Input(now sim.Time, in int, f *wire.Frame) {
	last := len(h.ports) - 1
	if last == in {
		last--
	}
	if last < 0 {
		if h.cfg.Tap != nil {
			h.cfg.Tap.Dropped(now, h.cfg.Place, f, wire.DropNoPort)
		}
		f.Release()
		return
	}
	for i, out := range h.ports[:last] {
		if i != in {
			out.Send(now, f.Clone())
		}
	}
	h.ports[last].Send(now, f)
}
