package diag

import (
	"fmt"
	"strings"
	"unicode"
)

// sourceWidthMax is how much of a long source line is shown around the mark.
const sourceWidthMax = 110

// palette holds the escape sequences of a terminal (ECMA-48 SGR), or nothing.
type palette struct{ red, yellow, blue, bold, off string }

var terminal = palette{red: "\x1b[1;31m", yellow: "\x1b[1;33m", blue: "\x1b[34m", bold: "\x1b[1m", off: "\x1b[0m"}

// Render is the list as people read it: each message with its source line and a
// mark under what is meant, and a count at the end when there are several. Call
// Sort before. With colour it is for a terminal.
func (l List) Render(colour bool) string {
	var b strings.Builder
	var p palette
	if colour {
		p = terminal
	}
	errors := 0
	for _, m := range l {
		m.render(&b, p)
		if m.Severity == Error {
			errors++
		}
	}
	if len(l) > 1 {
		fmt.Fprintf(&b, "%s\n", tally(errors, len(l)-errors))
	}
	return b.String()
}

func tally(errors, warnings int) string {
	count := func(n int, what string) string {
		if n == 1 {
			return "1 " + what
		}
		return fmt.Sprintf("%d %ss", n, what)
	}
	switch {
	case warnings == 0:
		return count(errors, "error")
	case errors == 0:
		return count(warnings, "warning")
	}
	return count(errors, "error") + ", " + count(warnings, "warning")
}

func (m Message) render(b *strings.Builder, p palette) {
	tone := p.red
	if m.Severity == Warning {
		tone = p.yellow
	}
	if where := m.Position.String(); where != "" {
		fmt.Fprintf(b, "%s%s:%s ", p.bold, where, p.off)
	}
	fmt.Fprintf(b, "%s%s:%s %s", tone, m.Severity, p.off, m.Text)
	if m.Suggestion != "" {
		fmt.Fprintf(b, "; did you mean %q?", m.Suggestion)
	}
	b.WriteByte('\n')
	excerpt(b, m.Position, m.Source, p, tone)
	for _, n := range m.Notes {
		if n.Position.IsValid() {
			fmt.Fprintf(b, "  %s: %s\n", n.Position, n.Text)
			excerpt(b, n.Position, n.Source, p, p.blue)
		} else {
			fmt.Fprintf(b, "  %s=%s %s\n", p.blue, p.off, n.Text)
		}
	}
}

// excerpt writes the source line and the mark under it.
func excerpt(b *strings.Builder, at Position, source string, p palette, tone string) {
	if !at.IsValid() || strings.TrimSpace(source) == "" {
		return
	}
	line := []rune(strings.TrimRight(source, "\r\n"))
	start := min(max(at.Column-1, 0), len(line))
	length := min(max(at.Length, 1), max(len(line)-start, 1))
	before, after := "", ""
	if len(line) > sourceWidthMax {
		from := max(0, min(start-sourceWidthMax/3, len(line)-sourceWidthMax))
		to := min(len(line), from+sourceWidthMax)
		if from > 0 {
			before = "..."
		}
		if to < len(line) {
			after = "..."
		}
		line, start = line[from:to], start-from
		length = min(length, max(len(line)-start, 1))
	}
	fmt.Fprintf(b, "%s%5d |%s %s%s%s\n", p.blue, at.Line, p.off, before, printable(line), after)
	fmt.Fprintf(b, "%s      |%s %s%s%s%s%s\n", p.blue, p.off, strings.Repeat(" ", len(before)), pad(line[:start]), tone, mark(line[start:], length), p.off)
}

// printable keeps control characters of a file from reaching a terminal.
func printable(line []rune) string {
	return strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, string(line))
}

// pad is blank space as wide as the text: a tab stays one, so that it ends at
// the same column whatever the terminal makes of it.
func pad(text []rune) string {
	var b strings.Builder
	for _, r := range text {
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteString(strings.Repeat(" ", width(r)))
		}
	}
	return b.String()
}

func mark(text []rune, length int) string {
	cells := 0
	for i := range length {
		if i < len(text) {
			cells += width(text[i])
		} else {
			cells++
		}
	}
	return strings.Repeat("^", max(cells, 1))
}

// width is how many cells a terminal gives to a character: two for the wide
// ones of Unicode's annex 11, which are nearly all of these scripts.
func width(r rune) int {
	switch {
	case unicode.Is(unicode.Mn, r):
		return 0
	case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul),
		r >= 0x3000 && r <= 0x303f, r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
		return 2
	}
	return 1
}

// Note adds a hint without a place.
func (m *Message) Note(format string, args ...any) *Message {
	m.Notes = append(m.Notes, Note{Text: fmt.Sprintf(format, args...)})
	return m
}

// See adds another place that the message speaks of.
func (m *Message) See(at Position, format string, args ...any) *Message {
	m.Notes = append(m.Notes, Note{Position: at, Text: fmt.Sprintf(format, args...)})
	return m
}

// Suggest offers the candidate nearest to the word, if one is near enough.
func (m *Message) Suggest(word string, candidates []string) *Message {
	m.Suggestion = Nearest(word, candidates)
	return m
}
