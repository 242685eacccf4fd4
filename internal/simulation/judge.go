package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// judge checks, while the cluster lives, what must always hold:
//
//  1. one view a generation: no two replicas ever acknowledge different ones;
//  2. all workers that finish step t hold one state digest;
//  3. a ring finishes at most one step after one of its members is fenced, that is, has reported to a newer generation;
//  4. facts enter the log once and from the generation started last (every accepted fact is checked against the state);
//  5. what was acknowledged is in the state at the end, and every epoch;
//  6. a view's arcs cover every seat once, so every sample of a step that counts is used once;
//  7. at the end the digest is that of an undisturbed run, and the job does end;
//  8. once the faults are over, every coordinator, also one that came meanwhile, holds every checkpoint of the log.
type judge struct {
	plan *trainer.Plan

	mu       sync.Mutex
	problems []string
	trainers map[plan.Incarnation]*trainer.Trainer
	states   map[uint64]string // state digest after each step
	highest  map[plan.Generation]uint64
	fenced   map[plan.Generation]uint64 // highest step when the first member of that generation was fenced
	members  map[plan.Generation]map[plan.Incarnation]bool
	views    map[plan.Generation]string
	acked    []fsm.Command
	steps    int
}

func newJudge(p *trainer.Plan) *judge {
	return &judge{plan: p, trainers: map[plan.Incarnation]*trainer.Trainer{}, states: map[uint64]string{}, highest: map[plan.Generation]uint64{},
		fenced: map[plan.Generation]uint64{}, members: map[plan.Generation]map[plan.Incarnation]bool{}, views: map[plan.Generation]string{}}
}

func (j *judge) complain(format string, args ...any) {
	if len(j.problems) < 20 {
		j.problems = append(j.problems, fmt.Sprintf(format, args...))
	}
}

// begin notes the trainer of a worker's process.
func (j *judge) begin(id plan.Incarnation, t *trainer.Trainer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trainers[id] = t
}

// finished is called by a worker's step loop when it has applied a step.
func (j *judge) finished(m plan.Member, g plan.Generation, step uint64) {
	j.mu.Lock()
	t := j.trainers[m.Incarnation]
	j.mu.Unlock()
	s := t.State()
	digest := checkpoint.StateDigest(&s).String()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps++
	if s.Step != step {
		j.complain("worker %s says step %d, its state is at %d", m.Worker, step, s.Step)
	}
	if old, ok := j.states[step]; ok && old != digest {
		j.complain("after step %d worker %s in generation %d holds state %s, others %s", step, m.Worker, g, digest[:12], old[:12])
	}
	j.states[step] = digest
	j.highest[g] = max(j.highest[g], step)
	if at, ok := j.fenced[g]; ok && step > at+1 {
		j.complain("generation %d finished step %d although a member was fenced when it had reached %d", g, step, at)
	}
}

// reported is called when a worker sends a report: one that answers to a newer view has ended its older sessions.
func (j *judge) reported(m plan.Member, r *rpc.Report) {
	if r.Phase == rpc.Phase_PHASE_TRAINING {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for g, members := range j.members {
		if _, done := j.fenced[g]; !done && g < plan.Generation(r.Generation) && members[m.Incarnation] {
			j.fenced[g] = j.highest[g]
		}
	}
}

// acknowledged notes a command that a replica said is done.
func (j *judge) acknowledged(replica string, c fsm.Command) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.acked = append(j.acked, c)
	if c.View == nil {
		return
	}
	v := c.View.View
	if err := v.Validate(); err != nil {
		j.complain("%s acknowledged a view that does not cover the seats: %v", replica, err)
	}
	text, _ := json.Marshal(v.View)
	if old, ok := j.views[v.Generation]; ok && old != string(text) {
		j.complain("generation %d has two views: %s and %s", v.Generation, old, text)
	}
	j.views[v.Generation] = string(text)
	j.members[v.Generation] = map[plan.Incarnation]bool{}
	for _, m := range v.Members {
		j.members[v.Generation][m.Incarnation] = true
	}
}

// verdict looks at the state at the end and returns all that was wrong.
func (j *judge) verdict(st *fsm.State, reference string) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	job := st.Newest()
	for _, c := range j.acked {
		if !kept(job, c) {
			text, _ := json.Marshal(c)
			j.complain("acknowledged and lost: %.300s", text)
		}
	}
	for i, e := range job.Epochs {
		if e.Epoch != i+1 {
			j.complain("epoch %d stands in the log as number %d", e.Epoch, i+1)
		}
	}
	if n := int(j.plan.Steps) / j.plan.PerPass; job.Phase == fsm.Done && len(job.Epochs) != n {
		j.complain("%d epochs stand in the log at the end, not %d", len(job.Epochs), n)
	}
	if job.Phase != fsm.Done {
		j.complain("the job is %s: %s", job.Phase, job.Error)
	} else if got := fmt.Sprintf("%x", job.Outcome.StateDigest); got != reference {
		j.complain("state digest %s at the end, %s without faults", got[:12], reference[:12])
	}
	return j.problems
}

func kept(job *fsm.Job, c fsm.Command) bool {
	switch {
	case c.View != nil:
		for _, v := range job.Views {
			if v.Generation == c.View.View.Generation {
				return v.Workers == len(c.View.View.Members)
			}
		}
		return false
	case c.Start != nil:
		for _, v := range job.Views {
			if v.Generation == c.Start.Generation {
				return v.Started && v.Step == c.Start.Step
			}
		}
		return false
	case c.Epoch != nil:
		return c.Epoch.Epoch <= len(job.Epochs)
	case c.Checkpoint != nil:
		for _, k := range job.Checkpoints {
			if k.Step == c.Checkpoint.Step && bytes.Equal(k.Digest, c.Checkpoint.Digest) {
				return true
			}
		}
		for _, k := range job.Retired {
			if k.Step == c.Checkpoint.Step {
				return true
			}
		}
		return false
	}
	return true
}

// witness is a replica's log that tells the judge of what it acknowledges.
type witness struct {
	*cluster.Replicated
	judge *judge
	id    string
}

// Propose passes on and tells.
func (w *witness) Propose(ctx context.Context, c fsm.Command) error {
	err := w.Replicated.Propose(ctx, c)
	if err == nil {
		w.judge.acknowledged(w.id, c)
	}
	return err
}
