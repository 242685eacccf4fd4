package ui

import (
	"math"
	"strconv"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
)

// maxLive bounds the points since the newest checkpoint that was read. With more, every second one goes.
const maxLive = 2048

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

// curve is the curve of the job that is shown: first the history of its newest checkpoint, which is the same on any cluster, then what the
// workers reported since.
type curve struct {
	job     string
	version uint64 // changes when more than points at the end is new
	folder  string // the checkpoint from which the history was read
	read    time.Time
	base    []Point
	live    []Point
}

// follow begins anew where another job is shown.
func (c *curve) follow(j *rpc.JobStatus) {
	if id := j.GetJob(); id != c.job {
		*c = curve{job: id, version: c.version + 1}
	}
}

// rebase takes over the history of a checkpoint after a step. Of the points since, those that came later stay.
func (c *curve) rebase(folder string, step uint64, history []checkpoint.Point) {
	paces := c.paces()
	c.version++
	c.folder, c.read, c.base = folder, time.Now(), fromHistory(history)
	for i := range c.base {
		c.base[i].Pace = paces(c.base[i].Step)
	}
	kept := c.live[:0]
	for _, p := range c.live {
		if p.Step > step {
			kept = append(kept, p)
		}
	}
	c.live = kept
}

// paces looks the pace at a step up in the points so far, since histories know nothing of clocks.
func (c *curve) paces() func(step uint64) float64 {
	all := append(append([]Point{}, c.base...), c.live...)
	at := 0
	return func(step uint64) float64 {
		for at < len(all) && all[at].Step < step {
			at++
		}
		if at == len(all) {
			return math.NaN()
		}
		return all[at].Pace
	}
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
	if n := len(c.live); n > 0 && c.live[n-1].Step > j.Step {
		c.version++
		for n > 0 && c.live[n-1].Step > j.Step {
			n--
		}
		c.live = c.live[:n]
	}
	last := uint64(0)
	if n := len(c.base); n > 0 {
		last = c.base[n-1].Step
	}
	if n := len(c.live); n > 0 {
		last = c.live[n-1].Step
	}
	if j.Step <= last {
		return
	}
	nan := math.NaN()
	c.live = append(c.live, Point{j.Step, j.TrainLoss, nan, nan, nan, j.SamplesPerS})
	if len(c.live) > maxLive {
		c.version++
		for i := range maxLive / 2 {
			c.live[i] = c.live[2*i+1]
		}
		c.live = c.live[:maxLive/2]
	}
}

// points is the curve as JSON rows: all of it, or its live points from the given one on.
func (c *curve) points(all bool, from int) []byte {
	out := []byte{'['}
	add := func(p Point) {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = p.appendJSON(out)
	}
	if all {
		from = 0
		for _, p := range c.base {
			add(p)
		}
	}
	for _, p := range c.live[min(from, len(c.live)):] {
		add(p)
	}
	return append(out, ']')
}
