package plan

import "testing"

func TestMemorySeats(t *testing.T) {
	for name, c := range map[string]struct {
		memory  Memory
		sharing int
		want    int
	}{
		"nothing known":            {Memory{Job: 100, Seat: 10}, 1, 12},
		"no job":                   {Memory{Machine: 100}, 1, 12},
		"the machine is shared":    {Memory{Machine: 1000, Job: 100, Seat: 100}, 3, 2},
		"a tenth is left":          {Memory{Machine: 1000, Job: 100, Seat: 100}, 1, 8},
		"the process has less":     {Memory{Machine: 1000, Limit: 350, Job: 100, Seat: 100}, 1, 2},
		"the process may have all": {Memory{Machine: 1000, Limit: 5000, Job: 100, Seat: 100}, 1, 8},
		"a limit alone":            {Memory{Limit: 300, Job: 100, Seat: 100}, 4, 2},
		"not even the job":         {Memory{Machine: 1000, Job: 900, Seat: 1}, 1, 0},
		"more than there is to do": {Memory{Machine: 100000, Job: 100, Seat: 1}, 1, 12},
	} {
		if got := c.memory.Seats(c.sharing, 12); got != c.want {
			t.Errorf("%s: %d seats, want %d", name, got, c.want)
		}
	}
}
