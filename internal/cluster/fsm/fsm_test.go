package fsm

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/plan"
)

// running is a state with one job of two seats on one worker, whose views of the generations have been started.
func running(t *testing.T, generations ...plan.Generation) *State {
	t.Helper()
	s := &State{}
	apply(t, s, Command{Submit: &Submit{ID: "a", Incarnation: 1, Seats: 2}})
	for _, g := range generations {
		apply(t, s, Command{View: viewOf("a", g)})
		apply(t, s, Command{Start: &Start{Job: "a", Generation: g, Step: 10 * uint64(g), StateDigest: []byte{1}, Sources: []string{"w1"}}})
	}
	return s
}

func viewOf(job string, g plan.Generation) *ProposeView {
	members := []plan.Member{{Worker: "w1", Incarnation: 7, Arc: plan.Arc{Begin: 0, End: 2}}}
	return &ProposeView{Job: job, View: View{View: plan.View{Generation: g, Seats: 2, Members: members}}}
}

func apply(t *testing.T, s *State, c Command) {
	t.Helper()
	if err := s.Apply(c); err != nil {
		t.Fatal(err)
	}
}

// snapshot is the state as it is now.
func snapshot(t *testing.T, s *State) *State {
	t.Helper()
	data, err := s.Encode()
	if err != nil {
		t.Fatal(err)
	}
	copied, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return copied
}

// The log takes each fact once and from the generation started last. A repeat that is equal changes nothing, and one that
// differs is refused, as is all that comes from elsewhere; what is refused changes nothing either.
func TestFactsAreTakenOnce(t *testing.T) {
	epoch := Epoch{Job: "a", Generation: 2, Epoch: 1, Step: 30, TrainLoss: 5}
	saved := func(step uint64, g plan.Generation, digest byte) *Checkpoint {
		return &Checkpoint{Job: "a", Generation: g, Step: step, Directory: "d", Digest: []byte{digest}}
	}
	start := Start{Job: "a", Generation: 2, Step: 20, StateDigest: []byte{1}, Sources: []string{"w1"}}
	s := running(t, 1, 2)
	apply(t, s, Command{Epoch: &epoch})
	apply(t, s, Command{Checkpoint: saved(25, 2, 1)})
	apply(t, s, Command{Checkpoint: saved(30, 2, 2)})
	with := func(change func(*Epoch)) *Epoch { e := epoch; change(&e); return &e }
	from := func(change func(*Start)) *Start { c := start; change(&c); return &c }
	for name, test := range map[string]struct {
		c    Command
		says string // "": it is a repeat
	}{
		"the epoch again":                    {Command{Epoch: &epoch}, ""},
		"the epoch from an older generation": {Command{Epoch: with(func(e *Epoch) { e.Generation = 1 })}, ""},
		"the epoch with another loss":        {Command{Epoch: with(func(e *Epoch) { e.TrainLoss = 6 })}, "epoch 1 is recorded with other figures"},
		"an epoch too far":                   {Command{Epoch: with(func(e *Epoch) { e.Epoch = 3 })}, "epoch 3 reported, 1 are recorded"},
		"no epoch":                           {Command{Epoch: with(func(e *Epoch) { e.Epoch = 0 })}, "epoch 0 reported"},
		"an epoch from an older generation":  {Command{Epoch: with(func(e *Epoch) { e.Epoch, e.Generation = 2, 1 })}, "epoch from generation 1, the job is at 2"},
		"a checkpoint again":                 {Command{Checkpoint: saved(30, 2, 2)}, ""},
		"a checkpoint with another digest":   {Command{Checkpoint: saved(30, 2, 3)}, "is recorded with digest 02, now 03"},
		"a checkpoint before the newest":     {Command{Checkpoint: saved(28, 2, 4)}, "comes after one at step 30"},
		"one from an older generation":       {Command{Checkpoint: saved(35, 1, 5)}, "checkpoint from generation 1, the job is at 2"},
		"the start again":                    {Command{Start: &start}, ""},
		"the start at another step":          {Command{Start: from(func(c *Start) { c.Step = 21 })}, "view 2 was started at step 20 already"},
		"the start with another state":       {Command{Start: from(func(c *Start) { c.StateDigest = []byte{2} })}, "view 2 was started at step 20 already"},
		"the start of an older view":         {Command{Start: from(func(c *Start) { c.Generation = 1 })}, "start of view 1, the job is at generation 2"},
		"a view that skips one":              {Command{View: viewOf("a", 4)}, "view 4 proposed, the job is at generation 2"},
		"the view again":                     {Command{View: viewOf("a", 2)}, "view 2 proposed, the job is at generation 2"},
		"the newest checkpoint retired":      {Command{Retire: &Retire{Job: "a", Step: 30, Generation: 2}}, "is the newest: it stays"},
		"one retired that is not there":      {Command{Retire: &Retire{Job: "a", Step: 26, Generation: 2}}, ""},
		"the end from an older generation":   {Command{Finish: &Outcome{Job: "a", Generation: 1, Phase: Done}}, "end from generation 1, the job is at 2"},
		"an end that is none":                {Command{Finish: &Outcome{Job: "a", Generation: 2, Phase: Running}}, "cannot end as"},
		"the job again":                      {Command{Submit: &Submit{ID: "a", Incarnation: 1, Seats: 2}}, ""},
		"another job of its name":            {Command{Submit: &Submit{ID: "a", Incarnation: 2, Seats: 2}}, `job "a" exists`},
		"nothing":                            {Command{}, "empty command"},
	} {
		before := snapshot(t, s)
		err := s.Apply(test.c)
		if (err == nil) != (test.says == "") || err != nil && !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: %v, want %q", name, err, test.says)
		}
		if after := snapshot(t, s); !reflect.DeepEqual(before, after) {
			t.Errorf("%s changes the state", name)
			s = before
		}
	}
	apply(t, s, Command{Retire: &Retire{Job: "a", Step: 25, Generation: 2}})
	if j := s.Job("a"); len(j.Checkpoints) != 1 || j.Checkpoints[0].Step != 30 {
		t.Errorf("the older checkpoint retired leaves %+v", j.Checkpoints)
	}
	apply(t, s, Command{Finish: &Outcome{Job: "a", Generation: 2, Phase: Done}})
	if err := s.Apply(Command{View: viewOf("a", 3)}); err == nil || !strings.Contains(err.Error(), "has ended (done)") {
		t.Errorf("a view after the end: %v", err)
	}
}

// Jobs that wait together take their generations one after the other, when their turn comes; a resumed one goes on from its
// checkpoint's.
func TestGenerationsGoOn(t *testing.T) {
	s := &State{}
	for i, c := range []Submit{{ID: "a"}, {ID: "b"}, {ID: "c", Origin: &Checkpoint{Generation: 9, Step: 40}}, {ID: "d"}} {
		c.Incarnation, c.Seats = plan.Incarnation(i+1), 2
		apply(t, s, Command{Submit: &c})
	}
	for _, c := range []struct {
		job     string
		refused []plan.Generation
		views   []plan.Generation
	}{{"a", []plan.Generation{0, 2}, []plan.Generation{1, 2, 3}}, {"b", []plan.Generation{0, 5}, []plan.Generation{4}},
		{"c", []plan.Generation{4, 9, 11}, []plan.Generation{10}}, {"d", []plan.Generation{0, 12}, []plan.Generation{11}}} {
		if got := s.NextGeneration(s.Active()[0]); s.Active()[0].ID != c.job || got != c.views[0] {
			t.Errorf("job %s of %s goes on with generation %d, want %d", s.Active()[0].ID, c.job, got, c.views[0])
		}
		for _, g := range c.refused {
			if err := s.Apply(Command{View: viewOf(c.job, g)}); err == nil {
				t.Errorf("job %s takes generation %d", c.job, g)
			}
		}
		for _, g := range c.views {
			apply(t, s, Command{View: viewOf(c.job, g)})
			s = snapshot(t, s)
		}
		apply(t, s, Command{Finish: &Outcome{Job: c.job, Generation: c.views[0], Phase: Failed}})
	}
}

// The older checkpoints of a run count among the newest that its job keeps, until it has as many of its own.
func TestOlderCheckpointsOfARunCountAsKept(t *testing.T) {
	j := &Job{Keep: 3, Earlier: []string{"e1", "e2", "e3", "e4"}}
	for _, want := range [][]string{{"e2", "e3", "e4"}, {"e3", "e4"}, {"e4"}, {}, {}} {
		if got := j.Inherited(); !slices.Equal(got, want) {
			t.Errorf("with %d of its own: %v, want %v", len(j.Checkpoints), got, want)
		}
		j.Checkpoints = append(j.Checkpoints, Checkpoint{})
	}
	if j.Keep = 0; len(j.Inherited()) != 4 {
		t.Errorf("a job that keeps all keeps %v", j.Inherited())
	}
}
