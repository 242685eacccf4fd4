package tensor

import (
	"fmt"
	"testing"

	"ringmaster/internal/plan"
)

// BenchmarkDepthwise times the layers of MobileNetV2 on 32 small images: edge, channels and stride; forward and both gradients.
// GB/s is of the tensors read and written once.
func BenchmarkDepthwise(b *testing.B) {
	for _, s := range [][3]int{{32, 96, 1}, {32, 144, 1}, {32, 144, 2}, {16, 192, 1}, {8, 384, 1}, {8, 576, 1}, {4, 960, 1}} {
		g := NewGraph(true)
		h, ch, stride := s[0], s[1], s[2]
		size := 32 * h * h * ch
		x := g.Parameter(plan.Interval{Begin: 0, End: size}, 32, h, h, ch)
		w := g.Parameter(plan.Interval{Begin: size, End: size + 9*ch}, ch, 1, 3, 3)
		y := g.Conv(x, w, nil, ConvOptions{Stride: stride, Padding: 1, Dilation: 1, Groups: ch})
		target := g.Input(y.Shape...)
		g.SquaredError(y, target, nil)
		p := g.Compile()
		p.Bind(make([]float32, p.Length()))
		p.Set(target, make([]float32, y.size))
		params, grad := make([]float32, size+9*ch), make([]float32, size+9*ch)
		for i := range params {
			params[i] = float32(i%97) / 97
		}
		c := &Context{}
		p.Forward(c, params)
		p.Backward(c, grad, nil)
		var op *depthwise
		for _, n := range p.nodes {
			if d, ok := n.op.(*depthwise); ok {
				op = d
			}
		}
		speed := func(b *testing.B, bytes int) {
			b.ReportMetric(float64(bytes)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GB/s")
		}
		b.Run(fmt.Sprintf("%dx%dx%d/%d/forward", h, h, ch, stride), func(b *testing.B) {
			for b.Loop() {
				op.forward(c)
			}
			speed(b, 4*size+8*y.size)
		})
		b.Run(fmt.Sprintf("%dx%dx%d/%d/dx", h, h, ch, stride), func(b *testing.B) {
			for b.Loop() {
				op.traverse.run(c, op.samples, op.pixels()*op.channels*op.taps())
			}
			speed(b, 8*size+4*y.size)
		})
		b.Run(fmt.Sprintf("%dx%dx%d/%d/dw", h, h, ch, stride), func(b *testing.B) {
			for b.Loop() {
				op.weights.run(c, (op.channels+15)/16, channelGroup*op.samples*op.pixels()*op.taps())
			}
			speed(b, 4*size+4*y.size)
		})
	}
}
