package sweep

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/metric"
)

// The states of a trial, beside those of a summary.
const (
	Waiting = "waiting" // it has not begun
	Stopped = "stopped" // it ended early by a rule
)

// Outcome is what a trial came to.
type Outcome struct {
	Trial
	State     string     `json:"state"`
	Error     string     `json:"error,omitempty"`
	Reason    string     `json:"reason,omitempty"` // why it ended early
	From      int        `json:"from,omitempty"`   // the trial whose steps it shares; 0: none
	Trunk     int        `json:"trunk,omitempty"`  // the trunk that it begins with; 0: none
	Shared    uint64     `json:"shared_steps,omitempty"`
	Step      uint64     `json:"step"`
	Values    []*float64 `json:"values"` // of the metric, after each epoch; null: it was no number
	Final     *float64   `json:"final"`  // of the metric at the end
	Best      *float64   `json:"best"`
	BestEpoch int        `json:"best_epoch"` // 0: the best is the figure of the end, inside an epoch
	Digest    string     `json:"digest"`
	TrainS    float64    `json:"train_s"`
	Run       string     `json:"run"`                  // the run's folder, or the job's id in the cluster
	Weights   string     `json:"checkpoint,omitempty"` // the newest checkpoint
	Token     uint64     `json:"token,string"`         // random: a submission of the trial that is tried again is found by it
}

// over reports whether the trial need not be run any more.
func (o *Outcome) over() bool {
	return o.State == launch.StateDone || o.State == Stopped || o.State == launch.StateFailed
}

// take notes how a trial ended, by a metric of which the highest or the lowest is the best.
func (o *Outcome) take(s *launch.Summary, rule *metric.Rule) {
	o.State, o.Error, o.Reason, o.Step, o.Digest, o.TrainS = s.State, s.Error, s.Reason, s.Step, s.Digest, finite(float64(s.TrainS))
	if s.State == launch.StateDone && s.Reason != "" {
		o.State = Stopped
	}
	if n := len(s.Checkpoints); n > 0 {
		o.Weights = s.Checkpoints[n-1].Path
	}
	o.Values, o.Best, o.BestEpoch = []*float64{}, nil, 0
	var judged metric.Judged
	for _, e := range s.Epochs {
		value := evaluated(e.Epoch, float64(e.TrainLoss), e.Eval)
		o.Values = append(o.Values, number(value.Value(rule.Metric)))
		judged = rule.Judge(judged, &value)
	}
	if judged.Epoch > 0 {
		o.Best, o.BestEpoch = number(judged.Best), judged.Epoch
	}
	end := evaluated(0, float64(s.TrainLoss), s.Eval)
	if o.Final = number(end.Value(rule.Metric)); o.Final != nil && (o.Best == nil || better(rule, *o.Final, *o.Best)) {
		o.Best, o.BestEpoch = o.Final, 0
	}
}

func evaluated(epoch int, trainLoss float64, e *launch.EvalSummary) metric.Evaluated {
	v := metric.Evaluated{Epoch: epoch, TrainLoss: trainLoss, HasEval: e != nil}
	if e != nil {
		v.Loss, v.Accuracy, v.Figures = float64(e.Loss), float64(e.Accuracy), metric.Format(e.Metrics)
	}
	return v
}

// number is a figure for JSON, which has no NaN.
func number(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

func finite(x float64) float64 {
	if number(x) == nil {
		return 0
	}
	return x
}

func better(rule *metric.Rule, a, b float64) bool {
	if rule.Highest {
		return a > b
	}
	return a < b
}

// bars are the medians of the metric after each epoch, of the trials that reached it, as far as at least least of them did. A trial whose
// figure was no number counts as the worst one.
func bars(earlier []Outcome, rule *metric.Rule, least int) []float64 {
	var out []float64
	for epoch := 0; least > 0; epoch++ {
		var values []float64
		for i := range earlier {
			o := &earlier[i]
			if !o.over() || epoch >= len(o.Values) {
				continue
			}
			worst := math.MaxFloat64
			if rule.Highest {
				worst = -math.MaxFloat64
			}
			if v := o.Values[epoch]; v != nil {
				worst = *v
			}
			values = append(values, worst)
		}
		if len(values) < least {
			return out
		}
		slices.Sort(values)
		at := (len(values) - 1) / 2
		if !rule.Highest {
			at = len(values) / 2 // the worse of two in the middle: nobody is ended for being as good as half of the others
		}
		out = append(out, values[at])
	}
	return out
}

// origin is the trial, among those before that are over, whose steps a job's training would repeat bit for bit, and that came farthest;
// nil: there is none.
func origin(earlier []Outcome, courses []course, next course, stop *metric.Rule) *Outcome {
	var best *Outcome
	for i := range earlier {
		o := &earlier[i]
		if !o.over() || o.State == launch.StateFailed || o.Weights == "" || o.Step == 0 || !next.continues(courses[i]) || best != nil && o.Step <= best.Step {
			continue
		}
		if stop != nil && endsWithin(o, stop) {
			continue // alone it would not come as far
		}
		best = o
	}
	return best
}

// endsWithin reports whether a rule would have ended the trial by its last evaluation.
func endsWithin(o *Outcome, rule *metric.Rule) bool {
	var judged metric.Judged
	for i, v := range o.Values {
		value := metric.Evaluated{Epoch: i + 1, Step: uint64(i + 1), TrainLoss: math.NaN(), HasEval: true, Loss: math.NaN(), Accuracy: math.NaN()}
		if v != nil {
			value.Figures = metric.Format([]metric.Figure{{Name: rule.Metric, Value: *v}})
		}
		judged = rule.Judge(judged, &value)
	}
	return judged.Stop != 0
}

// course is what decides whether one job's training is the beginning of another's.
type course struct {
	bits    string // all that the bits of a step depend on
	free    bool   // nothing of that is reckoned from the length
	inSteps bool   // the length counts steps, not epochs
	length  int
}

func courseOf(j *config.Job) course {
	c := course{bits: fmt.Sprint(j.Contract()), length: j.Train.Epochs}
	kind := j.Train.Schedule.Kind
	c.free = kind == config.ScheduleConstant || kind == config.ScheduleStep || j.Train.Schedule.Horizon != 0 // else the rate falls towards the end
	if j.Train.Steps > 0 {
		c.inSteps, c.length = true, j.Train.Steps
	}
	return c
}

// continues reports whether a training does all that another one does, and may go on.
func (c course) continues(first course) bool {
	return c.free && first.bits == c.bits && first.inSteps == c.inSteps && first.length <= c.length
}

// arrange brings trials that go on where others end behind these, and numbers trials and points again.
func arrange(trials []Trial, courses []course) {
	type kind struct {
		bits    string
		inSteps bool
	}
	first := map[kind]int{} // trial of a kind
	group, order := make([]int, len(trials)), make([]int, len(trials))
	for i, c := range courses {
		order[i], group[i] = i, i
		if k := (kind{c.bits, c.inSteps}); c.free {
			if at, known := first[k]; known {
				group[i] = at
			} else {
				first[k] = i
			}
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(group[a], group[b]), cmp.Compare(courses[a].length, courses[b].length))
	})
	oldTrials, oldCourses := slices.Clone(trials), slices.Clone(courses)
	points := map[int]int{}
	for to, from := range order {
		trials[to], courses[to] = oldTrials[from], oldCourses[from]
		trials[to].Number = to + 1
		if _, known := points[trials[to].Point]; !known {
			points[trials[to].Point] = len(points) + 1
		}
		trials[to].Point = points[trials[to].Point]
	}
}

// describe is a trial in one line.
func (t *Trial) describe(of int) string {
	return fmt.Sprintf("trial %d of %d: %s", t.Number, of, strings.Join(t.Settings(), " "))
}
