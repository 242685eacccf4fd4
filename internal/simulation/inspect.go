package simulation

import (
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// inspect checks what must hold in every state of the log in which jobs share the workers.
func (j *judge) inspect(st *fsm.State) {
	j.mu.Lock()
	defer j.mu.Unlock()
	of := map[plan.Incarnation]string{}
	j.sharing = 0
	for _, job := range st.Jobs {
		if job.Phase.Ended() || job.View == nil {
			continue
		}
		if job.Running() {
			j.sharing++
		}
		mine := map[plan.Incarnation]string{}
		for _, v := range []*fsm.View{job.View, job.StartedView} {
			if v == nil {
				continue
			}
			for _, m := range v.Members {
				mine[m.Incarnation] = m.Worker
			}
		}
		for id, worker := range mine {
			if other := of[id]; other != "" {
				j.complain("worker %s is at work for the jobs %s and %s", worker, other, job.ID)
			}
			of[id] = job.ID
		}
		n := len(job.View.Members)
		if job.MaxWorkers > 0 && n > job.MaxWorkers {
			j.complain("job %s has %d workers, max_workers is %d", job.ID, n, job.MaxWorkers)
		}
		if job.Running() && n < job.MinWorkers && !job.Started.Halt {
			j.complain("job %s trains with %d workers, min_workers is %d", job.ID, n, job.MinWorkers)
		}
	}
	j.inspectTurns(st)
}

// inspectTurns checks who gives workers up, and for whom. It looks at the jobs' bounds and priorities alone, not at how the turns were decided.
func (j *judge) inspectTurns(st *fsm.State) {
	for _, job := range st.Jobs {
		if job.Yields == "" || job.Hold || job.Phase.Ended() {
			continue
		}
		least, lower, some := max(1, job.MinWorkers, job.Least), 0, false
		for _, k := range st.Jobs {
			switch {
			case k == job || k.Phase.Ended() || k.Phase == fsm.Paused || k.Hold || k.Stop:
			case k.Priority > job.Priority || k.Priority == job.Priority && k.View != nil:
				some = true
			case k.Priority < job.Priority && k.View != nil && k.Yields == "" && st.Size > 0 && k.Bound == 0 && len(k.View.Members) > max(1, k.MinWorkers, k.Least):
				lower += len(k.View.Members)
			}
		}
		if !some {
			j.complain("job %s yields, and no job comes before it: %s", job.ID, job.Yields)
		}
		if lower >= least {
			j.complain("job %s yields (%s), although jobs of a smaller priority have %d workers and do not shrink", job.ID, job.Yields, lower)
		}
	}
}
