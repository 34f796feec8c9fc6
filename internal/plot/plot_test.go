package plot

import (
	"encoding/xml"
	"io"
	"math"
	"strings"
	"testing"
	"time"
)

var sawtooth = Chart{Title: "cwnd", Unit: "segments", Lines: []Line{
	{Name: "first", Points: []Point{{0, 10}, {time.Second, 20}, {2 * time.Second, 5}, {3 * time.Second, 10}}},
	{Name: "second", Points: []Point{{2 * time.Second, math.NaN()}, {3 * time.Second, 7}}},
}}

func TestSVGIsWellFormed(t *testing.T) {
	var b strings.Builder
	if err := SVG(&b, []Chart{sawtooth, {Title: "empty"}}); err != nil {
		t.Fatal(err)
	}
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	for _, want := range []string{"<svg", "cwnd", "segments", "first", "second", "empty"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the picture has no %q", want)
		}
	}
}

func TestText(t *testing.T) {
	var b strings.Builder
	if err := Text(&b, []Chart{sawtooth, {Title: "empty"}}, 60, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"cwnd, segments", "first\n", "second\n", " 20 ", "from 0s to 3s", "empty: nothing was sampled"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
	for line := range strings.Lines(b.String()) {
		if n := len([]rune(line)); n > 61 {
			t.Errorf("%d columns: %q", n, line)
		}
	}
}

func TestColumnsHoldTheLastValue(t *testing.T) {
	got := sawtooth.Lines[0].columns(0, 3*time.Second, 7)
	want := []float64{10, 10, 20, 20, 5, 5, 10}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
}
