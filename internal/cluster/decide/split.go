package decide

import (
	"cmp"
	"slices"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
)

// part is a job whose turn it is, and what its rules may know of the workers.
type part struct {
	job *fsm.Job
	*observations
}

// split gives each job whose turn it is, in their order, its part of the workers.
func (o *observations) split(s *fsm.State, now time.Time, t Timing) []part {
	active := s.Active()
	var of map[plan.Incarnation]*fsm.Job
	if len(active) > 1 {
		of = o.assign(active, now, t)
	}
	parts := make([]part, len(active))
	for i, j := range active {
		own := *o
		own.next = s.NextGeneration(j)
		if own.notes = o.jobs[j.ID]; own.notes == nil {
			own.notes = &notes{}
		}
		if len(active) > 1 {
			own.workers = map[plan.Incarnation]*seen{}
			for id, w := range o.workers {
				if of[id] == j || !o.alive(id, now, t) {
					own.workers[id] = w
				}
			}
		}
		parts[i] = part{j, &own}
	}
	return parts
}

// assign says for which of the jobs each worker is. A member of a job's newest view, or of a started one that this has not replaced
// yet, is that job's. The others go to the jobs in their turn, to each as many as it may have: first those that are there for it already, then
// those that are there for no job, by their ids. Who is left over stays where he is, ready to take a seat.
func (o *observations) assign(jobs []*fsm.Job, now time.Time, t Timing) map[plan.Incarnation]*fsm.Job {
	of := map[plan.Incarnation]*fsm.Job{}
	if len(jobs) < 2 {
		for id := range o.workers {
			if len(jobs) > 0 {
				of[id] = jobs[0]
			}
		}
		return of
	}
	byID, room := map[string]*fsm.Job{}, map[*fsm.Job]int{}
	member := map[plan.Incarnation]*fsm.Job{}
	for _, j := range jobs {
		byID[j.ID], room[j] = j, roomFor(j)
		for _, v := range []*fsm.View{j.StartedView, j.View} {
			if v == nil {
				continue
			}
			for _, m := range v.Members {
				member[m.Incarnation] = j
			}
		}
	}
	var free []*seen
	for id, w := range o.workers {
		j := member[id]
		if j == nil {
			j = byID[w.report.GetJob()]
		}
		of[id] = cmp.Or(j, jobs[0])
		switch {
		case !o.stays(id, now, t) || j != nil && o.useless(j, w):
		case member[id] != nil:
			room[j]--
		default:
			free = append(free, w)
		}
	}
	slices.SortFunc(free, func(a, b *seen) int { return cmp.Compare(a.report.Worker, b.report.Worker) })
	for _, j := range jobs {
		free = o.fill(j, room[j], free, byID, of)
	}
	return of
}

// roomFor is how many workers a job may have.
func roomFor(j *fsm.Job) int {
	switch {
	case j.Yields != "":
		return 0
	case j.Bound > 0:
		return j.Bound
	}
	return j.Most()
}

// fill gives a job up to that many of the free workers, and returns the others.
func (o *observations) fill(j *fsm.Job, room int, free []*seen, jobs map[string]*fsm.Job, of map[plan.Incarnation]*fsm.Job) []*seen {
	rank := func(w *seen) int {
		switch at := jobs[w.report.GetJob()]; at {
		case j:
			return 0
		case nil:
			return 1
		}
		return 2
	}
	for want := range 3 {
		free = slices.DeleteFunc(free, func(w *seen) bool {
			if room <= 0 || rank(w) != want {
				return false
			}
			room--
			of[plan.Incarnation(w.report.Incarnation)] = j
			return true
		})
	}
	return free
}

// stays reports whether a worker lives and does not want to leave.
func (o *observations) stays(id plan.Incarnation, now time.Time, t Timing) bool {
	return o.alive(id, now, t) && !o.workers[id].report.Leaving
}

// useless reports whether a worker can do nothing for a job: it failed, or its memory is too small.
func (o *observations) useless(j *fsm.Job, w *seen) bool {
	r := w.report
	if r.Job != j.ID || r.Parked != j.Parked {
		return false
	}
	return r.Phase == rpc.Phase_PHASE_FAILED || r.Phase == rpc.Phase_PHASE_PREPARING && o.limits(j, []plan.Member{member(r)})[0] == 0
}

// count notes how many workers there are.
func (o *observations) count(now time.Time, t Timing) {
	n := 0
	for id := range o.workers {
		if o.stays(id, now, t) {
			n++
		}
	}
	if n != o.counted {
		o.counted, o.countSince = n, now
	}
}

// decideSize has the log know how many workers there are, by which it decides which jobs run side by side. It waits until they have been as
// many for a while; with one job alone, or as long as no job has max_workers, nobody needs to know. So coordinators of an earlier release never
// see this command before people use what is new.
func decideSize(s *fsm.State, o *observations, now time.Time, t Timing) *Decision {
	jobs, shares := 0, s.Size > 0
	for _, j := range s.Jobs {
		if !j.Phase.Ended() && j.Phase != fsm.Paused {
			jobs++
			shares = shares || j.MaxWorkers > 0
		}
	}
	stable, attached := t.Settle, 2*t.Silence
	if s.Size == 0 { // any number is better than none
		stable, attached = t.Attach, t.Attach
	}
	if jobs < 2 && s.Size == 0 || !shares || o.counted == 0 || o.counted == s.Size || now.Sub(o.countSince) < stable || now.Sub(o.since) <= attached {
		return nil
	}
	return propose(fsm.Command{Size: &fsm.Size{Workers: o.counted}}, "the cluster has %s", plural.Of(o.counted, "worker"))
}
