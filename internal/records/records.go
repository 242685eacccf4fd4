// Package records writes what a training did in forms that other programs read: JSON lines, CSV, and TensorBoard's event files.
//
// What a checkpoint remembers (the curve and the evaluations) is the same on any cluster, and so is every byte that is made of it. What
// happened when (views, stalls, checkpoints, the pace) depends on clocks and stands apart, in events.jsonl.
package records

import (
	"math"
	"strings"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/metric"
)

// Run is what a checkpoint remembers of its training.
type Run struct {
	Step     uint64 // of the checkpoint
	Accurate bool   // the points' accuracy means something: targets are classes
	Noisy    bool   // the points have the noise of gradients
	Points   []checkpoint.Point
	Epochs   []checkpoint.EpochMetrics // in the order of their steps
	Metrics  []string                  // names in the epochs' Metrics, in the order of their first appearance, without accuracy
}

// New puts a run together from the history that the checkpoint after a step holds and the epochs until then.
func New(step uint64, h checkpoint.History, epochs []checkpoint.EpochMetrics, job *config.Job) *Run {
	r := &Run{Step: step, Noisy: h.Noisy(), Points: h.Curve(step), Epochs: epochs, Accurate: job != nil && job.Train.Loss == config.LossCrossEntropy}
	for i := range r.Points {
		r.Accurate = r.Accurate || r.Points[i].Accuracy != 0
	}
	seen := map[string]bool{"accuracy": true}
	for i := range epochs {
		for _, f := range figures(&epochs[i]) {
			if !seen[f.Name] && fit(f.Name) {
				seen[f.Name] = true
				r.Metrics = append(r.Metrics, f.Name)
			}
		}
	}
	return r
}

// Of is the run that a checkpoint remembers.
func Of(e *checkpoint.Entry) (*Run, error) {
	h, err := e.History()
	if err != nil {
		return nil, err
	}
	job, err := config.Decode([]byte(e.Manifest.Config))
	if err != nil {
		job = nil // of another version's program: the figures are there all the same
	}
	return New(e.Step, h, e.Manifest.Epochs, job), nil
}

// fit reports whether a metric's name, which a checkpoint of others may have brought, can name a column.
func fit(name string) bool {
	return name != "" && len(name) <= 64 && !strings.ContainsFunc(name, func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("_-.@", c))
	})
}

// figures are an epoch's metrics; none where another version's program wrote them in another form.
func figures(e *checkpoint.EpochMetrics) []metric.Figure {
	found, err := metric.Parse(e.Metrics)
	if err != nil {
		return nil
	}
	return found
}

// value is one cell: a figure and how many bits its decimal digits must bring back. bits 0: there is none.
type value struct {
	x    float64
	bits int
}

func single(x float32) value  { return value{float64(x), 32} }
func double(x float64) value  { return value{x, 64} }
func (v value) finite() bool  { return !math.IsNaN(v.x) && !math.IsInf(v.x, 0) }
func (v value) present() bool { return v.bits != 0 }

// columns names the columns, those of points before those of epochs.
func (r *Run) columns() []string {
	names := []string{"loss"}
	if r.Accurate {
		names = append(names, "accuracy")
	}
	names = append(names, "learning_rate", "grad_norm")
	if r.Noisy {
		names = append(names, "gradient_square", "gradient_variance", "noise_scale")
	}
	names = append(names, "epoch", "train_loss", "eval_loss", "eval_accuracy")
	for _, m := range r.Metrics {
		names = append(names, "eval_"+m)
	}
	return names
}

// rows calls take with each row in the order of steps, a point before the epoch that ends with it. A row has a value for every column. Step
// is 0 where it is not known, as of epochs that earlier programs recorded.
func (r *Run) rows(take func(step uint64, row []value)) {
	row := make([]value, len(r.columns()))
	first := len(row) - 4 - len(r.Metrics) // of an epoch's columns
	epochs := r.Epochs
	before := func(step uint64) {
		for len(epochs) > 0 && epochs[0].Step < step {
			clear(row)
			r.epoch(row[first:], &epochs[0])
			take(epochs[0].Step, row)
			epochs = epochs[1:]
		}
	}
	for i := range r.Points {
		p := &r.Points[i]
		before(p.Step)
		clear(row)
		r.point(row[:0], p)
		take(p.Step, row)
	}
	before(math.MaxUint64)
}

func (r *Run) point(row []value, p *checkpoint.Point) {
	row = append(row, single(p.Loss))
	if r.Accurate {
		row = append(row, single(p.Accuracy))
	}
	row = append(row, single(p.LearningRate), single(p.GradNorm))
	if r.Noisy {
		_ = append(row, single(p.GradSquare), single(p.GradVariance), single(float32(p.NoiseScale())))
	}
}

func (r *Run) epoch(row []value, e *checkpoint.EpochMetrics) {
	row[0], row[1] = double(float64(e.Epoch)), double(e.TrainLoss)
	if !e.HasEval {
		return
	}
	row[2] = double(e.EvalLoss)
	if !math.IsNaN(e.EvalAccuracy) {
		row[3] = double(e.EvalAccuracy)
	}
	told := figures(e)
	for i, name := range r.Metrics {
		for _, f := range told {
			if f.Name == name {
				row[4+i] = double(f.Value)
			}
		}
	}
}
