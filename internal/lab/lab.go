// Package lab is the lab file: what a network is made of, what happens on it
// and what must hold, as YAML or as Go values.
//
// Read turns a file into a Lab and tells everything that is wrong in one go.
// NewPlan works out what the file leaves open: interfaces, addresses, segments and
// routes. Neither starts anything: they know no engine but the settings of a
// link. Start reading at Lab.
package lab

import (
	"os"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/link"
)

// Read reads a lab file and what it includes. The list holds everything that is
// wrong with it, warnings too; the lab is what could be understood, and is fit
// to run when the list has no errors.
func Read(path string) (*Lab, diag.List) {
	text, err := os.ReadFile(path)
	if err != nil {
		var found diag.List
		found.Errorf(diag.Position{File: path}, "cannot read the lab: %v", err)
		return &Lab{}, found
	}
	return Parse(path, text)
}

// Parse is Read for a text at hand; name is its file name, and includes are
// looked for beside it.
func Parse(name string, text []byte) (*Lab, diag.List) {
	return &Lab{}, nil
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

// Apply puts what i says in place of what the two directions had.
func (i Impairments) Apply(forward, backward *link.Settings) {
	i.Rate.apply(&forward.RateBitsPerSecond, &backward.RateBitsPerSecond)
}

func (d Directed[T]) apply(forward, backward *int64) {}

func (i Impairments) settings() (forward, backward link.Settings) {
	i.Apply(&forward, &backward)
	return forward, backward
}

// sources are the texts that positions point into.
type sources struct{}
