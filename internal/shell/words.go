package shell

import (
	"fmt"
	"strings"
)

// SyntaxError is a command line that cannot be read.
type SyntaxError struct {
	Column  int // of the first character it is about, from 1, in bytes
	Message string
}

// Error says what is wrong and where.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("column %d: %s", e.Column, e.Message)
}

// notThereYet names what a real shell would do with an unquoted character and
// this one does not. Such a character is refused, never passed on as a word.
var notThereYet = map[byte]string{
	'|': "pipes are", '>': "redirection is", '<': "redirection is", '$': "variables are", '`': "command substitution is",
	'&': "background commands are", ';': "lists of commands are", '\n': "lists of commands are",
	'(': "subshells are", ')': "subshells are",
}

// Words splits a command line as a POSIX shell would (XCU 2.2): blanks part
// words, single quotes keep everything, double quotes keep all but \ before
// " and \, a backslash keeps the next character. What needs more of a shell
// is refused by name.
func Words(line string) ([]string, error) {
	w := wordReader{line: line}
	for w.at < len(w.line) {
		if err := w.step(); err != nil {
			return nil, err
		}
	}
	w.end()
	return w.words, nil
}

type wordReader struct {
	line  string
	at    int
	word  strings.Builder
	open  bool // a word has begun; it may still be empty, as in two quotes
	words []string
}

func (w *wordReader) end() {
	if w.open {
		w.words = append(w.words, w.word.String())
	}
	w.word.Reset()
	w.open = false
}

func (w *wordReader) step() error {
	c := w.line[w.at]
	start := w.at
	w.at++
	switch {
	case c == ' ' || c == '\t':
		w.end()
		return nil
	case c == '#' && !w.open:
		return &SyntaxError{start + 1, "comments are not there yet; quote the # if it belongs to a word"}
	case notThereYet[c] != "":
		return refuse(start, c)
	}
	w.open = true
	switch c {
	case '\'':
		return w.single(start)
	case '"':
		return w.double(start)
	case '\\':
		if w.at == len(w.line) {
			return &SyntaxError{start + 1, `nothing follows the \; write \\ for a backslash`}
		}
		w.word.WriteByte(w.line[w.at])
		w.at++
	default:
		w.word.WriteByte(c)
	}
	return nil
}

func refuse(at int, c byte) error {
	return &SyntaxError{at + 1, fmt.Sprintf("%s not there yet; quote the %q if it belongs to a word", notThereYet[c], string(c))}
}

func (w *wordReader) single(start int) error {
	n := strings.IndexByte(w.line[w.at:], '\'')
	if n < 0 {
		return &SyntaxError{start + 1, "this ' is never closed"}
	}
	w.word.WriteString(w.line[w.at : w.at+n])
	w.at += n + 1
	return nil
}

func (w *wordReader) double(start int) error {
	for w.at < len(w.line) {
		c := w.line[w.at]
		w.at++
		switch c {
		case '"':
			return nil
		case '$', '`':
			return refuse(w.at-1, c)
		case '\\':
			if w.at < len(w.line) && strings.IndexByte("\"\\$`", w.line[w.at]) >= 0 {
				c = w.line[w.at]
				w.at++
			}
		}
		w.word.WriteByte(c)
	}
	return &SyntaxError{start + 1, `this " is never closed`}
}
