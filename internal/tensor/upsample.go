package tensor

import "ringmaster/internal/tensor/kernel"

// upsample makes images larger: y is a mixture of up to four pixels of x.
type upsample struct {
	samples, height, width, channels, scale int
	bilinear                                bool
	rows, columns                           []mixture // by place in y
	x, y                                    *Value
	dx                                      *sink
	compute, traverse                       *share
}

// mixture is two places along an axis of x and the weight of the second.
type mixture struct {
	first, second int
	weight        float32
}

// Upsample makes images (samples, height, width, channels) scale times as high and as wide. Each pixel becomes scale x scale equal
// ones or, with bilinear, pixels are the mixtures of their four neighbours that PyTorch has with align_corners=False.
func (g *Graph) Upsample(x *Value, scale int, bilinear bool) *Value {
	op := &upsample{samples: x.Dim(0), height: x.Dim(1), width: x.Dim(2), channels: x.Dim(3), scale: scale, bilinear: bilinear, x: x}
	op.rows, op.columns = mixtures(op.height, scale, bilinear), mixtures(op.width, scale, bilinear)
	n := g.record()
	n.use(x)
	op.dx = n.gradient(x, false)
	op.y = n.make(op.samples, op.height*scale, op.width*scale, op.channels)
	op.compute, op.traverse = newShare(op.forwardSamples), newShare(op.backwardSamples)
	n.op = op
	return op.y
}

func mixtures(size, scale int, bilinear bool) []mixture {
	all := make([]mixture, size*scale)
	for i := range all {
		if !bilinear {
			all[i] = mixture{first: i / scale}
			continue
		}
		at := max((float32(i)+0.5)/float32(scale)-0.5, 0)
		first := min(int(at), size-1)
		all[i] = mixture{first, min(first+1, size-1), at - float32(first)}
	}
	return all
}

// each visits the pixels of a sample of y with those of x that they are made of, in a fixed order, and their weights.
func (o *upsample) each(sample int, f func(at, from int, weight float32, fresh bool)) {
	at := sample * o.height * o.width * o.scale * o.scale * o.channels
	from := func(y, x int) int { return ((sample*o.height+y)*o.width + x) * o.channels }
	for _, r := range o.rows {
		for _, c := range o.columns {
			f(at, from(r.first, c.first), (1-r.weight)*(1-c.weight), true)
			if c.weight > 0 {
				f(at, from(r.first, c.second), (1-r.weight)*c.weight, false)
			}
			if r.weight > 0 {
				f(at, from(r.second, c.first), r.weight*(1-c.weight), false)
			}
			if r.weight > 0 && c.weight > 0 {
				f(at, from(r.second, c.second), r.weight*c.weight, false)
			}
			at += o.channels
		}
	}
}

func (o *upsample) forward(c *Context)  { o.compute.run(c, o.samples, o.y.size/max(o.samples, 1)) }
func (o *upsample) backward(c *Context) { o.traverse.run(c, o.samples, o.y.size/max(o.samples, 1)) }

func (o *upsample) forwardSamples(begin, end int) {
	x, y := o.x.Data(), o.y.Data()
	for n := begin; n < end; n++ {
		o.each(n, func(at, from int, weight float32, fresh bool) {
			if fresh {
				kernel.Scale(y[at:at+o.channels], weight, x[from:from+o.channels])
			} else {
				kernel.Axpy(y[at:at+o.channels], weight, x[from:from+o.channels])
			}
		})
	}
}

func (o *upsample) backwardSamples(begin, end int) {
	dx, dy := o.dx.data(), o.y.grad.data
	size := o.height * o.width * o.channels
	clear(dx[begin*size : end*size])
	for n := begin; n < end; n++ {
		o.each(n, func(at, from int, weight float32, _ bool) {
			kernel.Axpy(dx[from:from+o.channels], weight, dy[at:at+o.channels])
		})
	}
}
