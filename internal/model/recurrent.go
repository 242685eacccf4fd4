package model

import (
	"strconv"

	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// recurrent is torch.nn.LSTM or GRU (batch_first): for layer k and each direction weight_ih_lk (gates out, in), weight_hh_lk
// (gates out, out), bias_ih_lk and bias_hh_lk (gates out), with the suffix _reverse for the second direction. It gives what every step of
// the last layer gives, both directions side by side.
type recurrent struct {
	layers [][]direction
	gru    bool
	rate   float32 // of dropout between layers
}

// direction is the parameters of one pass over the steps.
type direction struct {
	in, hidden, inBias, hiddenBias int
	reverse                        bool
}

func makeRecurrent(p *part, in shape) (layer, shape, error) {
	if in.form != sequence {
		do := ""
		if in.form == signal {
			do = "put transpose before it"
		}
		return nil, shape{}, p.refuse("a sequence", in, do)
	}
	if p.Bidirectional && p.builder.predicts() {
		return nil, shape{}, p.errorf("%s is bidirectional, so it would see the tokens that it is to predict; leave that out", p.what())
	}
	l := &recurrent{gru: p.Kind == "gru", rate: float32(p.Rate)}
	gates := 4
	if l.gru {
		gates = 3
	}
	first := torchUniform(p.Out)
	width := in.dims[1]
	for k := range p.Layers {
		var directions []direction
		for _, suffix := range []string{"", "_reverse"} {
			if suffix != "" && !p.Bidirectional {
				continue
			}
			name := "_l" + strconv.Itoa(k) + suffix
			d := direction{reverse: suffix != ""}
			d.in = p.weight(".weight_ih"+name, first, gates*p.Out, width)
			d.hidden = p.weight(".weight_hh"+name, first, gates*p.Out, p.Out)
			d.inBias, d.hiddenBias = p.bias(".bias_ih"+name, first, gates*p.Out), p.bias(".bias_hh"+name, first, gates*p.Out)
			directions = append(directions, d)
		}
		width = p.Out * len(directions)
		l.layers = append(l.layers, directions)
	}
	return l, in.with(width), nil
}

func (l *recurrent) record(r *recorder, x *tensor.Value) *tensor.Value {
	for k, directions := range l.layers {
		if k > 0 {
			x = r.Dropout(x, l.rate)
		}
		var outs []*tensor.Value
		for _, d := range directions {
			gates := r.Linear(x, r.param(d.in), r.param(d.inBias), kernel.None)
			with := r.LSTM
			if l.gru {
				with = r.GRU
			}
			outs = append(outs, with(gates, r.param(d.hidden), r.param(d.hiddenBias), d.reverse))
		}
		x = outs[0]
		if len(outs) > 1 {
			x = r.Concat(outs...)
		}
	}
	return x
}
