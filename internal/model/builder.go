package model

import (
	"fmt"
	"slices"

	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor"
)

// builder declares a model's tensors in the order of the flat vectors.
type builder struct {
	model *Model
	names map[string]bool
	loan  *loan
	lora  *lora
	parts map[int]bool // parameters that are used in parts
	fault error        // why a tensor that the job file asks for cannot be
}

// loan has the tensors of one node stand for those of another.
type loan struct {
	from, to string // names of the nodes
	used     bool
}

// parameter declares a parameter and returns its number.
func (b *builder) parameter(name string, decay bool, with fill, shape ...int) int {
	m := b.model
	if b.loan != nil {
		return b.lent(name, shape)
	}
	t := b.tensor(name, &m.length, shape)
	t.Decay = decay
	m.params = append(m.params, t)
	m.fills = append(m.fills, with)
	return len(m.params) - 1
}

// lent is the number of the parameter that stands for one of the given name.
func (b *builder) lent(name string, shape []int) int {
	b.loan.used = true
	rest, _ := under(name, b.loan.to)
	name = b.loan.from + "." + rest
	k := slices.IndexFunc(b.model.params, func(t Tensor) bool { return t.Name == name })
	switch {
	case b.fault != nil:
	case k >= 0 && b.parts[k]:
		b.fault = fmt.Errorf("node %s attends to another sequence, so it lends no weights", b.loan.from)
	case k < 0:
		b.fault = fmt.Errorf("node %s has no tensor %s to lend", b.loan.from, rest)
	case !slices.Equal(b.model.params[k].Shape, shape):
		b.fault = fmt.Errorf("it would need %s of %s but that of node %s is %s", rest, extent(shape), b.loan.from, extent(b.model.params[k].Shape))
	}
	return k
}

// predicts reports whether the model predicts each next token of its only input, which no layer may then look ahead for.
func (b *builder) predicts() bool {
	in := b.model.schema.Of(dataset.Input)
	return len(in) == 1 && in[0].Type == dataset.Int32 && b.model.loss.Rows() > 1 && b.model.loss.Target().Name != dataset.HiddenTokens
}

// part says that a parameter is used in parts, so that it cannot also be used as a whole.
func (b *builder) part(k int) {
	if b.parts == nil {
		b.parts = map[int]bool{}
	}
	b.parts[k] = true
}

// statistic declares a running statistic and returns where it lies in the flat vector. momentum is the weight of the newest
// batch.
func (b *builder) statistic(name string, momentum float64, with fill, shape ...int) plan.Interval {
	m := b.model
	if b.loan != nil && b.fault == nil {
		b.fault = fmt.Errorf("running statistics belong to one node; only layers without them can use the weights of another")
	}
	m.momentum = append(m.momentum, momentum)
	t := b.tensor(name, &m.statLength, shape)
	m.stats = append(m.stats, t)
	m.statFills = append(m.statFills, with)
	return t.Interval
}

// alias says what a parameter is in another ecosystem.
func (b *builder) alias(parameter int, name string, axes ...int) {
	b.model.params[parameter].Alias = Alias{name, axes}
}

// statAlias says what a running statistic is in another ecosystem.
func (b *builder) statAlias(at plan.Interval, name string, axes ...int) {
	k := slices.IndexFunc(b.model.stats, func(t Tensor) bool { return t.Interval == at })
	b.model.stats[k].Alias = Alias{name, axes}
}

// extra says what a tensor of another ecosystem's files is to the model, which does not have it.
func (b *builder) extra(name string, e Extra) {
	if b.model.form.Extras == nil {
		b.model.form.Extras = map[string]Extra{}
	}
	b.model.form.Extras[name] = e
}

func (b *builder) tensor(name string, length *int, shape []int) Tensor {
	if b.names == nil {
		b.names = map[string]bool{}
	}
	if b.names[name] && b.fault == nil {
		b.fault = fmt.Errorf("two tensors would be named %s; give the layer another name", name)
	}
	b.names[name] = true
	begin := *length
	*length += volume(shape)
	return Tensor{Name: name, Shape: shape, Interval: plan.Interval{Begin: begin, End: *length}}
}

// recorder records layers for one batch shape. A parameter is one Value however often it is used.
type recorder struct {
	*tensor.Graph
	model   *Model
	samples int
	widths  widths
	values  []*tensor.Value // by parameter

	bindings []binding       // inputs, in the order of their first use
	outputs  []*tensor.Value // of a model with several, in the order of the losses

	predicts bool // there is neither a loss nor a gradient

	undefined string // the first batch norm that sees one value a channel; "": none
}

func newRecorder(m *Model, training bool, samples int) *recorder {
	g := tensor.NewGraph(training)
	if m.bfloat16 {
		g.BFloat16()
	}
	return &recorder{Graph: g, model: m, samples: samples, values: make([]*tensor.Value, len(m.params))}
}

// param is the parameter of the given number; nil for none (a layer without bias).
func (r *recorder) param(k int) *tensor.Value {
	if k < 0 {
		return nil
	}
	if r.values[k] == nil {
		t := r.model.params[k]
		r.values[k] = r.parameter(&t, t.Interval, t.Shape...)
	}
	return r.values[k]
}

// rows is the part of a parameter from a row of its first axis to another; nil for none. Each part is one Value, and must be used once.
func (r *recorder) rows(k, begin, end int) *tensor.Value {
	if k < 0 {
		return nil
	}
	t := r.model.params[k]
	width := t.Interval.Len() / t.Shape[0]
	at := plan.Interval{Begin: t.Interval.Begin + begin*width, End: t.Interval.Begin + end*width}
	return r.parameter(&t, at, append([]int{end - begin}, t.Shape[1:]...)...)
}

// parameter is an interval of the flat vector that belongs to a tensor.
func (r *recorder) parameter(t *Tensor, at plan.Interval, shape ...int) *tensor.Value {
	if t.Frozen {
		return r.Frozen(at, shape...)
	}
	shift := t.Gradient.Begin - t.Interval.Begin
	return r.ParameterAt(at, plan.Interval{Begin: at.Begin + shift, End: at.End + shift}, shape...)
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
