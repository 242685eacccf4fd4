package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
	"ringmaster/internal/progress"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure the speed of the parts and of training on this machine",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return cmd.Help()
		},
	}
	cmd.AddCommand(benchGemmCommand(), benchKernelsCommand(), benchAllreduceCommand(), benchTrainCommand(), benchBalanceCommand())
	return cmd
}

// showResults writes the results of a benchmark: what JSON calls {"results": [...]}, or a table of the same columns.
func showResults[T any](asJSON bool, header string, results []T, row func(T) string) error {
	if asJSON {
		return failed(writeJSON(os.Stdout, map[string]any{"results": results}))
	}
	lines := []string{header}
	for _, r := range results {
		lines = append(lines, row(r))
	}
	return failed(table(os.Stdout, lines))
}

// gemmResult is the speed of one shape of matrix product.
type gemmResult struct {
	Case   string  `json:"case"` // MxKxN
	GFLOPS float64 `json:"gflops"`
	Us     float64 `json:"us"` // of one product
	Kernel string  `json:"kernel"`
}

func benchGemmCommand() *cobra.Command {
	var sizes []string
	var threads int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "gemm",
		Short: "Measure float32 matrix products",
		Args:  cli.Takes(),
		RunE: func(*cobra.Command, []string) error {
			if err := checkThreads(threads); err != nil {
				return err
			}
			if err := selectKernel(); err != nil {
				return err
			}
			var shapes [][3]int
			for _, size := range sizes {
				shape, err := parseShape(size)
				if err != nil {
					return wrong(err)
				}
				shapes = append(shapes, shape)
			}
			team := kernel.NewTeam(threads)
			defer team.Close()
			var results []gemmResult
			for i, shape := range shapes {
				results = append(results, benchGemm(team, sizes[i], shape))
			}
			return showResults(asJSON, "CASE\tGFLOP/S\tUS\tKERNEL", results, func(r gemmResult) string {
				return fmt.Sprintf("%s\t%.1f\t%.1f\t%s", r.Case, r.GFLOPS, r.Us, r.Kernel)
			})
		},
	}
	cmd.Flags().StringSliceVar(&sizes, "sizes", []string{"64x64x64", "32x784x128", "256x256x256", "1024x1024x1024"}, "shapes MxKxN: (M,K) times (K,N)")
	cmd.Flags().IntVar(&threads, "threads", 1, "compute threads")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
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

// benchGemm measures rounds of about 20 ms each and takes their median.
func benchGemm(team *kernel.Team, name string, shape [3]int) gemmResult {
	const rounds, roundTime = 25, 20 * time.Millisecond
	m, k, n := shape[0], shape[1], shape[2]
	p := &kernel.MatMul{M: m, K: k, N: n, A: ramp(m * k), LDA: k, B: ramp(k * n), LDB: n, C: make([]float32, m*n), LDC: n}
	products := 0
	for start := time.Now(); time.Since(start) < roundTime; products++ {
		team.MatMul(p)
	}
	perProduct := make([]float64, rounds)
	for r := range perProduct {
		start := time.Now()
		for range products {
			team.MatMul(p)
		}
		perProduct[r] = time.Since(start).Seconds() / float64(products)
	}
	slices.Sort(perProduct)
	median := perProduct[rounds/2]
	return gemmResult{Case: name, GFLOPS: 2 * float64(m) * float64(k) * float64(n) / median / 1e9, Us: median * 1e6, Kernel: kernel.Current().String()}
}

// ramp is a vector of unremarkable values.
func ramp(n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i%17) / 16
	}
	return v
}

// trainResult is the speed of training one job.
type trainResult struct {
	Case        string  `json:"case"`
	StepsPerS   float64 `json:"steps_per_s"`
	SamplesPerS float64 `json:"samples_per_s"`
	PeakRSSMiB  float64 `json:"peak_rss_mib"` // of the largest worker
	GFLOPS      float64 `json:"gflops"`       // of the model's products, all workers together
	Workers     int     `json:"workers"`
	Threads     int     `json:"threads"`
	Steps       uint64  `json:"steps"`
}

func benchTrainCommand() *cobra.Command {
	var sets []string
	var workers, threads, steps int
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "train JOB.yaml",
		Short: "Measure training on a cluster of processes on this machine",
		Args:  cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if workers < 1 || threads < 1 || steps < 1 {
				return wrong(errors.New("--workers, --threads and --steps must be at least 1"))
			}
			// A warm-up longer than so few steps would be refused; the learning rate costs no time.
			sets = append(sets, "train.steps="+strconv.Itoa(steps), "checkpoint.every_steps=0", "train.schedule.warmup=0")
			job, err := config.Load(args[0], sets)
			if err != nil {
				return wrong(err)
			}
			if err := selectKernel(); err != nil {
				return err
			}
			result, err := benchTrain(cmd.Context(), job, workers, threads)
			if err != nil {
				return err
			}
			return showResults(asJSON, "CASE\tSTEPS/S\tSAMPLES/S\tGFLOP/S\tPEAK MIB", []trainResult{*result}, func(r trainResult) string {
				return fmt.Sprintf("%s\t%.1f\t%.0f\t%.1f\t%.1f", r.Case, r.StepsPerS, r.SamplesPerS, r.GFLOPS, r.PeakRSSMiB)
			})
		},
	}
	cmd.Flags().StringArrayVar(&sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().IntVar(&workers, "workers", 1, "number of workers")
	cmd.Flags().IntVar(&threads, "threads", 1, "compute threads of each worker")
	cmd.Flags().IntVar(&steps, "steps", 500, "steps to train")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// benchTrain runs the job in a folder that is deleted afterwards.
func benchTrain(ctx context.Context, job *config.Job, workers, threads int) (result *trainResult, err error) {
	dir, err := os.MkdirTemp("", "ringmaster-bench-")
	if err != nil {
		return nil, wrong(fmt.Errorf("make a folder for the run: %w; set TMPDIR to a folder that can be written to", err))
	}
	defer func() { err = errors.Join(err, failed(os.RemoveAll(dir))) }()
	ran, err := launch.Run(ctx, launch.Options{Job: job, Workers: workers, Coordinators: 1, Threads: threads, Dir: filepath.Join(dir, "run"),
		Display: silent{}, Warnings: io.Discard, Began: began, Machine: host.ID()})
	var usage *launch.UsageError
	switch {
	case errors.As(err, &usage):
		return nil, wrong(err)
	case err != nil:
		return nil, failed(err)
	case ran.Summary.State != launch.StateDone:
		return nil, failed(fmt.Errorf("the job ended in state %s: %s", ran.Summary.State, ran.Summary.Error))
	}
	assembled, err := trainer.Assemble(job)
	if err != nil {
		return nil, failed(err)
	}
	s, batch := ran.Summary, job.Train.BatchPerSeat
	perSample := 2 * float64(assembled.Model.MultiplyAdds(batch)) / float64(batch)
	return &trainResult{Case: job.Name, StepsPerS: float64(s.Step) / float64(s.TrainS), SamplesPerS: float64(s.SamplesPerS),
		PeakRSSMiB: float64(ran.PeakBytes) / (1 << 20), GFLOPS: perSample * float64(s.SamplesPerS) / 1e9,
		Workers: workers, Threads: threads, Steps: s.Step}, nil
}

// silent is a display that shows nothing.
type silent struct{}

func (silent) Update(progress.Snapshot) {}
func (silent) Note(string)              {}
func (silent) Close()                   {}
