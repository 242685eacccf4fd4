package report

import (
	"fmt"
	"math"
	"strconv"
	"strings"
)

// A chart's size in its own units, and the room around the plot for the axes' words.
const (
	chartWidth, chartHeight         = 640.0, 280.0
	leftRoom, rightRoom             = 64.0, 12.0
	topRoom, bottomRoom             = 10.0, 30.0
	plotRight, plotBottom           = chartWidth - rightRoom, chartHeight - bottomRoom
	logRange                        = 20 // an axis of positive figures that span more is logarithmic
	maxTicks                        = 6
	segmentPoints                   = 1 << 16 // of a line, far more than a history has
	dotted, dotRadius       float64 = 40, 2.5 // a line of fewer points has dots
)

// series is a line of a chart: figures by step. Those that are not finite leave a gap.
type series struct {
	run   int // its colour
	name  string
	steps []uint64
	ys    []float64
}

func (s *series) add(step uint64, y float64) {
	if len(s.steps) < segmentPoints {
		s.steps, s.ys = append(s.steps, step), append(s.ys, y)
	}
}

// chart is a picture of lines, as the page's template draws it.
type chart struct {
	Title   string
	Log     bool
	Lines   []line
	Marks   []mark
	X, Y    []tick
	Steps   uint64  // at the right edge
	Low, Up float64 // at the bottom and at the top; logarithms where Log

	all []series
}

// line is a part of a series without gaps.
type line struct {
	Run    int
	Name   string
	Points string // x,y pairs of SVG's polyline
	Dots   []dot
}

type dot struct{ X, Y string }

// tick is a place on an axis with its label.
type tick struct{ At, Label string }

// mark is a step at which the cluster changed.
type mark struct {
	Run  int
	X    string
	Text string
}

func (c *chart) add(s series) { c.all = append(c.all, s) }

// draw makes lines and axes of the series; false where no series has two figures, or one with nothing else to compare it with.
func (c *chart) draw() bool {
	low, up, n := math.Inf(1), math.Inf(-1), 0
	for _, s := range c.all {
		for i, y := range s.ys {
			if finite(y) {
				low, up, n = min(low, y), max(up, y), n+1
				c.Steps = max(c.Steps, s.steps[i])
			}
		}
	}
	if n == 0 || c.Steps == 0 {
		return false
	}
	c.Log = low > 0 && up > logRange*low
	if c.Log {
		c.Low, c.Up = math.Log10(low), math.Log10(up)
	} else {
		c.Low, c.Up = low, up
		if low >= 0 && low < up/3 {
			c.Low = 0
		}
	}
	room := (c.Up - c.Low) * 0.04
	if room == 0 {
		room = max(math.Abs(c.Up)*0.1, 1e-6)
		c.Low -= room
	}
	c.Up += room
	if c.Low != 0 {
		c.Low -= room
	}
	c.axes()
	for i := range c.all {
		c.cut(&c.all[i])
	}
	return true
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

func (c *chart) x(step uint64) float64 {
	return leftRoom + (plotRight-leftRoom)*float64(step)/float64(c.Steps)
}

func (c *chart) y(value float64) float64 {
	if c.Log {
		value = math.Log10(value)
	}
	return plotBottom - (plotBottom-topRoom)*(value-c.Low)/(c.Up-c.Low)
}

func pixel(x float64) string { return strconv.FormatFloat(x, 'f', 1, 64) }

// cut makes lines of a series, one for each part without gaps.
func (c *chart) cut(s *series) {
	var points strings.Builder
	var dots []dot
	end := func() {
		if points.Len() > 0 {
			c.Lines = append(c.Lines, line{s.run, s.name, points.String(), dots})
		}
		points.Reset()
		dots = nil
	}
	for i, y := range s.ys {
		if !finite(y) {
			end()
			continue
		}
		px, py := pixel(c.x(s.steps[i])), pixel(c.y(y))
		if points.Len() > 0 {
			points.WriteByte(' ')
		}
		points.WriteString(px + "," + py)
		if float64(len(s.ys)) < dotted {
			dots = append(dots, dot{px, py})
		}
	}
	end()
}

// axes makes the ticks.
func (c *chart) axes() {
	for _, v := range nice(0, float64(c.Steps)) {
		c.X = append(c.X, tick{pixel(c.x(uint64(v))), short(v)})
	}
	if !c.Log {
		for _, v := range nice(c.Low, c.Up) {
			c.Y = append(c.Y, tick{pixel(c.y(v)), short(v)})
		}
		return
	}
	for decade := math.Floor(c.Low); decade <= c.Up; decade++ {
		for _, m := range []float64{1, 2, 5} {
			at := decade + math.Log10(m)
			if at < c.Low || at > c.Up || m != 1 && c.Up-c.Low > 2.5 || c.Up-c.Low > 8 && math.Mod(decade, 2) != 0 {
				continue
			}
			c.Y = append(c.Y, tick{pixel(c.y(math.Pow(10, at))), short(m * math.Pow(10, decade))})
		}
	}
}

// nice lists round numbers from low to up.
func nice(low, up float64) []float64 {
	span := up - low
	step := math.Pow(10, math.Floor(math.Log10(span/maxTicks)))
	for _, m := range []float64{1, 2, 5, 10} {
		if span/(m*step) <= maxTicks {
			step *= m
			break
		}
	}
	var out []float64
	for k := math.Ceil(low / step); k*step <= up && len(out) < 2*maxTicks; k++ {
		out = append(out, k*step)
	}
	return out
}

// short writes a number for an axis.
func short(v float64) string {
	if v != 0 && (math.Abs(v) < 1e-3 || math.Abs(v) >= 1e6) {
		return strings.NewReplacer("e-0", "e-", "e+0", "e", "e+", "e").Replace(strconv.FormatFloat(v, 'e', -1, 32))
	}
	return fmt.Sprint(float32(v))
}
