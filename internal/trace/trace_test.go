package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestRecorderTakesTheStepsAskedFor(t *testing.T) {
	var r Recorder
	if r.Now() != 0 {
		t.Error("a recorder that nobody asks tells the time")
	}
	r.Span(Step, 1, None, 1) // nobody asks
	r.Since(Step, 1, None, time.Now())
	rec := r.Start(3, 2, 100)
	before := rec.Origin.Add(-time.Second)
	for step := uint64(1); step <= 6; step++ {
		began := r.Now()
		r.Span(Forward, step, 0, began)
		r.Span(Backward, step, 0, 0) // began while nobody asked
		r.Since(Reading, step, None, before)
		r.Span(Step, step, None, began)
	}
	<-rec.Done()
	spans, lost := rec.Spans()
	if p := (&Process{Spans: spans}); p.Steps() != 2 {
		t.Errorf("%d steps, want 2", p.Steps())
	}
	var got []string
	for _, s := range spans {
		got = append(got, fmt.Sprintf("%v %d", s.Kind, s.Step))
		if s.Began < 0 || s.Lasted < 0 {
			t.Errorf("%+v is before the recording", s)
		}
	}
	if want := "forward 3, step 3, forward 4, step 4"; strings.Join(got, ", ") != want || lost != 0 {
		t.Errorf("%v and %d lost, want %s", got, lost, want)
	}
	r.Stop()
	r.Stop()
	(*Recorder)(nil).Span(Step, 1, None, (*Recorder)(nil).Now())
	(*Recorder)(nil).Since(Step, 1, None, time.Now())
}

func TestRecordingIsBounded(t *testing.T) {
	var r Recorder
	rec := r.Start(1, 10, 5)
	for range 8 {
		r.Span(Waiting, 1, None, r.Now())
	}
	next := r.Start(1, 10, 5) // takes its place
	<-rec.Done()
	if spans, lost := rec.Spans(); len(spans) != 5 || lost != 3 {
		t.Errorf("%d spans, %d lost, want 5 and 3", len(spans), lost)
	}
	r.Stop()
	<-next.Done()
}

// Goroutines record at the same time, and one of them ends the recording: every span that there was room for is whole.
func TestGoroutinesRecordTogether(t *testing.T) {
	var r Recorder
	rec := r.Start(1, 1, 3000)
	var all sync.WaitGroup
	for k := range int32(4) {
		all.Go(func() {
			for range 1000 {
				r.Span(Folding, 1, k, r.Now())
			}
		})
	}
	all.Wait()
	r.Since(Step, 1, None, rec.Origin)
	<-rec.Done()
	spans, lost := rec.Spans()
	if len(spans) != 3000 || lost != 1001 {
		t.Errorf("%d spans, %d lost, want 3000 and 1001", len(spans), lost)
	}
	for _, s := range spans {
		if s.Kind != Folding || s.Step != 1 || s.Began < 0 || s.Lasted < 0 {
			t.Fatalf("%+v", s)
		}
	}
}

// document is the format as its readers expect it: unknown fields are an error.
type document struct {
	DisplayTimeUnit string         `json:"displayTimeUnit"`
	OtherData       map[string]any `json:"otherData"`
	TraceEvents     []struct {
		Name string         `json:"name"`
		Cat  string         `json:"cat"`
		Ph   string         `json:"ph"`
		Ts   float64        `json:"ts"`
		Dur  float64        `json:"dur"`
		PID  int            `json:"pid"`
		TID  int            `json:"tid"`
		ID   string         `json:"id"`
		BP   string         `json:"bp"`
		Args map[string]any `json:"args"`
	} `json:"traceEvents"`
}

func TestWriteIsTheChromeTraceEventFormat(t *testing.T) {
	ms := time.Millisecond
	spans := func() []Span {
		return []Span{{Reading, None, 7, 0, ms}, {Forward, 0, 7, ms, 2 * ms}, {Reduce, 1, 7, 2 * ms, 4 * ms}, {Reduce, 0, 7, 3 * ms, 4 * ms},
			{Receiving, 1, 7, 4 * ms, 2*ms + 5}, {Receiving, None, 7, 7 * ms, ms}, {Step, None, 7, 0, 10 * ms},
			{ForwardOperation, 1, 7, ms, ms}, {BackwardOperation, 9, 7, ms, ms},
			{Packing, 1, 7, 2 * ms, ms}, {Passing, 1, 7, 3 * ms, ms}, {Passing, None, 7, 4 * ms, ms}, {Arriving, 1, 7, 0, 5 * ms}, {Arriving, None, 7, 5 * ms, ms},
			{Folding, 1, 7, 5 * ms, ms}}
	}
	var text bytes.Buffer
	err := Write(&text, "mnist", []Process{
		{Worker: "w1", Host: "a", PID: 4711, Previous: "w2", Next: "w2", Spans: spans(), Origin: 5_000_000_000, Operations: []string{"embedding", "linear"}},
		{Worker: "w2", Host: "b", PID: 4711, Previous: "w1", Next: "w1", Spans: spans(), Origin: 5_000_002_000, Offset: -1500 * time.Microsecond, Uncertainty: 20 * time.Microsecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(&text)
	decoder.DisallowUnknownFields()
	var d document
	if err := decoder.Decode(&d); err != nil {
		t.Fatal(err)
	}
	if decoder.More() || d.DisplayTimeUnit != "ms" || fmt.Sprint(d.OtherData) != "map[clocks:map[w1:+0.000 ms, right to 0.000 ms w2:-1.500 ms, right to 0.020 ms] job:mnist]" {
		t.Errorf("unit %s, %v", d.DisplayTimeUnit, d.OtherData)
	}
	open, seen, named, arrows := map[string]float64{}, map[string]int{}, map[string]int{}, map[string][2]float64{}
	for _, e := range d.TraceEvents {
		seen[e.Ph]++
		if e.Ph == "X" {
			named[fmt.Sprint(e.Name, " on thread ", e.TID)]++
		}
		switch {
		case e.PID != 1 && e.PID != 2 || e.TID < int(stepLoop) || e.TID > int(receiving) || e.Name == "":
			t.Errorf("an event of nobody: %+v", e)
		case e.Ph == "s":
			arrows[e.ID] = [2]float64{e.Ts, float64(e.PID)}
		case e.Ph == "f":
			if from, ok := arrows[e.ID]; !ok || int(from[1]) == e.PID || e.BP != "e" || e.Ts-from[0] < 1998 || e.Ts-from[0] > 2002 {
				t.Errorf("an arrow from %v to %+v", from, e)
			}
		case e.Ph == "b":
			open[e.ID+e.Name+e.Cat] = e.Ts
		case e.Ph == "e":
			if began, ok := open[e.ID+e.Name+e.Cat]; !ok || e.Ts-began != 4000 {
				t.Errorf("%s ends at %v, and began at %v (%v)", e.Name, e.Ts, began, ok)
			}
			delete(open, e.ID+e.Name+e.Cat)
		case e.Name == "step 7" && e.Ts != map[int]float64{1: 0, 2: 2}[e.PID]:
			t.Errorf("worker %d's step begins at %v us", e.PID, e.Ts)
		case e.Name == "waiting for worker w2, bucket 1" && (e.PID != 1 || e.Dur != 2000.005 || e.Args["step"] != 7.0):
			t.Errorf("a wait: %+v", e)
		}
	}
	if fmt.Sprint(seen) != "map[M:12 X:26 b:4 e:4 f:4 s:4]" || len(open) != 0 {
		t.Errorf("events %v, open %v", seen, open)
	}
	for name, want := range map[string]int{"linear 1 on thread 1": 1, "operation 9 on thread 1": 2, "packing, bucket 1 on thread 2": 2, "passing, records on thread 2": 2,
		"arriving, bucket 1 on thread 3": 2, "folding, bucket 1 on thread 3": 2, "waiting for worker w1, records on thread 1": 1} {
		if named[name] != want {
			t.Errorf("%d of %s, want %d; there are %v", named[name], name, want, named)
		}
	}
}

// Where spans are missing, frames cannot be counted: no arrows, and a label that says so.
func TestWriteSaysWhatIsMissing(t *testing.T) {
	spans := []Span{{Passing, 0, 7, 0, 1}, {Arriving, 0, 7, 0, 1}}
	var text bytes.Buffer
	err := Write(&text, "mnist", []Process{{Worker: "w1", Previous: "w2", Next: "w2", Spans: spans, Lost: 3}, {Worker: "w2", Previous: "w1", Next: "w1", Spans: spans}})
	if err != nil || !strings.Contains(text.String(), "3 spans are missing") || strings.Contains(text.String(), `"ph":"s"`) {
		t.Errorf("%v: %s", err, text.String())
	}
}

func TestWorkersOfOneMachineShareAClock(t *testing.T) {
	p := []Process{
		{Worker: "w1", Machine: "a", Origin: 1000, Offset: 50, Uncertainty: 40},
		{Worker: "w2", Machine: "a", Origin: 2000, Offset: 20, Uncertainty: 10},
		{Worker: "w3", Machine: "b", Origin: 3000, Offset: 500, Uncertainty: 5},
		{Worker: "w4", Origin: 4000, Offset: 1, Uncertainty: 900}, {Worker: "w5", Origin: 5000, Offset: 2, Uncertainty: 1}, // nobody knows where
	}
	ShareClocks(p)
	var got []string
	for _, p := range p {
		got = append(got, fmt.Sprintf("%s %d %d %d", p.Worker, p.Origin, p.Offset, p.Uncertainty))
	}
	if want := "w1 970 20 10, w2 2000 20 10, w3 3000 500 5, w4 4000 1 900, w5 5000 2 1"; strings.Join(got, ", ") != want {
		t.Errorf("%s, want %s", strings.Join(got, ", "), want)
	}
}

func TestWriteOfNothing(t *testing.T) {
	var text bytes.Buffer
	if err := Write(&text, "mnist", nil); err != nil || !json.Valid(text.Bytes()) {
		t.Errorf("%v: %s", err, text.String())
	}
}
