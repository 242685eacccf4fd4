package chaos

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
)

// Report is what came out of all runs under faults.
type Report struct {
	Job          string    `json:"job"`
	Seed         uint64    `json:"seed"`
	Passed       bool      `json:"passed"` // all faults happened, all digests are equal, nothing was lost
	Dir          string    `json:"dir"`
	Workers      int       `json:"workers"`
	Coordinators int       `json:"coordinators"`
	Steps        uint64    `json:"steps"`  // of one run
	Digest       string    `json:"digest"` // of the undisturbed run
	StateDigest  string    `json:"state_digest"`
	DigestsEqual bool      `json:"digests_equal"`
	LostSteps    int       `json:"lost_steps"`
	Faults       int       `json:"faults"`
	StepMs       float64   `json:"step_ms"` // mean over the runs under faults
	WallS        float64   `json:"wall_s"`
	Kinds        []Figures `json:"kinds"`
	Slowest      []Slow    `json:"slowest"` // recoveries from workers' faults, the slowest first
	Problems     []string  `json:"problems"`
	Rounds       []Round   `json:"rounds"`

	Attribution *Attribution `json:"attribution,omitempty"` // of faults that hold the ring up
	named       []recovery
}

// Round is one run of the job under faults.
type Round struct {
	Dir       string  `json:"dir"`
	Faults    int     `json:"faults"`
	Views     int     `json:"views"`
	Steps     uint64  `json:"steps"`
	Digest    string  `json:"digest"`
	Equal     bool    `json:"equal"`
	LostSteps int     `json:"lost_steps"`
	WallS     float64 `json:"wall_s"`

	recoveries []recovery
	stepMs     float64
}

// Figures are how the faults of one kind, or of several, were recovered from. Recoveries counts those with a time: a
// worker's fault has one where it led to a view, a coordinator's where the leader answered again before the job ended.
type Figures struct {
	Kind       string  `json:"kind"`
	Faults     int     `json:"faults"`
	Recoveries int     `json:"recoveries"`
	MinMs      float64 `json:"min_ms"`
	MedianMs   float64 `json:"median_ms"`
	P99Ms      float64 `json:"p99_ms"`
	MaxMs      float64 `json:"max_ms"`
}

// Slow is one recovery, with where to look for its reasons.
type Slow struct {
	Run        int     `json:"run"`
	Fault      string  `json:"fault"`
	Generation uint64  `json:"generation"` // of the view that ended the stall
	Ms         float64 `json:"ms"`
}

// slowest is how many recoveries a report names.
const slowest = 3

// recovery is one fault's; ms is NaN where there was nothing to recover from.
type recovery struct {
	kind Kind
	ms   float64
	slow Slow // of a worker's fault that led to a view
}

// note takes the outcome of a round into the report.
func (r *Report) note(t *trial, dir string, s, reference *launch.Summary, trouble error) {
	n := Round{Dir: dir, Faults: len(t.hits), Views: len(s.Views), Steps: s.Step, Digest: s.Digest, WallS: float64(s.WallS),
		Equal: s.Digest == reference.Digest && s.StateDigest == reference.StateDigest}
	if s.SamplesPerS > 0 && s.Step > 0 {
		n.stepMs = 1e3 * float64(s.Samples) / float64(s.Step) / float64(s.SamplesPerS)
	}
	number := len(r.Rounds) + 1
	bad := func(format string, args ...any) {
		r.Problems = append(r.Problems, fmt.Sprintf("run %d (%s): ", number, dir)+fmt.Sprintf(format, args...))
	}
	for _, p := range t.problems {
		bad("%s", p)
	}
	switch {
	case trouble != nil:
		bad("%v", trouble)
	case s.State != launch.StateDone:
		bad("it ended in state %s: %s", s.State, s.Error)
	case !n.Equal:
		bad("digest %s and state digest %s, not %s and %s", s.Digest, s.StateDigest, reference.Digest, reference.StateDigest)
	case !slices.EqualFunc(s.Epochs, reference.Epochs, sameEpoch):
		bad("the epochs have other figures than those of the undisturbed run")
	}
	for _, v := range s.Views {
		if n.LostSteps += v.LostSteps; v.LostSteps > 0 {
			bad("view %d lost %d finished steps: %s", v.Generation, v.LostSteps, v.Reason)
		}
	}
	if r.Attribution != nil {
		r.named = append(r.named, r.Attribution.attributed(t.hits, number)...)
	}
	n.recoveries = attribute(t.hits, s.Views, t.changes, n.stepMs)
	r.Rounds = append(r.Rounds, n)
}

func sameEpoch(a, b launch.EpochSummary) bool {
	if a.Epoch != b.Epoch || a.TrainLoss != b.TrainLoss {
		return false
	}
	return a.Eval.Same(b.Eval)
}

// named finds the workers that a view's reason speaks of.
var named = regexp.MustCompile(`worker ([A-Za-z0-9_.-]+)`)

// attribute finds for every fault how long it stopped what it hit. For a worker's that is the stall of the first view that
// names the worker and has no later fault of that worker before it: the time from the last step finished in the old view to
// the first one finished in the new, less one step. For a coordinator's it is the time until a leader answered again.
func attribute(hits []*hit, views []launch.ViewSummary, changes map[uint64]change, stepMs float64) []recovery {
	all := make([]recovery, len(hits))
	for i, h := range hits {
		all[i] = recovery{kind: h.fault.Kind, ms: math.NaN()}
		if !h.fault.Kind.OfWorker() && h.answerMs > 0 {
			all[i].ms = h.answerMs
		}
	}
	taken := make([]bool, len(hits))
	for _, v := range views {
		c := changes[v.Generation]
		for _, name := range named.FindAllStringSubmatch(v.Reason, -1) {
			i := causeOf(hits, name[1], v.Generation, c.seen)
			if i < 0 || taken[i] {
				continue
			}
			if taken[i] = true; c.stallMs > 0 {
				ms := max(0, c.stallMs-stepMs)
				all[i].ms, all[i].slow = ms, Slow{Fault: hits[i].fault.String(), Generation: v.Generation, Ms: ms}
			}
		}
	}
	return all
}

// causeOf is the last fault of a worker before a view was seen, -1 where there is none.
func causeOf(hits []*hit, worker string, generation uint64, seen time.Time) int {
	for i, h := range slices.Backward(hits) {
		if h.fault.Target == worker && h.generation < generation && h.at.Before(seen) {
			return i
		}
	}
	return -1
}

// conclude makes the figures of all rounds. wanted is how many faults were to happen.
func (r *Report) conclude(wanted int) {
	byKind := map[Kind][]recovery{}
	var ofWorkers, ofCoordinators []recovery
	r.DigestsEqual = len(r.Rounds) > 0
	for i, n := range r.Rounds {
		r.Faults += n.Faults
		r.LostSteps += n.LostSteps
		r.DigestsEqual = r.DigestsEqual && n.Equal
		r.StepMs += n.stepMs / float64(len(r.Rounds))
		for _, one := range n.recoveries {
			byKind[one.kind] = append(byKind[one.kind], one)
			if one.kind.OfWorker() {
				ofWorkers = append(ofWorkers, one)
				if one.slow.Run = i + 1; !math.IsNaN(one.ms) {
					r.Slowest = append(r.Slowest, one.slow)
				}
			} else {
				ofCoordinators = append(ofCoordinators, one)
			}
		}
	}
	slices.SortStableFunc(r.Slowest, func(a, b Slow) int { return cmp.Compare(b.Ms, a.Ms) })
	r.Slowest = r.Slowest[:min(slowest, len(r.Slowest))]
	for _, k := range append(Kinds(), StallKinds()...) {
		if len(byKind[k]) > 0 {
			r.Kinds = append(r.Kinds, figures(string(k), byKind[k]))
		}
	}
	for _, group := range []struct {
		name string
		all  []recovery
	}{{"workers", ofWorkers}, {"coordinators", ofCoordinators}} {
		if len(group.all) > 0 {
			r.Kinds = append(r.Kinds, figures(group.name, group.all))
		}
	}
	if r.Faults < wanted && len(r.Problems) == 0 {
		r.Problems = append(r.Problems, fmt.Sprintf("only %d of %s happened", r.Faults, plural.Of(wanted, "fault")))
	}
	if a := r.Attribution; a != nil {
		if a.conclude(r.named); !a.good() {
			r.Problems = append(r.Problems, fmt.Sprintf("of %s that held the ring up, named rightly: %d", plural.Of(a.Faults, "fault"), a.Right))
		}
	}
	r.Passed = len(r.Problems) == 0 && r.DigestsEqual && r.LostSteps == 0
}

func figures(kind string, all []recovery) Figures {
	f := Figures{Kind: kind, Faults: len(all)}
	var times []float64
	for _, one := range all {
		if !math.IsNaN(one.ms) {
			times = append(times, one.ms)
		}
	}
	if f.Recoveries = len(times); f.Recoveries == 0 {
		return f
	}
	slices.Sort(times)
	f.MinMs, f.MedianMs, f.P99Ms, f.MaxMs = times[0], quantile(times, 0.5), quantile(times, 0.99), times[len(times)-1]
	return f
}

// quantile is the smallest value that at least the share q of the sorted values do not exceed.
func quantile(sorted []float64, q float64) float64 {
	return sorted[max(0, int(math.Ceil(q*float64(len(sorted))))-1)]
}

// Table is the report for people.
func (r *Report) Table() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "fault\tcount\trecovered\tmin ms\tmedian ms\tp99 ms\tmax ms")
	for _, f := range r.Kinds {
		row := "-\t-\t-\t-"
		if f.Recoveries > 0 {
			row = fmt.Sprintf("%.0f\t%.0f\t%.0f\t%.0f", f.MinMs, f.MedianMs, f.P99Ms, f.MaxMs)
		}
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", f.Kind, f.Faults, f.Recoveries, row)
	}
	_ = w.Flush() // a strings.Builder takes everything
	fmt.Fprintln(&out, "workers: from the last step in the old view to the first in the new, one step less; coordinators: until a leader answers, pause included")
	for _, one := range r.Slowest {
		fmt.Fprintf(&out, "slowest: %.0f ms, %s, run %d view %d\n", one.Ms, one.Fault, one.Run, one.Generation)
	}
	equal := 0
	for _, n := range r.Rounds {
		if n.Equal {
			equal++
		}
	}
	fmt.Fprintf(&out, "%s, seed %d: %s in %s of %s (%.1f ms each), %s, %s, %.0fs\n", r.Job, r.Seed, plural.Of(r.Faults, "fault"), plural.Of(len(r.Rounds), "run"),
		plural.Of(r.Steps, "step"), r.StepMs, plural.Of(r.Workers, "worker"), plural.Of(r.Coordinators, "coordinator"), r.WallS)
	fmt.Fprintf(&out, "lost steps: %d\ndigests equal: %d of %d (%s)\n", r.LostSteps, equal, len(r.Rounds), r.Digest)
	if r.Attribution != nil {
		out.WriteString(r.Attribution.table())
	}
	for _, p := range r.Problems {
		fmt.Fprintln(&out, "problem:", p)
	}
	return out.String()
}
