package bench

import (
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/launch"
)

func lrOptions(t *testing.T) LROptions {
	t.Helper()
	file := filepath.Join(t.TempDir(), "digits.yaml")
	job := "seats: 3\nmodel: {kind: mlp, layers: [784, 16, 10]}\ntrain: {batch_per_seat: 8, ema: 0.9, early_stop: {patience: 1}, optimizer: {kind: sgd}, schedule: {kind: one_cycle}}\n"
	if err := os.WriteFile(file, []byte(job), 0o600); err != nil {
		t.Fatal(err)
	}
	return LROptions{File: file, From: 1e-4, To: 100, Steps: 150, Threads: 1}
}

// A range test suggests a rate at which the loss falls, the same with any number of threads, and leaves nothing behind.
func TestLRSuggestsARate(t *testing.T) {
	o := lrOptions(t)
	r, err := LR(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Case != "digits" || len(r.Points) == 0 || r.Suggestion == nil || *r.Suggestion < 1e-3 || *r.Suggestion > 5 || *r.Least <= *r.Suggestion {
		t.Fatalf("%+v", r)
	}
	first, second := r.Points[0], r.Points[1]
	if first.LR != 1e-4 || first.Smoothed != first.Loss || math.Abs(second.LR/first.LR-math.Pow(1e6, 1.0/149)) > 1e-9 {
		t.Errorf("%+v, %+v", first, second)
	}
	if last := r.Points[len(r.Points)-1]; r.DivergedAt == nil && (len(r.Points) != 150 || math.Abs(last.LR-100) > 1e-6) || r.DivergedAt != nil && *r.DivergedAt != last.LR {
		t.Errorf("ends at %+v, diverged at %v", last, r.DivergedAt)
	}
	o.Threads = 3
	again, err := LR(t.Context(), o)
	if err != nil || !reflect.DeepEqual(again, r) {
		t.Errorf("with three threads: %v, other figures", err)
	}
	if left, err := os.ReadDir(filepath.Dir(o.File)); err != nil || len(left) != 1 {
		t.Errorf("it left %v (%v)", left, err)
	}
	if _, err := json.Marshal(r); err != nil {
		t.Error(err)
	}
	if rows := strings.Join(r.Rows(), "\n"); !strings.Contains(rows, "suggestion\t") || len(r.Rows()) > 30 {
		t.Error(rows)
	}
}

// The suggestion is where a known curve falls fastest; a curve that rises has none.
func TestLRSuggestionOfACurve(t *testing.T) {
	curve := func(loss func(i float64) float64) *LRResult {
		s := checkpoint.State{Step: 400, History: checkpoint.NewHistory(false)}
		for i := range 400 {
			s.History[i] = float32(loss(float64(i)))
		}
		var r LRResult
		r.take(s, 1, 1.01)
		return &r
	}
	r := curve(func(i float64) float64 { return 2 - math.Tanh((i-200)/20) }) // falls fastest at 200, which smoothing delays by some 50 steps
	if got := math.Log(*r.Suggestion) / math.Log(1.01); got < 200 || got > 260 {
		t.Errorf("step %v", got)
	}
	if r := curve(func(i float64) float64 { return i }); r.Suggestion != nil || *r.Least != r.Points[40].LR {
		t.Errorf("%+v", r.Suggestion)
	}
}

func TestLRRefusesWrongUse(t *testing.T) {
	for want, change := range map[string]func(*LROptions){
		"--steps must be from 10 to 1024, not 5":    func(o *LROptions) { o.Steps = 5 },
		"--from must be above 0, and --to above it": func(o *LROptions) { o.From = 0 },
		"and at most 1e6, not 0.0001 and 0.0001":    func(o *LROptions) { o.To = o.From },
		"train.seats":                               func(o *LROptions) { o.Sets = []string{"train.seats=2"} },
	} {
		o := lrOptions(t)
		change(&o)
		_, err := LR(t.Context(), o)
		if usage := (*launch.UsageError)(nil); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
