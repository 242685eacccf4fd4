// Package plan holds Ringmaster's domain types and pure planning: intervals, seats, arcs, views and buckets.
// It depends on the standard library only; every other package uses its terms.
package plan

import "fmt"

// Interval is the half-open range [Begin, End). Shards, buckets, chunks and arcs are all intervals.
type Interval struct {
	Begin int `json:"begin"`
	End   int `json:"end"`
}

// Len is the number of elements in the interval.
func (i Interval) Len() int { return i.End - i.Begin }

// Contains reports whether x is in the interval.
func (i Interval) Contains(x int) bool { return i.Begin <= x && x < i.End }

// String writes the interval as [begin,end).
func (i Interval) String() string { return fmt.Sprintf("[%d,%d)", i.Begin, i.End) }

// Part is the k-th of n parts of the even partition of the interval, k in [0, n). Parts are contiguous and in order,
// their lengths differ by at most one, and the longer ones come first. With more parts than elements the last are empty.
func (i Interval) Part(k, n int) Interval {
	if n <= 0 || k < 0 || k >= n {
		panic(fmt.Sprintf("plan: part %d of %d", k, n))
	}
	size, longer := i.Len()/n, i.Len()%n
	begin := i.Begin + k*size + min(k, longer)
	end := begin + size
	if k < longer {
		end++
	}
	return Interval{begin, end}
}

// Parts is the even partition of the interval into n parts, in order.
func (i Interval) Parts(n int) []Interval {
	parts := make([]Interval, n)
	for k := range parts {
		parts[k] = i.Part(k, n)
	}
	return parts
}

// Span is the interval from the first to the last of the parts [from, to) of the even partition into n parts.
func (i Interval) Span(from, to, n int) Interval {
	if from >= to {
		return Interval{i.Begin, i.Begin}
	}
	return Interval{i.Part(from, n).Begin, i.Part(to-1, n).End}
}
