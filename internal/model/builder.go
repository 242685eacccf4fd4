package model

import (
	"fmt"
	"math"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor"
)

// builder declares a model's tensors in the order of the flat vectors.
type builder struct {
	model *Model
	names map[string]bool
}

// parameter declares a parameter and returns its number.
func (b *builder) parameter(name string, decay bool, with fill, shape ...int) int {
	m := b.model
	t := b.tensor(name, &m.length, shape)
	t.Decay = decay
	m.params = append(m.params, t)
	m.fills = append(m.fills, with)
	return len(m.params) - 1
}

// statistic declares a running statistic and returns where it lies in the flat vector. momentum is the weight of the newest
// batch.
func (b *builder) statistic(name string, momentum float64, with fill, shape ...int) plan.Interval {
	m := b.model
	m.momentum = append(m.momentum, momentum)
	t := b.tensor(name, &m.statLength, shape)
	m.stats = append(m.stats, t)
	m.statFills = append(m.statFills, with)
	return t.Interval
}

func (b *builder) tensor(name string, length *int, shape []int) Tensor {
	if b.names == nil {
		b.names = map[string]bool{}
	}
	if b.names[name] {
		panic(fmt.Sprintf("model: two tensors are named %s", name))
	}
	b.names[name] = true
	begin := *length
	*length += volume(shape)
	return Tensor{Name: name, Shape: shape, Interval: plan.Interval{Begin: begin, End: *length}}
}

// fill writes first values of a tensor, those from element offset on, from a stream of random numbers of the tensor's own.
type fill func(dst []float32, key rng.Key, offset uint64)

func zeros(dst []float32, _ rng.Key, _ uint64) { clear(dst) }

func ones(dst []float32, _ rng.Key, _ uint64) {
	for i := range dst {
		dst[i] = 1
	}
}

// glorotUniform draws from [-a, a], a = sqrt(6/(in+out)).
func glorotUniform(in, out int) fill {
	a := float32(math.Sqrt(6 / float64(in+out)))
	return uniform(-a, a)
}

// uniform draws from [low, high).
func uniform(low, high float32) fill {
	return func(dst []float32, key rng.Key, offset uint64) { key.FillUniform(dst, offset, low, high) }
}

// normal draws from a normal distribution around zero.
func normal(deviation float64) fill {
	return func(dst []float32, key rng.Key, offset uint64) { key.FillNormal(dst, offset, 0, float32(deviation)) }
}

// recorder records layers for one batch shape. A parameter is one Value however often it is used.
type recorder struct {
	*tensor.Graph
	model  *Model
	values []*tensor.Value // by parameter

	bindings []binding // inputs, in the order of their first use
}

func newRecorder(m *Model, training bool) *recorder {
	return &recorder{Graph: tensor.NewGraph(training), model: m, values: make([]*tensor.Value, len(m.params))}
}

// param is the parameter of the given number; nil for none (a layer without bias).
func (r *recorder) param(k int) *tensor.Value {
	if k < 0 {
		return nil
	}
	if r.values[k] == nil {
		t := r.model.params[k]
		r.values[k] = r.Parameter(t.Interval, t.Shape...)
	}
	return r.values[k]
}

// none is the number of a parameter that a layer does without.
const none = -1

// layer records its operations on x.
type layer interface {
	record(r *recorder, x *tensor.Value) *tensor.Value
}

// chain is layers one after another.
type chain []layer

func (c chain) record(r *recorder, x *tensor.Value) *tensor.Value {
	for _, l := range c {
		x = l.record(r, x)
	}
	return x
}
