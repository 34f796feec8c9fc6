package scenario

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
)

// Report is what was asked of a lab and what came of it. Its JSON depends on the
// lab and its seed alone; names of fields are stable. Times are in nanoseconds.
type Report struct {
	Lab       string  `json:"lab"`
	Seed      uint64  `json:"seed"`
	Passed    bool    `json:"passed"`
	Stopped   bool    `json:"stopped,omitempty"` // by the user, before its end
	Points    float64 `json:"points"`
	PointsMax float64 `json:"points_max"`

	Run    []RunReport   `json:"run"`
	Loads  []LoadReport  `json:"loads"`
	Events []EventReport `json:"events"`
	Checks []CheckReport `json:"checks"`

	Recorded      bool                 `json:"recorded"` // without, the rest is empty
	Conversations []ConversationReport `json:"conversations"`
	OtherPackets  uint64               `json:"other_packets,omitempty"` // of conversations beyond those listed
	Drops         []DropReport         `json:"drops"`
	OtherDrops    uint64               `json:"other_drops,omitempty"`

	Totals      Totals `json:"totals"`
	Fingerprint string `json:"fingerprint,omitempty"`

	Series []Series `json:"-"` // of tcp loads, where Options.Sample asked

	Wall time.Duration `json:"-"` // how long it took; no two runs are alike in it
}

// RunReport is what came of a command.
type RunReport struct {
	Name       string            `json:"name,omitempty"`
	Node       string            `json:"node"` // or group
	Command    string            `json:"command"`
	At         sim.Duration      `json:"at_ns"`
	Every      sim.Duration      `json:"every_ns,omitempty"`
	Judged     bool              `json:"judged"` // something was expected of it
	Held       bool              `json:"held"`   // and came, always
	Times      int               `json:"times"`  // how often it was run, on whatever node
	Unheld     int               `json:"unheld"`
	Executions []ExecutionReport `json:"executions"`

	title string
}

// ExecutionReport is one run of a command on one node.
type ExecutionReport struct {
	Node     string       `json:"node"`
	At       sim.Time     `json:"at_ns"`
	Took     sim.Duration `json:"took_ns"`
	Exit     int          `json:"exit"`
	Stdout   string       `json:"stdout"`
	Stderr   string       `json:"stderr"`
	Unkept   bool         `json:"output_not_kept,omitempty"`
	Ended    string       `json:"ended,omitempty"` // why it was ended from outside
	Problems []string     `json:"problems,omitempty"`
}

// LoadReport is what came of generated traffic. Latencies count from when a
// packet was to be sent to its answer.
type LoadReport struct {
	Name     string       `json:"name,omitempty"`
	Node     string       `json:"node"` // or group
	Load     string       `json:"load"`
	At       sim.Duration `json:"at_ns"`
	Sources  int          `json:"sources"`
	Sent     uint64       `json:"sent"`
	Received uint64       `json:"received"`
	Errors   uint64       `json:"errors"`
	Problem  string       `json:"first_error,omitempty"`
	Min      sim.Duration `json:"rtt_min_ns"`
	Avg      sim.Duration `json:"rtt_avg_ns"`
	P50      sim.Duration `json:"rtt_p50_ns"`
	P99      sim.Duration `json:"rtt_p99_ns"`
	Max      sim.Duration `json:"rtt_max_ns"`

	TCP *TransferReport `json:"tcp,omitempty"` // of a tcp load; then the numbers above are 0

	title string
	timed bool
}

// TransferReport is what came of a tcp load, of all its connections.
type TransferReport struct {
	Bytes       int          `json:"bytes_acked"`
	Took        sim.Duration `json:"took_ns"`
	Goodput     float64      `json:"goodput_bits_per_second"`
	Retransmits int          `json:"segments_retransmitted"`
	RTTMin      sim.Duration `json:"rtt_min_ns"`
	CwndMax     int          `json:"cwnd_max_segments"`
}

// EventReport is something that went wrong or was mended.
type EventReport struct {
	At   sim.Time `json:"at_ns"`
	Name string   `json:"name,omitempty"`
	What string   `json:"what"`
}

// CheckReport is what came of a check.
type CheckReport struct {
	Name      string   `json:"name"`
	Expect    string   `json:"expect"`
	Held      bool     `json:"held"`
	Points    float64  `json:"points"`
	PointsMax float64  `json:"points_max"`
	Values    []string `json:"values,omitempty"`  // of its parts, where it did not hold
	Hint      string   `json:"hint,omitempty"`    // the lab's
	Packets   []string `json:"packets,omitempty"` // that it is about, or that came near
}

// ConversationReport is who sent what to whom.
type ConversationReport struct {
	From     string         `json:"from"` // an address
	FromNode string         `json:"from_node,omitempty"`
	To       string         `json:"to"`
	ToNode   string         `json:"to_node,omitempty"`
	Protocol string         `json:"protocol"`
	First    sim.Time       `json:"first_ns"`
	There    WayReport      `json:"there"`
	Back     WayReport      `json:"back"`
	Answers  []AnswerReport `json:"answers,omitempty"` // ICMP errors, counted in Back
}

// WayReport is one direction of a conversation, as it left the node that made it.
type WayReport struct {
	Packets uint64   `json:"packets"`
	Bytes   uint64   `json:"bytes"`
	Drops   uint64   `json:"drops"`
	Path    []string `json:"path,omitempty"`    // of the first packet that arrived, else of the one that came farthest
	Arrived bool     `json:"arrived"`           // at the node that has the address
	Flooded bool     `json:"flooded,omitempty"` // from the path's end it went to all, and to nobody whose it was
}

// AnswerReport is a kind of ICMP error that came back.
type AnswerReport struct {
	What     string `json:"what"`
	From     string `json:"from"`
	FromNode string `json:"from_node,omitempty"`
	Packets  uint64 `json:"packets"`
}

// DropReport is where and why packets went no further.
type DropReport struct {
	Place   string   `json:"place"`          // h1 or h1:eth0
	Link    string   `json:"link,omitempty"` // where the link dropped them
	Reason  string   `json:"reason"`
	Packets uint64   `json:"packets"`
	First   sim.Time `json:"first_ns"`
	Example string   `json:"example"`
}

// Totals are the numbers of the whole run.
type Totals struct {
	Time     sim.Time `json:"time_ns"`
	Events   uint64   `json:"kernel_events"`
	Frames   uint64   `json:"frames"` // sent, at every hop
	Bytes    uint64   `json:"bytes"`
	Dropped  uint64   `json:"dropped"`
	Unwanted uint64   `json:"not_for_the_receiver"` // copies of flooded frames that others threw away
}

// newReport tells what came of the run. Kernel only.
func (p *player) newReport() *Report {
	now := p.network.Kernel.Now()
	r := &Report{
		Lab: p.lab.Name, Seed: p.network.Plan.Lab.Seed, Passed: true, Recorded: p.network.Recorder != nil,
		Run: []RunReport{}, Loads: []LoadReport{}, Events: []EventReport{}, Conversations: []ConversationReport{}, Drops: []DropReport{},
	}
	r.Totals.Time, r.Totals.Events = now, p.network.Kernel.Events()
	for i, it := range p.items {
		if p.loads[i] != nil {
			r.Loads = append(r.Loads, p.loads[i].report(it, now))
			continue
		}
		run := p.commands[i].report(it, now)
		r.Passed = r.Passed && (!run.Judged || run.Held)
		r.Run = append(r.Run, run)
	}
	for _, h := range p.happened {
		r.Events = append(r.Events, EventReport{h.at, h.name, h.text})
	}
	r.Checks = append([]CheckReport{}, p.evaluate(now)...)
	for _, c := range r.Checks {
		r.Passed = r.Passed && c.Held
		r.Points += c.Points
		r.PointsMax += c.PointsMax
	}
	if rec := p.network.Recorder; rec != nil {
		p.recorded(r, rec)
	}
	r.Series = p.series()
	return r
}

// recorded adds what the recorder has seen.
func (p *player) recorded(r *Report, rec *record.Recorder) {
	totals := rec.Totals()
	r.Totals.Frames, r.Totals.Bytes = totals.SentFrames, totals.SentBytes
	r.Totals.Dropped, r.Totals.Unwanted = p.flows.dropped, p.flows.ignored
	for _, c := range p.flows.list {
		r.Conversations = append(r.Conversations, p.flows.report(c))
	}
	r.OtherPackets = p.flows.others.packets
	for _, k := range p.flows.dropList {
		at := p.flows.places[k.place]
		d := DropReport{Place: at.place.String(), Reason: k.why.String(), Packets: k.count, First: k.at, Example: k.packet}
		if onLink(k.why) && at.link >= 0 {
			d.Link = p.plan.Links[at.link].Name
		}
		r.Drops = append(r.Drops, d)
	}
	r.OtherDrops = p.flows.unlisted
	r.Fingerprint = rec.Fingerprint()
}

func (c *commandResult) report(it *item, now sim.Time) RunReport {
	r := RunReport{
		Name: it.Name, Node: it.Node, Command: it.Cmd, At: it.At, Every: it.Every, Judged: it.expect != nil,
		Times: c.times, Unheld: c.unheld, Executions: []ExecutionReport{}, title: it.title(),
	}
	for _, x := range c.executions {
		e := ExecutionReport{
			Node: x.node, At: x.at, Took: x.took(), Exit: x.exit, Stdout: x.stdout.String(), Stderr: x.stderr.String(),
			Unkept: x.dropped, Ended: x.ended, Problems: x.problems,
		}
		if !x.done { // its program does not heed that it is to stop
			e.Took, e.Stdout, e.Stderr, e.Ended = now.Sub(x.at), "", "", "it did not end"
			r.Unheld++
		}
		r.Executions = append(r.Executions, e)
	}
	r.Held = r.Judged && r.Times > 0 && r.Unheld == 0
	return r
}

func (l *loadResult) report(it *item, now sim.Time) LoadReport {
	if it.load.tcp {
		v := l.tcpValue(now)
		return LoadReport{
			Name: it.Name, Node: it.Node, Load: it.load.describe(), At: it.At, Sources: l.sources,
			Errors: uint64(v.Errors), Problem: v.Error, title: it.title(),
			TCP: &TransferReport{v.Bytes, v.Took, v.Goodput, v.Retransmits, v.RTTMin, v.CwndMax},
		}
	}
	v := l.value()
	return LoadReport{
		Name: it.Name, Node: it.Node, Load: it.load.describe(), At: it.At, Sources: l.sources,
		Sent: l.sent, Received: l.received, Errors: l.failed, Problem: l.problem,
		Min: v.Min, Avg: v.Avg, P50: v.P50, P99: v.P99, Max: v.Max, title: it.title(), timed: l.rtt.count > 0,
	}
}

func (f *flows) report(c *flow) ConversationReport {
	r := ConversationReport{
		From: c.key.a.String(), FromNode: f.owner(c.key.a), To: c.key.b.String(), ToNode: f.owner(c.key.b),
		Protocol: c.protocol(), First: c.first, There: f.way(&c.there, c.key.b), Back: f.way(&c.back, c.key.a),
	}
	for _, a := range c.answers {
		r.Answers = append(r.Answers, AnswerReport{a.what, a.from.String(), f.owner(a.from), a.packets})
	}
	return r
}

func (f *flows) way(d *direction, to netip.Addr) WayReport {
	w := WayReport{Packets: d.packets, Bytes: d.bytes, Drops: d.drops}
	w.Path, w.Arrived, w.Flooded = f.path(d.steps(), to)
	return w
}

// owner is the node that has an address.
func (f *flows) owner(a netip.Addr) string {
	if i, ok := f.owners[a]; ok {
		return f.plan.Nodes[i].Name
	}
	if a.Is6() { // it may have made itself the address (RFC 4291 A)
		b := a.As16()
		for i := range f.plan.Nodes {
			for _, in := range f.plan.Nodes[i].Interfaces {
				if isMachine(f.plan.Nodes[i].Kind) && in.MAC.InterfaceID() == [8]byte(b[8:]) {
					return f.plan.Nodes[i].Name
				}
			}
		}
	}
	return ""
}

func isMachine(k lab.Kind) bool { return k == lab.Host || k == lab.Router }

func (c *flow) protocol() string {
	name := strings.ToLower(c.key.protocol.String())
	switch {
	case c.key.kind == flowARP:
		return "arp"
	case c.key.kind == flowEcho:
		return name + " echo"
	case c.port != 0 && !c.ports:
		return fmt.Sprintf("%s port %d", name, c.port)
	}
	return name
}

// JSON writes the report as JSON.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}

// ExitStatus is 0 where everything that was expected came, else 1.
func (r *Report) ExitStatus() int {
	if r.Passed {
		return 0
	}
	return 1
}
