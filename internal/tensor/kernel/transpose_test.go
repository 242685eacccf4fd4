package kernel

import (
	"math/rand/v2"
	"testing"
)

func TestTransposesMoveEveryValueAndNoOther(t *testing.T) {
	r := rand.New(rand.NewPCG(21, 22))
	for _, tier := range Tiers() {
		t.Run(tier.String(), func(t *testing.T) {
			defer Force(tier)()
			for range 300 {
				rows, cols := r.IntN(150), r.IntN(150)
				dstLD, srcLD := rows+r.IntN(5), cols+r.IntN(5)
				src, dst := normals(r, rows*srcLD), make([]float32, cols*dstLD)
				for i := range dst {
					dst[i] = -7
				}
				Transpose(dst, dstLD, src, srcLD, rows, cols)
				for i, v := range dst {
					want := float32(-7)
					if c, r := i/max(dstLD, 1), i%max(dstLD, 1); r < rows {
						want = src[r*srcLD+c]
					}
					if v != want {
						t.Fatalf("%d x %d, rows %d and %d apart: element %d is %v, want %v", rows, cols, srcLD, dstLD, i, v, want)
					}
				}
			}
		})
	}
}

func TestTransposeRefusesShortSlices(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Transpose(make([]float32, 11), 3, make([]float32, 12), 4, 3, 4)
}
