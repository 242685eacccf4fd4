package launch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/optim"
	"ringmaster/internal/setaside"
	"ringmaster/internal/trainer"
)

// Origin is the checkpoint that a job goes on from.
type Origin struct {
	Manifest *checkpoint.Manifest
	Job      *config.Job // that wrote it
	Path     string      // of the checkpoint's folder

	entry *checkpoint.Entry
	found *checkpoint.Found
	shown string // where it is from, for people; "": Path
}

// String is where the checkpoint is from.
func (o *Origin) String() string { return cmp.Or(o.shown, o.Path) }

// errNoCheckpoint means that a folder holds no checkpoint, not even a damaged one.
var errNoCheckpoint = errors.New("no checkpoint")

// FindOrigin finds the newest checkpoint below dir (a run's folder, a store, or one checkpoint's folder) whose files are
// whole. Damaged ones that it passes over are named in warnings.
func FindOrigin(dir string, warnings io.Writer) (*Origin, error) {
	found, err := checkpoint.Locate(disk.OS{}, dir)
	if err != nil {
		return nil, fmt.Errorf("resume: %w", err)
	}
	for _, line := range found.Warnings() {
		say(warnings, "ringmaster: %s", line)
	}
	if found.Newest == nil && len(found.Damaged) == 0 { // at most some that were never finished
		return nil, fmt.Errorf("resume: %w in %s; launch the job again in another folder", errNoCheckpoint, dir)
	}
	best, err := found.Best()
	if err != nil {
		return nil, fmt.Errorf("resume: %w; launch the job again in another folder", err)
	}
	o := &Origin{Manifest: best.Manifest, Path: best.Path, entry: best, found: found}
	if o.Job, err = config.Decode([]byte(o.Manifest.Config)); err != nil {
		return nil, fmt.Errorf("resume: checkpoint %s: %w", o.Path, err)
	}
	return o, nil
}

// Admit checks that a job may go on from the checkpoint: nothing that the bits depend on has changed. The job takes over
// the schedule's horizon.
func (o *Origin) Admit(c *Checked) error {
	c.Job.Inherit(o.Job)
	c.Job.Resolve(c.Samples)
	layout, err := (&trainer.Plan{Job: c.Job, Model: c.model}).Layout()
	if err != nil {
		return err
	}
	differences := optim.Changes(o.Job, c.Job, o.Manifest.Step)
	if len(differences) == 0 {
		differences = config.Shorter(o.Job, c.Job, c.Samples)
	}
	if len(differences) > 0 {
		return fmt.Errorf("cannot resume from %s, because the bits of the run depend on what has changed: %s", o,
			config.Describe(differences, func(d config.Difference) string { return c.Job.Errorf(d.Key, "%s", d.String()).Error() }))
	}
	if !bytes.Equal(o.Manifest.Fingerprint[:], c.Fingerprint) {
		return c.Job.Blame("data", fmt.Errorf("cannot resume from %s: the data is not what it was (fingerprint %s, was %s); point data.dir at the same files",
			o, short(c.Fingerprint), short(o.Manifest.Fingerprint[:])))
	}
	if err := layout.Admit(o.Manifest); err != nil {
		return fmt.Errorf("cannot resume from %s: %w", o, err)
	}
	return nil
}

// SetAside renames the folders of damaged checkpoints in the run's stores, so that whole ones can take their names again.
func (o *Origin) SetAside(warnings io.Writer) error {
	damaged := append([]checkpoint.Entry(nil), o.found.Damaged...)
	for _, e := range o.found.Entries {
		copied := e.Step == o.entry.Step && e.Generation == o.entry.Generation && e.Path != o.entry.Path
		if !copied || contains(damaged, e.Path) {
			continue
		}
		if e = e.Verify(); e.Err != nil && !errors.Is(e.Err, checkpoint.ErrUnfinished) {
			say(warnings, "ringmaster: %s: %v; using its copy in %s", e.Path, e.Err, o.Path)
			damaged = append(damaged, e)
		}
	}
	for _, e := range damaged {
		if err := setAside(e.Path, warnings); err != nil {
			return fmt.Errorf("set the damaged checkpoint aside: %w", err)
		}
	}
	return nil
}

func contains(entries []checkpoint.Entry, path string) bool {
	for _, e := range entries {
		if e.Path == path {
			return true
		}
	}
	return false
}

// setAside renames a checkpoint's folder to damaged-N-NAME. Of those of earlier times it deletes all but the newest, and says so.
func setAside(path string, warnings io.Writer) error {
	store := filepath.Dir(path)
	target, err := setaside.Path(store, filepath.Base(path))
	if err != nil {
		return err
	}
	if err := os.Rename(path, target); err != nil {
		return err
	}
	dropped, err := setaside.Drop(store)
	if len(dropped) > 0 {
		say(warnings, "ringmaster: deleted %s from %s: of the damaged checkpoints that were set aside the newest %d stay", strings.Join(dropped, ", "), store, setaside.Keep)
	}
	if err != nil { // no reason not to train
		say(warnings, "ringmaster: not all of them could be deleted: %v", err)
	}
	return nil
}

// Upload stores the checkpoint's files with the coordinators at the addresses. Those that hold them already take no harm.
func (o *Origin) Upload(ctx context.Context, coordinators *client.Client, addresses []string) error {
	for _, address := range addresses {
		for _, f := range o.Manifest.Files {
			file := client.File{Directory: o.Manifest.Folder(), Name: f.Name, Bytes: f.Bytes, SHA256: f.SHA256[:],
				Open: func() (io.ReadCloser, error) {
					r, _, err := o.entry.Store().OpenFile(o.Manifest.Folder(), f.Name)
					return r, err
				}}
			if err := coordinators.PutFile(ctx, address, file); err != nil {
				return fmt.Errorf("resume: %w", err)
			}
		}
	}
	return nil
}

// beginning finds and checks what the job begins from: the newest checkpoint of a run to resume, or else the seed and model.init. nil: these.
func (o *Options) beginning(ctx context.Context, dir Directory, checked *Checked) (*Origin, []string, error) {
	var origin *Origin
	var earlier []string
	if o.Resume {
		var err error
		origin, err = admitOrigin(dir, checked, o.Warnings)
		switch {
		case errors.Is(err, errNoCheckpoint) && o.Bucket != "":
		case errors.Is(err, errNoCheckpoint) && !dir.saved():
			say(o.Warnings, "ringmaster: %s", dir.begins(o.Job.Name))
		case err != nil:
			return nil, nil, &UsageError{err}
		}
		if o.Bucket != "" {
			if origin, earlier, err = o.fromBucket(ctx, origin, checked); err != nil {
				return nil, nil, err
			}
		}
	}
	if o.From != "" && origin == nil {
		var err error
		if origin, err = FindOrigin(o.From, o.Warnings); err == nil {
			err = origin.Admit(checked)
		}
		if err != nil {
			return nil, nil, &UsageError{err}
		}
	}
	_, err := interruptible(o.Interrupts, func() (*Checked, error) { return checked, checked.CheckInit(ctx, origin) })
	return origin, earlier, err
}

// admitOrigin finds the checkpoint to resume from, checks that the job may go on from it, and makes room for the files
// that the run will write again.
func admitOrigin(dir Directory, checked *Checked, warnings io.Writer) (*Origin, error) {
	if !dir.HoldsRun() {
		if found, err := checkpoint.Survey(disk.OS{}, string(dir)); dir != "" && err == nil && len(found.Entries) > 0 {
			return nil, fmt.Errorf("resume: %s holds checkpoints, but is no folder of a run; name that by --dir", dir)
		}
		return nil, errNoCheckpoint
	}
	origin, err := FindOrigin(string(dir), warnings)
	if err != nil {
		return nil, err
	}
	if err := origin.Admit(checked); err != nil {
		return nil, err
	}
	return origin, origin.SetAside(warnings)
}
