package launch

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ringmaster/internal/client"
	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// scaleLook is the pause between two looks whether workers that are too many have lost their seats.
const scaleLook = 200 * time.Millisecond

// wish is a number of workers that a person asked for while the job runs.
type wish struct {
	job      string
	workers  int
	scalings uint64 // how often a number was asked for before and with this one
}

// takeWish notes a new wish, which the log keeps and each status tells, so it does not matter which coordinator was asked
// and who leads now. Only the newest wish counts.
func (r *run) takeWish(s *rpc.JobStatus) {
	if s.Scalings <= r.scalings || s.Wanted == 0 || s.Ended {
		return
	}
	r.scalings = s.Scalings
	w := wish{s.Job, int(s.Wanted), s.Scalings}
	for {
		select {
		case r.wishes <- w:
			return
		case <-r.wishes: // an older one that nobody has begun with
		}
	}
}

// handleWishes starts and stops workers until the number last asked for is running.
func (r *run) handleWishes(ctx context.Context) {
	client := client.New(r.cluster.Addresses())
	defer client.Close()
	for {
		select {
		case <-ctx.Done():
			return
		case w := <-r.wishes:
			if err := r.fulfil(ctx, client, w); err != nil && ctx.Err() == nil {
				r.note(err)
			}
		}
	}
}

// fulfil brings the number of workers to what was wished. Workers that are too many are stopped when they have no seats any
// more; a newer wish ends the waiting for that.
func (r *run) fulfil(ctx context.Context, client *client.Client, w wish) error {
	if missing := w.workers - r.cluster.workersAlive(); missing > 0 {
		r.o.Display.Note(fmt.Sprintf("scaling to %s: starting %d more", plural.Of(w.workers, "worker"), missing))
		return r.cluster.startMore(missing)
	}
	for r.cluster.workersAlive() > w.workers {
		answer, err := client.Status(ctx, w.job)
		if err != nil {
			return err
		}
		if answer.GetJob().GetScalings() != w.scalings || answer.GetJob().GetEnded() {
			return nil
		}
		r.cluster.stopSpare(answer.GetWorkers(), w.workers)
		if !sleep.For(ctx, scaleLook) {
			return nil
		}
	}
	return r.cluster.writeEndpoints()
}

// startMore starts n workers, under names whose processes have ended first.
func (c *Cluster) startMore(n int) error {
	for i := 1; n > 0; i++ {
		id := "w" + strconv.Itoa(i)
		if child := c.Child(id); child != nil && !child.Ended() {
			continue
		}
		if err := c.StartWorker(id); err != nil {
			return err
		}
		n--
	}
	return nil
}

// stopSpare asks workers without seats to end, the last names first, as long as more than wanted run.
func (c *Cluster) stopSpare(attached []*rpc.WorkerStatus, wanted int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	running := 0
	for _, child := range c.workers {
		if !child.Ended() && !child.dismissed.Load() {
			running++
		}
	}
	for _, child := range slices.Backward(c.workers) {
		spare := slices.ContainsFunc(attached, func(w *rpc.WorkerStatus) bool { return w.Id == child.Name && !w.Seated })
		if running <= wanted {
			return
		}
		if spare && !child.Ended() && !child.dismissed.Load() {
			child.Dismiss()
			running--
		}
	}
}
