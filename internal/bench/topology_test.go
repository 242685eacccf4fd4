package bench

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/launch"
)

// lan is a cluster whose figures are easy to follow.
func lan(perHost int) TopologyOptions {
	return TopologyOptions{PerHost: perHost, Latency: time.Millisecond, Gbit: 8}
}

// One worker a host: of a small vector only the latency of 2(n-1) hops counts, of a large one only what each link carries.
func TestModelledRingsFollowLatencyAndBandwidth(t *testing.T) {
	for _, c := range []struct {
		n, perHost, bytes int
		want              float64 // ms
	}{
		{2, 1, 64, 2}, {8, 1, 64, 14}, {1000, 1, 4000, 1998}, {8, 4, 64, 4},
		{2, 1, 1 << 30, float64(1<<30) / 1e6}, {4, 1, 1 << 30, 1.5 * float64(1<<30) / 1e6},
	} {
		o := lan(c.perHost)
		hosts := c.n / c.perHost
		got := o.ring(c.n, c.bytes, func(i int) bool { return hosts > 1 && (i+1)%c.perHost == 0 }, 1e9)
		if math.Abs(got-c.want) > 0.03*c.want {
			t.Errorf("%d workers, %d a host, %d bytes: %.3g ms, want about %.3g", c.n, c.perHost, c.bytes, got, c.want)
		}
	}
}

// Workers of a host beside each other are never slower than mixed ones, two levels save the hops within hosts, and values gathered by doubling take a
// number of rounds that only grows with the logarithm.
func TestTopologyOrdersTheWays(t *testing.T) {
	o := TopologyOptions{Workers: []int{16, 128, 1000}, PerHost: 8, Latency: 50 * time.Microsecond, Local: 10 * time.Microsecond, Frame: 3 * time.Microsecond, Gbit: 10}
	report, err := Topology(o, []string{"64", "473128", "16MiB"})
	if err != nil {
		t.Fatal(err)
	}
	for _, result := range report.Results {
		r := result.(TopologyResult)
		if r.Beside > r.Mixed || r.Bytes == 64 && r.Workers > 16 && (r.TwoLevel > r.Beside || r.Doubling > r.TwoLevel) || r.Wire > r.Beside || r.Wire > r.TwoLevel {
			t.Errorf("%+v", r)
		}
	}
	if one := report.Results[2].(TopologyResult); one.Doubling > 1 {
		t.Errorf("64 bytes of 1000 workers are gathered in %.3g ms", one.Doubling)
	}
}

func TestTopologyRefuses(t *testing.T) {
	for want, o := range map[string]TopologyOptions{
		"--workers":  {Workers: []int{1}, PerHost: 1, Gbit: 1},
		"--per-host": {Workers: []int{2}, Gbit: 1},
		"--gbit":     {Workers: []int{2}, PerHost: 1, Gbit: math.NaN()},
		"--latency":  {Workers: []int{2}, PerHost: 1, Gbit: 1, Latency: -1},
	} {
		var usage *launch.UsageError
		if _, err := Topology(o, []string{"64"}); !errors.As(err, &usage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
