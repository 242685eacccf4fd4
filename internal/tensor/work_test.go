package tensor

import (
	"testing"

	"ringmaster/internal/plan"
)

func TestMultiplyAdds(t *testing.T) {
	g := NewGraph(true)
	at := 0
	parameter := func(shape ...int) *Value {
		size := 1
		for _, n := range shape {
			size *= n
		}
		at += size
		return g.Parameter(plan.Interval{Begin: at - size, End: at}, shape...)
	}
	x := g.Input(2, 8, 8, 3)
	y := g.Conv(x, parameter(4, 3, 3, 3), nil, ConvOptions{Stride: 1, Padding: 1, Dilation: 1, Groups: 1})            // no gradient of x
	y = g.Conv(y, parameter(4, 1, 3, 3), nil, ConvOptions{Stride: 2, Padding: 1, Dilation: 1, Groups: 4})             // depthwise, to 4x4
	y = g.Conv(y, parameter(6, 4, 1, 1), nil, ConvOptions{Stride: 1, Padding: 0, Dilation: 1, Groups: 1, ReLU: true}) // 1x1
	y = g.Linear(g.Reshape(y, 2, 96), parameter(5, 96), parameter(5), 0)
	g.CrossEntropy(y, g.Integers(2), nil, nil, 0)
	forward, backward := g.Compile().MultiplyAdds()
	conv, depthwise, pointwise, linear := 2*64*4*27, 2*16*4*9, 2*16*6*4, 2*5*96
	if want := conv + depthwise + pointwise + linear; forward != want {
		t.Errorf("forward takes %d multiply-adds, want %d", forward, want)
	}
	if want := conv + 2*(depthwise+pointwise+linear); backward != want {
		t.Errorf("backward takes %d multiply-adds, want %d", backward, want)
	}
}

// Blocks of keys that no query of a block sees are not computed, and blocks on the diagonal are 10 of 16 parts.
func TestMultiplyAddsOfCausalAttention(t *testing.T) {
	const blocks, dim = 3, 8
	g := NewGraph(true)
	x := g.Parameter(plan.Interval{End: blocks * attentionBlock * 3 * dim}, 1, blocks*attentionBlock, 3*dim)
	y := g.Attention(Columns{Value: x}, Columns{Value: x, Offset: dim}, Columns{Value: x, Offset: 2 * dim}, AttentionOptions{Heads: 1, Dim: dim, Scale: 1, Causal: true})
	g.SquaredError(y, g.Input(y.Shape...), nil)
	forward, backward := g.Compile().MultiplyAdds()
	product := (blocks*(blocks-1)/2*16 + blocks*10) * attentionBlock * attentionBlock * dim / 16
	if forward != 2*product || backward != 5*product {
		t.Errorf("%d and %d multiply-adds, want two and five products of %d", forward, backward, product)
	}
}
