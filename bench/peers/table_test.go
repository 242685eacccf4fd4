package main

import (
	"strings"
	"testing"
)

// TestTheBestPeerCounts: the ratio is that to the peer for which it is worst, in the median of the rounds, and above 1 is in our favour.
func TestTheBestPeerCounts(t *testing.T) {
	r := row{ours: []float64{4, 9, 10}, theirs: []rival{{eager, []float64{1, 1, 1}}, {fused, []float64{2, 3, 2}}, {jax, []float64{2, 2, 2}}}}
	if best, ratio := r.best(); best.peer != fused || ratio != 3 {
		t.Errorf("ratio %v to %s, want the median 3 to %s", ratio, best.peer, fused)
	}
	r.share = []float64{0.5, 0.75, 0.8}
	if got := r.bound(); got != 4 {
		t.Errorf("at most %v, want 3 / 0.75", got)
	}
	if got, want := r.others(), "PyTorch eager 1.00, JAX 2.00"; got != want {
		t.Errorf("others %q, want %q", got, want)
	}
	r = row{smaller: true, ours: []float64{2, 2, 2}, theirs: []rival{{eager, []float64{8, 8, 8}}, {fused, []float64{6, 5, 7}}}}
	if best, ratio := r.best(); best.peer != fused || ratio != 3 {
		t.Errorf("ratio of memories %v to %s, want 3 to %s", ratio, best.peer, fused)
	}
}

func TestShowNamesTheBestPeerAndTheMissing(t *testing.T) {
	var out strings.Builder
	rows := []row{{name: "work", unit: "steps/s", ours: []float64{300}, theirs: []rival{{eager, []float64{100}}, {jax, []float64{200}}}}}
	if err := show(&out, rows, []failure{{"work", compiled, "no header file"}}); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if got, want := strings.Join(strings.Fields(lines[1]), " "), "work 300 200 JAX steps/s 1.50 PyTorch eager 100"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := lines[len(lines)-1], "Missing: PyTorch compile in work, since it failed: no header file"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
