package bench

import (
	"errors"
	"fmt"
	"math/bits"
	"time"

	"ringmaster/internal/launch"
)

// TopologyOptions describe a cluster that need not be there.
type TopologyOptions struct {
	Workers []int         // of each case, up to mostModelled
	PerHost int           // workers of a host
	Latency time.Duration // of a frame between hosts: from the sender's trainer to the receiver's
	Local   time.Duration // within a host
	Gbit    float64       // what a host sends in a second, over all its workers
	Frame   time.Duration // what a frame costs the thread that handles it, whatever its length
}

// What is the same on all clusters that are worked out. Figures of `bench allreduce` and `bench kernels` on two cores of a Zen 3.
const (
	localBytes   = 3 << 30 // a second, within a host
	addBytes     = 6 << 30 // a second that a thread adds or copies
	modelFrame   = 256 << 10
	mostModelled = 4096
)

// TopologyResult is how long a sum takes, in ms, where workers are ordered or connected in several ways.
type TopologyResult struct {
	Case     string  `json:"case"` // the size as it was written
	Bytes    int     `json:"bytes"`
	Workers  int     `json:"workers"`
	PerHost  int     `json:"per_host"`
	Mixed    float64 `json:"mixed_ms"`    // the ring, every hop between hosts
	Beside   float64 `json:"beside_ms"`   // the ring, workers of a host beside each other
	TwoLevel float64 `json:"twolevel_ms"` // a ring of hosts, whose workers share memory
	Doubling float64 `json:"doubling_ms"` // all gradients gathered by doubling, and added by everybody
	Wire     float64 `json:"wire_ms"`     // what a host's link alone needs for what a ring of hosts sends
}

func (r TopologyResult) row() []string {
	cells := []string{r.Case, fmt.Sprint(r.Workers)}
	for _, ms := range []float64{r.Mixed, r.Beside, r.TwoLevel, r.Doubling, r.Wire} {
		cells = append(cells, fmt.Sprintf("%.3g", ms))
	}
	return cells
}

func (r TopologyResult) sample() sample {
	return sample{name: fmt.Sprintf("Topology/%s/workers=%d/beside", r.Case, r.Workers), n: 1, values: []value{{r.Beside * 1e6, "ns/op"}}}
}

// Topology works out how long sums over many workers take, by following every frame of the schedule through links of given latency and
// bandwidth. All ways add in the same order: chunk c is the left fold over the seats from c+1 on, so a partial sum must visit all seats
// in turn, and neither trees nor sums within a host before the ring are possible. What is free is which way values travel, and who adds.
func Topology(o TopologyOptions, sizes []string) (*Report, error) {
	report := &Report{Columns: []string{"CASE", "WORKERS", "MIXED", "BESIDE", "TWO LEVELS", "DOUBLING", "WIRE ALONE"},
		Notes: []string{"ms; not measured, but worked out for one seat a worker (see docs/benchmarks.md)"}}
	if err := o.check(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	for _, size := range sizes {
		bytes, err := parseBytes(size)
		if err != nil {
			return nil, &launch.UsageError{Err: fmt.Errorf("--bytes: %w", err)}
		}
		for _, n := range o.Workers {
			hosts := (n + o.PerHost - 1) / o.PerHost
			rate := o.Gbit * 1e9 / 8
			r := TopologyResult{Case: size, Bytes: bytes, Workers: n, PerHost: min(n, o.PerHost),
				Mixed:    o.ring(n, bytes, func(int) bool { return hosts > 1 }, rate/float64(min(n, o.PerHost))),
				Beside:   o.ring(n, bytes, func(i int) bool { return hosts > 1 && ((i+1)%o.PerHost == 0 || i == n-1) }, rate),
				TwoLevel: o.twoLevels(hosts, min(n, o.PerHost), bytes, rate),
				Doubling: o.doubling(n, hosts, bytes, rate/float64(min(n, o.PerHost))),
				Wire:     1e3 * 2 * float64(bytes) * float64(hosts-1) / float64(hosts) / rate}
			report.Results = append(report.Results, r)
		}
	}
	return report, nil
}

func (o *TopologyOptions) check() error {
	for _, n := range o.Workers {
		if n < 2 || n > mostModelled {
			return fmt.Errorf("--workers must be from 2 to %d each", mostModelled)
		}
	}
	switch {
	case o.PerHost < 1:
		return errors.New("--per-host must be at least 1")
	case !(o.Gbit > 0):
		return errors.New("--gbit must be above 0")
	case o.Latency < 0 || o.Local < 0 || o.Frame < 0:
		return errors.New("--latency, --local and --frame must not be negative")
	}
	return nil
}

// ring is the time, in ms, of a reduce-scatter and an all-gather in a ring of n workers, frame by frame: far says which hops leave a host. In each of
// 2(n-1) rounds a worker passes one n-th of the vector on, each frame as soon as it has come and the link is free.
func (o *TopologyOptions) ring(n, bytes int, far func(from int) bool, rate float64) float64 {
	segment := float64(bytes) / float64(n)
	frames := max(1, int(segment+modelFrame-1)/modelFrame)
	length := segment / float64(frames)
	ready, next, free := make([]float64, n*frames), make([]float64, n*frames), make([]float64, n)
	last := 0.0
	for round := range 2 * (n - 1) {
		for from := range n {
			latency, sends := o.Local.Seconds(), length/localBytes
			if far(from) {
				latency, sends = o.Latency.Seconds(), length/rate
			}
			handles := o.Frame.Seconds()
			if round < n-1 {
				handles += length / addBytes
			}
			to := (from + 1) % n
			for f := range frames {
				free[from] = max(ready[from*frames+f], free[from]) + max(sends, handles)
				next[to*frames+f] = free[from] + latency + handles
				last = max(last, next[to*frames+f])
			}
		}
		ready, next = next, ready
	}
	return 1e3 * last
}

// twoLevels is the time, in ms, of a ring of hosts. The workers of a host write their gradients to memory that they share; of a partial sum
// that passes, each adds all seats of the host to its part, in their order, and sends that on by a connection of its own; in the end each reads the sums.
func (o *TopologyOptions) twoLevels(hosts, perHost, bytes int, rate float64) float64 {
	share := 2 * (o.Local.Seconds() + float64(bytes)/addBytes) // written and read, with a wake-up each
	if hosts == 1 {
		return 1e3 * (share + float64(bytes)/addBytes)
	}
	between := *o
	between.Frame = o.Frame / time.Duration(perHost)
	return 1e3*share + between.ring(hosts, bytes, func(int) bool { return true }, rate)
}

// doubling is the time, in ms, until everybody has everybody's values and has added them: in round r each sends the values of 2^r workers to the one 2^r places
// on, where places are taken so that most rounds leave the host (Bruck et al., 1997).
func (o *TopologyOptions) doubling(n, hosts, bytes int, rate float64) float64 {
	latency := o.Latency.Seconds()
	if hosts == 1 {
		latency, rate = o.Local.Seconds(), localBytes
	}
	total := float64(n) * float64(bytes) / addBytes
	for r := range bits.Len(uint(n - 1)) {
		total += latency + o.Frame.Seconds() + float64(min(1<<r, n-1<<r))*float64(bytes)/rate
	}
	return 1e3 * total
}
