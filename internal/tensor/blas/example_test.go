package blas_test

import (
	"fmt"

	gonum "gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/blas32"

	"ringmaster/internal/tensor/blas"
	"ringmaster/internal/tensor/kernel"
)

// gonum's float32 products run on Ringmaster's kernels, with the same bits on every CPU.
func ExampleEngine() {
	team := kernel.NewTeam(1)
	defer team.Close()
	before := blas32.Implementation()
	defer blas32.Use(before)
	blas32.Use(blas.Engine{Team: team})
	a := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: []float32{1, 2, 3, 4}}
	c := blas32.General{Rows: 2, Cols: 2, Stride: 2, Data: make([]float32, 4)}
	blas32.Gemm(gonum.NoTrans, gonum.Trans, 1, a, a, 0, c)
	fmt.Println(c.Data)
	// Output: [5 11 11 25]
}
