package rng_test

import (
	"fmt"

	"ringmaster/internal/rng"
)

// A seat's random numbers in a step do not depend on earlier draws: element 3 is element 3, whoever asks for it.
func ExampleSeatKey() {
	const seed, step, seat, microBatch = 1, 812, 2, 0
	key := rng.SeatKey(seed, step, seat, microBatch)
	values := make([]float32, 4)
	key.FillUniform(values, 0, 0, 1)
	fmt.Println(values[3] == key.Float32(3))
	fmt.Println(key == rng.SeatKey(seed, step, seat+1, microBatch))
	// Output:
	// true
	// false
}

// The order of an epoch is a pure function of the seed and the epoch.
func ExampleOrderKey() {
	first, again, second := make([]int32, 5), make([]int32, 5), make([]int32, 5)
	rng.OrderKey(1, 0).Shuffle(first)
	rng.OrderKey(1, 0).Shuffle(again)
	rng.OrderKey(1, 1).Shuffle(second)
	fmt.Println(fmt.Sprint(first) == fmt.Sprint(again), fmt.Sprint(first) == fmt.Sprint(second))
	// Output: true false
}
