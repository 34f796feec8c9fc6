package scenario

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/link"
	"github.com/hopyard/hopyard/internal/sim"
)

// fault plays one event of the lab: something fails or is changed, and with `for`
// is mended again.
type fault struct {
	player *player
	event  *lab.Event
	timer  sim.Timer
	on     bool            // has happened and is to be undone
	before []link.Settings // of the link's ends
	lose   *filter         // which packets the link loses; nil: none
	left   int             // how many more
	packet packet
}

// Fire makes the event happen, or undoes it.
func (f *fault) Fire(now sim.Time) {
	p, e := f.player, f.event
	if f.on {
		f.undo(now)
		p.note(now, e.Name, f.text(true))
		p.finished(now)
		return
	}
	switch {
	case e.Fail != "":
		f.fail(now, e.Fail, true)
	case e.Recover != "":
		f.fail(now, e.Recover, false)
	case f.lose != nil:
		f.start()
	default:
		f.set(now)
	}
	p.note(now, e.Name, f.text(false))
	if e.For > 0 {
		f.on = true
		p.origin.Set(&f.timer, now.Add(e.For))
		return
	}
	p.finished(now)
}

func (f *fault) fail(now sim.Time, name string, failed bool) {
	n := f.player.network
	if i := n.Plan.Node(name); i >= 0 {
		n.FailNode(now, i, failed)
		return
	}
	n.CutLink(now, linkNumber(n.Plan, name), failed)
}

// set changes how a link sends.
func (f *fault) set(now sim.Time) {
	l := f.link()
	f.before = f.before[:0]
	for i := range l.Ends() {
		f.before = append(f.before, l.End(i).Settings())
	}
	for i := range l.Ends() {
		s := f.before[i]
		var other link.Settings
		if i == 1 && l.Ends() == 2 { // the second end of a cable sends backward
			f.event.Set.Apply(&other, &s)
		} else {
			f.event.Set.Apply(&s, &other)
		}
		l.End(i).Set(now, s)
	}
}

// start has the link lose the next packets that the words choose, in both
// directions.
func (f *fault) start() {
	f.left = max(f.event.Count, 1)
	l := f.link()
	others := f.player.losing[l]
	f.player.losing[l] = append(others, f)
	if others != nil {
		return
	}
	loses := func(frame []byte) bool {
		return slices.ContainsFunc(f.player.losing[l], func(f *fault) bool { return f.loses(frame) })
	}
	for i := range l.Ends() {
		l.End(i).Lose(loses)
	}
}

func (f *fault) loses(frame []byte) bool {
	if f.left == 0 {
		return false
	}
	if f.packet.read(frame); !f.lose.matches(&f.packet) {
		return false
	}
	f.left--
	return true
}

func (f *fault) undo(now sim.Time) {
	if f.lose != nil {
		f.left = 0
		return
	}
	if f.event.Fail != "" {
		f.fail(now, f.event.Fail, false)
		return
	}
	l := f.link()
	for i := range l.Ends() {
		l.End(i).Set(now, f.before[i])
	}
}

func (f *fault) link() *link.Link {
	n := f.player.network
	return n.Links[linkNumber(n.Plan, f.event.Link)]
}

// text says what happened.
func (f *fault) text(undone bool) string {
	e := f.event
	switch {
	case e.Fail != "" && undone, e.Recover != "":
		return e.Fail + e.Recover + " works again"
	case e.Fail != "":
		return e.Fail + " fails"
	case f.lose != nil && undone:
		return fmt.Sprintf("link %s loses no more %s", e.Link, e.Lose)
	case f.lose != nil && e.Count > 1:
		return fmt.Sprintf("link %s loses the next %d %s", e.Link, e.Count, e.Lose)
	case f.lose != nil:
		return fmt.Sprintf("link %s loses the next %s", e.Link, e.Lose)
	case undone:
		return "link " + e.Link + " is as before"
	}
	return fmt.Sprintf("link %s changes: %s", e.Link, changes(&e.Set))
}

// changes lists what impairments say.
func changes(i *lab.Impairments) string {
	var parts []string
	parts = append(parts, change("rate", i.Rate, func(v lab.Rate) string { return rate(int64(v)) })...)
	parts = append(parts, change("delay", i.Delay, seconds)...)
	parts = append(parts, change("jitter", i.Jitter, seconds)...)
	parts = append(parts, change("loss", i.Loss, func(v lab.Loss) string { return share(v.Rate) })...)
	parts = append(parts, change("duplicate", i.Duplicate, share)...)
	parts = append(parts, change("reorder", i.Reorder, share)...)
	parts = append(parts, change("corrupt", i.Corrupt, share)...)
	parts = append(parts, change("queue", i.Queue, func(v lab.Queue) string {
		if v.Bytes > 0 {
			return fmt.Sprintf("%d bytes", v.Bytes)
		}
		return fmt.Sprintf("%d packets", v.Packets)
	})...)
	parts = append(parts, change("mtu", i.MTU, func(v lab.MTU) string { return fmt.Sprint(int(v)) })...)
	return strings.Join(parts, ", ")
}

func change[T comparable](name string, d lab.Directed[T], text func(T) string) []string {
	switch {
	case d.ForwardSet && d.BackwardSet && d.Forward == d.Backward:
		return []string{name + " " + text(d.Forward)}
	case d.ForwardSet && d.BackwardSet:
		return []string{fmt.Sprintf("%s %s a->b, %s b->a", name, text(d.Forward), text(d.Backward))}
	case d.ForwardSet:
		return []string{fmt.Sprintf("%s %s a->b", name, text(d.Forward))}
	case d.BackwardSet:
		return []string{fmt.Sprintf("%s %s b->a", name, text(d.Backward))}
	}
	return nil
}

func share(p lab.Probability) string { return fmt.Sprintf("%.4g%%", 100*float64(p)) }

// rate writes bits a second as tc does.
func rate(bits int64) string {
	for _, u := range []struct {
		worth int64
		name  string
	}{{1e9, "gbit"}, {1e6, "mbit"}, {1e3, "kbit"}} {
		if bits >= u.worth {
			return fmt.Sprintf("%.6g%s", float64(bits)/float64(u.worth), u.name)
		}
	}
	return fmt.Sprintf("%dbit", bits)
}
