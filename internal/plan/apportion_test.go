package plan

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// quickest tries every distribution and returns the time of the best one, false where none fits.
func quickest(seats int, members []Seatable, speeds []float64) (float64, bool) {
	if len(members) == 0 {
		return 0, seats == 0
	}
	best, found := 0.0, false
	for n := 1; n <= min(seats, members[0].Limit); n++ {
		if rest, ok := quickest(seats-n, members[1:], speeds[1:]); ok {
			if t := max(rest, float64(n)*speeds[0]); !found || t < best {
				best, found = t, true
			}
		}
	}
	return best, found
}

func drawMembers(t *rapid.T, n, seats int) []Seatable {
	members := make([]Seatable, n)
	for k := range members {
		members[k].Limit = seats
		if rapid.Bool().Draw(t, "limited") {
			members[k].Limit = rapid.IntRange(0, seats).Draw(t, "limit")
		}
		if rapid.IntRange(0, 3).Draw(t, "known") > 0 {
			members[k].Ms = float64(rapid.IntRange(1, 40).Draw(t, "ms"))
		}
	}
	return members
}

func TestApportionIsBest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seats := rapid.IntRange(1, 12).Draw(t, "seats")
		members := drawMembers(t, rapid.IntRange(1, 4).Draw(t, "members"), seats)
		speeds := Speeds(members)
		want, possible := quickest(seats, members, speeds)
		counts, ok := Apportion(seats, members)
		if ok != possible {
			t.Fatalf("fits: %v, trying all says %v", ok, possible)
		}
		if !ok {
			return
		}
		sum := 0
		for k, n := range counts {
			if sum += n; n < 1 || n > members[k].Limit {
				t.Fatalf("member %d of %v gets %d seats", k, members, n)
			}
		}
		if got := Slowest(speeds, counts); sum != seats || got != want {
			t.Fatalf("%v of %d seats take %v, the best %v", counts, seats, got, want)
		}
		view := SeatUnevenly(3, counts, named(len(members)))
		if err := view.Validate(); err != nil || view.Seats != seats {
			t.Fatalf("%v: %v", view, err)
		}
	})
}

// named makes members with names of their own.
func named(n int) []Member {
	members := make([]Member, n)
	for k := range members {
		members[k].Worker = string(rune('a' + k))
	}
	return members
}

func TestApportionOfEqualsIsEven(t *testing.T) {
	for seats := 1; seats <= 30; seats++ {
		for n := 1; n <= min(seats, 26); n++ {
			members := make([]Seatable, n)
			for k := range members {
				members[k] = Seatable{Ms: 2.5, Limit: seats}
			}
			counts, ok := Apportion(seats, members)
			even, err := Seat(1, seats, named(n))
			if err != nil || !ok || !slices.Equal(SeatUnevenly(1, counts, named(n)).Members, even.Members) {
				t.Fatalf("%d seats, %d members: %v, %v, %v", seats, n, counts, ok, err)
			}
		}
	}
}

func TestSeatsFollowSpeedAndRoom(t *testing.T) {
	for _, c := range []struct {
		name    string
		seats   int
		members []Seatable
		want    []int // nil: does not fit
	}{
		{"half speed", 12, []Seatable{{20, 12}, {40, 12}}, []int{8, 4}},
		{"nearly equal", 12, []Seatable{{20, 12}, {21, 12}}, []int{6, 6}},
		{"hardly any speed", 4, []Seatable{{1, 4}, {1000, 4}}, []int{3, 1}},
		{"one is unknown", 12, []Seatable{{20, 12}, {40, 12}, {0, 12}}, []int{5, 2, 5}},
		{"the fast one is small", 12, []Seatable{{10, 3}, {40, 12}}, []int{3, 9}},
		{"too small together", 12, []Seatable{{10, 3}, {40, 8}}, nil},
		{"one holds nothing", 12, []Seatable{{10, 0}, {40, 12}}, nil},
		{"fewer seats than members", 1, []Seatable{{10, 1}, {10, 1}}, nil},
		{"nobody", 3, nil, nil},
	} {
		if got, ok := Apportion(c.seats, c.members); ok != (c.want != nil) || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, %v, want %v", c.name, got, ok, c.want)
		}
	}
}
