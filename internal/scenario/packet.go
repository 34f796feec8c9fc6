package scenario

import (
	"net/netip"

	"github.com/hopyard/hopyard/internal/wire"
)

// packet is what filters and conversations look at in a frame. It is filled in
// without an allocation; what the frame does not have stays zero.
type packet struct {
	frame    []byte
	dstMAC   wire.MAC
	srcMAC   wire.MAC
	kind     wire.EtherType
	arp      wire.ARPOp
	src, dst netip.Addr // of ARP: who asks, and for whom

	fragment bool // a piece of an IP packet; only the first shows what is carried
	protocol wire.Protocol
	isIP     bool

	// What the IP packet carries.
	hasPorts         bool
	srcPort, dstPort uint16
	hasTCP           bool
	tcpFlags         wire.TCPFlags
	tcpData          bool // it carries some
	hasICMP          bool
	icmpType         uint8
	icmpCode         uint8
	isError          bool   // an ICMP error
	quoted           []byte // the IP packet that it is about
}

// read looks at a frame.
func (p *packet) read(frame []byte) {
	*p = packet{frame: frame}
	e, err := wire.ParseEthernet(frame)
	if err != nil {
		return
	}
	p.dstMAC, p.srcMAC, p.kind = e.Dst(), e.Src(), e.Type()
	switch p.kind {
	case wire.TypeARP:
		if a, err := wire.ParseARP(e.Payload()); err == nil {
			p.arp, p.src, p.dst = a.Op(), a.SenderIP(), a.TargetIP()
		}
	case wire.TypeIPv4:
		if v4, err := wire.ParseIPv4(e.Payload()); err == nil {
			p.readIPv4(v4)
		}
	case wire.TypeIPv6:
		if v6, err := wire.ParseIPv6(e.Payload()); err == nil {
			p.readIPv6(v6)
		}
	}
}

func (p *packet) readIPv4(v4 wire.IPv4) {
	p.isIP, p.src, p.dst, p.protocol, p.fragment = true, v4.Src(), v4.Dst(), v4.Protocol(), v4.IsFragment()
	if v4.FragmentOffset() == 0 {
		p.readUpper(v4.Payload())
	}
}

func (p *packet) readIPv6(v6 wire.IPv6) {
	p.isIP, p.src, p.dst, p.protocol = true, v6.Src(), v6.Dst(), v6.NextHeader()
	var b []byte
	p.protocol, b, p.fragment = upperOf(v6)
	p.readUpper(b)
}

// upperOf walks over IPv6 extension headers (RFC 8200 4) to what the packet
// carries; of a fragment that is not the first, b is empty.
func upperOf(v6 wire.IPv6) (next wire.Protocol, b []byte, fragment bool) {
	next, b = v6.NextHeader(), v6.Payload()
	for {
		size := 8
		switch next {
		case wire.ProtocolHopByHop, wire.ProtocolRouting, wire.ProtocolDestination:
			if len(b) >= 2 {
				size = 8 * (int(b[1]) + 1)
			}
		case wire.ProtocolFragment:
			if f, err := wire.ParseIPv6Fragment(b); err == nil && !f.Atomic() {
				if fragment = true; f.Offset() > 0 {
					return f.NextHeader(), nil, true
				}
			}
		default:
			return next, b, fragment
		}
		if len(b) < size {
			return next, nil, fragment
		}
		next, b = wire.Protocol(b[0]), b[size:]
	}
}

func (p *packet) readUpper(b []byte) {
	switch p.protocol {
	case wire.ProtocolUDP, wire.ProtocolTCP:
		if len(b) >= wire.UDPLen { // both begin with the ports
			u := wire.UDP(b)
			p.hasPorts, p.srcPort, p.dstPort = true, u.SrcPort(), u.DstPort()
		}
		if p.protocol == wire.ProtocolTCP {
			if t, err := wire.ParseTCP(b); err == nil {
				p.hasTCP, p.tcpFlags, p.tcpData = true, t.Flags(), len(t.Payload()) > 0
			}
		}
	case wire.ProtocolICMP:
		if m, err := wire.ParseICMP(b); err == nil {
			p.hasICMP, p.icmpType, p.icmpCode, p.isError = true, uint8(m.Type()), m.Code(), m.IsError()
			if p.isError {
				p.quoted = m.Payload()
			}
		}
	case wire.ProtocolICMPv6:
		if m, err := wire.ParseICMPv6(b); err == nil {
			p.hasICMP, p.icmpType, p.icmpCode, p.isError = true, uint8(m.Type()), m.Code(), m.IsError()
			if p.isError {
				p.quoted = m.Payload()
			}
		}
	}
}

// about reads the packet that an ICMP error quotes; ok is false where it quotes
// none that can be read.
func (p *packet) about(q *packet) (ok bool) {
	*q = packet{}
	if !p.isError {
		return false
	}
	if p.protocol == wire.ProtocolICMP {
		v4, err := wire.ParseQuotedIPv4(p.quoted)
		if err == nil {
			q.readIPv4(v4)
		}
		return err == nil
	}
	v6, err := wire.ParseQuotedIPv6(p.quoted)
	if err == nil {
		q.readIPv6(v6)
	}
	return err == nil
}

// echo reports whether the packet is an echo request or reply of either family.
func (p *packet) echo() (request, reply bool) {
	if !p.hasICMP {
		return false, false
	}
	if p.protocol == wire.ProtocolICMP {
		return wire.ICMPType(p.icmpType) == wire.ICMPEcho, wire.ICMPType(p.icmpType) == wire.ICMPEchoReply
	}
	return wire.ICMPv6Type(p.icmpType) == wire.ICMPv6Echo, wire.ICMPv6Type(p.icmpType) == wire.ICMPv6EchoReply
}
