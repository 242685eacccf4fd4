package plan

import "sort"

// BucketLen is the target number of parameters in a bucket (2 MiB of float32) unless the job says another: large enough that a ring hop is not
// all latency, small enough that reduction overlaps with backward. It is part of the numerics contract, since chunk
// borders decide the order of additions.
const BucketLen = 1 << 19

// Bucket is an interval of the flat gradient that is reduced as one unit. It has a chunk for each seat, one after another; those of a bucket
// without borders of its own are the even partition.
type Bucket struct {
	Interval
	Borders []int // where chunks begin, and where the last one ends; nil: even chunks
}

// Chunk is the chunk of seat c of so many seats.
func (b Bucket) Chunk(c, seats int) Interval {
	if b.Borders == nil {
		return b.Part(c, seats)
	}
	return Interval{b.Borders[c], b.Borders[c+1]}
}

// Chunks is the interval of the chunks [from, to).
func (b Bucket) Chunks(from, to, seats int) Interval {
	if from >= to {
		return Interval{b.Begin, b.Begin}
	}
	return Interval{b.Chunk(from, seats).Begin, b.Chunk(to-1, seats).End}
}

// ChunkOf is the seat of the chunk that contains element x of the bucket.
func (b Bucket) ChunkOf(x, seats int) int {
	if b.Borders != nil {
		return sort.SearchInts(b.Borders, x+1) - 1
	}
	size, longer := b.Len()/seats, b.Len()%seats
	x -= b.Begin
	if border := longer * (size + 1); x >= border {
		return longer + (x-border)/size
	}
	return x / (size + 1)
}

// Buckets divides the flat parameter vector evenly into buckets of about BucketLen, in the order of the vector. Backward
// fills them from the last to the first. No parameters make no buckets.
func Buckets(params int) []Bucket { return bucketsOf(params, BucketLen) }

// bucketsOf divides into buckets of at most length parameters.
func bucketsOf(params, length int) []Bucket {
	return EvenBuckets(Interval{0, params}.Parts((params + length - 1) / length))
}

// EvenBuckets are buckets at the intervals with even chunks.
func EvenBuckets(at []Interval) []Bucket {
	out := make([]Bucket, len(at))
	for k, in := range at {
		out[k].Interval = in
	}
	return out
}

// TrainedBuckets are the buckets of about length parameters where only some intervals of the parameters, ascending and apart, are trained: what these have of each bucket
// and chunk. The flat gradient has them one after another. So gradients are added up in the same order, whatever is frozen beside them. Buckets of
// which nothing is trained are left out.
func TrainedBuckets(params, seats, length int, trained []Interval) []Bucket {
	whole := bucketsOf(params, length)
	if len(trained) == 1 && trained[0] == (Interval{0, params}) {
		return whole
	}
	before, k := 0, 0 // trained elements before trained[k]
	place := func(x int) int {
		for ; k < len(trained) && trained[k].End <= x; k++ {
			before += trained[k].Len()
		}
		if k == len(trained) {
			return before
		}
		return before + max(0, x-trained[k].Begin)
	}
	var out []Bucket
	for _, b := range whole {
		borders := []int{place(b.Begin)}
		for c := range seats {
			borders = append(borders, place(b.Chunk(c, seats).End))
		}
		if cut := (Bucket{Interval{borders[0], borders[seats]}, borders}); cut.Len() > 0 {
			out = append(out, cut)
		}
	}
	return out
}

// Shard is the part of an epoch's sample order that a seat reads for one step. The epoch has samples samples, the step is
// counted within the epoch, a batch is seats x perSeat samples; the last batch may be ragged and is split evenly in
// seat order, so late seats may get nothing.
func Shard(samples, seats, perSeat, stepInEpoch, seat int) Interval {
	batch := seats * perSeat
	begin := min(stepInEpoch*batch, samples)
	end := min(begin+batch, samples)
	return Interval{begin, end}.Part(seat, seats)
}

// StepsPerEpoch is the number of global batches in one pass over samples samples.
func StepsPerEpoch(samples, seats, perSeat int) int {
	batch := seats * perSeat
	return (samples + batch - 1) / batch
}
