package stack

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// prefixTable finds values by IPv4 prefix: a hash table with open addressing and
// linear probing, in which one prefix may have several values. Forwarding in a
// large network waits for memory, and a look-up here touches one cache line,
// where Go's map touches three and a trie one at each step (BenchmarkTree).
// The zero table is empty.
type prefixTable[V any] struct {
	slots []prefixSlot[V] // the length is a power of two, at most two thirds are taken
	count int
}

type prefixSlot[V any] struct {
	addr  uint32
	bits  uint8
	taken bool
	value V
}

const prefixTableMin = 16

// key4 is an IPv4 address as a number.
func key4(a netip.Addr) uint32 {
	b := a.As4()
	return binary.BigEndian.Uint32(b[:])
}

// home is where the search for a prefix starts (Fibonacci hashing: addresses of
// one network lie evenly spread).
func (t *prefixTable[V]) home(addr uint32, length uint8) int {
	return int((uint64(addr) + uint64(length)<<32) * 0x9e3779b97f4a7c15 >> (65 - bits.Len(uint(len(t.slots)))))
}

// find is the place of the prefix's first value, -1 if it has none.
func (t *prefixTable[V]) find(addr uint32, length uint8) int {
	if len(t.slots) == 0 {
		return -1
	}
	return t.search(t.home(addr, length), addr, length)
}

// next is the place of the prefix's value after the one at i, -1 if that was the last.
func (t *prefixTable[V]) next(i int) int {
	s := &t.slots[i]
	return t.search((i+1)&(len(t.slots)-1), s.addr, s.bits)
}

// search looks for a prefix from place i until a free one.
func (t *prefixTable[V]) search(i int, addr uint32, length uint8) int {
	for slots := t.slots; ; i = (i + 1) & (len(slots) - 1) {
		s := &slots[i]
		if !s.taken {
			return -1
		}
		if s.addr == addr && s.bits == length {
			return i
		}
	}
}

// add adds a value to those of the prefix.
func (t *prefixTable[V]) add(addr uint32, length uint8, v V) {
	if 3*(t.count+1) > 2*len(t.slots) {
		old := t.slots
		t.slots, t.count = make([]prefixSlot[V], max(prefixTableMin, 2*len(old))), 0
		for k := range old {
			if s := &old[k]; s.taken {
				t.add(s.addr, s.bits, s.value)
			}
		}
	}
	i := t.home(addr, length)
	for t.slots[i].taken {
		i = (i + 1) & (len(t.slots) - 1)
	}
	t.slots[i] = prefixSlot[V]{addr: addr, bits: length, taken: true, value: v}
	t.count++
}

// remove takes the value at place i out and moves up what could no longer be
// found past the gap.
func (t *prefixTable[V]) remove(i int) {
	last := len(t.slots) - 1
	for j := (i + 1) & last; t.slots[j].taken; j = (j + 1) & last {
		home := t.home(t.slots[j].addr, t.slots[j].bits)
		if (j-home)&last >= (j-i)&last { // its search passes i
			t.slots[i] = t.slots[j]
			i = j
		}
	}
	t.slots[i] = prefixSlot[V]{}
	t.count--
}

// prefixRoutes finds IPv4 routes: a table of all prefixes, searched for each
// length that occurs, the longest first. Networks have few lengths.
type prefixRoutes struct {
	table   prefixTable[*Route]
	lengths uint64     // bit n: there are prefixes of length n
	routes  [33]uint32 // how many, by length
}

func (p *prefixRoutes) insert(r *Route) bool {
	addr, length := key4(r.Prefix.Addr()), uint8(r.Prefix.Bits())
	for i := p.table.find(addr, length); i >= 0; i = p.table.next(i) {
		if p.table.slots[i].value.Metric == r.Metric {
			return false
		}
	}
	p.table.add(addr, length, r)
	p.lengths |= 1 << length
	p.routes[length]++
	return true
}

func (p *prefixRoutes) remove(r *Route) {
	addr, length := key4(r.Prefix.Addr()), uint8(r.Prefix.Bits())
	for i := p.table.find(addr, length); i >= 0; i = p.table.next(i) {
		if p.table.slots[i].value == r {
			p.table.remove(i)
			break
		}
	}
	if p.routes[length]--; p.routes[length] == 0 {
		p.lengths &^= 1 << length
	}
}

func (p *prefixRoutes) lookup(a netip.Addr, only *Interface) (best *Route) {
	addr := key4(a)
	for rest := p.lengths; rest != 0; {
		length := uint8(bits.Len64(rest) - 1)
		rest &^= 1 << length
		network := addr &^ (1<<(32-length) - 1)
		for i := p.table.find(network, length); i >= 0; i = p.table.next(i) {
			r := p.table.slots[i].value
			if (only == nil || r.Interface == only) && (best == nil || r.Metric < best.Metric) {
				best = r
			}
		}
		if best != nil {
			return best
		}
	}
	return nil
}
