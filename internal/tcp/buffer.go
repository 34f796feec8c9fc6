package tcp

import "math/bits"

// memory is the buffers of a machine: how many bytes all connections hold, and
// some storage kept for the next one.
type memory struct {
	held int
	free [ringClasses][][]byte
}

const (
	ringMin     = 2048
	ringClasses = 16 // up to 64 MiB
	ringsKept   = 4  // of each size
)

func ringClass(size int) int {
	return max(0, bits.Len(uint(size-1))-bits.Len(uint(ringMin-1)))
}

func (m *memory) get(size int) []byte {
	k := ringClass(size)
	m.held += ringMin << k
	if n := len(m.free[k]); n > 0 {
		b := m.free[k][n-1]
		m.free[k] = m.free[k][:n-1]
		return b
	}
	return make([]byte, ringMin<<k)
}

func (m *memory) put(b []byte) {
	if b == nil {
		return
	}
	m.held -= len(b)
	if k := ringClass(len(b)); len(m.free[k]) < ringsKept {
		m.free[k] = append(m.free[k], b)
	}
}

// ring is a queue of bytes with random access. It holds storage only while it
// holds bytes. The zero ring is empty.
type ring struct {
	b    []byte // a power of two long
	head int
	n    int
}

// reserve makes room for bytes up to offset size.
func (r *ring) reserve(m *memory, size int) {
	if size <= len(r.b) {
		return
	}
	b := m.get(size)
	if r.b != nil {
		k := copy(b, r.b[r.head:])
		copy(b[k:], r.b[:r.head])
		m.put(r.b)
	}
	r.b, r.head = b, 0
}

// writeAt puts p at an offset, which may lie beyond the end: extend makes it part
// of the queue.
func (r *ring) writeAt(m *memory, offset int, p []byte) {
	r.reserve(m, offset+len(p))
	at := (r.head + offset) & (len(r.b) - 1)
	k := copy(r.b[at:], p)
	copy(r.b, p[k:])
}

// extend makes n bytes that were written beyond the end part of the queue.
func (r *ring) extend(n int) { r.n += n }

// write appends p.
func (r *ring) write(m *memory, p []byte) {
	if len(p) > 0 {
		r.writeAt(m, r.n, p)
		r.n += len(p)
	}
}

// read copies bytes from an offset on and returns how many there were.
func (r *ring) read(p []byte, offset int) int {
	a, b := r.view(offset, min(len(p), r.n-offset))
	k := copy(p, a)
	return k + copy(p[k:], b)
}

// view is n bytes from an offset on, in two parts.
func (r *ring) view(offset, n int) (a, b []byte) {
	if n <= 0 {
		return nil, nil
	}
	at := (r.head + offset) & (len(r.b) - 1)
	if at+n <= len(r.b) {
		return r.b[at : at+n], nil
	}
	return r.b[at:], r.b[:at+n-len(r.b)]
}

// discard drops n bytes at the front. idle says that nothing is written beyond
// the end either, so that an empty ring may give its storage back.
func (r *ring) discard(m *memory, n int, idle bool) {
	r.n -= n
	if len(r.b) > 0 {
		r.head = (r.head + n) & (len(r.b) - 1)
	}
	if r.n == 0 && idle {
		r.release(m)
	}
}

// release empties the ring.
func (r *ring) release(m *memory) {
	m.put(r.b)
	*r = ring{}
}
