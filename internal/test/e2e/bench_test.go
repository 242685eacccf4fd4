package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// TestBenchScaling measures a small job with real processes. What it says must fit together, whatever the machine is busy with; and nothing is left of it.
func TestBenchScaling(t *testing.T) {
	t.Parallel()
	temporary := t.TempDir()
	p := start(t, programs, t.TempDir(), []string{"TMPDIR=" + temporary}, "ringmaster", "bench", "scaling", config(t, "quickstart.yaml"), "--workers", "1,2", "--rounds", "1",
		"--time", "200ms", "--json")
	if code := p.wait(); code != 0 {
		t.Fatalf("exit code %d: %s", code, p.stderr.String())
	}
	var report struct{ Results []map[string]any }
	if err := json.Unmarshal(p.stdout.Bytes(), &report); err != nil || len(report.Results) != 2 {
		t.Fatalf("%v: %s", err, p.stdout.String())
	}
	figure := func(r map[string]any, key string) float64 { v, _ := r[key].(float64); return v }
	one, two := report.Results[0], report.Results[1]
	for _, key := range []string{"alone_steps_per_s", "apart_steps_per_s", "ring_steps_per_s", "efficiency", "speedup", "cpu_ms", "apart_cpu_ms", "switches"} {
		if figure(one, key) <= 0 || figure(two, key) <= 0 {
			t.Errorf("%s: %v and %v", key, one[key], two[key])
		}
	}
	if one["case"] != "quickstart" || figure(one, "workers") != 1 || figure(two, "workers") != 2 || figure(one, "efficiency") != 1 || figure(one, "sent_bytes") != 0 {
		t.Errorf("one worker: %v", one)
	}
	// 118,282 parameters over 4 seats of 2 workers: each seat writes its gradient into the memory that they share, or 5/4 of their bytes go over both links. Little else.
	times := 5. / 2
	if shareMemory {
		times = 4
	}
	if sent := figure(two, "sent_bytes"); sent < 0.9*118282*4*times || sent > 1.1*118282*4*times {
		t.Errorf("two workers send %v bytes in a step", sent)
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
	if said := p.stderr.String(); !strings.Contains(said, "round 1 of 1: 2 workers in a ring: ") {
		t.Errorf("it tells %s", said)
	}
}

// shareMemory reports whether workers of one host exchange gradients through memory.
const shareMemory = runtime.GOOS == "linux"

// TestBenchIsInterrupted stops a benchmark while its processes train: they end, and its folder goes.
func TestBenchIsInterrupted(t *testing.T) {
	t.Parallel()
	temporary := t.TempDir()
	p := start(t, programs, t.TempDir(), []string{"TMPDIR=" + temporary}, "ringmaster", "bench", "train", config(t, "quickstart.yaml"), "--steps", "1000000", "--workers", "2")
	eventually(t, func() string {
		if found, _ := filepath.Glob(filepath.Join(temporary, "ringmaster-bench-*", "run", "status.json")); len(found) == 0 {
			return "no status yet"
		}
		return ""
	})
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if code := p.wait(); code != 130 || p.stderr.String() != "ringmaster: interrupted\n" {
		t.Errorf("exit code %d, %q", code, p.stderr.String())
	}
	if left, err := os.ReadDir(temporary); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestBenchTrainTraces looks at where the time of a benchmark's steps goes.
func TestBenchTrainTraces(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "steps.json")
	code, out, said := run(t, t.TempDir(), "bench", "train", config(t, "quickstart.yaml"), "--workers", "2", "--steps", "100", "--trace", file, "--trace-steps", "5", "--json")
	if code != 0 || !strings.Contains(said, "5 steps of 2 workers from step ") || !strings.Contains(out, `"steps_per_s"`) {
		t.Fatalf("exit code %d: %s%s", code, out, said)
	}
	if shareMemory {
		lookAtTrace(t, file, 5, "packing") // whoever waits adds up, so it may be the same worker always
	} else {
		lookAtTrace(t, file, 5, "passing", "arriving", "folding", "frame")
	}
}
