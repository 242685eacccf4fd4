// Package model holds the model families and the layers that they are made of. A model's parameters live in one flat
// vector, its running statistics in another; both belong to the caller. Tensors carry the names, shapes and order of
// elements that PyTorch (or Hugging Face) uses for the same model, so that a checkpoint is that vector with names.
//
// A layer is one file: it declares its parameters when the model is built, which also checks that it fits what comes in, and
// records its operations when a program for a batch shape is made.
package model

import (
	"context"
	"errors"
	"fmt"
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor"
)

// Tensor is a named part of the flat parameter vector or of the flat vector of running statistics.
type Tensor struct {
	Name     string // as PyTorch names it: "0.weight"
	Shape    []int
	Interval plan.Interval // in the flat vector
	Alias    Alias         // in another ecosystem; zero: none
	Adapter  bool          // it belongs to an adapter of model.lora
	Frozen   bool          // it stays as it is: it has no gradient
	Gradient plan.Interval // in the flat gradient, which has the parameters that are not frozen one after another
	Decay    bool          // weight decay applies: to all, as PyTorch's optimizers do by default; in gpt and llama to matrices alone
}

// Alias is what another ecosystem calls a tensor, and the order of its axes there: axis i there is axis Axes[i] here.
type Alias struct {
	Name string
	Axes []int
}

// Form is how another ecosystem's files hold a model's tensors, beside their aliases.
type Form struct {
	Prefix  string            // of names, which files may leave out
	Endings map[string]string // of old names, and what they are now
	Extras  map[string]Extra  // by their names there: tensors that files may have beside the model's
	Shared  map[string]string // tensors that files may lack, since they equal another one
}

// Extra is a tensor of another ecosystem's files that the model does not have. With no field set it holds nothing that the model could use.
type Extra struct {
	Equals string // the model's tensor that it must be equal to
	Zeros  []int  // its shape, where it must be zero, since the model does without it
	Else   string // what to do where it is not so
}

// Model is a network that fits a data set. It is immutable and holds no values.
type Model struct {
	schema     dataset.Schema
	loss       loss.Loss
	params     []Tensor
	stats      []Tensor
	fills      []fill // by parameter
	statFills  []fill
	length     int
	gradLength int
	statLength int
	momentum   []float64 // by statistic: weight of the newest batch
	network    network
	adapted    []adapted // the linear layers with adapters
	trained    []plan.Interval
	form       Form
	recompute  bool
	bfloat16   bool
	trimmed    bool // batches of training are as short as their longest sample
}

// Recomputing is the model whose gradient takes less memory and more time: most activations are dropped in the forward pass and computed
// again in the backward pass, with the same bits.
func (m *Model) Recomputing() *Model {
	again := *m
	again.recompute = true
	return &again
}

// InBFloat16 is the model whose products have operands rounded to bfloat16 and are added up in float32, and whose gradient keeps what it needs of the
// forward pass in two bytes each. Parameters, gradients and statistics stay float32.
func (m *Model) InBFloat16() *Model {
	narrow := *m
	narrow.bfloat16 = true
	return &narrow
}

// network records the whole computation for n samples, from the fields that it reads (Floats and Integers of the recorder) to the output,
// one row for each target.
type network interface {
	record(r *recorder, n int) (output *tensor.Value)
}

// Build makes the model that the configuration describes for data of the schema, trained with the loss. An error says which layer does not
// fit and how; it begins with the key at fault.
func Build(cfg config.Model, schema dataset.Schema, l loss.Loss) (*Model, error) {
	b := &builder{model: &Model{schema: schema, loss: l}, lora: newLoRA(cfg.LoRA)}
	var err error
	if b.model.network, err = b.build(cfg); err != nil {
		return nil, err
	}
	if b.fault != nil {
		return nil, b.fault
	}
	if err := b.lora.unused(); err != nil {
		return nil, err
	}
	if err := b.model.freeze(cfg); err != nil {
		return nil, err
	}
	if b.model.length == 0 {
		return nil, errors.New("model: no layer has parameters to train")
	}
	if b.model.length > maxParams {
		return nil, fmt.Errorf("model: %d parameters are more than the %d that fit one flat vector", b.model.length, maxParams)
	}
	b.model.trimmed = b.model.trims()
	return b.model, nil
}

// build declares the model's tensors and returns what records it.
func (b *builder) build(cfg config.Model) (network, error) {
	switch cfg.Kind {
	case config.ModelGraph:
		return buildGraph(b, cfg)
	case config.ModelT5:
		return buildT5(b, cfg)
	}
	spec, err := specOf(b.model.schema, b.model.loss)
	if err != nil {
		return nil, err
	}
	switch cfg.Kind {
	case config.ModelMLP:
		return buildMLP(b, cfg, spec)
	case config.ModelMobileNetV2:
		return buildMobileNetV2(b, cfg, spec)
	case config.ModelSequential:
		return buildSequential(b, cfg)
	case config.ModelGPT:
		return buildGPT(b, cfg, spec)
	case config.ModelLLaMA:
		return buildLLaMA(b, cfg, spec)
	case config.ModelBERT:
		return buildBERT(b, cfg, spec)
	}
	return nil, config.KeyErrorf("model.kind", "there is no model %q", cfg.Kind)
}

// maxParams bounds the flat vector, and with it what a job file can make a worker allocate.
const maxParams = 1 << 31

// volume is the number of elements of a tensor; of one that no model may have, maxParams+1, since what a job file asks for can
// be beyond any integer.
func volume(shape []int) int {
	n := 1
	for _, d := range shape {
		if d > 0 && n > maxParams/d {
			return maxParams + 1
		}
		n *= d
	}
	return n
}

// Loss is what the model is trained by.
func (m *Model) Loss() loss.Loss { return m.loss }

// Classifies reports whether a row of the output has one answer, a class or a single label, so that there are right answers to count.
func (m *Model) Classifies() bool {
	task := m.loss.Task()
	return task.Kind == metric.Classes || task.Kind == metric.Labels && task.Outputs == 1
}

// Params are the parameters in the order of the flat vector, without gaps.
func (m *Model) Params() []Tensor { return m.params }

// Len is the length of the flat parameter vector.
func (m *Model) Len() int { return m.length }

// GradientLen is the length of the flat gradient, that of the parameters that are not frozen.
func (m *Model) GradientLen() int { return m.gradLength }

// Trained are the intervals of the flat parameter vector that are not frozen, neighbours joined. One after another they are the flat gradient.
func (m *Model) Trained() []plan.Interval { return m.trained }

// Stats are the running statistics in the order of their own flat vector, without gaps.
func (m *Model) Stats() []Tensor { return m.stats }

// Form is how another ecosystem's files hold the tensors, beside their aliases.
func (m *Model) Form() Form { return m.form }

// StatsLen is the length of the flat vector of running statistics; 0 where the model has none.
func (m *Model) StatsLen() int { return m.statLength }

// fillBlock is how many values are made between two looks whether somebody still wants them: about ten milliseconds.
const fillBlock = 1 << 20

// Init fills the flat vectors with the values that training starts from. They are a pure function of the seed: each tensor
// draws from a stream of its own. Where ctx ends it gives up and returns why.
func (m *Model) Init(ctx context.Context, params, stats []float32, seed uint64) error {
	for k, t := range m.params {
		key := rng.InitKey(seed, uint64(k))
		for at := t.Interval.Begin; at < t.Interval.End; at += fillBlock {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			m.fills[k](params[at:min(at+fillBlock, t.Interval.End)], key, uint64(at-t.Interval.Begin))
		}
	}
	for k, t := range m.stats {
		m.statFills[k](stats[t.Interval.Begin:t.Interval.End], rng.Key{}, 0)
	}
	return nil
}

// FoldStatistics adds a seat's batch statistics, weighted by its samples, to the sum over seats: sum += count*seat. Seats
// are folded in their order, the sum begins at zero.
func FoldStatistics(sum, seat []float32, count uint64) {
	weight := float32(count)
	for i, s := range seat {
		sum[i] += float32(weight * s)
	}
}

// ApplyStatistics moves the running statistics towards the mean over the seats, sum/count, as PyTorch does:
// running = (1-momentum)*running + momentum*mean. With count 0 nothing moves.
func (m *Model) ApplyStatistics(running, sum []float32, count uint64) {
	if count == 0 {
		return
	}
	n := float32(count)
	for k, t := range m.stats {
		keep, take := float32(1-m.momentum[k]), float32(m.momentum[k])
		for i := t.Interval.Begin; i < t.Interval.End; i++ {
			running[i] = float32(keep*running[i]) + float32(take*(sum[i]/n))
		}
	}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
