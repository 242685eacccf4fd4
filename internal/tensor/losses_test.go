package tensor

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strconv"
	"testing"

	"ringmaster/internal/tensor/kernel"
)

// lossCase is one that testdata/losses.py recorded: the mean loss of 6 rows, and its gradient.
type lossCase struct {
	Op      string
	Width   int
	Target  []float64
	Weights []float32
	Args    struct {
		Smoothing, Delta float64
		ClassWeights     []float32
		Seconds          []int32
		Shares           []float32
	}
	Mean float64
	Grad []float64
}

func lossCases(t *testing.T) []lossCase {
	t.Helper()
	raw, err := os.ReadFile("testdata/losses.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Cases []lossCase }
	if err := json.Unmarshal(raw, &file); err != nil || len(file.Cases) < 13 {
		t.Fatalf("%d cases, %v", len(file.Cases), err)
	}
	return file.Cases
}

// record makes the program of a case. whole gives labels as whole numbers.
func (c *lossCase) record(whole bool) (*bench, *Program) {
	b := newBench(0, true)
	x := b.param(6, c.Width)
	for i, v := range drawn(x.size, 1, 0) {
		b.params[i] = 4 * v
	}
	var w *Value
	if c.Weights != nil {
		w = b.g.Input(6)
	}
	y, floats, integers := b.g.Slice(x, 0, c.Width), b.g.Input(6, c.Width), b.g.Integers(len(c.Target))
	seconds, shares := b.g.Integers(6), b.g.Input(6)
	switch c.Op {
	case "cross entropy":
		b.g.CrossEntropy(y, integers, w, c.Args.ClassWeights, float32(c.Args.Smoothing))
	case "mixed cross entropy":
		b.g.MixedCrossEntropy(y, integers, seconds, shares, w, float32(c.Args.Smoothing))
	case "binary":
		if whole {
			b.g.BinaryCrossEntropyOf(y, integers, w)
		} else {
			b.g.BinaryCrossEntropy(y, floats, w)
		}
	case "mse":
		b.g.SquaredError(y, floats, w)
	case "mae":
		b.g.AbsoluteError(y, floats, w)
	case "huber":
		b.g.HuberError(y, floats, w, float32(c.Args.Delta))
	}
	p := b.g.Compile()
	p.Bind(nans(p.Length()))
	targets, classes := make([]float32, x.size), make([]int32, len(c.Target))
	for i, v := range c.Target {
		classes[i], targets[i] = int32(v), float32(v)
	}
	p.Set(floats, targets)
	p.SetIntegers(integers, classes)
	if c.Args.Seconds != nil {
		p.SetIntegers(seconds, c.Args.Seconds)
		p.Set(shares, c.Args.Shares)
	}
	if w != nil {
		p.Set(w, c.Weights)
	}
	return b, p
}

// run is the sums and the summed gradient of a case.
func (c *lossCase) run(b *bench, p *Program, team *kernel.Team) (*Context, []float32) {
	ctx, grad := &Context{Team: team}, nans(b.next)
	p.Forward(ctx, b.params)
	p.Backward(ctx, grad, nil)
	return ctx, grad
}

func (ctx *Context) divisor() float64 {
	if ctx.Weight != 0 {
		return ctx.Weight
	}
	return float64(ctx.Count)
}

func TestLossesAreMeansOfPyTorch(t *testing.T) {
	for i, c := range lossCases(t) {
		t.Run(strconv.Itoa(i)+" "+c.Op, func(t *testing.T) {
			b, p := c.record(false)
			ctx, grad := c.run(b, p, nil)
			if got := ctx.Loss / ctx.divisor(); !(math.Abs(got-c.Mean) <= 1e-6*(1+math.Abs(c.Mean))) {
				t.Errorf("the mean is %v, PyTorch has %v", got, c.Mean)
			}
			for k, want := range c.Grad {
				if got := float64(grad[k]) / ctx.divisor(); !(math.Abs(got-want) <= 1e-6) {
					t.Errorf("gradient[%d] is %v, PyTorch has %v", k, got, want)
				}
			}
			for _, threads := range []int{2, 3} {
				team := kernel.NewTeam(threads)
				if other, bits := c.run(b, p, team); other.Loss != ctx.Loss || other.Weight != ctx.Weight || !slices.Equal(bits, grad) {
					t.Errorf("%d threads come to other bits", threads)
				}
				team.Close()
			}
			ctx = &Context{}
			if n := testing.AllocsPerRun(3, func() { p.Forward(ctx, b.params); p.Backward(ctx, grad, nil) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
}

// Every kernel tier that this machine has gives the bits of plain Go.
func TestLossesOfEveryTier(t *testing.T) {
	defer func() {
		if err := kernel.Select(""); err != nil {
			t.Fatal(err)
		}
	}()
	for i, c := range lossCases(t) {
		var first *Context
		var want []float32
		for _, tier := range kernel.Tiers() {
			if err := kernel.Select(tier.String()); err != nil {
				t.Fatal(err)
			}
			b, p := c.record(false)
			ctx, grad := c.run(b, p, nil)
			if first == nil {
				first, want = ctx, grad
			}
			if ctx.Loss != first.Loss || ctx.Weight != first.Weight || !slices.Equal(grad, want) {
				t.Errorf("case %d, %s: %s comes to %v, plain Go to %v", i, c.Op, tier, ctx.Loss, first.Loss)
			}
		}
	}
}

func TestLossGradientsFollowDifferences(t *testing.T) {
	for i, c := range lossCases(t) {
		b, p := c.record(false)
		_, grad := c.run(b, p, nil)
		ctx := &Context{}
		at := func(k int, v float32) float64 {
			b.params[k] = v
			p.Forward(ctx, b.params)
			return ctx.Loss
		}
		for k, v := range b.params {
			const h = 1.0 / 512
			want := (at(k, v+h) - at(k, v-h)) / (2 * h)
			b.params[k] = v
			if !(math.Abs(float64(grad[k])-want) <= 2e-3*(1+math.Abs(want))) {
				t.Errorf("case %d, %s: gradient[%d] is %v, differences say %v", i, c.Op, k, grad[k], want)
			}
		}
	}
}

// Labels as whole numbers give the same bits; negative ones count for nothing, and one above 1 makes the loss no number.
func TestLabels(t *testing.T) {
	c := lossCase{Op: "binary", Width: 3, Target: []float64{1, 0, 1, 0, 0, 0, 1, 1, 1, -100, -1, 1, 0, 1, 0, 1, 0, 0}}
	b, p := c.record(false)
	ctx, grad := c.run(b, p, nil)
	bWhole, pWhole := c.record(true)
	if whole, bits := c.run(bWhole, pWhole, nil); whole.Loss != ctx.Loss || whole.Correct != ctx.Correct || !slices.Equal(bits, grad) {
		t.Errorf("whole numbers come to %+v, numbers to %+v", whole, ctx)
	}
	if ctx.Count != 16 || ctx.Weight != 0 || grad[9] != 0 || grad[10] != 0 || grad[11] == 0 {
		t.Errorf("%+v with gradients %v of the row with ignored labels", ctx, grad[9:12])
	}
	c.Target[0] = 2
	b, p = c.record(false)
	if ctx, _ := c.run(b, p, nil); !math.IsNaN(ctx.Loss) {
		t.Errorf("a label of 2 has loss %v", ctx.Loss)
	}
}

// Large logits lose neither the loss nor its smallest values.
func TestBinaryFarOut(t *testing.T) {
	for _, k := range []struct{ logit, label, want float64 }{{90, 0, 90}, {-90, 1, 90}, {30, 1, math.Exp(-30)}, {-20, 0, math.Exp(-20)}} {
		c := lossCase{Op: "binary", Width: 1, Target: slices.Repeat([]float64{k.label}, 6)}
		b, p := c.record(false)
		for i := range b.params {
			b.params[i] = float32(k.logit)
		}
		if ctx, _ := c.run(b, p, nil); !(math.Abs(ctx.Loss/6-k.want) <= 1e-6*k.want) {
			t.Errorf("logit %v against %v: loss %v, want %v", k.logit, k.label, ctx.Loss/6, k.want)
		}
	}
}
