package plan

import (
	"strings"
	"testing"
)

func TestAViewWhoseArcsDoNotFillTheSeatsIsRefused(t *testing.T) {
	view := func(seats int, arcs ...Arc) View {
		v := View{Generation: 3, Seats: seats}
		for i, arc := range arcs {
			v.Members = append(v.Members, Member{Worker: "w" + string(rune('1'+i)), Arc: arc})
		}
		return v
	}
	twice := view(4, Arc{0, 2}, Arc{2, 4})
	twice.Members[1].Worker = "w1"
	for _, c := range []struct {
		view View
		want string // "": nothing is wrong
	}{
		{view(4, Arc{0, 4}), ""},
		{view(4, Arc{0, 1}, Arc{1, 4}), ""},
		{view(4, Arc{0, 2}, Arc{3, 4}), "arc [3,4) of worker w2 should be non-empty and begin at seat 2"},
		{view(4, Arc{0, 2}, Arc{1, 4}), "arc [1,4) of worker w2 should be non-empty and begin at seat 2"},
		{view(4, Arc{1, 4}), "begin at seat 0"},
		{view(4, Arc{0, 4}, Arc{4, 4}), "arc [4,4) of worker w2 should be non-empty"},
		{view(4, Arc{2, 4}, Arc{0, 2}), "begin at seat 0"},
		{view(4, Arc{0, 3}), "arcs do not cover the seats"},
		{view(4, Arc{0, 5}), "arcs do not cover the seats"},
		{view(0), "arcs do not cover the seats"},
		{twice, "worker w1 sits twice"},
	} {
		switch err := c.view.Validate(); {
		case c.want == "":
			if err != nil {
				t.Errorf("%v: %v", c.view.Members, err)
			}
		case err == nil || !strings.HasPrefix(err.Error(), "view 3: ") || !strings.Contains(err.Error(), c.want):
			t.Errorf("%v of %d seats: %v, want %q", c.view.Members, c.view.Seats, err, c.want)
		}
	}
}
