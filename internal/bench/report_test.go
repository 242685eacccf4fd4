package bench

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"golang.org/x/perf/benchfmt"

	"ringmaster/internal/launch"
)

// What benchstat reads is what was measured: its own parser is the judge.
func TestBenchstatReadsEveryResult(t *testing.T) {
	report := &Report{Results: []Result{
		GemmResult{Case: "32x784x128", GFLOPS: 104.5, Us: 61.5, threads: 2, rounds: 250},
		KernelResult{Case: "add/4096", Ns: 312, GiBPS: 147, rounds: 15},
		AllReduceResult{Case: "16MiB", GiBPerS: 1.5, Us: 8200, Workers: 2, Seats: 4, Rounds: 122},
		TrainResult{Case: "my job", StepsPerS: 2000, SamplesPerS: 64000, GFLOPS: 50, PeakRSSMiB: 60, Workers: 2, Threads: 1, Steps: 500},
		ScalingResult{Case: "gpt", Workers: 2, Threads: 1, Ring: 100, Efficiency: 0.9, AddedMs: 0.5, CPUMs: 18, Switches: 40},
		TuneResult{Case: "512KiB", Ms: 7.5, Workers: 2},
		BalanceResult{Case: "round 1", Balanced: 900, OfIdeal: 0.9, OfApart: 0.95, OfShown: 0.97, EvenIdeal: 0.6},
	}}
	var out strings.Builder
	if err := report.WriteBenchstat(&out); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"Gemm/32x784x128/threads=2 250 6.15e-05 sec/op 104.5 GFLOP/s",
		"Kernel/add/4096 15 3.12e-07 sec/op 147 GiB/s",
		"AllReduce/16MiB/workers=2/seats=4 122 0.0082 sec/op 1.5 GiB/s",
		"Train/my-job/workers=2/threads=1 500 0.0005 sec/op 2000 steps/s 64000 samples/s 50 GFLOP/s 60 peak-MiB",
		"Scaling/gpt/workers=2/threads=1 1 0.01 sec/op 0.9 efficiency 0.5 added-ms 18 cpu-ms 40 switches",
		"Tune/512KiB/workers=2 1 0.0075 sec/op",
		"Balance 1 900 samples/s 0.9 of-ideal 0.95 of-apart 0.97 of-shown 0.6 even-of-ideal",
	}
	var got []string
	read := benchfmt.NewReader(strings.NewReader(out.String()), "bench")
	for read.Scan() {
		switch r := read.Result().(type) {
		case *benchfmt.Result:
			line := fmt.Sprint(string(r.Name), " ", r.Iters)
			for _, v := range r.Values {
				line += fmt.Sprintf(" %.6g %s", v.Value, v.Unit)
				if v.Unit != "sec/op" && read.Units().GetBetter(v.Unit) == 0 {
					t.Errorf("benchstat does not know which %s are better", v.Unit)
				}
			}
			got = append(got, line)
			if r.GetConfig("kernel") == "" || r.GetConfig("cpu") == "" {
				t.Errorf("%s: neither kernel nor CPU", line)
			}
		case *benchfmt.SyntaxError:
			t.Error(r)
		}
	}
	if err := read.Err(); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestWrongUseStartsNothing(t *testing.T) {
	ctx := t.Context()
	for name, measure := range map[string]func() (*Report, error){
		"shape":    func() (*Report, error) { return Gemm([]string{"3x4"}, 1) },
		"kernel":   func() (*Report, error) { return Kernels([]string{"fft"}, []int{512}) },
		"elements": func() (*Report, error) { return Kernels(nil, []int{100}) },
		"no steps": func() (*Report, error) { return Train(ctx, TrainOptions{File: "job.yaml", Workers: 1, Threads: 1}) },
		"no job": func() (*Report, error) {
			return Train(ctx, TrainOptions{File: "nowhere.yaml", Workers: 1, Threads: 1, Steps: 1})
		},
		"short window": func() (*Report, error) { return Balance(ctx, BalanceOptions{Rounds: 1}) },
	} {
		var usage *launch.UsageError
		if report, err := measure(); !errors.As(err, &usage) || report != nil {
			t.Errorf("%s: %v, %v", name, report, err)
		}
	}
}

func TestGemmAndKernelsMeasure(t *testing.T) {
	for _, measure := range []func() (*Report, error){
		func() (*Report, error) { return Gemm([]string{"8x16x8"}, 1) },
		func() (*Report, error) { return Kernels([]string{"add"}, []int{512}) },
	} {
		report, err := measure()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range report.Results {
			for _, v := range r.sample().values {
				if !(v.figure > 0) {
					t.Errorf("%v: %v %s", r.row(), v.figure, v.unit)
				}
			}
			if len(r.row()) != len(report.Columns) {
				t.Errorf("%v does not fit the columns %v", r.row(), report.Columns)
			}
		}
	}
}

func TestParseShape(t *testing.T) {
	if got, err := parseShape("32x784x128"); err != nil || got != [3]int{32, 784, 128} {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"", "3", "3x4", "3x4x5x6", "0x1x1", "-1x1x1", "axbxc", "99999x1x1"} {
		if got, err := parseShape(bad); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

func TestParseBytes(t *testing.T) {
	for text, want := range map[string]int{"64": 64, "1KiB": 1024, "16MiB": 16 << 20, "1GiB": 1 << 30} {
		if got, err := parseBytes(text); err != nil || got != want {
			t.Errorf("%s: %d, %v", text, got, err)
		}
	}
	for _, bad := range []string{"", "MiB", "0", "-4", "6", "2GiB", "9999999999999999999", "1MB", "1.5MiB"} {
		if got, err := parseBytes(bad); err == nil {
			t.Errorf("%q is taken for %d", bad, got)
		}
	}
}

// Scripts read these keys.
func TestResultsKeepTheirKeys(t *testing.T) {
	for _, c := range []struct {
		result Result
		keys   []string
	}{
		{GemmResult{Kernel: "avx2"}, []string{"case", "gflops", "kernel", "us"}},
		{KernelResult{}, []string{"case", "gib_per_s", "kernel", "ns"}},
		{AllReduceResult{}, []string{"bytes", "case", "gib_per_s", "rounds", "seats", "us", "workers"}},
		{TrainResult{}, []string{"case", "gflops", "peak_rss_mib", "samples_per_s", "steps", "steps_per_s", "steps_rss_mib", "threads", "workers"}},
		{ScalingResult{}, []string{"added_ms", "alone_steps_per_s", "apart_cpu_ms", "apart_steps_per_s", "apart_switches", "case", "cpu_ms", "efficiency",
			"ring_steps_per_s", "seats", "sent_bytes", "speedup", "switches", "threads", "workers"}},
		{TuneResult{}, []string{"advised", "bucket_kib", "buckets", "case", "ms", "of_default", "workers"}},
		{BalanceResult{}, []string{"apart_samples_per_s", "balanced_samples_per_s", "case", "even_of_ideal", "even_samples_per_s", "fast_samples_per_s",
			"of_apart", "of_ideal", "of_shown", "seats", "slow_samples_per_s"}},
	} {
		text, err := json.Marshal(c.result)
		if err != nil {
			t.Fatal(err)
		}
		var object map[string]any
		if err := json.Unmarshal(text, &object); err != nil {
			t.Fatal(err)
		}
		if keys := slices.Sorted(maps.Keys(object)); !slices.Equal(keys, c.keys) {
			t.Errorf("%T has keys %v, want %v", c.result, keys, c.keys)
		}
	}
}
