// Package scenario plays what a lab says happens on its network: commands,
// generated traffic, faults; and says what came of it: a Report.
//
// Compile judges and prepares everything before anything runs. Play drives the
// network of package lab by timers of its own and watches it as a sink of the
// recorder: it never touches a packet. Start reading at Scenario.
package scenario

import (
	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/shell"
)

// Scenario is a lab's timeline and checks, ready to be played. It may be played
// more than once, each time on a network newly built.
type Scenario struct {
	lab  *lab.Lab
	plan *lab.Plan

	items     []*item
	losses    []*filter // by event; nil for one that is no `lose`
	checks    []*check
	questions []*question
	asked     map[questionKey]int
	warnings  diag.List
}

// Compile prepares the timeline and the checks of a planned lab. The error is a
// diag.List of everything that is wrong.
// Precondition: the plan is of this lab and has no errors.
func Compile(l *lab.Lab, plan *lab.Plan) (*Scenario, error) {
	s := &Scenario{lab: l, plan: plan, asked: map[questionKey]int{}}
	var found diag.List
	for i := range s.lab.Run {
		s.item(&found, i)
	}
	for i := range s.lab.Events {
		s.tooLate(&found, s.lab.Events[i].Pos, "the event", lab.Run{At: s.lab.Events[i].At})
	}
	for i := range s.lab.Events {
		s.losses = append(s.losses, s.loss(&found, &s.lab.Events[i]))
	}
	r := &checkReader{Scenario: s}
	for i := range s.lab.Validate {
		r.read(&s.lab.Validate[i])
	}
	found = append(found, r.found...)
	found.Sort()
	s.lab.Quote(found)
	if err := found.Err(); err != nil {
		return nil, err
	}
	s.warnings = found
	return s, nil
}

// loss compiles the words of an event that chooses packets to lose, nil for
// another event.
func (s *Scenario) loss(found *diag.List, e *lab.Event) *filter {
	if e.Lose == "" {
		return nil
	}
	f, err := newFilter(s.plan, e.Lose, false)
	if err != nil {
		found.Errorf(e.Pos, "lose %q: %s", e.Lose, err.Error())
		return nil
	}
	return f
}

// Warnings are what is probably not meant as it is written.
func (s *Scenario) Warnings() diag.List { return s.warnings }

// item prepares one item of run.
func (s *Scenario) item(found *diag.List, number int) {
	r := &s.lab.Run[number]
	it := &item{Run: r, number: number}
	for _, n := range s.lab.NodesNamed(r.Node) {
		it.nodes = append(it.nodes, s.plan.Node(n.Name))
	}
	s.tooLate(found, r.Pos, "the item", *r)
	switch {
	case r.Load != nil:
		s.load(found, it)
	case r.Cmd != "":
		if err := shell.Check(r.Cmd); err != nil {
			found.Errorf(r.Pos, "cmd %q: %v", r.Cmd, err)
		}
		if r.Every > 0 && r.For == 0 && s.lab.Duration == 0 {
			found.Errorf(r.Pos, "`every` without an end: give the item `for`, or the lab `duration`")
		}
	}
	it.expect = newExpectation(r.Expect)
	s.items = append(s.items, it)
}

// tooLate warns of what the lab's end comes before.
func (s *Scenario) tooLate(found *diag.List, at diag.Position, what string, r lab.Run) {
	if s.lab.Duration > 0 && r.At >= s.lab.Duration {
		found.Warnf(at, "%s never comes: it is for %s, and the lab ends at %s", what, seconds(r.At), seconds(s.lab.Duration))
	}
}
