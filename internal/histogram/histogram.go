// Package histogram counts durations in buckets, by atomics alone, so that a loop can be measured that must neither wait nor allocate.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// The buckets' upper bounds are First, doubled again and again. What is longer than the last one is counted beside them.
const (
	First   = 100 * time.Microsecond
	Buckets = 22 // the last one ends at 210 s
)

// Bound is the upper bound of a bucket, which it includes.
func Bound(bucket int) time.Duration { return First << bucket }

// Durations is a histogram that any goroutine may observe and read. The zero value is empty.
type Durations struct {
	counts [Buckets + 1]atomic.Uint64
	sum    atomic.Int64
}

// Observe counts a duration.
func (d *Durations) Observe(took time.Duration) {
	d.counts[bucketOf(took)].Add(1)
	d.sum.Add(int64(took))
}

// bucketOf is the bucket of a duration; Buckets where it is longer than the last bound.
func bucketOf(took time.Duration) int {
	if took <= First {
		return 0
	}
	return min(bits.Len64(uint64((took-1)/First)), Buckets)
}

// Snapshot is what a histogram has counted up to a moment.
type Snapshot struct {
	Counts [Buckets + 1]uint64 // the last: longer than the last bound
	Sum    time.Duration
}

// Snapshot reads the histogram. What is observed meanwhile may be in one of the figures and not yet in another.
func (d *Durations) Snapshot() Snapshot {
	var s Snapshot
	for i := range d.counts {
		s.Counts[i] = d.counts[i].Load()
	}
	s.Sum = time.Duration(d.sum.Load())
	return s
}

// Add adds what another histogram has counted.
func (s *Snapshot) Add(o Snapshot) {
	for i, n := range o.Counts {
		s.Counts[i] += n
	}
	s.Sum += o.Sum
}

// Count is how many durations there are.
func (s *Snapshot) Count() uint64 {
	n := uint64(0)
	for _, c := range s.Counts {
		n += c
	}
	return n
}
