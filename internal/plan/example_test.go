package plan_test

import (
	"fmt"

	"ringmaster/internal/plan"
)

// Four seats on three workers: the longer arcs come first.
func ExampleSeat() {
	view, err := plan.Seat(1, 4, []plan.Member{{Worker: "w1"}, {Worker: "w2"}, {Worker: "w3"}})
	if err != nil {
		panic(err)
	}
	for _, m := range view.Members {
		fmt.Println(m.Worker, m.Arc)
	}
	// Output:
	// w1 [0,2)
	// w2 [2,3)
	// w3 [3,4)
}

// The last batch of an epoch has six samples left for four seats.
func ExampleShard() {
	const samples, seats, perSeat, lastStep = 70, 4, 8, 2
	for seat := range seats {
		fmt.Println(plan.Shard(samples, seats, perSeat, lastStep, seat))
	}
	// Output:
	// [64,66)
	// [66,68)
	// [68,69)
	// [69,70)
}

// A worker that is twice as fast gets twice the seats, as far as its memory holds them.
func ExampleApportion() {
	counts, fits := plan.Apportion(6, []plan.Seatable{{Ms: 1, Limit: 8}, {Ms: 2, Limit: 8}})
	fmt.Println(counts, fits)
	counts, fits = plan.Apportion(6, []plan.Seatable{{Ms: 1, Limit: 3}, {Ms: 2, Limit: 8}})
	fmt.Println(counts, fits)
	counts, fits = plan.Apportion(6, []plan.Seatable{{Ms: 1, Limit: 3}, {Ms: 2, Limit: 2}})
	fmt.Println(counts, fits)
	// Output:
	// [4 2] true
	// [3 3] true
	// [] false
}

// Workers 1 and 2 do not reach each other, so they must not be neighbours in the ring.
func ExampleArrangeRing() {
	reaches := func(from, to int) bool { return from+to != 3 || from == 0 || to == 0 }
	one := func(int) int { return 1 }
	far := func(int, int) int { return 1 }
	all := func(int) bool { return true }
	fmt.Println(plan.ArrangeRing(4, reaches, far, one, all))
	// Output: [0 1 3 2]
}

func ExampleInterval_Parts() {
	fmt.Println(plan.Interval{Begin: 10, End: 20}.Parts(3))
	// Output: [[10,14) [14,17) [17,20)]
}
