// Package wire is the formats of frames: Ethernet, ARP, IPv4, IPv6, ICMP, UDP
// and TCP, as bytes.
//
// A ParseX checks once that the bytes hold an X and returns a view whose
// accessors cannot fail; an AppendX writes one without allocating; a setter
// changes a field in place and keeps checksums right. Fields names every field
// with its value and its place, for people to read. The package knows nothing
// of time or of what a frame causes. Start reading at Frame.
package wire

// Frame is one Ethernet frame, without preamble and FCS, and what its handlers
// know of it. A frame has one owner, who passes it on or releases it to its
// pool; nobody keeps one after that.
type Frame struct {
	// Packet names the packet that the frame carries: all its copies, on all its
	// hops, have the same. The node that builds the packet numbers it.
	Packet uint64

	// ChecksumsGood says that all checksums in the frame are known to be right, as
	// a network card would. A link that corrupts the frame clears it.
	ChecksumsGood bool

	buf   []byte // all of the storage
	start int    // the frame is buf[start:end]
	end   int
	pool  *Pool
	next  *Frame // in the pool's list
}

// headroom lets a header grow in front (a VLAN tag, an outer IP header).
const headroom = 64

// Bytes is the frame; it may be changed in place.
func (f *Frame) Bytes() []byte { return f.buf[f.start:f.end] }

// Len is the length of the frame in bytes.
func (f *Frame) Len() int { return f.end - f.start }

// Buffer is where a new frame is written, empty and with room behind it:
//
//	f.SetBytes(AppendEthernet(f.Buffer(), h))
func (f *Frame) Buffer() []byte { return f.buf[f.start:f.start] }

// SetBytes makes b the frame. b is what appending to Buffer gave; where that
// outgrew the storage, the frame takes the new one.
func (f *Frame) SetBytes(b []byte) {
	if cap(b) > 0 && f.start < len(f.buf) && &b[:1][0] == &f.buf[f.start] {
		f.end = f.start + len(b)
		return
	}
	f.buf, f.start, f.end = b[:cap(b)], 0, len(b)
}

// Trim cuts the frame to n bytes, as a reader does with Ethernet's padding.
func (f *Frame) Trim(n int) { f.end = min(f.end, f.start+n) }

// Pull drops n bytes at the front.
// Precondition: n <= Len.
func (f *Frame) Pull(n int) { f.start += n }

// Push makes room for n bytes at the front and returns the frame from there.
func (f *Frame) Push(n int) []byte {
	if n > f.start {
		grown := make([]byte, headroom+n+f.Len())
		copy(grown[headroom+n:], f.Bytes())
		f.buf, f.start, f.end = grown, headroom+n, len(grown)
	}
	f.start -= n
	return f.Bytes()
}

// Clone returns a copy of the frame from the same pool, with the same Packet.
func (f *Frame) Clone() *Frame {
	c := f.pool.Get(f.Len())
	c.Packet, c.ChecksumsGood = f.Packet, f.ChecksumsGood
	c.SetBytes(append(c.Buffer(), f.Bytes()...))
	return c
}

// Release gives the frame back to its pool.
func (f *Frame) Release() { f.pool.put(f) }

// Pool lends frames and takes them back, so that a packet costs no allocation.
// One goroutine uses it. The zero Pool is ready.
type Pool struct {
	free [len(poolSizes)]*Frame
	lent int
}

// poolSizes are the storage sizes that are kept: a control packet, a full
// Ethernet frame, a jumbo frame, the largest IP packet.
var poolSizes = [...]int{256, 2048, 10240, 66 << 10}

// Get lends an empty frame with room for size bytes.
func (p *Pool) Get(size int) *Frame {
	p.lent++
	need := size + headroom
	for i, have := range poolSizes {
		if need > have {
			continue
		}
		f := p.free[i]
		if f == nil {
			return &Frame{buf: make([]byte, have), start: headroom, end: headroom, pool: p}
		}
		p.free[i] = f.next
		*f = Frame{buf: f.buf, start: headroom, end: headroom, pool: p}
		return f
	}
	return &Frame{buf: make([]byte, need), start: headroom, end: headroom, pool: p}
}

// Lent is how many frames are out: in queues, on links, in hands.
func (p *Pool) Lent() int { return p.lent }

func (p *Pool) put(f *Frame) {
	if f.pool == nil {
		panic("wire: a frame was released twice")
	}
	f.pool = nil
	p.lent--
	for i := len(poolSizes) - 1; i >= 0; i-- {
		if len(f.buf) >= poolSizes[i] {
			f.next, p.free[i] = p.free[i], f
			return
		}
	}
}
