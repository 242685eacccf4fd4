package decide

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// maxUnsaved bounds the list of what cannot be stored.
const maxUnsaved = 32

// unsaved is what the members of the newest view and this replica cannot store, one entry a place.
func (o *observations) unsaved(j *fsm.Job) []*rpc.Unsaved {
	var out []*rpc.Unsaved
	add := func(f *rpc.Unsaved) {
		i := slices.IndexFunc(out, func(have *rpc.Unsaved) bool { return have.Place == f.Place && have.What == f.What })
		switch {
		case i < 0 && len(out) == maxUnsaved:
		case i < 0:
			out = append(out, f)
		case out[i].SinceMs < f.SinceMs || f.Blocking && !out[i].Blocking:
			out[i] = f
		}
	}
	if j.View != nil {
		for _, m := range j.View.Members {
			if w := o.workers[m.Incarnation]; w != nil && w.connected && w.report.GetJob() == j.ID {
				for _, f := range w.report.Unsaved {
					add(f)
				}
			}
		}
	}
	for _, f := range o.own {
		add(f)
	}
	slices.SortStableFunc(out, func(a, b *rpc.Unsaved) int { return strings.Compare(a.Place, b.Place) })
	return out
}

// blocked is what keeps the checkpoint at a step from being stored; nil if it is only on its way, or others do not answer.
func (o *observations) blocked(j *fsm.Job, step uint64) []*rpc.Unsaved {
	all := slices.DeleteFunc(o.unsaved(j), func(f *rpc.Unsaved) bool { return f.Step != step || !f.Blocking })
	if !slices.ContainsFunc(all, func(f *rpc.Unsaved) bool { return !f.Away }) {
		return nil
	}
	return all
}

// impatient reports whether the end of a job has waited long enough for what cannot be stored.
func (o *observations) impatient(j *fsm.Job, out *rpc.Outcome, blocked []*rpc.Unsaved, now time.Time, t Timing) bool {
	bound := t.Unsaved
	if !out.Complete {
		bound = t.UnsavedStop
	}
	waited, failing := time.Duration(0), time.Duration(0)
	for _, m := range j.View.Members {
		if w := o.workers[m.Incarnation]; w != nil && !w.savingSince.IsZero() {
			waited = max(waited, now.Sub(w.savingSince))
		}
	}
	for _, f := range blocked {
		failing = max(failing, time.Duration(f.SinceMs)*time.Millisecond)
	}
	return waited >= bound && failing >= bound
}

// endUnsaved ends a job whose last checkpoint cannot be stored as it should be. First it is stored on those replicas that can, if any.
func (o *observations) endUnsaved(j *fsm.Job, out *rpc.Outcome, blocked []*rpc.Unsaved) *Decision {
	if !saved(j, out) {
		some := func(holders []string) bool { return len(holders) > 0 }
		if d := o.commit(j, out.Step, some); d != nil {
			return d
		}
	}
	left := "there is no checkpoint to go on from"
	switch c := j.Newest(); {
	case c == nil:
	case saved(j, out):
		left = fmt.Sprintf("fewer coordinators than usual hold the checkpoint at step %d", c.Step)
	default:
		left = fmt.Sprintf("the newest checkpoint is the one at step %d", c.Step)
	}
	message := fmt.Sprintf("%s; %s; make room there and resume", describeUnsaved(blocked), left)
	if out.Complete {
		return fail(j, "%s", message)
	}
	return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.View.Generation, Phase: fsm.Interrupted, Error: message}}, "%s", message)
}

// describeUnsaved says in one line who cannot store what.
func describeUnsaved(facts []*rpc.Unsaved) string {
	var parts []string
	for _, f := range facts {
		parts = append(parts, f.Sentence())
	}
	return strings.Join(parts, "; ")
}

func saved(j *fsm.Job, out *rpc.Outcome) bool {
	return slices.ContainsFunc(j.Checkpoints, func(c fsm.Checkpoint) bool {
		return c.Step == out.Step && c.Generation == j.View.Generation
	})
}

// unkept reports whether this replica is the only one and does not hold a committed checkpoint yet: the log has it, but nobody
// could resume from it.
func (o *observations) unkept(j *fsm.Job, out *rpc.Outcome) bool {
	return len(o.voters) == 1 && o.lacksNewest[j.ID] && saved(j, out)
}

// noteSaving notes since when a worker has only the last checkpoint left to store.
func (w *seen) noteSaving(r *rpc.Report, now time.Time) {
	switch {
	case r.Outcome == nil:
		w.savingSince = time.Time{}
	case w.savingSince.IsZero() || plan.Generation(r.Outcome.Generation) != plan.Generation(w.report.GetOutcome().GetGeneration()):
		w.savingSince = now
	}
}
