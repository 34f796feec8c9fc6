package stack

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// reassemblyIPv6 is the packets of which some fragments are still missing.
type reassemblyIPv6 struct {
	partial map[fragmentKeyIPv6]*partialIPv6
	bytes   int // as Linux would charge for the frames kept
}

// fragmentKeyIPv6 tells packets apart (RFC 8200 4.5); addresses of link-local
// scope mean something on one link only.
type fragmentKeyIPv6 struct {
	src, dst netip.Addr
	id       uint32
	iface    *Interface
}

// partialIPv6 is one packet on the way to be whole again.
type partialIPv6 struct {
	stack *Stack
	key   fragmentKeyIPv6
	parts []fragmentIPv6 // by offset, without overlap
	total int            // length of the fragmentable part; -1: not known yet
	have  int
	timer sim.Timer
}

// fragmentIPv6 is a fragment that arrived: it is bytes [offset, end) of the
// fragmentable part.
type fragmentIPv6 struct {
	offset, end int
	packet      packet
	header      int // where the fragment header is in the frame
	namedAt     int // where the Next Header field is that names it
}

func (f *fragmentIPv6) data() []byte {
	return f.packet.frame.Bytes()[f.header+wire.IPv6FragmentLen : f.packet.end]
}

// reassembleIPv6 takes a fragment, and delivers the packet it completes.
func (s *Stack) reassembleIPv6(now sim.Time, p *packet, x wire.Extensions) {
	s.count6(ip6ReasmReqds)
	h, err := wire.ParseIPv6Fragment(p.upper())
	if err != nil {
		s.failReassembly(now, p, wire.DropMalformed)
		return
	}
	part := fragmentIPv6{packet: *p, header: p.payload, namedAt: p.ip + x.NamedAt, offset: h.Offset(), end: h.Offset() + len(h.Payload())}
	if h.Atomic() {
		// RFC 6946 4: apart from all other fragments, even of the same identification.
		s.count6(ip6ReasmOKs)
		s.unwrapAtomic(now, &part)
		return
	}
	if problem := checkFragment(p, h, &part); problem.Bad() {
		s.count6(ip6ReasmFails)
		s.refuseHeader(now, p, problem)
		return
	}
	q, why := s.partialOf(now, &part, h.ID())
	if q == nil {
		s.failReassembly(now, p, why)
		return
	}
	s.addFragment(now, q, part, h.More())
}

func (s *Stack) failReassembly(now sim.Time, p *packet, why wire.Drop) {
	s.count6(ip6ReasmFails)
	s.drop(now, p.in, p.frame, why)
}

// checkFragment makes the checks of RFC 8200 4.5 that concern one fragment.
func checkFragment(p *packet, h wire.IPv6Fragment, part *fragmentIPv6) wire.HeaderProblem {
	switch {
	case h.More() && len(h.Payload())%8 != 0:
		return wire.HeaderProblem{Reason: "fragment's length is not a multiple of 8", Pointer: 4} // Payload Length
	case wire.IPv6Len+part.end > 65535:
		return wire.HeaderProblem{Reason: "fragment ends beyond the longest packet", Pointer: part.header - p.ip + 2} // Fragment Offset
	case part.offset == 0 && len(h.Payload()) < upperMinimum(h.NextHeader()):
		// RFC 7112 5: the first fragment has all headers.
		return wire.HeaderProblem{Reason: "first fragment without its upper-layer header", Code: 3}
	case part.offset == part.end:
		return wire.HeaderProblem{Reason: "fragment of no bytes", Silent: true}
	}
	return wire.HeaderProblem{}
}

// upperMinimum is the length of the header that a first fragment must have
// (ipv6frag_thdr_truncated).
func upperMinimum(next wire.Protocol) int {
	switch next {
	case wire.ProtocolTCP:
		return wire.TCPMinLen
	case wire.ProtocolUDP:
		return wire.UDPLen
	case wire.ProtocolICMPv6:
		return wire.ICMPLen
	}
	return 0
}

// partialOf finds or begins the packet that a fragment is of; nil: no room.
func (s *Stack) partialOf(now sim.Time, part *fragmentIPv6, id uint32) (*partialIPv6, wire.Drop) {
	r := &s.ipv6().reassembly
	key := fragmentKeyIPv6{src: part.packet.src, dst: part.packet.dst, id: id}
	if key.src.IsLinkLocalUnicast() || key.dst.IsLinkLocalUnicast() || key.dst.IsMulticast() {
		key.iface = part.packet.in
	}
	if q := r.partial[key]; q != nil {
		return q, wire.NotDropped
	}
	if r.bytes+truesize(part.packet.frame) > s.sysctl.IPv6.FragHighThresh {
		return nil, wire.DropReassemblyOverflow
	}
	if r.partial == nil {
		r.partial = map[fragmentKeyIPv6]*partialIPv6{}
	}
	q := &partialIPv6{stack: s, key: key, total: -1}
	q.timer.Init(q)
	r.partial[key] = q
	s.setTimer(&q.timer, now.Add(s.sysctl.IPv6.FragTime))
	return q, wire.NotDropped
}

// addFragment puts a fragment in its place.
func (s *Stack) addFragment(now sim.Time, q *partialIPv6, part fragmentIPv6, more bool) {
	at, found := slices.BinarySearchFunc(q.parts, part.offset, func(f fragmentIPv6, offset int) int { return f.offset - offset })
	if found && q.parts[at].end == part.end {
		s.failReassembly(now, &part.packet, wire.DropReassemblyOverflow) // the same again, as Linux: once is enough
		return
	}
	overlaps := found || at > 0 && q.parts[at-1].end > part.offset || at < len(q.parts) && part.end > q.parts[at].offset
	last := 0
	if len(q.parts) > 0 {
		last = q.parts[len(q.parts)-1].end
	}
	beyond := q.total >= 0 && (part.end > q.total || !more && part.end != q.total) || !more && last > part.end
	if overlaps || beyond || s.v6.reassembly.bytes+truesize(part.packet.frame) > s.sysctl.IPv6.FragHighThresh {
		// RFC 5722 4: all of the packet's fragments go, in silence.
		q.abandon(now, wire.DropReassemblyOverflow)
		s.failReassembly(now, &part.packet, wire.DropReassemblyOverflow)
		return
	}
	if !more {
		q.total = part.end
	}
	s.v6.reassembly.bytes += truesize(part.packet.frame)
	q.parts = slices.Insert(q.parts, at, part)
	q.have += part.end - part.offset
	if q.have == q.total {
		s.count6(ip6ReasmOKs)
		s.deliverWhole(now, q)
	}
}

// forget takes q out of the table; its frames are the caller's.
func (q *partialIPv6) forget() {
	s := q.stack
	s.stopTimer(&q.timer)
	delete(s.v6.reassembly.partial, q.key)
	for k := range q.parts {
		s.v6.reassembly.bytes -= truesize(q.parts[k].packet.frame)
	}
}

// abandon drops the fragments that have come.
func (q *partialIPv6) abandon(now sim.Time, why wire.Drop) {
	q.forget()
	for k := range q.parts {
		q.stack.failReassembly(now, &q.parts[k].packet, why)
	}
	q.parts = nil
}

// Fire gives up waiting: RFC 8200 4.5, with a time exceeded message if the first
// fragment has come.
func (q *partialIPv6) Fire(now sim.Time) {
	s := q.stack
	s.count6(ip6ReasmTimeout)
	if q.parts[0].offset == 0 {
		s.icmpv6Error(now, &q.parts[0].packet, problemReassemblyTimeout, 0)
	}
	q.abandon(now, wire.DropReassemblyTimeout)
}

// deliverWhole builds the packet from its fragments: the headers of the first one
// without the fragment header, and all the data.
func (s *Stack) deliverWhole(now sim.Time, q *partialIPv6) {
	q.forget()
	first := &q.parts[0]
	f := s.pool.Get(first.header + q.total)
	f.Packet, f.ChecksumsGood = first.packet.frame.Packet, true
	b := append(f.Buffer(), first.packet.frame.Bytes()[:first.header]...)
	b[first.namedAt] = first.packet.frame.Bytes()[first.header]
	setPayloadLenIPv6(b[first.packet.ip:], first.header-first.packet.ip-wire.IPv6Len+q.total)
	for k := range q.parts {
		b = append(b, q.parts[k].data()...)
		f.ChecksumsGood = f.ChecksumsGood && q.parts[k].packet.frame.ChecksumsGood
	}
	f.SetBytes(b)
	p := first.packet
	p.frame, p.end = f, len(b)
	for k := range q.parts {
		q.parts[k].packet.frame.Release()
	}
	q.parts = nil
	s.acceptIPv6(now, &p)
}

// unwrapAtomic takes the fragment header out of a packet that is whole, by moving
// the headers before it up to what follows it.
func (s *Stack) unwrapAtomic(now sim.Time, part *fragmentIPv6) {
	p := part.packet
	b := p.frame.Bytes()
	b[part.namedAt] = b[part.header]
	copy(b[wire.IPv6FragmentLen:], b[:part.header])
	p.frame.Pull(wire.IPv6FragmentLen)
	p.end -= wire.IPv6FragmentLen
	setPayloadLenIPv6(p.ipPacket(), p.end-p.ip-wire.IPv6Len)
	s.acceptIPv6(now, &p)
}
