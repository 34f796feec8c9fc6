package tcp

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// pair is two machines joined by a path with a delay; drop decides what is lost.
type pair struct {
	t        *testing.T
	now      sim.Time
	delay    sim.Duration
	drop     func(n int, from string, s wire.TCP) bool
	ends     [2]*end
	flying   []flying
	sent     int
	sentMax  int // more are a storm; 0: no limit
	trace    []string
	traceOff bool
	pool     wire.Pool
}

type flying struct {
	at   sim.Time
	to   int
	data []byte
}

// end is one machine.
type end struct {
	p        *pair
	i        int
	name     string
	addr     netip.Addr
	machine  *Machine
	listener *Listener
	conns    []*Conn
}

func newPair(t *testing.T) *pair {
	p := &pair{t: t, delay: 10 * 1e6}
	for i, name := range []string{"a", "b"} {
		e := &end{p: p, i: i, name: name, addr: netip.AddrFrom4([4]byte{10, 0, 0, byte(i + 1)})}
		e.machine = NewMachine(DefaultSysctl(), e, 1, name)
		p.ends[i] = e
	}
	t.Cleanup(func() {
		if t.Failed() && !p.traceOff {
			t.Log("\n" + strings.Join(p.trace, "\n"))
		}
		if p.pool.Lent() != 0 {
			t.Errorf("%d frames were not given back", p.pool.Lent())
		}
	})
	return p
}

func (e *end) Frame(n int) *wire.Frame { return e.p.pool.Get(n) }

func (e *end) Transmit(now sim.Time, r *Route, f *wire.Frame) error {
	p := e.p
	p.sent++
	if p.sentMax > 0 && p.sent > p.sentMax {
		p.t.Fatalf("%d segments and no end, the last %s", p.sent, e.describe(now, f.Bytes(), false))
	}
	s, err := wire.ParseTCP(f.Bytes())
	if err != nil || !s.ChecksumOK(r.Local.Addr(), r.Remote.Addr()) {
		p.t.Errorf("%s sends a segment that is wrong: %v", e.name, err)
	}
	lost := p.drop != nil && p.drop(p.sent, e.name, s)
	if !p.traceOff {
		p.trace = append(p.trace, e.describe(now, s, lost))
	}
	if !lost {
		p.flying = append(p.flying, flying{now.Add(p.delay), 1 - e.i, append([]byte(nil), f.Bytes()...)})
	}
	f.Release()
	return nil
}

func (e *end) describe(now sim.Time, s wire.TCP, lost bool) string {
	mark := ""
	if lost {
		mark = "  LOST"
	}
	return fmt.Sprintf("%8.3fms %s %-9s seq %d len %d ack %d win %d opt %x%s", float64(now)/1e6, e.name, s.Flags(), s.Seq(), len(s.Payload()), s.Ack(), s.Window(), s.Options(), mark)
}

func (e *end) Gone(sim.Time, *Conn) {}

func (e *end) receive(now sim.Time, b []byte) {
	t, err := wire.ParseTCP(b)
	if err != nil {
		e.p.t.Fatal(err)
	}
	s := Parse(e.p.ends[1-e.i].addr, e.addr, t, false)
	for k := len(e.conns) - 1; k >= 0; k-- {
		c := e.conns[k]
		if c.Local() == s.Dst && c.Remote() == s.Src && c.State() != Closed {
			if isn, ok := c.Yields(now, &s); ok && e.listener != nil {
				e.listener.Input(now, &s, isn, 1500)
				return
			}
			c.Input(now, &s)
			e.check(c)
			return
		}
	}
	if e.listener != nil && s.Dst.Port() == e.listener.Local().Port() {
		e.listener.Input(now, &s, 0, 1500)
		return
	}
	e.machine.Reset(now, &s)
}

// check holds what must be true of a connection at all times.
func (e *end) check(c *Conn) {
	var out, sackedN, lostN, retransN uint32
	for i := range c.queue.n {
		q := c.queue.at(i)
		out++
		if q.mark&sacked != 0 {
			sackedN++
		}
		if q.mark&lost != 0 {
			lostN++
		}
		if q.mark&retrans != 0 {
			retransN++
		}
		if !before(q.seq, q.end) || i > 0 && c.queue.at(i-1).end != q.seq {
			e.p.t.Fatalf("%s: the queue has a hole or an empty segment at %d", e.name, i)
		}
	}
	if out != c.packetsOut || c.sackEnabled && sackedN != c.sackedOut || lostN != c.lostOut || retransN != c.retransOut {
		e.p.t.Fatalf("%s: %d out, %d sacked, %d lost, %d resent; the account says %d, %d, %d, %d", e.name,
			out, sackedN, lostN, retransN, c.packetsOut, c.sackedOut, c.lostOut, c.retransOut)
	}
	if c.cwnd == 0 || c.inFlight() > 1<<20 {
		e.p.t.Fatalf("%s: cwnd %d, in flight %d", e.name, c.cwnd, c.inFlight())
	}
}

// listen opens b's port 80.
func (p *pair) listen(o Options) {
	e := p.ends[1]
	e.listener = e.machine.Listen(netip.AddrPortFrom(netip.Addr{}, 80), 128, o, func(_ sim.Time, c *Conn) { e.conns = append(e.conns, c) })
}

// dial opens a connection from a to b's port 80.
func (p *pair) dial(o Options) *Conn {
	a, b := p.ends[0], p.ends[1]
	c := a.machine.Dial(p.now, Route{Local: netip.AddrPortFrom(a.addr, uint16(40000+len(a.conns))), Remote: netip.AddrPortFrom(b.addr, 80)}, o, 1500, nil)
	a.conns = append(a.conns, c)
	return c
}

// run goes on for a time, or until done.
func (p *pair) run(d sim.Duration, done func() bool) {
	until := p.now.Add(d)
	for done == nil || !done() {
		next := until
		for _, f := range p.flying {
			next = min(next, f.at)
		}
		for _, e := range p.ends {
			for _, c := range e.conns {
				next = min(next, c.Deadline())
			}
			if e.listener != nil {
				next = min(next, e.listener.Deadline())
			}
		}
		p.now = max(p.now, next)
		for _, e := range p.ends {
			for _, c := range e.conns {
				if c.Deadline() <= p.now {
					c.Advance(p.now)
					if c.Deadline() <= p.now {
						p.t.Fatalf("%s: the deadline stays due", e.name)
					}
				}
			}
			if e.listener != nil {
				e.listener.Advance(p.now)
			}
		}
		for i := 0; i < len(p.flying); {
			if f := p.flying[i]; f.at <= p.now {
				p.flying = append(p.flying[:i], p.flying[i+1:]...)
				p.ends[f.to].receive(p.now, f.data)
			} else {
				i++
			}
		}
		if p.now >= until {
			return
		}
	}
}

// transfer has a write n bytes to b, which reads them all, and returns when done.
func (p *pair) transfer(c *Conn, n int, limit sim.Duration) {
	p.t.Helper()
	written, read := 0, 0
	buf := make([]byte, 32<<10)
	var server *Conn
	p.run(limit, func() bool {
		if written < n && c.Established() {
			for i := range buf {
				buf[i] = byte((written + i) * 7 >> 3)
			}
			k, err := c.Write(p.now, buf[:min(len(buf), n-written)], false)
			if err != nil {
				p.t.Fatal(err)
			}
			written += k
			if written == n {
				if err := c.CloseWrite(p.now); err != nil {
					p.t.Fatal(err)
				}
			}
		}
		if server == nil && p.ends[1].listener.Waiting() > 0 {
			server = p.ends[1].listener.Accept()
		}
		if server == nil {
			return false
		}
		for server.Readable() && !server.Ended() {
			got := make([]byte, 10000)
			k, err := server.Read(p.now, got)
			if err != nil {
				p.t.Fatal(err)
			}
			for i := range k {
				if got[i] != byte((read+i)*7>>3) {
					p.t.Fatalf("byte %d is wrong", read+i)
				}
			}
			read += k
		}
		return server.Ended()
	})
	if read != n {
		p.t.Fatalf("%d bytes of %d arrived in %v; %+v", read, n, p.now, c.Info(p.now))
	}
	server.Close(p.now)
	c.Close(p.now)
	p.run(2*60*1e9, nil)
	for _, e := range p.ends {
		for _, c := range e.conns {
			if c.State() != Closed {
				p.t.Fatalf("%s is left in %v", e.name, c.State())
			}
		}
		if e.machine.memory.held != 0 {
			p.t.Fatalf("%s holds %d bytes", e.name, e.machine.memory.held)
		}
	}
}

func TestTransfer(t *testing.T) {
	for _, n := range []int{0, 1, 100, 1448, 1449, 100_000, 3_000_000} {
		p := newPair(t)
		p.traceOff = n > 200_000
		p.listen(Options{})
		c := p.dial(Options{})
		p.transfer(c, n, 60*1e9)
		if c.totalRetrans != 0 {
			t.Errorf("%d bytes: %d retransmissions on a path that loses nothing", n, c.totalRetrans)
		}
	}
}

func TestTransferUnderLoss(t *testing.T) {
	for seed := range uint64(40) {
		for _, loss := range []float64{0.01, 0.05, 0.2} {
			for _, sack := range []bool{true, false} {
				p := newPair(t)
				p.traceOff = true
				random := sim.NewStream(seed, "loss")
				p.drop = func(int, string, wire.TCP) bool { return random.Chance(loss) }
				p.ends[0].machine.Sysctl.SACK = sack
				p.ends[0].machine.Sysctl.Timestamps = seed%2 == 0
				p.ends[0].machine.Sysctl.WindowScaling = seed%3 != 0
				p.listen(Options{})
				p.transfer(p.dial(Options{}), 200_000, 3600*1e9)
				if t.Failed() {
					t.Fatalf("seed %d, loss %v, SACK %v", seed, loss, sack)
				}
			}
		}
	}
}

// A writer that fills the buffer to the last byte hears of room again, and so does
// one that TCP_NOTSENT_LOWAT holds back.
func TestWriterHearsOfRoom(t *testing.T) {
	for _, o := range []Options{{SendBuffer: 64 << 10}, {NotsentLowat: 16 << 10}} {
		p := newPair(t)
		p.traceOff = true
		p.listen(Options{})
		heard := 0
		c := p.dial(o)
		p.run(1e9, nil)
		c.Notify = func(sim.Time) { heard++ }
		block := make([]byte, 16<<10)
		for c.Writable() {
			if n, err := c.Write(p.now, block, false); n != len(block) || err != nil {
				break
			}
		}
		p.run(5*1e9, nil)
		if heard == 0 || !c.Writable() && p.ends[1].listener.Accept() == nil {
			t.Errorf("%+v: the writer was not told of room", o)
		}
	}
}

// Zeros that are only counted and bytes that are stored follow each other in one
// stream.
func TestZerosAndBytesMix(t *testing.T) {
	for _, order := range []string{"zbz", "bzb", "zzb", "bbz"} {
		p := newPair(t)
		p.traceOff = true
		p.drop = func(n int, _ string, _ wire.TCP) bool { return n%17 == 0 }
		p.listen(Options{SendBuffer: 1 << 20})
		c := p.dial(Options{SendBuffer: 1 << 20})
		p.run(5*1e9, c.Established)
		var want []byte
		for _, kind := range order {
			piece := make([]byte, 20_000)
			if kind == 'b' {
				for i := range piece {
					piece[i] = byte(i)
				}
				if n, err := c.Write(p.now, piece, false); n != len(piece) || err != nil {
					t.Fatal(n, err)
				}
			} else if n, err := c.WriteZeros(p.now, len(piece)); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
			want = append(want, piece...)
		}
		var got []byte
		var server *Conn
		p.run(60*1e9, func() bool {
			if server == nil {
				if server = p.ends[1].listener.Accept(); server == nil {
					return false
				}
			}
			b := make([]byte, 4096)
			for n, _ := server.Read(p.now, b); n > 0; n, _ = server.Read(p.now, b) {
				got = append(got, b[:n]...)
			}
			return len(got) >= len(want)
		})
		if string(got) != string(want) {
			t.Errorf("%s: %d bytes arrived, want %d, or others", order, len(got), len(want))
		}
		c.Abort(p.now)
		server.Abort(p.now)
		p.run(1e9, nil)
	}
}

// What is drained is acknowledged and counted, and its end is told.
func TestDrain(t *testing.T) {
	p := newPair(t)
	p.traceOff = true
	random := sim.NewStream(1, "loss")
	p.drop = func(int, string, wire.TCP) bool { return random.Chance(0.05) }
	p.listen(Options{})
	c := p.dial(Options{})
	var server *Conn
	left := 300_000
	p.run(600*1e9, func() bool {
		if server == nil {
			if server = p.ends[1].listener.Accept(); server != nil {
				server.Drain(p.now)
			}
		}
		if n, _ := c.WriteZeros(p.now, left); n > 0 {
			if left -= n; left == 0 {
				_ = c.CloseWrite(p.now)
			}
		}
		return server != nil && server.Ended()
	})
	if server == nil || !server.Ended() || server.bytesReceived != 300_000 || len(server.in.b) != 0 {
		t.Fatalf("%+v", server.Info(p.now))
	}
	c.Abort(p.now)
	server.Abort(p.now)
	p.run(1e9, nil)
}

// TestLossIsFoundWhereverNumbersBegin: a path that loses one segment and keeps
// the order is not taken for one that reorders (RFC 8985 6.2 step 3), in whichever half
// of sequence space the connection starts.
func TestLossIsFoundWhereverNumbersBegin(t *testing.T) {
	for seed := range uint64(8) {
		p := newPair(t)
		p.traceOff = true
		for _, e := range p.ends {
			e.machine = NewMachine(DefaultSysctl(), e, seed, e.name)
		}
		lost, first := sim.Time(0), uint32(0)
		again := sim.Time(0)
		p.drop = func(_ int, from string, s wire.TCP) bool {
			switch {
			case from == "b" || len(s.Payload()) == 0:
				return false
			case lost == 0:
				lost, first = p.now, s.Seq()
				return true
			case s.Seq() == first && again == 0:
				again = p.now
			}
			return false
		}
		p.listen(Options{})
		c := p.dial(Options{})
		p.transfer(c, 14_480, 60*1e9)
		if i := c.Info(p.now); i.ReorderSeen != 0 || i.Reordering != 3 || again.Sub(lost) != 2*p.delay {
			t.Errorf("seed %d, from number %d: sent again after %v, reordering seen %d times, degree %d", seed, i.ISS, again.Sub(lost), i.ReorderSeen, i.Reordering)
		}
	}
}

// TestFinAheadIsTold: a FIN that comes before the data in front of it is told in
// a SACK block, as in Linux, so that the data is sent again without a timeout.
func TestFinAheadIsTold(t *testing.T) {
	p := newPair(t)
	var lost, again sim.Time
	p.drop = func(_ int, from string, s wire.TCP) bool {
		if from == "b" || len(s.Payload()) == 0 {
			return false
		}
		if lost == 0 {
			lost = p.now
			return true
		}
		again = p.now
		return false
	}
	p.listen(Options{})
	c := p.dial(Options{})
	p.transfer(c, 100, 60*1e9)
	if took, rtt := again.Sub(lost), 2*p.delay; took < rtt || took > rtt+rtt/4+timeoutMin {
		t.Errorf("sent again after %v, a round trip is %v", took, rtt)
	}
	if p.ends[0].machine.Stats.TCPTimeouts != 0 || p.ends[0].machine.Stats.TCPLossProbes != 0 {
		t.Errorf("%+v", p.ends[0].machine.Stats)
	}
}
