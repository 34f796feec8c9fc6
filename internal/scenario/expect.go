package scenario

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/hopyard/hopyard/internal/lab"
)

// expectation is what must come of a command, compiled.
type expectation struct {
	exit           *int
	stdout, stderr *textExpectation
}

// textExpectation is a regular expression to be found, or a whole text.
type textExpectation struct {
	pattern *regexp.Regexp // nil: the whole text
	text    string
}

// newExpectation is nil where nothing is expected. Its regular expressions were
// judged when the lab was read.
func newExpectation(e *lab.Expect) *expectation {
	if e == nil {
		return nil
	}
	return &expectation{exit: e.Exit, stdout: newText(e.Stdout), stderr: newText(e.Stderr)}
}

func newText(s string) *textExpectation {
	if s == "" {
		return nil
	}
	if pattern, is := strings.CutPrefix(s, "~"); is {
		if re, err := regexp.Compile(pattern); err == nil {
			return &textExpectation{pattern: re, text: pattern}
		}
	}
	return &textExpectation{text: s}
}

// judge tells what was expected and did not come.
func (e *expectation) judge(x *execution) (problems []string) {
	if e == nil {
		return nil
	}
	if e.exit != nil && *e.exit != x.exit {
		problems = append(problems, fmt.Sprintf("exit status was %d, wanted %d", x.exit, *e.exit))
	}
	problems = append(problems, e.stdout.judge("stdout", x.stdout.String())...)
	return append(problems, e.stderr.judge("stderr", x.stderr.String())...)
}

func (t *textExpectation) judge(stream, got string) []string {
	if t == nil {
		return nil
	}
	if t.pattern != nil {
		if t.pattern.MatchString(got) {
			return nil
		}
		return []string{fmt.Sprintf("%s has no match of the regular expression %q", stream, t.text)}
	}
	want := strings.TrimSpace(t.text)
	got = strings.TrimSpace(got)
	if got == want {
		return nil
	}
	return []string{fmt.Sprintf("%s is not what was wanted (- wanted, + got):\n%s", stream, diff(want, got))}
}

const (
	diffLinesMax = 400 // beyond, only the first difference is told
	diffShownMax = 60
)

// diff shows how two texts differ, line by line: the lines of the longest common
// subsequence as they are, the others with - (only wanted) or + (only got).
func diff(want, got string) string {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	if len(a) > diffLinesMax || len(b) > diffLinesMax {
		for i := 0; ; i++ {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				return fmt.Sprintf("  line %d\n- %s\n+ %s", i+1, lineAt(a, i), lineAt(b, i))
			}
		}
	}
	// common[i][j] is the length of the longest common subsequence of a[i:] and b[j:].
	common := make([][]int, len(a)+1)
	for i := range common {
		common[i] = make([]int, len(b)+1)
	}
	for i := len(a) - 1; i >= 0; i-- {
		for j := len(b) - 1; j >= 0; j-- {
			if a[i] == b[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	var lines []string
	for i, j := 0, 0; i < len(a) || j < len(b); {
		switch {
		case i < len(a) && j < len(b) && a[i] == b[j]:
			lines = append(lines, "  "+a[i])
			i, j = i+1, j+1
		case j == len(b) || i < len(a) && common[i+1][j] >= common[i][j+1]:
			lines = append(lines, "- "+a[i])
			i++
		default:
			lines = append(lines, "+ "+b[j])
			j++
		}
	}
	if more := len(lines) - diffShownMax; more > 0 {
		lines = append(lines[:diffShownMax], fmt.Sprintf("  ... and %s more", count(more, "line")))
	}
	return strings.Join(lines, "\n")
}

func lineAt(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(no more lines)"
}
