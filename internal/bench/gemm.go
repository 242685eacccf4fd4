package bench

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringmaster/internal/bench/kernels"
	"ringmaster/internal/launch"
	"ringmaster/internal/median"
	"ringmaster/internal/tensor/kernel"
)

// GemmResult is the speed of one shape of matrix product.
type GemmResult struct {
	Case   string  `json:"case"` // MxKxN
	GFLOPS float64 `json:"gflops"`
	Us     float64 `json:"us"` // of one product
	Kernel string  `json:"kernel"`

	threads, rounds int
}

func (r GemmResult) row() []string {
	return []string{r.Case, fmt.Sprintf("%.1f", r.GFLOPS), fmt.Sprintf("%.1f", r.Us), r.Kernel}
}

func (r GemmResult) sample() sample {
	return sample{name: fmt.Sprintf("Gemm/%s/threads=%d", r.Case, r.threads), n: r.rounds, values: []value{{r.Us * 1e3, "ns/op"}, {r.GFLOPS, "GFLOP/s"}}}
}

// Gemm measures float32 matrix products of shapes written MxKxN, (M,K) times (K,N).
func Gemm(sizes []string, threads int) (*Report, error) {
	var shapes [][3]int
	for _, size := range sizes {
		shape, err := parseShape(size)
		if err != nil {
			return nil, &launch.UsageError{Err: err}
		}
		shapes = append(shapes, shape)
	}
	team := kernel.NewTeam(threads)
	defer team.Close()
	report := &Report{Columns: []string{"CASE", "GFLOP/S", "US", "KERNEL"}}
	for i, shape := range shapes {
		report.Results = append(report.Results, product(team, sizes[i], shape, threads))
	}
	return report, nil
}

// parseShape reads MxKxN. The bound keeps the three matrices within 3 GiB.
func parseShape(s string) ([3]int, error) {
	var shape [3]int
	parts := strings.Split(s, "x")
	for i, part := range parts {
		v, err := strconv.Atoi(part)
		if len(parts) != 3 || err != nil || v < 1 || v > 1<<14 {
			return shape, fmt.Errorf("--sizes: %q is not a shape; write MxKxN with numbers from 1 to %d, like 32x784x128", s, 1<<14)
		}
		shape[i] = v
	}
	return shape, nil
}

// product measures rounds of about 20 ms each and takes their median.
func product(team *kernel.Team, name string, shape [3]int, threads int) GemmResult {
	const rounds, roundTime = 25, 20 * time.Millisecond
	m, k, n := shape[0], shape[1], shape[2]
	p := &kernel.MatMul{M: m, K: k, N: n, A: ramp(m * k), LDA: k, B: ramp(k * n), LDB: n, C: make([]float32, m*n), LDC: n}
	seconds, calls := repeat(rounds, roundTime, func() { team.MatMul(p) })
	return GemmResult{Case: name, GFLOPS: 2 * float64(m) * float64(k) * float64(n) / seconds / 1e9, Us: seconds * 1e6,
		Kernel: kernel.Current().String(), threads: threads, rounds: rounds * calls}
}

// repeat measures rounds of a call, each of as many calls as fit into roundTime. It returns the median seconds of one call, and the
// calls of a round.
func repeat(rounds int, roundTime time.Duration, call func()) (seconds float64, calls int) {
	for start := time.Now(); time.Since(start) < roundTime; calls++ {
		call()
	}
	perCall := make([]float64, rounds)
	for r := range perCall {
		start := time.Now()
		for range calls {
			call()
		}
		perCall[r] = time.Since(start).Seconds() / float64(calls)
	}
	return median.Of(perCall), calls
}

// ramp is a vector of unremarkable values.
func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%17) / 16
	}
	return v
}

// KernelResult is the speed of one vector kernel on one length.
type KernelResult struct {
	Case   string  `json:"case"` // kernel/elements
	Ns     float64 `json:"ns"`   // of one call
	GiBPS  float64 `json:"gib_per_s"`
	Kernel string  `json:"kernel"`

	rounds int
}

func (r KernelResult) row() []string {
	return []string{r.Case, fmt.Sprintf("%.0f", r.Ns), fmt.Sprintf("%.1f", r.GiBPS), r.Kernel}
}

func (r KernelResult) sample() sample {
	return sample{name: "Kernel/" + r.Case, n: r.rounds, values: []value{{r.Ns, "ns/op"}, {r.GiBPS, "GiB/s"}}}
}

// maxElements keeps the operands of a vector kernel within 2 GiB.
const maxElements = 1 << 26

// Kernels measures the vector kernels of the given names, or all of them, on one thread and vectors of the given lengths.
func Kernels(only []string, lengths []int) (*Report, error) {
	if err := checkKernelNames(only); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	report := &Report{Columns: []string{"CASE", "NS", "GIB/S", "KERNEL"}}
	for _, n := range lengths {
		if n < 1 || n > maxElements || n%kernels.Columns != 0 {
			return nil, &launch.UsageError{Err: fmt.Errorf("--elements: %d is no multiple of %d from %d to %d", n, kernels.Columns, kernels.Columns, maxElements)}
		}
		for _, c := range kernels.Calls(n) {
			if len(only) == 0 || slices.Contains(only, c.Name) {
				report.Results = append(report.Results, vector(c, n))
			}
		}
	}
	return report, nil
}

func checkKernelNames(only []string) error {
	var known []string
	for _, c := range kernels.Calls(kernels.Columns) {
		known = append(known, c.Name)
	}
	for _, name := range only {
		if !slices.Contains(known, name) {
			return fmt.Errorf("--kernels: %q is none of %s", name, strings.Join(known, ", "))
		}
	}
	return nil
}

// vector measures rounds of about 5 ms each and takes their median.
func vector(c kernels.Call, n int) KernelResult {
	const rounds, roundTime = 15, 5 * time.Millisecond
	seconds, calls := repeat(rounds, roundTime, c.Run)
	return KernelResult{Case: fmt.Sprintf("%s/%d", c.Name, n), Ns: seconds * 1e9, GiBPS: float64(c.Bytes) / seconds / (1 << 30),
		Kernel: kernel.Current().String(), rounds: rounds * calls}
}
