// Package record keeps what happens on the links and in the nodes of a run: it
// counts, computes the run's fingerprint, and passes every event to sinks that
// keep it (Log) or write it out (PcapWriter).
//
// A Recorder is told by links and nodes (it is their tap) and never answers, so
// a recorded run is the same as one that is not. It knows frames and times but
// no networks. Start reading at Recorder.
package record

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"hash"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Place is where something happens: a port of a node, or with an empty Port the
// node itself.
type Place struct {
	Node, Port        string
	MAC               wire.MAC
	RateBitsPerSecond int64 // of sending; 0 = unlimited
}

// String writes the place as people do: h1:eth0, or h1.
func (p Place) String() string {
	if p.Port == "" {
		return p.Node
	}
	return p.Node + ":" + p.Port
}

// Kind is what happened to a frame.
type Kind uint8

// The kinds.
const (
	Sent     Kind = iota + 1 // its first bit left the place
	Received                 // its last bit arrived at the place
	Dropped                  // it went no further
)

// String names the kind.
func (k Kind) String() string {
	switch k {
	case Sent:
		return "sent"
	case Received:
		return "received"
	case Dropped:
		return "dropped"
	}
	return "unknown"
}

// Event is one thing that happened to one frame.
type Event struct {
	At     sim.Time
	Kind   Kind
	Place  int       // index into the recorder's places
	Why    wire.Drop // of Dropped
	Packet uint64
	Data   []byte // the frame; valid during the call
}

// Sink is handed every event in order. Places may be added while it runs; it
// is told of each before the place's first event.
type Sink interface {
	AddPlace(number int, p Place)
	Event(e Event)
	Close() error // what went wrong, if anything did
}

// Counters count at one place. Bytes are those of frames without preamble and FCS.
type Counters struct {
	SentFrames, SentBytes         uint64
	ReceivedFrames, ReceivedBytes uint64
	Drops                         map[wire.Drop]uint64 // nil where nothing was dropped
}

// Dropped is the number of frames dropped for whatever reason.
func (c Counters) Dropped() uint64 {
	var n uint64
	for _, count := range c.Drops {
		n += count
	}
	return n
}

// bufferSize is how much is gathered before it is hashed, so that small fields
// do not each cost a call.
const bufferSize = 64 << 10

// Recorder counts, fingerprints and passes on the events of one run. One
// goroutine uses it, the kernel's.
type Recorder struct {
	places   []Place
	counters []Counters
	sinks    []Sink

	digest  hash.Hash
	pending []byte // not yet hashed, less than bufferSize
}

// New returns a recorder without places.
func New() *Recorder {
	return &Recorder{digest: sha256.New(), pending: make([]byte, 0, bufferSize)}
}

// AddPlace adds a place and returns its number, which events carry.
func (r *Recorder) AddPlace(p Place) int {
	number := len(r.places)
	r.places = append(r.places, p)
	r.counters = append(r.counters, Counters{})
	name := p.String()
	// A kind of 0 tells a place from an event in the stream that is hashed.
	r.hash(append([]byte{0, byte(len(name) >> 8), byte(len(name))}, name...))
	for _, s := range r.sinks {
		s.AddPlace(number, p)
	}
	return number
}

// Attach hands all events from now on to s too.
func (r *Recorder) Attach(s Sink) {
	r.sinks = append(r.sinks, s)
	for i, p := range r.places {
		s.AddPlace(i, p)
	}
}

// Places are all places by number.
func (r *Recorder) Places() []Place { return r.places }

// Counters are the counts at a place so far.
func (r *Recorder) Counters(place int) Counters { return r.counters[place] }

// Totals are the counts at all places together.
func (r *Recorder) Totals() Counters {
	var t Counters
	for _, c := range r.counters {
		t.SentFrames += c.SentFrames
		t.SentBytes += c.SentBytes
		t.ReceivedFrames += c.ReceivedFrames
		t.ReceivedBytes += c.ReceivedBytes
		for why, n := range c.Drops {
			t.addDrop(why, n)
		}
	}
	return t
}

func (c *Counters) addDrop(why wire.Drop, n uint64) {
	if c.Drops == nil {
		c.Drops = map[wire.Drop]uint64{}
	}
	c.Drops[why] += n
}

// Sent implements link.Tap.
func (r *Recorder) Sent(now sim.Time, place int, f *wire.Frame) {
	c := &r.counters[place]
	c.SentFrames++
	c.SentBytes += uint64(f.Len())
	r.event(Event{At: now, Kind: Sent, Place: place, Packet: f.Packet, Data: f.Bytes()})
}

// Received implements link.Tap.
func (r *Recorder) Received(now sim.Time, place int, f *wire.Frame) {
	c := &r.counters[place]
	c.ReceivedFrames++
	c.ReceivedBytes += uint64(f.Len())
	r.event(Event{At: now, Kind: Received, Place: place, Packet: f.Packet, Data: f.Bytes()})
}

// Dropped implements link.Tap.
func (r *Recorder) Dropped(now sim.Time, place int, f *wire.Frame, why wire.Drop) {
	r.counters[place].addDrop(why, 1)
	r.event(Event{At: now, Kind: Dropped, Place: place, Why: why, Packet: f.Packet, Data: f.Bytes()})
}

// event hashes an event and hands it on. The packet's number is not hashed: it
// is a name given by the nodes, and the bytes say what was on the wire.
func (r *Recorder) event(e Event) {
	var head [18]byte
	head[0], head[1] = byte(e.Kind), byte(e.Why)
	binary.BigEndian.PutUint32(head[2:], uint32(e.Place))
	binary.BigEndian.PutUint64(head[6:], uint64(e.At))
	binary.BigEndian.PutUint32(head[14:], uint32(len(e.Data)))
	r.hash(head[:])
	r.hash(e.Data)
	for _, s := range r.sinks {
		s.Event(e)
	}
}

func (r *Recorder) hash(b []byte) {
	for len(b) > 0 {
		n := min(len(b), bufferSize-len(r.pending))
		r.pending = append(r.pending, b[:n]...)
		if b = b[n:]; len(r.pending) == bufferSize {
			r.digest.Write(r.pending)
			r.pending = r.pending[:0]
		}
	}
}

// Fingerprint is the first 16 hexadecimal digits of FullFingerprint: "fp 3f9c...".
func (r *Recorder) Fingerprint() string { return "fp " + r.FullFingerprint()[:16] }

// FullFingerprint is the SHA-256, in hexadecimal, of the names of all places and
// of the time, kind, place, reason and bytes of every event so far. Two runs
// with the same fingerprint did the same.
func (r *Recorder) FullFingerprint() string {
	r.digest.Write(r.pending)
	r.pending = r.pending[:0]
	return hex.EncodeToString(r.digest.Sum(nil))
}

// Close closes all sinks and returns the first error, which names its file.
func (r *Recorder) Close() error {
	var first error
	for _, s := range r.sinks {
		if err := s.Close(); first == nil {
			first = err
		}
	}
	r.sinks = nil
	return first
}
