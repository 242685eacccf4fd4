package tensor

import (
	"encoding/json"
	"math"
	"os"
	"strings"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// golden is a case that testdata/golden.py recorded from PyTorch.
type golden struct {
	Op     string
	Args   goldenArgs
	Shapes [][]int
	Shifts []float64
	Output []float64
	Grads  [][]float64
}

type goldenArgs struct {
	Stride, Padding, Dilation, Groups, Kernel, Height, Width, Extra int
	Scale, Smoothing                                                float64
	Causal                                                          bool
	Lengths, Tokens, Targets                                        []int32
}

// drawn is the script's draw.
func drawn(n int, seed uint32, shift float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		x := uint32(i) + seed*0x9E3779B9
		for _, multiplier := range []uint32{0x7FEB352D, 0x846CA68B} {
			x ^= x >> 16
			x *= multiplier
		}
		x ^= x >> 16
		out[i] = float32((float64(x)/(1<<32)-0.5)*2 + shift)
	}
	return out
}

// TestAgainstPyTorch compares every operation, forward and backward, with PyTorch's recorded values.
func TestAgainstPyTorch(t *testing.T) {
	raw, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Torch string
		Cases []golden
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Cases) < 40 {
		t.Fatalf("%d cases in the file", len(file.Cases))
	}
	for _, c := range file.Cases {
		t.Run(c.Op, func(t *testing.T) { c.check(t) })
	}
}

func (c *golden) check(t *testing.T) {
	b := newBench(0, true)
	var inputs []*Value
	for k, shape := range c.Shapes {
		x := b.param(shape...)
		copy(b.params[x.interval.Begin:], drawn(x.size, uint32(k+1), c.Shifts[k]))
		inputs = append(inputs, x)
	}
	ctx := &Context{Lengths: c.Args.Lengths, Statistics: make([]float32, 64)}
	var y, target *Value
	classes, tokens := b.g.Integers(len(c.Args.Targets)), b.g.Integers(2, len(c.Args.Tokens)/2)
	switch c.Op {
	case "cross entropy":
		b.g.CrossEntropy(b.g.Slice(inputs[0], 0, inputs[0].Dim(-1)), classes, nil, nil, float32(c.Args.Smoothing))
	case "squared error":
		target = b.g.Input(c.Shapes[0]...)
		b.g.SquaredError(b.g.Slice(inputs[0], 0, inputs[0].Dim(-1)), target, nil)
	default:
		y = c.record(b.g, inputs, tokens)
		b.g.probe(y, drawn(y.size, 99, 0))
	}
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	if target != nil {
		p.Set(target, drawn(target.size, 2, 0))
	}
	p.SetIntegers(classes, c.Args.Targets)
	p.SetIntegers(tokens, c.Args.Tokens)
	p.Forward(ctx, b.params)
	if y != nil {
		c.compare(t, "output", y.Data(), c.Output)
	} else {
		c.compare(t, "loss", []float32{float32(ctx.Loss)}, c.Output)
	}
	grad := nans(b.next)
	p.Backward(ctx, grad, nil)
	for k, x := range inputs {
		c.compare(t, "gradient", of(grad, x.interval), c.Grads[k])
	}
}

func (c *golden) compare(t *testing.T, what string, got []float32, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s of %d elements, PyTorch has %d", what, len(got), len(want))
	}
	largest := 0.0
	for _, v := range want {
		largest = max(largest, math.Abs(v))
	}
	for i, v := range want {
		if !(math.Abs(float64(got[i])-v) <= 2e-6*(1+largest)) {
			t.Fatalf("%s[%d] = %g, PyTorch has %g", what, i, got[i], v)
		}
	}
}

// record records the case's operation. Images come and go channels first, as PyTorch has them.
func (c *golden) record(g *Graph, in []*Value, tokens *Integers) *Value {
	a := c.Args
	images := func(y *Value) *Value { return g.Transpose(g.Reshape(y, y.Dim(0), y.Dim(1)*y.Dim(2), y.Dim(3))) }
	window := squareWindow(a.Kernel, a.Stride, a.Padding, 1)
	switch c.Op {
	case "linear":
		return g.Linear(in[0], in[1], in[2], kernel.None)
	case "linear relu":
		return g.Linear(in[0], in[1], in[2], kernel.ReLUActivation)
	case "conv":
		var bias *Value
		if len(in) == 3 {
			bias = in[2]
		}
		return images(g.Conv(g.ChannelsLast(in[0]), in[1], bias, ConvOptions{Stride: a.Stride, Padding: a.Padding, Dilation: a.Dilation, Groups: a.Groups}))
	case "max pool":
		return images(g.MaxPool(g.ChannelsLast(in[0]), window))
	case "average pool":
		return images(g.AveragePool(g.ChannelsLast(in[0]), window))
	case "adaptive pool":
		return images(g.AdaptiveAveragePool(g.ChannelsLast(in[0]), a.Height, a.Width))
	case "batch norm", "batch norm relu", "batch norm relu6":
		act := map[string]BatchNormActivation{"batch norm relu": ReLUNorm, "batch norm relu6": ReLU6Norm}[c.Op]
		n := in[1].size
		return images(g.BatchNorm(g.ChannelsLast(in[0]), in[1], in[2], plan.Interval{End: n}, plan.Interval{Begin: n, End: 2 * n}, BatchNormOptions{Epsilon: 1e-5, Activation: act}))
	case "layer norm":
		return g.LayerNorm(in[0], in[1], in[2], 1e-5)
	case "rms norm":
		return g.RMSNorm(in[0], in[1], 1e-6)
	case "group norm":
		return images(g.GroupNorm(g.ChannelsLast(in[0]), in[1], in[2], a.Groups, 1e-5))
	case "instance norm":
		return images(g.GroupNorm(g.ChannelsLast(in[0]), nil, nil, a.Groups, 1e-5))
	case "conv transpose":
		o := ConvOptions{Stride: a.Stride, Padding: a.Padding, Dilation: a.Dilation, Groups: a.Groups}
		return images(g.ConvTranspose(g.ChannelsLast(in[0]), in[1], in[2], o, a.Extra))
	case "upsample nearest", "upsample bilinear":
		return images(g.Upsample(g.ChannelsLast(in[0]), a.Kernel, c.Op == "upsample bilinear"))
	case "leaky relu":
		return g.LeakyReLU(in[0], float32(a.Scale))
	case "elu":
		return g.ELU(in[0], float32(a.Scale))
	case "multiply":
		return g.Multiply(in[0], in[1])
	case "scale channels":
		return images(g.ScaleChannels(g.ChannelsLast(in[0]), in[1]))
	case "positions":
		return g.Positions(in[0], in[1])
	case "last step":
		return g.Step(in[0], in[0].Dim(1)-1)
	case "lstm", "gru":
		return recurrentOf(g, c.Op, in)
	case "embedding":
		return g.Embedding(tokens, in[0], in[1])
	case "attention", "attention bias":
		o := AttentionOptions{Heads: 2, Dim: in[0].Dim(2) / 2, Scale: float32(a.Scale), Causal: a.Causal, Padded: a.Lengths != nil}
		if len(in) == 4 {
			o.Bias = in[3]
		}
		return g.Attention(Columns{in[0], 0}, Columns{in[1], 0}, Columns{in[2], 0}, o)
	}
	if op, ok := strings.CutPrefix(c.Op, "signal "); ok {
		return c.recordSignal(g, op, in)
	}
	return map[string]func(*Graph, *Value) *Value{
		"softmax": (*Graph).Softmax, "log softmax": (*Graph).LogSoftmax, "softplus": (*Graph).Softplus,
		"relu": (*Graph).ReLU, "relu6": (*Graph).ReLU6, "gelu": (*Graph).GELU, "gelu tanh": (*Graph).GELUTanh,
		"silu": (*Graph).SiLU, "sigmoid": (*Graph).Sigmoid, "tanh": (*Graph).Tanh,
	}[c.Op](g, in[0])
}

// recordSignal records an operation on signals (samples, channels, length), which come and go so.
func (c *golden) recordSignal(g *Graph, op string, in []*Value) *Value {
	a := c.Args
	x := g.Transpose(in[0])
	x = g.Reshape(x, x.Dim(0), 1, x.Dim(1), x.Dim(2))
	var y *Value
	window := Window{Height: 1, Width: a.Kernel, Stride: a.Stride, Padding: a.Padding, Dilation: 1, Flat: true}
	options := ConvOptions{Stride: a.Stride, Padding: a.Padding, Dilation: a.Dilation, Groups: a.Groups, Flat: true}
	weight := func() *Value { return g.Reshape(in[1], in[1].Dim(0), in[1].Dim(1), 1, in[1].Dim(2)) }
	var bias *Value
	if len(in) == 3 {
		bias = in[2]
	}
	switch op {
	case "conv":
		y = g.Conv(x, weight(), bias, options)
	case "conv transpose":
		y = g.ConvTranspose(x, weight(), bias, options, a.Extra)
	case "max pool":
		y = g.MaxPool(x, window)
	case "average pool":
		y = g.AveragePool(x, window)
	}
	return g.Transpose(g.Reshape(y, y.Dim(0), y.Dim(2), y.Dim(3)))
}

// recurrentOf records one layer of torch.nn.LSTM or GRU: weight_ih, weight_hh, bias_ih and bias_hh, and those of the other direction.
func recurrentOf(g *Graph, op string, in []*Value) *Value {
	var outs []*Value
	for at := 1; at < len(in); at += 4 {
		gates := g.Linear(in[0], in[at], in[at+2], kernel.None)
		if op == "lstm" {
			outs = append(outs, g.LSTM(gates, in[at+1], in[at+3], at > 1))
		} else {
			outs = append(outs, g.GRU(gates, in[at+1], in[at+3], at > 1))
		}
	}
	if len(outs) == 1 {
		return outs[0]
	}
	return g.Concat(outs...)
}
