package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/bench"
	"ringmaster/internal/bench/kernels"
	"ringmaster/internal/cli"
	"ringmaster/internal/client"
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
	cmd.AddCommand(benchGemmCommand(), benchKernelsCommand(), benchAllreduceCommand(), benchTopologyCommand(), benchTrainCommand(), benchRooflineCommand(), benchScalingCommand(), benchBalanceCommand(), benchLRCommand(), benchTokenizerCommand())
	return cmd
}

// benchFlags are those of every benchmark.
type benchFlags struct {
	json   bool
	format string
	count  int
}

func (f *benchFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.json, "json", false, "write JSON: the same as --format json")
	cmd.Flags().StringVar(&f.format, "format", "table", "table, json, or benchstat: what golang.org/x/perf/cmd/benchstat compares")
	cmd.Flags().IntVar(&f.count, "count", 1, "measure everything this `number` of times; benchstat wants at least 6")
}

// show measures and writes the results in the form that the flags name.
func (f *benchFlags) show(ctx context.Context, measure func(context.Context) (*bench.Report, error)) error {
	if f.json {
		f.format = "json"
	}
	switch {
	case f.format != "table" && f.format != "json" && f.format != "benchstat":
		return wrong(fmt.Errorf("--format: %q is none of table, json and benchstat", f.format))
	case f.count < 1:
		return wrong(errors.New("--count must be at least 1"))
	}
	if err := selectKernel(); err != nil {
		return err
	}
	var all bench.Report
	for range f.count {
		report, err := measure(ctx)
		if own := (*exit)(nil); errors.As(err, &own) {
			return own
		} else if err != nil {
			return notStarted(err)
		}
		all.Add(report)
	}
	switch f.format {
	case "json":
		return failed(writeJSON(os.Stdout, map[string]any{"results": all.Results}))
	case "benchstat":
		return failed(all.WriteBenchstat(os.Stdout))
	}
	if err := table(os.Stdout, all.Rows()); err != nil {
		return failed(err)
	}
	for _, line := range all.Notes {
		if _, err := fmt.Println(line); err != nil {
			return failed(err)
		}
	}
	return nil
}

// showRuns is show for what starts processes, which an interrupt stops.
func (f *benchFlags) showRuns(ctx context.Context, measure func(context.Context) (*bench.Report, error)) error {
	return f.show(ctx, func(ctx context.Context) (report *bench.Report, err error) {
		err = interruptible(ctx, func(ctx context.Context) (err error) {
			report, err = measure(ctx)
			return err
		})
		return report, err
	})
}

func benchGemmCommand() *cobra.Command {
	var flags benchFlags
	var sizes []string
	var threads int
	cmd := &cobra.Command{
		Use:   "gemm",
		Short: "Measure float32 matrix products",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkThreads(threads); err != nil {
				return err
			}
			return flags.show(cmd.Context(), func(context.Context) (*bench.Report, error) { return bench.Gemm(sizes, threads) })
		},
	}
	cmd.Flags().StringSliceVar(&sizes, "sizes", []string{"64x64x64", "32x784x128", "256x256x256", "1024x1024x1024"}, "shapes MxKxN: (M,K) times (K,N)")
	cmd.Flags().IntVar(&threads, "threads", 1, "compute threads")
	flags.register(cmd)
	return cmd
}

func benchKernelsCommand() *cobra.Command {
	var flags benchFlags
	var only []string
	var lengths []int
	cmd := &cobra.Command{
		Use:   "kernels",
		Short: "Measure the vector kernels, on one thread",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.show(cmd.Context(), func(context.Context) (*bench.Report, error) { return bench.Kernels(only, lengths) })
		},
	}
	cmd.Flags().StringSliceVar(&only, "kernels", nil, "names of kernels (default: all)")
	cmd.Flags().IntSliceVar(&lengths, "elements", []int{4096, 1 << 20}, fmt.Sprintf("numbers of elements, multiples of %d", kernels.Columns))
	flags.register(cmd)
	return cmd
}

func benchAllreduceCommand() *cobra.Command {
	var flags benchFlags
	var options bench.AllReduceOptions
	tune := bench.TuneOptions{Tell: func(line string) { fmt.Fprintln(os.Stderr, line) }}
	var sizes []string
	cmd := &cobra.Command{
		Use:   "allreduce",
		Short: "Measure the ring all-reduce over gRPC between workers on this machine",
		Long: `Measures the ring all-reduce of vectors between workers in this process.

--tune JOB.yaml advises how large a job's buckets should be: the parts of its gradient that the ring reduces as units. The job trains with one size after another,
in turn and again in each round, on a cluster of --workers processes on this machine, since what counts is how much of the reduction the backward pass hides. --bytes are
then the sizes to try, and the lines to put into the job file are printed. Buckets are part of what decides a job's bits; the number of workers, threads and the links
between them are not.`,
		Example: `  ringmaster bench allreduce --workers 2 --bytes 64,1MiB,16MiB
  ringmaster bench allreduce --tune configs/gpt-source.yaml --workers 2`,
		Args: cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkTuneFlags(cmd, tune.File); err != nil {
				return err
			}
			if tune.File != "" {
				tune.Workers, tune.Window, tune.Sizes = options.Workers, options.Time, bench.TuneSizes
				if cmd.Flags().Changed("bytes") {
					tune.Sizes = sizes
				}
				return flags.showRuns(cmd.Context(), func(ctx context.Context) (*bench.Report, error) { return bench.Tune(ctx, tune) })
			}
			return flags.show(cmd.Context(), func(ctx context.Context) (*bench.Report, error) { return bench.AllReduce(ctx, options, sizes) })
		},
	}
	cmd.Flags().IntVar(&options.Workers, "workers", 2, "number of workers")
	cmd.Flags().IntVar(&options.Seats, "seats", 0, "number of seats (default: one for each worker)")
	cmd.Flags().BoolVar(&options.TCP, "tcp", false, "over TCP instead of unix sockets")
	cmd.Flags().BoolVar(&options.TLS, "tls", false, "over TCP under mutual TLS, as between machines")
	cmd.Flags().BoolVar(&options.GRPC, "grpc", false, "frames go over gRPC streams, as to a peer that knows nothing else")
	cmd.Flags().DurationVar(&options.Time, "time", time.Second, "`time` to measure each size")
	cmd.Flags().StringSliceVar(&sizes, "bytes", []string{"64", "1MiB", "16MiB", "100MiB"}, "sizes of the summed vector, or of the buckets to try (default then: "+strings.Join(bench.TuneSizes, ",")+")")
	cmd.Flags().StringVar(&tune.File, "tune", "", "advise sizes of buckets for the job in this `file`")
	cmd.Flags().StringArrayVar(&tune.Sets, "set", nil, "with --tune: override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().IntVar(&tune.Threads, "threads", 0, "with --tune: compute threads of each worker (default: CPUs / workers)")
	cmd.Flags().IntVar(&tune.Rounds, "rounds", 3, "with --tune: how often everything is measured")
	flags.register(cmd)
	return cmd
}

func benchTopologyCommand() *cobra.Command {
	var flags benchFlags
	var options bench.TopologyOptions
	var sizes []string
	cmd := &cobra.Command{
		Use:   "topology",
		Short: "Work out how long sums over many workers take",
		Long: `Works out, without measuring, how long the all-reduce of a vector takes over up to thousands of workers of one seat each: the ring with every hop between hosts; the ring as it is, with the
workers of a host beside each other; a ring of hosts whose workers share memory; and all gradients gathered by doubling. Every frame is followed through links of the given
latency and bandwidth.`,
		Example: `  ringmaster bench topology --workers 8,64,1000 --per-host 8 --gbit 10 --latency 50us`,
		Args:    cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return flags.show(cmd.Context(), func(context.Context) (*bench.Report, error) { return bench.Topology(options, sizes) })
		},
	}
	cmd.Flags().IntSliceVar(&options.Workers, "workers", []int{2, 8, 16, 64, 256, 1000}, "numbers of workers")
	cmd.Flags().IntVar(&options.PerHost, "per-host", 8, "workers of a host")
	cmd.Flags().DurationVar(&options.Latency, "latency", 50*time.Microsecond, "`time` of a small frame between hosts")
	cmd.Flags().DurationVar(&options.Local, "local", 10*time.Microsecond, "`time` of a small frame within a host")
	cmd.Flags().DurationVar(&options.Frame, "frame", 3*time.Microsecond, "`time` that handling a frame takes")
	cmd.Flags().Float64Var(&options.Gbit, "gbit", 10, "what a host sends, in Gbit/s")
	cmd.Flags().StringSliceVar(&sizes, "bytes", []string{"64", "473128", "16MiB"}, "sizes of the summed vector")
	flags.register(cmd)
	return cmd
}

func benchTrainCommand() *cobra.Command {
	var flags benchFlags
	var options bench.TrainOptions
	var out string
	cmd := &cobra.Command{
		Use:   "train JOB.yaml",
		Short: "Measure training on a cluster of processes on this machine",
		Long: `Trains a job for some steps on a cluster of processes on this machine, and says how fast that was. Nothing is kept.

--trace records what all workers do in some of the steps, on one time line, in the Chrome trace event format, which Perfetto and chrome://tracing open: what the step loop does
(forward and backward of each seat with their operations, waiting, optimizer), and what the ring sends and receives meanwhile, with an arrow for each frame. The training is
as long as that takes, and has at least --steps. Of a cluster that runs, ringmaster trace records the same.`,
		Example: `  ringmaster bench train configs/mnist-mlp.yaml --workers 1 --threads 1 --steps 500
  ringmaster bench train configs/quickstart.yaml --workers 2 --trace steps.json`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.File = args[0]
			if err := checkTraceFlags(cmd, out, options.TraceSteps); err != nil {
				return err
			}
			if out != "" {
				options.Traced = func(t *client.Trace) error { return writeTrace(t, out, os.Stderr) }
			}
			return flags.showRuns(cmd.Context(), func(ctx context.Context) (*bench.Report, error) { return bench.Train(ctx, options) })
		},
	}
	cmd.Flags().StringArrayVar(&options.Sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().IntVar(&options.Workers, "workers", 1, "number of workers")
	cmd.Flags().IntVar(&options.Threads, "threads", 1, "compute threads of each worker")
	cmd.Flags().IntVar(&options.Steps, "steps", 500, "steps to train")
	cmd.Flags().StringVar(&out, "trace", "", "`file` for a trace of some steps of all workers")
	cmd.Flags().IntVar(&options.TraceSteps, "trace-steps", 20, "`number` of steps to trace")
	flags.register(cmd)
	return cmd
}

// checkTuneFlags refuses flags of the other kind of measurement.
func checkTuneFlags(cmd *cobra.Command, file string) error {
	with, without := []string{"set", "threads", "rounds"}, []string{"seats", "tcp", "tls", "grpc"}
	for _, name := range with {
		if file == "" && cmd.Flags().Changed(name) {
			return wrong(fmt.Errorf("--%s goes with --tune JOB.yaml", name))
		}
	}
	for _, name := range without {
		if file != "" && cmd.Flags().Changed(name) {
			return wrong(fmt.Errorf("--%s does not go with --tune: the job's processes train as launch starts them", name))
		}
	}
	if file != "" && cmd.Flags().Changed("threads") {
		threads, _ := cmd.Flags().GetInt("threads") // the flag is there
		return checkThreads(threads)
	}
	return nil
}

// checkTraceFlags checks where a trace goes, and of how many steps it is.
func checkTraceFlags(cmd *cobra.Command, out string, steps int) error {
	if out == "" {
		if cmd.Flags().Changed("trace-steps") {
			return wrong(errors.New("--trace-steps says how many steps --trace records; name a file by --trace"))
		}
		return nil
	}
	if err := checkTraceSteps("--trace-steps", steps); err != nil {
		return err
	}
	return wrong(checkTarget("--trace", out))
}

func benchScalingCommand() *cobra.Command {
	var flags benchFlags
	options := bench.ScalingOptions{Tell: func(line string) { fmt.Fprintln(os.Stderr, line) }}
	cmd := &cobra.Command{
		Use:   "scaling JOB.yaml",
		Short: "Measure what a ring of workers makes of a job's steps",
		Long: `Measures a job's steps on clusters of processes on this machine, in turn and again in each round: by one worker alone, which has all seats; by some workers that train
apart, each with its own part of the seats and without a ring; and by the same workers in a ring. The medians over the rounds are shown:

  ALONE/S, APART/S, RING/S  steps a second; apart those of the slowest worker
  EFFICIENCY                ring / apart: what is left of the workers' speed
  SPEEDUP                   ring / alone: what the workers bring
  ADDED MS                  what the ring adds to a step
  CPU MS, SWITCHES          time of CPUs and context switches in a step, all workers together, and the same of the workers apart
  SENT KIB                  what the ring sends in a step, all workers together

A batch that grows with the workers: --set seats=4 --set train.batch_per_seat=32 --workers 4. Where there are fewer cores than workers times threads, efficiency still says
what the ring costs, since the workers apart share the cores too. A measurement takes some four seconds and --time; nothing is kept.`,
		Example: `  ringmaster bench scaling configs/quickstart.yaml --workers 1,2,4
  ringmaster bench scaling configs/quickstart.yaml --workers 2 --set seats=2 --set train.batch_per_seat=32 --json`,
		Args: cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.File = args[0]
			if cmd.Flags().Changed("threads") && options.Threads < 1 {
				return wrong(errors.New("--threads must be at least 1"))
			}
			return flags.showRuns(cmd.Context(), func(ctx context.Context) (*bench.Report, error) { return bench.Scaling(ctx, options) })
		},
	}
	cmd.Flags().StringArrayVar(&options.Sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().IntSliceVar(&options.Workers, "workers", []int{1, 2}, "`numbers` of workers: 1,2,4")
	cmd.Flags().IntVar(&options.Threads, "threads", 0, "compute threads of each worker, the same in every arrangement (default: CPUs / the largest number of workers, at least 1)")
	cmd.Flags().IntVar(&options.Rounds, "rounds", 3, "how often everything is measured")
	cmd.Flags().DurationVar(&options.Window, "time", 3*time.Second, "`time` of each measurement; slow jobs take the time of 20 steps")
	flags.register(cmd)
	return cmd
}

func benchBalanceCommand() *cobra.Command {
	var flags benchFlags
	var options bench.BalanceOptions
	cmd := &cobra.Command{
		Use:   "balance JOB.yaml",
		Short: "Measure two workers of which one is held up half of the time against what each does alone",
		Args:  cli.Takes("JOB.yaml"),
		RunE: func(cmd *cobra.Command, args []string) error {
			options.File = args[0]
			return flags.showRuns(cmd.Context(), func(ctx context.Context) (*bench.Report, error) { return bench.Balance(ctx, options) })
		},
	}
	cmd.Flags().StringArrayVar(&options.Sets, "set", nil, "override a job key, `KEY=VALUE`; repeatable")
	cmd.Flags().IntVar(&options.Rounds, "rounds", 3, "how often everything is measured")
	cmd.Flags().DurationVar(&options.Window, "window", 15*time.Second, "how long each rate is measured")
	cmd.Flags().DurationVar(&options.Running, "running", 5*time.Millisecond, "how long the slow worker runs")
	cmd.Flags().DurationVar(&options.Stopped, "stopped", 5*time.Millisecond, "and how long it is stopped then")
	cmd.Flags().DurationSliceVar(&options.Reading, "reading", nil, "instead: what reading a seat's data takes each of the two, `FAST,SLOW`")
	cmd.Flags().DurationVar(&options.Patience, "patience", 2*time.Minute, "how long seats may take to move")
	flags.register(cmd)
	return cmd
}

func benchTokenizerCommand() *cobra.Command {
	var flags benchFlags
	var text string
	cmd := &cobra.Command{
		Use:   "tokenizer FILE|DIR --input TEXT-FILE",
		Short: "Measure how fast a tokenizer encodes the lines of a text, on one thread",
		Args:  cli.Takes("FILE|DIR"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if text == "" {
				return wrong(errors.New("--input is missing: name a text file"))
			}
			return flags.show(cmd.Context(), func(context.Context) (*bench.Report, error) { return bench.Tokenizer(args[0], text) })
		},
	}
	cmd.Flags().StringVar(&text, "input", "", "text `file`")
	flags.register(cmd)
	return cmd
}
