package onnx

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"ringmaster/internal/tensor"
)

// attention is written out: scores, their softmax, and the sums of the values.
func (g *graph) attention(w tensor.AttentionStep, y *tensor.Value) {
	o := w.Options
	heads := func(c tensor.Columns, count int, axes ...int) string {
		x := g.last(c.Value)
		if width := count * o.Dim; c.Offset > 0 || width < c.Dim(2) {
			x = g.slice(x, c.Offset, c.Offset+width, 2)
		}
		split := g.make("Reshape", []string{x, g.integers(-1, c.Dim(1), count, o.Dim)})
		if count < o.Heads { // each stands for a group
			split = g.make("Gather", []string{split, g.integers(groups(o.Heads, count)...)}, attribute{"axis", 2})
		}
		return g.make("Transpose", []string{split}, attribute{"perm", axes})
	}
	q, k, v := heads(w.Q, o.Heads, 0, 2, 1, 3), heads(w.K, o.KeyHeads, 0, 2, 3, 1), heads(w.V, o.KeyHeads, 0, 2, 1, 3)
	scores := g.make("Mul", []string{g.make("MatMul", []string{q, k}), g.number(o.Scale)})
	if o.Bias != nil {
		scores = g.make("Add", []string{scores, g.last(o.Bias)})
	}
	if o.Causal {
		scores = g.make("Add", []string{scores, g.mask(w.Q.Dim(1))})
	}
	if o.Padded {
		scores = g.make("Where", []string{g.seen(w.K.Dim(1)), scores, g.number(float32(math.Inf(-1)))})
	}
	sums := g.make("MatMul", []string{g.make("Softmax", []string{scores}, attribute{"axis", -1}), v})
	joined := g.make("Transpose", []string{sums}, attribute{"perm", []int{0, 2, 1, 3}})
	g.put(y, joined, w.Q.Dim(0), w.Q.Dim(1), o.Heads, o.Dim)
}

// groups is which of the heads of keys each head of queries attends to.
func groups(heads, keyHeads int) []int {
	of := make([]int, heads)
	for h := range of {
		of[h] = h * keyHeads / heads
	}
	return of
}

// rotary is x times cosines plus the other column of each pair times sines, which have the signs.
func (g *graph) rotary(w tensor.RotaryStep, y *tensor.Value) {
	length, width, half := w.X.Dim(1), w.X.Dim(2), w.Dim/2
	other := make([]int, width)
	for c := range other {
		if other[c] = c + half; c%w.Dim >= half {
			other[c] = c - half
		}
	}
	table := func(what string, value func(angles []float32, column int) float32) string {
		key := fmt.Sprint(what, w.Table.Number(), width)
		if g.constants[key] == "" {
			g.constants[key] = g.unique(what)
			data := make([]float32, 0, length*width)
			for at := range length {
				for c := range width {
					data = append(data, value(w.Table.Constant()[at*w.Dim:][:w.Dim], c%w.Dim))
				}
			}
			g.hold(g.constants[key], []int{length, width}, data)
		}
		return g.constants[key]
	}
	cosines := table("cosines", func(angles []float32, c int) float32 { return angles[c%half] })
	sines := table("sines", func(angles []float32, c int) float32 {
		if c < half {
			return -angles[half+c]
		}
		return angles[c]
	})
	x := g.last(w.X)
	turned := g.make("Mul", []string{g.make("Gather", []string{x, g.integers(other...)}, attribute{"axis", 2}), sines})
	g.put(y, g.make("Add", []string{g.make("Mul", []string{x, cosines}), turned}))
}

// seen says which of the keys of each sample are not padding, as (batch, 1, 1, keys).
func (g *graph) seen(keys int) string {
	key := fmt.Sprint("seen ", keys)
	if g.constants[key] == "" {
		places := make([]int, keys)
		for k := range places {
			places[k] = k
		}
		lengths := g.make("Reshape", []string{g.lengths, g.integers(-1, 1, 1, 1)})
		g.constants[key] = g.make("Less", []string{g.integers(places...), lengths})
	}
	return g.constants[key]
}

// relativeBias looks the bias of each query and key up by the bucket of their distance.
func (g *graph) relativeBias(w tensor.RelativeBiasStep, y *tensor.Value) {
	queries, keys := y.Dim(1), y.Dim(2)
	name := g.unique("buckets")
	var buckets []int
	for q := range queries {
		for k := range keys {
			buckets = append(buckets, w.Options.Bucket(k-q, w.Table.Dim(0)))
		}
	}
	g.initializers = append(g.initializers, initializer{name: name, shape: []int{queries, keys}, integers: buckets})
	found := g.makeLayer("Gather", w.Table, []string{g.last(w.Table), name}, attribute{"axis", 0})
	g.put(y, g.make("Transpose", []string{found}, attribute{"perm", []int{2, 0, 1}}))
}

// mask hides the keys behind each query's own place.
func (g *graph) mask(length int) string {
	key := fmt.Sprint("mask ", length)
	name := g.constants[key]
	if name == "" {
		name = g.unique("mask")
		g.constants[key] = name
		hidden := make([]float32, length*length)
		for q := range length {
			for k := q + 1; k < length; k++ {
				hidden[q*length+k] = float32(math.Inf(-1))
			}
		}
		g.hold(name, []int{length, length}, hidden)
	}
	return name
}

// lstmGates and gruGates are PyTorch's gates in ONNX's order: input, output, forget, new; update, reset, new.
var (
	lstmGates = []int{0, 3, 1, 2}
	gruGates  = []int{1, 0, 2}
)

// recurrent is an LSTM or a GRU together with the linear layer of its inputs.
func (g *graph) recurrent(w tensor.RecurrentStep, y *tensor.Value) {
	from, is := g.steps[w.X.Number()].What.(tensor.LinearStep)
	if !is || from.ReLU {
		g.refuse(y, "a recurrent layer whose inputs come from no linear layer")
		return
	}
	op, gates := "LSTM", lstmGates
	attributes := []attribute{{"hidden_size", w.W.Dim(1)}, {"direction", "forward"}}
	if w.Reverse {
		attributes[1].value = "reverse"
	}
	if w.GRU {
		op, gates = "GRU", gruGates
		attributes = append(attributes, attribute{"linear_before_reset", 1})
	}
	steps := g.make("Transpose", []string{g.last(from.X)}, attribute{"perm", []int{1, 0, 2}})
	inputs := []string{steps, g.gates(from.W, gates), g.gates(w.W, gates)}
	if from.B != nil || w.B != nil {
		inputs = append(inputs, g.gateBiases(from.B, w.B, w.W.Dim(0), gates))
	}
	given := g.makeLayer(op, w.W, inputs, attributes...) // (steps, 1, samples, hidden)
	turned := g.make("Transpose", []string{given}, attribute{"perm", []int{2, 0, 1, 3}})
	g.put(y, turned, y.Dim(0), y.Dim(1), 1, y.Dim(2))
}

// gates is a weight with its gates in ONNX's order, as (1, gates*hidden, in).
func (g *graph) gates(w *tensor.Value, order []int) string {
	name, _ := g.tensorOf(w)
	return g.hold(g.unique(name+".gates"), []int{1, w.Dim(0), w.Dim(1)}, g.ordered(w, w.Size(), order)).name
}

// gateBiases is the biases of inputs and of the step before, side by side; nil is zeros.
func (g *graph) gateBiases(in, hidden *tensor.Value, length int, order []int) string {
	of := in
	if of == nil {
		of = hidden
	}
	name, _ := g.tensorOf(of)
	name = strings.Replace(name, "bias_ih", "bias", 1)
	return g.hold(g.unique(name+".gates"), []int{1, 2 * length}, slices.Concat(g.ordered(in, length, order), g.ordered(hidden, length, order))).name
}

// ordered is the elements of a parameter with its gates in another order; nil is zeros.
func (g *graph) ordered(v *tensor.Value, size int, order []int) []float32 {
	if v == nil {
		return make([]float32, size)
	}
	at, _ := v.Parameter()
	data := g.params[at.Begin:at.End]
	part := size / len(order)
	var out []float32
	for _, k := range order {
		out = append(out, data[k*part:(k+1)*part]...)
	}
	return out
}
