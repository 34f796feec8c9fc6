package stack

import "github.com/hopyard/hopyard/internal/sim"

// solicitARP asks for n: by broadcast, or by unicast to n.MAC in PROBE.
func (s *Stack) solicitARP(now sim.Time, n *Neighbor) {}

// announce sends a gratuitous ARP request for an address.
func (s *Stack) announce(now sim.Time, a *Address) {}

// announceAll announces the addresses of an interface that came up (arp_notify).
func (s *Stack) announceAll(now sim.Time, i *Interface) {}
