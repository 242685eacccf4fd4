package plural

import "testing"

func TestNumbersOfThings(t *testing.T) {
	for _, test := range []struct{ have, want string }{
		{Of(0, "worker"), "0 workers"}, {Of(1, "worker"), "1 worker"}, {Of(uint32(2), "worker"), "2 workers"}, {Of(-1, "seat"), "-1 seats"},
		{Of(1, "class"), "1 class"}, {Of(10, "class"), "10 classes"}, {Of(uint64(1), "log entry"), "1 log entry"}, {Of(3, "log entry"), "3 log entries"},
		{Are(1, "step"), "1 step is"}, {Are(5, "step"), "5 steps are"}, {Are(0, "entry"), "0 entries are"},
	} {
		if test.have != test.want {
			t.Errorf("%q, want %q", test.have, test.want)
		}
	}
}
