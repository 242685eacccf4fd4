//go:build (!amd64 && !arm64) || purego

package kernel

// tileShape returns the tiles of a tier: there are none here.
func tileShape(Tier) *shape { return nil }

func (s *shape) run(*panels, int) { panic("kernel: no tiles on this architecture") }

func (s *shape) runListed(*panels) { panic("kernel: no tiles on this architecture") }

func keepSteps([]float32, []uint32, []float32, int, int, int, int) int {
	panic("kernel: no tiles on this architecture")
}

func (s *shape) transposeStrip(_ []float32, _ int, _ []float32, _, _, _ int) {
	panic("kernel: no tiles on this architecture")
}

func (s *shape) copyPanel(_, _ []float32, _, _, _ int) {
	panic("kernel: no tiles on this architecture")
}
