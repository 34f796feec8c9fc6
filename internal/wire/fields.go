package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"
)

// Field is one field of a frame as people read it.
type Field struct {
	Name  string // as its RFC calls it
	Value string
	Note  string // a word more, or empty
	Byte  int    // where it starts in the frame, with Bit counted from the byte's highest
	Bit   int
	Bits  int // its length
}

// Layer is one protocol's part of a frame.
type Layer struct {
	Name       string
	OSI        int // 2 to 4, 7 for an application's data, 0 where nobody can tell
	Start, End int // frame[Start:End]
	Summary    string
	Fields     []Field
	Problem    string // what is wrong with it, or empty
	Quoted     bool   // part of the packet that an ICMP error quotes
}

// Dissect names the layers of a frame and all their fields. Every byte of the
// frame is in some layer; malformed parts say so in Problem.
func Dissect(frame []byte) []Layer {
	d := dissector{frame: frame}
	d.ethernet(len(frame))
	return d.layers
}

// dissector walks a frame. Each of its format methods adds the layer that
// starts at one byte and ends at most at another, and goes on behind it.
type dissector struct {
	frame    []byte
	layers   []Layer
	quoted   bool
	src, dst netip.Addr // of the IP packet around, for checksums
}

// layer adds a layer; its pointer is good until the next is added.
func (d *dissector) layer(name string, osi, start, end int) *layerWriter {
	d.layers = append(d.layers, Layer{Name: name, OSI: osi, Start: start, End: end, Quoted: d.quoted})
	return &layerWriter{&d.layers[len(d.layers)-1], d.frame}
}

// rest adds bytes that no format claims.
func (d *dissector) rest(name string, osi, start, end int, problem string) {
	if start >= end && problem == "" {
		return
	}
	l := d.layer(name, osi, start, end)
	l.Summary, l.Problem = fmt.Sprintf("%s, %d bytes", name, end-start), problem
	l.bytes("Data", 0, end-start)
}

// layerWriter adds fields to a layer; offsets count from the layer's start.
type layerWriter struct {
	*Layer
	frame []byte
}

func (l *layerWriter) at(off int) []byte { return l.frame[l.Start+off:] }

// number reads up to 32 bits.
func (l *layerWriter) number(off, bit, bits int) uint32 {
	var v uint64
	for i := range (bit + bits + 7) / 8 {
		v = v<<8 | uint64(l.at(off)[i])
	}
	shift := (8 - (bit+bits)%8) % 8
	return uint32(v >> shift & (1<<bits - 1))
}

func (l *layerWriter) field(name, value string, off, bit, bits int) *Field {
	l.Fields = append(l.Fields, Field{Name: name, Value: value, Byte: l.Start + off, Bit: bit, Bits: bits})
	return &l.Fields[len(l.Fields)-1]
}

func (l *layerWriter) dec(name string, off, bit, bits int) *Field {
	return l.field(name, fmt.Sprint(l.number(off, bit, bits)), off, bit, bits)
}

func (l *layerWriter) hex(name string, off, bit, bits int) *Field {
	return l.field(name, fmt.Sprintf("0x%0*x", (bits+3)/4, l.number(off, bit, bits)), off, bit, bits)
}

func (l *layerWriter) bytes(name string, off, n int) {
	if n > 0 {
		l.field(name, fmt.Sprintf("%d bytes", n), off, 0, 8*n)
	}
}

func (l *layerWriter) mac(name string, off int) {
	m := MAC(l.at(off)[:6])
	f := l.field(name, m.String(), off, 0, 48)
	switch {
	case m == Broadcast:
		f.Note = "broadcast"
	case m.IsMulticast():
		f.Note = "multicast"
	}
}

func (l *layerWriter) ip(name string, off, size int) {
	a, _ := netip.AddrFromSlice(l.at(off)[:size])
	l.field(name, a.String(), off, 0, 8*size)
}

// checksum adds a checksum with a verdict; a quoted part is too short for one.
func (l *layerWriter) checksum(off int, ok func() bool) {
	f := l.hex("Checksum", off, 0, 16)
	switch {
	case l.Quoted:
		f.Value += " (not checked)"
	case ok():
		f.Value += " (correct)"
	default:
		f.Value += " (wrong)"
		l.Problem = "bad checksum"
	}
}

func (d *dissector) ethernet(end int) {
	e, err := ParseEthernet(d.frame[:end])
	if err != nil {
		d.rest("Ethernet II", 2, 0, end, err.Error())
		return
	}
	header := e.HeaderLen()
	l := d.layer("Ethernet II", 2, 0, header)
	l.Summary = fmt.Sprintf("Ethernet II, %s -> %s, carries %s", e.Src(), e.Dst(), e.Type())
	if e.Dst() == Broadcast {
		l.Summary = fmt.Sprintf("Ethernet II, %s -> %s (broadcast), carries %s", e.Src(), e.Dst(), e.Type())
	}
	l.mac("Destination", 0)
	l.mac("Source", 6)
	if e.Tagged() {
		l.hex("TPID", 12, 0, 16).Note = "802.1Q tag"
		l.dec("Priority Code Point", 14, 0, 3)
		l.dec("Drop Eligible Indicator", 14, 3, 1)
		l.dec("VLAN Identifier", 14, 4, 12)
	}
	if e.Type() < 0x600 { // IEEE 802.3 3.2.6: below, it is a length
		l.dec("Length", header-2, 0, 16)
		d.rest("802.2 LLC", 2, header, end, "")
		return
	}
	l.hex("EtherType", header-2, 0, 16).Note = e.Type().String()
	switch e.Type() {
	case TypeARP:
		d.arp(header, end)
	case TypeIPv4:
		d.ipv4(header, end)
	case TypeIPv6:
		d.ipv6(header, end)
	default:
		d.rest("Data", 0, header, end, "")
	}
}

func (d *dissector) arp(start, end int) {
	a, err := ParseARP(d.frame[start:end])
	if err != nil {
		d.rest("ARP", 2, start, end, err.Error())
		return
	}
	l := d.layer("ARP", 2, start, start+ARPLen)
	switch a.Op() {
	case ARPRequest:
		l.Summary = fmt.Sprintf("ARP request: who has %s? tell %s", a.TargetIP(), a.SenderIP())
	case ARPReply:
		l.Summary = fmt.Sprintf("ARP reply: %s is at %s", a.SenderIP(), a.SenderMAC())
	default:
		l.Summary = "ARP " + a.Op().String()
	}
	l.dec("Hardware Type", 0, 0, 16).Note = "Ethernet"
	l.hex("Protocol Type", 2, 0, 16).Note = "IPv4"
	l.dec("Hardware Address Length", 4, 0, 8)
	l.dec("Protocol Address Length", 5, 0, 8)
	l.dec("Operation", 6, 0, 16).Note = a.Op().String()
	l.mac("Sender Hardware Address", 8)
	l.ip("Sender Protocol Address", 14, 4)
	l.mac("Target Hardware Address", 18)
	l.ip("Target Protocol Address", 24, 4)
	d.rest("Padding", 2, start+ARPLen, end, "")
}

// transport goes on with what an IP packet carries.
func (d *dissector) transport(p Protocol, start, end int) {
	switch p {
	case ProtocolUDP:
		d.udp(start, end)
	case ProtocolTCP:
		d.tcp(start, end)
	case ProtocolICMP:
		d.icmp(start, end)
	case ProtocolICMPv6:
		d.icmpv6(start, end)
	default:
		d.rest("Data", 0, start, end, "")
	}
}

func (d *dissector) udp(start, end int) {
	b := d.frame[start:end]
	length := len(b)
	if !d.quoted {
		if _, err := ParseUDP(b); err != nil {
			d.rest("UDP", 4, start, end, err.Error())
			return
		}
		length = int(binary.BigEndian.Uint16(b[4:]))
	} else if len(b) < UDPLen {
		d.rest("UDP", 4, start, end, "")
		return
	}
	l := d.layer("UDP", 4, start, start+UDPLen)
	u := UDP(b[:length])
	l.Summary = fmt.Sprintf("UDP %d -> %d, %d bytes of data", u.SrcPort(), u.DstPort(), max(0, u.Length()-UDPLen))
	l.dec("Source Port", 0, 0, 16)
	l.dec("Destination Port", 2, 0, 16)
	l.dec("Length", 4, 0, 16)
	l.checksum(6, func() bool { return u.ChecksumOK(d.src, d.dst) })
	d.rest("Data", 7, start+UDPLen, start+length, "")
	d.rest("Padding", 4, start+length, end, "")
}

func (d *dissector) tcp(start, end int) {
	t, err := ParseTCP(d.frame[start:end])
	if err != nil {
		problem := err.Error()
		if d.quoted {
			problem = "" // an error may quote no more than 8 bytes
		}
		d.rest("TCP", 4, start, end, problem)
		return
	}
	l := d.layer("TCP", 4, start, start+t.HeaderLen())
	l.Summary = fmt.Sprintf("TCP %d -> %d, Flags: %s, seq %d, ack %d, window %d, %d bytes of data",
		t.SrcPort(), t.DstPort(), t.Flags(), t.Seq(), t.Ack(), t.Window(), len(t.Payload()))
	l.dec("Source Port", 0, 0, 16)
	l.dec("Destination Port", 2, 0, 16)
	l.dec("Sequence Number", 4, 0, 32)
	l.dec("Acknowledgment Number", 8, 0, 32)
	l.dec("Data Offset", 12, 0, 4).Note = fmt.Sprintf("%d bytes", t.HeaderLen())
	l.dec("Reserved", 12, 4, 4)
	l.field("Flags", t.Flags().String(), 13, 0, 8)
	l.dec("Window", 14, 0, 16)
	l.checksum(16, func() bool { return t.ChecksumOK(d.src, d.dst) })
	l.dec("Urgent Pointer", 18, 0, 16)
	for b := t.Options(); len(b) > 0; {
		off := t.HeaderLen() - len(b)
		o, rest, ok := NextTCPOption(b)
		if !ok || !o.Valid() {
			l.bytes("Malformed Option", off, len(b))
			l.Problem = "malformed TCP option"
			break
		}
		l.field("Option: "+o.Kind.String(), tcpOptionValue(o), off, 0, 8*(len(b)-len(rest)))
		b = rest
	}
	d.rest("Data", 7, start+t.HeaderLen(), end, "")
}

// tcpOptionValue writes what an option says.
// Precondition: o is valid.
func tcpOptionValue(o TCPOption) string {
	switch o.Kind {
	case TCPOptionMSS:
		return fmt.Sprint(binary.BigEndian.Uint16(o.Data))
	case TCPOptionWindowScale:
		return fmt.Sprint(o.Data[0])
	case TCPOptionTimestamps:
		return fmt.Sprintf("value %d, echo reply %d", binary.BigEndian.Uint32(o.Data), binary.BigEndian.Uint32(o.Data[4:]))
	case TCPOptionSACK:
		blocks := make([]string, o.Blocks())
		for i := range blocks {
			blocks[i] = fmt.Sprintf("%d-%d", o.Block(i).Left, o.Block(i).Right)
		}
		return strings.Join(blocks, " ")
	case TCPOptionEnd, TCPOptionNop, TCPOptionSACKPermitted:
		return "present"
	}
	return fmt.Sprintf("kind %d, %x", uint8(o.Kind), o.Data)
}
