package plan

import "fmt"

// Generation is the number of a view. The first view of a job has generation 1; 0 means none.
type Generation uint64

// Incarnation is a random non-zero number that tells one life of a process (or of a cluster) from the next.
type Incarnation uint64

// Arc is the contiguous interval of seats that one worker occupies.
type Arc = Interval

// Member is one worker of a view.
type Member struct {
	Worker      string      `json:"worker"`           // the worker's id, unique in the cluster
	Incarnation Incarnation `json:"incarnation"`      // of the worker's process
	Address     string      `json:"address"`          // host:port that peers dial
	Socket      string      `json:"socket,omitempty"` // path of a unix socket, usable by processes with the same Machine
	Machine     string      `json:"machine"`          // identity of the machine: equal means same host; words: kernel, network, the rest; empty: unknown
	Host        string      `json:"host"`             // host name, for people
	Arc         Arc         `json:"arc"`
}

// View says who sits where: an ordered ring of members whose arcs partition the job's seats. It is immutable; a change
// makes a new view with a higher generation.
type View struct {
	Generation Generation `json:"generation"`
	Seats      int        `json:"seats"`
	Members    []Member   `json:"members"`
}

// Seat divides the seats evenly among the members, in their order, longer arcs first. It needs 1 <= len(members) <= seats.
func Seat(generation Generation, seats int, members []Member) (View, error) {
	if len(members) == 0 || len(members) > seats {
		return View{}, fmt.Errorf("cannot seat %d workers on %d seats", len(members), seats)
	}
	counts := make([]int, len(members))
	for k := range counts {
		counts[k] = Interval{0, seats}.Part(k, len(members)).Len()
	}
	return SeatUnevenly(generation, counts, members), nil
}

// SeatUnevenly gives members[k] the next counts[k] seats. A member whose count stays the same moves only as far as the members before
// it demand.
func SeatUnevenly(generation Generation, counts []int, members []Member) View {
	view := View{Generation: generation, Members: make([]Member, len(members))}
	for k, m := range members {
		m.Arc = Interval{view.Seats, view.Seats + counts[k]}
		view.Seats = m.Arc.End
		view.Members[k] = m
	}
	return view
}

// Validate checks that the arcs are non-empty and partition the seats in the members' order and that no worker sits twice.
func (v View) Validate() error {
	at, seen := 0, map[string]bool{}
	for _, m := range v.Members {
		if m.Arc.Begin != at || m.Arc.Len() < 1 {
			return fmt.Errorf("view %d: arc %v of worker %s should be non-empty and begin at seat %d", v.Generation, m.Arc, m.Worker, at)
		}
		if seen[m.Worker] {
			return fmt.Errorf("view %d: worker %s sits twice", v.Generation, m.Worker)
		}
		at, seen[m.Worker] = m.Arc.End, true
	}
	if at != v.Seats || v.Seats < 1 {
		return fmt.Errorf("view %d: arcs do not cover the seats", v.Generation)
	}
	return nil
}

// Next is the position after i in the ring.
func (v View) Next(i int) int { return (i + 1) % len(v.Members) }

// Prev is the position before i in the ring.
func (v View) Prev(i int) int { return (i + len(v.Members) - 1) % len(v.Members) }
