package kernel

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// BenchmarkVector times the vector kernels in every tier: in the first-level cache, as a layer's activations, and from memory.
func BenchmarkVector(b *testing.B) {
	named := map[string]bool{"Add": true, "ReLUBackward": true, "Exp": true, "Tanh": true, "GELU": true, "GELUTanh": true, "GELUSlope": true,
		"Sum": true, "Dot": true, "SumSquares": true, "Softmax": true, "LayerNorm": true, "LayerNormBackward": true, "AdamStep/32": true, "AdamStep/31": true, "AdamStepPlain/32": true,
		"Dropout": true, "RoundBFloat16": true, "Log": true, "Erf": true}
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range vectorCases {
		if !named[c.name] {
			continue
		}
		for _, n := range []int{128, 4096, 1 << 20} {
			s := make([][]float32, c.slices)
			for k := range s {
				s[k] = normals(r, n)
			}
			for _, tier := range Tiers() {
				b.Run(fmt.Sprintf("%s/%d/%s", c.name, n, tier), func(b *testing.B) {
					defer Force(tier)()
					b.SetBytes(int64(n))
					for b.Loop() {
						c.run(s)
					}
				})
			}
		}
	}
}

// BenchmarkCrossEntropy times the loss of a classifier's batch and of a language model's.
func BenchmarkCrossEntropy(b *testing.B) {
	r := rand.New(rand.NewPCG(3, 4))
	for _, shape := range [][2]int{{32, 10}, {768, 65}, {64, 32128}} {
		rows, cols := shape[0], shape[1]
		x, d, targets := normals(r, rows*cols), make([]float32, rows*cols), make([]int32, rows)
		for _, tier := range Tiers() {
			b.Run(fmt.Sprintf("%dx%d/%s", rows, cols, tier), func(b *testing.B) {
				defer Force(tier)()
				b.SetBytes(int64(rows * cols))
				for b.Loop() {
					CrossEntropy(d, x, targets, rows, cols, -1, 0)
				}
			})
		}
	}
}

// BenchmarkColSum times the bias gradient of a layer.
func BenchmarkColSum(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	for _, shape := range [][2]int{{32, 10}, {32, 128}, {768, 512}} {
		rows, cols := shape[0], shape[1]
		x, d := normals(r, rows*cols), make([]float32, cols)
		b.Run(fmt.Sprintf("%dx%d", rows, cols), func(b *testing.B) {
			b.SetBytes(int64(rows * cols))
			for b.Loop() {
				ColSum(d, x, rows)
			}
		})
	}
}

// BenchmarkColumns times batch norm's passes, 64 rows a call, over 12 MiB a matrix, which few caches hold.
func BenchmarkColumns(b *testing.B) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows = 64
	for _, cols := range []int{16, 24, 96, 384, 960} {
		var v, m [][]float32
		for range 5 {
			v = append(v, normals(r, cols))
		}
		n := 3 << 20 / (rows * cols) * rows * cols
		for range 3 {
			m = append(m, normals(r, n))
		}
		for _, c := range columnCases {
			b.Run(fmt.Sprintf("%s/%d", c.name, cols), func(b *testing.B) {
				b.SetBytes(int64(4 * n * c.matrices))
				for b.Loop() {
					for at := 0; at < n; at += rows * cols {
						end := at + rows*cols
						c.run(v, [][]float32{m[0][at:end], m[1][at:end], m[2][at:end]}, rows)
					}
				}
			})
		}
	}
}
