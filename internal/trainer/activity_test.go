package trainer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestAnAccountAddsUpWhatTheTimeWentInto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const second = time.Second
		var a Activity
		if got := a.Account(); got != (Account{}) {
			t.Errorf("before anything: %+v", got)
		}
		a.Turn(Connecting)
		time.Sleep(second)
		a.begin(8, Computing)
		time.Sleep(2 * second)
		a.Turn(Reading)
		time.Sleep(3 * second)
		a.Turn(Waiting)
		time.Sleep(4 * second)
		a.Turn(Reading)
		time.Sleep(5 * second)
		want := Account{Doing: Reading, Since: 5 * second, Step: 8}
		want.InStep[Computing], want.InStep[Reading], want.InStep[Waiting] = 2*second, 8*second, 4*second
		want.Spent = want.InStep
		want.Spent[Connecting] = second
		for range 2 { // asking changes nothing
			if got := a.Account(); got != want || got.Busy() != 10*second {
				t.Errorf("got %+v, busy %v; want %+v, 10 s", got, got.Busy(), want)
			}
		}
		a.begin(9, Computing)
		if got := a.Account(); got.Step != 9 || got.Busy() != 0 || got.Spent != want.Spent {
			t.Errorf("a new step: %+v", got)
		}
	})
}

// Time that seemed to be waiting counts as held where beats show that the process did not run.
func TestTimeWithoutBeatsIsHeldNotWaiting(t *testing.T) {
	const ms = time.Millisecond
	for name, c := range map[string]struct {
		beats []time.Duration // of a wait, from its beginning
		end   time.Duration
		held  time.Duration
	}{
		"short":                       {end: 3 * ms},
		"in time":                     {beats: []time.Duration{5 * ms, 10 * ms, 16 * ms}, end: 18 * ms},
		"a little late":               {beats: []time.Duration{5 * ms, 15*ms - 1}, end: 16 * ms},
		"stopped":                     {beats: []time.Duration{5 * ms, 40 * ms, 45 * ms}, end: 46 * ms, held: 30 * ms},
		"what it waited for is there": {beats: []time.Duration{5 * ms}, end: 40 * ms, held: 30 * ms},
		"twice":                       {beats: []time.Duration{25 * ms, 30 * ms, 55 * ms}, end: 80 * ms, held: 60 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(*testing.T) { // its clock stands still: no timer fires
				var a Activity
				now := time.Now()
				for range 2 {
					a.turn(Computing, now)
					now = now.Add(time.Second)
					a.turn(Waiting, now)
					for _, beat := range c.beats {
						a.takeBeat(now.Add(beat))
					}
					now = now.Add(c.end)
				}
				a.turn(Idle, now)
				want := [doings]time.Duration{Computing: 2 * time.Second, Waiting: 2 * (c.end - c.held), Held: 2 * c.held}
				if got := a.account.Spent; got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

// TestBeatsComeWhileWaiting: and nothing is held of a wait in which the process runs.
func TestBeatsComeWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Activity
		for range 2 {
			a.Turn(Waiting)
			time.Sleep(time.Second)
			a.Turn(Computing)
			time.Sleep(time.Second)
		}
		a.mu.Lock()
		late := time.Since(a.beat)
		a.mu.Unlock()
		want := [doings]time.Duration{Computing: 2 * time.Second, Waiting: 2 * time.Second}
		if got := a.Account().Spent; got != want || late < time.Second || late > time.Second+beatEvery {
			t.Errorf("got %v, want %v; the last beat was %v ago", got, want, late)
		}
	})
}
