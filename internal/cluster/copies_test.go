package cluster

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
)

// memoryBucket is a bucket that may be away.
type memoryBucket struct {
	away bool
	held []checkpoint.Name
}

var errAway = errors.New("nobody answers")

func (b *memoryBucket) Push(_ context.Context, _ *checkpoint.Store, n checkpoint.Name) error {
	if b.away {
		return errors.Join(errAway)
	}
	if !slices.Contains(b.held, n) {
		b.held = append(b.held, n)
	}
	return nil
}

func (b *memoryBucket) Held(context.Context) ([]checkpoint.Name, error) {
	if b.away {
		return nil, errAway
	}
	return slices.Clone(b.held), nil
}

func (b *memoryBucket) Retire(_ context.Context, n checkpoint.Name) error {
	b.held = slices.DeleteFunc(b.held, func(h checkpoint.Name) bool { return h == n })
	return nil
}

// steps are those of what the bucket holds, ascending.
func (b *memoryBucket) steps() (steps []uint64) {
	for _, n := range b.held {
		steps = append(steps, n.Step)
	}
	slices.Sort(steps)
	return steps
}

// A leader copies what the log has committed and is whole here, keeps what the log keeps, and deletes nothing while the newest is missing.
func TestCopiesFollowTheLog(t *testing.T) {
	const job = plan.Incarnation(7)
	name := func(step uint64) checkpoint.Name { return checkpoint.Name{Step: step, Generation: 1, Job: job} }
	of := func(steps ...uint64) (all []fsm.Checkpoint) {
		for _, step := range steps {
			all = append(all, fsm.Checkpoint{Step: step, Generation: 1, Directory: name(step).Folder()})
		}
		return all
	}
	s := leader(t)
	bucket := &memoryBucket{}
	s.cfg.OpenBucket = func(string) (Bucket, error) { return bucket, nil }
	j := &fsm.Job{ID: "j", Incarnation: job, Generation: 1, Keep: 2, Config: []byte(twoSeats + "checkpoint: {copy_to: s3://b/p}\n")}
	c := &copier{s: s}
	turn := func(steps ...uint64) {
		j.Checkpoints = of(steps...)
		for _, f := range c.failed {
			f.next = time.Time{}
		}
		for _, w := range c.wanted(&fsm.State{Jobs: []*fsm.Job{j}}) {
			c.serve(t.Context(), w)
		}
		c.tell()
	}
	whole := func(steps ...uint64) {
		for _, step := range steps {
			s.holds.Store(name(step).Folder(), true)
		}
	}
	expect := func(what string, settled bool, steps ...uint64) {
		t.Helper()
		if !slices.Equal(bucket.steps(), steps) || s.settledAt(j) != settled {
			t.Errorf("%s: the bucket holds %v, settled %v; want %v, %v", what, bucket.steps(), s.settledAt(j), steps, settled)
		}
	}
	other := checkpoint.Name{Step: 1, Generation: 1, Job: 99}
	bucket.held = []checkpoint.Name{other}
	turn(10)
	expect("before the files are whole here", false, 1)
	whole(10, 20, 30)
	turn(10, 20)
	expect("two checkpoints", true, 1, 10, 20)
	bucket.away = true
	turn(20, 30)
	expect("while it is away", false, 1, 10, 20)
	if u := s.unsaved.list(time.Now()); len(u) != 1 || u[0].Sentence() != "coordinator c1 cannot store the checkpoint at step 30 in s3://b/p: nobody answers" || u[0].Blocking {
		t.Errorf("the status says %v", u)
	}
	if !slices.Contains(bucket.steps(), 10) {
		t.Error("the older copy is gone although the newest is not there")
	}
	bucket.away = false
	turn(20, 30)
	expect("when it answers again", true, 1, 20, 30)
	if u := s.unsaved.list(time.Now()); len(u) != 0 {
		t.Errorf("the status still says %v", u)
	}
	// Another leader finds what is there, and finishes what was begun.
	bucket.held = append(bucket.held, name(5), checkpoint.Name{Step: 20, Generation: 1, Job: 3}, checkpoint.Name{Step: 2, Generation: 1, Job: 3})
	j.Earlier = []string{checkpoint.Name{Step: 4, Generation: 1, Job: 3}.Folder()}
	c.forget()
	if s.settledAt(j) {
		t.Error("a leader believes what another one found")
	}
	turn(20, 30)
	expect("after another leader's turn", true, 1, 20, 20, 30)
}
