// Package hopyard runs computer networks inside one process: real bytes on every
// link, ordinary programs on every host, in deterministic virtual time or live.
//
// Open reads a lab file; Lab.Run plays it and reports what came of it.
package hopyard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/hopyard/hopyard/internal/diag"
	"github.com/hopyard/hopyard/internal/explain"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/scenario"
	"github.com/hopyard/hopyard/internal/sim"
)

// Lab is a network, what happens on it and what must hold, ready to run.
type Lab struct {
	config   *lab.Lab
	plan     *lab.Plan
	scenario *scenario.Scenario
	warnings diag.List
}

// Messages are what is wrong with a lab, each with file, line and column. As an
// error it tells all of them.
type Messages = diag.List

// Report is what came of a run.
type Report = scenario.Report

// Progress is how far a run has come.
type Progress = scenario.Progress

// Open reads a lab file. Everything that is wrong with it is told at once: the
// error is a Messages unless the file cannot be read.
func Open(path string) (*Lab, error) { return prepare(lab.Read(path)) }

// Parse is Open for text that is at hand; name stands for the file in messages.
func Parse(name string, text []byte) (*Lab, error) { return prepare(lab.Parse(name, text)) }

func prepare(config *lab.Lab, found diag.List) (*Lab, error) {
	if found.HasErrors() {
		return nil, found
	}
	l := &Lab{config: config}
	plan, more := lab.NewPlan(config)
	if more.HasErrors() {
		return nil, more
	}
	l.plan, l.warnings = plan, more
	var err error
	if l.scenario, err = scenario.Compile(config, plan); err != nil {
		return nil, err
	}
	l.warnings = append(l.warnings, l.scenario.Warnings()...)
	return l, nil
}

// Name is what the lab is called.
func (l *Lab) Name() string { return l.config.Name }

// Warnings are what is odd about the lab and does not keep it from running.
func (l *Lab) Warnings() Messages { return l.warnings }

// Summary counts what is in the lab.
func (l *Lab) Summary() string {
	count := func(n int, what string) string {
		if n != 1 {
			what += "s"
		}
		return fmt.Sprintf("%d %s", n, what)
	}
	c := l.config
	return fmt.Sprintf("%s, %s, %s, %s", count(len(c.Nodes), "node"), count(len(c.Links), "link"), count(len(c.Run), "thing")+" to do", count(len(c.Validate), "check"))
}

// Show draws the network as text: nodes, links, addresses, routes.
func (l *Lab) Show(w io.Writer) error { return lab.Show(w, l.plan) }

// RunOptions are how a lab is run. The zero RunOptions run it as the file says,
// in virtual time.
type RunOptions struct {
	Seed  uint64        // instead of the lab's; 0: the lab's
	Until time.Duration // end here; 0: as the lab says
	Live  bool          // by the wall clock

	TAP []TAP // nodes whose part a TAP device plays; only with Live

	PcapDir   string   // write captures into this folder; "": none
	PcapLinks []string // only of these links or link ends; none: all

	// Explain, if not nil, is told every packet as it passes.
	Explain *Explainer

	// Ladder, if not nil, gathers the TCP segments.
	Ladder *Ladder

	// Sample has the connections of tcp loads sampled for PlotText and PlotSVG.
	Sample bool

	// Progress, if not nil, is called by another goroutine about five times a
	// second of wall time, from the first second on.
	Progress func(Progress)
}

// Run plays the lab. The report is whole even where something did not hold; an
// error means that the run itself failed or was stopped, and the report, if not
// nil, tells how far it came.
func (l *Lab) Run(ctx context.Context, o RunOptions) (report *Report, err error) {
	plan := l.plan
	if o.Seed != 0 && o.Seed != l.config.Seed {
		config := *l.config
		config.Seed = o.Seed
		reseeded := *plan
		reseeded.Lab = &config
		plan = &reseeded
	}
	rec := record.New()
	network := lab.Build(plan, rec)
	devices, err := l.openTAPs(o)
	if err != nil {
		return nil, err
	}
	if o.PcapDir != "" {
		ends, err := l.ends(o.PcapLinks)
		if err != nil {
			return nil, err
		}
		writer, err := record.NewPcapWriter(o.PcapDir, ends...)
		if err != nil {
			return nil, err
		}
		rec.Attach(writer)
	}
	if o.Explain != nil {
		rec.Attach(&explainSink{Explainer: o.Explain})
	}
	if o.Ladder != nil {
		rec.Attach(o.Ladder)
	}
	report, err = l.scenario.Play(ctx, network, scenario.Options{
		Live: o.Live, Until: sim.Time(o.Until), Progress: o.Progress, Sample: o.Sample,
		SetUp: func(now sim.Time) error { plugIn(now, network, devices); return nil }, Stay: len(devices) > 0,
	})
	return report, errors.Join(err, rec.Close())
}

// ends are the names of the ends of links that were chosen by a link's name or
// by an end's.
func (l *Lab) ends(chosen []string) ([]string, error) {
	var ends []string
	for _, name := range chosen {
		found := false
		for _, k := range l.plan.Links {
			for _, e := range k.Ends {
				n := &l.plan.Nodes[e.Node]
				if end := n.Name + ":" + n.Interfaces[e.Interface].Name; name == k.Name || name == end {
					ends, found = append(ends, end), true
				}
			}
		}
		if !found {
			var names []string
			for _, k := range l.plan.Links {
				names = append(names, k.Name)
			}
			hint := ""
			if near := diag.Nearest(name, names); near != "" {
				hint = fmt.Sprintf("; did you mean %q?", near)
			}
			return nil, fmt.Errorf("the lab has no link or link end %q to capture%s", name, hint)
		}
	}
	return ends, nil
}

// Ladder draws TCP connections as ladders between their ends.
type Ladder = explain.Ladder

// Explainer tells packets one by one, layer by layer.
type Explainer = explain.Writer

// explainSink hands what is recorded to an Explainer.
type explainSink struct {
	*Explainer
	places []record.Place
	err    error
}

// AddPlace is record.Sink's.
func (s *explainSink) AddPlace(_ int, p record.Place) { s.places = append(s.places, p) }

// Event is record.Sink's.
func (s *explainSink) Event(e record.Event) {
	if s.err == nil {
		s.err = s.Explainer.Event(e, s.places[e.Place])
	}
}

// Close is record.Sink's; it returns the first error in writing.
func (s *explainSink) Close() error { return s.err }

// Explain tells the packets of a capture file (pcapng or pcap).
func Explain(path string, e *Explainer) error { return e.Capture(path) }
