package socket

import "sync"

// stage is where a program leaves what it writes while there is room in the send
// buffer, so that a write does not wait for the kernel. Its mutex is held for a
// copy only, never over a call.
type stage struct {
	mu     sync.Mutex
	room   int // bytes that may still be put
	posted bool
	chunks
}

// chunks are bytes with the ends of the writes that they came from: without
// Nagle's algorithm each write is a segment.
type chunks struct {
	data []byte
	cuts []int // the length of each write
}

const stageMax = 256 << 10 // bytes; a larger write goes the long way

// put takes a whole write if there is room; first: the kernel has to be told.
func (s *stage) put(b []byte) (ok, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(b) == 0 || len(b) > s.room {
		return false, false
	}
	s.room -= len(b)
	s.data = append(s.data, b...)
	s.cuts = append(s.cuts, len(b))
	first = !s.posted
	s.posted = true
	return true, first
}

// take moves all chunks behind those in to.
func (s *stage) take(to *chunks) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.posted = false
	if len(s.cuts) == 0 {
		return
	}
	if len(to.cuts) == 0 {
		s.chunks, *to = *to, s.chunks
		return
	}
	to.data = append(to.data, s.data...)
	to.cuts = append(to.cuts, s.cuts...)
	s.chunks.reset()
}

// allow sets how much may be put, what waits to be taken included.
func (s *stage) allow(room int) {
	s.mu.Lock()
	s.room = max(0, min(room, stageMax)-len(s.data))
	s.mu.Unlock()
}

// stop lets nothing more in.
func (s *stage) stop() { s.allow(0) }

// reset empties the chunks and keeps their storage, unless it is large.
func (c *chunks) reset() {
	if cap(c.data) > 64<<10 {
		*c = chunks{}
		return
	}
	c.data, c.cuts = c.data[:0], c.cuts[:0]
}
