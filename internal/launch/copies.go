package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/bucket"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/objects"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

const (
	copyPatience   = 10 * time.Minute // how long a job's end waits for a bucket that does not take its checkpoints
	copyPoll       = 200 * time.Millisecond
	settlePatience = 5 * time.Second // for which older checkpoints may still be there that are not kept
	sayPatience    = 6 * time.Second // for which a copy may be on its way before a line says that it is waited for
	bucketSoon     = 5 * time.Second // within which a bucket should answer before a launch
)

// ErrUncopied is wrapped where a job has ended and not all of its checkpoints are where they are copied to.
var ErrUncopied = errors.New("not all checkpoints have been copied")

// AwaitCopies waits, at a job's end, until its checkpoints are where checkpoint.copy_to says, and returns the last status. It asks as often as
// needed, and gives up when nothing could be copied for a while. note is told what it waits for.
func AwaitCopies(ctx context.Context, s *rpc.JobStatus, patience time.Duration, ask func(context.Context) (*rpc.JobStatus, error), note func(string)) (*rpc.JobStatus, error) {
	if s.GetCopyTo() == "" {
		return s, nil
	}
	said, left, since := false, len(s.Checkpoints)+1, time.Now()
	var steps []string
	for {
		missing := uncopied(s)
		if len(missing) < left {
			left, since = len(missing), time.Now()
		}
		if len(missing) == 0 && (s.CopiesSettled || time.Since(since) > settlePatience) {
			if said {
				note("all checkpoints are in " + s.CopyTo)
			}
			return s, nil
		}
		if steps = missing; len(missing) > 0 && !said && (why(s) != "" || time.Since(since) > sayPatience) {
			said = true
			note(fmt.Sprintf("waiting until the checkpoint at step %s is in %s%s", strings.Join(steps, ", "), s.CopyTo, why(s)))
		}
		if time.Since(since) > patience {
			return s, fmt.Errorf("%w: step %s to %s%s; what is missing is on the coordinators' disks: ringmaster checkpoints copy DIR %s brings it there",
				ErrUncopied, strings.Join(steps, ", "), s.CopyTo, why(s), s.CopyTo)
		}
		if !sleep.For(ctx, copyPoll) {
			return s, ctx.Err()
		}
		if newer, err := ask(ctx); err == nil && newer != nil {
			s = newer
		} else if ctx.Err() != nil {
			return s, ctx.Err()
		}
	}
}

// uncopied are the steps of a job's checkpoints that are not known to be where they are copied to.
func uncopied(s *rpc.JobStatus) (steps []string) {
	for _, c := range s.Checkpoints {
		if !c.Copied {
			steps = append(steps, fmt.Sprint(c.Step))
		}
	}
	return steps
}

// why is what keeps a job's checkpoints from being copied, behind a colon; "" where that is not known.
func why(s *rpc.JobStatus) string {
	for _, u := range s.Unsaved {
		if strings.HasSuffix(u.What, " in "+s.CopyTo) {
			return " (" + u.Reason + ")"
		}
	}
	return ""
}

// awaitCopies is AwaitCopies for a launch.
func (r *run) awaitCopies(ctx context.Context) error {
	s, err := AwaitCopies(ctx, r.last, copyPatience, func(ctx context.Context) (*rpc.JobStatus, error) {
		ctx, cancel := context.WithTimeout(ctx, sideTimeout)
		defer cancel()
		answer, err := r.client.Status(ctx, r.job)
		return answer.GetJob(), err
	}, r.o.Display.Note)
	r.mu.Lock()
	r.last = s
	r.mu.Unlock()
	if errors.Is(err, ErrUncopied) {
		err = errors.New(strings.Replace(err.Error(), " DIR ", " "+string(r.dir)+" ", 1))
	}
	return err
}

// checkBucket refuses a place for copies that does not take them, before anything is started. One that does not answer now may do so later.
func checkBucket(ctx context.Context, job *config.Job, warnings io.Writer) error {
	place := job.Checkpoint.CopyTo
	if place == "" {
		return nil
	}
	b, err := bucket.Open(place, objects.Options{Patience: bucketSoon})
	if err == nil {
		_, err = b.List(ctx)
	}
	if objects.Away(err) {
		say(warnings, "ringmaster: %v; the training begins, and its checkpoints are copied when it answers", err)
		return nil
	}
	if err != nil {
		return job.Errorf("checkpoint.copy_to", "checkpoint.copy_to: %v", err)
	}
	return nil
}

// BringOrigin brings the newest checkpoint of a job's name from a bucket to this machine. after is a checkpoint that is here already; the
// error wraps bucket.ErrNone where there is no newer one. earlier are the folders of the run's checkpoints in the bucket, its own last.
func BringOrigin(ctx context.Context, place string, job *config.Job, after checkpoint.Name, warnings io.Writer) (o *Origin, earlier []string, err error) {
	at, one := bucket.Locate(place)
	b, err := bucket.Open(at, objects.Options{Say: func(line string) { say(warnings, "ringmaster: %s", line) }})
	if err != nil {
		return nil, nil, fmt.Errorf("resume: %w", err)
	}
	cache, err := dataset.CacheFolder(job.Data)
	if err != nil {
		return nil, nil, err
	}
	path, m, err := b.Local(ctx, cache, bucket.Choice{After: after, Name: one, Job: job.Name}, func(line string) { say(warnings, "ringmaster: %s", line) })
	if err == nil {
		earlier, err = b.Earlier(ctx, m)
	}
	if err == nil {
		o, err = FindOrigin(path, warnings)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("resume: %w", err)
	}
	o.shown = at + "/" + m.Folder()
	return o, earlier, nil
}

// fromBucket looks for a newer checkpoint than the local one, nil for none, where the launch is to resume from. It keeps the local one where
// the bucket has no newer one, or does not answer.
func (o *Options) fromBucket(ctx context.Context, local *Origin, checked *Checked) (*Origin, []string, error) {
	var after checkpoint.Name
	if local != nil {
		after = local.Manifest.Name()
	}
	origin, earlier, err := BringOrigin(ctx, o.Bucket, o.Job, after, o.Warnings)
	switch {
	case errors.Is(err, bucket.ErrNone) && local == nil:
		say(o.Warnings, "ringmaster: %v, so the job begins at step 0", err)
		return nil, nil, nil
	case errors.Is(err, bucket.ErrNone):
		return local, nil, nil
	case objects.Away(err) && local != nil:
		say(o.Warnings, "ringmaster: %v; going on from the checkpoint that is here, at step %d", err, local.Manifest.Step)
		return local, nil, nil
	case err != nil:
		return nil, nil, &UsageError{err}
	}
	if err := origin.Admit(checked); err != nil {
		return nil, nil, &UsageError{err}
	}
	return origin, earlier, nil
}
