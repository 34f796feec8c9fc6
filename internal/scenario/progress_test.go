package scenario

import (
	"context"
	"testing"

	"github.com/hopyard/hopyard/internal/lab"
	"github.com/hopyard/hopyard/internal/record"
)

// A run that takes more than a second of wall time says how far it is.
func TestProgress(t *testing.T) {
	if testing.Short() {
		t.Skip("takes more than a second")
	}
	s := compile(t, lan+"duration: 1500ms\nrun: [{ node: h1, cmd: \"ping -c 2 h2\" }]")
	var seen []Progress
	_, err := s.Play(context.Background(), lab.Build(s.plan, record.New()), Options{Live: true, Progress: func(p Progress) { seen = append(seen, p) }})
	if err != nil {
		t.Fatal(err)
	}
	if len(seen) == 0 {
		t.Fatal("no progress was told")
	}
	if p := seen[0]; p.Until != 1500*ms || p.Share <= 0 || p.Share > 1 || p.Wall < progressAfter {
		t.Errorf("%+v", p)
	}
}
