package bench

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

func TestAllReduceMeasuresEverySize(t *testing.T) {
	for _, o := range []AllReduceOptions{{}, {TCP: true}, {TLS: true}, {GRPC: true}} {
		o.Workers, o.Seats, o.Time = 2, 4, time.Millisecond
		sizes := []string{"64", "1MiB"}
		report, err := AllReduce(context.Background(), o, sizes)
		if err != nil {
			t.Fatal(err)
		}
		for i, result := range report.Results {
			r := result.(AllReduceResult)
			if r.Case != sizes[i] || r.Bytes != []int{64, 1 << 20}[i] || r.Rounds < 3 || r.Us <= 0 || r.GiBPerS <= 0 || r.Workers != 2 || r.Seats != 4 {
				t.Errorf("size %s: got %+v", sizes[i], r)
			}
		}
	}
}

func TestAllReduceRefusesWhatItCannotMeasure(t *testing.T) {
	for name, c := range map[string]struct {
		o    AllReduceOptions
		size string
		want string
	}{
		"one worker":               {AllReduceOptions{Workers: 1, Time: time.Second}, "64", "--workers"},
		"too many workers":         {AllReduceOptions{Workers: 65, Time: time.Second}, "64", "--workers"},
		"fewer seats than workers": {AllReduceOptions{Workers: 3, Seats: 2, Time: time.Second}, "64", "--seats"},
		"no time":                  {AllReduceOptions{Workers: 2}, "64", "--time"},
		"half a number":            {AllReduceOptions{Workers: 2, Time: time.Second}, "6", "--bytes"},
	} {
		var usage *launch.UsageError
		if _, err := AllReduce(context.Background(), c.o, []string{c.size}); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// BenchmarkAllReduce reports the median round; MiB/s is bus bandwidth.
func BenchmarkAllReduce(b *testing.B) {
	for _, c := range []struct {
		name           string
		workers, seats int
		bytes          string
		tcp            bool
	}{
		{"64B", 2, 2, "64", false}, {"64B tcp", 2, 2, "64", true},
		{"classifier", 2, 4, "473128", false}, {"classifier tcp", 2, 4, "473128", true}, {"classifier 4 workers", 4, 4, "473128", false},
		{"1MiB", 2, 2, "1MiB", false}, {"16MiB", 2, 2, "16MiB", false}, {"16MiB tcp", 2, 2, "16MiB", true}, {"100MiB", 2, 2, "100MiB", false},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				report, err := AllReduce(context.Background(), AllReduceOptions{Workers: c.workers, Seats: c.seats, TCP: c.tcp, Time: time.Second / 2}, []string{c.bytes})
				if err != nil {
					b.Fatal(err)
				}
				r := report.Results[0].(AllReduceResult)
				b.ReportMetric(r.Us, "us/round")
				b.ReportMetric(r.GiBPerS*1024, "MiB/s")
			}
		})
	}
}
