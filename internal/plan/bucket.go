package plan

// BucketLen is the target number of parameters in a bucket (2 MiB of float32): large enough that a ring hop is not
// all latency, small enough that reduction overlaps with backward. It is part of the numerics contract, since chunk
// borders decide the order of additions.
const BucketLen = 1 << 19

// Buckets divides the flat parameter vector evenly into buckets of about BucketLen, in the order of the vector. Backward
// fills them from the last to the first. No parameters make no buckets.
func Buckets(params int) []Interval {
	n := (params + BucketLen - 1) / BucketLen
	return Interval{0, params}.Parts(n)
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
