package scenario

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// headline is the summary of a frame's highest layer, with the addresses of the
// one below where it does not name them itself.
func headline(frame []byte) string {
	text, addresses := "empty frame", ""
	var p packet
	p.read(frame)
	if p.isIP {
		addresses = p.src.String() + " -> " + p.dst.String() + " "
	}
	for _, l := range wire.Dissect(frame) {
		if l.Quoted || l.OSI < 2 || l.OSI > 4 || l.Name == "Padding" {
			continue
		}
		text = l.Summary
		if p.isIP && l.Name != "IPv4" && l.Name != "IPv6" && l.Name != "Ethernet II" {
			text = addresses + text
		}
	}
	return text
}

// what says in a few words what a packet is.
func (p *packet) what() string {
	request, reply := p.echo()
	var q packet
	switch {
	case p.arp == wire.ARPRequest:
		return "arp request"
	case p.arp == wire.ARPReply:
		return "arp reply"
	case request:
		return p.protocolName() + " echo request"
	case reply:
		return p.protocolName() + " echo reply"
	case p.isError && p.about(&q):
		return p.errorName()
	case p.hasPorts:
		return fmt.Sprintf("%s port %d -> %d", p.protocolName(), p.srcPort, p.dstPort)
	case p.isIP && p.fragment:
		return p.protocolName() + " fragment"
	case p.hasICMP && p.protocol == wire.ProtocolICMPv6:
		return icmpv6Name(wire.ICMPv6Type(p.icmpType))
	case p.isIP:
		return p.protocolName()
	}
	return strings.ToLower(p.kind.String())
}

func (p *packet) protocolName() string { return strings.ToLower(p.protocol.String()) }

// errorName names an ICMP error.
func (p *packet) errorName() string {
	switch {
	case isTimeExceeded(p):
		return "time exceeded"
	case isFragmentationNeeded(p):
		return "fragmentation needed"
	case isPortUnreachable(p):
		return "port unreachable"
	case isHostUnreachable(p):
		return "host unreachable"
	case isUnreachable(p):
		return "unreachable"
	case isRedirect(p):
		return "redirect"
	}
	return p.protocolName() + " error"
}

func icmpv6Name(t wire.ICMPv6Type) string {
	switch t {
	case wire.ICMPv6RouterSolicitation:
		return "router solicitation"
	case wire.ICMPv6RouterAdvertisement:
		return "router advertisement"
	case wire.ICMPv6NeighborSolicitation:
		return "neighbor solicitation"
	case wire.ICMPv6NeighborAdvertisement:
		return "neighbor advertisement"
	}
	return fmt.Sprintf("icmpv6 type %d", t)
}

// sentence says a packet in words: 10.0.0.1 -> 10.0.9.9 icmp echo request.
func (p *packet) sentence() string {
	switch {
	case p.arp == wire.ARPRequest:
		return fmt.Sprintf("%s asks for %s (arp request)", p.src, p.dst)
	case p.arp == wire.ARPReply:
		return fmt.Sprintf("%s answers %s (arp reply)", p.src, p.dst)
	case p.isIP:
		return fmt.Sprintf("%s -> %s %s", p.src, p.dst, p.what())
	}
	return fmt.Sprintf("%s -> %s %s", p.srcMAC, p.dstMAC, p.what())
}

// line says a kept frame on one line.
func (n *nearPacket) line(place record.Place) string {
	happened := n.kind.String()
	if n.kind == record.Dropped {
		happened = "dropped (" + n.why.String() + ")"
	}
	return fmt.Sprintf("%s %s %s: %s", seconds(sim.Duration(n.at)), place, happened, headline(n.data))
}

// seconds writes a time as people do, with as many digits as say something:
// 1.002s, 340us.
func seconds(d sim.Duration) string {
	if d >= time.Millisecond {
		return d.Round(time.Microsecond).String()
	}
	return strings.Replace(d.String(), "µ", "u", 1)
}

// grouped writes a number with commas: 9,980.
func grouped[T int | int64 | uint64](n T) string {
	s := strconv.FormatInt(int64(n), 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// count writes a number and its noun: 1 packet, 9,980 packets.
func count[T int | int64 | uint64](n T, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	plural := noun + "s"
	if before, ok := strings.CutSuffix(noun, "y"); ok {
		plural = before + "ies"
	}
	return grouped(n) + " " + plural
}

// size writes a number of bytes: 980 B, 1.2 MB.
func size(bytes uint64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if bytes < 1000 {
		return fmt.Sprintf("%d B", bytes)
	}
	v := float64(bytes)
	i := -1
	for v >= 999.5 && i < len(units)-1 {
		v /= 1000
		i++
	}
	return fmt.Sprintf("%.3g %s", v, units[i])
}

// percent writes a share.
func percent(part, all uint64) string {
	if all == 0 {
		return "0%"
	}
	return strconv.FormatFloat(100*float64(part)/float64(all), 'g', 3, 64) + "%"
}
