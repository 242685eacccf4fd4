package fsm

import (
	"fmt"
	"math"
	"slices"
)

// Size says how many workers the cluster has.
type Size struct {
	Workers int `json:"workers"`
}

// Least says that a job's seats do not fit into the memory of fewer workers than it has. It cannot shrink any further, so it is parked where
// it otherwise would.
type Least struct {
	Job     string `json:"job"`
	Workers int    `json:"workers"`
}

// Active lists the jobs whose turn it is: those that have workers, and those that are next to get them. The most important comes first: by
// priority, then those that have workers, then by their submission.
func (s *State) Active() []*Job {
	active := slices.DeleteFunc(slices.Clone(s.Jobs), func(j *Job) bool { return !j.active() })
	slices.SortStableFunc(active, inTurn)
	return active
}

func (j *Job) active() bool { return j.holds() || j.Turn }

// holds reports whether the job has workers.
func (j *Job) holds() bool { return j.held() > 0 && !j.Phase.Ended() }

// held is the number of workers in the job's newest view.
func (j *Job) held() int {
	if j.View == nil {
		return 0
	}
	return len(j.View.Members)
}

// inTurn orders jobs by whose turn comes first, if they are in the order of their submission.
func inTurn(a, b *Job) int {
	if a.Priority != b.Priority || a.holds() == b.holds() {
		return b.Priority - a.Priority
	}
	if a.holds() {
		return -1
	}
	return 1
}

// Most is the largest number of workers that the job takes.
func (j *Job) Most() int {
	switch {
	case j.Workers > 0:
		return min(j.Workers, j.Seats)
	case j.MaxWorkers > 0:
		return min(j.MaxWorkers, j.Seats)
	}
	return j.Seats
}

// least is the smallest number of workers that the job runs with.
func (j *Job) least() int { return min(max(1, j.MinWorkers, j.Least), j.Most()) }

// activate decides from the jobs and the number of workers whose turn it is, and who has to shrink or to give its workers up.
//
// The jobs take in turn as many workers as they can, but leave to running ones of their own priority what those need at least. Behind a job
// that waits for more workers than are left, no other starts or grows, so nothing delays it; only if all workers together are too few for
// it, those behind it go first. A running job for which too few are left shrinks for the sake of those before it, and is parked if it
// would have fewer than it needs.
func (s *State) activate() {
	d := division{size: s.Size, left: s.Size, free: s.Size}
	if s.Size == 0 { // not known: then the first one takes all
		d.left, d.free = math.MaxInt, math.MaxInt
	}
	var order []*Job
	for _, j := range s.Jobs {
		s.Generation = max(s.Generation, j.reached())
		j.Yields, j.Turn, j.Bound = "", false, 0
		if j.holds() {
			d.held++
			d.free -= j.held()
		}
		switch {
		case j.Phase.Ended() || j.Phase == Paused:
		case j.holds() && j.Stop: // it only saves a checkpoint, and others wait for its workers
		case j.holds() && j.Hold:
			j.Yields = "it is paused"
		default:
			order = append(order, j)
		}
	}
	slices.SortStableFunc(order, inTurn)
	for i, j := range order {
		d.take(j, order[i+1:])
	}
	if d.held == 0 && len(order) > 0 && !slices.ContainsFunc(order, (*Job).active) {
		order[0].Turn = true // all are too large: the first one says what it lacks
	}
}

// division deals the workers out to the jobs, one after the other.
type division struct {
	size    int
	left    int  // workers that the jobs before have left
	free    int  // workers that no job has
	held    int  // jobs that have some
	lacks   *Job // the first of those before that should have more workers than it has; nil: none
	blocked bool // one of those before waits for more workers than were left
}

// take gives a job its part; after are the jobs behind it.
func (d *division) take(j *Job, after []*Job) {
	need, least := 0, j.least()
	switch fits := d.left >= least && !d.blocked; {
	case fits:
		need = min(j.Most(), max(least, d.left-reserved(j, after)))
		if d.lacks != nil && need < j.Most() {
			j.Bound = need
		}
	case j.holds():
		need = d.keep(j, least)
	case d.size == 0 || d.size >= least:
		d.blocked = true
	}
	if !j.holds() && need > 0 && (d.free >= least && d.size > 0 || d.held == 0) {
		j.Turn = true
		d.free -= need
	}
	if d.left -= need; d.size == 0 && need > 0 {
		d.left = 0
	}
	if need > j.held() && d.lacks == nil {
		d.lacks = j
	}
}

// keep is what a running job keeps that does not fit any more, or is behind one that waits.
func (d *division) keep(j *Job, least int) int {
	need := min(j.held(), d.left)
	switch {
	case d.lacks == nil && d.blocked:
		j.Bound = j.held()
	case d.lacks != nil && need >= least:
		j.Bound = need
	case d.lacks != nil && d.lacks.Priority > j.Priority:
		j.Yields = fmt.Sprintf("job %s has priority %d", d.lacks.ID, d.lacks.Priority)
		return 0
	case d.lacks != nil:
		j.Yields = fmt.Sprintf("job %s comes before it", d.lacks.ID)
		return 0
	}
	d.blocked = true
	return need
}

// reserved is how many workers running jobs of the same priority behind a job need at least.
func reserved(j *Job, after []*Job) int {
	n := 0
	for _, k := range after {
		if k.Priority == j.Priority && k.holds() {
			n += k.least()
		}
	}
	return n
}

func (s *State) size(c *Size) error {
	if c.Workers < 0 {
		return fmt.Errorf("a cluster has no %d workers", c.Workers)
	}
	s.Size = c.Workers
	for _, j := range s.Jobs {
		j.Least = 0 // that was of other workers
	}
	return nil
}

func (j *Job) setLeast(c *Least) error {
	if c.Workers < 1 || c.Workers > j.Seats {
		return fmt.Errorf("job %q needs at least %d workers of 1 to %d", j.ID, c.Workers, j.Seats)
	}
	j.Least = c.Workers
	return nil
}

// mayHave checks that a view's workers are the job's to take: as many as it may have, and none that is at work for another job.
func (s *State) mayHave(j *Job, v *View) error {
	if !j.active() {
		return fmt.Errorf("view %d of job %q, but it is not the job's turn", v.Generation, j.ID)
	}
	if j.MaxWorkers > 0 && len(v.Members) > j.MaxWorkers {
		return fmt.Errorf("view %d of job %q has %d workers, max_workers is %d", v.Generation, j.ID, len(v.Members), j.MaxWorkers)
	}
	for _, k := range s.Jobs {
		if k == j || !k.holds() {
			continue
		}
		for _, m := range v.Members {
			if k.has(m.Incarnation) {
				return fmt.Errorf("view %d of job %q has worker %s, which is at work for job %q", v.Generation, j.ID, m.Worker, k.ID)
			}
		}
	}
	return nil
}
