package scenario

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/hopyard/hopyard/internal/sim"
)

// What the text shows at most; the JSON has the rest.
const (
	shownRuns          = 60
	shownExecutions    = 5 // of one item, those with problems first
	shownOutputLines   = 40
	shownEvents        = 40
	shownConversations = 25
	shownDrops         = 20
	shownChecks        = 200
	widthDefault       = 100
	widthMin           = 40
)

// palette is the colours of a terminal (ECMA-48 SGR), or nothing.
type palette struct{ good, bad, head, faint, off string }

var terminal = palette{good: "\x1b[32m", bad: "\x1b[1;31m", head: "\x1b[1m", faint: "\x1b[2m", off: "\x1b[0m"}

// writer writes a report as text.
type writer struct {
	*bufio.Writer
	*Report
	palette
	width int
}

// Text writes the report for people. Lines of our own are cut or folded at width
// columns (0: 100); what commands wrote stays as it is.
func (r *Report) Text(out io.Writer, width int, colour bool) error {
	if width == 0 {
		width = widthDefault
	}
	w := &writer{Writer: bufio.NewWriter(out), Report: r, width: max(width, widthMin)}
	if colour {
		w.palette = terminal
	}
	w.runs()
	w.loads()
	w.events()
	w.conversations()
	w.drops()
	w.checks()
	w.summary()
	return w.Flush()
}

func (w *writer) heading(title, about string) {
	fmt.Fprintf(w, "%s%s%s  %s%s%s\n", w.head, title, w.off, w.faint, about, w.off)
}

// mark is a verdict as wide as any other.
func (w *writer) mark(judged, held bool) string {
	switch {
	case !judged:
		return "  - "
	case held:
		return w.good + " ok " + w.off
	}
	return w.bad + "FAIL" + w.off
}

func (w *writer) more(indent string, n int, noun string) {
	if n > 0 {
		fmt.Fprintf(w, "%s%s... and %s%s\n", indent, w.faint, strings.Replace(count(n, noun), " ", " more ", 1), w.off)
	}
}

// fold writes text behind a lead, on as many lines as it takes.
func (w *writer) fold(lead, text string) {
	indent := strings.Repeat(" ", len([]rune(lead)))
	line := lead
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case len([]rune(line))+1+len([]rune(word)) > w.width:
			fmt.Fprintln(w, line)
			line = indent
		default:
			line += " "
		}
		line += word
	}
	fmt.Fprintln(w, line)
}

// cut shortens a line of ours.
func (w *writer) cut(s string) string {
	if r := []rune(s); len(r) > w.width {
		return string(r[:w.width-3]) + "..."
	}
	return s
}

func (w *writer) runs() {
	if len(w.Run) == 0 {
		return
	}
	w.heading("WHAT WAS RUN", "commands, and what they wrote")
	for i := range w.Run[:min(len(w.Run), shownRuns)] {
		w.run(&w.Run[i])
	}
	w.more("  ", len(w.Run)-shownRuns, "command")
	fmt.Fprintln(w)
}

func (w *writer) run(r *RunReport) {
	every := ""
	if r.Every > 0 {
		every = ", every " + seconds(r.Every)
	}
	fmt.Fprintf(w, "%s %s%s%s at %s%s on %s: %s\n", w.mark(r.Judged, r.Held), w.head, r.title, w.off, seconds(r.At), every, r.Node, r.Command)
	if r.Times == 0 {
		fmt.Fprintln(w, "       never ran: the lab was over before")
		return
	}
	if r.Times > 1 {
		fmt.Fprintf(w, "       ran %s, %s not as expected\n", count(r.Times, "time"), grouped(r.Unheld))
	}
	order := slices.Clone(r.Executions)
	slices.SortStableFunc(order, func(a, b ExecutionReport) int { return min(len(b.Problems), 1) - min(len(a.Problems), 1) })
	for i := range order[:min(len(order), shownExecutions)] {
		w.execution(&order[i], r.Times > 1)
	}
	w.more("       ", r.Times-min(len(order), shownExecutions), "run")
}

func (w *writer) execution(e *ExecutionReport, several bool) {
	who := ""
	if several {
		who = fmt.Sprintf("%s at %s: ", e.Node, seconds(sim.Duration(e.At)))
	}
	ended := ""
	if e.Ended != "" {
		ended = "; ended because " + e.Ended
	}
	fmt.Fprintf(w, "       %sexit %d after %s%s\n", who, e.Exit, seconds(e.Took), ended)
	for _, p := range e.Problems {
		for i, line := range strings.Split(p, "\n") {
			bar := "! "
			if i > 0 {
				bar = "  "
			}
			fmt.Fprintf(w, "       %s%s%s%s\n", w.bad, bar, line, w.off)
		}
	}
	if e.Unkept {
		fmt.Fprintf(w, "       %s(output not kept)%s\n", w.faint, w.off)
	}
	w.output(e.Stdout)
	w.output(e.Stderr)
}

// output shows what a command wrote, as one would see it in a terminal.
func (w *writer) output(text string) {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if strings.TrimSpace(text) == "" {
		return
	}
	for _, line := range lines[:min(len(lines), shownOutputLines)] {
		fmt.Fprintf(w, "       %s|%s %s\n", w.faint, w.off, printable(line))
	}
	w.more("       ", len(lines)-shownOutputLines, "line")
}

// printable keeps control characters of programs from reaching a terminal.
func printable(line string) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !strconv.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, line)
}

func (w *writer) loads() {
	if len(w.Loads) == 0 {
		return
	}
	w.heading("TRAFFIC", "that was generated")
	for i := range w.Loads {
		l := &w.Loads[i]
		fmt.Fprintf(w, "  %s%s%s from %s on %s: %s\n", w.head, l.title, w.off, seconds(l.At), l.Node, l.Load)
		if l.TCP != nil {
			w.transfer(l)
			continue
		}
		fmt.Fprintf(w, "       %s sent %s, %s answered (%s)", count(l.Sources, "source"), count(l.Sent, "packet"), grouped(l.Received), percent(l.Received, l.Sent))
		if l.Errors > 0 {
			fmt.Fprintf(w, ", %s%s%s (first: %s)", w.bad, count(l.Errors, "error"), w.off, l.Problem)
		}
		fmt.Fprintln(w)
		if l.timed {
			fmt.Fprintf(w, "       round trip: shortest %s, mean %s, half within %s, 99%% within %s, longest %s\n",
				seconds(l.Min), seconds(l.Avg), seconds(l.P50), seconds(l.P99), seconds(l.Max))
		}
	}
	fmt.Fprintln(w)
}

func (w *writer) transfer(l *LoadReport) {
	t := l.TCP
	fmt.Fprintf(w, "       %s: %s bytes arrived in %s, %s", count(l.Sources, "connection"), grouped(uint64(t.Bytes)), seconds(t.Took), rate(int64(t.Goodput)))
	fmt.Fprintf(w, "; %s sent again", count(t.Retransmits, "segment"))
	if l.Errors > 0 {
		fmt.Fprintf(w, ", %s%s%s (first: %s)", w.bad, count(l.Errors, "error"), w.off, l.Problem)
	}
	fmt.Fprintf(w, "\n       shortest round trip %s, largest congestion window %s\n", seconds(t.RTTMin), count(t.CwndMax, "segment"))
}

func (w *writer) events() {
	if len(w.Events) == 0 {
		return
	}
	w.heading("EVENTS", "what went wrong, and was mended")
	for _, e := range w.Events[:min(len(w.Events), shownEvents)] {
		name := ""
		if e.Name != "" {
			name = " (" + e.Name + ")"
		}
		fmt.Fprintf(w, "  %8s  %s%s\n", seconds(sim.Duration(e.At)), e.What, name)
	}
	w.more("  ", len(w.Events)-shownEvents, "event")
	fmt.Fprintln(w)
}

func (w *writer) conversations() {
	if len(w.Conversations) == 0 {
		return
	}
	w.heading("WHO TALKED TO WHOM", "packets as their maker sent them, and the way they took")
	for i := range w.Conversations[:min(len(w.Conversations), shownConversations)] {
		w.conversation(&w.Conversations[i])
	}
	w.more("  ", len(w.Conversations)-shownConversations, "conversation")
	if w.OtherPackets > 0 {
		fmt.Fprintf(w, "  %sand %s of conversations that found no room here%s\n", w.faint, count(w.OtherPackets, "packet"), w.off)
	}
	fmt.Fprintln(w)
}

// station names an address and its node.
func station(node, addr string) string {
	if node == "" {
		return addr
	}
	return fmt.Sprintf("%s (%s)", node, addr)
}

func (w *writer) conversation(c *ConversationReport) {
	arrow := "->"
	switch {
	case c.Protocol == "arp" && c.From == c.To:
		arrow = "announces"
	case c.Protocol == "arp":
		arrow = "asks for"
	}
	from, to := station(c.FromNode, c.From), station(c.ToNode, c.To)
	fmt.Fprintf(w, "  %s%s %s %s%s  %s\n", w.head, from, arrow, to, w.off, c.Protocol)
	w.way("sent", &c.There)
	if c.Back.Packets == 0 {
		fmt.Fprintf(w, "       came back: %snothing%s\n", w.bad, w.off)
		return
	}
	back := c.Back
	for _, a := range c.Answers {
		fmt.Fprintf(w, "       %s said: %s%s%s, %s\n", station(a.FromNode, a.From), w.bad, a.What, w.off, count(a.Packets, "time"))
		back.Packets -= min(back.Packets, a.Packets)
	}
	if back.Packets > 0 {
		w.way("came back", &back)
	}
}

func (w *writer) way(what string, d *WayReport) {
	dropped := ""
	if d.Drops > 0 {
		dropped = fmt.Sprintf(", %s%s dropped%s", w.bad, grouped(d.Drops), w.off)
	}
	fmt.Fprintf(w, "       %s: %s, %s%s", what, count(d.Packets, "packet"), size(d.Bytes), dropped)
	if len(d.Path) > 0 {
		path := strings.Join(d.Path, " -> ")
		switch {
		case d.Flooded:
			path += " -> all others"
		case !d.Arrived:
			path += " (and no further)"
		}
		fmt.Fprintf(w, "; %s", path)
	}
	fmt.Fprintln(w)
}

func (w *writer) drops() {
	if len(w.Drops) == 0 && w.Totals.Unwanted == 0 || !w.Recorded {
		return
	}
	w.heading("DROPPED", "where packets went no further, and why")
	order := slices.Clone(w.Drops)
	if len(order) > shownDrops { // too many to tell in their order: the worst
		slices.SortStableFunc(order, func(a, b DropReport) int { return int(int64(b.Packets) - int64(a.Packets)) })
		order = order[:shownDrops]
	}
	for _, d := range order {
		at := "at " + d.Place
		if d.Link != "" {
			at = fmt.Sprintf("on link %s, sent by %s", d.Link, d.Place)
		}
		fmt.Fprintf(w, "  %s %s: %s%s%s\n", count(d.Packets, "packet"), at, w.bad, d.Reason, w.off)
		fmt.Fprintln(w, w.cut(fmt.Sprintf("       first at %s: %s", seconds(sim.Duration(d.First)), d.Example)))
	}
	w.more("  ", len(w.Drops)-len(order), "kind")
	if w.Totals.Unwanted > 0 {
		w.fold("  ", fmt.Sprintf("(%s reached a machine that %s not for, as happens where a switch or hub sends to all, and %s thrown away there)",
			count(w.Totals.Unwanted, "copy"), plural(w.Totals.Unwanted, "it was", "they were"), plural(w.Totals.Unwanted, "was", "were")))
	}
	fmt.Fprintln(w)
}

func plural(n uint64, one, many string) string {
	if n == 1 {
		return one
	}
	return many
}

func (w *writer) checks() {
	if len(w.Checks) == 0 {
		return
	}
	w.heading("CHECKS", "what must hold")
	for i := range w.Checks[:min(len(w.Checks), shownChecks)] {
		w.check(&w.Checks[i])
	}
	w.more("  ", len(w.Checks)-shownChecks, "check")
	fmt.Fprintln(w)
}

func (w *writer) check(c *CheckReport) {
	worth := ""
	if c.PointsMax != 1 {
		worth = fmt.Sprintf(" (%s of %s points)", number(c.Points), number(c.PointsMax))
	}
	fmt.Fprintf(w, "%s %s%s\n", w.mark(true, c.Held), c.Name, worth)
	if c.Held {
		return
	}
	w.fold("       ", c.Expect)
	for _, v := range c.Values {
		w.fold("       ! ", v)
	}
	if c.Hint != "" {
		w.fold("       hint: ", c.Hint)
	}
	if len(c.Packets) > 0 {
		fmt.Fprintln(w, "       the packets nearest to it:")
	}
	for _, p := range c.Packets {
		fmt.Fprintln(w, w.cut("         "+p))
	}
}

func number(f float64) string { return strconv.FormatFloat(f, 'g', 6, 64) }

func (w *writer) summary() {
	verdict := w.good + "passed" + w.off
	switch {
	case w.Stopped:
		verdict = w.bad + "stopped before its end" + w.off
	case !w.Passed:
		verdict = w.bad + "failed" + w.off
	case len(w.Checks) == 0 && !slices.ContainsFunc(w.Run, func(r RunReport) bool { return r.Judged }):
		verdict = "done; nothing was expected of it"
	}
	name := w.Lab
	if name == "" {
		name = "lab"
	}
	fmt.Fprintf(w, "%s%s%s: %s%s\n", w.head, name, w.off, verdict, w.tally())
	t := w.Totals
	fmt.Fprintf(w, "  %s of virtual time", seconds(sim.Duration(t.Time)))
	if w.Wall > 0 {
		fmt.Fprintf(w, " in %s (%s as fast)", seconds(w.Wall.Round(1e6)), times(float64(t.Time)/float64(w.Wall)))
	}
	if w.Recorded {
		fmt.Fprintf(w, "; %s sent on links, %s; %s dropped", count(t.Frames, "frame"), size(t.Bytes), grouped(t.Dropped))
	}
	fmt.Fprintln(w)
	if w.Fingerprint != "" {
		fmt.Fprintf(w, "  fingerprint %s (seed %d; the same lab and seed give the same)\n", strings.TrimPrefix(w.Fingerprint, "fp "), w.Seed)
	}
}

// tally says how many expectations and checks held.
func (w *writer) tally() string {
	judged, held := 0, 0
	for i := range w.Run {
		if w.Run[i].Judged {
			judged++
			if w.Run[i].Held {
				held++
			}
		}
	}
	text := ""
	if judged > 0 {
		text += fmt.Sprintf("; %d of %s as expected", held, count(judged, "command"))
	}
	if n := len(w.Checks); n > 0 {
		held := 0
		for i := range w.Checks {
			if w.Checks[i].Held {
				held++
			}
		}
		text += fmt.Sprintf("; %d of %s held", held, count(n, "check"))
		if w.PointsMax != float64(n) {
			text += fmt.Sprintf(", %s of %s points", number(w.Points), number(w.PointsMax))
		}
	}
	return text
}

// times writes a speed-up.
func times(f float64) string {
	if f >= 10 {
		return grouped(int64(f+0.5)) + " times"
	}
	return strconv.FormatFloat(f, 'g', 2, 64) + " times"
}
