// Package ether is the machines that join Ethernet links: the switch, which
// learns where stations are, and the hub, which repeats.
//
// Both are handed frames with the number of the port and send them out of other
// ports; what a port is plugged into they do not know. Start reading at
// Switch.Input.
package ether

import (
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Sender is what a port sends to, and owns what it is sent: the end of a link.
type Sender interface {
	Send(now sim.Time, f *wire.Frame)
}

// Tap watches what goes no further.
type Tap interface {
	Dropped(now sim.Time, place int, f *wire.Frame, why wire.Drop)
}

// SwitchConfig is what a switch is made of.
type SwitchConfig struct {
	Tap      Tap          // may be nil
	Place    int          // handed to the tap
	Ageing   sim.Duration // how long a silent station is remembered; 0: 300 s
	TableMax int          // how many stations are remembered; 0: 8192
}

const (
	defaultAgeing   = sim.Duration(300e9) // IEEE 802.1D table 7-5; Linux's ageing_time too
	defaultTableMax = 8192                // a usual size; Linux has no limit unless asked for one
)

// Switch is a transparent bridge (IEEE 802.1D 7) without spanning tree: it takes
// whole frames, and looks at their addresses alone. VLAN tags pass unread.
type Switch struct {
	cfg      SwitchConfig
	ports    []port
	table    table
	counters Counters
}

type port struct {
	name string
	out  Sender
	down bool
}

// Counters count what a switch did.
type Counters struct {
	Received  uint64 // frames that came in
	Forwarded uint64 // frames that went to the one port of their destination
	Flooded   uint64 // frames that went to all other ports
	Filtered  uint64 // dropped: only the port they came from leads to their destination
	Reserved  uint64 // dropped: for bridges alone
	Invalid   uint64 // dropped: too short, or from an address that no station has

	Learned uint64 // stations that were new
	Moved   uint64 // stations that came to another port
	Aged    uint64 // stations that were silent too long
	Missed  uint64 // frames whose source could not be learned: the table was full
}

// NewSwitch makes a switch without ports.
func NewSwitch(cfg SwitchConfig) *Switch {
	if cfg.Ageing == 0 {
		cfg.Ageing = defaultAgeing
	}
	if cfg.TableMax == 0 {
		cfg.TableMax = defaultTableMax
	}
	return &Switch{cfg: cfg}
}

// AddPort adds a port and returns its number, counted from 0.
func (s *Switch) AddPort(name string, out Sender) int {
	s.ports = append(s.ports, port{name: name, out: out})
	return len(s.ports) - 1
}

// SetPort tells the switch that the link at a port went up or down. What was
// learned from the port is forgotten, so that frames for stations that moved
// elsewhere meanwhile are flooded (Linux br_fdb_delete_by_port).
func (s *Switch) SetPort(now sim.Time, in int, up bool) {
	s.ports[in].down = !up
	s.table.flush(in)
}

// Input takes a frame that arrived at a port, and owns it.
func (s *Switch) Input(now sim.Time, in int, f *wire.Frame) {
	s.counters.Received++
	s.counters.Aged += s.table.expire(now.Add(-s.cfg.Ageing))
	if s.ports[in].down {
		s.drop(now, f, wire.DropInterfaceDown)
		return
	}
	eth, err := wire.ParseEthernet(f.Bytes())
	if err != nil {
		s.counters.Invalid++
		s.drop(now, f, wire.DropMalformed)
		return
	}
	// Linux drops these in br_handle_frame, and so never learns a group address.
	src := eth.Src()
	if src.IsMulticast() || src == (wire.MAC{}) {
		s.counters.Invalid++
		s.drop(now, f, wire.DropMalformed)
		return
	}
	s.learn(now, in, src)
	dst := eth.Dst()
	if isReserved(dst) {
		s.counters.Reserved++
		s.drop(now, f, wire.DropUnknownType)
		return
	}
	if out, ok := s.table.find(dst); ok && !dst.IsMulticast() {
		if out == in {
			s.counters.Filtered++
			s.drop(now, f, wire.DropNoPort)
			return
		}
		s.counters.Forwarded++
		s.ports[out].out.Send(now, f)
		return
	}
	s.flood(now, in, f)
}

// isReserved reports whether an address is one of the sixteen that no bridge
// forwards (IEEE 802.1D 7.12.6). Linux without STP forwards the first of them.
func isReserved(m wire.MAC) bool {
	return m[0] == 0x01 && m[1] == 0x80 && m[2] == 0xc2 && m[3] == 0 && m[4] == 0 && m[5]&0xf0 == 0
}

// learn notes at which port a station is. A full table learns no more and
// forgets nothing before its time, so the rest is flooded: what Linux does at
// fdb_max_learned.
func (s *Switch) learn(now sim.Time, in int, src wire.MAC) {
	switch s.table.see(now, src, in, s.cfg.TableMax) {
	case seenNew:
		s.counters.Learned++
	case seenElsewhere:
		s.counters.Moved++
	case seenNoRoom:
		s.counters.Missed++
	}
}

// flood sends the frame to all other ports: copies, and itself to the last.
func (s *Switch) flood(now sim.Time, in int, f *wire.Frame) {
	last := len(s.ports) - 1
	for last >= 0 && (last == in || s.ports[last].down) {
		last--
	}
	if last < 0 {
		s.counters.Filtered++
		s.drop(now, f, wire.DropNoPort)
		return
	}
	s.counters.Flooded++
	for i := range s.ports[:last] {
		if p := &s.ports[i]; i != in && !p.down {
			p.out.Send(now, f.Clone())
		}
	}
	s.ports[last].out.Send(now, f)
}

func (s *Switch) drop(now sim.Time, f *wire.Frame, why wire.Drop) {
	if s.cfg.Tap != nil {
		s.cfg.Tap.Dropped(now, s.cfg.Place, f, why)
	}
	f.Release()
}

// Counters is what the switch did so far.
func (s *Switch) Counters() Counters { return s.counters }

// Station is a line of the switch's table.
type Station struct {
	MAC  wire.MAC
	Port string
	Age  sim.Duration // since the last frame from there
}

// Table is where the switch thinks that stations are, by address.
func (s *Switch) Table(now sim.Time) []Station {
	s.counters.Aged += s.table.expire(now.Add(-s.cfg.Ageing))
	var stations []Station
	for i := s.table.newest(); i != 0; i = s.table.entries[i].older {
		e := &s.table.entries[i]
		stations = append(stations, Station{e.mac, s.ports[e.port].name, now.Sub(e.seen)})
	}
	slices.SortFunc(stations, func(a, b Station) int { return slices.Compare(a.MAC[:], b.MAC[:]) })
	return stations
}
