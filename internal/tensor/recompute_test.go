package tensor

import (
	"slices"
	"testing"

	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// replan drops what the operations in the intervals make.
func (p *Program) replan(g *Graph, again []plan.Interval) {
	p.length = g.place(again)
	p.buffers, p.turns, p.moves = g.buffers, g.turns, g.moves
	p.Bind(nans(p.length))
}

// TestRecomputingChangesNoBit drops random segments of random graphs: the gradients are those of the whole, bit for
// bit, in every run of a program.
func TestRecomputingChangesNoBit(t *testing.T) {
	replayed := 0
	for seed := range uint64(400) {
		b, y := randomGraph(seed)
		c := &Context{Statistics: make([]float32, 8), Key: rng.NewKey(seed, 1)}
		p := b.compile(y)
		want, got := nans(b.next), nans(b.next)
		p.Forward(c, b.params)
		loss := c.Loss
		statistics := slices.Clone(c.Statistics)
		p.Backward(c, want, nil)
		var again []plan.Interval
		for at := b.random.IntN(4); at < len(p.nodes); {
			end := min(at+1+b.random.IntN(8), len(p.nodes))
			again = append(again, plan.Interval{Begin: at, End: end})
			at = end + b.random.IntN(3)
		}
		p.replan(b.g, again)
		for _, turn := range p.turns {
			if turn.again {
				replayed++
			}
		}
		for range 2 {
			p.Forward(c, b.params)
			if !slices.Equal(c.Statistics, statistics) {
				t.Fatalf("graph %d: statistics %v, want %v", seed, c.Statistics, statistics)
			}
			p.Backward(c, got, nil)
			if c.Loss != loss {
				t.Fatalf("graph %d: loss %g, want %g", seed, c.Loss, loss)
			}
			sameBits(t, want, got)
			clear(got)
		}
	}
	if replayed < 400 {
		t.Errorf("only %d operations were computed again", replayed)
	}
}

// TestRecomputingGrowsWithTheRoot wants four times the blocks to need about twice the memory, and far less than all of them.
func TestRecomputingGrowsWithTheRoot(t *testing.T) {
	length := func(blocks int) int { return deepAgain(blocks).Length() }
	all, few, many := deep(true, 64).Length(), length(16), length(64)
	if 4*many > all {
		t.Errorf("64 blocks need %d floats, %d without recomputing", many, all)
	}
	if float64(many) > 2.6*float64(few) {
		t.Errorf("16 blocks need %d floats, 64 need %d", few, many)
	}
}

// TestRecomputingCountsItsWork wants less than the whole forward again.
func TestRecomputingCountsItsWork(t *testing.T) {
	if forward, backward := deepAgain(9).MultiplyAdds(); backward <= 2*forward || backward >= 3*forward {
		t.Errorf("%d multiply-adds forward, %d backward, which has some of forward's again", forward, backward)
	}
}
