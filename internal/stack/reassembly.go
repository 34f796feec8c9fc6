package stack

import (
	"net/netip"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// fragmentKey says which packet a fragment is of (RFC 791 3.2).
type fragmentKey struct {
	src, dst netip.Addr
	id       uint16
	protocol wire.Protocol
}

// partial is a packet of which fragments are missing (Linux: struct ipq).
type partial struct {
	stack     *Stack
	key       fragmentKey
	timer     sim.Timer
	fragments []fragment // by offset, disjoint
	bytes     int        // truesize
	length    int        // of the whole payload, once the last fragment came; else -1
	seen      int        // bytes of payload that came
}

type fragment struct {
	packet packet
	at     int // the payload's place
}

func (f *fragment) end() int { return f.at + f.packet.end - f.packet.payload }

// reassemblyState is all partial packets of a machine.
type reassemblyState struct {
	partials map[fragmentKey]*partial
	bytes    int
}

// reassembleIPv4 is ip_defrag: it keeps the fragment, whose frame it owns, and
// returns the whole packet when this was the last that lacked.
func (s *Stack) reassembleIPv4(now sim.Time, p *packet, ip wire.IPv4) (packet, bool) {
	s.count(ipReasmReqds)
	state := s.ipv4().reassembly()
	if state.bytes > s.sysctl.FragHighThresh {
		// inet_frag_find: above the threshold no new queue and no new fragment.
		s.failFragment(now, p, wire.DropReassemblyOverflow)
		return packet{}, false
	}
	key := fragmentKey{p.src, p.dst, ip.ID(), p.protocol}
	q := state.partials[key]
	if q == nil {
		q = &partial{stack: s, key: key, length: -1}
		q.timer.Init(q)
		state.partials[key] = q
		s.setTimer(&q.timer, now.Add(s.sysctl.FragTime))
	}
	part := fragment{*p, ip.FragmentOffset()}
	if !q.accepts(part, ip.MoreFragments()) {
		s.failFragment(now, p, wire.DropMalformed)
		return packet{}, false
	}
	if !ip.MoreFragments() {
		q.length = part.end()
	}
	at, duplicate, overlap := q.place(part)
	switch {
	case duplicate: // IPFRAG_DUP: the copy goes, the queue stays
		s.drop(now, p.in, p.frame, wire.DropReassemblyOverflow)
		return packet{}, false
	case overlap: // RFC 5722, which Linux follows for IPv4 too: the whole queue goes
		q.discard(now, wire.DropReassemblyOverflow)
		s.failFragment(now, p, wire.DropReassemblyOverflow)
		return packet{}, false
	}
	q.fragments = slices.Insert(q.fragments, at, part)
	q.seen += part.end() - part.at
	q.bytes += truesize(p.frame)
	state.bytes += truesize(p.frame)
	if q.length < 0 || q.seen != q.length {
		return packet{}, false
	}
	return q.whole(now)
}

func (s *Stack) failFragment(now sim.Time, p *packet, why wire.Drop) {
	s.count(ipReasmFails)
	s.dropIn(now, p, why)
}

// maxPayload is what the total length field leaves for the payload of a header
// without options.
const maxPayload = 65535 - wire.IPv4MinLen

// accepts checks the fragment's place against what is known of the whole
// (ip_frag_queue): the end of a packet stays where it was said to be, all parts
// but the last have lengths of a multiple of 8.
func (q *partial) accepts(f fragment, more bool) bool {
	length := f.end() - f.at
	if length == 0 || f.end() > maxPayload {
		return false
	}
	if more {
		return length%8 == 0 && (q.length < 0 || f.end() <= q.length)
	}
	last := 0
	if n := len(q.fragments); n > 0 {
		last = q.fragments[n-1].end()
	}
	return f.end() >= last && (q.length < 0 || f.end() == q.length)
}

// place finds where the fragment goes among the others, and whether one of them
// covers it or overlaps with it.
func (q *partial) place(f fragment) (at int, duplicate, overlap bool) {
	at, _ = slices.BinarySearchFunc(q.fragments, f.at, func(g fragment, at int) int { return g.at - at })
	for k := max(at-1, 0); k < min(at+1, len(q.fragments)); k++ {
		g := &q.fragments[k]
		if f.at >= g.at && f.end() <= g.end() {
			return at, true, false
		}
		if f.at < g.end() && g.at < f.end() {
			return at, false, true
		}
	}
	return at, false, false
}

// whole is ip_frag_reasm: the packet of all fragments, in one frame.
func (q *partial) whole(now sim.Time) (packet, bool) {
	s := q.stack
	first := q.fragments[0].packet
	header := slices.Clone(first.frame.Bytes()[:first.payload])
	total := first.payload - first.ip + q.length
	if total > 65535 {
		s.count(ipReasmFails)
		q.discard(now, wire.DropReassemblyOverflow)
		return packet{}, false
	}
	f := s.pool.Get(wire.EthernetLen + total)
	f.Packet, f.ChecksumsGood = first.frame.Packet, true
	b := append(f.Buffer(), header...)
	for k := range q.fragments {
		part := &q.fragments[k].packet
		b = append(b, part.upper()...)
		f.ChecksumsGood = f.ChecksumsGood && part.frame.ChecksumsGood
		first.tos = mergeECN(first.tos, part.tos)
	}
	f.SetBytes(b)
	ip := wire.IPv4(b[first.ip:])
	ip[2], ip[3], ip[6], ip[7] = byte(total>>8), byte(total), 0, 0
	ip.UpdateChecksum()
	s.count(ipReasmOKs)
	q.forget()
	first.frame, first.end = f, first.ip+total
	return first, true
}

// forget takes the partial packet out of the table and releases its fragments.
func (q *partial) forget() {
	s := q.stack
	state := s.ipv4().reassembly()
	s.stopTimer(&q.timer)
	delete(state.partials, q.key)
	state.bytes -= q.bytes
	for k := range q.fragments {
		q.fragments[k].packet.frame.Release()
	}
	q.fragments = nil
}

// discard drops all fragments for a reason.
func (q *partial) discard(now sim.Time, why wire.Drop) {
	fragments := q.fragments
	q.fragments = nil
	q.forget()
	for k := range fragments {
		p := &fragments[k].packet
		q.stack.drop(now, p.in, p.frame, why)
	}
}

// Fire is ip_expire: fragments are missing for too long. The source is told if
// the first one came (RFC 792, RFC 1122 3.3.2).
func (q *partial) Fire(now sim.Time) {
	s := q.stack
	s.count(ipReasmTimeout)
	s.count(ipReasmFails)
	if len(q.fragments) > 0 && q.fragments[0].at == 0 {
		first := q.fragments[0].packet
		s.icmpError(now, &first, problemReassemblyTimeout, 0)
	}
	q.discard(now, wire.DropReassemblyTimeout)
}

// mergeECN is the ECN field of a whole packet: one fragment that met congestion
// marks all (RFC 3168 5.3).
func mergeECN(tos, part uint8) uint8 {
	const congestion = 3
	if part&3 == congestion {
		return tos | congestion
	}
	return tos
}
