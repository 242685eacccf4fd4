// Package chaos trains a job on a local cluster while it kills, stops, restarts and adds the cluster's processes, and
// compares what comes out with an undisturbed run. Its faults, their victims and their times are a pure function of a seed.
package chaos

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringmaster/internal/plural"
)

// Kind is a kind of fault.
type Kind string

// The kinds of fault. Those of workers come first.
const (
	KillWorker    Kind = "kill-worker"    // SIGKILL; after the pause a new process takes its name, unless it was added before
	StopWorker    Kind = "stop-worker"    // SIGSTOP; after the pause SIGCONT
	RestartWorker Kind = "restart-worker" // SIGTERM: it leaves gracefully; after the pause a new process takes its name
	AddWorker     Kind = "add-worker"     // one more joins

	KillFollower     Kind = "kill-follower"     // a coordinator that does not lead: SIGKILL, started again from its disk after the pause
	KillLeader       Kind = "kill-leader"       // likewise the coordinator that leads
	StopLeader       Kind = "stop-leader"       // SIGSTOP; after the pause SIGCONT
	LoseQuorum       Kind = "lose-quorum"       // the leader and as many more as make a majority
	KillCoordinators Kind = "kill-coordinators" // all of them
)

// The kinds of fault that hold the ring up without taking anybody out of it: does the status name the culprit?
const (
	FreezeWorker Kind = "freeze-worker" // SIGSTOP, for less than the leader's patience with silent workers
	SlowData     Kind = "slow-data"     // reading a batch takes long, as from a slow disk
	CutLink      Kind = "cut-link"      // what the worker sends to the next one in the ring does not arrive; the other way is open
	HalfSpeed    Kind = "half-speed"    // it runs for half of the time
)

// StallKinds are the kinds of fault that hold the ring up.
func StallKinds() []Kind { return []Kind{FreezeWorker, SlowData, CutLink, HalfSpeed} }

// Kinds are the kinds of fault that change who is there.
func Kinds() []Kind {
	return []Kind{KillWorker, StopWorker, RestartWorker, AddWorker, KillFollower, KillLeader, StopLeader, LoseQuorum, KillCoordinators}
}

// OfWorker reports whether the fault is a worker's.
func (k Kind) OfWorker() bool { return slices.Contains(Kinds()[:4], k) || k.stalls() }

func (k Kind) stalls() bool { return slices.Contains(StallKinds(), k) }

// Fault is one fault of a schedule.
type Fault struct {
	Kind    Kind
	Target  string        // a worker's name, or "leader", "follower", "majority", "all"
	Overlap bool          // it hits while the cluster recovers from the fault before
	After   time.Duration // from the fault before, or where it does not overlap from the moment when the cluster is whole again
	Pause   time.Duration // until the target is woken or started again, or the trouble is over; 0: never
	Delay   time.Duration // of slow data: of each batch
}

// String is the fault for people.
func (f Fault) String() string {
	text := string(f.Kind)
	if strings.HasPrefix(f.Target, "w") {
		text += " " + f.Target
	}
	if f.Pause > 0 {
		text += fmt.Sprintf(" for %d ms", f.Pause.Milliseconds())
	}
	if f.Delay > 0 {
		text += fmt.Sprintf(" by %d ms a batch", f.Delay.Milliseconds())
	}
	return text
}

// Shape is what a schedule has to know of the cluster.
type Shape struct {
	Workers      int // at the beginning: w1, w2, ...
	Coordinators int
	Most         int     // workers at once, with those that are added
	Kinds        []Kind  // to draw from; empty: all
	Overlap      float64 // share of faults that hit during the recovery from the one before, 0 to 1
}

// span is a range of durations to draw from.
type span struct{ low, high time.Duration }

var (
	calmGap    = span{100 * time.Millisecond, 1000 * time.Millisecond}
	overlapGap = span{5 * time.Millisecond, 600 * time.Millisecond}
	// Stops of less than the coordinator's patience with silent workers only delay; longer ones put the worker out.
	pauses = map[Kind]span{
		KillWorker:    {50 * time.Millisecond, 1500 * time.Millisecond},
		StopWorker:    {100 * time.Millisecond, 3500 * time.Millisecond},
		RestartWorker: {50 * time.Millisecond, 1000 * time.Millisecond},
		KillFollower:  {100 * time.Millisecond, 2000 * time.Millisecond}, KillLeader: {100 * time.Millisecond, 2000 * time.Millisecond},
		StopLeader: {200 * time.Millisecond, 3000 * time.Millisecond}, LoseQuorum: {200 * time.Millisecond, 2500 * time.Millisecond},
		KillCoordinators: {100 * time.Millisecond, 2000 * time.Millisecond},
		FreezeWorker:     {900 * time.Millisecond, 1350 * time.Millisecond},
		SlowData:         {1500 * time.Millisecond, 3000 * time.Millisecond},
		CutLink:          {1200 * time.Millisecond, 2500 * time.Millisecond},
		HalfSpeed:        {2000 * time.Millisecond, 3000 * time.Millisecond},
	}
	readDelays = span{40 * time.Millisecond, 800 * time.Millisecond}
	// weights make the faults of workers, which change views, the most frequent ones.
	weights = map[Kind]int{KillWorker: 6, StopWorker: 3, RestartWorker: 2, AddWorker: 2,
		KillFollower: 1, KillLeader: 3, StopLeader: 1, LoseQuorum: 2, KillCoordinators: 2,
		FreezeWorker: 1, SlowData: 1, CutLink: 1, HalfSpeed: 1}
)

// Schedule draws n faults. The same arguments give the same faults. At any time at least one worker that holds the
// newest state is spared, since with the last one gone steps since the newest checkpoint are computed again, which counts
// as lost.
func Schedule(seed uint64, n int, s Shape) ([]Fault, error) {
	if len(s.Kinds) == 0 {
		s.Kinds = Kinds()
	}
	for _, k := range s.Kinds {
		if weights[k] == 0 {
			return nil, fmt.Errorf("no fault is of the kind %q; there are %s", k, join(append(Kinds(), StallKinds()...)))
		}
	}
	d := &drawing{source: rand.NewPCG(seed, 0x72696e676d6173), shape: s}
	for i := range s.Workers {
		d.workers = append(d.workers, worker{name: "w" + strconv.Itoa(i+1)})
	}
	d.named = s.Workers
	faults := make([]Fault, 0, n)
	for len(faults) < n {
		f, ok := d.next(len(faults) == 0)
		if !ok {
			return nil, fmt.Errorf("%s and %s have no room for faults of the kinds %s", plural.Of(s.Workers, "worker"), plural.Of(s.Coordinators, "coordinator"), join(s.Kinds))
		}
		faults = append(faults, f)
	}
	return faults, nil
}

func join(kinds []Kind) string {
	names := make([]string, len(kinds))
	for i, k := range kinds {
		names[i] = string(k)
	}
	return strings.Join(names, ", ")
}

// worker is what the schedule knows of a worker. Times count from the newest moment when the cluster was whole.
type worker struct {
	name  string
	added bool
	hurt  bool          // since the cluster was whole
	back  time.Duration // when its process runs again
}

// drawing is the state of the cluster as the schedule imagines it.
type drawing struct {
	source  *rand.PCG
	shape   Shape
	workers []worker
	named   int           // names given so far
	now     time.Duration // since the cluster was whole
}

// below draws from 0 to n-1.
func (d *drawing) below(n int) int {
	high, _ := bits.Mul64(d.source.Uint64(), uint64(n))
	return int(high)
}

func (d *drawing) within(s span) time.Duration {
	const unit = time.Millisecond
	return s.low + time.Duration(d.below(int((s.high-s.low)/unit)+1))*unit
}

// next draws a fault; false when the cluster has room for none even while it is whole.
func (d *drawing) next(first bool) (Fault, bool) {
	f := Fault{Overlap: !first && float64(d.below(1<<20)) < d.shape.Overlap*(1<<20)}
	if f.Overlap {
		f.After = d.within(overlapGap)
		d.now += f.After
		if d.choose(&f) {
			return f, true
		}
		// Nobody may be hurt any more before the cluster is whole.
	}
	f.Overlap, f.After = false, d.within(calmGap)
	d.calm()
	return f, d.choose(&f)
}

// calm is the cluster whole again.
func (d *drawing) calm() {
	d.now = 0
	for i := range d.workers {
		d.workers[i].hurt, d.workers[i].back = false, 0
	}
}

// choose draws kind, target and pause among those that are possible now.
func (d *drawing) choose(f *Fault) bool {
	total := 0
	var possible []Kind
	for _, k := range d.shape.Kinds {
		if d.possible(k) {
			possible = append(possible, k)
			total += weights[k]
		}
	}
	if total == 0 {
		return false
	}
	at := d.below(total)
	for _, k := range possible {
		if at -= weights[k]; at < 0 {
			f.Kind = k
			break
		}
	}
	if s, ok := pauses[f.Kind]; ok {
		f.Pause = d.within(s)
	}
	if f.Kind == SlowData {
		f.Delay = d.within(readDelays)
	}
	f.Target = d.hit(f)
	return true
}

func (d *drawing) possible(k Kind) bool {
	switch k {
	case AddWorker:
		return len(d.workers) < d.shape.Most
	case KillWorker, StopWorker, RestartWorker, FreezeWorker, SlowData, HalfSpeed:
		return len(d.targets()) > 0
	case CutLink:
		return len(d.workers) > 1 && len(d.targets()) > 0
	case KillFollower, KillLeader, LoseQuorum:
		return d.shape.Coordinators > 1
	}
	return d.shape.Coordinators > 0
}

// targets are the workers that run and that may be hurt: another one that nothing has happened to remains.
func (d *drawing) targets() []int {
	spared := 0
	for _, w := range d.workers {
		if !w.hurt {
			spared++
		}
	}
	var all []int
	for i, w := range d.workers {
		if w.back <= d.now && (spared > 1 || spared == 1 && w.hurt) {
			all = append(all, i)
		}
	}
	return all
}

// hit carries the fault out on the imagined cluster and returns its target.
func (d *drawing) hit(f *Fault) string {
	switch f.Kind {
	case AddWorker:
		d.named++
		d.workers = append(d.workers, worker{name: "w" + strconv.Itoa(d.named), added: true, hurt: true, back: d.now})
		return d.workers[len(d.workers)-1].name
	case KillWorker, StopWorker, RestartWorker, FreezeWorker, SlowData, CutLink, HalfSpeed:
		targets := d.targets()
		i := targets[d.below(len(targets))]
		w := &d.workers[i]
		name := w.name
		w.hurt, w.back = true, d.now+f.Pause
		if f.Kind == KillWorker && w.added {
			f.Pause = 0
			d.workers = slices.Delete(d.workers, i, i+1)
		}
		return name
	case KillFollower:
		return "follower"
	case LoseQuorum:
		return "majority"
	case KillCoordinators:
		return "all"
	}
	return "leader"
}
