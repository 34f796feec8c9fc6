// Package lab is the lab file: what a network is made of, what happens on it
// and what must hold, as YAML or as Go values.
//
// Read turns a file into a Lab and tells everything that is wrong in one go.
// NewPlan works out what the file leaves open: interfaces, addresses, segments and
// routes. Neither starts anything: they know no engine but the settings of a
// link. Start reading at Lab.
package lab

import (
	"slices"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
)

// Read reads a lab file and what it includes. The list holds everything that is
// wrong with it, warnings too, sorted; the lab is what could be understood, and
// is fit to plan when the list has no errors.
func Read(path string) (*Lab, diag.List) {
	text, err := openFile(path)
	if err != nil {
		var found diag.List
		found.Errorf(diag.Position{File: path}, "cannot read the lab: %v", err)
		return &Lab{}, found
	}
	return Parse(path, text)
}

// Parse is Read for a text at hand; name is its file name, and includes are
// looked for beside it.
func Parse(name string, text []byte) (*Lab, diag.List) { return parse(name, text, openFile) }

func parse(name string, text []byte, open func(string) ([]byte, error)) (*Lab, diag.List) {
	l := &Lab{Pos: diag.Position{File: name}, sources: &sources{}}
	r := &reader{sources: l.sources, open: open, broken: map[diag.Position]bool{}}
	r.text(l, name, text)
	if !r.full && (len(l.Nodes) > 0 || !r.found.HasErrors()) {
		r.found = append(r.found, l.complete(r.broken)...)
	}
	found := once(r.found)
	found.Sort()
	l.sources.quote(found)
	return l, found
}

// once drops what was told before of the same place: an anchor is read again
// wherever it is used.
func once(found diag.List) diag.List {
	type key struct {
		at   diag.Position
		text string
	}
	told := map[key]bool{}
	return slices.DeleteFunc(found, func(m diag.Message) bool {
		k := key{m.Position, m.Text}
		again := told[k]
		told[k] = true
		return again
	})
}

// over fills what i does not say from base.
func (i Impairments) over(base Impairments) Impairments {
	return Impairments{
		Rate: i.Rate.over(base.Rate), Delay: i.Delay.over(base.Delay), Jitter: i.Jitter.over(base.Jitter),
		Loss: i.Loss.over(base.Loss), Duplicate: i.Duplicate.over(base.Duplicate), Reorder: i.Reorder.over(base.Reorder),
		Corrupt: i.Corrupt.over(base.Corrupt), Queue: i.Queue.over(base.Queue), MTU: i.MTU.over(base.MTU),
	}
}

func (d Directed[T]) over(base Directed[T]) Directed[T] {
	if !d.ForwardSet {
		d.Forward, d.ForwardSet = base.Forward, base.ForwardSet
	}
	if !d.BackwardSet {
		d.Backward, d.BackwardSet = base.Backward, base.BackwardSet
	}
	return d
}

// each hands over the directions that were said.
func (d Directed[T]) each(forward, backward *link.Settings, set func(*link.Settings, T)) {
	if d.ForwardSet {
		set(forward, d.Forward)
	}
	if d.BackwardSet {
		set(backward, d.Backward)
	}
}

// Apply puts what i says in place of what the two directions had.
func (i Impairments) Apply(forward, backward *link.Settings) {
	i.Rate.each(forward, backward, func(s *link.Settings, v Rate) { s.RateBitsPerSecond = int64(v) })
	i.Delay.each(forward, backward, func(s *link.Settings, v sim.Duration) { s.Delay = v })
	i.Jitter.each(forward, backward, func(s *link.Settings, v sim.Duration) { s.Jitter = v })
	i.Loss.each(forward, backward, func(s *link.Settings, v Loss) { s.Loss, s.LossBurst = float64(v.Rate), v.Burst })
	i.Duplicate.each(forward, backward, func(s *link.Settings, v Probability) { s.Duplicate = float64(v) })
	i.Reorder.each(forward, backward, func(s *link.Settings, v Probability) { s.Reorder = float64(v) })
	i.Corrupt.each(forward, backward, func(s *link.Settings, v Probability) { s.Corrupt = float64(v) })
	i.Queue.each(forward, backward, func(s *link.Settings, v Queue) { s.QueuePackets, s.QueueBytes = v.Packets, v.Bytes })
	i.MTU.each(forward, backward, func(s *link.Settings, v MTU) { s.MTU = int(v) })
}

// LinkSettings are the settings of the two directions of a link: what the link
// says, else the lab's defaults, else nothing impaired.
func (l *Lab) LinkSettings(k *Link) (forward, backward link.Settings) {
	k.Impairments.over(l.Defaults.Link).Apply(&forward, &backward)
	return forward, backward
}

// Quote fills in the source lines of messages about this lab that were found
// after it was read.
func (l *Lab) Quote(found diag.List) { l.sources.quote(found) }
