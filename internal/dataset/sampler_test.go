package dataset

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ringmaster/internal/plan"
)

// It shows that the shards of all seats and steps of an epoch together are every sample exactly once, ragged
// last batches included, and that At, Fill and Reset agree.
func TestTheShardsOfAnEpochHaveEverySampleOnce(t *testing.T) {
	reused := map[int]*Sampler{}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(t, "samples")
		seed, epoch := rapid.Uint64().Draw(t, "seed"), rapid.Uint64Max(9).Draw(t, "epoch")
		seats, perSeat := rapid.IntRange(1, 9).Draw(t, "seats"), rapid.IntRange(1, 9).Draw(t, "per seat")
		o := NewSampler(seed, epoch, n)
		seen := make([]int, n)
		for step := range plan.StepsPerEpoch(n, seats, perSeat) {
			for seat := range seats {
				shard := plan.Shard(n, seats, perSeat, step, seat)
				indices := make([]int32, shard.Len())
				o.Fill(indices, shard)
				for i, index := range indices {
					seen[index]++
					if int(index) != o.At(shard.Begin+i) {
						t.Fatalf("Fill and At differ at %d", shard.Begin+i)
					}
				}
			}
		}
		for i, times := range seen {
			if times != 1 {
				t.Fatalf("sample %d is used %d times", i, times)
			}
		}
		if reused[n] == nil {
			reused[n] = NewSampler(1, 1, n)
		}
		if reused[n].Reset(seed, epoch); !slices.Equal(reused[n].samples, o.samples) || reused[n].Epoch() != epoch || reused[n].Len() != n {
			t.Fatal("an order that is reset differs")
		}
	})
}

func TestOrdersDiffer(t *testing.T) {
	base := NewSampler(1, 0, 100).samples
	for _, other := range []*Sampler{NewSampler(2, 0, 100), NewSampler(1, 1, 100), NewSampler(0, 1, 100)} {
		if slices.Equal(base, other.samples) {
			t.Error("another seed or epoch has the same order")
		}
	}
	if NewSampler(1, 0, 0).Len() != 0 {
		t.Error("no samples have an order")
	}
}

func TestOrderFillPanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("three numbers took two positions")
		}
	}()
	NewSampler(1, 0, 10).Fill(make([]int32, 3), plan.Interval{Begin: 2, End: 4})
}

func TestResetAllocatesNothing(t *testing.T) {
	o := NewSampler(1, 0, 1000)
	if n := testing.AllocsPerRun(10, func() { o.Reset(1, 1) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
