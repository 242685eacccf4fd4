package metric

import (
	"fmt"
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
)

// Evaluated is what an epoch's evaluation has told. All of it is folded in seat order, so everybody has the same bits.
type Evaluated struct {
	Epoch     int // from 1
	Step      uint64
	TrainLoss float64
	HasEval   bool
	Loss      float64
	Accuracy  float64
	Figures   string // of the job's metrics, as Format writes them
}

// Rule says which evaluation of a job is the best, after how many that are no better the job ends, and how good it must be to go on.
type Rule struct {
	Metric   string    `json:"metric"`
	Highest  bool      `json:"highest,omitempty"`   // the best is the largest
	MinDelta float64   `json:"min_delta,omitempty"` // what must be exceeded to be better
	Patience int       `json:"patience,omitempty"`  // 0: any number
	Bars     []float64 `json:"bars,omitempty"`      // the job ends after evaluation k if the best one so far is worse than Bars[k-1]
}

// Judged is what a rule has made of a job's evaluations up to one of them. The zero value is before the first.
type Judged struct {
	Epoch  int     // the best; 0: none yet
	Best   float64 // its value
	Waited int     // evaluations since
	Stop   uint64  // the step after which the job ends; 0: it goes on
}

// EarlyStop is the rule by which a job ends early; nil: it does not.
func EarlyStop(job *config.Job) *Rule {
	s := &job.Train.EarlyStop
	if s.Patience == 0 && len(s.Bars) == 0 {
		return nil
	}
	highest := s.Mode == config.ModeMax || s.Mode == "" && HigherIsBetter(s.Metric)
	return &Rule{Metric: s.Metric, Highest: highest, MinDelta: s.MinDelta, Patience: s.Patience, Bars: s.Bars}
}

// KeepBest is the rule by which a job's best checkpoint is kept; nil: it is not.
func KeepBest(job *config.Job) *Rule {
	name := job.Checkpoint.KeepBest
	if name == "" {
		return nil
	}
	return &Rule{Metric: name, Highest: HigherIsBetter(name)}
}

// Value is the evaluation's figure of a name: loss and accuracy of the evaluation, train_loss, or a metric of the job. NaN: it was not told.
func (e *Evaluated) Value(name string) float64 {
	figures, err := Parse(e.Figures)
	if err != nil {
		return math.NaN()
	}
	for _, f := range figures {
		if f.Name == name {
			return f.Value
		}
	}
	switch {
	case name == "train_loss":
		return e.TrainLoss
	case !e.HasEval:
	case name == "loss":
		return e.Loss
	case name == "accuracy":
		return e.Accuracy
	}
	return math.NaN()
}

// Judge takes in the next evaluation. It is better if it exceeds the best one by more than MinDelta, as in Keras' EarlyStopping; the first
// that is a number is the best so far, and one that is not a number is never better. Equal figures are no better, so the earliest of equals is the best.
func (r *Rule) Judge(j Judged, e *Evaluated) Judged {
	value := e.Value(r.Metric)
	better := value == value && (j.Epoch == 0 || r.beats(value, j.Best))
	if better {
		j.Epoch, j.Best, j.Waited = e.Epoch, value, 0
	} else {
		j.Waited++
	}
	if j.Stop == 0 && (r.tired(j) || r.behind(j)) {
		j.Stop = e.Step
	}
	return j
}

func (r *Rule) tired(j Judged) bool { return r.Patience > 0 && j.Waited >= r.Patience }

// behind reports whether the evaluations so far are all worse than the bar of the last one. This is the median rule of Google Vizier (Golovin
// et al., 2017, section 3.1) where the bars are the medians of other jobs.
func (r *Rule) behind(j Judged) bool {
	last := j.Epoch + j.Waited
	if last < 1 || last > len(r.Bars) {
		return false
	}
	bar := r.Bars[last-1]
	return j.Epoch == 0 || r.Highest && j.Best < bar || !r.Highest && j.Best > bar
}

func (r *Rule) beats(value, best float64) bool {
	if r.Highest {
		return value > best+r.MinDelta
	}
	return value < best-r.MinDelta
}

// Reason says in one line why the job ended early.
func (r *Rule) Reason(j Judged) string {
	if last := j.Epoch + j.Waited; !r.tired(j) && r.behind(j) {
		return fmt.Sprintf("stopped early: %s is not as good as the bar of epoch %d, %s", r.Metric, last, Figure{r.Metric, r.Bars[last-1]})
	}
	if j.Epoch == 0 {
		return fmt.Sprintf("stopped early: %s was not a number for %s", r.Metric, plural.Of(j.Waited, "evaluation"))
	}
	return fmt.Sprintf("stopped early: %s has been no better than %s of epoch %d for %s", r.Metric, Figure{r.Metric, j.Best}, j.Epoch, plural.Of(j.Waited, "evaluation"))
}
