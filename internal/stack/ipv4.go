package stack

import (
	"encoding/binary"
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// The path of a packet, as in Linux; the five places where netfilter will look in
// are marked:
//
//	Input -> receiveIPv4 (ip_rcv) -PREROUTING-> routeInput
//	  -> localIPv4 (ip_local_deliver) -INPUT-> deliver -> UDP, ICMP, raw
//	  -> forwardIPv4 (ip_forward) -FORWARD-> outputIPv4
//	send -> sendIPv4 (ip_local_out) -OUTPUT-> outputIPv4
//	outputIPv4 (ip_output) -POSTROUTING-> fragment -> transmit (neighbour) -> sendFrame

// Input takes a frame that arrived at an interface, and owns it.
func (s *Stack) Input(now sim.Time, i *Interface, f *wire.Frame) {
	if !i.up {
		i.rare().receivedDrops++
		s.drop(now, i, f, wire.DropInterfaceDown)
		return
	}
	b := f.Bytes()
	if len(b) < wire.EthernetLen {
		i.rare().receivedErrors++
		s.drop(now, i, f, wire.DropMalformed)
		return
	}
	to := toHost
	switch dst := wire.MAC(b[:6]); {
	case dst == i.mac:
	case dst == wire.Broadcast:
		to = toBroadcast
	case dst.IsMulticast():
		to = toMulticast
		i.rare().receivedMulticast++
	default:
		// A card filters these out unless it is promiscuous. Hubs and floods make them
		// normal, so they are counted and not reported as drops.
		s.count(otherHost)
		f.Release()
		return
	}
	i.receivedPackets++
	i.receivedBytes += uint64(len(b))
	kind := wire.EtherType(binary.BigEndian.Uint16(b[12:]))
	if s.sniffed() {
		s.tapPackets(now, i, f, kind, false)
	}
	switch kind {
	case wire.TypeIPv4:
		s.receiveIPv4(now, i, f, to)
	case wire.TypeARP:
		s.receiveARP(now, i, f, to)
	case wire.TypeIPv6:
		s.receiveIPv6(now, i, f, to)
	default:
		i.rare().receivedDrops++
		s.drop(now, i, f, wire.DropUnknownType)
	}
}

// receiveIPv4 is ip_rcv: the packet makes sense or is dropped.
func (s *Stack) receiveIPv4(now sim.Time, i *Interface, f *wire.Frame, to cast) {
	s.count(ipInReceives)
	ip, err := wire.ParseIPv4(f.Bytes()[wire.EthernetLen:])
	if err != nil {
		s.count(ipInHdrErrors)
		s.drop(now, i, f, wire.DropMalformed)
		return
	}
	if !f.ChecksumsGood && !ip.ChecksumOK() {
		s.count(ipInHdrErrors)
		s.drop(now, i, f, wire.DropBadChecksum)
		return
	}
	p := ipv4Packet(i, f, ip, to)
	// PREROUTING
	s.routeInput(now, &p, ip)
}

// ipv4Packet describes an IPv4 packet whose frame begins at the Ethernet header.
func ipv4Packet(i *Interface, f *wire.Frame, ip wire.IPv4, to cast) packet {
	return packet{
		frame: f, in: i, src: ip.Src(), dst: ip.Dst(), protocol: ip.Protocol(), ttl: ip.TTL(), tos: ip.TOS(),
		ip: wire.EthernetLen, payload: wire.EthernetLen + ip.HeaderLen(), end: wire.EthernetLen + len(ip), cast: to,
	}
}

// packetOf describes the IP packet in f, which begins at its IP header, as one
// that i could not send.
func (s *Stack) packetOf(i *Interface, f *wire.Frame) (packet, bool) {
	b := f.Bytes()
	if b[0]>>4 == 6 {
		ip, err := wire.ParseIPv6(b)
		if err != nil {
			return packet{}, false
		}
		return packet{
			frame: f, in: i, src: ip.Src(), dst: ip.Dst(), protocol: ip.NextHeader(), ttl: ip.HopLimit(), tos: ip.TrafficClass(),
			payload: wire.IPv6Len, end: len(ip),
		}, true
	}
	ip, err := wire.ParseIPv4(b)
	if err != nil {
		return packet{}, false
	}
	return packet{
		frame: f, in: i, src: ip.Src(), dst: ip.Dst(), protocol: ip.Protocol(), ttl: ip.TTL(), tos: ip.TOS(),
		payload: ip.HeaderLen(), end: len(ip),
	}, true
}

var limitedBroadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// zeronet reports whether a is "this network", 0.0.0.0/8 (RFC 1122 3.2.1.3).
func zeronet(a netip.Addr) bool { return a.Is4() && a.As4()[0] == 0 }

// routeInput is ip_route_input_slow: whether the packet is for this machine, to
// be forwarded, or for nobody.
func (s *Stack) routeInput(now sim.Time, p *packet, ip wire.IPv4) {
	if p.src.IsMulticast() || p.src == limitedBroadcast {
		s.dropIn(now, p, wire.DropInvalidSource)
		return
	}
	if p.dst.IsMulticast() {
		if !p.in.inGroup(p.dst) {
			s.dropIn(now, p, wire.DropNotForUs)
			return
		}
		p.cast = toMulticast
		s.localIPv4(now, p, ip)
		return
	}
	if p.dst == limitedBroadcast {
		s.broadcastIn(now, p, ip)
		return
	}
	if !p.in.loopback && (zeronet(p.src) || isLoopback(p.src) || zeronet(p.dst) || isLoopback(p.dst)) {
		s.dropIn(now, p, wire.DropInvalidSource) // "martian source", "martian destination"
		return
	}
	l := s.locals.lookup(p.dst)
	if l != nil && l.broadcast {
		s.broadcastIn(now, p, ip)
		return
	}
	if l != nil || isLoopback(p.dst) {
		if why := s.validateSource(now, p); why != wire.NotDropped {
			s.dropIn(now, p, why)
			return
		}
		s.localIPv4(now, p, ip)
		return
	}
	if !s.sysctl.IPForward {
		s.count(ipInAddrErrors)
		s.dropIn(now, p, wire.DropForwardingOff)
		return
	}
	s.forwardIPv4(now, p, ip)
}

// broadcastIn is the brd_input of Linux: a broadcast may come from a machine
// without an address (DHCP).
func (s *Stack) broadcastIn(now sim.Time, p *packet, ip wire.IPv4) {
	if !zeronet(p.src) {
		if why := s.validateSource(now, p); why != wire.NotDropped {
			s.dropIn(now, p, why)
			return
		}
	}
	p.cast = toBroadcast
	s.localIPv4(now, p, ip)
}

// validateSource is fib_validate_source: no packet from outside has an address
// of this machine; with rp_filter (RFC 3704) 1 its source is reached through the
// interface it came from, with 2 through any.
func (s *Stack) validateSource(now sim.Time, p *packet) wire.Drop {
	if p.in.loopback {
		return wire.NotDropped
	}
	if s.locals.lookup(p.src) != nil {
		return wire.DropInvalidSource
	}
	if s.sysctl.RPFilter == 0 {
		return wire.NotDropped
	}
	r := s.routes[0].lookup(p.src, nil)
	if r == nil || r.Type != RouteUnicast || s.sysctl.RPFilter == 1 && r.Interface != p.in {
		return wire.DropReversePath
	}
	return wire.NotDropped
}

// dropIn drops a packet that came in.
func (s *Stack) dropIn(now sim.Time, p *packet, why wire.Drop) { s.drop(now, p.in, p.frame, why) }

// localIPv4 is ip_local_deliver: whole packets go up, fragments wait for the rest.
func (s *Stack) localIPv4(now sim.Time, p *packet, ip wire.IPv4) {
	if ip.IsFragment() {
		whole, ok := s.reassembleIPv4(now, p, ip)
		if !ok {
			return
		}
		p = &whole
	}
	// INPUT
	s.deliver(now, p)
}

// deliver hands a whole packet of either family, addressed to this machine, to
// raw sockets and the upper layer. It owns the frame.
func (s *Stack) deliver(now sim.Time, p *packet) {
	if p.dst.Is4() {
		s.count(ipInDelivers)
	}
	raw := s.deliverRaw(now, p)
	switch {
	case p.protocol == wire.ProtocolUDP:
		s.receiveUDP(now, p)
	case p.protocol == wire.ProtocolTCP:
		s.receiveTCP(now, p)
	case p.protocol == wire.ProtocolICMP && p.dst.Is4():
		s.receiveICMPv4(now, p)
	case p.protocol == wire.ProtocolICMPv6 && p.dst.Is6():
		s.receiveICMPv6(now, p)
	case raw:
		p.frame.Release()
	default:
		if p.dst.Is4() {
			s.count(ipInUnknownProtos)
		}
		s.icmpError(now, p, problemProtocolUnreachable, 0)
		s.dropIn(now, p, wire.DropUnknownType)
	}
}
