package model

import (
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// fill writes first values of a tensor, those from element offset on, from a stream of random numbers of the tensor's own.
type fill func(dst []float32, key rng.Key, offset uint64)

func zeros(dst []float32, _ rng.Key, _ uint64) { clear(dst) }

func ones(dst []float32, _ rng.Key, _ uint64) {
	for i := range dst {
		dst[i] = 1
	}
}

// glorotUniform draws from [-a, a], a = sqrt(6/(in+out)).
func glorotUniform(in, out int) fill {
	a := float32(math.Sqrt(6 / float64(in+out)))
	return uniform(-a, a)
}

// uniform draws from [low, high).
func uniform(low, high float32) fill {
	return func(dst []float32, key rng.Key, offset uint64) { key.FillUniform(dst, offset, low, high) }
}

// normal draws from a normal distribution around zero.
func normal(deviation float64) fill {
	return func(dst []float32, key rng.Key, offset uint64) { key.FillNormal(dst, offset, 0, float32(deviation)) }
}

// kaimingNormal draws from a normal distribution of variance 2/(out*taps), PyTorch's kaiming_normal_ with mode fan_out.
func kaimingNormal(out, taps int) fill { return normal(math.Sqrt(2 / float64(out*taps))) }

// torchUniform is what PyTorch's linear, convolution and recurrent layers begin with, weights and biases: uniform within
// 1/sqrt(inputs of an output).
func torchUniform(inputs int) fill {
	a := float32(1 / math.Sqrt(float64(inputs)))
	return uniform(-a, a)
}

// first is the fill that the job file chooses for a weight of the given shape, as torch.nn.init has it, or else the one given.
func (p *part) first(otherwise fill, shape []int) fill {
	in, out := fans(shape)
	fan := in
	if p.Fan == config.FanOut {
		fan = out
	}
	bound := func(deviation float64) fill { // a uniform distribution of that deviation
		a := float32(math.Sqrt(3) * deviation)
		return uniform(-a, a)
	}
	switch p.Init {
	case config.InitZeros:
		return zeros
	case config.InitUniform:
		return uniform(float32(-p.Gain), float32(p.Gain))
	case config.InitNormal:
		return normal(p.Gain)
	case config.InitKaimingUniform:
		return bound(p.Gain / math.Sqrt(float64(fan)))
	case config.InitKaimingNormal:
		return normal(p.Gain / math.Sqrt(float64(fan)))
	case config.InitXavierUniform:
		return bound(p.Gain * math.Sqrt(2/float64(in+out)))
	case config.InitXavierNormal:
		return normal(p.Gain * math.Sqrt(2/float64(in+out)))
	}
	return otherwise
}

// fans are a weight's inputs and outputs as PyTorch counts them: its second and first axis, times the taps of a kernel.
func fans(shape []int) (in, out int) {
	taps := volume(shape[2:])
	return volume([]int{shape[1], taps}), volume([]int{shape[0], taps})
}
