package scenario

import (
	"bytes"
	"slices"
	"sync/atomic"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// question is one frames() or drops() of a check, compiled.
type question struct {
	drops  bool
	where  where
	filter *filter
}

// nearestMax is how many packets are kept to show why a count is not what was
// wanted.
const nearestMax = 5

// tally counts what a question asks for, as frames pass.
type tally struct {
	*question
	count   int
	nearest []nearPacket // by score, the nearest first; of equal ones the earliest
}

// nearPacket is a frame that a filter meant, or that came near.
type nearPacket struct {
	score int
	at    sim.Time
	place int
	kind  record.Kind
	why   wire.Drop
	data  []byte
}

// counter is the record.Sink that counts for all questions of a scenario. What
// it keeps does not grow with the run.
type counter struct {
	tallies []tally
	at      [][]*tally // by place, the questions about it
	places  []record.Place
	packet  packet

	sent  uint64
	shown atomic.Uint64 // sent, a little late, for a progress bar
}

var _ record.Sink = (*counter)(nil)

func newCounter(questions []*question) *counter {
	c := &counter{tallies: make([]tally, len(questions))}
	for i, q := range questions {
		c.tallies[i].question = q
	}
	return c
}

// AddPlace implements record.Sink.
func (c *counter) AddPlace(number int, p record.Place) {
	for len(c.at) <= number {
		c.at, c.places = append(c.at, nil), append(c.places, record.Place{})
	}
	c.places[number] = p
	for i := range c.tallies {
		if t := &c.tallies[i]; t.where.has(p) {
			c.at[number] = append(c.at[number], t)
		}
	}
}

// Event implements record.Sink.
func (c *counter) Event(e record.Event) {
	if e.Kind == record.Received {
		return
	}
	if e.Kind == record.Sent {
		if c.sent++; c.sent%1024 == 0 {
			c.shown.Store(c.sent)
		}
	}
	asked := c.at[e.Place]
	if len(asked) == 0 {
		return
	}
	c.packet.read(e.Data)
	for _, t := range asked {
		t.event(&e, &c.packet)
	}
}

// Close implements record.Sink.
func (c *counter) Close() error {
	c.shown.Store(c.sent)
	return nil
}

func (t *tally) event(e *record.Event, p *packet) {
	if t.drops != (e.Kind == record.Dropped) || t.drops && t.where.isLink() && !onLink(e.Why) {
		return
	}
	why := !t.drops || t.filter.drop(e.Why)
	if t.drops && !why && bystander(e.Why) {
		return
	}
	if why && t.filter.matches(p) {
		t.count++
		t.keep(e, len(t.filter.terms)+1)
		return
	}
	score := t.filter.score(p)
	if why && t.drops {
		score++ // the reason is a term too
	}
	if score > 0 {
		t.keep(e, score)
	}
}

// keep keeps the frame if it is nearer than one that is kept.
func (t *tally) keep(e *record.Event, score int) {
	if n := len(t.nearest); n == nearestMax {
		if t.nearest[n-1].score >= score {
			return
		}
		t.nearest = t.nearest[:n-1]
	}
	i := len(t.nearest)
	for i > 0 && t.nearest[i-1].score < score {
		i--
	}
	near := nearPacket{score: score, at: e.At, place: e.Place, kind: e.Kind, why: e.Why, data: bytes.Clone(e.Data)}
	t.nearest = slices.Insert(t.nearest, i, near)
}
