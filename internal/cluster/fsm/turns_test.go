package fsm

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"ringmaster/internal/plan"
)

// table is a state as a text says: its number of workers, then a job a word in the order of submission:
//
//	a:2..4=3 has 3 workers, needs 2 and takes 4; b:2..4 waits; with @5 its priority is 5; with ! it is paused; with . it is stopped
func table(t rapid.TB, size int, words string) *State {
	s := &State{Size: size}
	worker := plan.Incarnation(0)
	for i, word := range strings.Fields(words) {
		j := &Job{Incarnation: plan.Incarnation(i + 1), Seats: 8, Phase: Waiting}
		word, j.Hold = strings.CutSuffix(word, "!")
		word, j.Stop = strings.CutSuffix(word, ".")
		word, priority, _ := strings.Cut(word, "@")
		fmt.Sscan(priority, &j.Priority)
		word, held, has := strings.Cut(word, "=")
		j.ID, word, _ = strings.Cut(word, ":")
		if _, err := fmt.Sscanf(word, "%d..%d", &j.MinWorkers, &j.MaxWorkers); err != nil {
			t.Fatal(err)
		}
		if n := 0; has {
			fmt.Sscan(held, &n)
			j.Phase, j.Generation, j.View = Running, plan.Generation(i+1), &View{}
			for range n {
				worker++
				j.View.Members = append(j.View.Members, plan.Member{Incarnation: worker})
			}
		} else if j.Hold {
			j.Phase = Paused
		}
		s.Jobs = append(s.Jobs, j)
	}
	s.activate()
	return s
}

// told is what activate has decided: the jobs in the order of their turns, the most workers that each may have, which job yields, and which one waits.
func told(s *State) string {
	var words []string
	for _, j := range s.Active() {
		word := j.ID
		if j.Bound > 0 {
			word += fmt.Sprintf("<=%d", j.Bound)
		}
		if j.Yields != "" {
			word += "(" + j.Yields + ")"
		}
		words = append(words, word)
	}
	words = append(words, "|")
	for _, j := range s.Queue() {
		words = append(words, j.ID)
	}
	return strings.Join(words, " ")
}

func TestTurns(t *testing.T) {
	for _, c := range []struct {
		what string
		size int
		jobs string
		want string
	}{
		{"one alone, whose workers nobody has counted", 0, "a:1..8", "a |"},
		{"without a number, one at a time", 0, "a:1..1 b:1..1", "a | b"},
		{"without a number, the one that has workers", 0, "a:1..1 b:1..1=1", "b | a"},
		{"without a number, one makes way", 0, "a:1..8=3 b:1..1@5", "a(job b has priority 5) | b"},
		{"a job takes all it can", 4, "a:1..8 b:1..8", "a | b"},
		{"and leaves the rest", 4, "a:1..2 b:1..8 c:1..1", "a b<=2 | c"},
		{"three side by side", 4, "a:1..2 b:1..1 c:1..1", "a b c |"},
		{"the rest is too little: nobody behind it goes first", 4, "a:1..2=2 b:3..3 c:1..1", "a | b c"},
		{"all are too few for it: those behind it do", 4, "a:1..2=2 b:5..5 c:1..1", "a c | b"},
		{"all are too large: the first says so", 4, "a:6..8 b:5..5", "a | b"},
		{"one that runs keeps its workers behind one that waits", 4, "a:1..2=2@5 b:3..3@3 c:1..4=2", "a c<=2 | b"},
		{"until they are enough", 4, "b:3..3@3 c:2..4=2", "c(job b has priority 3) | b"},
		{"a lower one shrinks", 4, "a:1..4=4 b:2..2@1", "a<=2 | b"},
		{"and is parked where too little is left", 4, "a:3..4=4 b:2..2@1", "a(job b has priority 1) | b"},
		{"the later of equal ones shrinks first", 4, "a:1..4=2 b:1..4=2 c:1..1@1", "a<=2 b<=1 | c"},
		{"equal ones are not parked for each other's growth", 3, "a:1..4=1 b:2..2=2", "a b |"},
		{"but the later one shrinks for it", 3, "a:1..4=1 b:1..2=2", "a b<=1 |"},
		{"one that comes back waits for equal ones", 4, "a:1..4 b:1..4=4", "b | a"},
		{"the number fell: who runs waits for more", 1, "a:2..2=2 b:1..1", "a | b"},
		{"a pause gives the workers to those behind", 4, "a:1..4=4! b:1..2 c:1..2", "a(it is paused) | b c"},
		{"a paused job has no place", 4, "a:1..4! b:1..2", "b |"},
		{"who stops is left alone", 4, "a:1..4=4. b:4..4@9", "a | b"},
	} {
		if got := told(table(t, c.size, c.jobs)); got != c.want {
			t.Errorf("%s: %d workers, %s: %q, want %q", c.what, c.size, c.jobs, got, c.want)
		}
	}
}

// drawn is a state of several jobs.
func drawn(t *rapid.T) *State {
	n := rapid.IntRange(1, 6).Draw(t, "jobs")
	size, left := rapid.IntRange(0, 10).Draw(t, "size"), 10
	var words []string
	for i := range n {
		least := rapid.IntRange(1, 5).Draw(t, "min")
		most := rapid.IntRange(least, 8).Draw(t, "max")
		word := fmt.Sprintf("%c:%d..%d", 'a'+i, least, most)
		if has := rapid.IntRange(0, min(most, left)).Draw(t, "has"); has > 0 {
			word += fmt.Sprintf("=%d", has)
			left -= has
		}
		word += fmt.Sprintf("@%d", rapid.IntRange(0, 2).Draw(t, "priority"))
		word += rapid.SampledFrom([]string{"", "", "", "", "!", "."}).Draw(t, "asked")
		words = append(words, word)
	}
	return table(t, size, strings.Join(words, " "))
}

// settle brings about what the state wants, as the leader does: who yields is parked, who has too many shrinks, and those whose turn it is get
// what the workers allow. It reports whether anything changed.
func settle(s *State) bool {
	changed := false
	set := func(j *Job, n int) {
		changed = changed || j.held() != n
		j.View, j.Phase = nil, Waiting
		if n > 0 {
			j.View, j.Phase = &View{View: plan.View{Members: make([]plan.Member, n)}}, Running
		} else if j.Hold {
			j.Phase = Paused
		}
	}
	free := s.Size
	for _, j := range s.Jobs {
		switch {
		case j.holds() && j.Stop:
			set(j, 0)
			j.Phase, changed = Interrupted, true
		case j.holds() && j.Yields != "":
			set(j, 0)
		case j.holds() && j.Bound > 0 && j.held() > j.Bound:
			set(j, j.Bound)
		}
		free -= j.held() * map[bool]int{true: 1}[j.holds()]
	}
	for _, j := range s.Active() {
		most := j.Most()
		if j.Bound > 0 {
			most = j.Bound
		}
		if n := min(most, j.held()+max(0, free)); j.Yields == "" && n > j.held() && n >= j.least() {
			free -= n - j.held()
			set(j, n)
		}
	}
	s.activate()
	return changed
}

// TestTurnsSettle draws jobs and lets them have what they may. It comes to rest, and then: nobody has more than he may or less than he needs,
// nobody waits for workers that are free, a job waits only for those before it, and one of a larger priority never waits while a smaller one
// could shrink or be parked for it.
func TestTurnsSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawn(t)
		for range 50 {
			if !settle(s) {
				break
			}
		}
		if settle(s) {
			t.Fatalf("it does not come to rest: %s", told(s))
		}
		if s.Size == 0 {
			return
		}
		held := 0
		for _, j := range s.Jobs {
			if j.holds() {
				held += j.held()
			}
		}
		for _, j := range s.Jobs {
			if j.Phase.Ended() || j.Phase == Paused {
				continue
			}
			if j.Yields != "" {
				t.Errorf("%s still yields: %s", j.ID, told(s))
			}
			if n := j.held(); n > j.Most() || n > 0 && n < j.least() && held <= s.Size && n > s.Size {
				t.Errorf("%s has %d workers: %s", j.ID, n, told(s))
			}
			if held > s.Size { // workers were lost; a job that waits for more keeps those it has
				continue
			}
			if !j.holds() && j.least() <= s.Size {
				judgeWait(t, s, j, s.Size-held)
			}
		}
	})
}

// judgeWait checks that a job that would fit into the cluster waits for good reason.
func judgeWait(t *rapid.T, s *State, j *Job, free int) {
	gain, ahead := free, false
	for _, k := range s.Jobs {
		switch {
		case k == j || k.Phase.Ended() || k.Phase == Paused:
		case k.holds() && k.Priority < j.Priority:
			gain += k.held()
		case k.holds() && k.held() < k.least():
			ahead = true // it has lost workers, and those that come are its
		case !k.holds() && k.least() <= s.Size && (k.Priority > j.Priority || k.Priority == j.Priority && k.Incarnation < j.Incarnation):
			ahead = true // it waits behind that one
		}
	}
	if gain >= j.least() && !ahead {
		t.Errorf("%s waits although it could have %d of %d workers: %s", j.ID, gain, s.Size, told(s))
	}
}

// A worker that is at work for one job, or may still be, takes no part in another.
func TestNoWorkerIsInTwoJobs(t *testing.T) {
	s := &State{}
	for i, id := range []string{"a", "b"} {
		apply(t, s, Command{Submit: &Submit{ID: id, Incarnation: plan.Incarnation(i + 1), Seats: 2, MaxWorkers: 1}})
	}
	apply(t, s, Command{Size: &Size{Workers: 3}})
	view := func(job string, g plan.Generation, who ...plan.Incarnation) Command {
		v := plan.View{Generation: g, Seats: 2}
		for i, id := range who {
			v.Members = append(v.Members, plan.Member{Worker: fmt.Sprint("w", id), Incarnation: id, Arc: plan.Arc{Begin: 2 * i / len(who), End: 2 * (i + 1) / len(who)}})
		}
		return Command{View: &ProposeView{Job: job, View: View{View: v}}}
	}
	start := func(job string, g plan.Generation) Command {
		return Command{Start: &Start{Job: job, Generation: g, StateDigest: []byte{1}, Sources: []string{"w1"}}}
	}
	refused := func(c Command, says string) {
		t.Helper()
		if err := s.Apply(c); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%v, want %q", err, says)
		}
	}
	refused(view("a", 1, 1, 2), "max_workers is 1")
	apply(t, s, view("a", 1, 1))
	refused(view("b", 1, 2), "view 1 proposed")
	refused(view("b", 2, 1), `worker w1, which is at work for job "a"`)
	apply(t, s, start("a", 1))
	apply(t, s, view("b", 2, 2))
	apply(t, s, start("b", 2))
	if v := s.Job("b").View; v.Follows != 0 || v.Previous() != 1 {
		t.Errorf("the first view follows %d", v.Follows)
	}
	apply(t, s, view("a", 3, 3)) // not started: worker 1 may still be at work
	if v := s.Job("a").View; v.Follows != 1 || v.Previous() != 1 {
		t.Errorf("view 3 follows %d", v.Follows)
	}
	refused(view("b", 4, 1), "at work")
	refused(view("b", 4, 3), "at work")
	apply(t, s, start("a", 3))
	apply(t, s, view("b", 4, 1))
	if got := s.Generation; got != 4 {
		t.Errorf("generation %d", got)
	}
	apply(t, s, Command{Cancel: &Cancel{Job: "a"}})
	apply(t, s, start("b", 4))
	apply(t, s, view("b", 5, 3))
}

// A job that cannot shrink is parked, until it can have as many workers, or others are there.
func TestLeast(t *testing.T) {
	s := table(t, 4, "a:1..4=4 b:2..2@1")
	apply(t, s, Command{Least: &Least{Job: "a", Workers: 4}})
	if got := told(s); got != "a(job b has priority 1) | b" {
		t.Error(got)
	}
	apply(t, s, Command{Park: &Park{Job: "a", Generation: s.Job("a").View.Generation}})
	if got := told(s); got != "b | a" || s.Job("a").Least != 4 {
		t.Errorf("%s, at least %d", got, s.Job("a").Least)
	}
	apply(t, s, Command{Size: &Size{Workers: 3}}) // others may have more memory
	if s.Job("a").Least != 0 {
		t.Error("it still needs what it needed on other workers")
	}
	if err := s.Apply(Command{Least: &Least{Job: "a", Workers: 9}}); err == nil {
		t.Error("more workers than seats are needed")
	}
	if err := s.Apply(Command{Size: &Size{Workers: -1}}); err == nil {
		t.Error("a cluster of -1 workers")
	}
}

// A state that a program without max_workers wrote goes on as there.
func TestOlderStates(t *testing.T) {
	s, err := Decode([]byte(`{"cluster":1,"generation":4,"jobs":[
		{"id":"a","incarnation":1,"seats":4,"phase":"running","generation":4,"floor":2,"priority":0,"yields":"job b has priority 3",
		 "view":{"Generation":4,"Seats":4,"Members":[{"Worker":"w1","Incarnation":7,"Arc":{"Begin":0,"End":4}}],"orderly":true,"cause":"start","reason":""}},
		{"id":"b","incarnation":2,"seats":4,"phase":"waiting","priority":3},
		{"id":"c","incarnation":3,"seats":4,"phase":"waiting","floor":4}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if got := told(s); got != "a(job b has priority 3) | b c" || s.NextGeneration(s.Job("a")) != 5 || s.Job("a").View.Previous() != 3 {
		t.Errorf("%s, next %d, after %d", got, s.NextGeneration(s.Job("a")), s.Job("a").View.Previous())
	}
	apply(t, s, Command{Park: &Park{Job: "a", Generation: 4}})
	if got := told(s); got != "b | a c" {
		t.Error(got)
	}
}
