package kernel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// TestPanelsGiveTheSameBits compares products with panels with those of the same B as it is, on every tier and with several threads: all
// widths around a panel's, depths around what a tile fetches ahead, and special values.
func TestPanelsGiveTheSameBits(t *testing.T) {
	team := NewTeam(3)
	defer team.Close()
	for _, tier := range Tiers() {
		t.Run(fmt.Sprint(tier), func(t *testing.T) {
			defer Force(tier)()
			r := rand.New(rand.NewPCG(1, 2))
			for _, m := range []int{1, 2, 5, 6, 7, 13, 40} {
				for _, k := range []int{0, 1, 15, 16, 17, 64, 700} {
					for _, n := range []int{1, 7, 15, 16, 17, 33, 100, 900} {
						p, _ := drawProduct(r, m, n, k, wild)
						p.TransA, p.Batch = false, 0
						p.A, p.LDA = drawn(r, m*k), k
						p.LDB = n
						if p.TransB {
							p.LDB = k
						}
						p.B = drawn(r, n*k)
						q := p
						q.C = slices.Clone(p.C)
						q.Panels = NewPanels(p.B, p.LDB, p.TransB, k, n)
						q.B, q.LDB, q.TransB = nil, 0, r.IntN(2) == 1
						(*Team)(nil).MatMul(&p)
						team.MatMul(&q)
						if i := sameBits(p.C, q.C); i >= 0 {
							t.Fatalf("%d x %d x %d: element %d is %v, by panels %v", m, k, n, i, p.C[i], q.C[i])
						}
					}
				}
			}
		})
	}
}

func drawn(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = wild(r)
	}
	return x
}

// BenchmarkOneRow reads the weights of a layer once, as they are and as panels: the figure to look at is GB/s beside the memory's.
func BenchmarkOneRow(b *testing.B) {
	for _, size := range [][2]int{{768, 50257}, {768, 3072}, {3072, 768}, {512, 512}} {
		k, n := size[0], size[1]
		count := max(1, 120<<20/(4*k*n)) // layers, more than a cache holds
		weights := make([][]float32, count)
		panels := make([]*Panels, count)
		for i := range weights {
			weights[i] = make([]float32, k*n)
			for j := range weights[i] {
				weights[i][j] = float32(j%7) - 3
			}
			panels[i] = NewPanels(weights[i], k, true, k, n)
		}
		x, y := make([]float32, k), make([]float32, n)
		for _, way := range []string{"plain", "panels"} {
			b.Run(fmt.Sprintf("%dx%d/%s", k, n, way), func(b *testing.B) {
				b.SetBytes(int64(4 * k * n * count))
				for range b.N {
					for i := range weights {
						p := MatMul{M: 1, N: n, K: k, A: x, LDA: k, C: y, LDC: n}
						if way == "panels" {
							p.Panels = panels[i]
						} else {
							p.B, p.LDB, p.TransB = weights[i], k, true
						}
						(*Team)(nil).MatMul(&p)
					}
				}
			})
		}
	}
}
