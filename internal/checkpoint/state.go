// Package checkpoint writes and reads training states: parameters and optimizer buffers as safetensors files under
// PyTorch's names, a manifest that makes a folder of them a checkpoint, stores that survive a crash at any operation,
// and the digests by which states are compared.
//
// A store is a directory with one folder a checkpoint:
//
//	step-0000000500-g2-00c0ffee00c0ffee/     step 500, saved in generation 2 of the job of this incarnation
//	    model-00001-of-00004.safetensors     parameters under PyTorch's names
//	    optim-00001-of-00004.safetensors     optimizer buffers: exp_avg.0.weight ...
//	    stats-00001-of-00001.safetensors     running statistics, where the model has some
//	    history-00001-of-00001.safetensors   loss, accuracy, learning rate and gradient norm of the steps
//	    manifest.json                        written last: it makes the folder a checkpoint
//
// Which tensors a file holds is a function of the tensor list and the number of seats alone, and so is every byte of it
// for a given state: checkpoints are identical on any cluster. Files are never rewritten.
package checkpoint

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"ringmaster/internal/plan"
)

// State is everything that training continues from, and the history that is kept with it.
type State struct {
	Step    uint64
	Params  []float32      // flat parameter vector
	Optim   []Buffer       // the optimizer's buffers, in its order, each with a value for every parameter that is not frozen
	Stats   []float32      // running statistics in one flat vector; empty where the model has none
	Sums    EpochSums      // of the epoch under way
	History History        // of the steps done; empty where none is kept
	Epochs  []EpochMetrics // epochs done, in order; not part of the state digest
}

// Buffer is one buffer of the optimizer, under PyTorch's name for it (exp_avg, momentum_buffer).
type Buffer struct {
	Name string
	Data []float32
}

// Tensor names an interval of a flat vector.
type Tensor struct {
	Name     string // PyTorch's, "0.weight"
	Shape    []int  // its product is Interval's length; no dimensions is a scalar
	Interval plan.Interval
	Frozen   bool // a parameter that stays as it is, for which an optimizer keeps nothing
}

// EpochSums are the sums over the samples of the epoch under way.
type EpochSums struct {
	Loss    float64
	Count   uint64
	Correct uint64
	Weight  float64 // of the targets' classes; 0 where these have no weights
}

// EpochMetrics is the result of one epoch.
type EpochMetrics struct {
	Epoch        int // from 1
	Step         uint64
	TrainLoss    float64
	HasEval      bool
	EvalLoss     float64
	EvalAccuracy float64
	EvalCount    uint64
	Metrics      string // figures of train.metrics, see metric.Format; empty where there are none
}

// Position is a checkpoint's place in the data. It follows from (seed, epoch, step) and is written down for
// people and for checks.
type Position struct {
	Epoch   int    `json:"epoch"`         // 1-based, under way or just ended
	InEpoch uint64 `json:"step_in_epoch"` // steps done in that epoch
	Samples uint64 `json:"samples"`       // seen by the job so far
}

// number is a float64 that JSON keeps in every bit: finite ones as the shortest decimal number, which reads
// back exactly, the others (which JSON does not have) as a string. All NaNs become one.
type number float64

func (n number) MarshalJSON() ([]byte, error) {
	x := float64(n)
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return strconv.AppendQuote(nil, strconv.FormatFloat(x, 'g', -1, 64)), nil
	}
	return strconv.AppendFloat(nil, x, 'g', -1, 64), nil
}

func (n *number) UnmarshalJSON(data []byte) error {
	text := string(data)
	switch text {
	case `"NaN"`:
		*n = number(math.NaN())
		return nil
	case `"+Inf"`:
		*n = number(math.Inf(1))
		return nil
	case `"-Inf"`:
		*n = number(math.Inf(-1))
		return nil
	}
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return fmt.Errorf("%s is not a number", text)
	}
	*n = number(x)
	return nil
}

type epochSumsJSON struct {
	Loss    number `json:"loss"`
	Count   uint64 `json:"count"`
	Correct uint64 `json:"correct"`
	Weight  number `json:"weight,omitempty"`
}

// MarshalJSON keeps every bit of the loss, infinities and NaN too.
func (e EpochSums) MarshalJSON() ([]byte, error) {
	return json.Marshal(epochSumsJSON{number(e.Loss), e.Count, e.Correct, number(e.Weight)})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *EpochSums) UnmarshalJSON(data []byte) error {
	var j epochSumsJSON
	if err := strictJSON(data, &j); err != nil {
		return fmt.Errorf("epoch sums: %w", err)
	}
	*e = EpochSums{float64(j.Loss), j.Count, j.Correct, float64(j.Weight)}
	return nil
}

type epochMetricsJSON struct {
	Epoch        int    `json:"epoch"`
	Step         uint64 `json:"step"`
	TrainLoss    number `json:"train_loss"`
	HasEval      bool   `json:"has_eval"`
	EvalLoss     number `json:"eval_loss"`
	EvalAccuracy number `json:"eval_accuracy"`
	EvalCount    uint64 `json:"eval_count"`
	Metrics      string `json:"metrics,omitempty"`
}

// MarshalJSON keeps every bit of the figures, infinities and NaN too.
func (e EpochMetrics) MarshalJSON() ([]byte, error) {
	return json.Marshal(epochMetricsJSON{e.Epoch, e.Step, number(e.TrainLoss), e.HasEval,
		number(e.EvalLoss), number(e.EvalAccuracy), e.EvalCount, e.Metrics})
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (e *EpochMetrics) UnmarshalJSON(data []byte) error {
	var j epochMetricsJSON
	if err := strictJSON(data, &j); err != nil {
		return fmt.Errorf("epoch metrics: %w", err)
	}
	*e = EpochMetrics{j.Epoch, j.Step, float64(j.TrainLoss), j.HasEval, float64(j.EvalLoss), float64(j.EvalAccuracy), j.EvalCount, j.Metrics}
	return nil
}
