package ui

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
)

// Bounds on what is kept of a curve, and of what is sent of it. With more reports than maxReports, or more live points than maxLive, half of
// them go.
const (
	maxReports = 1 << 20
	maxLive    = 2048
	maxShown   = 2048
)

// Point is one point of a curve. Figures that are not known are NaN.
type Point struct {
	Step                             uint64
	Loss, Accuracy, Rate, Norm, Pace float64 // Pace: samples a second
}

// appendJSON writes [step, loss, accuracy, rate, norm, pace], null for what is not known.
func (p Point) appendJSON(out []byte) []byte {
	out = strconv.AppendUint(append(out, '['), p.Step, 10)
	for _, x := range [...]float64{p.Loss, p.Accuracy, p.Rate, p.Norm, p.Pace} {
		if out = append(out, ','); math.IsNaN(x) || math.IsInf(x, 0) {
			out = append(out, "null"...)
		} else {
			out = strconv.AppendFloat(out, x, 'g', 6, 64)
		}
	}
	return append(out, ']')
}

// report is what workers said at a step.
type report struct {
	step       uint64
	loss, pace float32
}

func (r report) point() Point {
	nan := math.NaN()
	return Point{r.step, float64(r.loss), nan, nan, nan, float64(r.pace)}
}

// curve is the curve of the job that is shown: first the history of its newest checkpoint, which is the same on any cluster, then what the
// workers reported since. That is what a browser holds, at most HistoryPoints + maxLive points. Who looks at a part of it gets the reports
// from before the checkpoint, too, where they are finer than the history.
type curve struct {
	job     string
	version uint64 // changes when more than points at the end is new
	folder  string // the checkpoint from which the history was read
	read    time.Time
	base    []Point
	live    []report // after the last point of base
	reports []report // all since the page was started, by step
}

// newCurve is an empty curve. Versions begin anywhere, so that no browser takes another curve for its own.
func newCurve() curve { return curve{version: rand.Uint64N(1 << 48)} }

// follow begins anew where another job is shown.
func (c *curve) follow(j *rpc.JobStatus) {
	if id := j.GetJob(); id != c.job {
		*c = curve{job: id, version: c.version + 1}
	}
}

// rebase takes over the history of a checkpoint after a step. Of the points since, those that came later stay.
func (c *curve) rebase(folder string, step uint64, history []checkpoint.Point) {
	c.version++
	c.folder, c.read, c.base = folder, time.Now(), fromHistory(history)
	for i := range c.base {
		c.base[i].Pace = c.paceAt(c.base[i].Step)
	}
	c.live = slices.DeleteFunc(c.live, func(r report) bool { return r.step <= step })
}

// paceAt is the pace at a step, since histories know nothing of clocks. NaN: nobody looked then.
func (c *curve) paceAt(step uint64) float64 {
	at, _ := find(c.reports, step)
	if at == len(c.reports) || step < c.reports[0].step {
		return math.NaN()
	}
	return float64(c.reports[at].pace)
}

// find is the place of the first report of a step or of a later one.
func find(reports []report, step uint64) (int, bool) {
	return slices.BinarySearchFunc(reports, step, func(r report, step uint64) int { return cmp.Compare(r.step, step) })
}

func fromHistory(history []checkpoint.Point) []Point {
	out := make([]Point, len(history))
	for i, p := range history {
		out[i] = Point{p.Step, float64(p.Loss), float64(p.Accuracy), float64(p.LearningRate), float64(p.GradNorm), math.NaN()}
	}
	return out
}

// note adds what a job reports now, if it has done steps since. Steps that are done again replace what was reported of them.
func (c *curve) note(j *rpc.JobStatus) {
	if !j.GetHasTrainLoss() || j.Ended {
		return
	}
	if at, _ := find(c.live, j.Step+1); at < len(c.live) {
		c.version++
		c.live = c.live[:at]
	}
	at, known := find(c.reports, j.Step)
	c.reports = c.reports[:at]
	if known {
		c.reports = c.reports[:at+1]
	}
	r := report{j.Step, float32(j.TrainLoss), float32(j.SamplesPerS)}
	if !known {
		c.reports = append(c.reports, r)
	}
	last := uint64(0)
	if n := len(c.base); n > 0 {
		last = c.base[n-1].Step
	}
	if n := len(c.live); n > 0 {
		last = max(last, c.live[n-1].step)
	}
	if j.Step > last {
		c.live = append(c.live, r)
	}
	c.bound()
}

func (c *curve) bound() {
	if len(c.reports) > maxReports {
		c.reports = thin(c.reports, maxReports/2)
	}
	if len(c.live) > maxLive {
		c.version++
		c.live = thin(c.live, maxLive/2)
	}
}

// thin keeps at most n of many reports: of each part those with the smallest and the largest loss, so that a spike stays, and the last one.
func thin(reports []report, n int) []report {
	if len(reports) <= n {
		return reports
	}
	parts := (n - 1) / 2
	out := make([]report, 0, n)
	for k := range parts {
		part := reports[k*len(reports)/parts : (k+1)*len(reports)/parts]
		low, high := 0, 0
		for i, r := range part {
			if r.loss < part[low].loss {
				low = i
			}
			if r.loss > part[high].loss {
				high = i
			}
		}
		out = append(out, part[min(low, high)])
		if low != high {
			out = append(out, part[max(low, high)])
		}
	}
	if last := reports[len(reports)-1]; out[len(out)-1].step != last.step {
		out = append(out, last)
	}
	return out
}

// all is the whole curve.
func (c *curve) all() []Point {
	out := slices.Grow(slices.Clone(c.base), len(c.live))
	for _, r := range c.live {
		out = append(out, r.point())
	}
	return out
}

// within is the curve from a step to another, as finely as it is known, at most maxShown reports and the history's points. Where the reports
// are finer, the history gives what reports do not have.
func (c *curve) within(from, to uint64) []Point {
	shown := slices.DeleteFunc(c.all(), func(p Point) bool { return p.Step < from || p.Step > to })
	begin, _ := find(c.reports, from)
	end, known := find(c.reports, to)
	if known {
		end++
	}
	if end-begin <= len(shown) {
		return shown
	}
	shown = slices.DeleteFunc(slices.Clone(c.base), func(p Point) bool { return p.Step < from || p.Step > to })
	for i := range shown {
		shown[i].Loss, shown[i].Pace = math.NaN(), math.NaN()
	}
	for _, r := range thin(c.reports[begin:end], maxShown) {
		shown = append(shown, r.point())
	}
	slices.SortStableFunc(shown, func(a, b Point) int { return cmp.Compare(a.Step, b.Step) })
	return shown
}

// added are the live points from the given one on.
func (c *curve) added(from int) []Point {
	out := make([]Point, 0, len(c.live)-from)
	for _, r := range c.live[from:] {
		out = append(out, r.point())
	}
	return out
}

// appendPoints writes a curve's points, or some of them, as JSON.
func appendPoints(out []byte, job string, points []Point) []byte {
	out = append(append(append(out, `{"job":`...), quote(job)...), `,"points":[`...)
	for i, p := range points {
		if i > 0 {
			out = append(out, ',')
		}
		out = p.appendJSON(out)
	}
	return append(out, "]}"...)
}
