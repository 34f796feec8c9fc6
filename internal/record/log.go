package record

import (
	"bytes"
	"iter"
	"sort"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// LogBytesDefault is how much a Log keeps where nothing else is asked.
const LogBytesDefault = 256 << 20

const (
	chunkSize  = 1 << 20
	entryBytes = 48 // what one kept event costs besides its frame
)

// Log keeps events in memory. The bytes of a packet are stored once and
// referred to by the events that follow with the same bytes: its arrival, its
// drop, the next hop of a switch.
type Log struct {
	places  []Place
	entries []entry
	chunk   []byte            // the storage being filled; full ones are held by entries
	latest  map[uint64][]byte // the last stored bytes of a packet
	used    int64
	limit   int64
	seen    uint64
}

type entry struct {
	at     sim.Time
	packet uint64
	data   []byte
	place  int32
	kind   Kind
	why    wire.Drop
}

// NewLog returns a log that keeps about limitBytes; 0 means LogBytesDefault.
func NewLog(limitBytes int64) *Log {
	if limitBytes == 0 {
		limitBytes = LogBytesDefault
	}
	return &Log{limit: limitBytes, latest: map[uint64][]byte{}}
}

// AddPlace implements Sink.
func (l *Log) AddPlace(_ int, p Place) { l.places = append(l.places, p) }

// Event implements Sink. After the limit it only counts.
func (l *Log) Event(e Event) {
	l.seen++
	if l.Truncated() {
		return
	}
	data, stored := l.latest[e.Packet]
	stored = stored && bytes.Equal(data, e.Data)
	need := int64(entryBytes)
	if !stored {
		need += int64(len(e.Data))
	}
	if l.used+need > l.limit {
		l.latest = nil // says Truncated
		return
	}
	if !stored {
		data = l.store(e.Data)
		l.latest[e.Packet] = data
	}
	l.used += entryBytes
	l.entries = append(l.entries, entry{e.At, e.Packet, data, int32(e.Place), e.Kind, e.Why})
}

func (l *Log) store(b []byte) []byte {
	if len(l.chunk)+len(b) > cap(l.chunk) {
		l.chunk = make([]byte, 0, max(chunkSize, len(b)))
	}
	start := len(l.chunk)
	l.chunk = append(l.chunk, b...)
	l.used += int64(len(b))
	return l.chunk[start:len(l.chunk):len(l.chunk)]
}

// Close implements Sink.
func (l *Log) Close() error { return nil }

// Truncated reports whether events came that were not kept, for want of room.
func (l *Log) Truncated() bool { return l.latest == nil }

// Seen is the number of events that came, kept or not.
func (l *Log) Seen() uint64 { return l.seen }

// Len is the number of events that are kept.
func (l *Log) Len() int { return len(l.entries) }

// Places are all places by number.
func (l *Log) Places() []Place { return l.places }

// At is the i-th kept event; its Data stays valid and must not be changed.
func (l *Log) At(i int) Event {
	e := &l.entries[i]
	return Event{At: e.at, Kind: e.kind, Place: int(e.place), Why: e.why, Packet: e.packet, Data: e.data}
}

// All yields every kept event in order.
func (l *Log) All() iter.Seq[Event] { return l.where(func(*entry) bool { return true }) }

// ByPlace yields the events at a place.
func (l *Log) ByPlace(place int) iter.Seq[Event] {
	return l.where(func(e *entry) bool { return int(e.place) == place })
}

// ByPacket yields what happened to a packet on all its hops.
func (l *Log) ByPacket(packet uint64) iter.Seq[Event] {
	return l.where(func(e *entry) bool { return e.packet == packet })
}

// Between yields the events from one time up to but without another.
func (l *Log) Between(from, to sim.Time) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		start := sort.Search(len(l.entries), func(i int) bool { return l.entries[i].at >= from })
		for i := start; i < len(l.entries) && l.entries[i].at < to; i++ {
			if !yield(l.At(i)) {
				return
			}
		}
	}
}

func (l *Log) where(keep func(*entry) bool) iter.Seq[Event] {
	return func(yield func(Event) bool) {
		for i := range l.entries {
			if keep(&l.entries[i]) && !yield(l.At(i)) {
				return
			}
		}
	}
}
