package stack

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// receiveARP is arp_rcv and arp_process (RFC 826). It owns the frame.
func (s *Stack) receiveARP(now sim.Time, i *Interface, f *wire.Frame, to cast) {
	m, err := wire.ParseARP(f.Bytes()[wire.EthernetLen:])
	if err != nil || m.Op() != wire.ARPRequest && m.Op() != wire.ARPReply {
		s.drop(now, i, f, wire.DropMalformed)
		return
	}
	sender, target := m.SenderIP(), m.TargetIP()
	if target.IsMulticast() || isLoopback(target) || m.SenderMAC().IsMulticast() {
		s.drop(now, i, f, wire.DropMalformed)
		return
	}
	s.detectConflict(now, i, m)
	if m.Op() == wire.ARPRequest && s.answersARP(i, sender, target) {
		s.answerARP(now, i, m)
		f.Release()
		return
	}
	s.learnARP(now, i, m, to)
	f.Release()
}

// answerARP answers a request for one of the machine's addresses, having learned
// from it who asks: the merge and the "target is me" of RFC 826.
func (s *Stack) answerARP(now sim.Time, i *Interface, m wire.ARP) {
	sender := m.SenderIP()
	if sender.IsUnspecified() { // a probe (RFC 5227 2.1.1): nothing to learn
		s.sendARP(now, i, m.SenderMAC(), wire.ARPPacket{
			Op: wire.ARPReply, SenderMAC: i.mac, SenderIP: m.TargetIP(), TargetMAC: m.SenderMAC(), TargetIP: sender,
		})
		return
	}
	if n := i.neighbor(now, sender); n != nil { // neigh_event_ns
		s.updateNeighbor(now, n, NeighborUpdate{MAC: m.SenderMAC(), KnownMAC: true, State: NeighborStale, Override: true})
	}
	s.sendARP(now, i, m.SenderMAC(), wire.ARPPacket{
		Op: wire.ARPReply, SenderMAC: i.mac, SenderIP: m.TargetIP(), TargetMAC: m.SenderMAC(), TargetIP: sender,
	})
}

// learnARP overwrites what is known of the sender: replies to us, announcements
// and requests for others update an entry; only arp_accept makes one.
func (s *Stack) learnARP(now sim.Time, i *Interface, m wire.ARP, to cast) {
	sender := m.SenderIP()
	if zeronet(sender) || s.IsLocal(sender) {
		return
	}
	gratuitous := sender == m.TargetIP()
	n := i.LookupNeighbor(sender)
	if n == nil {
		if s.sysctl.ARPAccept == 0 || !gratuitous {
			return
		}
		if n = i.neighbor(now, sender); n == nil {
			return
		}
	}
	state := NeighborStale
	if m.Op() == wire.ARPReply && to == toHost {
		state = NeighborReachable // an answer to our question; a broadcast asserts nothing
	}
	// Linux waits locktime before it believes another MAC, so that of two answers
	// by proxies the first counts; announcements are believed at once.
	override := gratuitous || now.Sub(n.Updated) > s.sysctl.NeighLockTime
	s.updateNeighbor(now, n, NeighborUpdate{MAC: m.SenderMAC(), KnownMAC: true, State: state, Override: override})
}

// answersARP reports whether a request that came in at i is answered: by the weak
// host model for any address of the machine, as far as arp_ignore and arp_filter
// let it, and with proxy_arp for what is reached through another interface.
func (s *Stack) answersARP(i *Interface, sender, target netip.Addr) bool {
	if s.IsLocal(sender) {
		return false // another machine claims our address; the question is no question
	}
	c := s.sysctl
	l := s.locals.lookup(target)
	if l == nil || l.broadcast {
		if !c.ProxyARP || !c.IPForward || l != nil || sender == target {
			return false
		}
		r := s.routes[0].lookup(target, nil)
		return r != nil && r.Type == RouteUnicast && r.Interface != i
	}
	owner := l.owner.Interface
	switch c.ARPIgnore {
	case 1: // only for addresses of this interface
		if owner != i {
			return false
		}
	case 2: // and only where the sender is in the same subnet
		if owner != i || !l.owner.Prefix.Contains(sender) {
			return false
		}
	case 8:
		return false
	}
	if c.ARPFilter { // only where the way back leads through this interface
		r := s.routes[0].lookup(sender, nil)
		return r != nil && r.Interface == i
	}
	return true
}

// solicitARP is arp_solicit: it asks for n by broadcast, or by unicast to n.MAC
// in PROBE.
func (s *Stack) solicitARP(now sim.Time, n *Neighbor) {
	dst := wire.Broadcast
	p := wire.ARPPacket{Op: wire.ARPRequest, SenderMAC: n.Interface.mac, SenderIP: s.askingAddress(n), TargetIP: n.Addr}
	if n.State == NeighborProbe {
		dst, p.TargetMAC = n.MAC, n.MAC
	}
	s.sendARP(now, n.Interface, dst, p)
}

// askingAddress is the sender address of a request, by arp_announce: 0 takes the
// source of the packet that waits if it is the machine's own, 1 only if it is in
// the target's subnet on this interface, 2 never.
func (s *Stack) askingAddress(n *Neighbor) netip.Addr {
	if s.sysctl.ARPAnnounce < 2 && len(n.waiting) > 0 {
		src := wire.IPv4(n.waiting[0].Bytes()).Src()
		if l := s.locals.lookup(src); l != nil && !l.broadcast {
			if s.sysctl.ARPAnnounce == 0 || l.owner.Interface == n.Interface && l.owner.Prefix.Contains(n.Addr) {
				return src
			}
		}
	}
	return s.selectSourceIPv4(n.Interface, n.Addr)
}

// sendARP sends an ARP packet out of i.
func (s *Stack) sendARP(now sim.Time, i *Interface, dst wire.MAC, p wire.ARPPacket) {
	if i.loopback || !p.SenderIP.Is4() {
		return
	}
	f := s.newFrame(wire.EthernetMinLen)
	b := wire.AppendEthernet(f.Buffer(), wire.EthernetHeader{Dst: dst, Src: i.mac, Type: wire.TypeARP})
	f.SetBytes(wire.AppendARP(b, p))
	i.sendFrame(now, f)
}

// Announce sends a gratuitous ARP for an IPv4 address, as arping -A does: who has
// an entry for it overwrites it (RFC 5227 2.3).
func (i *Interface) Announce(now sim.Time, addr netip.Addr) {
	i.stack.sendARP(now, i, wire.Broadcast, wire.ARPPacket{
		Op: wire.ARPRequest, SenderMAC: i.mac, SenderIP: addr, TargetIP: addr,
	})
}

// announceAll announces the addresses of an interface that came up or got
// another MAC (arp_notify).
func (s *Stack) announceAll(now sim.Time, i *Interface) {
	if !s.sysctl.ARPNotify {
		return
	}
	for _, a := range i.addresses {
		if a.Addr().Is4() && a.usable() {
			i.Announce(now, a.Addr())
		}
	}
}
