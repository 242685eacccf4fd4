package dataset_test

import (
	"fmt"

	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
)

// A worker reads only its shard of an epoch's order, and every worker computes the same order.
func ExampleSampler() {
	order := dataset.NewSampler(1, 0, 8)
	seen := map[int32]bool{}
	shard := make([]int32, 2)
	for seat := range 4 {
		order.Fill(shard, plan.Shard(8, 4, 2, 0, seat))
		seen[shard[0]], seen[shard[1]] = true, true
	}
	fmt.Println(len(seen), "samples, each once")
	// Output: 8 samples, each once
}
