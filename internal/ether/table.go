package ether

import (
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// table is where stations are. Its entries hang in a list by when they were last
// seen, so those that are too old are at one end and are found without a timer
// and without a walk over the map. The zero table is empty.
type table struct {
	index   map[uint64]int32 // MAC to entry
	entries []entry          // entries[0] is the list's anchor; the free ones hang at free
	free    int32
}

type entry struct {
	mac          wire.MAC
	port         int32
	seen         sim.Time
	newer, older int32
}

// seen is what a frame taught the table.
type seen int

const (
	seenBefore seen = iota
	seenNew
	seenElsewhere
	seenNoRoom
)

// key makes an integer of an address, which a map finds faster.
func key(m wire.MAC) uint64 {
	return uint64(m[0])<<40 | uint64(m[1])<<32 | uint64(m[2])<<24 | uint64(m[3])<<16 | uint64(m[4])<<8 | uint64(m[5])
}

func (t *table) find(m wire.MAC) (port int, ok bool) {
	i, ok := t.index[key(m)]
	if !ok {
		return 0, false
	}
	return int(t.entries[i].port), true
}

// see notes that a station was heard at a port.
func (t *table) see(now sim.Time, m wire.MAC, port, max int) seen {
	i, ok := t.index[key(m)]
	if ok {
		e := &t.entries[i]
		e.seen = now
		if t.entries[0].older != i {
			t.unlink(i)
			t.linkNewest(i)
		}
		if int(e.port) == port {
			return seenBefore
		}
		e.port = int32(port)
		return seenElsewhere
	}
	if len(t.index) >= max {
		return seenNoRoom
	}
	i = t.take()
	t.entries[i] = entry{mac: m, port: int32(port), seen: now}
	t.index[key(m)] = i
	t.linkNewest(i)
	return seenNew
}

func (t *table) take() int32 {
	if t.index == nil {
		t.index = map[uint64]int32{}
		t.entries = make([]entry, 1)
	}
	if i := t.free; i != 0 {
		t.free = t.entries[i].older
		return i
	}
	t.entries = append(t.entries, entry{})
	return int32(len(t.entries) - 1)
}

// newest is the entry seen last, or 0.
func (t *table) newest() int32 {
	if len(t.entries) == 0 {
		return 0
	}
	return t.entries[0].older
}

func (t *table) linkNewest(i int32) {
	anchor := &t.entries[0]
	e := &t.entries[i]
	e.newer, e.older = 0, anchor.older
	t.entries[e.older].newer = i
	anchor.older = i
}

func (t *table) unlink(i int32) {
	e := &t.entries[i]
	t.entries[e.newer].older = e.older
	t.entries[e.older].newer = e.newer
}

func (t *table) remove(i int32) {
	t.unlink(i)
	delete(t.index, key(t.entries[i].mac))
	t.entries[i].older = t.free
	t.free = i
}

// expire forgets what was last seen at limit or before, as Linux's has_expired,
// and returns how many those were.
func (t *table) expire(limit sim.Time) (n uint64) {
	if len(t.entries) == 0 {
		return 0
	}
	for i := t.entries[0].newer; i != 0 && t.entries[i].seen <= limit; i = t.entries[0].newer {
		t.remove(i)
		n++
	}
	return n
}

// flush forgets the stations at a port.
func (t *table) flush(port int) {
	for i := t.newest(); i != 0; {
		e := t.entries[i]
		if int(e.port) == port {
			t.remove(i)
		}
		i = e.older
	}
}
