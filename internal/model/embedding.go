package model

import "ringmaster/internal/tensor"

// embedding is torch.nn.Embedding: weight (vocabulary, width).
type embedding struct {
	weight, length int
	field          string // the tokens
}

func makeEmbedding(p *part, in shape) (layer, shape, error) {
	if in.form != tokens {
		return nil, shape{}, p.refuse("tokens of text", in, "leave it out")
	}
	l := &embedding{weight: p.weight(".weight", normal(1), in.vocabulary, p.Out), length: in.dims[0], field: in.field}
	return l, sequenceOf(in.dims[0], p.Out), nil
}

func (l *embedding) record(r *recorder, _ *tensor.Value) *tensor.Value {
	return r.Embedding(r.Integers(l.field, r.samples, l.length), r.param(l.weight), nil)
}
