package decide

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// decideFailure ends the job when a worker that belongs to it cannot go on.
func decideFailure(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	for _, w := range o.sorted(now, t) {
		r := w.report
		if r.Job != j.ID || r.Parked != j.Parked || r.Phase != rpc.Phase_PHASE_FAILED {
			continue
		}
		// A worker that only wants to join does not end a job that runs without it. But if all are to resume from a checkpoint that was
		// made with another configuration, none can.
		if j.View == nil || seated(j.View, plan.Incarnation(r.Incarnation)) || r.ConfigDiffers && o.restore(j, now, t) {
			return fail(j, "%s", r.Failure)
		}
	}
	return nil
}

// decideData takes the fingerprint of the first worker that has read the data, where the submitter had none.
func decideData(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	if len(j.Fingerprint) != 0 {
		return nil
	}
	for _, w := range o.sorted(now, t) {
		if r := w.report; r.Job == j.ID && len(r.Fingerprint) != 0 {
			files := make([]fsm.DataFile, len(r.Files))
			for i, f := range r.Files {
				files[i] = fsm.DataFile{Name: f.Name, SHA256: f.Sha256}
			}
			return propose(fsm.Command{Data: &fsm.Data{Job: j.ID, Fingerprint: r.Fingerprint, Files: files}},
				"data fingerprint taken from worker %s on %s", r.Worker, r.Host)
		}
	}
	return nil
}

// members calls do for those members of the newest view whose newest report is of its generation.
func (o *observations) members(j *fsm.Job, do func(*rpc.Report) *Decision) *Decision {
	if j.View == nil {
		return nil
	}
	for _, m := range j.View.Members {
		if w := o.workers[m.Incarnation]; w != nil && plan.Generation(w.report.Generation) == j.View.Generation {
			if d := do(w.report); d != nil {
				return d
			}
		}
	}
	return nil
}

// decideEpoch records the next epoch, also from a view that waits for its start: workers that take over a state in that view
// have not seen the earlier epochs end.
func decideEpoch(j *fsm.Job, o *observations, _ time.Time, _ Timing) *Decision {
	return o.members(j, func(r *rpc.Report) *Decision {
		for _, e := range r.Epochs {
			if int(e.Epoch) != len(j.Epochs)+1 { // recorded already, or an earlier one is still missing
				continue
			}
			return propose(fsm.Command{Epoch: &fsm.Epoch{Job: j.ID, Generation: j.View.Generation, Epoch: int(e.Epoch), Step: e.Step,
				TrainLoss: e.TrainLoss, HasEval: e.HasEval, EvalLoss: e.EvalLoss, EvalAccuracy: e.EvalAccuracy, EvalCount: e.EvalCount, Metrics: e.Metrics}},
				"epoch %d is complete", e.Epoch)
		}
		return nil
	})
}

// durable reports whether a file on these replicas survives the loss of as many voters as the cluster itself survives. A
// majority of the voters of one change ago is always enough for that, so a share that was stored while a replica came or
// left counts.
func (o *observations) durable(holders []string) bool {
	held := 0
	for _, id := range o.voters {
		if slices.Contains(holders, id) {
			held++
		}
	}
	return held > (len(o.voters)-1)/2
}

// decideCheckpoint commits a checkpoint whose shares are all stored with enough of the coordinators.
func decideCheckpoint(j *fsm.Job, o *observations, _ time.Time, _ Timing) *Decision {
	return o.commit(j, 0, o.durable)
}

// commit proposes the newest checkpoint at or after the step from whose shares are all stored durably.
func (o *observations) commit(j *fsm.Job, from uint64, enough func(holders []string) bool) *Decision {
	shares := map[uint64]map[uint32]*rpc.ShareFact{}
	o.members(j, func(r *rpc.Report) *Decision {
		for _, f := range r.Shares {
			if plan.Generation(f.Generation) != j.View.Generation || committed(j, f.Step, f.Generation) || !ownShare(j, r, f) || !enough(f.Holders) || f.Step < from {
				continue
			}
			if shares[f.Step] == nil {
				shares[f.Step] = map[uint32]*rpc.ShareFact{}
			}
			shares[f.Step][f.Share] = f
		}
		return nil
	})
	var whole []*rpc.ShareFact
	for _, byShare := range shares {
		facts := make([]*rpc.ShareFact, 0, len(byShare))
		for _, f := range byShare {
			facts = append(facts, f)
		}
		// If several are complete, the newest wins.
		if len(facts) == int(facts[0].Shares) && (whole == nil || facts[0].Step > whole[0].Step) {
			whole = facts
		}
	}
	if whole == nil {
		return nil
	}
	slices.SortFunc(whole, func(a, b *rpc.ShareFact) int { return cmp.Compare(a.Share, b.Share) })
	for _, f := range whole {
		if !bytes.Equal(f.StateDigest, whole[0].StateDigest) {
			return fail(j, "workers disagree about the state at step %d while saving it: one of them computes wrong; check their memory and CPU", f.Step)
		}
	}
	c, err := o.describe(j, whole)
	if err != nil {
		return fail(j, "describe the checkpoint at step %d: %v", whole[0].Step, err)
	}
	return propose(fsm.Command{Checkpoint: &c}, "checkpoint at step %d is stored", c.Step)
}

// ownShare reports whether a share's file is one that the worker's seats write.
func ownShare(j *fsm.Job, r *rpc.Report, f *rpc.ShareFact) bool {
	seat, ok := checkpoint.SeatOf(f.File.GetName(), j.Seats)
	return ok && slices.ContainsFunc(j.View.Members, func(m plan.Member) bool {
		return m.Incarnation == plan.Incarnation(r.Incarnation) && m.Arc.Contains(seat)
	})
}

func committed(j *fsm.Job, step, generation uint64) bool {
	return slices.ContainsFunc(j.Checkpoints, func(c fsm.Checkpoint) bool {
		return c.Step > step || (c.Step == step && uint64(c.Generation) == generation)
	})
}

func decideRetire(j *fsm.Job, _ *observations, _ time.Time, _ Timing) *Decision {
	c := j.Surplus()
	if c == nil {
		return nil
	}
	also := ""
	if j.KeepBest != nil {
		also = ", and the best"
	}
	return propose(fsm.Command{Retire: &fsm.Retire{Job: j.ID, Step: c.Step, Generation: c.Generation}},
		"checkpoint at step %d is retired: the newest %d are kept%s", c.Step, j.Keep, also)
}

// decideFinish ends the job when its last checkpoint is committed; its epochs are recorded by then.
func decideFinish(j *fsm.Job, o *observations, now time.Time, t Timing) *Decision {
	return o.members(j, func(r *rpc.Report) *Decision {
		out := r.Outcome
		if out == nil || plan.Generation(out.Generation) != j.View.Generation {
			return nil
		}
		blocked := o.blocked(j, out.Step)
		switch {
		case len(blocked) > 0 && (out.Complete || j.Stop) && o.impatient(j, out, blocked, now, t):
			return o.endUnsaved(j, out, blocked)
		case len(blocked) > 0 || !saved(j, out) || o.unkept(j, out):
			return waitFor("saving the checkpoint at step %d", out.Step)
		}
		phase := fsm.Interrupted
		switch {
		case out.Complete:
			phase = fsm.Done
		case !j.Stop:
			return park(j)
		}
		return propose(fsm.Command{Finish: &fsm.Outcome{Job: j.ID, Generation: j.View.Generation, Phase: phase, Reason: out.Reason, Step: out.Step,
			Digest: out.Digest, StateDigest: out.StateDigest, TrainLoss: out.TrainLoss,
			HasEval: out.HasEval, EvalLoss: out.EvalLoss, EvalAccuracy: out.EvalAccuracy, Metrics: out.Metrics}}, "job %s at step %d%s", phase, out.Step, because(out.Reason))
	})
}

// because is a reason behind what it is of.
func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// park takes the workers from a job.
func park(j *fsm.Job) *Decision {
	left := "it has no checkpoint yet"
	if c := j.Newest(); c != nil {
		left = fmt.Sprintf("it goes on from step %d", c.Step)
	}
	return propose(fsm.Command{Park: &fsm.Park{Job: j.ID, Generation: j.View.Generation}}, "the job gives its workers up%s; %s", because(j.Yields), left)
}
