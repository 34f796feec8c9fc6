// Package link is cables and shared segments: rate, delay, queues and what can
// go wrong on the way.
//
// A link of two ends is a full-duplex cable; one of more is a half-duplex
// segment, on which one station sends at a time. It takes frames from one node
// and hands them to the others, and knows nothing of what is in them but the
// length. Start reading at End.Send.
package link

import (
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

// Settings are how an end sends. The zero Settings are an ideal link of no
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
	ends []End
}

// New makes a link, which is up. It panics on fewer than two ends.
func New(cfg Config) *Link { return &Link{ends: make([]End, len(cfg.Ends))} }

// End is the end of that number in Config.Ends.
func (l *Link) End(i int) *End { return &l.ends[i] }

// Ends is how many ends there are.
func (l *Link) Ends() int { return len(l.ends) }

// Up reports whether the link is up.
func (l *Link) Up() bool { return true }

// SetUp cuts the link or mends it. What waits and what is on the way when it is
// cut is lost.
func (l *Link) SetUp(now sim.Time, up bool) {}

// End is one end of a link: a port's transmitter and its way to the others.
type End struct{}

// Send takes a frame to be sent, and owns it.
func (e *End) Send(now sim.Time, f *wire.Frame) {}

// Set changes how frames are sent from now on; what waits stays.
func (e *End) Set(now sim.Time, s Settings) {}

// Settings is how frames are sent, with the defaults filled in.
func (e *End) Settings() Settings { return Settings{} }

// SetReceiver plugs in another node or, with nil, none: the node has failed, and
// what its port had not yet sent is dropped.
func (e *End) SetReceiver(now sim.Time, r Receiver) {}

// Counters is what has passed the end so far.
func (e *End) Counters() Counters { return Counters{} }

// Counters count what passed one end of a link.
type Counters struct {
	SentFrames, SentBytes         uint64
	ReceivedFrames, ReceivedBytes uint64
	Drops                         []DropCount // by reason, those that occurred
}

// DropCount is how many frames were dropped for a reason.
type DropCount struct {
	Why    wire.Drop
	Frames uint64
}

// Dropped is how many frames were dropped for a reason.
func (c Counters) Dropped(why wire.Drop) uint64 { return 0 }
