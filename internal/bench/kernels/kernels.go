// Package kernels prepares calls of the vector kernels whose speed is worth knowing, for the benchmark command and for the
// comparison with other libraries.
package kernels

import "ringmaster/internal/tensor/kernel"

// Columns is the row length of the kernels that work by rows.
const Columns = 512

// Call is a kernel with operands of some number of elements.
type Call struct {
	Name  string
	Bytes int // read and written from and to memory by one call: 4 for each operand and element
	Run   func()
}

// Calls prepares every kernel for n elements, a positive multiple of Columns. The calls share their operands.
func Calls(n int) []Call {
	a, b, c, d := Numbers(n), Numbers(n), make([]float32, n), Numbers(n)
	rows := n / Columns
	mean, rstd := make([]float32, rows), make([]float32, rows)
	targets := make([]int32, rows)
	m, v := make([]float32, n), make([]float32, n)
	half := make([]uint16, n)
	adam := kernel.AdamConstants{Gradient: kernel.Gradient{Count: 32, Clip: 1}, Shrink: 1, Beta1C: 0.1, Beta2C: 0.001, RootScale: 1, Epsilon: 1e-7, Alpha: 0.001}
	sgd := kernel.SGDConstants{Gradient: kernel.Gradient{Count: 32, Clip: 1}, Momentum: 0.9, Inner: 1, Rate: 0.001}
	return []Call{
		{"add", 12 * n, func() { kernel.Add(c, a, b) }},
		{"relu", 8 * n, func() { kernel.ReLU(c, a) }},
		{"relu-backward", 12 * n, func() { kernel.ReLUBackward(c, a, b) }},
		{"exp", 8 * n, func() { kernel.Exp(c, a) }},
		{"log", 8 * n, func() { kernel.Log(c, a) }},
		{"tanh", 8 * n, func() { kernel.Tanh(c, a) }},
		{"erf", 8 * n, func() { kernel.Erf(c, a) }},
		{"sigmoid", 8 * n, func() { kernel.Sigmoid(c, a) }},
		{"silu", 8 * n, func() { kernel.SiLU(c, a) }},
		{"gelu", 8 * n, func() { kernel.GELU(c, a) }},
		{"gelu-tanh", 8 * n, func() { kernel.GELUTanh(c, a) }},
		{"gelu-slope", 12 * n, func() { kernel.GELUSlope(c, d, a) }},
		{"gelu-tanh-slope", 12 * n, func() { kernel.GELUTanhSlope(c, d, a) }},
		{"sum", 4 * n, func() { kernel.Sum(a) }},
		{"sum-squares", 4 * n, func() { kernel.SumSquares(a) }},
		{"col-sum", 4 * n, func() { kernel.ColSum(c[:Columns], a, rows) }},
		{"softmax", 8 * n, func() { kernel.Softmax(c, a, rows, Columns) }},
		{"cross-entropy", 8 * n, func() { kernel.CrossEntropy(c, a, targets, rows, Columns, -1, 0) }},
		{"layer-norm", 8 * n, func() { kernel.LayerNorm(c, mean, rstd, a, b[:Columns], d[:Columns], rows, Columns, 1e-5) }},
		{"layer-norm-backward", 12 * n, func() { kernel.LayerNormBackward(c, a, b, d[:Columns], mean, rstd, rows, Columns, false) }},
		{"rms-norm", 8 * n, func() { kernel.RMSNorm(c, rstd, a, b[:Columns], rows, Columns, 1e-6) }},
		{"dropout", 8 * n, func() { kernel.Dropout(c, a, [2]uint32{1, 2}, 0, 0.1) }},
		{"encode-bfloat16", 6 * n, func() { kernel.EncodeBFloat16(half, a) }},
		{"decode-bfloat16", 6 * n, func() { kernel.DecodeBFloat16(c, half) }},
		{"adam", 28 * n, func() { kernel.AdamStep(d, m, v, b, &adam) }},
		{"momentum", 20 * n, func() { kernel.MomentumStep(d, m, b, &sgd) }},
	}
}

// Numbers are n numbers from -1 to 1 without order.
func Numbers(n int) []float32 {
	s, seed := make([]float32, n), uint32(1)
	for i := range s {
		seed = seed*1664525 + 1013904223
		s[i] = float32(int32(seed)>>8) / (1 << 23)
	}
	return s
}
