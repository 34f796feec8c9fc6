// Package diag is how hopyard tells a person what is wrong in a file: where,
// the source line with a mark under it, what was expected, and the nearest
// right spelling. Everything wrong is told in one go.
//
// It knows no format: readers of lab files, configuration files and commands
// collect Messages in a List. Start reading at List.
package diag

import (
	"cmp"
	"fmt"
	"slices"
)

// Position is a place in a source text. The zero Position is "nowhere": a
// value that was built by a program and not read from a file.
type Position struct {
	File   string
	Line   int // from 1
	Column int // from 1, in characters as a person counts them
	Length int // characters that are meant, 0 for a point
}

// IsValid reports whether the position names a line.
func (p Position) IsValid() bool { return p.Line > 0 }

// String writes file:line:column, leaving out what is not known.
func (p Position) String() string {
	if !p.IsValid() {
		return p.File
	}
	text := fmt.Sprintf("%d:%d", p.Line, p.Column)
	if p.File != "" {
		text = p.File + ":" + text
	}
	return text
}

// compare orders positions by file, line and column.
func (p Position) compare(q Position) int {
	return cmp.Or(cmp.Compare(p.File, q.File), cmp.Compare(p.Line, q.Line), cmp.Compare(p.Column, q.Column))
}

// Severity says whether a message stops the work.
type Severity int

const (
	Error   Severity = iota // what was asked for cannot be done
	Warning                 // it can, but probably not as it was meant
)

func (s Severity) String() string {
	if s == Warning {
		return "warning"
	}
	return "error"
}

// Message is one thing that is wrong at one place.
type Message struct {
	Severity   Severity
	Position   Position
	Text       string
	Source     string // the line at Position, for the mark; empty when there is none
	Suggestion string // the nearest right spelling, put after "did you mean"
	Notes      []Note
}

// Note adds to a message: how to mend it, or another place that it speaks of.
type Note struct {
	Position Position // may be nowhere
	Text     string
	Source   string
}

// Error is the message on one line.
func (m Message) Error() string {
	text := m.Text
	if m.Suggestion != "" {
		text += fmt.Sprintf("; did you mean %q?", m.Suggestion)
	}
	if m.Severity == Warning {
		text = "warning: " + text
	}
	if where := m.Position.String(); where != "" {
		text = where + ": " + text
	}
	return text
}

// List is everything that was found, in the order of the source once Sort was
// called. The zero List is empty and ready.
type List []Message

// Errorf adds an error at a place and returns it, for a note or a suggestion.
func (l *List) Errorf(at Position, format string, args ...any) *Message {
	return l.add(Message{Severity: Error, Position: at, Text: fmt.Sprintf(format, args...)})
}

// Warnf adds a warning.
func (l *List) Warnf(at Position, format string, args ...any) *Message {
	return l.add(Message{Severity: Warning, Position: at, Text: fmt.Sprintf(format, args...)})
}

func (l *List) add(m Message) *Message {
	*l = append(*l, m)
	return &(*l)[len(*l)-1]
}

// Sort puts the messages in the order of the source; those of one place keep
// the order in which they were found.
func (l List) Sort() {
	slices.SortStableFunc(l, func(a, b Message) int { return a.Position.compare(b.Position) })
}

// HasErrors reports whether anything worse than a warning was found.
func (l List) HasErrors() bool {
	return slices.ContainsFunc(l, func(m Message) bool { return m.Severity == Error })
}

// Err returns the list as an error, or nil when nothing worse than a warning
// was found.
func (l List) Err() error {
	if !l.HasErrors() {
		return nil
	}
	l.Sort()
	return l
}

// Error is the plain rendering of the whole list.
func (l List) Error() string { return l.Render(false) }
