package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/cli"
)

// allreduceResult is the speed of summing vectors of one size. The bandwidth is that of nccl-tests: what a ring puts on
// every link.
type allreduceResult struct {
	Case    string  `json:"case"`
	GiBPerS float64 `json:"gib_per_s"`
	Us      float64 `json:"us"`
	Bytes   int     `json:"bytes"`
	Workers int     `json:"workers"`
	Seats   int     `json:"seats"`
	Rounds  int     `json:"rounds"`
}

func benchAllreduceCommand() *cobra.Command {
	var options allreduce.BenchOptions
	var sizes []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "allreduce",
		Short: "Measure the ring all-reduce over gRPC between workers on this machine",
		Args:  cli.Takes(),
		RunE: func(cmd *cobra.Command, _ []string) error {
			const most = 64
			if options.Workers < 2 || options.Workers > most {
				return wrong(fmt.Errorf("--workers must be from 2 to %d", most))
			}
			if options.Time <= 0 {
				return wrong(fmt.Errorf("--time must be above 0, not %v", options.Time))
			}
			if options.Seats == 0 {
				options.Seats = options.Workers
			}
			if options.Seats < options.Workers || options.Seats > 8*most {
				return wrong(fmt.Errorf("--seats must be from the number of workers to %d", 8*most))
			}
			bytes := make([]int, len(sizes))
			for i, size := range sizes {
				var err error
				if bytes[i], err = parseBytes(size); err != nil {
					return wrong(fmt.Errorf("--bytes: %w", err))
				}
			}
			measured, err := allreduce.Bench(cmd.Context(), options, bytes)
			if err != nil {
				return failed(err)
			}
			results := make([]allreduceResult, len(measured))
			for i, m := range measured {
				results[i] = allreduceResult{Case: sizes[i], GiBPerS: m.BusBandwidth(options.Workers) / (1 << 30), Us: float64(m.Median.Nanoseconds()) / 1e3,
					Bytes: m.Bytes, Workers: options.Workers, Seats: options.Seats, Rounds: m.Rounds}
			}
			return showResults(asJSON, "CASE\tGIB/S\tUS", results, func(r allreduceResult) string {
				return fmt.Sprintf("%s\t%.3f\t%.1f", r.Case, r.GiBPerS, r.Us)
			})
		},
	}
	cmd.Flags().IntVar(&options.Workers, "workers", 2, "number of workers")
	cmd.Flags().IntVar(&options.Seats, "seats", 0, "number of seats (default: one for each worker)")
	cmd.Flags().BoolVar(&options.TCP, "tcp", false, "over TCP instead of unix sockets")
	cmd.Flags().DurationVar(&options.Time, "time", time.Second, "`time` to measure each size")
	cmd.Flags().StringSliceVar(&sizes, "bytes", []string{"64", "1MiB", "16MiB", "100MiB"}, "sizes of the summed vector")
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}

// maxBenchBytes bounds a vector: every seat of every worker holds one.
const maxBenchBytes = 1 << 30

// parseBytes reads a number of bytes with an optional unit: 64, 1KiB, 16MiB, 1GiB. It must be a multiple of 4.
func parseBytes(s string) (int, error) {
	number, unit := s, 1
	for suffix, factor := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if rest, ok := strings.CutSuffix(s, suffix); ok {
			number, unit = rest, factor
		}
	}
	v, err := strconv.Atoi(number)
	if err != nil || v < 1 || v > maxBenchBytes/unit {
		return 0, fmt.Errorf("%q is not a size from 4 to 1GiB; write 64, 1KiB, 16MiB", s)
	}
	if v*unit%4 != 0 {
		return 0, errors.New("a vector of float32 has a multiple of 4 bytes, not " + s)
	}
	return v * unit, nil
}
