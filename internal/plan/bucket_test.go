package plan

import (
	"testing"

	"pgregory.net/rapid"
)

// Whatever is frozen, an element of the gradient is added up in the chunk of the seat that it would be in if everything were trained. Buckets cover
// the gradient, and chunks their bucket.
func TestFrozenPartsMoveNoElementToAnotherChunk(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seats := rapid.IntRange(1, 7).Draw(t, "seats")
		params := rapid.OneOf(rapid.IntRange(1, 50), rapid.IntRange(1, 3*BucketLen)).Draw(t, "params")
		var trained []Interval
		at, length := 0, 0
		for at < params {
			begin := min(at+rapid.IntRange(0, params/3+1).Draw(t, "frozen"), params)
			end := min(begin+rapid.IntRange(1, params/3+1).Draw(t, "trained"), params)
			if begin < end {
				trained = append(trained, Interval{begin, end})
				length += end - begin
			}
			at = end + 1
		}
		buckets, whole := TrainedBuckets(params, seats, BucketLen, trained), Buckets(params)
		at = 0
		for _, b := range buckets {
			for c := range seats {
				if chunk := b.Chunk(c, seats); chunk.Begin != at || chunk.End < at || b.Chunks(0, c+1, seats) != (Interval{b.Begin, chunk.End}) {
					t.Fatalf("chunk %d of %v is %v after %d", c, b, chunk, at)
				} else {
					at = chunk.End
				}
			}
		}
		if at != length {
			t.Fatalf("buckets of %d elements for %d that are trained", at, length)
		}
		before := 0
		for _, in := range trained {
			for x := in.Begin; x < in.End; x += 1 + in.Len()/50 {
				if got, want := seatOf(buckets, seats, before+x-in.Begin), seatOf(whole, seats, x); got != want {
					t.Fatalf("element %d of %v is in the chunk of seat %d, want %d", x, in, got, want)
				}
			}
			before += in.Len()
		}
	})
}

func seatOf(buckets []Bucket, seats, x int) int {
	for _, b := range buckets {
		if b.Contains(x) {
			if c := b.ChunkOf(x, seats); b.Chunk(c, seats).Contains(x) {
				return c
			}
		}
	}
	return -1
}

// TestBucketsOfOtherLengths: a job's own length cuts otherwise, into as few even buckets as that allows.
func TestBucketsOfOtherLengths(t *testing.T) {
	for _, c := range []struct{ params, length, buckets int }{{0, 4, 0}, {3, 4, 1}, {4, 4, 1}, {5, 4, 2}, {1000, 7, 143}, {3 * BucketLen, BucketLen, 3}} {
		buckets := TrainedBuckets(c.params, 2, c.length, []Interval{{0, c.params}})
		at := 0
		for _, b := range buckets {
			if b.Begin != at || b.Len() > c.length {
				t.Errorf("%d parameters by %d: bucket %v after %d", c.params, c.length, b, at)
			}
			at = b.End
		}
		if len(buckets) != c.buckets || at != c.params {
			t.Errorf("%d parameters by %d: %d buckets up to %d, want %d", c.params, c.length, len(buckets), at, c.buckets)
		}
	}
}
