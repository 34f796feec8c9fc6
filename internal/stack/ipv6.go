package stack

import (
	"net/netip"
	"syscall"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// ipv6State is what a machine keeps for IPv6 besides addresses, routes and
// neighbours; made when first needed.
type ipv6State struct{}

// receiveIPv6 takes an IPv6 packet from an interface, and owns the frame, which
// begins at its Ethernet header. cast is how the frame was addressed.
func (s *Stack) receiveIPv6(now sim.Time, i *Interface, f *wire.Frame, to cast) {
	s.drop(now, i, f, wire.DropUnknownType)
}

// routeIPv6 finds the way for o: see Stack.route.
func (s *Stack) routeIPv6(now sim.Time, o *outgoing) error { return syscall.ENETUNREACH }

// sendIPv6 sends an upper-layer packet, which f begins with.
func (s *Stack) sendIPv6(now sim.Time, f *wire.Frame, o *outgoing) error {
	f.Release()
	return syscall.ENETUNREACH
}

// sourceIPv6 chooses the address to send from (RFC 6724).
func (s *Stack) sourceIPv6(dst netip.Addr, out *Interface) (netip.Addr, bool) {
	return netip.Addr{}, false
}

// icmpv6Error sends an ICMPv6 error about p.
func (s *Stack) icmpv6Error(now sim.Time, p *packet, why problem, mtu int) {}

// interfaceUpIPv6 is called when an interface comes up: link-local address, router
// solicitation. interfaceDownIPv6 is its reverse.
func (s *Stack) interfaceUpIPv6(now sim.Time, i *Interface)   {}
func (s *Stack) interfaceDownIPv6(now sim.Time, i *Interface) {}

// startAddressIPv6 is called for an IPv6 address that was added to an interface:
// duplicate address detection (a.State), solicited-node group. stopAddressIPv6 is
// its reverse.
func (s *Stack) startAddressIPv6(now sim.Time, a *Address) {}
func (s *Stack) stopAddressIPv6(a *Address)                {}

// interfaceIPv6 and addressTimers are what IPv6 keeps at an interface and at an
// address.
type interfaceIPv6 struct{}
type addressTimers struct{}

// IPv6Sysctl are the settings under net.ipv6.
type IPv6Sysctl struct{}

func defaultIPv6Sysctl() IPv6Sysctl { return IPv6Sysctl{} }

// countersIPv6 are the counters of /proc/net/snmp6 that are counted.
func (s *Stack) countersIPv6() []Counter { return nil }

// receiveICMPv6 takes an ICMPv6 message for this machine, and owns the frame.
func (s *Stack) receiveICMPv6(now sim.Time, p *packet) {
	s.drop(now, p.in, p.frame, wire.DropUnknownType)
}
