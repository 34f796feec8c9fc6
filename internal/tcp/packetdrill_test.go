package tcp

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// The scripts in testdata are in packetdrill's language (Cardwell et al.,
// "packetdrill: Scriptable Network Stack Testing", USENIX ATC 2013): system calls of
// a program on one side, segments of its peer on the other, each with its time. They
// run on the engine in virtual time, and say what Linux does. Numbers are packetdrill's:
// our sequence numbers count from the SYN, the peer's are as written. Where packetdrill
// allows 4 ms, these are exact: the clock is ours.

func TestPacketdrill(t *testing.T) {
	files, err := filepath.Glob("testdata/*.pkt")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".pkt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasPrefix(string(text), "// ") {
				t.Errorf("%s:1: the first line names no rule", file)
			}
			s, err := parseDrill(file, string(text))
			if err != nil {
				t.Fatal(err)
			}
			if !s.toleranceSet {
				s.tolerance = 0
			}
			if err := runDrill(s); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// drill runs one script.
type drill struct {
	script   *drillScript
	now      sim.Time
	last     sim.Time // of the last event: relative times count from it
	machine  *Machine
	pool     wire.Pool
	conns    []*Conn
	listener *Listener
	files    map[int]*drillFile
	waiting  []drillSent // sent and not yet expected
	log      []string

	blocked *drillBlocked

	isn     uint32 // of our last SYN
	stamps  map[uint32]uint32
	stamp   uint32 // live less script
	stamped bool
}

// drillSent is a segment that the engine sent.
type drillSent struct {
	at   sim.Time
	data wire.TCP
	ect  bool
}

// drillBlocked is a system call that has not yet returned.
type drillBlocked struct {
	event *drillEvent
	try   func() (done bool, result int, err error)
	until sim.Time
}

var (
	drillLocal  = netip.MustParseAddr("192.168.0.1")
	drillRemote = netip.MustParseAddr("192.0.2.1")
)

const drillPort = 8080

func runDrill(s *drillScript) error {
	d := &drill{script: s, files: map[int]*drillFile{}, stamps: map[uint32]uint32{}}
	sysctl := DefaultSysctl()
	d.machine = NewMachine(sysctl, d, 1, "packetdrill")
	d.now = 1000 * 1e9 // timestamps and idle times have a past
	d.last = d.now
	start := d.now
	for i := range s.events {
		if err := d.event(start, &s.events[i]); err != nil {
			return fmt.Errorf("%s:%d: %w\n%s", s.file, s.events[i].line, err, strings.Join(d.log, "\n"))
		}
	}
	if b := d.blocked; b != nil {
		if err := d.advance(b.until.Add(s.tolerance)); err != nil {
			return fmt.Errorf("%s: %w", s.file, err)
		}
		if d.blocked != nil {
			return fmt.Errorf("%s:%d: the call has not returned", s.file, b.event.line)
		}
	}
	if len(d.waiting) > 0 {
		return fmt.Errorf("%s: at its end segments were sent that it does not expect:\n%s\n%s", s.file, d.describe(d.waiting[0]), strings.Join(d.log, "\n"))
	}
	if n := d.pool.Lent(); n != 0 {
		return fmt.Errorf("%s: %d frames were not given back", s.file, n)
	}
	return nil
}

// span is when an event is to happen: from low to high.
func (d *drill) span(start sim.Time, e *drillEvent) (low, high sim.Time) {
	base := start
	if e.relative {
		base = d.last
	}
	return base.Add(e.from), base.Add(e.to)
}

func (d *drill) event(start sim.Time, e *drillEvent) error {
	low, high := d.span(start, e)
	if e.kind == drillExpect {
		return d.expect(e, low, high)
	}
	if e.anyTime || low != high && !e.blocking {
		return errors.New("only a segment that is sent may come at a time that is not known")
	}
	if low < d.last {
		return fmt.Errorf("the time %v is before the last event's", low.Sub(start))
	}
	if err := d.advance(low); err != nil {
		return err
	}
	d.last = low
	switch e.kind {
	case drillInject:
		return d.inject(e.packet)
	case drillUnreach:
		return d.unreach(e)
	case drillCommand:
		return setDrillSysctl(d.machine.Sysctl, e.text)
	case drillCode:
		return d.code(e.text)
	}
	return d.call(e, high)
}

// deadline is when the engine has something to do.
func (d *drill) deadline() sim.Time {
	next := sim.Never
	for _, c := range d.conns {
		next = min(next, c.Deadline())
	}
	if d.listener != nil {
		next = min(next, d.listener.Deadline())
	}
	return next
}

// step lets the engine do what is due at d.now, and a blocked call go on.
func (d *drill) step() error {
	for _, c := range d.conns {
		if c.Deadline() <= d.now {
			c.Advance(d.now)
			if c.Deadline() <= d.now {
				return errors.New("the deadline stays due")
			}
		}
	}
	if d.listener != nil {
		d.listener.Advance(d.now)
	}
	return d.unblock()
}

// advance lets time go by until then.
func (d *drill) advance(until sim.Time) error {
	for next := d.deadline(); next <= until; next = d.deadline() {
		d.now = max(d.now, next)
		if err := d.step(); err != nil {
			return err
		}
	}
	d.now = max(d.now, until)
	return d.unblock()
}

// expect waits for a segment.
func (d *drill) expect(e *drillEvent, low, high sim.Time) error {
	tolerance := d.script.tolerance
	limit := high.Add(tolerance)
	if e.anyTime {
		limit = d.now.Add(3600 * 1e9)
	}
	for len(d.waiting) == 0 && d.deadline() <= limit {
		d.now = max(d.now, d.deadline())
		if err := d.step(); err != nil {
			return err
		}
	}
	if len(d.waiting) == 0 {
		d.now = max(d.now, limit)
		return fmt.Errorf("nothing was sent; want %s", e.text)
	}
	got := d.waiting[0]
	d.waiting = d.waiting[1:]
	d.now = max(d.now, low)
	if !e.anyTime && (got.at < low.Add(-tolerance) || got.at > limit) {
		return fmt.Errorf("sent %v after the last event; want %v to %v: %s", got.at.Sub(d.last), low.Sub(d.last), high.Sub(d.last), d.describe(got))
	}
	if e.anyTime || low != high {
		d.last = got.at
	} else {
		d.last = low
	}
	if err := d.match(e.packet, got); err != nil {
		return fmt.Errorf("%w: sent %s\n  want %s", err, d.describe(got), e.text)
	}
	return nil
}

// match compares a segment with the script's.
func (d *drill) match(p *drillPacket, got drillSent) error {
	s := got.data
	if s.Flags().Has(wire.TCPSyn) {
		d.isn = s.Seq() - p.seq
	}
	options, err := d.showOptions(s.Options(), p)
	if err != nil {
		return err
	}
	switch {
	case s.Flags() != p.flags:
		return errors.New("flags")
	case s.Seq()-d.offset(s) != p.seq:
		return errors.New("sequence number")
	case len(s.Payload()) != p.length:
		return errors.New("length")
	case p.flags.Has(wire.TCPAck) && s.Ack() != p.ack:
		return errors.New("acknowledgment number")
	case p.hasWindow && int(s.Window()) != p.window:
		return errors.New("window")
	case !p.anyOptions && options != p.showOptions():
		return fmt.Errorf("options <%s>, not <%s>", options, p.showOptions())
	case p.ecn != "" && (p.ecn == "ect0") != got.ect:
		return errors.New("ECN code point")
	}
	return nil
}

// offset is what makes a sequence number of ours one of the script's. A reset of
// what is not known has 0 and no connection.
func (d *drill) offset(s wire.TCP) uint32 {
	if s.Flags() == wire.TCPRst|wire.TCPAck && s.Seq() == 0 {
		return 0
	}
	return d.isn
}

func (d *drill) describe(p drillSent) string {
	s := p.data
	return fmt.Sprintf("[%s] %d:%d(%d) ack %d win %d options %x at %v", s.Flags(), s.Seq()-d.offset(s), s.Seq()-d.offset(s)+uint32(len(s.Payload())),
		len(s.Payload()), s.Ack(), s.Window(), s.Options(), p.at.Sub(1000*1e9))
}

// inject gives the engine a segment of the peer.
func (d *drill) inject(p *drillPacket) error {
	h := wire.TCPHeader{
		Src: netip.AddrPortFrom(drillRemote, drillPort), Dst: netip.AddrPortFrom(drillLocal, drillPort),
		Seq: p.seq, Ack: 0, Flags: p.flags, Window: uint16(p.window),
	}
	if p.flags.Has(wire.TCPAck) {
		h.Ack = p.ack + d.isn
	}
	options, err := d.buildOptions(p)
	if err != nil {
		return err
	}
	h.Options = options
	b := wire.AppendTCP(nil, h, make([]byte, p.length))
	t, err := wire.ParseTCP(b)
	if err != nil {
		return err
	}
	d.log = append(d.log, "  < "+d.describeIn(t))
	s := Parse(drillRemote, drillLocal, t, p.ecn == "ce")
	d.receive(&s)
	return d.unblock()
}

func (d *drill) describeIn(s wire.TCP) string {
	return fmt.Sprintf("[%s] %d(%d) ack %d at %v", s.Flags(), s.Seq(), len(s.Payload()), s.Ack()-d.isn, d.now.Sub(1000*1e9))
}

func (d *drill) receive(s *Segment) {
	for i := len(d.conns) - 1; i >= 0; i-- {
		c := d.conns[i]
		if c.State() == Closed {
			continue
		}
		if isn, ok := c.Yields(d.now, s); ok && d.listener != nil {
			d.listener.Input(d.now, s, isn, 1500)
			return
		}
		c.Input(d.now, s)
		return
	}
	if d.listener != nil && !d.listener.closed {
		d.listener.Input(d.now, s, 0, 1500)
		return
	}
	d.machine.Reset(d.now, s)
}

// unreach gives the engine an ICMP error.
func (d *drill) unreach(e *drillEvent) error {
	if len(d.conns) == 0 {
		return errors.New("no connection for an ICMP error")
	}
	c := d.conns[len(d.conns)-1]
	if e.mtu > 0 {
		c.SetPathMTU(d.now, e.mtu)
	} else {
		c.Unreachable(d.now, e.packet.seq+c.iss, e.errno)
	}
	return d.unblock()
}

// Frame implements Output.
func (d *drill) Frame(n int) *wire.Frame { return d.pool.Get(n) }

// Transmit implements Output.
func (d *drill) Transmit(now sim.Time, r *Route, f *wire.Frame) error {
	defer f.Release()
	s, err := wire.ParseTCP(append([]byte(nil), f.Bytes()...))
	if err != nil || !s.ChecksumOK(r.Local.Addr(), r.Remote.Addr()) {
		panic(fmt.Sprintf("a segment that is wrong: %v", err))
	}
	p := drillSent{now, s, r.ECT}
	if s.Flags().Has(wire.TCPSyn) {
		d.isn = s.Seq()
	}
	d.waiting = append(d.waiting, p)
	d.log = append(d.log, "  > "+d.describe(p))
	return nil
}

// Gone implements Output.
func (d *drill) Gone(sim.Time, *Conn) {}
