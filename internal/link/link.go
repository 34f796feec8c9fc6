// Package link is cables and shared segments: rate, delay, queues and what can
// go wrong on the way.
//
// A link of two ends is a full-duplex cable; one of more is a half-duplex
// segment, on which one station sends at a time. It takes frames from one node
// and hands them to the others, and knows nothing of what is in them but their
// length. Start reading at End.Send.
package link

import (
	"fmt"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// Receiver is a node, as a link sees it.
type Receiver interface {
	// Receive takes the frame that arrived at a port of the node, and owns it.
	Receive(now sim.Time, port int, f *wire.Frame)
}

// CarrierWatcher is a Receiver that wants to know when the link at one of its
// ports goes up or down.
type CarrierWatcher interface {
	Carrier(now sim.Time, port int, up bool)
}

// Tap watches what happens at places. It may read the frame during the call and
// change nothing.
type Tap interface {
	Sent(now sim.Time, place int, f *wire.Frame)     // the first bit leaves the port
	Received(now sim.Time, place int, f *wire.Frame) // the last bit has arrived
	Dropped(now sim.Time, place int, f *wire.Frame, why wire.Drop)
}

// Settings are how an end sends. The zero Settings are an ideal link, with no
// delay and no limit of rate.
type Settings struct {
	RateBitsPerSecond int64 // 0: unlimited
	Delay             sim.Duration
	Jitter            sim.Duration // the delay is uniform in Delay±Jitter, so frames may overtake

	Loss      float64 // share of frames that are lost
	LossBurst float64 // mean length of a run of losses, in frames; up to 1: independent losses
	Duplicate float64 // probability that a frame arrives twice
	Corrupt   float64 // probability that one bit of a frame is flipped
	Reorder   float64 // probability that a frame skips the delay, as netem's reorder

	QueuePackets int // longest queue; 0: no such limit, and with QueueBytes 0 as well 1000
	QueueBytes   int // largest queue; 0: no such limit
	MTU          int // the largest IP packet; 0: 1500
}

const (
	defaultMTU          = 1500
	defaultQueuePackets = 1000 // Linux's txqueuelen (DEFAULT_TX_QUEUE_LEN)
)

func (s Settings) withDefaults() Settings {
	if s.QueuePackets == 0 && s.QueueBytes == 0 {
		s.QueuePackets = defaultQueuePackets
	}
	if s.MTU == 0 {
		s.MTU = defaultMTU
	}
	return s
}

// Config is what a link is made of.
type Config struct {
	Name string // names the link's random streams, with Seed
	Seed uint64
	Tap  Tap // may be nil
	Ends []EndConfig
}

// EndConfig is where one end of a link is plugged in.
type EndConfig struct {
	Origin   *sim.Origin // the node, in the order of events
	Receiver Receiver    // the node; nil: frames that arrive are dropped
	Port     int         // handed to Receive
	Place    int         // handed to the tap
	Settings Settings    // for what this end sends
}

// Link is a cable or a shared segment.
type Link struct {
	cable   [2]End   // the ends of a link of two
	segment *segment // a link of more
	name    string
	seed    uint64
	down    bool
}

type segment struct {
	ends []End
	bus  transmitter // they share it
}

func (l *Link) ends() []End {
	if l.segment != nil {
		return l.segment.ends
	}
	return l.cable[:]
}

// New makes a link, which is up. It panics on fewer than two ends.
func New(cfg Config) *Link {
	if len(cfg.Ends) < 2 {
		panic(fmt.Sprintf("link: %q has %d ends, want at least 2", cfg.Name, len(cfg.Ends)))
	}
	l := &Link{name: cfg.Name, seed: cfg.Seed}
	if len(cfg.Ends) > 2 {
		l.segment = &segment{ends: make([]End, len(cfg.Ends))}
	}
	ends := l.ends()
	for i, c := range cfg.Ends {
		ends[i] = End{
			link: l, segment: l.segment != nil, tap: cfg.Tap,
			origin: c.Origin, receiver: c.Receiver, port: int32(c.Port), place: int32(c.Place),
		}
	}
	for i, c := range cfg.Ends {
		ends[i].use(c.Settings)
	}
	return l
}

// End is the end of that number in Config.Ends.
func (l *Link) End(i int) *End { return &l.ends()[i] }

// Ends is how many ends there are.
func (l *Link) Ends() int { return len(l.ends()) }

// Name is what the link is called.
func (l *Link) Name() string { return l.name }

// Up reports whether the link is up.
func (l *Link) Up() bool { return !l.down }

// SetUp cuts the link or mends it, and tells the nodes that watch the carrier.
// What waits and what is on the way when the link is cut is lost.
func (l *Link) SetUp(now sim.Time, up bool) {
	if up == l.Up() {
		return
	}
	l.down = !up
	ends := l.ends()
	for i := range ends {
		ends[i].down = l.down
	}
	if l.down {
		for i := range ends {
			ends[i].clear(now)
		}
	}
	for i := range ends {
		e := &ends[i]
		if w, ok := e.receiver.(CarrierWatcher); ok {
			w.Carrier(now, int(e.port), up)
		}
	}
}

// deliver hands a frame that one end sent to all the others: copies, and the
// frame itself to the last of them.
func (l *Link) deliver(now sim.Time, from *End, f *wire.Frame) {
	if !from.segment {
		to := &l.cable[0]
		if to == from {
			to = &l.cable[1]
		}
		to.receive(now, f)
		return
	}
	ends := l.segment.ends
	last := len(ends) - 1
	if from == &ends[last] {
		last--
	}
	for i := range ends[:last] {
		if to := &ends[i]; to != from {
			to.receive(now, f.Clone())
		}
	}
	ends[last].receive(now, f)
}
