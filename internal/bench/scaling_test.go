package bench

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/host"
	"ringmaster/internal/launch"
)

func scalingJob(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "job.yaml")
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

const tinyJob = `
name: tiny
seats: 5
min_workers: 3
model: {kind: mlp, layers: [784, 4, 10]}
data: {kind: glyphs}
train: {steps: 100, batch_per_seat: 2, early_stop: {metric: loss, patience: 1}}
checkpoint: {every_steps: 10}
`

func TestScalingRefusesWrongUse(t *testing.T) {
	file := scalingJob(t, tinyJob)
	for _, c := range []struct {
		change func(*ScalingOptions)
		want   string
	}{
		{func(o *ScalingOptions) { o.Workers = nil }, "--workers takes numbers of workers, at least 1 each: 1,2,4"},
		{func(o *ScalingOptions) { o.Workers = []int{1, 0} }, "--workers takes numbers of workers"},
		{func(o *ScalingOptions) { o.Rounds = 0 }, "--rounds must be at least 1"},
		{func(o *ScalingOptions) { o.Window = time.Millisecond }, "--time must be at least 100ms, not 1ms"},
		{func(o *ScalingOptions) { o.Threads = 1e6 }, "--threads must be from 1 to"},
		{func(o *ScalingOptions) { o.Workers = []int{6} }, "job.yaml:3:8: --workers 6 is more than the job's seats: 5; take fewer workers, or more seats (--set seats=6)"},
		{func(o *ScalingOptions) { o.Sets = []string{"seats=0"} }, "seats"},
		{func(o *ScalingOptions) { o.File = "nowhere.yaml" }, "nowhere.yaml"},
	} {
		o := ScalingOptions{File: file, Workers: []int{1, 2}, Rounds: 1, Window: time.Second}
		c.change(&o)
		report, err := Scaling(t.Context(), o)
		var usage *launch.UsageError
		if report != nil || !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, %v; want %s", report, err, c.want)
		}
	}
}

// The workers apart have together the seats that the ring has, and their jobs do nothing but steps.
func TestScalingGivesEachWorkerItsPart(t *testing.T) {
	s := &scaling{ScalingOptions: ScalingOptions{File: scalingJob(t, tinyJob), Workers: []int{3, 2, 2, 1}, Rounds: 1, Window: time.Second}}
	if err := s.check(); err != nil {
		t.Fatal(err)
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Workers, []int{1, 2, 3}) || s.Threads != launch.DefaultThreads(3) {
		t.Errorf("workers %v of %d threads", s.Workers, s.Threads)
	}
	for _, workers := range s.Workers {
		var seats []int
		for _, arc := range s.arcs(workers) {
			seats = append(seats, s.parts[arc.Len()].Seats)
		}
		if want := map[int][]int{1: {5}, 2: {3, 2}, 3: {2, 2, 1}}[workers]; !slices.Equal(seats, want) {
			t.Errorf("%d workers have %v seats, want %v", workers, seats, want)
		}
	}
	for _, job := range append([]*config.Job{s.whole}, s.parts[2], s.parts[3]) {
		if job.MinWorkers != 1 || job.Balance || job.Checkpoint.EverySteps != 0 || job.Train.EarlyStop.Metric != "" || job.Train.Steps < 1e9 {
			t.Errorf("%d seats: %+v, %+v", job.Seats, job.Train, job.Checkpoint)
		}
	}
}

func TestCostBetweenReadings(t *testing.T) {
	at := time.Now()
	before := []reading{{at: at, steps: 10, seconds: 1, sent: 100}, {at: at, steps: 20, seconds: 1}}
	after := []reading{
		{at: at.Add(time.Second), steps: 110, seconds: 1.5, sent: 4100, usage: host.Usage{CPU: 800 * time.Millisecond, Switches: 1000}}, // 5 ms a step
		{at: at.Add(2 * time.Second), steps: 120, seconds: 1.8, usage: host.Usage{CPU: time.Second, Switches: 500}},                     // 8 ms
	}
	got := costBetween(before, after)
	for _, c := range []struct{ got, want float64 }{{got.ms, 8}, {got.cpuMs, 5*0.8 + 8*0.5}, {got.switches, 5 + 2}, {got.sent, 40}} {
		if math.Abs(c.got-c.want) > 1e-9 {
			t.Errorf("%+v", got)
		}
	}
	r := compare(stepCost{ms: 12}, stepCost{ms: 6, cpuMs: 11, switches: 3}, stepCost{ms: 8, cpuMs: 15, switches: 40, sent: 1024})
	if r.Efficiency != 0.75 || r.Speedup != 1.5 || r.AddedMs != 2 || r.CPUMs != 15 || r.ApartCPUMs != 11 || r.Switches != 40 || r.ApartSwitches != 3 || r.Ring != 125 {
		t.Errorf("%+v", r)
	}
	if len(r.row()) != len(scalingColumns) {
		t.Errorf("%d cells for %d columns", len(r.row()), len(scalingColumns))
	}
}

func TestScalingShowsMedians(t *testing.T) {
	s := &scaling{whole: &config.Job{Name: "tiny", Seats: 4}, rounds: map[int][]ScalingResult{2: {
		{Ring: 3, Efficiency: 0.5, AddedMs: 9}, {Ring: 1, Efficiency: 0.9, AddedMs: 1}, {Ring: 2, Efficiency: 0.8, AddedMs: 2}}}}
	if r := s.median(2); r.Case != "tiny" || r.Workers != 2 || r.Seats != 4 || r.Ring != 2 || r.Efficiency != 0.8 || r.AddedMs != 2 {
		t.Errorf("%+v", r)
	}
}
