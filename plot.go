package hopyard

import (
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/hopyard/hopyard/internal/plot"
	"github.com/hopyard/hopyard/internal/scenario"
)

// quantity is something that can be drawn of a connection.
type quantity struct {
	name, title, unit string
	value             func(p scenario.Point) float64
}

var plots = []quantity{
	{"cwnd", "congestion window", "segments", func(p scenario.Point) float64 { return float64(p.Cwnd) }},
	{"ssthresh", "slow start threshold", "segments", func(p scenario.Point) float64 {
		if p.Ssthresh == 0 {
			return math.NaN()
		}
		return float64(p.Ssthresh)
	}},
	{"in-flight", "in flight", "segments", func(p scenario.Point) float64 { return float64(p.InFlight) }},
	{"rtt", "round trip time", "ms", func(p scenario.Point) float64 { return float64(p.RTT.Microseconds()) / 1000 }},
	{"rto", "retransmission timeout", "ms", func(p scenario.Point) float64 { return float64(p.RTO.Microseconds()) / 1000 }},
	{"window", "receiver's window", "KiB", func(p scenario.Point) float64 { return float64(p.Window) / 1024 }},
	{"acked", "acknowledged", "KiB", func(p scenario.Point) float64 { return float64(p.Acked) / 1024 }},
}

// Plots are the names of what PlotText and PlotSVG draw.
func Plots() (names []string) {
	for _, p := range plots {
		names = append(names, p.name)
	}
	return names
}

// PlotText draws the TCP connections of a run with RunOptions.Sample for a
// terminal of so many columns. what are names of Plots; only, if not empty, the
// loads that are drawn.
func PlotText(w io.Writer, r *Report, what, only []string, columns int, colours bool) error {
	charts, err := charts(r, what, only)
	if err != nil {
		return err
	}
	return plot.Text(w, charts, columns, colours)
}

// PlotSVG is PlotText as an SVG picture.
func PlotSVG(w io.Writer, r *Report, what, only []string) error {
	charts, err := charts(r, what, only)
	if err != nil {
		return err
	}
	return plot.SVG(w, charts)
}

func charts(r *Report, what, only []string) (all []plot.Chart, err error) {
	for _, name := range what {
		i := slices.IndexFunc(plots, func(q quantity) bool { return q.name == name })
		if i < 0 {
			return nil, fmt.Errorf("%q cannot be drawn", name)
		}
		c := plot.Chart{Title: plots[i].title, Unit: plots[i].unit}
		for _, s := range r.Series {
			if len(only) > 0 && !slices.Contains(only, s.Name) {
				continue
			}
			l := plot.Line{Name: s.Name + " (" + s.Node + ")"}
			for _, p := range s.Points {
				l.Points = append(l.Points, plot.Point{At: p.At, Value: plots[i].value(p)})
			}
			c.Lines = append(c.Lines, l)
		}
		if len(c.Lines) == 0 {
			return nil, fmt.Errorf("there is no tcp load to draw; give the lab one, as in load: { tcp: \"server:9\", size: 1MiB }")
		}
		all = append(all, c)
	}
	return all, nil
}
