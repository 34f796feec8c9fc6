package stack

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// solicitND asks for an IPv6 neighbour's address: by multicast while nothing is
// known, by unicast to n.MAC in PROBE (RFC 4861 7.2.2, 7.3.3; ndisc_solicit).
func (s *Stack) solicitND(now sim.Time, n *Neighbor) {
	src, ok := s.solicitSource(n)
	if !ok {
		return // no address is ready yet
	}
	h := wire.NeighborSolicitationHeader{Src: src, Dst: wire.SolicitedNode(n.Addr), Target: n.Addr, SourceMAC: n.Interface.mac}
	if n.State == NeighborProbe {
		h.Dst = n.Addr
	}
	f := s.newFrame(ndFrameSize)
	f.SetBytes(wire.AppendNeighborSolicitation(f.Buffer(), h))
	s.sendND(now, n.Interface, f, ndEnvelope{src: src, dst: h.Dst, to: n.MAC})
}

// solicitSource is the address to ask from: RFC 4861 7.2.2 prefers the source of
// the packet that waits, if it is this machine's.
func (s *Stack) solicitSource(n *Neighbor) (netip.Addr, bool) {
	if len(n.waiting) > 0 {
		src := wire.IPv6(n.waiting[0].Bytes()).Src()
		if a := n.Interface.addressIPv6(src); a != nil && a.usable() {
			return src, true
		}
	}
	return s.sourceIPv6(n.Addr, n.Interface)
}

// ndFrameSize holds every ND message but a redirect.
const ndFrameSize = 128

// ndEnvelope is where an ND message goes.
type ndEnvelope struct {
	src, dst netip.Addr
	to       wire.MAC // of a unicast dst
}

// sendND sends an ND message, past the neighbour table: a solicitation must not
// wait for what it asks for.
func (s *Stack) sendND(now sim.Time, i *Interface, f *wire.Frame, e ndEnvelope) {
	s.count6(icmp6OutMsgs)
	s.count6(ip6OutRequests)
	pushIPv6(f, wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: wire.NDHopLimit, Src: e.src, Dst: e.dst})
	if e.dst.IsMulticast() {
		e.to = wire.MulticastMAC(e.dst)
	}
	s.transmitTo(now, i, e.to, f)
}

// advertiseND sends a neighbour advertisement. To a neighbour it goes through the
// neighbour table, which the solicitation filled.
func (s *Stack) advertiseND(now sim.Time, i *Interface, h wire.NeighborAdvertisementHeader) {
	h.Router = s.sysctl.IPv6.Forwarding
	f := s.newFrame(ndFrameSize)
	f.SetBytes(wire.AppendNeighborAdvertisement(f.Buffer(), h))
	if h.Dst.IsMulticast() {
		s.sendND(now, i, f, ndEnvelope{src: h.Src, dst: h.Dst})
		return
	}
	s.count6(icmp6OutMsgs)
	s.count6(ip6OutRequests)
	pushIPv6(f, wire.IPv6Header{NextHeader: wire.ProtocolICMPv6, HopLimit: wire.NDHopLimit, Src: h.Src, Dst: h.Dst})
	s.transmit(now, i, h.Dst, f)
}

// receiveND takes an ND message; the caller owns the frame. Invalid ones are
// dropped in silence, which the result tells.
func (s *Stack) receiveND(now sim.Time, p *packet) wire.Drop {
	b := p.upper()
	if err := wire.CheckND(b, wire.NDContext{Src: p.src, Dst: p.dst, HopLimit: p.ttl}); err != nil {
		s.count6(icmp6InErrors)
		return wire.DropMalformed
	}
	if p.in.loopback || p.in.v6 == nil {
		return wire.NotDropped
	}
	switch wire.ICMPv6(b).Type() {
	case wire.ICMPv6NeighborSolicitation:
		return s.receiveSolicitation(now, p, wire.NeighborSolicitation(b))
	case wire.ICMPv6NeighborAdvertisement:
		s.receiveAdvertisement(now, p, wire.NeighborAdvertisement(b))
	case wire.ICMPv6RouterSolicitation:
		s.receiveRouterSolicitation(now, p, wire.RouterSolicitation(b))
	case wire.ICMPv6RouterAdvertisement:
		s.receiveRouterAdvertisement(now, p, wire.RouterAdvertisement(b))
	case wire.ICMPv6Redirect:
		return s.receiveRedirectIPv6(now, p, wire.NDRedirect(b))
	}
	return wire.NotDropped
}

// receiveSolicitation is ndisc_recv_ns (RFC 4861 7.2.3, 7.2.4).
func (s *Stack) receiveSolicitation(now sim.Time, p *packet, m wire.NeighborSolicitation) wire.Drop {
	i := p.in
	a := i.addressIPv6(m.Target())
	probe := p.src.IsUnspecified()
	if a == nil || a.State == AddressDuplicate {
		return wire.DropNotForUs
	}
	if a.State == AddressTentative {
		if probe {
			s.duplicateIPv6(now, a) // RFC 4862 5.4.3: someone else wants it too
		}
		return wire.DropAddressNotReady
	}
	h := wire.NeighborAdvertisementHeader{Src: a.Addr(), Dst: p.src, Target: a.Addr(), Solicited: true}
	if probe {
		h.Dst, h.Solicited, h.Override, h.TargetMAC = allNodesIPv6, false, true, i.mac
		s.advertiseND(now, i, h)
		return wire.NotDropped
	}
	if p.dst.IsMulticast() {
		// RFC 4861 7.2.4. Who asks by unicast knows the address; Linux leaves it out.
		h.Override, h.TargetMAC = true, i.mac
	}
	mac, told := m.Options().LinkLayer(wire.NDSourceLinkLayer)
	n := i.LookupNeighbor(p.src)
	if n == nil && (told || !p.dst.IsMulticast()) {
		n = i.neighbor(now, p.src)
	}
	if n != nil {
		s.updateNeighbor(now, n, NeighborUpdate{MAC: mac, KnownMAC: told, State: NeighborStale, Override: true, WeakOverride: true})
	}
	s.advertiseND(now, i, h)
	return wire.NotDropped
}

// receiveAdvertisement is ndisc_recv_na (RFC 4861 7.2.5).
func (s *Stack) receiveAdvertisement(now sim.Time, p *packet, m wire.NeighborAdvertisement) {
	i := p.in
	if a := i.addressIPv6(m.Target()); a != nil {
		if a.State == AddressTentative {
			s.duplicateIPv6(now, a) // RFC 4862 5.4.4
		}
		return // else someone claims what is ours; Linux logs it
	}
	n := i.LookupNeighbor(m.Target())
	if n == nil || n.State == NeighborFailed {
		return // nothing was asked
	}
	mac, told := m.Options().LinkLayer(wire.NDTargetLinkLayer)
	u := NeighborUpdate{MAC: mac, KnownMAC: told, State: NeighborStale, Override: m.Override(), WeakOverride: true, Router: m.Router(), SetRouter: true}
	if m.Solicited() {
		u.State = NeighborReachable
	}
	wasRouter := n.Router
	s.updateNeighbor(now, n, u)
	if wasRouter && !n.Router {
		s.forgetRouter(i, n.Addr) // it is a router no more
	}
}

// addressTimers is what an IPv6 address needs for duplicate address detection
// (RFC 4862 5.4), and its lifetimes.
type addressTimers struct {
	address *Address
	timer   sim.Timer
	probes  int // sent

	validUntil, preferredUntil sim.Time // 0: for ever
}

// timers is a.v6, made when first needed.
func (a *Address) timers() *addressTimers {
	if a.v6 == nil {
		a.v6 = &addressTimers{address: a}
		a.v6.timer.Init(a.v6)
	}
	return a.v6
}

// startAddressIPv6 is called for an IPv6 address that was added to an interface:
// it joins the solicited-node group, and the address is tentative until nobody
// else is found to have it.
func (s *Stack) startAddressIPv6(now sim.Time, a *Address) {
	i := a.Interface
	if i.loopback || s.sysctl.IPv6.Disable {
		return
	}
	i.ipv6()
	i.JoinGroup(wire.SolicitedNode(a.Addr()))
	a.timers().probes = 0
	if s.sysctl.IPv6.DADTransmits == 0 {
		s.readyIPv6(now, a)
		return
	}
	a.State = AddressTentative
	if i.noCarrier {
		return // carrierIPv6 begins
	}
	s.beginDAD(now, a)
}

// beginDAD waits a random time before the first probe, so that machines that start
// together do not probe together (RFC 4862 5.4.2; addrconf_dad_kick).
func (s *Stack) beginDAD(now sim.Time, a *Address) {
	a.v6.probes = 0
	s.setTimer(&a.v6.timer, now.Add(s.rand().Between(0, s.sysctl.IPv6.RouterSolicitationDelay)))
}

// carrierIPv6 is called when the link of an interface that is up comes up: what was
// told on the old link may be wrong on the new one, so addresses that were not
// checked are checked, and routers asked (RFC 4861 6.3.7).
func (s *Stack) carrierIPv6(now sim.Time, i *Interface) {
	if i.v6 == nil || s.sysctl.IPv6.Disable {
		return
	}
	for _, a := range i.addresses {
		if a.v6 != nil && a.State == AddressTentative {
			s.beginDAD(now, a)
		}
	}
	if a := i.linkLocal(); a != nil && a.usable() {
		s.solicitRouters(now, i)
	}
}

// Fire sends the next probe or, after the last, takes the address for unique.
func (t *addressTimers) Fire(now sim.Time) {
	a := t.address
	i := a.Interface
	s := i.stack
	if t.probes >= s.sysctl.IPv6.DADTransmits {
		s.readyIPv6(now, a)
		return
	}
	t.probes++
	f := s.newFrame(ndFrameSize)
	h := wire.NeighborSolicitationHeader{Src: netip.IPv6Unspecified(), Dst: wire.SolicitedNode(a.Addr()), Target: a.Addr()}
	f.SetBytes(wire.AppendNeighborSolicitation(f.Buffer(), h))
	s.sendND(now, i, f, ndEnvelope{src: h.Src, dst: h.Dst})
	s.setTimer(&t.timer, now.Add(i.retransIPv6()))
}

// retransIPv6 is the time between solicitations (RetransTimer).
func (i *Interface) retransIPv6() sim.Duration {
	if i.v6 != nil && i.v6.retrans != 0 {
		return i.v6.retrans
	}
	return i.stack.sysctl.NeighRetrans
}

// readyIPv6 puts an address to use that nobody else has.
func (s *Stack) readyIPv6(now sim.Time, a *Address) {
	a.State = AddressReady
	if a.v6.preferredUntil != 0 && now >= a.v6.preferredUntil {
		a.State = AddressDeprecated
	}
	i := a.Interface
	if a.v6.validUntil != 0 || a.v6.preferredUntil != 0 {
		s.scheduleLifetimes(i)
	}
	if a != i.linkLocal() {
		return
	}
	// addrconf_dad_completed: the first link-local address is what ND speaks from.
	s.solicitRouters(now, i)
	s.startAdvertising(now, i)
}

// duplicateIPv6 gives an address up that another machine has. Linux keeps it,
// marked dadfailed, for people to see; with accept_dad=1 the interface goes on with
// its other addresses.
func (s *Stack) duplicateIPv6(now sim.Time, a *Address) {
	s.count6(icmp6DADFailed)
	a.State = AddressDuplicate
	s.stopTimer(&a.v6.timer)
}

// stopAddressIPv6 is the reverse of startAddressIPv6.
func (s *Stack) stopAddressIPv6(a *Address) {
	if a.v6 == nil {
		return
	}
	s.stopTimer(&a.v6.timer)
	a.Interface.LeaveGroup(wire.SolicitedNode(a.Addr()))
	a.v6 = nil
}
