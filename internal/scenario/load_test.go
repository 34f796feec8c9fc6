package scenario

import (
	"context"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
	"github.com/hopyard/hopyard/internal/sim"
)

func TestHistogram(t *testing.T) {
	var h histogram
	for i := range 10_000 {
		h.add(sim.Duration(i+1) * time.Microsecond)
	}
	if h.min != time.Microsecond || h.max != 10*time.Millisecond || h.avg() != 5000500*time.Nanosecond {
		t.Errorf("min %v, max %v, mean %v", h.min, h.max, h.avg())
	}
	for _, q := range []float64{0.01, 0.5, 0.9, 0.99, 1} {
		want := q * 10_000 * 1e3
		if got := float64(h.quantile(q)); math.Abs(got-want) > want/32 {
			t.Errorf("quantile %v is %v, want %v", q, got, want)
		}
	}
	var empty histogram
	if empty.quantile(0.5) != 0 || empty.avg() != 0 {
		t.Error("an empty histogram has values")
	}
}

// Each duration lies in its bucket, from nothing to the longest there is.
func TestHistogramBuckets(t *testing.T) {
	for _, d := range []sim.Duration{0, 1, 15, 16, 17, 31, 32, 1000, 1e6, 1e9, 3600e9, math.MaxInt64} {
		b := bucketOf(d)
		if b < 0 || b >= histogramBuckets {
			t.Fatalf("%d: bucket %d", d, b)
		}
		if m := middle(b); bucketOf(m) != b {
			t.Errorf("%d: the middle of bucket %d is %d, in bucket %d", d, b, m, bucketOf(m))
		}
	}
}

func TestLoads(t *testing.T) {
	r := play(t, lan+`
run:
  - { name: udp, at: 1s, node: h1, load: { udp: "h2:7", rate: 10/s, size: 100B, for: 2s } }
  - { name: ping, at: 1s, node: h1, load: { ping: h3, rate: 5/s, for: 2s } }
  - { name: refused, at: 1s, node: h1, load: { udp: "h3:99", rate: 1/s, for: 3s } }
  - { name: poisson, at: 5s, node: h1, load: { udp: "h2:7", rate: 100/s, for: 10s, poisson: true } }
validate:
  udp: load("udp").sent == 20 and load("udp").received == 20 and load("udp").rtt_min == duration("4ms")
  udp size: 'frames("h1", "udp to port 7 to h2") == load("udp").sent + load("poisson").sent'
  ping: ping("ping").sent == 10 and ping("ping").received == 10 and ping("ping").lost == 0
  refused: load("refused").sent == 3 and load("refused").received == 0 and load("refused").errors == 3
  poisson: load("poisson").sent > 900 and load("poisson").sent < 1100
`)
	if !r.Passed {
		t.Error(r.text(t))
	}
	if want := "h1: connection refused"; r.Loads[2].Problem != want {
		t.Errorf("first error %q, want %q", r.Loads[2].Problem, want)
	}
}

// Another node in the group, or another load, does not move the packets of one.
func TestLoadsDrawFromTheirOwnStreams(t *testing.T) {
	times := func(more string) (at []sim.Time) {
		s := compile(t, lan+`
run:
  - { name: p, node: h1, load: { udp: "h2:7", rate: 50/s, for: 1s, poisson: true } }
`+more)
		rec := record.New()
		log := record.NewLog(0)
		rec.Attach(log)
		if _, err := s.Play(context.Background(), lab.Build(s.plan, rec), Options{}); err != nil {
			t.Fatal(err)
		}
		f, _ := newFilter(s.plan, "udp from h1 to port 7", false)
		var p packet
		for e := range log.All() {
			if p.read(e.Data); e.Kind == record.Sent && log.Places()[e.Place].Node == "h1" && f.matches(&p) {
				at = append(at, e.At)
			}
		}
		return at
	}
	a := times("")
	b := times(`  - { name: q, at: 100us, node: h3, load: { udp: "h1:9", rate: 50/s, for: 1s, poisson: true } }`)
	if len(a) < 30 || fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("%v\n%v", a, b)
	}
}

// crowd is a lab of many hosts with a load each.
func crowd(hosts int, load string) string {
	var b strings.Builder
	b.WriteString("groups: { g: { kind: host } }\nnodes:\n  srv: { kind: host, services: [echo] }\n  sw: { kind: switch }\n")
	var links strings.Builder
	links.WriteString("links:\n  - srv-sw\n")
	for i := range hosts {
		fmt.Fprintf(&b, "  n%d: { group: g }\n", i)
		links.WriteString(fmt.Sprintf("  - n%d-sw\n", i))
	}
	return b.String() + links.String() + "run: [{ name: l, node: g, load: " + load + " }]\n"
}

func TestLoadDoesNotAllocate(t *testing.T) {
	s := compile(t, crowd(2, `{ udp: "srv:7", rate: 1000/s, for: 100s }`))
	measure := func(seconds sim.Time) float64 {
		return testing.AllocsPerRun(1, func() {
			n := lab.Build(s.plan, nil)
			if _, err := s.Play(context.Background(), n, Options{Until: seconds * 1000 * ms}); err != nil {
				t.Fatal(err)
			}
		})
	}
	short, long := measure(2), measure(12)
	if perPacket := (long - short) / 20_000; perPacket > 0.01 {
		t.Errorf("%.3f allocations for each packet and its answer, want 0", perPacket)
	}
}

func TestManySources(t *testing.T) {
	if testing.Short() {
		t.Skip("a network of a thousand hosts")
	}
	// Not more than the neighbour table of the one that answers has room for.
	s := compile(t, crowd(1000, `{ udp: "srv:7", rate: 1/s, for: 3s }`))
	begin := time.Now()
	r, err := s.Play(context.Background(), lab.Build(s.plan, record.New()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if l := r.Loads[0]; l.Sources != 1000 || l.Sent != 3000 || l.Received != 3000 {
		t.Errorf("%+v", l)
	}
	t.Logf("%d frames in %v", r.Totals.Frames, time.Since(begin))
}
