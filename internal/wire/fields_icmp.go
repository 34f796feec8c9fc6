package wire

import (
	"fmt"
	"strings"
)

// Words for types and codes (IANA, ICMP parameters; ICMPv6 parameters).
var (
	icmpTypes = map[ICMPType]string{
		ICMPEchoReply: "echo reply", ICMPUnreachable: "destination unreachable", ICMPRedirect: "redirect", ICMPEcho: "echo request",
		ICMPTimeExceeded: "time exceeded", ICMPParamProblem: "parameter problem", ICMPTimestamp: "timestamp",
	}
	icmpUnreachableCodes = []string{
		"network", "host", "protocol", "port", "fragmentation needed and DF set", "source route failed", "destination network unknown",
		"destination host unknown", "source host isolated", "network administratively prohibited", "host administratively prohibited",
		"network for type of service", "host for type of service", "communication administratively prohibited",
		"host precedence violation", "precedence cutoff in effect",
	}
	icmpRedirectCodes     = []string{"for the network", "for the host", "for the type of service and network", "for the type of service and host"}
	icmpTimeExceededCodes = []string{"time to live exceeded in transit", "fragment reassembly time exceeded"}
	icmpParamCodes        = []string{"pointer indicates the error", "missing a required option", "bad length"}

	icmpv6Types = map[ICMPv6Type]string{
		ICMPv6Unreachable: "destination unreachable", ICMPv6PacketTooBig: "packet too big", ICMPv6TimeExceeded: "time exceeded",
		ICMPv6ParamProblem: "parameter problem", ICMPv6Echo: "echo request", ICMPv6EchoReply: "echo reply",
		ICMPv6RouterSolicitation: "router solicitation", ICMPv6RouterAdvertisement: "router advertisement",
		ICMPv6NeighborSolicitation: "neighbor solicitation", ICMPv6NeighborAdvertisement: "neighbor advertisement", ICMPv6Redirect: "redirect",
	}
	icmpv6UnreachableCodes = []string{
		"no route to destination", "communication administratively prohibited", "beyond scope of source address", "address unreachable",
		"port unreachable", "source address failed ingress/egress policy", "reject route to destination",
	}
	icmpv6TimeExceededCodes = []string{"hop limit exceeded in transit", "fragment reassembly time exceeded"}
	icmpv6ParamCodes        = []string{"erroneous header field", "unrecognized next header", "unrecognized IPv6 option"}
)

// codeWords is the word for a code, empty where there is none.
func codeWords(words []string, code uint8) string {
	if int(code) < len(words) {
		return words[code]
	}
	return ""
}

// kind adds type and code with their words, and tells both in the summary.
func (l *layerWriter) kind(name, kind, code string) {
	if kind == "" {
		kind = fmt.Sprintf("type %d", l.at(0)[0])
	}
	l.dec("Type", 0, 0, 8).Note = kind
	l.dec("Code", 1, 0, 8).Note = code
	l.Summary = name + " " + kind
	switch {
	case code != "":
		l.Summary += ": " + code
	case l.at(1)[0] != 0:
		l.Summary += fmt.Sprintf(", code %d", l.at(1)[0])
	}
}

func (d *dissector) icmp(start, end int) {
	m, err := ParseICMP(d.frame[start:end])
	if err != nil {
		d.rest("ICMP", 3, start, end, err.Error())
		return
	}
	tail := end
	if m.IsError() {
		tail = start + ICMPLen
	}
	l := d.layer("ICMP", 3, start, tail)
	codes := map[ICMPType][]string{
		ICMPUnreachable: icmpUnreachableCodes, ICMPRedirect: icmpRedirectCodes,
		ICMPTimeExceeded: icmpTimeExceededCodes, ICMPParamProblem: icmpParamCodes,
	}[m.Type()]
	l.kind("ICMP", icmpTypes[m.Type()], codeWords(codes, m.Code()))
	l.checksum(2, m.ChecksumOK)
	switch m.Type() {
	case ICMPEcho, ICMPEchoReply:
		l.Summary += fmt.Sprintf(", id %d, seq %d", m.ID(), m.Seq())
		l.dec("Identifier", 4, 0, 16)
		l.dec("Sequence Number", 6, 0, 16)
	case ICMPRedirect:
		l.Summary += fmt.Sprintf(", better router %s", m.Gateway())
		l.ip("Gateway Internet Address", 4, 4)
	case ICMPUnreachable:
		l.hex("Unused", 4, 0, 16)
		l.dec("Next-Hop MTU", 6, 0, 16)
		if m.Code() == ICMPFragmentationNeeded {
			l.Summary += fmt.Sprintf(", MTU %d", m.MTU())
		}
	case ICMPTimeExceeded:
		l.hex("Unused", 4, 0, 32)
	case ICMPParamProblem:
		l.dec("Pointer", 4, 0, 8).Note = "the byte that is at fault"
		l.hex("Unused", 5, 0, 24)
	default:
		l.hex("Rest of Header", 4, 0, 32)
	}
	d.afterICMP(l, m.IsError(), start, end, d.ipv4)
}

// afterICMP adds an ICMP message's data, or the packet that an error quotes.
// Nothing is quoted in a quoted packet: no error is sent about an error.
func (d *dissector) afterICMP(l *layerWriter, isError bool, start, end int, ip func(start, end int)) {
	if !isError {
		l.bytes("Data", ICMPLen, end-start-ICMPLen)
		return
	}
	if d.quoted {
		d.rest("Data", 0, start+ICMPLen, end, "")
		return
	}
	d.quoted = true
	ip(start+ICMPLen, end)
	d.quoted = false
}

func (d *dissector) icmpv6(start, end int) {
	m, err := ParseICMPv6(d.frame[start:end])
	if err != nil {
		d.rest("ICMPv6", 3, start, end, err.Error())
		return
	}
	tail := end
	if m.IsError() {
		tail = start + ICMPLen
	}
	l := d.layer("ICMPv6", 3, start, tail)
	codes := map[ICMPv6Type][]string{
		ICMPv6Unreachable: icmpv6UnreachableCodes, ICMPv6TimeExceeded: icmpv6TimeExceededCodes, ICMPv6ParamProblem: icmpv6ParamCodes,
	}[m.Type()]
	l.kind("ICMPv6", icmpv6Types[m.Type()], codeWords(codes, m.Code()))
	src, dst := d.src, d.dst
	l.checksum(2, func() bool { return m.ChecksumOK(src, dst) })
	if l.nd(m) {
		return
	}
	switch m.Type() {
	case ICMPv6Echo, ICMPv6EchoReply:
		l.Summary += fmt.Sprintf(", id %d, seq %d", m.ID(), m.Seq())
		l.dec("Identifier", 4, 0, 16)
		l.dec("Sequence Number", 6, 0, 16)
	case ICMPv6PacketTooBig:
		l.Summary += fmt.Sprintf(", MTU %d", m.MTU())
		l.dec("MTU", 4, 0, 32)
	case ICMPv6ParamProblem:
		l.dec("Pointer", 4, 0, 32).Note = "the byte that is at fault"
	default:
		l.hex("Rest of Header", 4, 0, 32)
	}
	d.afterICMP(l, m.IsError(), start, end, d.ipv6)
}

// nd adds the fields of a message of neighbor discovery (RFC 4861 4). It reports
// false where m is none, or too short.
func (l *layerWriter) nd(m ICMPv6) bool {
	switch m.Type() {
	case ICMPv6RouterSolicitation:
		if _, err := ParseRouterSolicitation(m); err != nil {
			return false
		}
		l.hex("Reserved", 4, 0, 32)
		l.ndOptions(RouterSolicitationLen)
	case ICMPv6RouterAdvertisement:
		ra, err := ParseRouterAdvertisement(m)
		if err != nil {
			return false
		}
		l.Summary += fmt.Sprintf(", default router for %d s", ra.LifetimeSeconds())
		l.dec("Cur Hop Limit", 4, 0, 8)
		l.dec("Managed Address Configuration", 5, 0, 1)
		l.dec("Other Configuration", 5, 1, 1)
		l.hex("Reserved", 5, 2, 6)
		l.dec("Router Lifetime", 6, 0, 16).Note = "seconds"
		l.dec("Reachable Time", 8, 0, 32).Note = "milliseconds, 0: not said"
		l.dec("Retrans Timer", 12, 0, 32).Note = "milliseconds, 0: not said"
		l.ndOptions(RouterAdvertisementLen)
	case ICMPv6NeighborSolicitation:
		ns, err := ParseNeighborSolicitation(m)
		if err != nil {
			return false
		}
		l.Summary += fmt.Sprintf(": who has %s?", ns.Target())
		l.hex("Reserved", 4, 0, 32)
		l.ip("Target Address", 8, 16)
		l.ndOptions(NeighborSolicitationLen)
	case ICMPv6NeighborAdvertisement:
		na, err := ParseNeighborAdvertisement(m)
		if err != nil {
			return false
		}
		l.Summary += fmt.Sprintf(": %s is here", na.Target())
		if mac, ok := na.Options().LinkLayer(NDTargetLinkLayer); ok {
			l.Summary += ", at " + mac.String()
		}
		l.dec("Router", 4, 0, 1)
		l.dec("Solicited", 4, 1, 1)
		l.dec("Override", 4, 2, 1)
		l.hex("Reserved", 4, 3, 29)
		l.ip("Target Address", 8, 16)
		l.ndOptions(NeighborAdvertisementLen)
	case ICMPv6Redirect:
		r, err := ParseNDRedirect(m)
		if err != nil {
			return false
		}
		l.Summary += fmt.Sprintf(": %s is better reached by %s", r.Destination(), r.Target())
		l.hex("Reserved", 4, 0, 32)
		l.ip("Target Address", 8, 16)
		l.ip("Destination Address", 24, 16)
		l.ndOptions(NDRedirectLen)
	default:
		return false
	}
	return true
}

// ndOptions names the options from a place to the layer's end.
func (l *layerWriter) ndOptions(from int) {
	size := l.End - l.Start
	for b := l.at(0)[from:size]; len(b) > 0; {
		at := size - len(b)
		o, rest, ok := NextNDOption(b)
		if !ok {
			l.bytes("Malformed Option", at, len(b))
			l.Problem = "malformed ND option"
			return
		}
		f := l.field("Option: "+o.Type.String(), fmt.Sprintf("type %d, %d bytes", uint8(o.Type), len(b)-len(rest)), at, 0, 8*(len(b)-len(rest)))
		f.Note = o.words()
		b = rest
	}
}

// words say what an option carries, where that has a form.
func (o NDOption) words() string {
	switch o.Type {
	case NDSourceLinkLayer, NDTargetLinkLayer:
		if len(o.Data) == 6 {
			return MAC(o.Data).String()
		}
	case NDMTU:
		if len(o.Data) == 6 {
			return fmt.Sprintf("%d bytes", uint32(o.Data[2])<<24|uint32(o.Data[3])<<16|uint32(o.Data[4])<<8|uint32(o.Data[5]))
		}
	case NDPrefix:
		if p, ok := o.PrefixInformation(); ok {
			text := fmt.Sprintf("%s, valid %d s, preferred %d s", p.Prefix, p.ValidSeconds, p.PreferredSeconds)
			if p.OnLink {
				text += ", on this link"
			}
			if p.Autonomous {
				text += ", hosts make addresses of it"
			}
			return text
		}
	case NDRDNSS:
		if seconds, servers, ok := o.RDNSS(); ok {
			words := []string{fmt.Sprintf("for %d s:", seconds)}
			for i := range servers {
				words = append(words, o.Server(i).String())
			}
			return strings.Join(words, " ")
		}
	}
	return ""
}
