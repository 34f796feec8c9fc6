package explain

import (
	"encoding/binary"
	"io"
	"net/netip"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Ladder gathers the TCP segments of a recording and writes each connection as a
// ladder between its two ends: what each segment says, the state of both ends
// after it, and what is remarkable about it. A segment that crosses several hops is
// one rung. It is a record.Sink; Write is for when the recording is over.
type Ladder struct {
	Host string // only connections with this address or node; "": all
	// SegmentsMax is up to how many segments ladders are drawn. With more each
	// connection gets a line. 0: always ladders.
	SegmentsMax int

	places   []record.Place
	names    map[netip.Addr]string // the node that packets from an address start at
	packets  map[uint64]*rung
	rungs    []*rung // as they were sent; nil once there are too many
	tallies  []*tally
	current  map[flow]*tally
	events   int
	segments int
}

var _ record.Sink = (*Ladder)(nil)

// flow is the ends of a connection, the lesser first.
type flow struct{ a, b netip.AddrPort }

func flowOf(x, y netip.AddrPort) flow {
	if x.Compare(y) > 0 {
		x, y = y, x
	}
	return flow{x, y}
}

// rung is one segment and what became of it.
type rung struct {
	segment
	at    sim.Time
	order int // of its first event
	seen  []sighting

	arrives     bool
	arrivedAt   sim.Time
	arriveOrder int
	copies      int       // that arrived
	why         wire.Drop // it went no further, or nobody wanted it where it arrived
	lostAt      record.Place

	again  bool // it was sent before
	text   string
	states [2]string // of the ends after it
	marks  []string
}

// sighting is an event about a segment.
type sighting struct {
	at    sim.Time
	order int // of the event in the recording
	kind  record.Kind
	why   wire.Drop
	place record.Place
}

// segment is what a rung shows of a TCP segment.
type segment struct {
	src, dst netip.AddrPort
	seq, ack uint32
	flags    wire.TCPFlags
	window   uint16
	length   int // of the payload
	mss      int // -1: no such option; likewise scale
	scale    int
	sackOK   bool
	stamps   bool
	blocks   []wire.SACKBlock
	fresh    bool // no router has touched its TTL
}

// room is the sequence numbers that it takes (RFC 9293 3.4).
func (s *segment) room() uint32 {
	n := uint32(s.length)
	if s.flags.Has(wire.TCPSyn) {
		n++
	}
	if s.flags.Has(wire.TCPFin) {
		n++
	}
	return n
}

// readSegment takes a TCP segment out of a frame; ok is false for anything else,
// and for fragments, whose first part alone tells too little. Options cost most
// and are read where they will be drawn.
func readSegment(frame []byte, options bool) (s segment, ok bool) {
	e, err := wire.ParseEthernet(frame)
	if err != nil {
		return s, false
	}
	var src, dst netip.Addr
	var upper []byte
	switch e.Type() {
	case wire.TypeIPv4:
		p, err := wire.ParseIPv4(e.Payload())
		if err != nil || p.Protocol() != wire.ProtocolTCP || p.IsFragment() {
			return s, false
		}
		src, dst, upper, s.fresh = p.Src(), p.Dst(), p[:p.TotalLen()].Payload(), unhopped(p.TTL())
	case wire.TypeIPv6:
		p, err := wire.ParseIPv6(e.Payload())
		if err != nil {
			return s, false
		}
		protocol, payload := p.Upper()
		if protocol != wire.ProtocolTCP {
			return s, false
		}
		src, dst, upper, s.fresh = p.Src(), p.Dst(), payload, unhopped(p.HopLimit())
	}
	t, err := wire.ParseTCP(upper)
	if err != nil {
		return s, false
	}
	s.src, s.dst = netip.AddrPortFrom(src, t.SrcPort()), netip.AddrPortFrom(dst, t.DstPort())
	s.seq, s.ack, s.flags, s.window, s.length = t.Seq(), t.Ack(), t.Flags(), t.Window(), len(t.Payload())
	if options {
		s.readOptions(t.Options())
	}
	return s, true
}

// unhopped reports whether a TTL is one that systems start with: then no router
// has had the packet.
func unhopped(ttl uint8) bool { return ttl == 64 || ttl == 128 || ttl == 255 }

func (s *segment) readOptions(b []byte) {
	s.mss, s.scale = -1, -1
	for {
		o, rest, ok := wire.NextTCPOption(b)
		if !ok || o.Kind == wire.TCPOptionEnd {
			return
		}
		b = rest
		if !o.Valid() {
			continue
		}
		switch o.Kind {
		case wire.TCPOptionMSS:
			s.mss = int(binary.BigEndian.Uint16(o.Data))
		case wire.TCPOptionWindowScale:
			s.scale = min(int(o.Data[0]), 14) // RFC 7323 2.3
		case wire.TCPOptionSACKPermitted:
			s.sackOK = true
		case wire.TCPOptionTimestamps:
			s.stamps = true
		case wire.TCPOptionSACK:
			for i := range o.Blocks() {
				s.blocks = append(s.blocks, o.Block(i))
			}
		}
	}
}

// AddPlace implements record.Sink.
func (l *Ladder) AddPlace(_ int, p record.Place) { l.places = append(l.places, p) }

// Close implements record.Sink.
func (l *Ladder) Close() error { return nil }

// Event implements record.Sink.
func (l *Ladder) Event(e record.Event) {
	l.events++
	if r := l.packets[e.Packet]; r != nil {
		r.see(e, l.places[e.Place], l.events)
		return
	}
	drawn := l.packets != nil || l.names == nil
	if !drawn && e.Kind != record.Sent {
		return
	}
	s, ok := readSegment(e.Data, drawn)
	if !ok {
		return
	}
	if l.names == nil {
		l.names, l.packets, l.current = map[netip.Addr]string{}, map[uint64]*rung{}, map[flow]*tally{}
	}
	node := l.places[e.Place].Node
	if name, known := l.names[s.src.Addr()]; !known && e.Kind != record.Received && s.fresh {
		l.names[s.src.Addr()] = node
	} else if l.packets == nil && (!known || name != node || e.Kind != record.Sent) {
		return // another hop of a segment that was counted
	}
	l.segments++
	l.count(e, &s)
	if l.packets == nil {
		return
	}
	r := &rung{segment: s, at: e.At}
	r.see(e, l.places[e.Place], l.events)
	l.packets[e.Packet] = r
	l.rungs = append(l.rungs, r)
	if l.SegmentsMax > 0 && l.segments > l.SegmentsMax {
		l.packets, l.rungs = nil, nil
	}
}

// see notes what happens to the segment. Its bytes were read at its first event.
func (r *rung) see(e record.Event, p record.Place, order int) {
	r.seen = append(r.seen, sighting{e.At, order, e.Kind, e.Why, p})
}

// Capture gathers the segments of a capture file.
func (l *Ladder) Capture(path string) error {
	c, err := record.OpenCapture(path)
	if err != nil {
		return err
	}
	defer c.Close()
	for {
		e, err := c.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		l.places = c.Places()
		l.Event(e)
	}
}

// settle finds out what became of the segment. Where the recording does not see
// the receiver, a segment that nobody is known to have dropped counts as arrived.
func (r *rung) settle(receiver string) {
	r.order = r.seen[0].order
	for _, s := range r.seen {
		switch {
		case s.kind == record.Received && s.place.Node == receiver:
			if r.copies++; r.copies == 1 {
				r.arrives, r.arrivedAt, r.arriveOrder = true, s.at, s.order
			}
		case s.kind == record.Dropped && s.why != wire.DropNotForUs && s.why != wire.DropNoPort:
			r.lostAt, r.why = s.place, s.why
		}
	}
	if last := r.seen[len(r.seen)-1]; receiver == "" && r.why == wire.NotDropped {
		r.arrives, r.arrivedAt, r.arriveOrder = true, last.at, last.order
	}
	if r.why != wire.NotDropped && r.why != wire.DropNoSocket && r.lostAt.Node == receiver {
		r.arrives = false // the host threw it away unread
	}
}
