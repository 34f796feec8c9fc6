package wire

import (
	"fmt"
	"strings"
)

func (d *dissector) ipv4(start, end int) {
	parse := ParseIPv4
	if d.quoted {
		parse = ParseQuotedIPv4
	}
	p, err := parse(d.frame[start:end])
	if err != nil {
		d.rest("IPv4", 3, start, end, err.Error())
		return
	}
	header := start + p.HeaderLen()
	d.src, d.dst = p.Src(), p.Dst()
	l := d.layer("IPv4", 3, start, header)
	l.Summary = fmt.Sprintf("IPv4 %s -> %s, TTL %d, carries %s", p.Src(), p.Dst(), p.TTL(), p.Protocol())
	l.dec("Version", 0, 0, 4)
	l.dec("IHL", 0, 4, 4).Note = fmt.Sprintf("%d bytes", p.HeaderLen())
	l.dec("DSCP", 1, 0, 6)
	l.dec("ECN", 1, 6, 2)
	l.dec("Total Length", 2, 0, 16)
	l.hex("Identification", 4, 0, 16)
	l.dec("Reserved Flag", 6, 0, 1)
	l.dec("Don't Fragment", 6, 1, 1)
	l.dec("More Fragments", 6, 2, 1)
	l.dec("Fragment Offset", 6, 3, 13).Note = fmt.Sprintf("byte %d", p.FragmentOffset())
	l.dec("Time to Live", 8, 0, 8)
	l.dec("Protocol", 9, 0, 8).Note = p.Protocol().String()
	// The header is whole even where quoted; its TTL was changed with its checksum.
	l.hex("Header Checksum", 10, 0, 16)
	if p.ChecksumOK() {
		l.Fields[len(l.Fields)-1].Value += " (correct)"
	} else {
		l.Fields[len(l.Fields)-1].Value += " (wrong)"
		l.Problem = "bad header checksum"
	}
	l.ip("Source Address", 12, 4)
	l.ip("Destination Address", 16, 4)
	l.ipv4Options(p)
	if p.IsFragment() {
		l.Summary += fmt.Sprintf(", fragment at byte %d", p.FragmentOffset())
		d.rest("Fragment", 0, header, start+len(p), "")
	} else {
		d.transport(p.Protocol(), header, start+len(p))
	}
	d.rest("Padding", 2, start+len(p), end, "")
}

func (l *layerWriter) ipv4Options(p IPv4) {
	for b := p.Options(); len(b) > 0; {
		off := p.HeaderLen() - len(b)
		o, rest, ok := NextIPv4Option(b)
		if !ok {
			l.bytes("Malformed Option", off, len(b))
			l.Problem = "malformed IPv4 option"
			return
		}
		f := l.field("Option: "+o.Type.String(), fmt.Sprintf("type %d, %x", uint8(o.Type), o.Data), off, 0, 8*(len(b)-len(rest)))
		f.Note = o.words()
		b = rest
	}
}

// words say what an option carries, where that has a form.
func (o IPv4Option) words() string {
	var words []string
	for i := range o.Recorded() {
		words = append(words, o.Route(i).String())
	}
	if o.Type == IPv4OptionRouterAlert && len(o.Data) == 2 {
		words = append(words, "routers look at this packet") // RFC 2113
	}
	return strings.Join(words, " ")
}

func (d *dissector) ipv6(start, end int) {
	parse := ParseIPv6
	if d.quoted {
		parse = ParseQuotedIPv6
	}
	p, err := parse(d.frame[start:end])
	if err != nil {
		d.rest("IPv6", 3, start, end, err.Error())
		return
	}
	d.src, d.dst = p.Src(), p.Dst()
	l := d.layer("IPv6", 3, start, start+IPv6Len)
	l.Summary = fmt.Sprintf("IPv6 %s -> %s, hop limit %d, carries %s", p.Src(), p.Dst(), p.HopLimit(), p.NextHeader())
	l.dec("Version", 0, 0, 4)
	l.hex("Traffic Class", 0, 4, 8)
	l.hex("Flow Label", 1, 4, 20)
	l.dec("Payload Length", 4, 0, 16)
	l.dec("Next Header", 6, 0, 8).Note = p.NextHeader().String()
	l.dec("Hop Limit", 7, 0, 8)
	l.ip("Source Address", 8, 16)
	l.ip("Destination Address", 24, 16)
	d.extensions(p.NextHeader(), start+IPv6Len, start+len(p))
	d.rest("Padding", 2, start+len(p), end, "")
}

// extensions walks IPv6 extension headers (RFC 8200 4) to the transport.
func (d *dissector) extensions(next Protocol, start, end int) {
	for {
		size := 8
		switch next {
		case ProtocolHopByHop, ProtocolRouting, ProtocolDestination:
			if end-start >= 2 {
				size = 8 * (int(d.frame[start+1]) + 1)
			}
		case ProtocolFragment:
		default:
			d.transport(next, start, end)
			return
		}
		if end-start < size {
			d.rest(next.String(), 3, start, end, fmt.Sprintf("%s cut short: %d bytes, want %d", next, end-start, size))
			return
		}
		l := d.layer(next.String(), 3, start, start+size)
		following := Protocol(d.frame[start])
		l.Summary = fmt.Sprintf("%s, %d bytes, then %s", next, size, following)
		l.dec("Next Header", 0, 0, 8).Note = following.String()
		if next == ProtocolFragment {
			l.dec("Reserved", 1, 0, 8)
			offset := l.number(2, 0, 13)
			l.dec("Fragment Offset", 2, 0, 13).Note = fmt.Sprintf("byte %d", 8*offset)
			l.dec("Reserved", 3, 5, 2)
			more := l.number(3, 7, 1)
			l.dec("More Fragments", 3, 7, 1)
			l.hex("Identification", 4, 0, 32)
			if offset != 0 || more != 0 {
				d.rest("Fragment", 0, start+size, end, "")
				return
			}
		} else {
			l.dec("Hdr Ext Len", 1, 0, 8).Note = fmt.Sprintf("%d bytes", size)
			if next == ProtocolRouting {
				l.dec("Routing Type", 2, 0, 8)
				l.dec("Segments Left", 3, 0, 8)
				l.bytes("Type-Specific Data", 4, size-4)
			} else {
				l.ipv6Options(2, size)
			}
		}
		next, start = following, start+size
	}
}

// ipv6Options names the options between two places of an extension header.
func (l *layerWriter) ipv6Options(from, to int) {
	for b := l.at(0)[from:to]; len(b) > 0; {
		at := to - len(b)
		o, rest, ok := NextIPv6Option(b)
		if !ok {
			l.bytes("Malformed Option", at, len(b))
			l.Problem = "malformed IPv6 option"
			return
		}
		f := l.field("Option: "+o.Type.String(), fmt.Sprintf("type %d, %x", uint8(o.Type), o.Data), at, 0, 8*(len(b)-len(rest)))
		if o.Type == IPv6OptionRouterAlert && len(o.Data) == 2 && o.Data[0] == 0 {
			f.Note = map[byte]string{0: "multicast listener discovery", 1: "RSVP", 2: "active networks"}[o.Data[1]] // RFC 2711 2.1
		}
		b = rest
	}
}
