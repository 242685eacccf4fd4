package onnx

import (
	"fmt"
	"math"

	"ringmaster/internal/tensor"
)

// operation writes the nodes of one operation of the program.
func (g *graph) operation(s tensor.Step) {
	switch w := s.What.(type) {
	case tensor.LinearStep:
		g.linear(w, s.Makes)
	case tensor.ConvStep:
		g.conv(w, s.Makes)
	case tensor.ConvTransposeStep:
		g.convTranspose(w, s.Makes)
	case tensor.AttentionStep:
		g.attention(w, s.Makes)
	case tensor.BatchNormStep:
		g.batchNorm(w, s.Makes)
	case tensor.NormStep:
		g.norm(w, s.Makes)
	case tensor.ChannelAffineStep:
		g.channelAffine(w, s.Makes)
	case tensor.ScaleChannelsStep:
		g.scaleChannels(w, s.Makes)
	case tensor.PoolStep:
		g.pool(w, s.Makes)
	case tensor.AdaptivePoolStep:
		g.adaptivePool(w, s.Makes)
	case tensor.UpsampleStep:
		g.upsample(w, s.Makes)
	case tensor.EmbeddingStep:
		g.embedding(w, s.Makes)
	case tensor.QuantizeStep:
		g.quantize(w, s.Makes)
	case tensor.RecurrentStep:
		g.recurrent(w, s.Makes)
	case tensor.RotaryStep:
		g.rotary(w, s.Makes)
	case tensor.RelativeBiasStep:
		g.relativeBias(w, s.Makes)
	default:
		g.movement(s)
	}
}

// movement writes what combines, moves or changes elements one by one.
func (g *graph) movement(s tensor.Step) {
	y := s.Makes
	switch w := s.What.(type) {
	case tensor.FunctionStep:
		g.each(y, func(x []string, _ int) string { return g.function(w, x[0]) }, w.X)
	case tensor.AddStep:
		g.each(y, func(x []string, _ int) string { return g.make("Add", x) }, w.A, viewed(w.B, w.A.Shape))
	case tensor.MultiplyStep:
		g.each(y, func(x []string, _ int) string { return g.make("Mul", x) }, w.A, viewed(w.B, w.A.Shape))
	case tensor.SoftmaxStep:
		op := "Softmax"
		if w.Log {
			op = "LogSoftmax"
		}
		g.each(y, func(x []string, axis int) string { return g.make(op, x, attribute{"axis", axis}) }, w.X)
	case tensor.ConcatStep:
		g.each(y, func(x []string, axis int) string { return g.make("Concat", x, attribute{"axis", axis}) }, w.Parts...)
	case tensor.SliceStep:
		g.each(y, func(x []string, axis int) string { return g.slice(x[0], w.Begin, w.End, axis) }, w.X)
	case tensor.PositionsStep:
		g.put(y, g.make("Add", []string{g.last(w.X), g.table(w.Table, w.X.Dim(1))}))
	case tensor.PickStep:
		g.put(y, g.make("Gather", []string{g.last(w.X), g.index(w.T)}, attribute{"axis", 1}))
	case tensor.TransposeStep:
		g.transpose(w, y)
	default:
		g.refuse(y, fmt.Sprintf("%T", s.What))
	}
}

// refuse records that there is no form of an operation in ONNX. The graph goes on with a name that nothing has.
func (g *graph) refuse(y *tensor.Value, what string) {
	if g.fault == nil {
		g.fault = fmt.Errorf("%s has no form in ONNX (opset %d); export the model as safetensors", what, opset)
	}
	g.put(y, "")
}

// each writes what treats all channels alike, or goes along them, in the order in which its inputs are at hand. f gets their names and
// the axis of the channels.
func (g *graph) each(y *tensor.Value, f func(inputs []string, channels int) string, xs ...*tensor.Value) {
	leads := true
	for _, x := range xs {
		leads = g.leads(x) && leads // all are computed, in this order
	}
	var names []string
	for _, x := range xs {
		if leads {
			names = append(names, g.first(x))
		} else {
			names = append(names, g.last(x))
		}
	}
	if leads {
		g.putFirst(y, f(names, 1))
	} else {
		g.put(y, f(names, -1))
	}
}

func (g *graph) function(w tensor.FunctionStep, x string) string {
	times := func(a, b string) string { return g.make("Mul", []string{a, b}) }
	plus := func(a, b string) string { return g.make("Add", []string{a, b}) }
	switch w.Function {
	case tensor.ReLUFunction:
		return g.make("Relu", []string{x})
	case tensor.ReLU6Function:
		return g.relu6(x)
	case tensor.SigmoidFunction:
		return g.make("Sigmoid", []string{x})
	case tensor.TanhFunction:
		return g.make("Tanh", []string{x})
	case tensor.SoftplusFunction:
		return g.make("Softplus", []string{x})
	case tensor.LeakyReLUFunction:
		return g.make("LeakyRelu", []string{x}, attribute{"alpha", w.Slope})
	case tensor.ELUFunction:
		return g.make("Elu", []string{x}, attribute{"alpha", w.Slope})
	case tensor.ScaleFunction:
		return times(x, g.number(w.Slope))
	case tensor.SiLUFunction:
		return times(x, g.make("Sigmoid", []string{x}))
	case tensor.GELUFunction: // x/2 (1 + erf(x/sqrt 2)); opset 20 has a Gelu
		erf := g.make("Erf", []string{times(x, g.number(float32(math.Sqrt2/2)))})
		return times(times(x, g.number(0.5)), plus(erf, g.number(1)))
	case tensor.GELUTanhFunction: // x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
		cube := times(times(x, x), times(x, g.number(0.044715)))
		tanh := g.make("Tanh", []string{times(plus(x, cube), g.number(float32(math.Sqrt(2/math.Pi))))})
		return times(times(x, g.number(0.5)), plus(tanh, g.number(1)))
	}
	panic(fmt.Sprintf("onnx: function %d", w.Function))
}

func (g *graph) relu6(x string) string { return g.make("Clip", []string{x, g.number(0), g.number(6)}) }

func (g *graph) reluIf(is bool, x string) string {
	if is {
		return g.make("Relu", []string{x})
	}
	return x
}

func (g *graph) slice(x string, begin, end, axis int) string {
	return g.make("Slice", []string{x, g.integers(begin), g.integers(end), g.integers(axis)})
}

// index is a whole number without axes.
func (g *graph) index(k int) string {
	key := fmt.Sprint("index ", k)
	if g.constants[key] == "" {
		g.constants[key] = g.unique("index")
		g.initializers = append(g.initializers, initializer{name: g.constants[key], shape: []int{}, integers: []int{k}})
	}
	return g.constants[key]
}

// table is the first rows of a table.
func (g *graph) table(table *tensor.Value, rows int) string {
	name := g.last(table)
	if table.Dim(0) > rows {
		return g.slice(name, 0, rows, 0)
	}
	return name
}

// transpose writes nothing: the same elements are the one value with its channels last, and the other's with them first.
func (g *graph) transpose(w tensor.TransposeStep, y *tensor.Value) {
	samples, rows, columns := w.X.Dim(0), w.X.Dim(1), w.X.Dim(2)
	l := g.of(w.X)
	if first, is := l.first[columns]; is && l.last == nil && first.samples == samples && first.positions == rows {
		g.values[y.Number()] = &layouts{last: first.order}
		return
	}
	g.values[y.Number()] = &layouts{first: map[int]channelsFirst{rows: {g.memory(w.X), samples, columns}}}
}

// linear is Gemm on rows. Where the rows are pixels with the channels first, it is the 1x1 convolution as which the job file has it.
func (g *graph) linear(w tensor.LinearStep, y *tensor.Value) {
	in, out := w.W.Dim(1), w.W.Dim(0)
	_, declared := g.tensorOf(w.W)
	l := g.of(w.X)
	first, is := l.first[in]
	if is && l.last == nil && len(declared) > 2 {
		shape := []int{first.samples, in, first.positions}
		if len(first.shape) > 3 && first.shape[0] == first.samples && first.shape[1] == in {
			shape = first.shape
		}
		kernel := []int{out, in}
		for range shape[2:] {
			kernel = append(kernel, 1)
		}
		inputs := g.withBias([]string{g.as(first.order, shape), g.last(viewed(w.W, kernel))}, w.B)
		name := g.reluIf(w.ReLU, g.makeLayer("Conv", w.W, inputs))
		made := &order{name: name, shape: append([]int{shape[0], out}, shape[2:]...)}
		g.values[y.Number()] = &layouts{first: map[int]channelsFirst{out: {made, first.samples, first.positions}}}
		return
	}
	rows := []int{w.X.Rows(), in}
	inputs := g.withBias([]string{g.last(viewed(w.X, rows)), g.last(w.W)}, w.B)
	g.put(y, g.reluIf(w.ReLU, g.makeLayer("Gemm", w.W, inputs, attribute{"transB", 1})), w.X.Rows(), out)
}

func (g *graph) withBias(inputs []string, b *tensor.Value) []string {
	if b == nil {
		return inputs
	}
	return append(inputs, g.last(viewed(b, []int{b.Size()})))
}

// window is the attributes of what slides over images.
func window(w tensor.Window) []attribute {
	vertical, below := w.Padding, w.Padding+w.Extra
	if w.Flat {
		vertical, below = 0, 0
	}
	return []attribute{
		{"kernel_shape", []int{w.Height, w.Width}}, {"strides", []int{w.Stride, w.Stride}}, {"pads", []int{vertical, w.Padding, below, w.Padding + w.Extra}},
	}
}

// dilated is window for convolutions.
func dilated(w tensor.Window, groups int) []attribute {
	return append(window(w), attribute{"dilations", []int{w.Dilation, w.Dilation}}, attribute{"group", groups})
}

func (g *graph) conv(w tensor.ConvStep, y *tensor.Value) {
	inputs := g.withBias([]string{g.first(w.X), g.last(w.W)}, w.B)
	g.putFirst(y, g.reluIf(w.ReLU, g.makeLayer("Conv", w.W, inputs, dilated(w.Window, w.Groups)...)))
}

func (g *graph) convTranspose(w tensor.ConvTransposeStep, y *tensor.Value) {
	inputs := g.withBias([]string{g.first(w.X), g.last(w.W)}, w.B)
	extra := []int{w.Extra, w.Extra}
	if w.Window.Flat {
		extra[0] = 0
	}
	g.putFirst(y, g.makeLayer("ConvTranspose", w.W, inputs, append(dilated(w.Window, w.Groups), attribute{"output_padding", extra})...))
}

func (g *graph) pool(w tensor.PoolStep, y *tensor.Value) {
	if w.Largest {
		g.putFirst(y, g.make("MaxPool", []string{g.first(w.X)}, window(w.Window)...))
		return
	}
	g.putFirst(y, g.make("AveragePool", []string{g.first(w.X)}, append(window(w.Window), attribute{"count_include_pad", 1})...))
}

func (g *graph) adaptivePool(w tensor.AdaptivePoolStep, y *tensor.Value) {
	if w.Height != 1 || w.Width != 1 {
		g.refuse(y, fmt.Sprintf("an average over %d x %d cells that cover an image", w.Height, w.Width))
		return
	}
	g.putFirst(y, g.make("GlobalAveragePool", []string{g.first(w.X)}))
}

func (g *graph) upsample(w tensor.UpsampleStep, y *tensor.Value) {
	scale := float32(w.Scale)
	how := []attribute{{"mode", "nearest"}, {"coordinate_transformation_mode", "asymmetric"}, {"nearest_mode", "floor"}}
	if w.Bilinear {
		how = []attribute{{"mode", "linear"}, {"coordinate_transformation_mode", "half_pixel"}}
	}
	g.putFirst(y, g.make("Resize", []string{g.first(w.X), "", g.numbers(1, 1, scale, scale)}, how...))
}

func (g *graph) embedding(w tensor.EmbeddingStep, y *tensor.Value) {
	tokens := g.tokens[w.Tokens]
	if tokens == "" { // those of one sample, which stay as they are
		tokens = g.unique("tokens")
		held := make([]int, w.Tokens.Size())
		for i, token := range w.Tokens.Data() {
			held[i] = int(token)
		}
		g.initializers = append(g.initializers, initializer{name: tokens, shape: w.Tokens.Shape, integers: held})
	}
	name := g.makeLayer("Gather", w.Table, []string{g.last(w.Table), tokens}, attribute{"axis", 0})
	if w.Positions != nil {
		name = g.make("Add", []string{name, g.table(w.Positions, w.Tokens.Shape[1])})
	}
	g.put(y, name)
}

// quantize looks up the row of the table for which x·e - |e|²/2 is largest: the nearest one.
func (g *graph) quantize(w tensor.QuantizeStep, y *tensor.Value) {
	name, _ := g.tensorOf(w.Table)
	at, _ := w.Table.Parameter()
	codes, width := w.Table.Dim(0), w.Table.Dim(1)
	norms := make([]float32, codes)
	for k := range norms {
		for _, v := range g.params[at.Begin+k*width:][:width] {
			norms[k] -= float32(v*v) / 2
		}
	}
	less := g.hold(g.unique(name+".norms"), []int{codes}, norms).name
	rows := []int{w.X.Rows(), width}
	scores := g.makeLayer("Gemm", w.Table, []string{g.last(viewed(w.X, rows)), g.last(w.Table), less}, attribute{"transB", 1})
	nearest := g.make("ArgMax", []string{scores}, attribute{"axis", -1}, attribute{"keepdims", 0})
	g.put(y, g.make("Gather", []string{g.last(w.Table), nearest}, attribute{"axis", 0}), rows...)
}
