package tensor

import (
	"testing"

	"ringmaster/internal/plan"
)

// TestWorks counts the tensors of two linear layers with one weight, and of an embedding that reads 2 of 100 rows.
func TestWorks(t *testing.T) {
	const rows, width = 5, 3
	g := NewGraph(true)
	tokens := g.Integers(1, 2)
	e := g.Embedding(tokens, g.Parameter(plan.Interval{Begin: 9, End: 9 + 100*width}, 100, width), nil)
	w := g.Parameter(plan.Interval{Begin: 0, End: 9}, width, width)
	y := g.Linear(g.Linear(g.Input(rows, width), w, nil, 0), w, nil, 0)
	g.SquaredError(y, g.Input(rows, width), nil)
	g.SquaredError(g.Reshape(e, 2*width), g.Input(2*width), nil)
	works := g.Compile().Works()
	x, weights := rows*width, width*width
	for i, want := range []OperationWork{
		{"embedding", Work{0, 4 * (2*width + 2*width)}, Work{0, 4 * (2*width + 2*width)}},
		{"linear", Work{x * width, 4 * (x + weights + x)}, Work{x * width, 4 * (x + weights + x + 2*weights)}},       // it adds to the weight's gradient
		{"linear", Work{x * width, 4 * (x + weights + x)}, Work{2 * x * width, 4 * (x + weights + x + weights + x)}}, // and of its input
	} {
		if works[i] != want {
			t.Errorf("operation %d: %+v, want %+v", i, works[i], want)
		}
	}
}

// TestWorksOfPieces: a batch norm between layers that work piece by piece leaves its tensors to them.
func TestWorksOfPieces(t *testing.T) {
	works := func(from int) []OperationWork {
		b := newBench(9, true)
		b.g.piecesFrom, b.g.pieceSize = from, 1
		return b.compile(inverted(b, pieceWindows[0])).Works()
	}
	const rows, width, inner = 5 * 9 * 7, 6, 20 // of the second norm, between the first layer of the block and the depthwise one
	alone, joined := works(1<<30), works(1)
	const before, norm, depthwise = 2, 3, 4
	for _, c := range []struct {
		what      string
		got, want int
	}{
		{"the norm forward", alone[norm].Forward.Bytes - joined[norm].Forward.Bytes, 2 * rows * inner},
		{"the norm backward", alone[norm].Backward.Bytes - joined[norm].Backward.Bytes, 3 * rows * inner},
		{"the layer before it, backward", joined[before].Backward.Bytes - alone[before].Backward.Bytes, 2*rows*inner + rows*width},
		{"the layer behind it, forward", joined[depthwise].Forward.Bytes - alone[depthwise].Forward.Bytes, rows * inner},
	} {
		if c.got != 4*c.want {
			t.Errorf("%s: %d bytes, want %d", c.what, c.got, 4*c.want)
		}
	}
}
