package explain

import (
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/wire"
)

// text writes what the segment says, in numbers that count from the connection's
// first.
func (c *connection) text(r *rung, e, peer *end) {
	var b strings.Builder
	fmt.Fprintf(&b, "%v seq=%d", r.flags, r.seq-e.iss)
	if r.flags.Has(wire.TCPAck) {
		fmt.Fprintf(&b, " ack=%d", r.ack-peer.iss)
	}
	if !r.flags.Has(wire.TCPRst) {
		fmt.Fprintf(&b, " win=%d", c.scaled(r, e, peer))
	}
	fmt.Fprintf(&b, " len=%d", r.length)
	if r.mss >= 0 {
		fmt.Fprintf(&b, " mss=%d", r.mss)
	}
	if r.sackOK {
		b.WriteString(" sackOK")
	}
	if r.stamps && r.flags.Has(wire.TCPSyn) { // later every segment has them
		b.WriteString(" TS")
	}
	if r.scale >= 0 {
		fmt.Fprintf(&b, " ws=%d", r.scale)
	}
	for i, block := range r.blocks {
		fmt.Fprintf(&b, "%s%d-%d", map[bool]string{true: " sack=", false: ","}[i == 0], block.Left-peer.iss, block.Right-peer.iss)
	}
	r.text = b.String()
}

// scaled is the window in bytes: a SYN's is never scaled, later ones are if both
// ends offered it (RFC 7323 2.2). Where the handshake is not known the bare
// number has to do.
func (c *connection) scaled(r *rung, e, peer *end) int {
	if r.flags.Has(wire.TCPSyn) || e.scale < 0 || peer.scale < 0 {
		return int(r.window)
	}
	return int(r.window) << e.scale
}

// Write writes the connections, by when they began. It writes nothing where there
// are none.
func (l *Ladder) Write(out io.Writer) error {
	var b strings.Builder
	if l.rungs == nil {
		l.summary(&b)
	} else {
		for i, c := range l.connections() {
			if !l.wants(c.ends[0].port.Addr(), c.ends[1].port.Addr()) {
				continue
			}
			if i > 0 && b.Len() > 0 {
				b.WriteString("\n")
			}
			l.connection(&b, c)
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

func (l *Ladder) wants(ends ...netip.Addr) bool {
	return l.Host == "" || slices.ContainsFunc(ends, func(a netip.Addr) bool { return l.Host == a.String() || l.Host == l.names[a] })
}

// title is an end's node, where known, and its address.
func (l *Ladder) title(p netip.AddrPort) string {
	if name := l.names[p.Addr()]; name != "" {
		return name + " " + p.String()
	}
	return p.String()
}

const (
	stateWidth = len("SYN-RECEIVED")
	timeWidth  = len("0.000000000s")
)

func (l *Ladder) connection(b *strings.Builder, c *connection) {
	left, right := l.title(c.ends[0].port), l.title(c.ends[1].port)
	fmt.Fprintf(b, "TCP %s and %s, %s\n", left, right, plural(len(c.rungs), "segment"))
	if !c.whole {
		b.WriteString("  the beginning is not in the recording: windows are not scaled, states not known\n")
	}
	b.WriteString(l.blindness(c))
	arrow, times := 0, timeWidth
	for _, r := range c.rungs {
		arrow = max(arrow, utf8.RuneCountInString(r.text)+6)
		times = max(times, len(r.at.String()))
	}
	line := func(at string, left, middle, right string, marks []string) {
		text := fmt.Sprintf("  %*s  %-*s  %s  %-*s", times, at, stateWidth, left, middle, stateWidth, right)
		if len(marks) > 0 {
			text += "  " + strings.Join(marks, "; ")
		}
		b.WriteString(strings.TrimRight(text, " ") + "\n")
	}
	// The right end's name stands over its states.
	gap := max(2, stateWidth+2+arrow+2-utf8.RuneCountInString(left))
	fmt.Fprintf(b, "  %s%s%s%s\n", strings.Repeat(" ", times+2), left, strings.Repeat(" ", gap), right)
	if c.whole {
		line("", stateName(c.first[0]), strings.Repeat(" ", arrow), stateName(c.first[1]), nil)
	}
	for _, r := range c.rungs {
		line(r.at.String(), r.states[0], r.arrow(c.side(r.src) == 0, arrow), r.states[1], r.marks)
	}
}

// blindness says which ends the recording does not see.
func (l *Ladder) blindness(c *connection) string {
	var unseen []string
	for _, e := range c.ends {
		if l.names[e.port.Addr()] == "" {
			unseen = append(unseen, e.port.Addr().String())
		}
	}
	switch {
	case unseen == nil || c.deaf():
		return ""
	case len(unseen) == 2:
		return "  the recording does not say which ends it sees: segments are taken to arrive at once\n"
	}
	return "  the recording does not see " + unseen[0] + ": what goes there is taken to arrive at once\n"
}

// arrow draws the segment from its sender to where it came.
func (r *rung) arrow(rightwards bool, width int) string {
	shaft := strings.Repeat("─", width-utf8.RuneCountInString(r.text)-5)
	switch {
	case rightwards && r.arrives:
		return "── " + r.text + " " + shaft + "▶"
	case rightwards:
		return "── " + r.text + " " + shaft + "✕"
	case r.arrives:
		return "◀" + shaft + " " + r.text + " ──"
	}
	return "✕" + shaft + " " + r.text + " ──"
}

// tally is what is counted of a connection when there are too many segments to
// draw.
type tally struct {
	ends     flow
	opener   netip.AddrPort
	iss      uint32
	began    sim.Time
	ended    sim.Time
	segments int
	bytes    [2]int // from the opener, to it
	again    int
	next     [2]uint32
	known    [2]bool
	syn      bool
	fins     [2]bool
	reset    bool
}

// count takes a segment into its connection's tally.
func (l *Ladder) count(e record.Event, s *segment) {
	f := flowOf(s.src, s.dst)
	t := l.current[f]
	opens := s.flags&(wire.TCPSyn|wire.TCPAck) == wire.TCPSyn
	if t == nil || opens && t.syn && t.opener == s.src && t.iss != s.seq {
		t = &tally{ends: f, opener: s.src, iss: s.seq, began: e.At, syn: opens}
		l.current[f] = t
		l.tallies = append(l.tallies, t)
	}
	i := 0
	if s.src != t.opener {
		i = 1
	}
	t.segments++
	t.ended = e.At
	end := s.seq + s.room()
	switch {
	case s.room() == 0:
	case t.known[i] && before(s.seq, t.next[i]):
		t.again++
	default:
		t.bytes[i] += s.length
	}
	if !t.known[i] || before(t.next[i], end) {
		t.known[i], t.next[i] = true, end
	}
	t.fins[i] = t.fins[i] || s.flags.Has(wire.TCPFin)
	t.reset = t.reset || s.flags.Has(wire.TCPRst)
}

// summaryMax is how many connections get a line.
const summaryMax = 25

func (l *Ladder) summary(b *strings.Builder) {
	shown, more := 0, 0
	for _, t := range l.tallies {
		if !l.wants(t.ends.a.Addr(), t.ends.b.Addr()) {
			continue
		}
		if shown == summaryMax {
			more++
			continue
		}
		shown++
		other := t.ends.a
		if other == t.opener {
			other = t.ends.b
		}
		fmt.Fprintf(b, "TCP %s -> %s: %v to %v, %s, %d B there, %d B back%s\n",
			l.title(t.opener), l.title(other), t.began, t.ended, plural(t.segments, "segment"), t.bytes[0], t.bytes[1], t.fate())
	}
	if more > 0 {
		fmt.Fprintf(b, "and %s more\n", plural(more, "connection"))
	}
}

// fate is what else there is to tell: what was sent again, and how it ended.
func (t *tally) fate() string {
	text := ""
	if t.again > 0 {
		text = fmt.Sprintf(", %d sent again", t.again)
	}
	switch {
	case t.reset:
		text += ", reset"
	case t.fins[0] && t.fins[1]:
		text += ", closed by both"
	case t.fins[0] || t.fins[1]:
		text += ", closed by one"
	default:
		text += ", open"
	}
	return text
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
