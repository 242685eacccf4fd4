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
