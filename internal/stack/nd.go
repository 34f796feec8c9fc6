package stack

import "github.com/hopyard/hopyard/internal/sim"

// solicitND asks for an IPv6 neighbour's address: by multicast while nothing is
// known, by unicast to n.MAC in PROBE.
func (s *Stack) solicitND(now sim.Time, n *Neighbor) {}
