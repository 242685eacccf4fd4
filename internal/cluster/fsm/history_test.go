package fsm

import (
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/test/cost"
)

func TestEpochsGoThroughJSON(t *testing.T) {
	h := Epochs{{Job: "a", Generation: 3, Epoch: 1, Step: math.MaxUint64, TrainLoss: math.Float64bits(math.NaN()), HasEval: true, EvalLoss: 5, EvalAccuracy: 6, EvalCount: 7}, {Epoch: 2}, {Epoch: 3, HasEval: true, Metrics: "f1=0.25 auc=NaN"}}
	rows, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := json.Marshal([]Epoch(h)) // as earlier programs wrote them
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{rows, objects} {
		var got Epochs
		if err := json.Unmarshal(text, &got); err != nil || len(got) != 3 || !got[0].same(h[0]) || got[0].Generation != 3 || !got[1].same(h[1]) || !got[2].same(h[2]) {
			t.Errorf("%s is read as %+v, %v", text, got, err)
		}
	}
	for _, bad := range []string{"[[1]]", "[[1,2,3,4,5,6,7,8,9]]", "[[-1,2,3,4,0,6,7,8]]", "[1]", "{}", `"x"`} {
		var got Epochs
		if err := json.Unmarshal([]byte(bad), &got); err == nil {
			t.Errorf("%s is read as %+v", bad, got)
		}
	}
}

// end submits a job and takes it to its end with one checkpoint.
func end(t *testing.T, s *State, n int) {
	t.Helper()
	id := fmt.Sprintf("job-%d", n)
	apply(t, s, Command{Submit: &Submit{ID: id, Incarnation: plan.Incarnation(n + 1), Name: id, Seats: 2, Keep: 1, Config: []byte("x")}})
	g := s.NextGeneration(s.Active()[0])
	apply(t, s, Command{View: viewOf(id, g)})
	apply(t, s, Command{Start: &Start{Job: id, Generation: g, Sources: []string{"w1"}}})
	for e := range 2 {
		apply(t, s, Command{Epoch: &Epoch{Job: id, Generation: g, Epoch: e + 1, TrainLoss: uint64(e)}})
	}
	apply(t, s, Command{Checkpoint: &Checkpoint{Job: id, Generation: g, Step: 9, Directory: id, Digest: []byte{1}, Manifest: json.RawMessage("{}"), ManifestSum: []byte{2}}})
	apply(t, s, Command{Finish: &Outcome{Job: id, Generation: g, Phase: Done, Step: 9, Digest: []byte{3}}})
}

// Of a job that ended long ago one line is left, which still says how it ended and what it keeps; the number of such lines is bounded.
func TestEndedJobsBecomeLines(t *testing.T) {
	s := &State{}
	const n = maxEnded + maxWhole + 5
	for i := range n {
		end(t, s, i)
	}
	s = snapshot(t, s)
	if len(s.Jobs) != maxWhole || len(s.Past) != maxEnded || s.Past[0].ID != "job-5" || s.Newest().ID != fmt.Sprintf("job-%d", n-1) {
		t.Fatalf("%d jobs are kept whole, and %d lines from %s on", len(s.Jobs), len(s.Past), s.Past[0].ID)
	}
	if s.Generation != n {
		t.Errorf("generations have come to %d after %d jobs", s.Generation, n)
	}
	e := s.Ended("job-7")
	if e == nil || e.Phase != Done || e.Step != 9 || e.Epochs != 2 || len(e.Last) != 1 || e.Last[0].Epoch != 2 || e.Outcome == nil || e.Workers != 1 {
		t.Fatalf("left of job-7: %+v", e)
	}
	if c := e.Checkpoints; len(c) != 1 || c[0].Directory != "job-7" || c[0].Manifest != nil || len(c[0].ManifestSum) == 0 {
		t.Errorf("it keeps %+v", c)
	}
	before := snapshot(t, s)
	for text, c := range map[string]Command{
		"":                             {Submit: &Submit{ID: "job-7", Incarnation: 8, Seats: 2}}, // the same one again
		`job "job-7" exists`:           {Submit: &Submit{ID: "job-7", Incarnation: 3000, Seats: 2}},
		`job "job-7" has ended (done)`: {Stop: &Stop{Job: "job-7"}},
		`no job "job-1"`:               {Stop: &Stop{Job: "job-1"}},
	} {
		if err := s.Apply(c); (err == nil) != (text == "") || err != nil && err.Error() != text {
			t.Errorf("%+v: %v, want %q", c, err, text)
		}
	}
	if !reflect.DeepEqual(before, s) {
		t.Error("what was refused or known changes the state")
	}
	data, err := s.Encode()
	if err != nil || len(data) > 700*maxEnded {
		t.Errorf("%d lines take %d bytes, %v", maxEnded, len(data), err)
	}
}

func TestQueueAndHistoryAreBounded(t *testing.T) {
	s := &State{}
	for i := range maxQueued + 1 { // one of them is active
		apply(t, s, Command{Submit: &Submit{ID: fmt.Sprint(i), Incarnation: plan.Incarnation(i + 1), Seats: 2}})
	}
	if err := s.Apply(Command{Submit: &Submit{ID: "x", Incarnation: 1 << 20, Seats: 2}}); err == nil || !strings.Contains(err.Error(), "1000 jobs wait already") {
		t.Errorf("one more: %v", err)
	}
	for g := range plan.Generation(maxViewRecords + 3) {
		c := viewOf("0", g+1)
		c.View.Reason = strings.Repeat("é", 600)
		apply(t, s, Command{View: c})
	}
	v := s.Job("0").Views
	if len(v) != maxViewRecords || v[0].Generation != 4 || len(v[0].Reason) > maxReason+len("…") || !strings.HasSuffix(v[0].Reason, "é…") {
		t.Errorf("%d views from %d on, reasons of %d bytes", len(v), v[0].Generation, len(v[0].Reason))
	}
}

// FuzzApply applies arbitrary commands, a line each, to a state. None may panic, cost much, or leave a state that does not go through
// a snapshot.
func FuzzApply(f *testing.F) {
	var lines []string
	for _, c := range []Command{{Found: &Found{Cluster: 5}}, {Submit: &Submit{ID: "b", Incarnation: 2, Seats: 2, Keep: 1, Earlier: []string{"e"}, Origin: &Checkpoint{Step: 3, Generation: 9}}},
		{Data: &Data{Job: "a", Fingerprint: []byte{1}}}, {Scale: &Scale{Job: "a", Workers: 1}}, {View: viewOf("a", 2)},
		{Start: &Start{Job: "a", Generation: 2, Sources: []string{"w1"}}}, {Epoch: &Epoch{Job: "a", Generation: 2, Epoch: 1}},
		{Checkpoint: &Checkpoint{Job: "a", Generation: 2, Step: 7, Manifest: json.RawMessage("{}")}}, {Retire: &Retire{Job: "a", Step: 7, Generation: 2}},
		{Stop: &Stop{Job: "a"}}, {Finish: &Outcome{Job: "a", Generation: 2, Phase: Done}}} {
		text, err := EncodeCommand(c)
		if err != nil {
			f.Fatal(err)
		}
		lines = append(lines, string(text))
		f.Add(string(text))
	}
	f.Add(strings.Join(lines, "\n"))
	f.Add(`{"view":{"job":"a","view":{"generation":2,"seats":1152921504606846976,"members":[{}]}}}`)
	f.Add(`{"submit":{"id":"c","incarnation":1,"seats":9223372036854775807,"keep":-5}}` + "\n" + `{"checkpoint":{"job":"a","generation":1,"epochs":-3}}`)
	f.Fuzz(func(t *testing.T, text string) {
		s := running(t, 1)
		cost.Bound(t, len(text), 1<<12, func() {
			for line := range strings.Lines(text) {
				c, err := DecodeCommand([]byte(line))
				if err != nil || s.Apply(c) != nil {
					continue
				}
				for _, j := range s.Jobs {
					j.Inherited()
					j.Step()
				}
			}
			if after := snapshot(t, s); len(after.Jobs) != len(s.Jobs) || !slices.EqualFunc(after.Jobs, s.Jobs, func(a, b *Job) bool { return a.ID == b.ID && a.Generation == b.Generation }) {
				t.Fatal("the state does not go through a snapshot")
			}
		})
	})
}

func TestAJobsSeedOutlivesIt(t *testing.T) {
	s := State{Cluster: 1}
	if err := s.Apply(Command{Submit: &Submit{ID: "a", Incarnation: 7, Seats: 1, Seed: 1 << 63}}); err != nil {
		t.Fatal(err)
	}
	if j := s.Job("a"); j.Seed != 1<<63 || j.ended().Seed != 1<<63 {
		t.Errorf("the job has seed %d, the line that is left of it %d", j.Seed, j.ended().Seed)
	}
}
