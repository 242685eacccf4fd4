package model

import (
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/tensor"
)

// positions adds a vector of its own to each step: learned ones, which are a torch.nn.Embedding of the steps (weight (steps, width),
// first values as normal as its), or sines and cosines.
type positions struct {
	weight int
	table  []float32 // sinusoidal
	in     shape
}

func makePositions(p *part, in shape) (layer, shape, error) {
	if in.form != sequence {
		return nil, shape{}, p.refuse("a sequence", in, "")
	}
	l := &positions{weight: none, in: in}
	if p.Form == config.PositionsSinusoidal {
		l.table = sinusoids(in.dims[0], in.dims[1])
	} else {
		l.weight = p.weight(".weight", normal(1), in.dims...)
	}
	return l, in, nil
}

func (l *positions) record(r *recorder, x *tensor.Value) *tensor.Value {
	if l.table != nil {
		return r.Positions(x, r.Constant(l.table, l.in.dims...))
	}
	return r.Positions(x, r.param(l.weight))
}

// sinusoids are the positions of Vaswani et al. 2017: column 2i of row t is sin(t/10000^(2i/width)), column 2i+1 is the cosine.
func sinusoids(steps, width int) []float32 {
	table := make([]float32, steps*width)
	for column := 0; column < width; column += 2 {
		frequency := exponential(-logOf10000 * float64(column) / float64(width))
		for t := range steps {
			sin, cos := sineCosine(float64(t) * frequency)
			table[t*width+column] = float32(sin)
			if column+1 < width {
				table[t*width+column+1] = float32(cos)
			}
		}
	}
	return table
}

const logOf10000 = 9.21034037197618273607196581873745683

// exponential is e^x for x in [-10, 0], with the same bits on every CPU: the Taylor polynomial of x/64, squared six times.
func exponential(x float64) float64 {
	y, term := 1.0, 1.0
	for k := 1; k <= 16; k++ {
		term = term * (x / 64) / float64(k)
		y += term
	}
	for range 6 {
		y *= y
	}
	return y
}

// sineCosine is sin x and cos x for x in [0, 1e6], with the same bits on every CPU: Taylor polynomials within half a turn of 0.
func sineCosine(x float64) (sin, cos float64) {
	turns := math.Floor(x/(2*math.Pi) + 0.5)
	x -= float64(turns * (2 * math.Pi))
	square := float64(x * x)
	sin, cos = x, 1
	odd, even := x, 1.0
	for k := 1; k <= 14; k++ {
		n := float64(2 * k)
		even = -even * square / float64(n*(n-1))
		odd = -odd * square / float64(n*(n+1))
		cos += even
		sin += odd
	}
	return sin, cos
}
