package launch

import (
	"context"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"ringmaster/internal/sleep"
)

// How a coordinator that ended is started again.
const (
	reviveSoon  = 300 * time.Millisecond // when the others are no majority
	reviveLater = 5 * time.Second        // when they are: nothing waits for it
	reviveLook  = 100 * time.Millisecond // between two looks whether they still are
	reviveMost  = 3                      // times in a row after it ended by itself right away
	reviveBrief = 5 * time.Second        // a life shorter than this was no life
)

// handleFallen decides what the unexpected end of a process means. Coordinators continue from what is on their disks, so they
// are started again. Workers are not: the others share the seats of a lost one, and who wants another asks for it
// (ringmaster scale). The launch ends only when nothing is left that could take the job further.
func (r *run) handleFallen(ctx context.Context, cancel context.CancelCauseFunc) {
	brief := map[string]int{}
	for {
		select {
		case <-ctx.Done():
			return
		case child := <-r.cluster.Fallen():
			var err error
			if child.coordinator {
				err = r.coordinatorFell(ctx, child, brief)
			} else {
				err = r.workerFell(child)
			}
			if err != nil {
				cancel(err)
				return
			}
		}
	}
}

// workerFell is nil when the job goes on, or waits for workers that a person brings.
func (r *run) workerFell(child *Child) error {
	r.o.Display.Note(child.Failure().Error())
	if r.cluster.workersAlive() > 0 {
		return nil
	}
	if child.failed() {
		return fmt.Errorf("%w; no worker is left; --resume goes on from the newest checkpoint%s", child.Failure(), child.remedy())
	}
	r.o.Display.Note(fmt.Sprintf("no worker is left: the job waits for workers; ringmaster scale --workers N --dir %s starts some%s", r.dir, child.remedy()))
	return nil
}

// coordinatorFell starts the coordinator again after a pause, unless it has been of no use several times.
func (r *run) coordinatorFell(ctx context.Context, child *Child, brief map[string]int) error {
	if child.failed() && time.Since(child.began) < reviveBrief {
		brief[child.Name]++
	} else {
		brief[child.Name] = 0
	}
	if brief[child.Name] >= reviveMost {
		if !r.cluster.quorate() {
			return fmt.Errorf("%w; too few coordinators are left; --resume goes on from the newest checkpoint", child.Failure())
		}
		r.o.Display.Note(child.Failure().Error())
		return nil
	}
	r.o.Display.Note(child.Failure().Error() + "; it is started again")
	r.helpers.Go(func() {
		if r.awaitRevival(ctx) {
			r.note(r.cluster.StartCoordinator(child.Name))
		}
	})
	return nil
}

// awaitRevival waits until it is time to start a coordinator again; false when the launch is over.
func (r *run) awaitRevival(ctx context.Context) bool {
	later := time.Now().Add(reviveLater)
	if !sleep.For(ctx, reviveSoon) {
		return false
	}
	for r.cluster.quorate() && time.Now().Before(later) {
		if !sleep.For(ctx, reviveLook) {
			return false
		}
	}
	return true
}

// note shows an error that is not the end.
func (r *run) note(err error) {
	if err != nil {
		r.o.Display.Note(err.Error())
	}
}

// failed reports whether a process that has ended did so by itself with an error: nobody killed it or asked it to go.
func (c *Child) failed() bool {
	exit, ok := c.err.(*exec.ExitError)
	if !ok {
		return c.err != nil
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return !ok || !status.Signaled()
}

// quorate reports whether a majority of the coordinators runs.
func (c *Cluster) quorate() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return 2*alive(c.coordinators) > len(c.coordinators)
}

// workersAlive is the number of workers that run.
func (c *Cluster) workersAlive() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return alive(c.workers)
}
