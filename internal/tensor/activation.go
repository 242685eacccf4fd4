package tensor

import "ringmaster/internal/tensor/kernel"

// LeakyReLU is x, and below 0 slope*x.
func (g *Graph) LeakyReLU(x *Value, slope float32) *Value {
	return g.sloped(x, FunctionStep{Function: LeakyReLUFunction, Slope: slope}, func(dst, x []float32) {
		for i, v := range x {
			if v < 0 {
				v *= slope
			}
			dst[i] = v
		}
	}, func(dst, by, x []float32) {
		for i, v := range x {
			f := float32(1)
			if !(v > 0) { // of 0 too, as PyTorch has it
				f = slope
			}
			dst[i], by[i] = v, f
			if v < 0 {
				dst[i] = v * slope
			}
		}
	})
}

// ELU is x, and below 0 alpha*(e^x - 1).
func (g *Graph) ELU(x *Value, alpha float32) *Value {
	below := func(e float32) float32 { return alpha * (e - 1) }
	return g.sloped(x, FunctionStep{Function: ELUFunction, Slope: alpha}, func(dst, x []float32) {
		kernel.Exp(dst, x)
		for i, v := range x {
			if v > 0 {
				dst[i] = v
			} else {
				dst[i] = below(dst[i])
			}
		}
	}, func(dst, by, x []float32) {
		kernel.Exp(by, x)
		for i, v := range x {
			if v > 0 {
				dst[i], by[i] = v, 1
			} else {
				dst[i], by[i] = below(by[i]), alpha*by[i]
			}
		}
	})
}

// Softplus is log(1 + e^x), computed as max(x, 0) + log(1 + e^-|x|).
func (g *Graph) Softplus(x *Value) *Value {
	softplus := func(dst, x []float32) {
		for i, v := range x {
			dst[i] = min(v, -v)
		}
		kernel.Exp(dst, dst)
		for i := range dst {
			dst[i]++
		}
		kernel.Log(dst, dst)
		for i, v := range x {
			dst[i] += max(v, 0)
		}
	}
	return g.sloped(x, FunctionStep{Function: SoftplusFunction}, softplus, func(dst, by, x []float32) {
		softplus(dst, x)
		kernel.Sigmoid(by, x)
	})
}
