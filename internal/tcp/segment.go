package tcp

import (
	"encoding/binary"
	"net/netip"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Segment is a segment that arrived, taken apart. Payload lies in the frame.
type Segment struct {
	Src, Dst netip.AddrPort
	Seq, Ack uint32
	Flags    wire.TCPFlags
	Window   uint16
	Urgent   uint16
	CE       bool // the packet said that it met congestion (RFC 3168)
	Payload  []byte

	options options
}

// options are those that a segment carries.
type options struct {
	mss           uint16 // 0: none
	windowScale   int8   // -1: none
	sackPermitted bool
	timestamps    bool
	tsVal, tsEcr  uint32
	sackCount     int
	sack          [4]wire.SACKBlock
}

// Parse takes apart a segment whose checksum is right. ce is IP's congestion
// experienced code point.
func Parse(src, dst netip.Addr, t wire.TCP, ce bool) Segment {
	s := Segment{
		Src: netip.AddrPortFrom(src, t.SrcPort()), Dst: netip.AddrPortFrom(dst, t.DstPort()),
		Seq: t.Seq(), Ack: t.Ack(), Flags: t.Flags(), Window: t.Window(), Urgent: t.Urgent(), CE: ce, Payload: t.Payload(),
	}
	s.options.windowScale = -1
	s.options.parse(t.Options(), s.Flags.Has(wire.TCPSyn))
	return s
}

// parse is tcp_parse_options: options of a wrong length are passed over, as RFC
// 9293 3.1 has it for those that are not known.
func (o *options) parse(b []byte, syn bool) {
	// What nearly all segments carry: NOP, NOP, timestamps (RFC 7323 appendix A).
	if len(b) == timestampLen && binary.BigEndian.Uint32(b) == 0x0101080a {
		o.timestamps = true
		o.tsVal, o.tsEcr = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
		return
	}
	for {
		option, rest, ok := wire.NextTCPOption(b)
		if !ok || option.Kind == wire.TCPOptionEnd {
			return
		}
		if option.Valid() {
			o.take(option, syn)
		}
		b = rest
	}
}

func (o *options) take(option wire.TCPOption, syn bool) {
	switch option.Kind {
	case wire.TCPOptionMSS:
		if syn {
			o.mss = binary.BigEndian.Uint16(option.Data)
		}
	case wire.TCPOptionWindowScale:
		if syn { // RFC 7323 2.3: more than 14 counts as 14
			o.windowScale = int8(min(option.Data[0], windowScaleMax))
		}
	case wire.TCPOptionSACKPermitted:
		o.sackPermitted = o.sackPermitted || syn
	case wire.TCPOptionTimestamps:
		o.timestamps = true
		o.tsVal, o.tsEcr = binary.BigEndian.Uint32(option.Data), binary.BigEndian.Uint32(option.Data[4:])
	case wire.TCPOptionSACK:
		o.sackCount = min(option.Blocks(), len(o.sack))
		for i := range o.sackCount {
			o.sack[i] = option.Block(i)
		}
	}
}

// end is the sequence number after the segment, SYN and FIN counted.
func (s *Segment) end() uint32 { return s.Seq + s.length() }

// length is SEG.LEN of RFC 9293 3.3.1.
func (s *Segment) length() uint32 {
	n := uint32(len(s.Payload))
	if s.Flags.Has(wire.TCPSyn) {
		n++
	}
	if s.Flags.Has(wire.TCPFin) {
		n++
	}
	return n
}

// sent is a segment in the retransmission queue.
type sent struct {
	seq, end uint32 // SYN and FIN counted
	at       sim.Time
	flags    wire.TCPFlags
	mark     mark
	retries  uint8 // how often it was sent again

	// For the delivery rate (draft-ietf-ccwg-bbr 4.1.2.2), as they were when it was sent.
	delivered   uint32
	deliveredAt sim.Time
	firstSent   sim.Time
}

// mark is what is known of a sent segment (Linux's TCPCB_ flags).
type mark uint8

const (
	sacked      mark = 1 << iota // arrived, says a SACK block
	lost                         // taken for lost
	retrans                      // sent again and not yet heard of
	everRetrans                  // sent again at least once
	counted                      // in the delivery rate
	appLimited                   // sent when nothing else was there to send
)

// sentQueue is the retransmission queue: what is sent and not acknowledged, in
// the order of sequence numbers.
type sentQueue struct {
	items []sent // a power of two long
	head  int
	n     int
}

func (q *sentQueue) at(i int) *sent { return &q.items[(q.head+i)&(len(q.items)-1)] }

func (q *sentQueue) grow() {
	if q.n < len(q.items) {
		return
	}
	items := make([]sent, max(4, 2*len(q.items)))
	for i := range q.n {
		items[i] = *q.at(i)
	}
	q.items, q.head = items, 0
}

func (q *sentQueue) push(s sent) *sent {
	q.grow()
	q.n++
	last := q.at(q.n - 1)
	*last = s
	return last
}

// insert puts s behind the i-th.
func (q *sentQueue) insert(i int, s sent) {
	q.push(sent{})
	for k := q.n - 1; k > i+1; k-- {
		*q.at(k) = *q.at(k - 1)
	}
	*q.at(i + 1) = s
}

// pop drops the first. An empty queue of some size gives its storage back.
func (q *sentQueue) pop() {
	q.head = (q.head + 1) & (len(q.items) - 1)
	q.n--
	if q.n == 0 && len(q.items) > 16 {
		*q = sentQueue{}
	}
}

// find is the index of the first segment that ends after seq; n where none does.
func (q *sentQueue) find(seq uint32) int {
	low, high := 0, q.n
	for low < high {
		middle := (low + high) / 2
		if after(q.at(middle).end, seq) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}
