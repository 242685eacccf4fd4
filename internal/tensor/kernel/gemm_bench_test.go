package kernel

import (
	"fmt"
	"testing"
)

func BenchmarkMatMul(b *testing.B) {
	for _, tier := range Tiers() {
		for _, s := range [][3]int{{32, 784, 128}, {32, 128, 128}, {32, 128, 10}, {784, 32, 128}, {64, 64, 64}, {256, 256, 256}} {
			m, k, n := s[0], s[1], s[2]
			for _, form := range []string{"NN", "NT", "TN"} {
				b.Run(fmt.Sprintf("%s/%dx%dx%d/%s", tier, m, k, n, form), func(b *testing.B) {
					defer Force(tier)()
					p := &MatMul{M: m, N: n, K: k, A: sequence(m*k, 1), LDA: k, B: sequence(k*n, 2), LDB: n, C: make([]float32, m*n), LDC: n}
					if form == "TN" {
						p.TransA, p.LDA = true, m
					}
					if form == "NT" {
						p.TransB, p.LDB = true, k
					}
					var team *Team
					for b.Loop() {
						team.MatMul(p)
					}
					b.ReportMetric(2*float64(m*n*k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GF/s")
				})
			}
		}
	}
}

// sequence is n floats in [-1, 1), the same for a seed everywhere.
func sequence(n int, seed uint32) []float32 {
	s := make([]float32, n)
	for i := range s {
		seed = seed*1664525 + 1013904223
		s[i] = float32(int32(seed)>>8) / (1 << 23)
	}
	return s
}
