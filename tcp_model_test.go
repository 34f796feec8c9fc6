package hopyard_test

import (
	"context"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/sim"
)

var update = flag.Bool("update", false, "rewrite the tables in testdata")

// goodput runs one bulk transfer over a path with random loss and returns its
// bits a second, slow start left out.
func goodput(t *testing.T, algorithm string, loss float64, rtt time.Duration) float64 {
	t.Helper()
	l, found := lab.Parse("path.yaml", fmt.Appendf(nil, `
nodes:
  c0: { kind: host, sysctl: { net.ipv4.tcp_congestion_control: %s } }
  s0: { kind: host }
links:
  - { endpoints: [c0, s0], rate: 1gbit, delay: %s, loss: { a->b: %g%% }, queue: 10000p }
`, algorithm, rtt/2, 100*loss))
	if found.HasErrors() {
		t.Fatal(found)
	}
	plan, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	n := lab.Build(plan, nil)
	if err := n.Start(0); err != nil {
		t.Fatal(err)
	}
	flow := newBulk(n, "c0", "s0", 0)
	var early uint64
	const settled, end = sim.Time(60 * time.Second), sim.Time(360 * time.Second)
	for _, until := range []sim.Time{settled, end} {
		if err := n.Kernel.RunVirtual(context.Background(), until, nil, nil); err != nil {
			t.Fatal(err)
		}
		if until == settled {
			early = flow.received()
		}
	}
	return float64(flow.received()-early) * 8 / time.Duration(end-settled).Seconds()
}

// response is what theory gives: for Reno RFC 5681's average window, 1.22/sqrt(p)
// segments where every segment is acknowledged; for CUBIC the larger of
// that with its own factor (RFC 9438 4.3) and 5.1's 1.054 RTT^3/4 / p^3/4.
func response(algorithm string, loss float64, rtt time.Duration) float64 {
	const segment = 1448 * 8
	window := math.Sqrt(1.5 / loss)
	if algorithm == "cubic" {
		window = max(window, 1.054*math.Pow(rtt.Seconds()/loss, 0.75))
	}
	return window * segment / rtt.Seconds()
}

// Goodput over a path that loses at random, against the response functions.
// The table shows what a change does to TCP.
func TestGoodputFollowsTheory(t *testing.T) {
	var table strings.Builder
	fmt.Fprintln(&table, "algorithm   loss     RTT   Mbit/s  theory  ratio")
	for _, algorithm := range []string{"reno", "cubic"} {
		for _, loss := range []float64{0.0003, 0.001, 0.01} {
			for _, rtt := range []time.Duration{20 * time.Millisecond, 100 * time.Millisecond} {
				got, want := goodput(t, algorithm, loss, rtt), response(algorithm, loss, rtt)
				fmt.Fprintf(&table, "%-9s %5.2f%% %7v %8.2f %7.2f %6.2f\n", algorithm, 100*loss, rtt, got/1e6, want/1e6, got/want)
				if ratio := got / want; ratio < 0.7 || ratio > 1.35 {
					t.Errorf("%s, loss %v, RTT %v: %.2f Mbit/s, theory says %.2f", algorithm, loss, rtt, got/1e6, want/1e6)
				}
			}
		}
	}
	golden(t, "testdata/goodput.txt", table.String())
}

// golden compares with a file, which -update rewrites.
func golden(t *testing.T, path, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o666); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil || string(want) != got {
		t.Errorf("%s differs (%v); -update rewrites it\n--- got\n%s--- want\n%s", path, err, got, want)
	}
}

// Flows that share a bottleneck share it evenly: Jain's index of their goodput.
func TestFlowsShareFairly(t *testing.T) {
	var table strings.Builder
	fmt.Fprintln(&table, "flows  Mbit/s  Jain's index")
	for _, c := range []struct {
		flows int
		fair  float64
	}{{2, 0.95}, {10, 0.9}, {100, 0.85}} {
		l, found := lab.Parse("dumbbell.yaml", []byte(dumbbell(c.flows, "100mbit", "10ms", 100)))
		if found.HasErrors() {
			t.Fatal(found)
		}
		plan, found := lab.NewPlan(l)
		if found.HasErrors() {
			t.Fatal(found)
		}
		n := lab.Build(plan, nil)
		if err := n.Start(0); err != nil {
			t.Fatal(err)
		}
		flows := make([]*bulk, c.flows)
		for i := range flows {
			flows[i] = newBulk(n, fmt.Sprintf("c%d", i), fmt.Sprintf("s%d", i), sim.Time(i)*sim.Time(10*time.Millisecond))
		}
		const seconds = 100
		if err := n.Kernel.RunVirtual(context.Background(), sim.Time(seconds*time.Second), nil, nil); err != nil {
			t.Fatal(err)
		}
		sum, squares := 0.0, 0.0
		for _, f := range flows {
			r := float64(f.received())
			sum += r
			squares += r * r
		}
		index := sum * sum / (float64(c.flows) * squares)
		fmt.Fprintf(&table, "%5d %7.2f %13.3f\n", c.flows, sum*8/seconds/1e6, index)
		if index < c.fair || sum*8/seconds < 90e6 {
			t.Errorf("%d flows: %.1f Mbit/s of 100, Jain's index %.3f", c.flows, sum*8/seconds/1e6, index)
		}
	}
	golden(t, "testdata/fairness.txt", table.String())
}
