package sim

import (
	"math"
	"slices"
	"testing"
)

// Every recording with chance in it rests on these numbers.
func TestStreamsNeverChange(t *testing.T) {
	for _, test := range []struct {
		seed uint64
		name string
		want []uint64
	}{
		{1, "link a-b a->b loss", []uint64{0xcde0894b9d3ef6c0, 0x49d64ac3256c59ab, 0xf21724a3f8c8674e}},
		{2, "link a-b a->b loss", []uint64{0x6313ae41edabb205, 0x12954c56b9b04ac8, 0xf0dca2618ef1b994}},
		{1, "", []uint64{0xf21e7505e332192b, 0xe11a65761b30d035, 0x229060ab28458191}},
	} {
		s := NewStream(test.seed, test.name)
		got := []uint64{s.Uint64(), s.Uint64(), s.Uint64()}
		if !slices.Equal(got, test.want) {
			t.Errorf("%d %q: got %#v, want %#v", test.seed, test.name, got, test.want)
		}
	}
}

func TestDistributions(t *testing.T) {
	const n = 200_000
	for _, test := range []struct {
		name           string
		draw           func(s *Stream) float64
		mean, variance float64
		low, high      float64
	}{
		{"Float64", (*Stream).Float64, 0.5, 1.0 / 12, 0, 1},
		{"Intn", func(s *Stream) float64 { return float64(s.Intn(6)) }, 2.5, 35.0 / 12, 0, 5},
		{"Between", func(s *Stream) float64 { return float64(s.Between(-5, 5)) }, 0, 10, -5, 5},
		{"Chance", func(s *Stream) float64 {
			if s.Chance(0.2) {
				return 1
			}
			return 0
		}, 0.2, 0.16, 0, 1},
		{"Exp", (*Stream).Exp, 1, 1, 0, math.Inf(1)},
		{"Normal", (*Stream).Normal, 0, 1, math.Inf(-1), math.Inf(1)},
	} {
		s := NewStream(7, test.name)
		sum, squares := 0.0, 0.0
		for range n {
			x := test.draw(s)
			if x < test.low || x > test.high || math.IsNaN(x) || math.IsInf(x, 0) {
				t.Fatalf("%s drew %v", test.name, x)
			}
			sum += x
			squares += (x - test.mean) * (x - test.mean)
		}
		if mean := sum / n; math.Abs(mean-test.mean) > 5*math.Sqrt(test.variance/n) {
			t.Errorf("%s: mean %v, want %v", test.name, mean, test.mean)
		}
		if v := squares / n; math.Abs(v-test.variance) > 0.03*test.variance {
			t.Errorf("%s: variance %v, want %v", test.name, v, test.variance)
		}
	}
}

// Chi-squared over 64 cells: 63 degrees of freedom, 5 standard deviations.
func TestUniform(t *testing.T) {
	const n, cells = 64_000, 64
	for _, name := range []string{"a", "b"} {
		s := NewStream(3, name)
		var count [cells]int
		for range n {
			count[s.Intn(cells)]++
		}
		chi := 0.0
		for _, c := range count {
			d := float64(c) - n/cells
			chi += d * d / (n / cells)
		}
		if chi > 63+5*math.Sqrt(2*63) {
			t.Errorf("stream %q: chi-squared %v", name, chi)
		}
	}
}

func TestStreamEdges(t *testing.T) {
	s := NewStream(1, "x")
	if s.Chance(0) || !s.Chance(1) || s.Intn(1) != 0 || s.Between(5, 5) != 5 || s.Between(5, 3) != 5 {
		t.Error("a range of one value gave another")
	}
	other := NewStream(1, "x")
	for range 3 {
		other.Uint64()
	}
	if s.Uint64() != other.Uint64() {
		t.Error("Chance and Intn do not draw once each")
	}
	defer func() {
		if recover() == nil {
			t.Error("Intn(0) does not panic")
		}
	}()
	s.Intn(0)
}

func TestTime(t *testing.T) {
	for _, test := range []struct {
		t    Time
		want string
	}{
		{0, "0.000000000s"}, {1, "0.000000001s"}, {12_345_678_901, "12.345678901s"}, {-1_500_000_000, "-1.500000000s"}, {Never, "never"},
	} {
		if got := test.t.String(); got != test.want {
			t.Errorf("%d is %q, want %q", int64(test.t), got, test.want)
		}
	}
	if got := Time(math.MaxInt64 - 5).Add(10); got != Never {
		t.Errorf("a sum that wraps is %v", got)
	}
	if got := Never.Add(1); got != Never {
		t.Errorf("Never+1 is %v", got)
	}
	if got := Time(100).Add(-30).Sub(20); got != 50 {
		t.Errorf("got %v", got)
	}
}
