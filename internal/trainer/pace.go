package trainer

import (
	"slices"
	"time"
)

// A worker's pace is what one of its seats takes it in a step: reading, forward and backward, without what it waits for
// others. Where it has several seats, the last one is left out: while that computes, the sums of the others' buckets
// come and go on the same cores, and they do so in every step, however many seats there are.
//
// Steps are gathered into spans of at least spanTime, so that what a machine does a thousand times a second has no part in
// the figure, and the mean of the middle half of the newest spans is the pace: neither one bad moment nor one good one
// moves it. Of long spans a few are enough, or a worker that becomes slow would pass for a fast one for half a minute.
const (
	spanTime  = 25 * time.Millisecond
	spanCount = 16
	spanLeast = 4               // with fewer there is no figure,
	spanReach = 2 * time.Second // and of more only those of so much computation
)

type pace struct {
	took   time.Duration // of the span under way
	seats  int
	spans  [spanCount]time.Duration // a seat's time in each of the newest spans,
	lasted [spanCount]time.Duration // and all seats'
	ended  int                      // spans that have ended in this session
	sorted [spanCount]time.Duration
}

// begin forgets what was measured in another session.
func (p *pace) begin() { p.took, p.seats, p.ended = 0, 0, 0 }

// add takes in the time of a number of seats; true: a span has ended.
func (p *pace) add(took time.Duration, seats int) bool {
	p.took += took
	p.seats += seats
	if p.took < spanTime {
		return false
	}
	p.spans[p.ended%spanCount], p.lasted[p.ended%spanCount] = p.took/time.Duration(p.seats), p.took
	p.took, p.seats = 0, 0
	p.ended++
	return true
}

// figure is a seat's time, once there is one.
func (p *pace) figure() (time.Duration, bool) {
	if p.ended < spanLeast {
		return 0, false
	}
	n, reach := 0, time.Duration(0)
	for n < min(p.ended, spanCount) && (n < spanLeast || reach < spanReach) {
		n++
		newest := (p.ended - n) % spanCount
		p.sorted[n-1] = p.spans[newest]
		reach += p.lasted[newest]
	}
	sorted := p.sorted[:n]
	slices.Sort(sorted)
	middle := sorted[n/4 : n-n/4]
	sum := time.Duration(0)
	for _, s := range middle {
		sum += s
	}
	return sum / time.Duration(len(middle)), true
}

// measure takes the seats' time of a step into the figure that others read.
func (t *Trainer) measure(took time.Duration, seats int) {
	if !t.pace.add(took, seats) {
		return
	}
	if figure, ok := t.pace.figure(); ok {
		t.Progress.SeatNs.Store(int64(figure))
		t.Progress.SeatSpans.Store(int64(t.pace.ended))
	}
}
