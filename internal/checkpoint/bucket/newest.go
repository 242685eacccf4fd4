package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/objects"
)

// ErrNone is wrapped where a bucket holds no checkpoint that fits.
var ErrNone = errors.New("there is no checkpoint")

// Choice says which checkpoint of a bucket is wanted: the newest that fits all that is set.
type Choice struct {
	After checkpoint.Name // only those behind it, in the order of CompareNames
	Name  checkpoint.Name // this one alone
	Step  *uint64         // only those at this step
	Job   string          // only those of a job of this name
}

func (c *Choice) fits(h Held) bool {
	return h.Whole && checkpoint.CompareNames(h.Name, c.After) > 0 && (c.Name == checkpoint.Name{} || h.Name == c.Name) && (c.Step == nil || h.Step == *c.Step)
}

// words are what is wanted, behind "there is no checkpoint".
func (c *Choice) words() (words string) {
	if c.Name != (checkpoint.Name{}) {
		words += " " + c.Name.Folder()
	}
	if c.Step != nil {
		words += fmt.Sprintf(" at step %d", *c.Step)
	}
	if c.Job != "" {
		words += " of job " + c.Job
	}
	return words
}

// Bring brings the checkpoint of a choice to a store on a disk, whole. Those that are damaged are passed over, with a line to say each. A
// store that does not answer is an error.
func (b *Bucket) Bring(ctx context.Context, to *checkpoint.Store, choice Choice, say func(line string)) (*checkpoint.Manifest, error) {
	all, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	var last error
	for _, h := range slices.Backward(all) {
		if !choice.fits(h) {
			continue
		}
		m, err := b.Manifest(ctx, h.Name)
		if err == nil && choice.Job != "" && m.Job != choice.Job {
			continue
		}
		if err == nil {
			err = b.Pull(ctx, m, to)
		}
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil || objects.Away(err) || ofThisMachine(err):
			return nil, err
		}
		if last == nil {
			last = err
		}
		say(fmt.Sprintf("%v; looking for the checkpoint before it", err))
	}
	if last != nil {
		return nil, fmt.Errorf("no checkpoint in %s is whole: %w", b, last)
	}
	return nil, fmt.Errorf("%w%s in %s", ErrNone, choice.words(), b)
}

// ofThisMachine reports whether it is this machine that cannot store what comes.
func ofThisMachine(err error) bool {
	var local *fs.PathError
	return errors.As(err, &local)
}

// Earlier are the checkpoints of the same run up to this one, ascending, itself last: those of a job of the same name, seats and data.
func (b *Bucket) Earlier(ctx context.Context, origin *checkpoint.Manifest) ([]string, error) {
	all, err := b.List(ctx)
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, h := range all {
		if !h.Whole || checkpoint.CompareNames(h.Name, origin.Name()) > 0 {
			continue
		}
		m, err := b.Manifest(ctx, h.Name)
		switch {
		case err == nil && checkpoint.SameRun(m, origin):
			folders = append(folders, h.Folder())
		case err != nil && objects.Away(err):
			return nil, err
		}
	}
	return folders, nil
}
