package model

import (
	"errors"

	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor"
)

// quantize puts the nearest row of a table in the place of each vector of features: weight (codes, features), as the embedding of VQ-VAE.
// Of images each pixel is such a vector, so that a picture becomes as many whole numbers as it has pixels there.
type quantize struct {
	weight, codes int
	commitment    float32
	in            shape
}

func makeQuantize(p *part, in shape) (layer, shape, error) {
	if l := p.builder.model.loss; l.Weight() != "" {
		return nil, shape{}, p.errorf("%s adds to the loss of each sample, so it does not go with weights of samples (%s): leave data.weight out", p.what(), l.Weight())
	}
	bound := 1 / float32(p.Codes)
	weight := p.weight(".weight", uniform(-bound, bound), p.Codes, in.features())
	return &quantize{weight: weight, codes: p.Codes, commitment: float32(p.Commitment), in: in}, in, nil
}

func (l *quantize) record(r *recorder, x *tensor.Value) *tensor.Value {
	y, _ := r.Quantize(x, r.param(l.weight), l.commitment)
	return y
}

// look records what the codes stand for.
func (l *quantize) look(r *recorder, codes *tensor.Integers) *tensor.Value {
	x := r.Embedding(codes, r.param(l.weight), nil)
	if l.in.form == images {
		return r.Reshape(x, r.samples, l.in.dims[1], l.in.dims[2], l.in.dims[0])
	}
	return x
}

// Coder is a model that writes pictures as whole numbers: a sequential autoencoder with one layer quantize in its stack. What is before that
// layer makes codes of a picture, what is after it makes a picture of codes.
type Coder struct {
	model  *Model
	source source
	before chain
	middle *quantize
	after  chain
}

// Coder is the model taken apart. The error says why it is none.
func (m *Model) Coder() (*Coder, error) {
	g, ok := m.network.(*graph)
	if !ok || len(g.nodes) != 1 || len(g.sources) != 1 {
		return nil, errNoCoder
	}
	layers, ok := g.nodes[0].layer.(chain)
	if !ok {
		return nil, errNoCoder
	}
	c := &Coder{model: m, source: g.sources[0]}
	for i, l := range layers {
		middle, is := l.(*quantize)
		switch {
		case !is:
		case c.middle != nil:
			return nil, errors.New("its stack has two layers quantize, where one makes the codes")
		default:
			c.before, c.middle, c.after = layers[:i], middle, layers[i+1:]
		}
	}
	switch {
	case c.middle == nil:
		return nil, errNoCoder
	case m.loss.Target().Name != c.source.field.Name:
		return nil, errors.New("it does not learn to give back its input: train it with train.target: pixels")
	case c.middle.in.form != images:
		return nil, errors.New("its layer quantize gets " + c.middle.in.String() + ", where codes are made of images")
	}
	return c, nil
}

var errNoCoder = errors.New("it makes no codes: an autoencoder that does is of kind sequential, with a layer quantize in its stack")

// Model is the whole model.
func (c *Coder) Model() *Model { return c.model }

// Grid is how many rows and columns of codes a picture becomes.
func (c *Coder) Grid() (rows, columns int) { return c.middle.in.dims[1], c.middle.in.dims[2] }

// Steps is how many codes a picture becomes, row by row.
func (c *Coder) Steps() int { return c.middle.in.steps() }

// Codes is how many codes there are: from 0 on.
func (c *Coder) Codes() int { return c.middle.codes }

// Encode is the codes of a batch of pictures, Steps of each, valid until the next call.
func (r *Replica) Encode(params, stats []float32, batch *dataset.Batch) []int32 {
	r.check(params, stats)
	if batch.N == 0 {
		return nil
	}
	p := r.prepare(forCodes, batch)
	r.context.Running = stats
	p.program.Forward(&r.context, params)
	return p.nearest
}

// Decode is the pictures of n times Steps codes, as the model gives them, valid until the next call.
func (r *Replica) Decode(params, stats []float32, codes []int32, n int) []float32 {
	r.check(params, stats)
	if n == 0 {
		return nil
	}
	p := r.find(forPictures, n, widths{})
	r.clock++
	p.used, r.last = r.clock, p
	r.context.Team, r.context.Running = r.team, stats
	p.program.SetIntegers(p.codes, codes)
	p.program.Forward(&r.context, params)
	return p.logits.Data()
}

// compileCoder records one of the two ways through a coder.
func (m *Model) compileCoder(purpose purpose, size int) *recorded {
	c, err := m.Coder()
	if err != nil {
		panic("model: " + err.Error()) // callers have asked before
	}
	rec := newRecorder(m, false, size)
	out := &recorded{size: size, purpose: purpose}
	if purpose == forCodes {
		out.logits, out.nearest = rec.Quantize(c.before.record(rec, c.source.record(rec)), rec.param(c.middle.weight), 0)
	} else {
		out.codes = rec.Graph.Integers(size, c.Steps())
		out.logits = c.after.record(rec, c.middle.look(rec, out.codes))
	}
	rec.Hold(out.logits)
	out.program, out.bindings = rec.Compile(), rec.bindings
	return out
}
