package tcp

import (
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// FuzzConnection plays what the input says: calls of both users, time, segments
// that are lost, doubled, held back, and forged ones into whatever state there is.
// Whatever comes, the accounts stay right, memory bounded and deadlines are kept;
// and as long as nothing was forged, bytes arrive once and in order.
func FuzzConnection(f *testing.F) {
	f.Add([]byte("0123456789abcdef0123456789abcdef"))
	f.Add([]byte{0, 0, 1, 200, 3, 0, 2, 9, 1, 255, 4, 0, 0, 0, 5, 1, 6, 6, 3, 3})
	f.Add([]byte{7, 2, 7, 3, 7, 4, 8, 0, 9, 0, 10, 1, 11, 0, 1, 1, 2, 2, 3, 250, 3, 250, 3, 250})
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 400 {
			return
		}
		p := newPair(t)
		p.traceOff = true
		p.sentMax = 30_000
		p.listen(Options{})
		g := &fuzzer{t: t, p: p, client: p.dial(Options{NoDelay: true})}
		for len(input) >= 2 {
			g.step(input[0]%14, input[1])
			input = input[2:]
			g.check()
		}
		p.drop = nil
		p.run(3600*1e9, nil)
		g.check()
	})
}

type fuzzer struct {
	t              *testing.T
	p              *pair
	client, server *Conn
	written, read  int
	back, backRead int
	forged         bool
}

func (g *fuzzer) step(op, arg byte) {
	p := g.p
	if g.server == nil {
		g.server = p.ends[1].listener.Accept()
	}
	switch op {
	case 0, 1:
		b := make([]byte, int(arg)*40)
		for i := range b {
			b[i] = byte(g.written + i)
		}
		n, _ := g.client.Write(p.now, b, false)
		g.written += n
	case 2:
		if g.server != nil {
			b := make([]byte, int(arg)*40)
			for i := range b {
				b[i] = byte(g.back + i)
			}
			n, _ := g.server.Write(p.now, b, false)
			g.back += n
		}
	case 3, 4:
		p.run(sim.Duration(1)<<(arg%38), nil)
	case 5: // lose what comes next, each by a bit
		p.drop = func(n int, _ string, _ wire.TCP) bool { return arg>>(n%8)&1 != 0 }
	case 6:
		p.drop = nil
	case 7: // double, or hold back
		if len(p.flying) > 0 {
			i := int(arg>>1) % len(p.flying)
			again := p.flying[i]
			again.at = again.at.Add(30 * 1e6)
			if arg&1 == 0 {
				p.flying = append(p.flying, again)
			} else {
				p.flying[i] = again
			}
		}
	case 8:
		_ = g.client.CloseWrite(p.now)
	case 9:
		if g.server != nil {
			_ = g.server.CloseWrite(p.now)
		}
	case 10, 11:
		g.consume(int(arg) * 50)
	case 12:
		if arg > 200 {
			g.client.Close(p.now)
		}
	case 13:
		g.forge(arg)
	}
}

// consume reads at both ends and looks at every byte.
func (g *fuzzer) consume(n int) {
	b := make([]byte, n)
	if g.server != nil {
		k, _ := g.server.Read(g.p.now, b)
		g.compare(b[:k], &g.read)
	}
	k, _ := g.client.Read(g.p.now, b)
	g.compare(b[:k], &g.backRead)
}

func (g *fuzzer) compare(b []byte, at *int) {
	for i := range b {
		if !g.forged && b[i] != byte(*at+i) {
			g.t.Fatalf("byte %d is %d", *at+i, b[i])
		}
	}
	*at += len(b)
}

// forge sends a segment near what is expected to either end.
func (g *fuzzer) forge(arg byte) {
	g.forged = true
	to := g.client
	if arg&1 != 0 && g.server != nil {
		to = g.server
	}
	offsets := [...]uint32{0, 1, 0xffffffff, 1000, 0xfffffc18, 70000, 1 << 31, 5}
	s := Segment{
		Src: to.Remote(), Dst: to.Local(), Seq: to.rcvNxt + offsets[arg>>1&7], Ack: to.sndNxt + offsets[arg>>2&7],
		Flags: wire.TCPFlags(arg * 37), Window: uint16(arg) << 3, Payload: make([]byte, int(arg&15)*90),
	}
	s.options.windowScale = -1
	s.options.timestamps = to.tsEnabled && arg&32 == 0
	s.options.tsVal, s.options.tsEcr = to.tsRecent+uint32(int8(arg)), to.timestamp(g.p.now)-uint32(arg&3)
	if arg&64 != 0 {
		s.options.sackCount = 2
		s.options.sack[0] = wire.SACKBlock{Left: to.sndUna + uint32(arg)*10, Right: to.sndUna + uint32(arg)*20}
		s.options.sack[1] = wire.SACKBlock{Left: to.sndUna, Right: to.sndNxt}
	}
	to.Input(g.p.now, &s)
	to.settle(g.p.now)
}

func (g *fuzzer) check() {
	for _, e := range g.p.ends {
		for _, c := range e.conns {
			e.check(c)
			if len(c.spans) > spansMax || c.in.n > 64<<20 || len(c.in.b) > 64<<20 || c.queue.n > 1<<17 {
				g.t.Fatalf("%s: %d holes, %d bytes, %d segments", e.name, len(c.spans), len(c.in.b), c.queue.n)
			}
			for i := 1; i < len(c.spans); i++ {
				if !before(c.spans[i-1].right, c.spans[i].left) {
					g.t.Fatalf("%s: holes out of order", e.name)
				}
			}
			if c.State() != Closed && c.deadline != min(c.retransmit, c.delayedAck, c.compressed, c.keepalive) {
				g.t.Fatalf("%s: the deadline was not kept", e.name)
			}
			if c.State() == Established && c.packetsOut > 0 && c.pending == pendingNone {
				g.t.Fatalf("%s: segments are out and no timer runs", e.name)
			}
		}
	}
}

// Every sequence of options is read without a fault.
func FuzzOptions(f *testing.F) {
	f.Add([]byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7})
	f.Fuzz(func(t *testing.T, b []byte) {
		var o options
		o.parse(b, true)
		if o.sackCount > len(o.sack) || o.windowScale > windowScaleMax {
			t.Fatalf("%+v", o)
		}
	})
}
