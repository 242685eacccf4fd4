package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"sync/atomic"

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
//  8. once the faults are over, every coordinator, also one that came meanwhile, holds every checkpoint of the log whole, each of
//     the job that the log says, and no folder that no job needs (members.go, incomplete);
//  9. no two jobs use one generation, jobs that nobody steers and that do not share workers run in the order of their submission, and each
//     keeps a checkpoint of its end;
//  10. no worker is in views of two jobs, or in one while the started view of another that has not replaced it may still be at work;
//  11. no view has more workers than max_workers, and none is started with fewer than min_workers, except to save a checkpoint and stop;
//  12. a job yields only to one that comes before it, and none gives workers up that fit beside the others (inspect).
type judge struct {
	mu       sync.Mutex
	problems []string
	trainers map[plan.Incarnation]*trainer.Trainer
	states   map[string]map[uint64]string // state digest after each step, by job
	highest  map[plan.Generation]uint64
	fenced   map[plan.Generation]uint64 // highest step when the first member of that generation was fenced
	members  map[plan.Generation]map[plan.Incarnation]bool
	views    map[plan.Generation]string
	acked    []fsm.Command
	steps    int
	beside   int             // steps finished while another job had a started view
	sharing  int             // jobs that had a started view when a command was acknowledged last
	called   map[string]bool // jobs that people have cancelled

	heard atomic.Pointer[func(fsm.Command)] // called after an acknowledgment, before the leader goes on; may be nil
}

func newJudge() *judge {
	return &judge{trainers: map[plan.Incarnation]*trainer.Trainer{}, states: map[string]map[uint64]string{}, highest: map[plan.Generation]uint64{},
		fenced: map[plan.Generation]uint64{}, members: map[plan.Generation]map[plan.Incarnation]bool{}, views: map[plan.Generation]string{}, called: map[string]bool{}}
}

// cancels notes that a person cancels a job.
func (j *judge) cancels(job string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.called[job] = true
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
func (j *judge) finished(m plan.Member, job string, g plan.Generation, step uint64) {
	j.mu.Lock()
	t := j.trainers[m.Incarnation]
	j.mu.Unlock()
	s := t.State()
	digest := checkpoint.StateDigest(&s).String()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.steps++
	if j.sharing > 1 {
		j.beside++
	}
	if s.Step != step {
		j.complain("worker %s says step %d, its state is at %d", m.Worker, step, s.Step)
	}
	if j.states[job] == nil {
		j.states[job] = map[uint64]string{}
	}
	if old, ok := j.states[job][step]; ok && old != digest {
		j.complain("job %s: after step %d worker %s in generation %d holds state %s, others %s", job, step, m.Worker, g, digest[:12], old[:12])
	}
	j.states[job][step] = digest
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

// verdict looks at the state at the end and returns all that was wrong. trials are the jobs in the order of their submission.
func (j *judge) verdict(st *fsm.State, trials ...Trial) []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.acked {
		if st.Ended(jobOf(c)) != nil {
			continue // a line is left of it
		}
		if job := st.Job(jobOf(c)); c.Found == nil && c.Size == nil && (job == nil || !kept(job, c)) {
			text, _ := json.Marshal(c)
			j.complain("acknowledged and lost: %.300s", text)
		}
	}
	jobs := all(st)
	if len(jobs) != len(trials) {
		j.complain("%d jobs are in the log, %d were submitted", len(jobs), len(trials))
		return j.problems
	}
	for i, job := range jobs {
		j.judgeJob(job, trials[i])
	}
	j.judgeGenerations(jobs, st.Size > 0)
	return j.problems
}

// judgeGenerations checks which job used which generation. shared: jobs may have run side by side.
func (j *judge) judgeGenerations(jobs []*fsm.Job, shared bool) {
	used, last, steered := map[plan.Generation]string{}, plan.Generation(0), shared
	for _, job := range jobs {
		steered = steered || job.Parked > 0 || job.Priority != 0
	}
	for _, job := range jobs {
		for _, v := range job.Views {
			if other := used[v.Generation]; other != "" {
				j.complain("generation %d is of job %s and of job %s", v.Generation, other, job.ID)
			}
			used[v.Generation] = job.ID
		}
		if n := len(job.Views); n > 0 && !steered {
			if job.Views[0].Generation <= last {
				j.complain("job %s begins with generation %d, the one before it ended with %d", job.ID, job.Views[0].Generation, last)
			}
			last = job.Views[n-1].Generation
		}
	}
}

// all are the jobs of the log in the order in which they ran, those of which a line is left with what that says.
func all(st *fsm.State) []*fsm.Job {
	var jobs []*fsm.Job
	for _, e := range st.Past {
		job := &fsm.Job{ID: e.ID, Incarnation: e.Incarnation, Phase: e.Phase, Error: e.Error, Generation: e.Generation, Outcome: e.Outcome, Checkpoints: e.Checkpoints}
		for i := range e.Epochs {
			job.Epochs = append(job.Epochs, fsm.Epoch{Epoch: i + 1})
		}
		jobs = append(jobs, job)
	}
	return append(jobs, st.Jobs...)
}

func (j *judge) judgeJob(job *fsm.Job, t Trial) {
	for i, e := range job.Epochs {
		if e.Epoch != i+1 {
			j.complain("job %s: epoch %d is in the log as number %d", job.ID, e.Epoch, i+1)
		}
	}
	if job.Phase == fsm.Cancelled && j.called[job.ID] {
		return
	}
	if job.Phase != fsm.Done {
		j.complain("job %s is %s: %s", job.ID, job.Phase, job.Error)
		return
	}
	if n := int(t.Plan.Steps) / t.Plan.PerPass; len(job.Epochs) != n {
		j.complain("job %s: %d epochs are in the log at the end, not %d", job.ID, len(job.Epochs), n)
	}
	if got := fmt.Sprintf("%x", job.Outcome.StateDigest); got != t.Reference {
		j.complain("job %s: state digest %s at the end, %s without faults", job.ID, got[:12], t.Reference[:12])
	}
	if n := len(job.Checkpoints); n == 0 || job.Checkpoints[n-1].Step != job.Outcome.Step || t.Plan.Job.Checkpoint.KeepLast > 0 && n > t.Plan.Job.Checkpoint.KeepLast {
		j.complain("job %s keeps %d checkpoints, none of them of its end or more than keep_last %d", job.ID, n, t.Plan.Job.Checkpoint.KeepLast)
	}
}

// jobOf is the id of the job that a command is about.
func jobOf(c fsm.Command) string {
	switch {
	case c.Submit != nil:
		return c.Submit.ID
	case c.Data != nil:
		return c.Data.Job
	case c.View != nil:
		return c.View.Job
	case c.Start != nil:
		return c.Start.Job
	case c.Epoch != nil:
		return c.Epoch.Job
	case c.Checkpoint != nil:
		return c.Checkpoint.Job
	case c.Retire != nil:
		return c.Retire.Job
	case c.Finish != nil:
		return c.Finish.Job
	case c.Pause != nil:
		return c.Pause.Job
	case c.Resume != nil:
		return c.Resume.Job
	case c.Prioritize != nil:
		return c.Prioritize.Job
	case c.Park != nil:
		return c.Park.Job
	case c.Save != nil:
		return c.Save.Job
	case c.Least != nil:
		return c.Least.Job
	case c.Cancel != nil:
		return c.Cancel.Job
	}
	return ""
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
		newer := 0
		for _, k := range job.Checkpoints {
			if k.Step == c.Checkpoint.Step && bytes.Equal(k.Digest, c.Checkpoint.Digest) {
				return true
			}
			if k.Step > c.Checkpoint.Step {
				newer++
			}
		}
		return job.Keep > 0 && newer >= job.Keep // retired
	case c.Finish != nil:
		return job.Phase == c.Finish.Phase
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
		w.Read(w.judge.inspect)
		if heard := w.judge.heard.Load(); heard != nil {
			(*heard)(c)
		}
	}
	return err
}
