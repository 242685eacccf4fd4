package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/progress"
)

// Options are what a person says to "ringmaster chaos".
type Options struct {
	Job          *config.Job
	Seed         uint64
	Faults       int
	Workers      int // 0: 3, or as many as the job has seats
	Coordinators int
	Threads      int    // compute threads of each worker; 0: 1
	Dir          string // a folder of its own for everything; it must not hold anything yet
	Keep         bool   // keep the folders of runs that came out well
	Kinds        []Kind // to draw from; empty: all
	Overlap      float64
	Stalls       bool      // faults that hold the ring up, one at a time, and whether the status names the culprit
	Machine      string    // identity of this machine
	Out          io.Writer // a line for each fault; nil: none
	Begin        func()    // called when everything has been checked and nothing started yet; nil: nobody wants to know
}

// limits of what the cluster may take; longer is a failure.
const (
	wholeLimit = 60 * time.Second // to be whole again after a fault
	roundLimit = 30 * time.Minute // for one run of the job
	idleRounds = 3                // runs in a row without a fault: the job is too short
)

// shape completes the options and is what the schedule is drawn for.
func (o *Options) shape() (Shape, error) {
	if o.Workers == 0 {
		o.Workers = min(3, o.Job.Seats)
	}
	if o.Threads == 0 {
		o.Threads = 1
	}
	switch {
	case o.Faults < 1:
		return Shape{}, errors.New("--faults must be at least 1")
	case o.Workers < 1 || o.Workers > o.Job.Seats:
		return Shape{}, o.Job.Errorf("seats", "--workers %d must be 1 to the job's seats: %d", o.Workers, o.Job.Seats)
	case !slices.Contains([]int{1, 3, 5}, o.Coordinators):
		return Shape{}, fmt.Errorf("--coordinators must be 1, 3 or 5, not %d", o.Coordinators)
	case !(o.Overlap >= 0 && o.Overlap <= 1):
		return Shape{}, fmt.Errorf("--overlap must be 0 to 1, not %v", o.Overlap)
	}
	if o.Stalls {
		o.Overlap = 0
		if len(o.Kinds) == 0 {
			o.Kinds = StallKinds()
		}
	}
	return Shape{Workers: o.Workers, Coordinators: o.Coordinators, Most: o.Job.Seats, Kinds: o.Kinds, Overlap: o.Overlap}, nil
}

// Run trains the job once undisturbed and then again and again on a cluster that suffers the faults that the seed draws,
// each time to its end, until all faults have happened. A *launch.UsageError means that nothing was started. The report is
// nil only with an error; where digests differ or something was lost it says so itself.
func Run(ctx context.Context, o Options) (*Report, error) {
	shape, err := o.shape()
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	faults, err := Schedule(o.Seed, o.Faults, shape)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	if entries, err := os.ReadDir(o.Dir); err == nil && len(entries) > 0 {
		return nil, &launch.UsageError{Err: fmt.Errorf("%s holds something already; name another --dir", o.Dir)}
	}
	checked, err := launch.Check(o.Job)
	if err == nil {
		err = checked.CheckInit(ctx, nil)
	}
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	if o.Out == nil {
		o.Out = io.Discard
	}
	if o.Begin != nil {
		o.Begin()
	}
	began := time.Now()
	r := &Report{Job: o.Job.Name, Seed: o.Seed, Dir: o.Dir, Workers: o.Workers, Coordinators: o.Coordinators}
	if o.Stalls {
		r.Attribution = &Attribution{LimitMs: nameLimit.Seconds() * 1e3, Wrong: []string{}}
	}
	reference, err := o.reference(ctx)
	if err != nil {
		return nil, err
	}
	r.Digest, r.StateDigest, r.Steps = reference.Digest, reference.StateDigest, reference.Step
	say(o.Out, "reference: %s, digest %s", plural.Of(reference.Step, "step"), reference.Digest)
	roster := launch.WorkerIDs(o.Workers)
	for idle := 0; len(faults) > 0; {
		left, next, err := o.round(ctx, r, reference, faults, roster)
		if err != nil {
			return nil, err
		}
		if idle++; len(left) < len(faults) {
			idle = 0
		}
		if faults, roster = left, next; len(r.Problems) > 0 {
			break
		}
		if idle == idleRounds {
			return nil, fmt.Errorf("the job ends before a fault can happen: give it more steps, --set train.steps=%d", 10*reference.Step)
		}
	}
	r.WallS = time.Since(began).Seconds()
	r.conclude(o.Faults)
	return r, nil
}

// reference is how the job comes out undisturbed, on one worker.
func (o *Options) reference(ctx context.Context) (*launch.Summary, error) {
	dir := filepath.Join(o.Dir, "reference")
	stop := make(chan os.Signal)
	result, err := launch.Run(ctx, launch.Options{Job: o.Job, Workers: 1, Coordinators: 1, Threads: o.Threads, Dir: dir, Display: silent{},
		Warnings: io.Discard, Interrupts: stop, Began: time.Now(), Machine: o.Machine})
	if err != nil {
		return nil, err
	}
	if result.Summary.State != launch.StateDone {
		return nil, fmt.Errorf("the undisturbed run ended in state %s: %s", result.Summary.State, result.Summary.Error)
	}
	return result.Summary, o.tidy(dir)
}

// silent shows nothing.
type silent struct{}

func (silent) Update(progress.Snapshot) {}
func (silent) Note(string)              {}
func (silent) Close()                   {}

// round trains the job once from its beginning to its end under faults. It returns the faults that are left and the
// names of the workers that the schedule left running.
func (o *Options) round(ctx context.Context, r *Report, reference *launch.Summary, faults []Fault, roster []string) ([]Fault, []string, error) {
	ctx, cancel := context.WithTimeout(ctx, roundLimit)
	defer cancel()
	number := len(r.Rounds) + 1
	dir := launch.Directory(filepath.Join(o.Dir, fmt.Sprintf("run-%d", number)))
	t, err := start(ctx, o, dir, roster)
	if err != nil {
		return nil, nil, err
	}
	left, trouble := t.suffer(ctx, faults)
	summary := t.finish()
	if ctx.Err() != nil && errors.Is(trouble, ctx.Err()) {
		return nil, nil, fmt.Errorf("run %d under faults: %w", number, trouble)
	}
	if r.note(t, string(dir), summary, reference, trouble); len(r.Problems) == 0 {
		err = o.tidy(string(dir))
	}
	return left, t.roster, err
}

// tidy removes the folder of a run that came out well.
func (o *Options) tidy(dir string) error {
	if o.Keep {
		return nil
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove a run that came out well: %w", err)
	}
	return nil
}

// say writes a line that nothing depends on.
func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...)
}
