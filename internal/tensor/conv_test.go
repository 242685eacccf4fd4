package tensor

import (
	"fmt"
	"math"
	"testing"

	"ringmaster/internal/plan"
)

type convCase struct {
	height, width, in, out, kernel, stride, padding, dilation, groups int
	bias                                                              bool
}

var convCases = []convCase{
	{5, 6, 3, 4, 3, 1, 1, 1, 1, true},
	{6, 5, 3, 4, 3, 2, 1, 1, 1, false},
	{7, 7, 4, 6, 3, 1, 2, 2, 2, true},
	{6, 6, 2, 3, 2, 2, 0, 1, 1, false},
	{4, 4, 3, 5, 1, 1, 0, 1, 1, true},
	{5, 5, 3, 2, 1, 2, 0, 1, 1, false},
	{4, 5, 6, 6, 3, 1, 1, 1, 6, false},
	{6, 7, 5, 5, 3, 2, 1, 1, 5, false},
	{6, 6, 3, 6, 3, 1, 1, 1, 3, false},
	{7, 6, 17, 17, 3, 1, 1, 1, 17, false},
	{5, 5, 3, 3, 5, 1, 2, 1, 3, false},
	{2, 3, 2, 2, 3, 1, 1, 1, 2, false},
}

func (c convCase) String() string {
	return fmt.Sprintf("%dx%dx%d to %d kernel %d stride %d padding %d dilation %d groups %d bias %v",
		c.height, c.width, c.in, c.out, c.kernel, c.stride, c.padding, c.dilation, c.groups, c.bias)
}

func (c convCase) record(b *bench, samples int) (x, w, bias, y *Value) {
	x = b.param(samples, c.height, c.width, c.in)
	w = b.param(c.out, c.in/c.groups, c.kernel, c.kernel)
	if c.bias {
		bias = b.param(c.out)
	}
	return x, w, bias, b.g.Conv(x, w, bias, ConvOptions{Stride: c.stride, Padding: c.padding, Dilation: c.dilation, Groups: c.groups})
}

// plainConv is the convolution in float64 as its definition reads.
func plainConv(c convCase, samples int, x, w, bias *Value) []float64 {
	reach := (c.kernel-1)*c.dilation + 1
	oh, ow := (c.height+2*c.padding-reach)/c.stride+1, (c.width+2*c.padding-reach)/c.stride+1
	in, out := c.in/c.groups, c.out/c.groups
	var y []float64
	for n := range samples {
		for oy := range oh {
			for ox := range ow {
				for o := range c.out {
					sum := 0.0
					if bias != nil {
						sum = float64(bias.Data()[o])
					}
					for i := range in {
						for ky := range c.kernel {
							for kx := range c.kernel {
								py, px := oy*c.stride-c.padding+ky*c.dilation, ox*c.stride-c.padding+kx*c.dilation
								if py < 0 || py >= c.height || px < 0 || px >= c.width {
									continue
								}
								v := x.Data()[((n*c.height+py)*c.width+px)*c.in+o/out*in+i]
								sum += float64(v) * float64(w.Data()[((o*in+i)*c.kernel+ky)*c.kernel+kx])
							}
						}
					}
					y = append(y, sum)
				}
			}
		}
	}
	return y
}

func TestConvolutionsAreThePlainLoops(t *testing.T) {
	for _, c := range convCases {
		t.Run(c.String(), func(t *testing.T) {
			b := newBench(20, true)
			x, w, bias, y := c.record(b, 3)
			p := b.compile(y)
			p.Forward(&Context{}, b.params)
			want := plainConv(c, 3, x, w, bias)
			if len(want) != y.Size() {
				t.Fatalf("shape %v for %d elements", y.Shape, len(want))
			}
			for i, v := range want {
				if got := float64(y.Data()[i]); !(math.Abs(got-v) < 1e-5) {
					t.Fatalf("element %d is %g, want %g", i, got, v)
				}
			}
		})
	}
}

func TestConvGradient(t *testing.T) {
	for _, c := range convCases {
		t.Run(c.String(), func(t *testing.T) {
			b := newBench(21, true)
			_, _, _, y := c.record(b, 2)
			b.checkGradient(t, y, &Context{})
		})
	}
}

// TestConvReLU wants the fused activation to change no bit.
func TestConvReLU(t *testing.T) {
	for _, c := range convCases {
		t.Run(c.String(), func(t *testing.T) {
			var grads [2][]float32
			for k := range grads {
				b := newBench(21, true)
				x := b.param(2, c.height, c.width, c.in)
				w := b.param(c.out, c.in/c.groups, c.kernel, c.kernel)
				y := b.g.Conv(x, w, nil, ConvOptions{Stride: c.stride, Padding: c.padding, Dilation: c.dilation, Groups: c.groups, ReLU: k == 1})
				if k == 0 {
					y = b.g.ReLU(y)
				}
				p := b.compile(y)
				grads[k] = nans(b.next)
				p.Forward(&Context{}, b.params)
				p.Backward(&Context{}, grads[k], nil)
			}
			sameBits(t, grads[1], grads[0])
		})
	}
}

// TestConvBlocks has more pixels than fit a block of gathered rows.
func TestConvBlocks(t *testing.T) {
	c := convCase{24, 24, 40, 3, 3, 1, 1, 1, 1, true}
	b := newBench(22, true)
	x, w, bias, y := c.record(b, 2)
	if op := b.g.nodes[0].op.(*conv); op.span >= op.pixels() {
		t.Fatalf("%d pixels fit one block of %d", op.pixels(), op.span)
	}
	b.compile(y).Forward(&Context{}, b.params)
	for i, v := range plainConv(c, 2, x, w, bias) {
		if got := float64(y.Data()[i]); !(math.Abs(got-v) < 1e-4) {
			t.Fatalf("element %d is %g, want %g", i, got, v)
		}
	}
	b = newBench(22, true)
	_, _, _, y = c.record(b, 2)
	b.checkDirections(t, y, &Context{})
}

func TestPoolGradients(t *testing.T) {
	for name, f := range map[string]func(*Graph, *Value) *Value{
		"max":             func(g *Graph, x *Value) *Value { return g.MaxPool(x, squareWindow(2, 2, 0, 1)) },
		"max padded":      func(g *Graph, x *Value) *Value { return g.MaxPool(x, squareWindow(3, 2, 1, 1)) },
		"max dilated":     func(g *Graph, x *Value) *Value { return g.MaxPool(x, squareWindow(2, 1, 0, 2)) },
		"average":         func(g *Graph, x *Value) *Value { return g.AveragePool(x, squareWindow(2, 2, 0, 1)) },
		"average padded":  func(g *Graph, x *Value) *Value { return g.AveragePool(x, squareWindow(3, 1, 1, 1)) },
		"adaptive":        func(g *Graph, x *Value) *Value { return g.AdaptiveAveragePool(x, 3, 2) },
		"global":          func(g *Graph, x *Value) *Value { return g.AdaptiveAveragePool(x, 1, 1) },
		"flatten":         (*Graph).Flatten,
		"channels last":   (*Graph).ChannelsLast,
		"slice":           func(g *Graph, x *Value) *Value { return g.Slice(x, 1, 3) },
		"concat":          func(g *Graph, x *Value) *Value { return g.Concat(g.Slice(x, 2, 3), x, g.Tanh(x)) },
		"slice of shared": func(g *Graph, x *Value) *Value { return g.Add(g.Slice(x, 0, 2), g.Slice(x, 1, 3)) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(23, true)
			x := b.param(2, 5, 6, 3)
			b.checkGradient(t, f(b.g, x), &Context{})
		})
	}
}

// TestMaxPoolTies gives the whole gradient to the first of equal pixels.
func TestMaxPoolTies(t *testing.T) {
	b := newBench(24, true)
	x := b.param(1, 2, 2, 1)
	y := b.g.MaxPool(x, squareWindow(2, 2, 0, 1))
	p := b.compile(y)
	copy(b.params, []float32{1, 3, 3, 3})
	grad := nans(4)
	p.Forward(&Context{}, b.params)
	p.Backward(&Context{}, grad, nil)
	if y.Data()[0] != 3 || grad[0] != 0 || grad[1] == 0 || grad[2] != 0 || grad[3] != 0 {
		t.Errorf("largest %g, gradient %v", y.Data()[0], grad)
	}
}

func TestWindowOut(t *testing.T) {
	for _, c := range []struct {
		w         Window
		size, out int
		ok        bool
	}{
		{squareWindow(3, 1, 1, 1), 5, 5, true},
		{squareWindow(3, 2, 1, 1), 6, 3, true},
		{squareWindow(3, 1, 0, 2), 5, 1, true},
		{squareWindow(3, 1, 0, 2), 4, 0, false},
		{squareWindow(0, 1, 0, 1), 4, 0, false},
		{squareWindow(3, 0, 0, 1), 4, 0, false},
	} {
		h, w, err := c.w.Out(c.size, c.size)
		if (err == nil) != c.ok || h != c.out || w != c.out {
			t.Errorf("%+v on %d: %d, %d, %v", c.w, c.size, h, w, err)
		}
	}
}

func TestBatchNormGradient(t *testing.T) {
	for _, act := range []BatchNormActivation{PlainNorm, ReLUNorm, ReLU6Norm} {
		b := newBench(25, true)
		x, gamma, beta := b.param(3, 2, 2, 5), b.param(5), b.param(5)
		y := b.g.BatchNorm(x, gamma, beta, plan.Interval{Begin: 0, End: 5}, plan.Interval{Begin: 5, End: 10}, BatchNormOptions{Epsilon: 1e-5, Activation: act})
		b.checkGradient(t, y, &Context{Statistics: make([]float32, 10)})
	}
}

// TestBatchNormStatistics covers several blocks of rows: training leaves mean and unbiased variance, and evaluation with
// them gives nearly what training gave.
func TestBatchNormStatistics(t *testing.T) {
	const rows, channels = statisticBlock*16 + 7, 3
	mean, variance := plan.Interval{Begin: 3, End: 6}, plan.Interval{Begin: 0, End: 3}
	run := func(training bool, c *Context) ([]float32, []float32) {
		b := newBench(26, training)
		x, gamma, beta := b.param(rows, channels), b.param(channels), b.param(channels)
		y := b.g.BatchNorm(x, gamma, beta, mean, variance, BatchNormOptions{Activation: ReLUNorm})
		b.compile(y).Forward(c, b.params)
		return y.Data(), b.params
	}
	statistics := make([]float32, 6)
	trained, x := run(true, &Context{Statistics: statistics})
	for c := range channels {
		var sum, squares float64
		for r := range rows {
			sum += float64(x[r*channels+c])
		}
		for r := range rows {
			d := float64(x[r*channels+c]) - sum/rows
			squares += d * d
		}
		if got := float64(statistics[3+c]); math.Abs(got-sum/rows) > 1e-6 {
			t.Errorf("mean of channel %d is %g, want %g", c, got, sum/rows)
		}
		if got := float64(statistics[c]); math.Abs(got-squares/(rows-1)) > 1e-5 {
			t.Errorf("variance of channel %d is %g, want %g", c, got, squares/(rows-1))
		}
	}
	evaluated, _ := run(false, &Context{Running: statistics})
	for i, v := range trained {
		if math.Abs(float64(v-evaluated[i])) > 3e-3 {
			t.Fatalf("element %d is %g in training, %g in evaluation", i, v, evaluated[i])
		}
	}
}

func TestSquaredError(t *testing.T) {
	b := newBench(27, true)
	x := b.param(3, 4)
	target := b.g.Input(3, 4)
	b.g.SquaredError(b.g.Slice(x, 0, 4), target, nil)
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	want := b.draw(12)
	p.Set(target, want)
	c, grad := &Context{}, nans(12)
	p.Forward(c, b.params)
	p.Backward(c, grad, nil)
	loss := 0.0
	for i, v := range b.params {
		d := float64(v) - float64(want[i])
		loss += d * d / 4
		if math.Abs(float64(grad[i])-2*d/4) > 1e-6 {
			t.Errorf("gradient[%d] = %g, want %g", i, grad[i], 2*d/4)
		}
	}
	if c.Count != 3 || math.Abs(c.Loss-loss) > 1e-5 {
		t.Errorf("loss %g of %d rows, want %g of 3", c.Loss, c.Count, loss)
	}
}

func squareWindow(kernel, stride, padding, dilation int) Window {
	return Window{Height: kernel, Width: kernel, Stride: stride, Padding: padding, Dilation: dilation}
}
