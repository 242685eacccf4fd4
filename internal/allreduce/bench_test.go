package allreduce

import (
	"context"
	"testing"
	"time"
)

func TestBenchMeasuresEverySize(t *testing.T) {
	for _, tcp := range []bool{false, true} {
		sizes := []int{64, 1 << 20}
		results, err := Bench(context.Background(), BenchOptions{Workers: 2, Seats: 4, TCP: tcp, Time: time.Millisecond}, sizes)
		if err != nil {
			t.Fatal(err)
		}
		for i, r := range results {
			if r.Bytes != sizes[i] || r.Rounds < 3 || r.Median <= 0 || r.BusBandwidth(2) <= 0 {
				t.Errorf("size %d: got %+v", sizes[i], r)
			}
		}
	}
}

func TestBenchRefusesWhatItCannotMeasure(t *testing.T) {
	for name, c := range map[string]struct{ workers, seats, size int }{
		"one worker": {1, 1, 64}, "fewer seats than workers": {3, 2, 64}, "half a number": {2, 2, 6}, "nothing": {2, 2, 0},
	} {
		if _, err := Bench(context.Background(), BenchOptions{Workers: c.workers, Seats: c.seats}, []int{c.size}); err == nil {
			t.Errorf("%s: measured", name)
		}
	}
}

// BenchmarkAllReduce reports the median round; MB/s is bus bandwidth.
func BenchmarkAllReduce(b *testing.B) {
	for _, c := range []struct {
		name           string
		workers, seats int
		bytes          int
		tcp            bool
	}{
		{"64B", 2, 2, 64, false}, {"64B tcp", 2, 2, 64, true},
		{"classifier", 2, 4, 4 * 118282, false}, {"classifier tcp", 2, 4, 4 * 118282, true}, {"classifier 4 workers", 4, 4, 4 * 118282, false},
		{"1MiB", 2, 2, 1 << 20, false}, {"16MiB", 2, 2, 16 << 20, false}, {"16MiB tcp", 2, 2, 16 << 20, true}, {"100MiB", 2, 2, 100 << 20, false},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				results, err := Bench(context.Background(), BenchOptions{Workers: c.workers, Seats: c.seats, TCP: c.tcp, Time: time.Second / 2}, []int{c.bytes})
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(results[0].Median)/1e3, "us/round")
				b.ReportMetric(results[0].BusBandwidth(c.workers)/(1<<20), "MiB/s")
			}
		})
	}
}
