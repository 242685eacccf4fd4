package model

import (
	"math"

	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// attention is torch.nn.MultiheadAttention (batch_first): in_proj_weight (3 width, width), in_proj_bias (3 width), out_proj.weight
// (width, width), out_proj.bias (width). A sequence attends to itself or, as a node of two inputs, to another of its width.
type attention struct {
	weight, bias int // of queries, keys and values, one below the other
	out          *linear
	options      tensor.AttentionOptions
	width        int
}

func makeAttention(p *part, in shape) (layer, shape, error) {
	l, err := newAttention(p, in)
	return l, in, err
}

func makeCrossAttention(p *part, in []shape) (layer, shape, error) {
	if in[1].form != sequence || in[0].form == sequence && in[1].dims[1] != in[0].dims[1] {
		return nil, shape{}, p.errorf("%s takes two sequences of equal width but gets %s and %s", p.what(), in[0], in[1])
	}
	if p.Causal && in[0].form == sequence && in[0].dims[0] != in[1].dims[0] {
		return nil, shape{}, p.errorf("%s is causal but gets %s and %s, of different lengths", p.what(), in[0], in[1])
	}
	if p.builder.loan != nil {
		return nil, shape{}, p.errorf("%s attends to another sequence, so it needs weights of its own", p.what())
	}
	l, err := newAttention(p, in[0])
	if err != nil {
		return nil, shape{}, err
	}
	p.builder.part(l.weight)
	return l, in[0], nil
}

func newAttention(p *part, in shape) (*attention, error) {
	if in.form != sequence {
		return nil, p.refuse("a sequence", in, "")
	}
	width := in.dims[1]
	if width%p.Heads != 0 {
		return nil, p.errorf("%s of %d heads cannot divide the width %d among them", p.what(), p.Heads, width)
	}
	if !p.Causal && p.builder.predicts() {
		return nil, p.errorf("%s would see the tokens that it is to predict; write causal: true", p.what())
	}
	dim := width / p.Heads
	l := &attention{width: width, out: &linear{}, options: tensor.AttentionOptions{Heads: p.Heads, Dim: dim,
		Scale: float32(1 / math.Sqrt(float64(dim))), Causal: p.Causal, Rate: float32(p.Rate)}}
	l.weight = p.weight(".in_proj_weight", glorotUniform(width, 3*width), 3*width, width)
	l.bias = p.bias(".in_proj_bias", zeros, 3*width)
	l.out.weight = p.weight(".out_proj.weight", torchUniform(width), width, width)
	l.out.bias = p.bias(".out_proj.bias", zeros, width)
	return l, nil
}

func (l *attention) record(r *recorder, x *tensor.Value) *tensor.Value {
	all := r.Linear(x, r.param(l.weight), r.param(l.bias), kernel.None)
	return l.out.record(r, r.Attention(tensor.Columns{Value: all}, tensor.Columns{Value: all, Offset: l.width},
		tensor.Columns{Value: all, Offset: 2 * l.width}, l.options))
}

func (l *attention) join(r *recorder, xs []*tensor.Value) *tensor.Value {
	q := r.Linear(xs[0], r.rows(l.weight, 0, l.width), r.rows(l.bias, 0, l.width), kernel.None)
	kv := r.Linear(xs[1], r.rows(l.weight, l.width, 3*l.width), r.rows(l.bias, l.width, 3*l.width), kernel.None)
	return l.out.record(r, r.Attention(tensor.Columns{Value: q}, tensor.Columns{Value: kv}, tensor.Columns{Value: kv, Offset: l.width}, l.options))
}
