package fsm

import (
	"fmt"
	"slices"

	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
)

// MaxPriority bounds a job's priority on either side of 0.
const MaxPriority = 1000

// Pause asks a job to save a checkpoint, to give its workers up and to wait until it is resumed.
type Pause struct {
	Job string `json:"job"`
}

// Resume lets a paused job take its turn again.
type Resume struct {
	Job string `json:"job"`
}

// Cancel ends a job at once. Its checkpoints stay.
type Cancel struct {
	Job string `json:"job"`
}

// Prioritize sets a job's priority: the larger it is, the sooner comes the job's turn. A running job of a smaller one is parked.
type Prioritize struct {
	Job      string `json:"job"`
	Priority int    `json:"priority"`
}

// Park takes the workers from a job whose newest checkpoint holds all that it did. It goes on from there when its turn comes.
type Park struct {
	Job        string          `json:"job"`
	Generation plan.Generation `json:"generation"` // of its newest view
}

// Save asks a job for a checkpoint at its next step boundary; it goes on meanwhile.
type Save struct {
	Job        string          `json:"job"`
	Generation plan.Generation `json:"generation"` // the view whose workers
	Step       uint64          `json:"step"`       // had done this step
}

// Shown is the job that people mean who name none: the first of those whose turn it is, else the one submitted last of those that are paused, else of
// all. nil where there is none.
func (s *State) Shown() *Job {
	if active := s.Active(); len(active) > 0 {
		return active[0]
	}
	for _, j := range slices.Backward(s.Jobs) {
		if j.Phase == Paused {
			return j
		}
	}
	return s.Newest()
}

// Queue lists the jobs that wait for their turn, the next one first; those of Active are not among them.
func (s *State) Queue() []*Job {
	waiting := slices.DeleteFunc(slices.Clone(s.Jobs), func(j *Job) bool { return j.Phase != Waiting || j.active() })
	slices.SortStableFunc(waiting, inTurn)
	return waiting
}

// Halts reports whether the job is to save a checkpoint after its next step and train no further.
func (j *Job) Halts() bool { return j.Stop || j.Yields != "" }

func (j *Job) stop() error {
	if !j.active() {
		j.end(Interrupted, "stopped while it waited for its turn")
		return nil
	}
	j.Stop = true
	return nil
}

func (j *Job) pause() error {
	if j.Stop {
		return fmt.Errorf("job %q is being stopped", j.ID)
	}
	j.Hold = true
	if j.View == nil {
		j.Phase = Paused
	}
	return nil
}

func (j *Job) resume() error {
	j.Hold = false
	if j.Phase == Paused {
		j.Phase = Waiting
	}
	return nil
}

func (j *Job) prioritize(c *Prioritize) error {
	if c.Priority < -MaxPriority || c.Priority > MaxPriority {
		return fmt.Errorf("priority %d: it must be %d to %d", c.Priority, -MaxPriority, MaxPriority)
	}
	j.Priority = c.Priority
	return nil
}

// save notes from which step on a checkpoint is wanted. What the proposer saw of an older view does not count: its steps may be done again.
func (j *Job) save(c *Save) error {
	if j.View == nil || j.Started == nil {
		saved := "nothing is to be saved yet"
		if n := j.Newest(); n != nil {
			saved = fmt.Sprintf("its newest checkpoint is the one at step %d", n.Step)
		}
		return fmt.Errorf("job %q has no workers that train it now; %s", j.ID, saved)
	}
	from := j.Started.Step + 1
	if c.Generation == j.Started.Generation {
		from = max(from, c.Step+1)
	}
	j.SaveFrom = max(j.SaveFrom, from)
	return nil
}

func (j *Job) park(c *Park) error {
	if j.View == nil || c.Generation != j.View.Generation {
		return fmt.Errorf("view %d of job %q gives its workers up, the job is at %d", c.Generation, j.ID, j.Generation)
	}
	if j.Stop {
		return fmt.Errorf("job %q is being stopped", j.ID)
	}
	j.View, j.Started, j.StartedView, j.Phase = nil, nil, nil, Waiting
	j.SaveFrom = 0 // its newest checkpoint holds all that it did
	j.Parked++
	if j.Hold {
		j.Phase = Paused
	}
	return nil
}

// end ends a job that has no final state: its newest checkpoint is the result.
func (j *Job) end(phase Phase, reason string) {
	if c := j.Newest(); c != nil {
		reason += fmt.Sprintf("; its newest checkpoint is the one at step %d", c.Step)
	}
	j.Outcome = &Outcome{Job: j.ID, Generation: j.Generation, Phase: phase, Reason: reason, Step: j.Step()}
	j.Phase, j.SaveFrom = phase, 0
}

// mayQueue checks that another job may be submitted.
func (s *State) mayQueue() error {
	queued := 0
	for _, j := range s.Jobs {
		if !j.Phase.Ended() {
			queued++
		}
	}
	if queued > maxQueued {
		return fmt.Errorf("%s wait already; submit this one when some of them have ended", plural.Of(maxQueued, "job"))
	}
	return nil
}
