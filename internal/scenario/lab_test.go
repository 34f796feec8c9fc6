package scenario

import (
	"context"
	"strings"
	"testing"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
)

// lan is a network that most tests use: two hosts on a switch, and a third behind
// a router.
const lan = `
name: test
defaults: { link: { delay: 1ms } }
nodes:
  h1: { kind: host, addr: 10.0.1.11/24, mac: 02:00:00:00:00:11 }
  h2: { kind: host, addr: 10.0.1.12/24, mac: 02:00:00:00:00:12, services: [echo] }
  h3: { kind: host, addr: 10.0.2.13/24, mac: 02:00:00:00:00:13 }
  sw: { kind: switch }
  r1: { kind: router, addr: { eth0: 10.0.1.1/24, eth1: 10.0.2.1/24 } }
links: [h1-sw, h2-sw, "r1:eth0-sw", "r1:eth1-h3"]
`

func planOf(t testing.TB, text string) *lab.Plan {
	t.Helper()
	l, found := lab.Parse("test.yaml", []byte(text))
	if found.HasErrors() {
		t.Fatal(found)
	}
	p, found := lab.NewPlan(l)
	if found.HasErrors() {
		t.Fatal(found)
	}
	return p
}

func compile(t testing.TB, text string) *Scenario {
	t.Helper()
	p := planOf(t, text)
	s, err := Compile(p.Lab, p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func play(t testing.TB, text string) *Report {
	t.Helper()
	s := compile(t, text)
	r, err := s.Play(context.Background(), lab.Build(s.plan, record.New()), Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// text is the report as people read it.
func (r *Report) text(t testing.TB) string {
	t.Helper()
	var b strings.Builder
	if err := r.Text(&b, 0, false); err != nil {
		t.Fatal(err)
	}
	return b.String()
}
