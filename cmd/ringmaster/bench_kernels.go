package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/tensor/kernel/measure"
)

// kernelResult is the speed of one vector kernel on one length.
type kernelResult struct {
	Case   string  `json:"case"` // kernel/elements
	Ns     float64 `json:"ns"`   // of one call
	GiBPS  float64 `json:"gib_per_s"`
	Kernel string  `json:"kernel"`
}

// maxBenchElements keeps the operands of bench kernels within 2 GiB.
const maxBenchElements = 1 << 26

func benchKernelsCommand() *cobra.Command {
	var only []string
	var lengths []int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "Measure the vector kernels, on one thread",
		Args:  cli.Takes(),
		RunE: func(*cobra.Command, []string) error {
			if err := selectKernel(); err != nil {
				return err
			}
			if err := checkKernelNames(only); err != nil {
				return wrong(err)
			}
			var results []kernelResult
			for _, n := range lengths {
				if n < 1 || n > maxBenchElements || n%measure.Columns != 0 {
					return wrong(fmt.Errorf("--elements: %d is no multiple of %d from %d to %d", n, measure.Columns, measure.Columns, maxBenchElements))
				}
				for _, c := range measure.Calls(n) {
					if len(only) == 0 || slices.Contains(only, c.Name) {
						results = append(results, benchKernel(c, n))
					}
				}
			}
			return showResults(asJSON, "CASE\tNS\tGIB/S\tKERNEL", results, func(r kernelResult) string {
				return fmt.Sprintf("%s\t%.0f\t%.1f\t%s", r.Case, r.Ns, r.GiBPS, r.Kernel)
			})
		},
	}
	cmd.Flags().StringSliceVar(&only, "kernels", nil, "names of kernels (default: all)")
	cmd.Flags().IntSliceVar(&lengths, "elements", []int{4096, 1 << 20}, fmt.Sprintf("numbers of elements, multiples of %d", measure.Columns))
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

func checkKernelNames(only []string) error {
	var known []string
	for _, c := range measure.Calls(measure.Columns) {
		known = append(known, c.Name)
	}
	for _, name := range only {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--kernels: %q is none of %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// benchKernel measures rounds of about 5 ms each and takes their median.
func benchKernel(c measure.Call, n int) kernelResult {
	const rounds, roundTime = 15, 5 * time.Millisecond
	calls := 0
	for start := time.Now(); time.Since(start) < roundTime; calls++ {
		c.Run()
	}
	perCall := make([]float64, rounds)
	for r := range perCall {
		start := time.Now()
		for range calls {
			c.Run()
		}
		perCall[r] = time.Since(start).Seconds() / float64(calls)
	}
	slices.Sort(perCall)
	median := perCall[rounds/2]
	return kernelResult{Case: fmt.Sprintf("%s/%d", c.Name, n), Ns: median * 1e9, GiBPS: float64(c.Bytes) / median / (1 << 30), Kernel: kernel.Current().String()}
}
