package trainer

import (
	"testing"
	"time"

	"ringmaster/internal/dataset"
	"ringmaster/internal/rng"
)

func TestAPaceIsSteadyInSpiteOfOneBadMoment(t *testing.T) {
	const ms = time.Millisecond
	var p pace
	for range spanLeast - 1 {
		p.add(30*ms, 3)
	}
	if f, ok := p.figure(); ok {
		t.Errorf("after %d spans there is a figure: %v", spanLeast-1, f)
	}
	p.add(30*ms, 3)
	if f, ok := p.figure(); !ok || f != 10*ms {
		t.Errorf("steady: %v, %v", f, ok)
	}
	p.add(3000*ms, 3) // one bad moment
	if f, _ := p.figure(); f != 10*ms {
		t.Errorf("after one bad moment: %v", f)
	}
	// Steps far shorter than a span, every other one held up: a span has as many of both.
	p.begin()
	for range 4000 {
		p.add(ms/10, 1)
		p.add(3*ms/10, 1)
	}
	if f, _ := p.figure(); f < 19*ms/100 || f > 21*ms/100 {
		t.Errorf("held up half of the time: %v", f)
	}
	// Twice as slow from here on: that shows before the window has passed.
	p.begin()
	for range spanCount {
		p.add(40*ms, 4)
	}
	for range 3 * spanCount / 4 {
		p.add(80*ms, 4)
	}
	if f, _ := p.figure(); f != 20*ms {
		t.Errorf("slower: %v", f)
	}
	// Of steps that last a second, three are enough.
	p.begin()
	for range spanCount {
		p.add(1000*ms, 4)
	}
	for range spanLeast - 1 {
		p.add(2000*ms, 4)
	}
	if f, _ := p.figure(); f != 500*ms {
		t.Errorf("slower in long steps: %v", f)
	}
}

// slowSet takes a while for every read.
type slowSet struct {
	dataset.Set
	reads time.Duration
}

func (s slowSet) Read(dst *dataset.Batch, indices []int32, key rng.Key) error {
	time.Sleep(s.reads)
	return s.Set.Read(dst, indices, key)
}

// TestPaceIsOfTheOwnSeats trains on two workers one of which reads slowly: its figure says so, and the other's does not
// contain the wait for it.
func TestPaceIsOfTheOwnSeats(t *testing.T) {
	p := assemble(t, 6, "")
	p.Steps = 40
	want := digestOf(train(t, p, 1, 1, 1, nil, nil)[0])
	slow := *p
	data := *p.Data
	data.Train = slowSet{data.Train, 12 * time.Millisecond}
	slow.Data = &data
	both := trainEach(t, []*Plan{p, &slow}, 1, 1, nil, nil)
	fast, late := time.Duration(both[0].Progress.SeatNs.Load()), time.Duration(both[1].Progress.SeatNs.Load())
	if late < 12*time.Millisecond || both[1].Progress.SeatSpans.Load() < spanLeast {
		t.Errorf("a seat of the slow worker takes %v in %d spans", late, both[1].Progress.SeatSpans.Load())
	}
	if fast > late/2 {
		t.Errorf("a seat of the fast worker takes %v, of the slow one %v", fast, late)
	}
	for _, tr := range both {
		if got := digestOf(tr); got != want {
			t.Errorf("digest %s, want %s", got, want)
		}
	}
}
