package allreduce

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"ringmaster/internal/plan"
)

// BenchmarkAllReduce measures whole steps of all workers in one process. MB/s is bus bandwidth: bytes / time x 2(n-1)/n.
func BenchmarkAllReduce(b *testing.B) {
	for _, c := range []struct {
		network        string
		workers, seats int
		floats         int
	}{
		{"unix", 2, 2, 16}, {"tcp", 2, 2, 16}, {"unix", 2, 4, 118282}, {"tcp", 2, 4, 118282},
		{"unix", 2, 2, 1 << 18}, {"tcp", 2, 2, 1 << 18}, {"unix", 2, 2, 1 << 22}, {"tcp", 2, 2, 1 << 22}, {"unix", 2, 2, 25 << 20},
	} {
		b.Run(fmt.Sprintf("%s/workers=%d/seats=%d/floats=%d", c.network, c.workers, c.seats, c.floats), func(b *testing.B) {
			var members []plan.Member
			for i := range c.workers {
				members = append(members, plan.Member{Worker: fmt.Sprintf("w%d", i), Incarnation: plan.Incarnation(rand.Uint64()),
					Arc: plan.Interval{Begin: 0, End: c.seats}.Part(i, c.workers)})
			}
			hosts := networks[c.network](b, members, Options{})
			w := newWorld(members, c.seats, plan.Buckets(c.floats))
			w.open(b, func(i int) Links { return hosts[i].transport })
			b.ReportAllocs()
			b.SetBytes(int64(4 * c.floats * 2 * (c.workers - 1) / c.workers))
			b.ResetTimer()
			done := make(chan error, len(w.rings))
			for _, r := range w.rings {
				go func() {
					for step := range b.N {
						r.Begin(uint64(step))
						for k := len(w.buckets) - 1; k >= 0; k-- {
							r.Ready(k)
						}
						for k := len(w.buckets) - 1; k >= 0; k-- {
							if err := r.Wait(k); err != nil {
								done <- err
								return
							}
						}
						if err := r.End(uint64(step)); err != nil {
							done <- err
							return
						}
					}
					done <- nil
				}()
			}
			for range w.rings {
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			w.close()
		})
	}
}
