package link

import (
	"encoding/binary"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// End is one end of a link: a port's transmitter and its way to the others. In a
// large network forwarding waits for memory, so what sending and what receiving
// needs are each a cache line of 64 bytes.
type End struct {
	// Sending.
	link         *Link
	origin       *sim.Origin
	sending      *sending     // nil until the first frame
	impairments  *impairments // nil: nothing goes wrong
	rate         int64        // this and what follows: Settings, without what few links have
	delay        sim.Duration
	queuePackets int32
	queueBytes   int32
	mtu          int32
	down         bool // as the link
	segment      bool // there are more than two ends

	// Receiving.
	receiver       Receiver
	port           int32
	place          int32
	tap            Tap
	receivedFrames uint64
	receivedBytes  uint64
	seldom         *endSeldom // nil: nothing of that kind happened
}

// endSeldom counts what happens at few ends.
type endSeldom struct {
	duplicated uint64
	drops      []DropCount
}

// rare is the end's seldom, made when first needed.
func (e *End) rare() *endSeldom {
	if e.seldom == nil {
		e.seldom = &endSeldom{}
	}
	return e.seldom
}

// sending is what an end needs that sends.
type sending struct {
	through *transmitter // own, or the bus of the segment
	own     transmitter
	rest    int64 // of the last serialisation time, in 1/rate ns

	waitingFrames, waitingBytes int32 // this end's part of the transmitter's queue

	arrival sim.Timer     // for first
	first   flying        // of those on the way, by (at, order); no frame: none
	behind  *ring[flying] // the others; nil until there are two

	sentFrames, sentBytes uint64
}

// flying is a frame on its way.
type flying struct {
	at    sim.Time
	order sim.Order
	frame *wire.Frame
}

// before is the order in which frames arrive.
func (f *flying) before(g *flying) bool { return f.at < g.at || f.at == g.at && f.order < g.order }

// transmitter sends one frame at a time: a port's, or what the stations of a
// segment take turns at, in the order in which they asked.
type transmitter struct {
	freeAt  sim.Time // the frame in transmission has left
	backlog *backlog // nil until a frame has to wait
}

type backlog struct {
	queue ring[waiting]
	drain sim.Timer // set at freeAt while frames wait
}

type waiting struct {
	end   *End
	frame *wire.Frame
}

// waiting is how many frames wait.
func (t *transmitter) waiting() int {
	if t.backlog == nil {
		return 0
	}
	return t.backlog.queue.len()
}

// push lets a frame wait.
func (t *transmitter) push(w waiting) {
	if t.backlog == nil {
		t.backlog = &backlog{}
		t.backlog.drain.Init((*drain)(t))
	}
	s := w.end.sending
	s.waitingFrames++
	s.waitingBytes += int32(w.frame.Len())
	t.backlog.queue.push(w)
}

// Send takes a frame to be sent, and owns it. As in Linux, the frame is refused
// when it is too long or when the queue is full, and nobody is told.
func (e *End) Send(now sim.Time, f *wire.Frame) {
	if e.down {
		e.drop(now, f, wire.DropLinkDown)
		return
	}
	if payloadLen(f.Bytes()) > int(e.mtu) {
		e.drop(now, f, wire.DropTooBig)
		return
	}
	s := e.sending
	if s == nil {
		s = e.start()
	}
	t := s.through
	if t.freeAt <= now && t.waiting() == 0 {
		e.transmit(now, f)
		return
	}
	size := int32(f.Len())
	if e.queuePackets > 0 && s.waitingFrames >= e.queuePackets || e.queueBytes > 0 && s.waitingBytes+size > e.queueBytes {
		e.drop(now, f, wire.DropQueueFull)
		return
	}
	t.push(waiting{e, f})
	if !t.backlog.drain.Pending() {
		e.origin.Set(&t.backlog.drain, t.freeAt)
	}
}

// payloadLen is what counts against the MTU: a tag does not.
func payloadLen(b []byte) int {
	n := len(b) - wire.EthernetLen
	if n >= wire.VLANLen && wire.EtherType(binary.BigEndian.Uint16(b[wire.EthernetLen-2:])) == wire.TypeVLAN {
		n -= wire.VLANLen
	}
	return n
}

func (e *End) start() *sending {
	s := &sending{}
	s.through = &s.own
	if e.segment {
		s.through = &e.link.segment.bus
	}
	s.arrival.Init((*arrival)(e))
	e.sending = s
	return s
}

// transmit puts a frame on the wire; the transmitter is free.
func (e *End) transmit(now sim.Time, f *wire.Frame) {
	s := e.sending
	s.sentFrames++
	s.sentBytes += uint64(f.Len())
	if e.tap != nil {
		e.tap.Sent(now, int(e.place), f)
	}
	t := s.through
	t.freeAt = now.Add(e.serialise(now, f.Len()))
	p := passage{frame: f, now: now, sent: t.freeAt, arrives: t.freeAt.Add(e.delay)}
	if e.impairments != nil {
		e.impair(p)
		return
	}
	e.fly(p)
}

// serialise returns how long a frame is in transmission, in whole nanoseconds.
// What division leaves over goes to the next frame if that one follows without
// a gap, so that a busy link's rate is exact however long it runs.
func (e *End) serialise(now sim.Time, size int) sim.Duration {
	if e.rate == 0 {
		return 0
	}
	s := e.sending
	if s.through.freeAt != now {
		s.rest = 0
	}
	bits := int64(max(size, wire.EthernetMinLen)+wire.EthernetOverhead) * 8
	work := bits*1e9 + s.rest
	s.rest = work % e.rate
	return sim.Duration(work / e.rate)
}

// fly puts a frame among those on the way. Only the first of them has a timer
// in the kernel's queue; each has the order number that it got here, so arrivals
// fall as if each had its own.
func (e *End) fly(p passage) {
	s := e.sending
	in := flying{p.arrives, e.origin.Next(), p.frame}
	if s.first.frame == nil {
		s.first = in
		e.origin.SetOrder(&s.arrival, in.at, in.order)
		return
	}
	if in.before(&s.first) {
		e.origin.SetOrder(&s.arrival, in.at, in.order)
		in, s.first = s.first, in
	}
	if s.behind == nil {
		s.behind = &ring[flying]{}
	}
	i := s.behind.len()
	s.behind.push(in)
	for ; i > 0 && in.before(s.behind.at(i-1)); i-- {
		*s.behind.at(i) = *s.behind.at(i - 1)
	}
	*s.behind.at(i) = in
}

// land takes the first frame from those on the way.
func (s *sending) land() *wire.Frame {
	f := s.first.frame
	s.first = flying{}
	if s.behind != nil && s.behind.len() > 0 {
		s.first = s.behind.pop()
	}
	return f
}

// arrival is an End whose first frame on the way has come to the other side.
type arrival End

func (a *arrival) Fire(now sim.Time) {
	e := (*End)(a)
	s := e.sending
	f := s.land()
	if s.first.frame != nil {
		e.origin.SetOrder(&s.arrival, s.first.at, s.first.order)
	}
	e.link.deliver(now, e, f)
}

// drain is a transmitter that is free for the next frame of its queue.
type drain transmitter

func (d *drain) Fire(now sim.Time) {
	t := (*transmitter)(d)
	w := t.take()
	w.end.transmit(now, w.frame)
	if b := t.backlog; b.queue.len() > 0 {
		b.queue.at(0).end.origin.Set(&b.drain, t.freeAt)
	}
}

// take takes the first frame out of the queue.
func (t *transmitter) take() waiting {
	w := t.backlog.queue.pop()
	s := w.end.sending
	s.waitingFrames--
	s.waitingBytes -= int32(w.frame.Len())
	return w
}

func (e *End) receive(now sim.Time, f *wire.Frame) {
	if e.receiver == nil {
		e.drop(now, f, wire.DropNodeDown)
		return
	}
	e.receivedFrames++
	e.receivedBytes += uint64(f.Len())
	if e.tap != nil {
		e.tap.Received(now, int(e.place), f)
	}
	e.receiver.Receive(now, int(e.port), f)
}

func (e *End) drop(now sim.Time, f *wire.Frame, why wire.Drop) {
	e.rare().drop(why)
	if e.tap != nil {
		e.tap.Dropped(now, int(e.place), f, why)
	}
	f.Release()
}

// clear drops what the end has sent or was going to send: the link was cut.
func (e *End) clear(now sim.Time) {
	s := e.sending
	if s == nil {
		return
	}
	e.origin.Stop(&s.arrival)
	for s.first.frame != nil {
		e.drop(now, s.land(), wire.DropLinkDown)
	}
	e.unqueue(now, wire.DropLinkDown)
	s.through.freeAt = min(s.through.freeAt, now)
}

// unqueue drops what the end has in the queue.
func (e *End) unqueue(now sim.Time, why wire.Drop) {
	t := e.sending.through
	if t.waiting() == 0 {
		return
	}
	for range t.waiting() {
		w := t.take()
		if w.end == e {
			e.drop(now, w.frame, why)
			continue
		}
		t.push(w)
	}
	if t.waiting() == 0 {
		e.origin.Stop(&t.backlog.drain)
	}
}

// SetReceiver plugs in another node or, with nil, none: the node has failed, and
// what its port had not yet sent is dropped. What is on the wire goes on.
func (e *End) SetReceiver(now sim.Time, r Receiver) {
	e.receiver = r
	if r == nil && e.sending != nil {
		e.unqueue(now, wire.DropNodeDown)
	}
}

// Set changes how frames are sent from now on. What waits stays in the queue and
// is sent the new way; what is on the way arrives as it would have.
func (e *End) Set(now sim.Time, s Settings) {
	e.use(s)
	if e.sending != nil {
		e.sending.rest = 0
	}
}

func (e *End) use(s Settings) {
	s = s.withDefaults()
	e.rate, e.delay = s.RateBitsPerSecond, s.Delay
	e.queuePackets, e.queueBytes, e.mtu = int32(s.QueuePackets), int32(s.QueueBytes), int32(s.MTU)
	e.setImpairments(s)
}

// Settings is how frames are sent, with the defaults filled in.
func (e *End) Settings() Settings {
	s := Settings{}
	if e.impairments != nil {
		s = e.impairments.settings
	}
	s.RateBitsPerSecond, s.Delay = e.rate, e.delay
	s.QueuePackets, s.QueueBytes, s.MTU = int(e.queuePackets), int(e.queueBytes), int(e.mtu)
	return s
}

// Queued is how many frames wait, and their bytes, without the one in
// transmission.
func (e *End) Queued() (frames, bytes int) {
	if e.sending == nil {
		return 0, 0
	}
	return int(e.sending.waitingFrames), int(e.sending.waitingBytes)
}

// Counters is what has passed the end so far.
func (e *End) Counters() Counters {
	c := Counters{ReceivedFrames: e.receivedFrames, ReceivedBytes: e.receivedBytes}
	if s := e.sending; s != nil {
		c.SentFrames, c.SentBytes = s.sentFrames, s.sentBytes
	}
	if r := e.seldom; r != nil {
		c.Duplicated, c.Drops = r.duplicated, slices.Clone(r.drops)
	}
	return c
}

// Counters count what passed one end of a link. A frame that was lost on the way
// was sent, and is a drop of the end that sent it.
type Counters struct {
	SentFrames, SentBytes         uint64
	ReceivedFrames, ReceivedBytes uint64
	Duplicated                    uint64      // frames that the way made two of
	Drops                         []DropCount // those that occurred, by reason
}

// DropCount is how many frames were dropped for a reason.
type DropCount struct {
	Why    wire.Drop
	Frames uint64
}

// Dropped is how many frames were dropped for a reason.
func (c Counters) Dropped(why wire.Drop) uint64 {
	for _, d := range c.Drops {
		if d.Why == why {
			return d.Frames
		}
	}
	return 0
}

func (r *endSeldom) drop(why wire.Drop) {
	i := 0
	for i < len(r.drops) && r.drops[i].Why < why {
		i++
	}
	if i == len(r.drops) || r.drops[i].Why != why {
		r.drops = slices.Insert(r.drops, i, DropCount{Why: why})
	}
	r.drops[i].Frames++
}
