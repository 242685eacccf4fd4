package model

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// maxActivation bounds what a layer gives for one sample.
const maxActivation = 1 << 28

// part is a layer as the job file describes it, with what is needed to make it.
type part struct {
	config.Layer
	builder *builder
	at      string // the key in the job file: "model.stack[3]"
	name    string // what the names of its tensors begin with
	node    bool   // of a graph
}

// maker makes a layer for what comes in and says what the layer gives.
type maker func(p *part, in shape) (layer, shape, error)

// makers are the makers of every kind of config.LayerKinds that has one input.
var makers map[string]maker

func init() {
	makers = map[string]maker{
		"linear": makeLinear, "conv": makeConv, "conv1d": makeConv, "conv_transpose": makeConvTranspose, "conv_transpose1d": makeConvTranspose,
		"embedding": makeEmbedding, "positions": makePositions, "attention": makeAttention, "lstm": makeRecurrent, "gru": makeRecurrent,
		"batch_norm": makeBatchNorm, "layer_norm": makeNorm, "rms_norm": makeNorm, "group_norm": makeGroupNorm, "instance_norm": makeGroupNorm,
		"leaky_relu": makeLeaky, "elu": makeLeaky, "upsample": makeUpsample,
		"max_pool": makePool, "average_pool": makePool, "global_max_pool": makeGlobalPool, "global_average_pool": makeGlobalPool,
		"flatten": makeFlatten, "reshape": makeReshape, "transpose": makeTranspose, "to_sequence": makeToSequence, "last_step": makeLastStep,
		"dropout": makeDropout, "quantize": makeQuantize, "residual": makeResidual,
	}
	for kind, f := range functions {
		makers[kind] = func(_ *part, in shape) (layer, shape, error) { return f, in, nil }
	}
}

// make makes the layer and checks what it gives and takes.
func (p *part) make(in shape) (layer, shape, error) {
	with := makers[p.Kind]
	switch {
	case with == nil:
		return nil, shape{}, p.errorf("there is no layer %q", p.Kind)
	case in.form == tokens && p.Kind != "embedding":
		return nil, shape{}, p.refuse("values", in, "")
	}
	made, out, err := with(p, in)
	if err == nil {
		err = p.checkSize(out)
	}
	return made, out, err
}

// makeNode is make for a node, which may have several inputs.
func (p *part) makeNode(in []shape) (layer, shape, error) {
	if !p.Joins() && len(in) == 1 {
		return p.make(in[0])
	}
	for _, s := range in {
		if s.form == tokens {
			return nil, shape{}, p.refuse("values", s, "")
		}
	}
	with := joiners[p.Kind]
	if with == nil || len(in) < 2 {
		return nil, shape{}, p.errorf("%s does not take %s", p.what(), plural.Of(len(in), "input"))
	}
	made, out, err := with(p, in)
	if err == nil {
		err = p.checkSize(out)
	}
	return made, out, err
}

// joiners are the makers of layers that several inputs are for.
var joiners = map[string]func(p *part, in []shape) (layer, shape, error){
	"add": makeJoint, "multiply": makeJoint, "concat": makeConcat, "attention": makeCrossAttention,
}

// what is how messages call the layer.
func (p *part) what() string {
	if p.node {
		return fmt.Sprintf("node %s (%s)", p.name, p.Kind)
	}
	return p.Kind
}

func (p *part) checkSize(out shape) error {
	switch {
	case p.builder.fault != nil:
		return p.errorf("%s: %w", p.what(), p.builder.fault)
	case out.size() > maxActivation:
		return p.errorf("%s gives %s values a sample, more than %d", p.what(), extent(out.dims), maxActivation)
	case p.builder.model.length > maxParams:
		return p.errorf("with %s the model has more than %d parameters", p.what(), maxParams)
	}
	return nil
}

func (p *part) errorf(format string, args ...any) error {
	return config.KeyErrorf(p.at, format, args...)
}

// refuse is the error for what the layer cannot take.
func (p *part) refuse(takes string, in shape, do string) error {
	if in.form == tokens {
		do = "put an embedding before it"
	}
	if do != "" {
		do = "; " + do
	}
	return p.errorf("%s takes %s but gets %s%s", p.what(), takes, in, do)
}

// weight declares a weight tensor that begins as the job file says, or else with values of the given kind.
func (p *part) weight(name string, otherwise fill, shape ...int) int {
	return p.builder.parameter(p.name+name, true, p.first(otherwise, shape), shape...)
}

// bias declares a bias, where the layer has one.
func (p *part) bias(name string, with fill, length int) int {
	if !p.Bias {
		return none
	}
	return p.builder.parameter(p.name+name, true, with, length)
}

// buildStack makes the layers of one list. key is where the list stands in the job file, prefix what names begin with.
func buildStack(b *builder, key, prefix string, list []config.Layer, in shape) (chain, shape, error) {
	var layers chain
	for k := 0; k < len(list); k++ {
		name := list[k].Name
		if name == "" {
			name = strconv.Itoa(k)
		}
		p := &part{Layer: list[k], builder: b, at: fmt.Sprintf("%s[%d]", key, k), name: prefix + name}
		made, out, err := p.make(in)
		if err != nil {
			return nil, shape{}, err
		}
		if k+1 < len(list) && fuse(made, list[k+1].Kind) {
			k++
		}
		layers, in = append(layers, made), out
	}
	return layers, in, nil
}

// fuse takes an activation into the layer before it where that has a form with it. The bits stay the same.
func fuse(l layer, next string) bool {
	switch l := l.(type) {
	case *linear:
		if next == "relu" {
			l.act = kernel.ReLUActivation
			return true
		}
	case *conv:
		if next == "relu" {
			l.options.ReLU = true
			return true
		}
	case *batchNorm:
		switch next {
		case "relu":
			l.options.Activation = tensor.ReLUNorm
			return true
		case "relu6":
			l.options.Activation = tensor.ReLU6Norm
			return true
		}
	}
	return false
}

// residual is x + stack(x), or shortcut(x) + stack(x).
type residual struct {
	layers, shortcut chain
}

func makeResidual(p *part, in shape) (layer, shape, error) {
	layers, out, err := buildStack(p.builder, p.at+".stack", p.name+".", p.Stack, in)
	if err != nil {
		return nil, shape{}, err
	}
	prefix := p.name + "."
	if !slices.ContainsFunc(p.Shortcut, func(l config.Layer) bool { return l.Name != "" }) {
		prefix += "shortcut."
	}
	shortcut, beside, err := buildStack(p.builder, p.at+".shortcut", prefix, p.Shortcut, in)
	if err != nil {
		return nil, shape{}, err
	}
	if !out.equals(beside) {
		what := "its input is"
		if len(p.Shortcut) > 0 {
			what = "its shortcut gives"
		}
		return nil, shape{}, p.errorf("the residual block gives %s but %s %s; they are added, so they must agree", out, what, beside)
	}
	if out.form == tokens {
		return nil, shape{}, p.refuse("values", in, "")
	}
	return &residual{layers, shortcut}, out, nil
}

func (l *residual) record(r *recorder, x *tensor.Value) *tensor.Value {
	return r.Add(l.shortcut.record(r, x), l.layers.record(r, x))
}

// under is a name without the prefix, as "0.weight" of "layer1.0.weight".
func under(name, prefix string) (rest string, ok bool) {
	return strings.CutPrefix(name, prefix+".")
}
