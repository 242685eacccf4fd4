package progress

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
	"time"
)

func TestALineHasWhatIsKnown(t *testing.T) {
	for _, test := range []struct {
		s    Snapshot
		want string
	}{
		{Snapshot{Loss: math.NaN(), Workers: 1}, "step 0  1 worker"},
		{Snapshot{Step: 100, Steps: 1100, Epoch: 1, Epochs: 2, Loss: 0.31234, SamplesPerS: 32000, Batch: 32, Workers: 4},
			"step 100/1100  epoch 1/2  loss 0.3123  32.0k samples/s  4 workers  1s left"},
		{Snapshot{Step: 100, Steps: 1100, Epoch: 2, Loss: 0.31234, Metric: "test f1 0.9312", Workers: 4}, "step 100/1100  epoch 2  loss 0.3123  test f1 0.9312  4 workers"},
		{Snapshot{Step: 5, Steps: 5, Epoch: 1, Loss: 2, SamplesPerS: 1, Batch: 8, Workers: 2, Message: "saving"},
			"step 5/5  epoch 1  loss 2.0000  1.0 samples/s  2 workers  saving"},
	} {
		if got := test.s.Line(); got != test.want {
			t.Errorf("%q, want %q", got, test.want)
		}
	}
}

func TestDurationAndRate(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "0s", 1499 * time.Millisecond: "1s", 125 * time.Second: "2m05s", 192*time.Minute + time.Second: "3h12m"} {
		if got := Duration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
	for v, want := range map[float64]string{0.25: "0.2", 99.94: "99.9", 640: "640", 29700: "29.7k", 2.5e6: "2.5M"} {
		if got := Rate(v); got != want {
			t.Errorf("%v is written %s, want %s", v, got, want)
		}
	}
}

func TestRemainingIsUnknownRatherThanAbsurd(t *testing.T) {
	for _, s := range []Snapshot{{}, {Steps: 10}, {Steps: 10, SamplesPerS: -1, Batch: 1}, {Steps: 1, Step: 2, SamplesPerS: 1, Batch: 1},
		{Steps: math.MaxUint64, SamplesPerS: 1e-9, Batch: 1 << 20}, {Steps: 1, SamplesPerS: math.NaN(), Batch: 1}} {
		if left, ok := s.Remaining(); ok {
			t.Errorf("%+v takes %v", s, left)
		}
	}
}

// Lines come at changes, and every two seconds while only the step moves.
func TestLinesComeAtChangesAndEveryTwoSeconds(t *testing.T) {
	var out bytes.Buffer
	now := time.Unix(0, 0)
	p := newPlain(&out, func() time.Time { return now })
	p.Update(Snapshot{State: "waiting", Message: "for 1 of 2 workers", Loss: math.NaN()})
	p.Update(Snapshot{State: "waiting", Message: "for 1 of 2 workers", Loss: math.NaN()})
	for step := range uint64(51) { // five seconds
		p.Update(Snapshot{State: "running", Step: step, Steps: 50, Epoch: 1, Epochs: 1, Loss: 1, Workers: 2})
		now = now.Add(100 * time.Millisecond)
	}
	for ms := range 8 { // one line for a culprit, however long it takes
		p.Update(Snapshot{State: "running", Step: 50, Steps: 50, Epoch: 1, Epochs: 1, Loss: 1, Workers: 2, Stall: fmt.Sprintf("waiting for w2: computing for 0.%d s", ms),
			Culprit: "w2 computing"})
	}
	p.Update(Snapshot{State: "running", Step: 50, Steps: 50, Epoch: 1, Epochs: 1, Loss: 1, Workers: 2})
	p.Note("worker w2 is lost")
	p.Update(Snapshot{State: "done", Step: 50, Steps: 50, Epoch: 1, Epochs: 1, Loss: 1.5, Workers: 2})
	p.Close()
	want := []string{
		"waiting  for 1 of 2 workers",
		"step 0/50  epoch 1/1  loss 1.0000  2 workers",
		"step 20/50  epoch 1/1  loss 1.0000  2 workers",
		"step 40/50  epoch 1/1  loss 1.0000  2 workers",
		"step 50/50  epoch 1/1  loss 1.0000  2 workers",
		"step 50/50  epoch 1/1  loss 1.0000  2 workers  waiting for w2: computing for 0.0 s",
		"worker w2 is lost",
	}
	if got := strings.TrimSpace(out.String()); got != strings.Join(want, "\n") {
		t.Errorf("shown:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
}

// An end that nobody saw come has a line of its own, and so has a failure.
func TestPlainShowsTheEndOnce(t *testing.T) {
	for _, test := range []struct {
		states []string // of the snapshots after step 1, at the last step
		lines  int
	}{
		{[]string{"running", "done"}, 2}, {[]string{"done"}, 2}, {[]string{"running", "running", "done", "done"}, 2}, {[]string{"running", "failed"}, 3},
	} {
		var out bytes.Buffer
		p := newPlain(&out, time.Now)
		p.Update(Snapshot{State: "running", Step: 1, Steps: 5, Loss: 3, Workers: 1})
		for i, state := range test.states {
			p.Update(Snapshot{State: state, Step: 5, Steps: 5, Loss: 2 - float64(i)/8, Workers: 1})
		}
		if lines := strings.Count(out.String(), "\n"); lines != test.lines {
			t.Errorf("%v: %d lines, want %d:\n%s", test.states, lines, test.lines, out.String())
		}
	}
}

// The bar shows the last figures and the notes, and its goroutine ends with Close.
func TestTheBarShowsTheLastFiguresAndEnds(t *testing.T) {
	var out bytes.Buffer
	b := newBar(&out)
	b.Note("a note")
	b.Update(Snapshot{State: "running", Step: 7, Steps: 10, Epoch: 1, Epochs: 1, Loss: 0.5, SamplesPerS: 100, Batch: 8, Workers: 3})
	if got := barRight(Snapshot{Steps: 10, Stall: "waiting for w2"}); got != " waiting for w2" {
		t.Errorf("beside the bar of a stall stands %q", got)
	}
	b.Close()
	for _, want := range []string{"a note", "step 7/10  epoch 1/1", "loss 0.5000", "3 workers"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the bar shows %q, without %q", out.String(), want)
		}
	}
}

func TestTheDisplayIsAsAskedOrAsTheOutputAllows(t *testing.T) {
	file, err := os.Create(t.TempDir() + "/out")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if d, err := New("auto", file, time.Now); err != nil {
		t.Error(err)
	} else if _, ok := d.(*plain); !ok {
		t.Errorf("a file gets %T, want plain lines", d)
	}
	if _, err := New("fancy", file, time.Now); err == nil || err.Error() != "--progress fancy is not known; it is one of auto, bar, plain, none" {
		t.Errorf("an unknown mode gives %v", err)
	}
	none, err := New("none", file, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	none.Update(Snapshot{Step: 1})
	none.Note("noted")
	none.Close()
	if text, err := os.ReadFile(file.Name()); err != nil || string(text) != "noted\n" {
		t.Errorf("none shows %q, %v", text, err)
	}
}
