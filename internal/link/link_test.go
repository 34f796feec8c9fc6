package link

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// bench is a kernel with a link whose ends are at nodes a, b, c ... that keep
// nothing of what they receive but a line in the log.
type bench struct {
	t      testing.TB
	kernel *sim.Kernel
	pool   wire.Pool
	link   *Link
	origin []*sim.Origin
	log    []string
	quiet  bool
	heard  []uint64 // the packets in the order of their arrival
	bad    int      // arrivals whose checksums are not known to be good
}

type station struct {
	b    *bench
	name string
}

func (s *station) Receive(now sim.Time, port int, f *wire.Frame) {
	s.b.heard = append(s.b.heard, f.Packet)
	if !f.ChecksumsGood {
		s.b.bad++
	}
	f.Release()
}

func (s *station) Carrier(now sim.Time, port int, up bool) {
	s.b.note("%d %s carrier port %d %v", now, s.name, port, up)
}

func (b *bench) note(format string, args ...any) {
	if !b.quiet {
		b.log = append(b.log, fmt.Sprintf(format, args...))
	}
}

func (b *bench) Sent(now sim.Time, place int, f *wire.Frame) {
	b.note("%d sent %c %d", now, 'a'+place, f.Packet)
}

func (b *bench) Received(now sim.Time, place int, f *wire.Frame) {
	b.note("%d received %c %d", now, 'a'+place, f.Packet)
}

func (b *bench) Dropped(now sim.Time, place int, f *wire.Frame, why wire.Drop) {
	b.note("%d dropped %c %d: %v", now, 'a'+place, f.Packet, why)
}

func newBench(t testing.TB, seed uint64, settings ...Settings) *bench {
	b := &bench{t: t, kernel: sim.New()}
	cfg := Config{Name: "wire", Seed: seed, Tap: b}
	for i, s := range settings {
		name := string(rune('a' + i))
		b.origin = append(b.origin, b.kernel.NewOrigin(name))
		cfg.Ends = append(cfg.Ends, EndConfig{Origin: b.origin[i], Receiver: &station{b, name}, Port: 10 + i, Place: i, Settings: s})
	}
	b.link = New(cfg)
	return b
}

type step struct {
	timer sim.Timer
	do    func(now sim.Time)
}

func (s *step) Fire(now sim.Time) { s.do(now) }

// at has do run at an instant.
func (b *bench) at(t sim.Time, do func(now sim.Time)) {
	s := &step{do: do}
	s.timer.Init(s)
	b.origin[0].Set(&s.timer, t)
}

func (b *bench) frame(packet uint64, size int) *wire.Frame {
	f := b.pool.Get(size)
	f.SetBytes(f.Buffer()[:size])
	clear(f.Bytes())
	f.Packet, f.ChecksumsGood = packet, true
	return f
}

func (b *bench) send(t sim.Time, end int, packet uint64, size int) {
	b.at(t, func(now sim.Time) { b.link.End(end).Send(now, b.frame(packet, size)) })
}

// run plays to the end and checks that no frame was lost sight of.
func (b *bench) run() {
	b.t.Helper()
	if err := b.kernel.RunVirtual(context.Background(), sim.Never, nil, nil); err != nil {
		b.t.Fatal(err)
	}
	if n := b.pool.Lent(); n != 0 {
		b.t.Errorf("%d frames are still out", n)
	}
}

func (b *bench) expect(want ...string) {
	b.t.Helper()
	b.run()
	if !slices.Equal(b.log, want) {
		b.t.Errorf("got:\n\t%s\nwant:\n\t%s", strings.Join(b.log, "\n\t"), strings.Join(want, "\n\t"))
	}
}

// 976+24 bytes take 8 us at 1 Gbit/s.
const size8us = 976

var gigabit = Settings{RateBitsPerSecond: 1e9, Delay: 100 * time.Microsecond}

func TestSerialisationThenDelay(t *testing.T) {
	b := newBench(t, 1, gigabit, Settings{})
	b.send(5, 0, 1, size8us)
	b.expect("5 sent a 1", "108005 received b 1")
}

func TestShortFramesTakeTheTimeOfSixtyBytes(t *testing.T) {
	b := newBench(t, 1, gigabit, Settings{})
	b.send(0, 0, 1, 42)
	b.expect("0 sent a 1", "100672 received b 1")
}

func TestDirectionsApart(t *testing.T) {
	b := newBench(t, 1, gigabit, Settings{RateBitsPerSecond: 1e6, Delay: time.Millisecond})
	b.send(0, 0, 1, size8us)
	b.send(0, 1, 2, size8us)
	b.expect("0 sent a 1", "0 sent b 2", "108000 received b 1", "9000000 received a 2")
}

func TestNoDelayIsAnEventOfItsOwn(t *testing.T) {
	b := newBench(t, 1, Settings{}, Settings{})
	b.at(7, func(now sim.Time) {
		b.link.End(0).Send(now, b.frame(1, 60))
		b.note("Send returned")
	})
	b.expect("7 sent a 1", "Send returned", "7 received b 1")
}

func TestQueueWaitsForTransmitter(t *testing.T) {
	b := newBench(t, 1, gigabit, Settings{})
	for i := range 3 {
		b.send(0, 0, uint64(i), size8us)
	}
	b.send(24000, 0, 3, size8us) // exactly when the transmitter becomes free
	b.expect("0 sent a 0", "8000 sent a 1", "16000 sent a 2", "24000 sent a 3",
		"108000 received b 0", "116000 received b 1", "124000 received b 2", "132000 received b 3")
}

func TestQueueLimits(t *testing.T) {
	for _, test := range []struct {
		name            string
		packets, bytes  int
		sent, wantDrops int
	}{
		{"packets, without the one in transmission", 2, 0, 4, 1},
		{"bytes", 0, 2 * size8us, 4, 1},
		{"bytes, one short of two", 0, 2*size8us - 1, 4, 2},
		{"both", 5, size8us, 4, 2},
		{"the default is 1000 packets", 0, 0, 1003, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := gigabit
			s.QueuePackets, s.QueueBytes = test.packets, test.bytes
			b := newBench(t, 1, s, Settings{})
			for i := range test.sent {
				b.send(0, 0, uint64(i), size8us)
			}
			b.run()
			got := b.link.End(0).Counters()
			want := Counters{
				SentFrames: uint64(test.sent - test.wantDrops), SentBytes: uint64((test.sent - test.wantDrops) * size8us),
				Drops: []DropCount{{wire.DropQueueFull, uint64(test.wantDrops)}},
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if b.heard[len(b.heard)-1] != uint64(test.sent-test.wantDrops-1) {
				t.Error("not the tail was dropped")
			}
		})
	}
}

// 1524 bytes at 7 bit/ns-ish rates do not divide; the sum has to be exact.
func TestRateDoesNotDrift(t *testing.T) {
	const n = 1000
	b := newBench(t, 1, Settings{RateBitsPerSecond: 700_000_001, QueuePackets: n}, Settings{})
	for range n {
		b.send(0, 0, 1, 1500)
	}
	b.run()
	want := fmt.Sprintf("%d received b 1", int64(n)*1524*8*1e9/700_000_001)
	if got := b.log[len(b.log)-1]; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestMTU(t *testing.T) {
	for _, test := range []struct {
		name   string
		mtu    int
		size   int
		tagged bool
		tooBig bool
	}{
		{"default fits", 0, 1514, false, false},
		{"default too big", 0, 1515, false, true},
		{"a tag is not counted", 0, 1518, true, false},
		{"too big with tag", 0, 1519, true, true},
		{"jumbo", 9000, 9014, false, false},
		{"small", 576, 591, false, true},
		{"shorter than a header", 0, 3, false, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := newBench(t, 1, Settings{MTU: test.mtu}, Settings{})
			b.at(0, func(now sim.Time) {
				f := b.frame(1, test.size)
				if test.tagged {
					f.Bytes()[12], f.Bytes()[13] = 0x81, 0
				}
				b.link.End(0).Send(now, f)
			})
			if test.tooBig {
				b.expect("0 dropped a 1: larger than the link's MTU")
			} else {
				b.expect("0 sent a 1", "0 received b 1")
			}
		})
	}
}

func TestDownDropsQueuedAndInFlight(t *testing.T) {
	b := newBench(t, 1, gigabit, gigabit)
	for i := range 4 {
		b.send(0, 0, uint64(i), size8us)
	}
	b.send(0, 1, 9, size8us)
	b.at(10000, func(now sim.Time) { b.link.SetUp(now, false); b.link.SetUp(now, false) })
	b.send(11000, 0, 5, 60)
	b.at(12000, func(now sim.Time) { b.link.SetUp(now, true) })
	b.send(12000, 0, 6, size8us)
	b.expect("0 sent a 0", "0 sent b 9", "8000 sent a 1",
		"10000 dropped a 0: link down", "10000 dropped a 1: link down", "10000 dropped a 2: link down", "10000 dropped a 3: link down",
		"10000 dropped b 9: link down", "10000 a carrier port 10 false", "10000 b carrier port 11 false",
		"11000 dropped a 5: link down",
		"12000 a carrier port 10 true", "12000 b carrier port 11 true", "12000 sent a 6", "120000 received b 6")
}

func TestSetIsForFramesSentFromThenOn(t *testing.T) {
	b := newBench(t, 1, gigabit, gigabit)
	for i := range 3 {
		b.send(0, 0, uint64(i), size8us)
	}
	b.at(4000, func(now sim.Time) {
		if frames, bytes := b.link.End(0).Queued(); frames != 2 || bytes != 2*size8us {
			t.Errorf("queued %d, %d", frames, bytes)
		}
		b.link.End(0).Set(now, Settings{RateBitsPerSecond: 1e8, Loss: 0})
	})
	b.expect("0 sent a 0", "8000 sent a 1", "88000 received b 1", "88000 sent a 2", "108000 received b 0", "168000 received b 2")
	if got, want := b.link.End(0).Settings(), (Settings{RateBitsPerSecond: 1e8, QueuePackets: 1000, MTU: 1500}); got != want {
		t.Errorf("settings %+v, want %+v", got, want)
	}
}

func TestFailedNode(t *testing.T) {
	b := newBench(t, 1, gigabit, gigabit)
	for i := range 3 {
		b.send(0, 0, uint64(i), size8us)
	}
	b.send(0, 1, 9, size8us)
	b.at(4000, func(now sim.Time) { b.link.End(0).SetReceiver(now, nil) })
	b.expect("0 sent a 0", "0 sent b 9", "4000 dropped a 1: node down", "4000 dropped a 2: node down",
		"108000 received b 0", "108000 dropped a 9: node down")
}

func TestSegmentSendsOneAtATime(t *testing.T) {
	b := newBench(t, 1, gigabit, gigabit, gigabit)
	b.send(0, 2, 1, size8us)
	b.send(0, 0, 2, size8us)
	b.send(1, 1, 3, size8us)
	b.send(2, 0, 4, size8us)
	b.expect("0 sent c 1", "8000 sent a 2", "16000 sent b 3", "24000 sent a 4",
		"108000 received a 1", "108000 received b 1",
		"116000 received b 2", "116000 received c 2",
		"124000 received a 3", "124000 received c 3",
		"132000 received b 4", "132000 received c 4")
}

func TestSegmentFailedStationLosesItsOwnAlone(t *testing.T) {
	b := newBench(t, 1, gigabit, gigabit, gigabit)
	b.send(0, 2, 1, size8us)
	b.send(0, 0, 2, size8us)
	b.send(1, 1, 3, size8us)
	b.send(2, 0, 4, size8us)
	b.at(5, func(now sim.Time) { b.link.End(0).SetReceiver(now, nil) })
	b.expect("0 sent c 1", "5 dropped a 2: node down", "5 dropped a 4: node down", "8000 sent b 3",
		"108000 dropped a 1: node down", "108000 received b 1", "116000 dropped a 3: node down", "116000 received c 3")
}

// within reports whether a count of successes is within 5 standard deviations.
func within(got uint64, n, p float64) bool {
	return math.Abs(float64(got)-n*p) <= 5*math.Sqrt(n*p*(1-p))
}

func TestImpairmentRates(t *testing.T) {
	const n = 100_000
	const p = 0.03
	count := map[string]func(b *bench) uint64{
		"loss":      func(b *bench) uint64 { return b.link.End(0).Counters().Dropped(wire.DropLoss) },
		"duplicate": func(b *bench) uint64 { return b.link.End(0).Counters().Duplicated },
		"corrupt":   func(b *bench) uint64 { return uint64(b.bad) },
	}
	for _, test := range []struct {
		name   string
		set    Settings
		golden uint64
	}{
		{"loss", Settings{Loss: p}, goldenLoss},
		{"duplicate", Settings{Duplicate: p}, goldenDuplicate},
		{"corrupt", Settings{Corrupt: p}, goldenCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := flood(t, 1, n, test.set)
			got := count[test.name](b)
			if got != test.golden || !within(got, n, p) {
				t.Errorf("%d of %d, want exactly %d, which should be near %v", got, n, test.golden, n*p)
			}
			if c := b.link.End(1).Counters(); c.ReceivedFrames != n+b.link.End(0).Counters().Duplicated-b.link.End(0).Counters().Dropped(wire.DropLoss) {
				t.Errorf("received %d", c.ReceivedFrames)
			}
		})
	}
}

// Fixed for ever: seed 1, 100,000 frames, 3%.
const (
	goldenLoss      = 2974
	goldenDuplicate = 3012
	goldenCorrupt   = 3057
	goldenBurst     = 9841
	goldenReorder   = 3081
)

// flood sends n frames, one each microsecond, with packets numbered from 1.
func flood(t testing.TB, seed uint64, n int, s Settings) *bench {
	b := newBench(t, seed, s, Settings{})
	b.quiet = true
	i := 0
	next := &step{}
	next.timer.Init(next)
	next.do = func(now sim.Time) {
		i++
		b.link.End(0).Send(now, b.frame(uint64(i), 60))
		if i < n {
			b.origin[0].Set(&next.timer, now+1000)
		}
	}
	b.origin[0].Set(&next.timer, 0)
	b.run()
	return b
}

func TestLossBursts(t *testing.T) {
	const n, loss, length = 200_000, 0.05, 4
	b := flood(t, 1, n, Settings{Loss: loss, LossBurst: length})
	lost, bursts := 0, 0
	last := uint64(0)
	for _, packet := range append(b.heard, n+1) {
		if packet != last+1 {
			bursts++
			lost += int(packet - last - 1)
		}
		last = packet
	}
	if lost != goldenBurst {
		t.Errorf("%d lost, want exactly %d", lost, goldenBurst)
	}
	// Losses of one burst come together, so the share varies as 2*length-1 times fewer draws would.
	if !within(uint64(lost)/(2*length), n/(2*length), loss) {
		t.Errorf("%d of %d lost, want near %v", lost, n, n*loss)
	}
	if mean := float64(lost) / float64(bursts); math.Abs(mean-length) > 0.15 {
		t.Errorf("bursts of %.2f, want %d", mean, length)
	}
}

func TestBurstsKeepTheShareWhereTheyMustGrow(t *testing.T) {
	const n = 100_000
	for _, loss := range []float64{0.9, 1} {
		b := flood(t, 1, n, Settings{Loss: loss, LossBurst: 2})
		if share := float64(b.link.End(0).Counters().Dropped(wire.DropLoss)) / n; math.Abs(share-loss) > 0.01 {
			t.Errorf("lost %v, want %v", share, loss)
		}
	}
}

func TestReorderSkipsTheDelay(t *testing.T) {
	const n, p = 100_000, 0.03
	b := flood(t, 1, n, Settings{Delay: 100 * time.Microsecond, Reorder: p})
	late := 0
	most := uint64(0)
	for _, packet := range b.heard {
		if packet < most {
			late++ // was overtaken
		}
		most = max(most, packet)
	}
	skipped := 0
	for i, packet := range b.heard[:n-200] {
		if int(packet) > i+90 {
			skipped++
		}
	}
	if skipped != goldenReorder || !within(uint64(skipped), n, p) || late == 0 {
		t.Errorf("%d skipped the delay (%d overtaken), want exactly %d, near %v", skipped, late, goldenReorder, n*p)
	}
}

func TestJitterStaysInItsRange(t *testing.T) {
	for _, test := range []struct {
		delay, jitter sim.Duration
		low, high     sim.Duration
	}{
		{1000, 400, 600, 1400},
		{100, 400, 0, 500},
	} {
		b := newBench(t, 1, Settings{Delay: test.delay, Jitter: test.jitter}, Settings{})
		for i := range 5000 {
			b.send(sim.Time(i)*10_000, 0, uint64(i), 60)
		}
		b.run()
		low, high := sim.Duration(1<<40), sim.Duration(0)
		sum, clamped := sim.Duration(0), 0
		for _, line := range b.log {
			var at sim.Duration
			var what string
			if fmt.Sscanf(line, "%d %s", &at, &what); what == "received" {
				d := at % 10_000
				low, high, sum = min(low, d), max(high, d), sum+d
				if d == 0 {
					clamped++
				}
			}
		}
		if low != test.low || high != test.high {
			t.Errorf("%v±%v: from %d to %d, want %d to %d", test.delay, test.jitter, low, high, test.low, test.high)
		}
		if mean := float64(sum) / 5000; test.low > 0 && math.Abs(mean-float64(test.delay)) > 20 {
			t.Errorf("mean %v, want %v", mean, test.delay)
		}
	}
}

func TestJitterMayReorder(t *testing.T) {
	b := flood(t, 1, 1000, Settings{Delay: 50 * time.Microsecond, Jitter: 50 * time.Microsecond})
	if slices.IsSorted(b.heard) {
		t.Error("all in order")
	}
}

func TestCorruptFlipsOneBit(t *testing.T) {
	b := newBench(t, 1, Settings{Corrupt: 1}, Settings{})
	flips := 0
	b.link.End(1).SetReceiver(0, receiverFunc(func(f *wire.Frame) {
		ones := 0
		for _, c := range f.Bytes() {
			for ; c != 0; c &= c - 1 {
				ones++
			}
		}
		if ones != 1 || f.ChecksumsGood {
			t.Errorf("%d bits flipped, checksums known good: %v", ones, f.ChecksumsGood)
		}
		flips++
		f.Release()
	}))
	for i := range 100 {
		b.send(sim.Time(i), 0, 1, 60)
	}
	b.run()
	if flips != 100 {
		t.Errorf("%d arrived", flips)
	}
}

type receiverFunc func(f *wire.Frame)

func (r receiverFunc) Receive(_ sim.Time, _ int, f *wire.Frame) { r(f) }

// randomSettings draws settings with a bit of everything.
func randomSettings(r *rand.Rand) Settings {
	some := func(p float64) float64 {
		if r.IntN(2) == 0 {
			return 0
		}
		return p * r.Float64()
	}
	return Settings{
		RateBitsPerSecond: []int64{0, 1e6, 1e9, 123_456_789}[r.IntN(4)],
		Delay:             sim.Duration(r.IntN(3)) * sim.Duration(r.IntN(1e6)), Jitter: sim.Duration(some(1e6)),
		Loss: some(0.5), LossBurst: some(5), Duplicate: some(0.5), Corrupt: some(0.5), Reorder: some(0.5),
		QueuePackets: r.IntN(20), QueueBytes: r.IntN(2) * r.IntN(20_000), MTU: r.IntN(2) * 1000,
	}
}

// playRandom sends, cuts, mends, fails and resets at random.
func playRandom(t testing.TB, seed uint64, extra bool) *bench {
	r := rand.New(rand.NewPCG(seed, 1))
	settings := make([]Settings, 2+r.IntN(4))
	for i := range settings {
		settings[i] = randomSettings(r)
	}
	b := newBench(t, seed, settings...)
	if extra {
		other := New(Config{Name: "other", Seed: seed, Ends: []EndConfig{
			{Origin: b.kernel.NewOrigin("x"), Settings: Settings{Loss: 0.5, Delay: 3}}, {Origin: b.kernel.NewOrigin("y")},
		}})
		for i := range 50 {
			at := sim.Time(i * 1000)
			s := &step{do: func(now sim.Time) { other.End(0).Send(now, b.frame(1, 60)) }}
			s.timer.Init(s)
			other.End(0).origin.Set(&s.timer, at)
		}
	}
	for i := range 400 {
		at, end := sim.Time(r.IntN(2e6)), r.IntN(len(settings))
		switch r.IntN(20) {
		case 0:
			up := r.IntN(3) > 0
			b.at(at, func(now sim.Time) { b.link.SetUp(now, up) })
		case 1:
			s := randomSettings(r)
			b.at(at, func(now sim.Time) { b.link.End(end).Set(now, s) })
		case 2:
			failed := r.IntN(2) == 0
			b.at(at, func(now sim.Time) {
				if b.link.End(end).SetReceiver(now, nil); !failed {
					b.link.End(end).SetReceiver(now, &station{b, "new"})
				}
			})
		default:
			b.send(at, end, uint64(i), 60+r.IntN(1000))
		}
	}
	b.run()
	return b
}

func TestFramesAreConserved(t *testing.T) {
	for seed := range uint64(200) {
		b := playRandom(t, seed, false)
		if t.Failed() {
			t.Fatalf("seed=%d", seed)
		}
		var c Counters
		var dropped, expected uint64
		for i := range b.link.Ends() {
			e := b.link.End(i).Counters()
			onTheWay := e.SentFrames + e.Duplicated - e.Dropped(wire.DropLoss)
			expected += onTheWay * uint64(b.link.Ends()-1)
			c.ReceivedFrames += e.ReceivedFrames
			dropped += e.Dropped(wire.DropLinkDown) + e.Dropped(wire.DropNodeDown)
			if frames, bytes := b.link.End(i).Queued(); frames != 0 || bytes != 0 {
				t.Fatalf("seed=%d: end %d has %d frames, %d bytes queued", seed, i, frames, bytes)
			}
		}
		if c.ReceivedFrames > expected || c.ReceivedFrames+dropped*uint64(b.link.Ends()-1) < expected {
			t.Fatalf("seed=%d: %d received and %d dropped of %d", seed, c.ReceivedFrames, dropped, expected)
		}
	}
}

func TestSameSeedSameRun(t *testing.T) {
	for seed := range uint64(20) {
		first := playRandom(t, seed, false).log
		if again := playRandom(t, seed, false).log; !slices.Equal(first, again) {
			t.Errorf("seed=%d: two runs differ", seed)
		}
		if beside := playRandom(t, seed, true).log; !slices.Equal(first, beside) {
			t.Errorf("seed=%d: another link changes this one", seed)
		}
	}
}

func TestStreamNames(t *testing.T) {
	b := newBench(t, 1, Settings{}, Settings{})
	if got, want := b.link.End(1).streamName(forLoss), "link wire b->a loss"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	b = newBench(t, 1, Settings{}, Settings{}, Settings{})
	if got, want := b.link.End(2).streamName(forJitter), "link wire end 2 jitter"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// pingPong keeps one frame going from end to end, and measures from the inside.
type pingPong struct {
	link   *Link
	left   int
	warm   int
	before runtime.MemStats
	after  runtime.MemStats
}

type pingPongEnd struct {
	p   *pingPong
	out int
}

func (e *pingPongEnd) Receive(now sim.Time, _ int, f *wire.Frame) {
	e.p.left--
	if e.p.left == e.p.warm {
		runtime.ReadMemStats(&e.p.before)
	}
	if e.p.left == 0 {
		runtime.ReadMemStats(&e.p.after)
	}
	if e.p.left <= 0 {
		f.Release()
		return
	}
	e.p.link.End(e.out).Send(now, f)
}

// play sends frames to and fro for a number of hops and returns the allocations
// of all but the first thousand.
func (p *pingPong) play(t testing.TB, hops, frames int, s Settings) uint64 {
	k := sim.New()
	var pool wire.Pool
	cfg := Config{Name: "wire", Seed: 1}
	for i, name := range []string{"a", "b"} {
		cfg.Ends = append(cfg.Ends, EndConfig{Origin: k.NewOrigin(name), Receiver: &pingPongEnd{p, i}, Settings: s})
	}
	p.link, p.left, p.warm = New(cfg), hops, hops-1000
	err := k.RunVirtual(context.Background(), sim.Never, func() {
		for range frames {
			f := pool.Get(60)
			f.SetBytes(f.Buffer()[:60])
			p.link.End(0).Send(0, f)
		}
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.after.Mallocs - p.before.Mallocs
}

func TestHopsDoNotAllocate(t *testing.T) {
	for name, s := range map[string]Settings{
		"idle transmitter": gigabit,
		"impaired":         {RateBitsPerSecond: 1e9, Delay: 1000, Jitter: 500, Corrupt: 0.5, Reorder: 0.1},
	} {
		for _, frames := range []int{1, 50} {
			// The runtime itself allocates a little now and then.
			if n := (&pingPong{}).play(t, 20_000, frames, s); n > 20 {
				t.Errorf("%s, %d frames: %d allocations in 19,000 hops", name, frames, n)
			}
		}
	}
}

// An idle cable is what a lab of very many hosts consists of.
func TestIdleCableIsSmall(t *testing.T) {
	const n = 10_000
	origins := []*sim.Origin{sim.New().NewOrigin("a"), sim.New().NewOrigin("b")}
	links := make([]*Link, n)
	cfg := Config{Name: "wire", Seed: 1, Ends: []EndConfig{{Origin: origins[0], Settings: gigabit}, {Origin: origins[1], Settings: gigabit}}}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range links {
		links[i] = New(cfg)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	size := (int64(after.HeapAlloc) - int64(before.HeapAlloc)) / n
	t.Logf("an idle cable takes %d bytes; an end that has sent %d more", size, unsafe.Sizeof(sending{}))
	if size > 330 {
		t.Errorf("an idle cable takes %d bytes, want at most 330", size)
	}
	runtime.KeepAlive(links)
}

func BenchmarkHop(b *testing.B) {
	for _, test := range []struct {
		name   string
		frames int
		s      Settings
	}{
		{"idle", 1, gigabit},
		{"busy", 50, gigabit},
		{"jitter", 50, Settings{RateBitsPerSecond: 1e9, Delay: 100_000, Jitter: 50_000}},
	} {
		b.Run(test.name, func(b *testing.B) {
			b.ReportAllocs()
			(&pingPong{}).play(b, b.N+1, test.frames, test.s)
		})
	}
}
