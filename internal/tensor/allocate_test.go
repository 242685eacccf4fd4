//go:build !race

package tensor

import "testing"

// TestRunsAllocateNothing counts in the steady state of programs that compute activations again, and logits in pieces.
func TestRunsAllocateNothing(t *testing.T) {
	narrow := inBFloat16(33, true)
	narrow.g.Recompute()
	for name, p := range map[string]*Program{"recompute": deepAgain(9), "pieces of logits": wideHead(16 * 1000),
		"bfloat16": everyProduct(inBFloat16(33, true)), "bfloat16 and recompute": everyProduct(narrow)} {
		p.Bind(make([]float32, p.Length()))
		length := 0
		for _, v := range p.params {
			length = max(length, v.interval.End)
		}
		params, grad := make([]float32, length), make([]float32, length)
		c := &Context{Gradient: grad}
		if n := testing.AllocsPerRun(3, func() { p.Forward(c, params); p.Backward(c, grad, nil) }); n != 0 {
			t.Errorf("%s: a run allocates %v times", name, n)
		}
	}
}

func TestPiecesAllocateNothing(t *testing.T) {
	b := newBench(34, true)
	b.g.piecesFrom, b.g.pieceSize = 1, 700
	p := b.compile(inverted(b, pieceWindows[1]))
	c, grad := &Context{Statistics: make([]float32, 200)}, make([]float32, b.next)
	if n := testing.AllocsPerRun(3, func() { p.Forward(c, b.params); p.Backward(c, grad, nil) }); n != 0 {
		t.Errorf("a run allocates %v times", n)
	}
}
