package hopyard_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/hopyard/hopyard"
	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/scenario"
	"github.com/hopyard/hopyard/internal/wire"
)

func open(t testing.TB, path string) *hopyard.Lab {
	t.Helper()
	l, err := hopyard.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func run(t testing.TB, l *hopyard.Lab, o hopyard.RunOptions) *hopyard.Report {
	t.Helper()
	r, err := l.Run(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Every lab that comes with hopyard does what it says, and tshark finds nothing
// odd about its packets.
func TestLabs(t *testing.T) {
	paths, err := filepath.Glob("labs/*.yaml")
	if err != nil || len(paths) == 0 {
		t.Fatal("no labs", err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			l, dir := open(t, path), t.TempDir()
			if w := l.Warnings(); len(w) != 0 {
				t.Error(w)
			}
			r := run(t, l, hopyard.RunOptions{PcapDir: dir})
			if !r.Passed || r.ExitStatus() != 0 {
				var b strings.Builder
				_ = r.JSON(&b)
				t.Error(b.String())
			}
			judgeCaptures(t, dir, r)
		})
	}
}

// judgeCaptures has tshark look at all captures of a run. What TCP sends again it
// may only have sent because something was lost. The capture of all links shows a
// segment once for each hop, which tshark takes for that.
func judgeCaptures(t *testing.T, dir string, r *hopyard.Report) {
	t.Helper()
	tcp, loss := false, ""
	for _, l := range r.Loads {
		tcp = tcp || l.TCP != nil
	}
	for _, d := range r.Drops {
		if d.Link != "" || d.Reason == wire.DropNeighborFailed.String() {
			loss = "loss"
		}
	}
	if !tcp {
		judgeCapture(t, filepath.Join(dir, record.AllName))
		return
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*.pcapng"))
	for _, f := range files {
		if filepath.Base(f) == record.AllName {
			judgeCapture(t, f, "loss")
		} else {
			judgeCapture(t, f, loss)
		}
	}
}

// judgeCapture has tshark look at every frame of a capture.
func judgeCapture(t *testing.T, capture string, mode ...string) {
	t.Helper()
	if _, err := exec.LookPath("tshark"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("not judged by tshark, which is not installed")
	}
	out, err := exec.Command("scripts/judge-capture.sh", append([]string{capture}, mode...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "verdict CLEAN") {
		t.Errorf("the capture: %v\n%s", err, out)
	}
}

// After a lab no frame is lost track of.
func TestLabsGiveFramesBack(t *testing.T) {
	paths, _ := filepath.Glob("labs/*.yaml")
	for _, path := range paths {
		l, found := lab.Read(path)
		if found.HasErrors() {
			t.Fatal(found)
		}
		plan, found := lab.NewPlan(l)
		if found.HasErrors() {
			t.Fatal(found)
		}
		s, err := scenario.Compile(l, plan)
		if err != nil {
			t.Fatal(err)
		}
		n := lab.Build(plan, record.New())
		if _, err := s.Play(context.Background(), n, scenario.Options{}); err != nil {
			t.Fatal(err)
		}
		if lent := n.Pool.Lent(); lent != 0 {
			t.Errorf("%s: %d frames were not given back", path, lent)
		}
	}
}

// A lab is the same bit for bit however often it is run, on however many
// processors, watched or not.
func TestFingerprintIsAlwaysTheSame(t *testing.T) {
	const runs = 50
	l := open(t, "labs/first.yaml")
	fingerprints := map[string]string{}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range runs {
		processors, o := 1+i%2, hopyard.RunOptions{}
		runtime.GOMAXPROCS(processors)
		if i%4 >= 2 {
			o.PcapDir = t.TempDir()
		}
		fp := run(t, l, o).Fingerprint
		fingerprints[fp] = fmt.Sprintf("run %d: %d processors, captures %t", i, processors, o.PcapDir != "")
	}
	if len(fingerprints) != 1 {
		t.Error(fingerprints)
	}
	if other := run(t, l, hopyard.RunOptions{Seed: 99}).Fingerprint; fingerprints[other] != "" {
		t.Error("another seed makes no difference")
	}
}

// flow is a lab of one flow: three pings through a router.
const flow = `
name: flow
defaults: { link: { delay: 1ms } }
nodes:
  h1: { kind: host, addr: 10.0.1.11/24 }
  h2: { kind: host, addr: 10.0.2.12/24 }
  r1: { kind: router, addr: { eth0: 10.0.1.1/24, eth1: 10.0.2.1/24 } }
links: ["h1-r1:eth0", "r1:eth1-h2"]
run: [{ node: h1, cmd: "ping -c 3 -i 0.2 h2", expect: { exit: 0, stdout: "~3 received" } }]
`

// Live, the same packets pass the same places in the same order as in virtual
// time; only their instants differ.
func TestLiveIsAsVirtual(t *testing.T) {
	virtual, live := events(t, false), events(t, true)
	if len(virtual) < 3*2*4 { // three requests and answers leave and arrive twice
		t.Fatalf("only %d events", len(virtual))
	}
	if !slices.Equal(virtual, live) {
		t.Errorf("virtual time:\n%s\nlive:\n%s", strings.Join(virtual, "\n"), strings.Join(live, "\n"))
	}
}

// events plays the flow and tells who sent and received how much of what.
func events(t *testing.T, live bool) (told []string) {
	t.Helper()
	l, err := hopyard.Parse("flow.yaml", []byte(flow))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	r := run(t, l, hopyard.RunOptions{Live: live, PcapDir: dir})
	if !r.Passed {
		t.Error("the pings did not come back")
	}
	c, err := record.OpenCapture(filepath.Join(dir, record.AllName))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close() }()
	for {
		e, err := c.Next()
		if err != nil {
			return told
		}
		// A ping carries the time of day from byte 42 on, under a checksum.
		data := e.Data[:min(len(e.Data), 36)]
		told = append(told, fmt.Sprintf("%v %v %x (%d bytes)", e.Kind, c.Places()[e.Place], data, len(e.Data)))
	}
}
