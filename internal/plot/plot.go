// Package plot draws series of values over time, in the terminal and as SVG. It
// knows nothing of networks. Start reading at Chart.
package plot

import (
	"fmt"
	"io"
	"math"
	"time"

	"github.com/guptarohit/asciigraph"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// Chart is lines over time with one unit.
type Chart struct {
	Title string
	Unit  string // of the values
	Lines []Line
}

// Line is one of a chart's lines, its points in the order of time.
type Line struct {
	Name   string
	Points []Point
}

// Point is a value at a time. NaN is a gap.
type Point struct {
	At    time.Duration
	Value float64
}

// SVG writes charts one below the other as one SVG picture.
func SVG(w io.Writer, charts []Chart) error {
	const width, height = 22 * vg.Centimeter, 8 * vg.Centimeter
	canvas := vgsvg.New(width, height*vg.Length(max(len(charts), 1)))
	all := draw.New(canvas)
	for i, c := range charts {
		p, err := c.picture()
		if err != nil {
			return err
		}
		top := vg.Length(len(charts)-1-i) * height
		p.Draw(draw.Crop(all, 0, 0, top, top+height-all.Max.Y))
	}
	_, err := canvas.WriteTo(w)
	return err
}

func (c *Chart) picture() (*plot.Plot, error) {
	p := plot.New()
	p.Title.Text = c.Title
	p.X.Label.Text, p.Y.Label.Text = "seconds", c.Unit
	p.Y.Min = 0
	p.Legend.Top = true
	p.Add(plotter.NewGrid())
	for i, l := range c.Lines {
		points := make(plotter.XYs, 0, len(l.Points))
		for _, at := range l.Points {
			if !math.IsNaN(at.Value) {
				points = append(points, plotter.XY{X: at.At.Seconds(), Y: at.Value})
			}
		}
		if len(points) == 0 {
			continue
		}
		line, err := plotter.NewLine(points)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", l.Name, err)
		}
		line.Color, line.Dashes = plotutil.Color(i), plotutil.Dashes(i/len(plotutil.DefaultColors))
		p.Add(line)
		p.Legend.Add(l.Name, line)
	}
	return p, nil
}

// Text writes charts for a terminal of so many columns, with colours or without.
func Text(w io.Writer, charts []Chart, columns int, colours bool) error {
	for i, c := range charts {
		if i > 0 {
			fmt.Fprintln(w)
		}
		if err := c.text(w, columns, colours); err != nil {
			return err
		}
	}
	return nil
}

const (
	textRows  = 14
	textAxis  = 12 // columns that the scale takes
	textLeast = 20
)

var textColours = []asciigraph.AnsiColor{asciigraph.Blue, asciigraph.Red, asciigraph.Green, asciigraph.Magenta, asciigraph.Cyan, asciigraph.Yellow}

func (c *Chart) text(w io.Writer, columns int, colours bool) error {
	from, to, found := c.span()
	if !found {
		_, err := fmt.Fprintf(w, "%s: nothing was sampled\n", c.Title)
		return err
	}
	columns = max(columns-textAxis, textLeast)
	var data [][]float64
	var names []string
	for _, l := range c.Lines {
		data = append(data, l.columns(from, to, columns))
		names = append(names, l.Name)
	}
	options := []asciigraph.Option{asciigraph.Height(textRows), asciigraph.LowerBound(0), asciigraph.Precision(0)}
	if colours {
		var used []asciigraph.AnsiColor
		for i := range names {
			used = append(used, textColours[i%len(textColours)])
		}
		options = append(options, asciigraph.SeriesColors(used...))
	}
	if len(names) > 1 && colours {
		options = append(options, asciigraph.SeriesLegends(names...))
	}
	fmt.Fprintf(w, "%s, %s\n", c.Title, c.Unit)
	if !colours && len(names) > 1 { // without colours lines cannot be told apart in one picture
		for i, d := range data {
			fmt.Fprintf(w, "%s\n%s\n", names[i], asciigraph.Plot(d, options...))
		}
	} else {
		fmt.Fprintln(w, asciigraph.PlotMany(data, options...))
	}
	_, err := fmt.Fprintf(w, "from %v to %v\n", from, to)
	return err
}

// span is the time that the lines cover.
func (c *Chart) span() (from, to time.Duration, found bool) {
	for _, l := range c.Lines {
		for _, p := range l.Points {
			if !found {
				from, to, found = p.At, p.At, true
			}
			from, to = min(from, p.At), max(to, p.At)
		}
	}
	return from, to, found
}

// columns are a line's values at so many even times; NaN where it has none.
func (l *Line) columns(from, to time.Duration, n int) []float64 {
	values := make([]float64, n)
	k := 0
	for i := range values {
		at := from + time.Duration(float64(to-from)*float64(i)/float64(max(n-1, 1)))
		for k < len(l.Points) && l.Points[k].At <= at {
			k++
		}
		values[i] = math.NaN()
		if k > 0 && (k < len(l.Points) || at == l.Points[k-1].At) {
			values[i] = l.Points[k-1].Value
		}
	}
	return values
}
