package trainer

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestActivity(t *testing.T) {
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

// TestHeld: time that seemed to be waiting counts as held where beats show that the process did not run.
func TestHeld(t *testing.T) {
	for name, c := range map[string]struct {
		computing, waiting, cpu time.Duration // between two beats
		more                    time.Duration // a beat after these comes in time
		held                    time.Duration
	}{
		"in time":                    {waiting: BeatEvery, more: BeatEvery},
		"a little late":              {waiting: 2*BeatEvery - 1, more: BeatEvery},
		"stopped while it waits":     {waiting: 30 * time.Millisecond, more: BeatEvery, held: 25 * time.Millisecond},
		"stopped while it computes":  {computing: 30 * time.Millisecond, more: BeatEvery},
		"stopped in both":            {computing: 10 * time.Millisecond, waiting: 20 * time.Millisecond, cpu: time.Millisecond, held: 20 * time.Millisecond},
		"no processor for the beats": {computing: 30 * time.Millisecond, waiting: 4 * time.Millisecond, cpu: 30 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var a Activity
				a.Turn(Computing)
				a.Beat(time.Second)
				time.Sleep(c.computing)
				a.Turn(Waiting)
				time.Sleep(c.waiting)
				a.Beat(time.Second + c.cpu)
				time.Sleep(c.more)
				a.Beat(time.Second + c.cpu)
				a.Turn(Computing)
				got := a.Account().Spent
				want := [doings]time.Duration{Computing: c.computing, Waiting: c.waiting + c.more - c.held, Held: c.held}
				if got != want {
					t.Errorf("got %v, want %v", got, want)
				}
			})
		})
	}
}

// TestNoBeatsBetweenSessions: who has had nothing to do has not been held.
func TestNoBeatsBetweenSessions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a Activity
		a.Turn(Waiting)
		a.Beat(0)
		a.Turn(Idle)
		time.Sleep(time.Minute)
		a.Turn(Waiting)
		time.Sleep(BeatEvery)
		a.Beat(0)
		if got := a.Account().Spent[Held]; got != 0 {
			t.Errorf("held for %v", got)
		}
	})
}
