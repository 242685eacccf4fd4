package histogram

import (
	"testing"
	"time"
)

func TestDurationsFallIntoTheirBuckets(t *testing.T) {
	for _, c := range []struct {
		took   time.Duration
		bucket int
	}{
		{-time.Second, 0}, {0, 0}, {First, 0}, {First + 1, 1}, {2 * First, 1}, {2*First + 1, 2}, {3 * First, 2}, {4 * First, 2},
		{Bound(Buckets - 1), Buckets - 1}, {Bound(Buckets-1) + 1, Buckets}, {1 << 62, Buckets},
	} {
		if got := bucketOf(c.took); got != c.bucket {
			t.Errorf("%v is in bucket %d, want %d", c.took, got, c.bucket)
		}
	}
	for k := range Buckets {
		if bucketOf(Bound(k)) != k || bucketOf(Bound(k)+1) != k+1 {
			t.Errorf("the bound of bucket %d, %v, is not its end", k, Bound(k))
		}
	}
}

func TestSnapshotsAddUp(t *testing.T) {
	var d Durations
	for _, took := range []time.Duration{First, 3 * First, 3 * First, time.Hour} {
		d.Observe(took)
	}
	s := d.Snapshot()
	s.Add(d.Snapshot())
	if s.Count() != 8 || s.Counts[0] != 2 || s.Counts[2] != 4 || s.Counts[Buckets] != 2 || s.Sum != 2*(7*First+time.Hour) {
		t.Errorf("twice four durations make %d: %v, sum %v", s.Count(), s.Counts, s.Sum)
	}
}
