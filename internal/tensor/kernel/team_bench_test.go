package kernel

import (
	"sync"
	"sync/atomic"
	"testing"
)

// BenchmarkTeamRun is the cost of a hand-off: the parts do nothing.
func BenchmarkTeamRun(b *testing.B) {
	team := NewTeam(2)
	defer team.Close()
	var sum atomic.Int64
	task := func(part int) { sum.Add(1) }
	for b.Loop() {
		team.Run(2, task)
	}
}

// BenchmarkTeamsOnTheSameCores is a product of each of two workers, as many threads each as there are cores. Compare with
// twice the time of one.
func BenchmarkTeamsOnTheSameCores(b *testing.B) {
	for _, teams := range []int{1, 2} {
		b.Run([]string{"one", "two"}[teams-1], func(b *testing.B) {
			var workers sync.WaitGroup
			for range teams {
				workers.Go(func() {
					team := NewTeam(2)
					defer team.Close()
					p := &MatMul{M: 64, N: 256, K: 256, A: sequence(64*256, 1), LDA: 256, B: sequence(256*256, 2), LDB: 256,
						C: make([]float32, 64*256), LDC: 256}
					for range b.N {
						team.MatMul(p)
					}
				})
			}
			workers.Wait()
		})
	}
}
