package watch

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"ringmaster/internal/ui"
)

// axis is the width of the numbers at the left of a curve.
const axis = 9

// largest is the largest loss that is drawn; sums of several are still finite.
const largest = 1e200

// A cell of the terminal is a Braille character of 2 x 4 dots. dots[y][x] is the bit of a dot.
var dots = [4][2]rune{{0x01, 0x08}, {0x02, 0x10}, {0x04, 0x20}, {0x40, 0x80}}

// plot draws the losses by step as rows of at most width cells; the last row holds the steps. Nothing is drawn where there is no room, or
// less than two points.
func plot(points []ui.Point, log bool, width, height int) []string {
	columns := width - axis - 1
	if height < 3 || columns < 8 {
		return nil
	}
	var known []ui.Point
	for _, p := range points {
		if log {
			p.Loss = math.Log10(p.Loss) // of what is not positive nothing is shown
		}
		if !math.IsNaN(p.Loss) && !math.IsInf(p.Loss, 0) {
			p.Loss = max(-largest, min(largest, p.Loss))
			known = append(known, p)
		}
	}
	if len(known) < 2 || known[0].Step == known[len(known)-1].Step {
		return nil
	}
	rows := height - 1
	means := columnMeans(known, 2*columns)
	low, high := span(means)
	label := number
	if log {
		label = func(x float64) string { return number(math.Pow(10, x)) }
	}
	canvas := draw(means, low, high, rows)
	out := make([]string, 0, height)
	for y, cells := range canvas {
		tick := ""
		switch y {
		case 0:
			tick = label(high)
		case rows - 1:
			tick = label(low)
		}
		var line strings.Builder
		fmt.Fprintf(&line, "%*s│", axis, tick)
		for _, c := range cells {
			if c == 0 {
				line.WriteByte(' ')
			} else {
				line.WriteRune(0x2800 + c)
			}
		}
		out = append(out, strings.TrimRight(line.String(), " "))
	}
	first, last := strconv.FormatUint(known[0].Step, 10), "step "+strconv.FormatUint(known[len(known)-1].Step, 10)
	return append(out, fmt.Sprintf("%*s└%s%s", axis, "loss", first, fill(last, columns-len(first))))
}

// draw joins the values, one for each column of dots, by a line; the largest are in the first row of cells.
func draw(values []float64, low, high float64, rows int) [][]rune {
	canvas := make([][]rune, rows)
	for y := range canvas {
		canvas[y] = make([]rune, len(values)/2)
	}
	before := -1
	for x, v := range values {
		y := int(math.Round((high - v) / (high - low) * float64(4*rows-1)))
		from, to := y, y
		if before >= 0 {
			from, to = min(y, before), max(y, before)
		}
		for ; from <= to; from++ {
			canvas[from/4][x/2] |= dots[from%4][x%2]
		}
		before = y
	}
	return canvas
}

// columnMeans is the mean loss of the points that fall into each of n columns, and where there is none, what is between its neighbours. The
// points are ordered by step; the first and the last column have one.
func columnMeans(points []ui.Point, n int) []float64 {
	means, counts := make([]float64, n), make([]int, n)
	first, last := points[0].Step, points[len(points)-1].Step
	for _, p := range points {
		if p.Step < first || p.Step > last {
			continue
		}
		x := int(float64(p.Step-first) / float64(last-first) * float64(n-1))
		means[x] += p.Loss
		counts[x]++
	}
	filled := 0
	for x := range means {
		if counts[x] == 0 {
			continue
		}
		means[x] /= float64(counts[x])
		for gap := filled + 1; gap < x; gap++ {
			means[gap] = means[filled] + (means[x]-means[filled])*float64(gap-filled)/float64(x-filled)
		}
		filled = x
	}
	return means
}

// span is the least and the largest of values, or a little around them where those are the same.
func span(values []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		low, high = min(low, v), max(high, v)
	}
	if high-low < 1e-12*max(1, math.Abs(high)) {
		low, high = low-0.5*max(1e-6, math.Abs(low)), high+0.5*max(1e-6, math.Abs(high))
	}
	return low, high
}

// number writes a figure in at most eight cells.
func number(x float64) string {
	if text := strconv.FormatFloat(x, 'g', 4, 64); len(text) < axis {
		return text
	}
	return strconv.FormatFloat(x, 'e', 1, 64)
}

// fill puts spaces before a text, up to a width; a text that does not fit is left out.
func fill(text string, width int) string {
	if len(text) > width {
		return ""
	}
	return strings.Repeat(" ", width-len(text)) + text
}
