package tensor

import (
	"testing"

	"ringmaster/internal/tensor/kernel"
)

// deep records a stack of residual blocks on width channels and returns the program.
func deep(training bool, blocks int) *Program { return residuals(newBench(30, training), blocks) }

// deepAgain is deep for training with Recompute.
func deepAgain(blocks int) *Program {
	b := newBench(30, true)
	b.g.Recompute()
	return residuals(b, blocks)
}

func residuals(b *bench, blocks int) *Program {
	x := b.param(32, 64)
	for range blocks {
		w1, w2 := b.param(64, 64), b.param(64, 64)
		h := b.g.Linear(b.g.LayerNorm(x, nil, nil, 1e-5), w1, nil, kernel.ReLUActivation)
		x = b.g.Add(x, b.g.Linear(h, w2, nil, kernel.None))
	}
	return b.compile(x)
}

// TestEvaluationReusesMemory wants a forward pass to need the same memory however deep the network is.
func TestEvaluationReusesMemory(t *testing.T) {
	if a, b := deep(false, 3).Length(), deep(false, 30).Length(); a != b {
		t.Errorf("3 blocks need %d floats, 30 need %d", a, b)
	}
}

// TestTrainingKeepsWhatBackwardNeeds wants each block to cost what its backward reads: the norm's input, its output (the
// first linear's input), the hidden values and two statistics a row, and next to nothing for gradients.
func TestTrainingKeepsWhatBackwardNeeds(t *testing.T) {
	const block = 32 * (3*64 + 2)
	a, b := deep(true, 10).Length(), deep(true, 30).Length()
	if each := float64(b-a) / 20; each < block || each > 1.05*block {
		t.Errorf("a block costs %.0f floats, %d are needed", each, block)
	}
}

// TestArenaIsTight compares a program's arena with the most that is alive at one time.
func TestArenaIsTight(t *testing.T) {
	p := deep(true, 20)
	most := 0
	for at := range 2 * len(p.nodes) {
		alive := 0
		for _, b := range p.buffers {
			if b.alias == nil && b.first <= at && at <= b.last {
				alive += aligned(b.size)
			}
		}
		most = max(most, alive)
	}
	if float64(p.Length()) > 1.05*float64(most) {
		t.Errorf("arena of %d floats where %d are alive at once", p.Length(), most)
	}
}

// TestAttentionMemoryIsLinear doubles the length: memory must double too, not grow fourfold.
func TestAttentionMemoryIsLinear(t *testing.T) {
	length := func(n int) int {
		b := newBench(31, true)
		x := b.param(1, n, 48)
		y := b.g.Attention(Columns{x, 0}, Columns{x, 16}, Columns{x, 32}, AttentionOptions{Heads: 2, Dim: 8, Scale: 1, Causal: true})
		return b.compile(y).Length()
	}
	if a, b := length(512), length(1024); float64(b) > 2.1*float64(a) {
		t.Errorf("512 tokens need %d floats, 1024 need %d", a, b)
	}
}

// TestCompiledBuffersAreDistinct guards the planner against a buffer that is listed, and so placed, twice.
func TestCompiledBuffersAreDistinct(t *testing.T) {
	b := newBench(32, true)
	_, _, _, y := convCases[0].record(b, 2)
	seen := map[*buffer]bool{}
	for _, each := range b.compile(y).buffers {
		if seen[each] {
			t.Fatal("a buffer is placed twice")
		}
		seen[each] = true
	}
}
