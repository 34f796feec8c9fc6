package shell_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/shell"
	"github.com/hopyard/hopyard/internal/sim"
	"github.com/hopyard/hopyard/internal/socket"
)

var update = flag.Bool("update", false, "rewrite what transcripts expect")

// TestTranscripts plays what people type on the hosts of a lab, one command after
// another in virtual time, and compares what they see to the byte. A file is
// a lab, a line of three dashes, and commands after prompts such as "h1$ ", each
// with its output and, where it is not 0, its exit status.
func TestTranscripts(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(paths) == 0 {
		t.Fatal("no transcripts", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			network, session, found := strings.Cut(string(text), "\n---\n")
			if !found {
				t.Fatal("a line --- after the lab is missing")
			}
			got := network + "\n---\n" + play(t, network, prompts(session))
			if got == string(text) {
				return
			}
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			t.Errorf("now (go test -update rewrites the file):\n%s", got)
		})
	}
}

// prompt is one command as it was typed.
type prompt struct{ host, line string }

func prompts(session string) (all []prompt) {
	for line := range strings.Lines(session) {
		host, command, found := strings.Cut(strings.TrimSuffix(line, "\n"), "$ ")
		if found && host != "" && !strings.ContainsAny(host, " :") {
			all = append(all, prompt{host, command})
		}
	}
	return all
}

// play types the commands and returns the transcript.
func play(t *testing.T, text string, all []prompt) string {
	t.Helper()
	l, found := lab.Parse("transcript.yaml", []byte(text))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	n := lab.Build(plan, nil)
	var out strings.Builder
	var next func()
	next = func() {
		if len(all) == 0 {
			n.Kernel.End()
			return
		}
		c := all[0]
		all = all[1:]
		fmt.Fprintf(&out, "%s$ %s\n", c.host, c.line)
		exit := 0
		n.Host(c.host).Start("shell", func(net *socket.Net) {
			exit = shell.Run(net, shell.Streams{Stdin: strings.NewReader("hello\n"), Stdout: &out, Stderr: &out}, c.line)
		}, func(sim.Time) {
			if !strings.HasSuffix(out.String(), "\n") {
				out.WriteString("\n[no newline]\n")
			}
			if exit != 0 {
				fmt.Fprintf(&out, "[exit %d]\n", exit)
			}
			next()
		})
	}
	var failed error
	start := func() {
		if failed = n.Start(0); failed == nil {
			next()
		}
	}
	for _, c := range all {
		if n.Host(c.host) == nil {
			t.Fatalf("%s$ %s: the lab has no such host", c.host, c.line)
		}
	}
	if err := n.Kernel.RunVirtual(context.Background(), sim.Time(time.Hour), start, nil); err != nil || failed != nil {
		t.Fatal(err, failed)
	}
	return out.String()
}
