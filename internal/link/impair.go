package link

import (
	"fmt"
	"slices"

	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// passage is a frame's way over the link, while it is made up.
type passage struct {
	frame   *wire.Frame
	now     sim.Time // the first bit leaves
	sent    sim.Time // the last bit leaves
	arrives sim.Time
	next    int // stage
}

// stage is one thing that can go wrong on the way. It returns the passage as it
// leaves it, and whether the frame is still there.
type stage func(e *End, p passage) (passage, bool)

// impairments is what goes wrong on the way of what an end sends. The stages
// are those that the settings ask for, in netem's order: loss first, so that a
// frame that is lost is not duplicated, and all after duplication for each copy
// by itself.
type impairments struct {
	settings Settings
	stages   []stage
	streams  [purposes]*sim.Stream // each made when its stage is first asked for
	losing   bool                  // a burst of losses is on
	chosen   func(frame []byte) bool
}

// What each random stream is for, so that one impairment does not change what
// another one draws.
const (
	forChosen = iota // draws nothing
	forLoss
	forDuplicate
	forCorrupt
	forJitter
	forReorder
	purposes
)

var purposeNames = [purposes]string{"chosen", "loss", "duplicate", "corrupt", "jitter", "reorder"}

func (e *End) setImpairments(s Settings) {
	wanted := [purposes]stage{}
	if e.impairments != nil && e.impairments.chosen != nil {
		wanted[forChosen] = loseChosen
	}
	if s.Loss > 0 {
		wanted[forLoss] = loseEach
		if s.LossBurst > 1 {
			wanted[forLoss] = loseBursts
		}
	}
	if s.Duplicate > 0 {
		wanted[forDuplicate] = duplicate
	}
	if s.Corrupt > 0 {
		wanted[forCorrupt] = corrupt
	}
	if s.Jitter > 0 {
		wanted[forJitter] = jitter
	}
	if s.Reorder > 0 {
		wanted[forReorder] = reorder
	}
	im := e.impairments
	if im == nil {
		if !slices.ContainsFunc(wanted[:], func(s stage) bool { return s != nil }) {
			return
		}
		im = &impairments{}
		e.impairments = im
	}
	im.settings, im.stages = s, nil
	for purpose, stage := range wanted {
		if stage == nil {
			continue
		}
		im.stages = append(im.stages, stage)
		if im.streams[purpose] == nil && purpose != forChosen {
			im.streams[purpose] = sim.NewStream(e.link.seed, e.streamName(purpose))
		}
	}
}

// streamName names one of an end's random streams: "link a-b a->b loss" on a
// cable, "link lan end 2 loss" on a segment, where names of nodes would not do.
func (e *End) streamName(purpose int) string {
	ends := e.link.ends()
	if len(ends) == 2 && ends[0].origin != ends[1].origin {
		from, to := &ends[0], &ends[1]
		if e == to {
			from, to = to, from
		}
		return fmt.Sprintf("link %s %s->%s %s", e.link.name, from.origin.Name(), to.origin.Name(), purposeNames[purpose])
	}
	i := 0
	for e != &ends[i] {
		i++
	}
	return fmt.Sprintf("link %s end %d %s", e.link.name, i, purposeNames[purpose])
}

// impair takes a frame through the stages that are left, and on its way.
func (e *End) impair(p passage) {
	for stages, ok := e.impairments.stages, true; p.next < len(stages); {
		s := stages[p.next]
		p.next++
		if p, ok = s(e, p); !ok {
			return
		}
	}
	e.fly(p)
}

// Lose has every frame lost that match chooses, after all other settings; nil
// ends it. match is asked for each frame that the end sends.
func (e *End) Lose(match func(frame []byte) bool) {
	if e.impairments == nil {
		e.impairments = &impairments{settings: e.Settings()}
	}
	e.impairments.chosen = match
	e.setImpairments(e.impairments.settings)
}

func loseChosen(e *End, p passage) (passage, bool) {
	if !e.impairments.chosen(p.frame.Bytes()) {
		return p, true
	}
	e.drop(p.now, p.frame, wire.DropLoss)
	return p, false
}

func loseEach(e *End, p passage) (passage, bool) {
	im := e.impairments
	if !im.streams[forLoss].Chance(im.settings.Loss) {
		return p, true
	}
	e.drop(p.now, p.frame, wire.DropLoss)
	return p, false
}

// loseBursts is Gilbert's model: a chain of two states, in one of which every
// frame is lost. Bursts have a mean length of LossBurst; how often one begins
// follows from the share that is to be lost. Where that share is so large that
// bursts would have to begin more often than gaps end, bursts grow instead.
func loseBursts(e *End, p passage) (passage, bool) {
	im := e.impairments
	loss, ends := im.settings.Loss, 1/im.settings.LossBurst
	begins := 1.0
	if gap := 1 - loss; loss*ends < gap {
		begins = loss * ends / gap
	} else {
		ends = gap / loss
	}
	draw := im.streams[forLoss].Float64()
	if im.losing {
		im.losing = draw >= ends
	} else {
		im.losing = draw < begins
	}
	if !im.losing {
		return p, true
	}
	e.drop(p.now, p.frame, wire.DropLoss)
	return p, false
}

func duplicate(e *End, p passage) (passage, bool) {
	im := e.impairments
	if im.streams[forDuplicate].Chance(im.settings.Duplicate) {
		e.rare().duplicated++
		second := p.frame.Clone()
		e.impair(p)
		p.frame = second
	}
	return p, true
}

// corrupt flips one bit anywhere in the frame, as netem does: no FCS is checked
// on arrival, so the checksums inside have to find it.
func corrupt(e *End, p passage) (passage, bool) {
	im := e.impairments
	random := im.streams[forCorrupt]
	if b := p.frame.Bytes(); random.Chance(im.settings.Corrupt) && len(b) > 0 {
		bit := random.Intn(8 * len(b))
		b[bit/8] ^= 1 << (bit % 8)
		p.frame.ChecksumsGood = false
	}
	return p, true
}

func jitter(e *End, p passage) (passage, bool) {
	im := e.impairments
	delay := im.streams[forJitter].Between(e.delay-im.settings.Jitter, e.delay+im.settings.Jitter)
	p.arrives = p.sent.Add(max(delay, 0))
	return p, true
}

func reorder(e *End, p passage) (passage, bool) {
	im := e.impairments
	if im.streams[forReorder].Chance(im.settings.Reorder) {
		p.arrives = p.sent
	}
	return p, true
}
