package tensor

import (
	"math"
	"testing"

	"ringmaster/internal/tensor/kernel"
)

// TestLayerGradients compares the operations that layers of the job file are made of with finite differences, and their bits on
// every kernel tier.
func TestLayerGradients(t *testing.T) {
	recurrent := func(op string, both bool) func(b *bench) *Value {
		return func(b *bench) *Value {
			gates := map[string]int{"lstm": 4, "gru": 3}[op]
			in := []*Value{b.param(2, 5, 3)}
			for range map[bool]int{false: 1, true: 2}[both] {
				in = append(in, b.param(4*gates, 3), b.param(4*gates, 4), b.param(4*gates), b.param(4*gates))
			}
			return recurrentOf(b.g, op, in)
		}
	}
	transposed := func(groups, stride, extra, dilation int) func(b *bench) *Value {
		return func(b *bench) *Value {
			x, w, bias := b.param(2, 3, 4, 4), b.param(4, 6/groups, 3, 3), b.param(6)
			return b.g.ConvTranspose(x, w, bias, ConvOptions{Stride: stride, Padding: 1, Dilation: dilation, Groups: groups}, extra)
		}
	}
	for name, f := range map[string]func(b *bench) *Value{
		"conv transpose":         transposed(1, 1, 0, 1),
		"conv transpose strided": transposed(2, 2, 1, 1),
		"conv transpose dilated": transposed(1, 3, 2, 2),
		"conv transpose plain": func(b *bench) *Value {
			return b.g.ConvTranspose(b.param(1, 2, 2, 3), b.param(3, 2, 2, 2), nil, ConvOptions{Stride: 2, Dilation: 1, Groups: 1}, 0)
		},
		"signal conv": func(b *bench) *Value {
			return b.g.Conv(b.param(2, 1, 7, 3), b.param(4, 3, 1, 3), b.param(4), ConvOptions{Stride: 2, Padding: 2, Dilation: 1, Groups: 1, Flat: true})
		},
		"signal depthwise": func(b *bench) *Value {
			return b.g.Conv(b.param(2, 1, 7, 3), b.param(3, 1, 1, 3), nil, ConvOptions{Stride: 1, Padding: 1, Dilation: 1, Groups: 3, Flat: true})
		},
		"signal max pool": func(b *bench) *Value {
			return b.g.MaxPool(b.param(2, 1, 7, 3), Window{Height: 1, Width: 3, Stride: 2, Padding: 1, Dilation: 1, Flat: true})
		},
		"group norm":        func(b *bench) *Value { return b.g.GroupNorm(b.param(2, 3, 2, 6), b.param(6), b.param(6), 3, 1e-5) },
		"instance norm":     func(b *bench) *Value { return b.g.GroupNorm(b.param(2, 3, 2, 5), nil, nil, 5, 1e-5) },
		"upsample nearest":  func(b *bench) *Value { return b.g.Upsample(b.param(2, 3, 2, 4), 2, false) },
		"upsample bilinear": func(b *bench) *Value { return b.g.Upsample(b.param(2, 3, 2, 4), 3, true) },
		"softmax":           func(b *bench) *Value { return b.g.Softmax(b.param(3, 2, 7)) },
		"log softmax":       func(b *bench) *Value { return b.g.LogSoftmax(b.param(3, 2, 7)) },
		"elu":               func(b *bench) *Value { return b.g.ELU(b.param(3, 7), 1.3) },
		"softplus":          func(b *bench) *Value { return b.g.Softplus(b.param(3, 7)) },
		"multiply":          func(b *bench) *Value { return b.g.Multiply(b.param(3, 7), b.param(3, 7)) },
		"square":            func(b *bench) *Value { x := b.param(3, 7); return b.g.Multiply(x, x) },
		"scale channels":    func(b *bench) *Value { return b.g.ScaleChannels(b.param(2, 3, 2, 4), b.param(2, 4)) },
		"scale":             func(b *bench) *Value { return b.g.Scale(b.param(3, 5), 0.3) },
		"relative bias":     func(b *bench) *Value { return b.g.RelativeBias(b.param(8, 2), 5, 7, RelativeOptions{true, 16}) },
		"relative causal":   func(b *bench) *Value { return b.g.RelativeBias(b.param(8, 2), 6, 6, RelativeOptions{false, 16}) },
		"positions":         func(b *bench) *Value { return b.g.Positions(b.param(2, 3, 4), b.param(5, 4)) },
		"constant positions": func(b *bench) *Value {
			return b.g.Positions(b.param(2, 3, 4), b.g.Constant(b.draw(12), 3, 4))
		},
		"step":      func(b *bench) *Value { x := b.param(2, 3, 4); return b.g.Add(b.g.Step(x, 2), b.g.Step(x, 0)) },
		"lstm":      recurrent("lstm", false),
		"lstm both": recurrent("lstm", true),
		"gru":       recurrent("gru", false),
		"gru both":  recurrent("gru", true),
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(37, true)
			b.checkGradient(t, f(b), &Context{})
			checkTiers(t, f)
		})
	}
}

// checkTiers wants the same bits from every kernel tier that the machine has.
func checkTiers(t *testing.T, f func(b *bench) *Value) {
	t.Helper()
	run := func() []float32 {
		b := newBench(32, true)
		y := f(b)
		p := b.compile(y)
		grad := nans(b.next)
		p.Forward(&Context{}, b.params)
		out := append([]float32(nil), y.Data()...)
		p.Backward(&Context{}, grad, nil)
		return append(out, grad...)
	}
	want := run()
	for _, tier := range kernel.Tiers() {
		restore := kernel.Force(tier)
		got := run()
		restore()
		for i := range want {
			if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
				t.Fatalf("tier %v: element %d is %g, want %g", tier, i, got[i], want[i])
			}
		}
	}
}

// TestLeakyReLU checks both sides and the border, where finite differences see nothing.
func TestLeakyReLU(t *testing.T) {
	b := newBench(33, true)
	y := b.g.LeakyReLU(b.param(4), 0.25)

	b.g.probe(y, []float32{1, 1, 1, 1})
	program := b.g.Compile()
	program.Bind(nans(program.Length()))
	grad := nans(4)
	program.Forward(&Context{}, []float32{-2, 0, 3, float32(math.NaN())})
	if got := y.Data(); got[0] != -0.5 || got[1] != 0 || got[2] != 3 || got[3] == got[3] {
		t.Errorf("values %v", got)
	}
	if program.Backward(&Context{}, grad, nil); grad[0] != 0.25 || grad[1] != 0.25 || grad[2] != 1 {
		t.Errorf("gradients %v", grad)
	}
}

// TestFarFromZero has activations whose naive forms overflow or lose everything.
func TestFarFromZero(t *testing.T) {
	b := newBench(34, false)
	x := b.param(1, 4)
	soft, log, elu := b.g.Softplus(x), b.g.LogSoftmax(x), b.g.ELU(x, 1)
	b.g.probe(b.g.Concat(soft, log, elu), make([]float32, 12))
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	var got [3][]float32
	p.Forward(&Context{}, []float32{-1000, -50, 50, 1000})
	for k, v := range []*Value{soft, log, elu} {
		got[k] = append([]float32(nil), v.Data()...)
	}
	for k, want := range [3][]float32{{0, 1.9287498e-22, 50, 1000}, {-2000, -1050, -950, 0}, {-1, -1, 50, 1000}} {
		for i, w := range want {
			if d := math.Abs(float64(got[k][i] - w)); !(d <= 1e-6*math.Abs(float64(w))+1e-21) {
				t.Errorf("function %d of element %d is %g, want %g", k, i, got[k][i], w)
			}
		}
	}
}
