package scenario

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
)

const ms = sim.Time(time.Millisecond)

// Without a duration the run ends when the last command has, and nothing is on
// its way.
func TestEndsWhenAllIsDone(t *testing.T) {
	r := play(t, lan+`run: [{ at: 1s, node: h1, cmd: "ping -c 1 h2" }]`)
	if got, want := r.Totals.Time, 1008*ms; got != want {
		t.Errorf("ended at %v, want %v", got, want)
	}
	r = play(t, lan)
	if r.Totals.Time != 0 || !r.Passed {
		t.Errorf("a lab without anything to do ended at %v", r.Totals.Time)
	}
	r = play(t, lan+"duration: 3s")
	if r.Totals.Time != 3000*ms {
		t.Errorf("a lab of 3s ended at %v", r.Totals.Time)
	}
}

// A datagram that is on its way when all is done still arrives, and so does its
// answer.
func TestWaitsForWhatIsOnItsWay(t *testing.T) {
	r := play(t, lan+`
run: [{ name: one, node: h1, load: { udp: "h2:7", rate: 1/s, for: 1ms } }]
validate: { answered: load("one").sent == 1 and load("one").received == 1 }
`)
	if !r.Passed {
		t.Error(r.text(t))
	}
}

func TestUntilAndDurationEndCommands(t *testing.T) {
	s := compile(t, lan+`run: [{ name: p, at: 1s, node: h1, cmd: "ping h2" }, { name: never, at: 9s, node: h1, cmd: "true", expect: { exit: 0 } }]`)
	r, err := s.Play(context.Background(), lab.Build(s.plan, record.New()), Options{Until: 3500 * ms})
	if err != nil {
		t.Fatal(err)
	}
	p := r.Run[0].Executions[0]
	if p.Ended != "the lab was over" || p.Took != 2500*time.Millisecond || !strings.Contains(p.Stdout, "3 packets transmitted, 3 received") {
		t.Errorf("%+v", p)
	}
	if never := r.Run[1]; never.Times != 0 || never.Held || r.Passed {
		t.Errorf("%+v", never)
	}
}

func TestForEndsACommand(t *testing.T) {
	r := play(t, lan+`run: [{ at: 1s, for: 2500ms, node: h1, cmd: "ping h2", expect: { exit: 0, stdout: "~3 received" } }]`)
	x := r.Run[0].Executions[0]
	if x.Ended != "its time (for: 2.5s) was over" || x.Took != 2500*time.Millisecond || !r.Passed {
		t.Error(r.text(t))
	}
}

func TestEveryAndGroups(t *testing.T) {
	r := play(t, `
groups: { g: { kind: host } }
nodes: { a: { group: g }, b: { group: g }, sw: { kind: switch } }
links: [a-sw, b-sw]
run: [{ at: 1s, every: 1s, for: 3s, node: g, name: hi, cmd: "echo hi", expect: { stdout: hi } }]
validate: { six: 'run["hi"].times == 6 and len(run["hi"].nodes) == 2' }
`)
	if !r.Passed {
		t.Error(r.text(t))
	}
	var got []string
	for _, x := range r.Run[0].Executions {
		got = append(got, fmt.Sprint(x.Node, " ", time.Duration(x.At)))
	}
	if want := []string{"a 1s", "b 1s", "a 2s", "b 2s", "a 3s", "b 3s"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestExpectations(t *testing.T) {
	r := play(t, lan+`run:
  - { node: h1, cmd: "echo one", expect: { exit: 1, stdout: "~tw.", stderr: oops } }
  - { at: 1s, node: h1, cmd: "echo one", expect: { exit: 0, stdout: "  one  ", stderr: "" } }
`)
	want := []string{
		"exit status was 0, wanted 1",
		`stdout has no match of the regular expression "tw."`,
		"stderr is not what was wanted (- wanted, + got):\n- oops\n+ ",
	}
	if got := r.Run[0].Executions[0].Problems; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if r.Run[0].Held || !r.Run[1].Held || r.Passed || r.ExitStatus() != 1 {
		t.Errorf("%+v", r.Run)
	}
}

func TestDiff(t *testing.T) {
	got := diff("a\nb\nc\nd", "a\nc\nx\nd")
	if want := "  a\n- b\n  c\n+ x\n  d"; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	long := strings.Repeat("line\n", diffLinesMax)
	if got, want := diff(long+"a", long+"b"), fmt.Sprintf("  line %d\n- a\n+ b", diffLinesMax+1); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
}

func TestCaptureIsBounded(t *testing.T) {
	var c capture
	b := bytes.Repeat([]byte("x"), outputMax-1)
	for range 2 {
		if n, err := c.Write(b); n != len(b) || err != nil {
			t.Fatal(n, err)
		}
	}
	if len(c.text) != outputMax || !strings.HasSuffix(c.String(), "\n... (1,048,574 bytes more not kept)\n") {
		t.Errorf("kept %d, lost %d", len(c.text), c.lost)
	}
}

func TestEvents(t *testing.T) {
	r := play(t, lan+`
run:
  - { name: cut, at: 1100ms, node: h1, cmd: "ping -c 1 -W 1 h2", expect: { exit: 1 } }
  - { name: mended, at: 5s, node: h1, cmd: "ping -c 1 h2", expect: { exit: 0 } }
  - { name: off, at: 7100ms, node: h1, cmd: "ping -c 1 -W 1 h2", expect: { exit: 1 } }
  - { name: slow, at: 11s, node: h1, cmd: "ping -c 2 h2", expect: { exit: 0 } }
  - { name: fast, at: 15s, node: h1, cmd: "ping -c 2 h2", expect: { exit: 0 } }
events:
  - { at: 1s, fail: h2-sw, for: 2s, name: digger }
  - { at: 7s, fail: h2 }
  - { at: 9s, recover: h2 }
  - { at: 10s, link: h1-sw, set: { delay: 20ms, loss: { a->b: 0% } }, for: 4s }
validate:
  slower: ping("slow").rtt_min == duration("42ms")
  as before: ping("fast").rtt_min == duration("4ms")
`)
	if !r.Passed {
		t.Error(r.text(t))
	}
	want := []EventReport{
		{1000 * ms, "digger", "h2-sw fails"},
		{3000 * ms, "digger", "h2-sw works again"},
		{7000 * ms, "", "h2 fails"},
		{9000 * ms, "", "h2 works again"},
		{10000 * ms, "", "link h1-sw changes: delay 20ms, loss 0% a->b"},
		{14000 * ms, "", "link h1-sw is as before"},
	}
	if !slices.Equal(r.Events, want) {
		t.Errorf("%+v\nwant\n%+v", r.Events, want)
	}
}

func TestStoppedByTheUser(t *testing.T) {
	s := compile(t, lan+`run: [{ node: h1, cmd: "ping h2" }]`)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	r, err := s.Play(ctx, lab.Build(s.plan, nil), Options{})
	if !errors.Is(err, sim.ErrStopped) || r == nil || !r.Stopped || r.Passed || r.Recorded {
		t.Errorf("%v, %+v", err, r)
	}
}

func TestCompileErrors(t *testing.T) {
	tests := []struct{ text, want string }{
		{`run: [{ node: h1, cmd: "pong h2" }]`, "pong: command not found; did you mean ping?"},
		{`run: [{ node: h1, cmd: "true", every: 1s }]`, "`every` without an end: give the item `for`, or the lab `duration`"},
		{`run: [{ node: h1, load: { udp: "h2:7" } }]`, "a load without an end: give it `for`, or the lab `duration`"},
		{`run: [{ node: h1, load: { udp: "h2:seven", for: 1s } }]`, `"seven" is not a port: want a number from 1 to 65535`},
		{`run: [{ node: h1, load: { ping: sw, for: 1s } }]`, `"sw" is a switch and has no address to send to`},
	}
	for _, test := range tests {
		p := planOf(t, lan+test.text)
		if _, err := Compile(p.Lab, p); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %s", test.text, err, test.want)
		}
	}
	s := compile(t, lan+"duration: 5s\n"+`run: [{ at: 5s, node: h1, cmd: "true" }]`)
	if len(s.Warnings()) != 1 || !strings.Contains(s.Warnings()[0].Text, "the item never comes: it is for 5s, and the lab ends at 5s") {
		t.Errorf("%v", s.Warnings())
	}
}

// What is watched and what is not makes no difference to what is sent.
func TestSameRunAgain(t *testing.T) {
	s := compile(t, pinged)
	var first string
	for range 5 {
		r, err := s.Play(context.Background(), lab.Build(s.plan, record.New()), Options{Progress: func(Progress) {}})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		if err := r.JSON(&b); err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = b.String()
		} else if b.String() != first {
			t.Fatal("the same lab gave another report")
		}
	}
}
