package kernel

import "fmt"

// panelWidth is the columns of a panel: a cache line, and the unit that threads cut columns at.
const panelWidth = columnUnit

// panelAhead is how far ahead of its use a panel is fetched into the cache, in floats: what a memory delivers in the time of its latency.
const panelAhead = 2048

// Panels is an op(B) that many products read, each with few rows of A, arranged for them once: sixteen columns at a time, each step k of
// these one behind the other, so that a product reads it from front to back, once. A model that writes a text token by token
// multiplies by all of its weights for each token and is as fast as they are read.
type Panels struct {
	k, n int
	data []float32 // panels (k, panelWidth), the last filled up with zeros, and some that is never used but fetched
}

// NewPanels arranges op(B), which has k rows and n columns: B[k,j] is b[k*ld + j], or b[j*ld + k] if trans.
func NewPanels(b []float32, ld int, trans bool, k, n int) *Panels {
	checkOperand("B", len(b), k, n, ld, trans, 1, 0)
	p := &Panels{k: k, n: n, data: make([]float32, (n+panelWidth-1)/panelWidth*panelWidth*k+panelAhead)}
	useLargePages(p.data)
	for j := 0; j < n; j += panelWidth {
		panel, width := p.data[j*k:][:k*panelWidth], min(panelWidth, n-j)
		if trans {
			Transpose(panel, panelWidth, b[j*ld:], ld, width, k)
			continue
		}
		for r := range k {
			copy(panel[r*panelWidth:][:width], b[r*ld+j:])
		}
	}
	return p
}

// at is B[k,j].
func (p *Panels) at(k, j int) float32 {
	return p.data[j&^(panelWidth-1)*p.k+k*panelWidth+j&(panelWidth-1)]
}

// checkPanels panics unless the panels fit the product.
func (p *MatMul) checkPanels() {
	if p.Panels.k != p.K || p.Panels.n != p.N || p.Batch > 1 || p.TransA {
		panic(fmt.Sprintf("kernel: MatMul of %d x %d x %d with panels of %d x %d", p.M, p.K, p.N, p.Panels.k, p.Panels.n))
	}
}

// multiplyPanels computes a product whose B are panels: all rows with a panel before the next, since a panel comes from memory.
func (p *MatMul) multiplyPanels(s *shape, m *scratch) {
	if s.narrow != nil { // sixteen columns are one wide vector, whose chain would wait for itself
		s = s.narrow
	}
	t := strip{MatMul: p, shape: s, scratch: m, k1: p.K}
	for j := 0; j < p.N; j += panelWidth {
		b := p.Panels.data[(p.column+j)*p.K:]
		t.panelAhead = &b[panelAhead]
		t.columns(0, p.M, j, min(panelWidth, p.N-j), 1, &b[0], panelWidth, panelWidth*p.K)
	}
}
