package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/internal/checkpoint/disk"
)

const (
	locateDepth = 5     // DIR/coordinators/c1/checkpoints is three below a run
	locateDirs  = 10000 // directories looked at, before it is plainly the wrong place
)

// remedy says what to do if no checkpoint is found.
const remedy = "name a run's folder, a folder of checkpoints, or one checkpoint"

// Found is what Locate found beneath a directory.
type Found struct {
	Dir     string
	Stores  []*Store
	Entries []Entry // of all stores by step, generation and path, as List gives them
	Newest  *Entry  // the newest good one over all stores; nil: none
	Damaged []Entry // those newer than Newest, or copies of it, that are damaged, newest first
}

// Locate looks for checkpoints below dir: a run's directory, a store, or the folder of a single checkpoint. It finds
// all stores and the newest checkpoint over them whose files are what its manifest says. Finding none is not an
// error; a dir that does not exist is.
func Locate(fsys disk.FS, dir string) (*Found, error) {
	f, err := Survey(fsys, dir)
	if err != nil {
		return nil, err
	}
	f.Newest, f.Damaged = newest(f.Entries)
	return f, nil
}

// Survey is Locate without the search for the newest good checkpoint: it reads no share.
func Survey(fsys disk.FS, dir string) (*Found, error) {
	if strings.HasPrefix(dir, "s3://") {
		return nil, fmt.Errorf("look for checkpoints in %s: bring them to this machine first: ringmaster checkpoints copy %s DIR", dir, dir)
	}
	e, err := fsys.Stat(dir)
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		err = path.Err // the message names the path
	}
	if err != nil {
		return nil, fmt.Errorf("look for checkpoints in %s: %w; %s", dir, err, remedy)
	}
	if !e.Dir {
		return nil, fmt.Errorf("look for checkpoints in %s: it is no folder; %s", dir, remedy)
	}
	f := &Found{Dir: dir}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs // so that "." inside a checkpoint's folder has a name
	}
	if name, ok := ParseName(filepath.Base(dir)); ok {
		s, err := Open(fsys, filepath.Dir(dir))
		if err != nil {
			return nil, err
		}
		f.Stores = []*Store{s}
		f.Entries = []Entry{s.entry(name)}
		return f, nil
	}
	budget := locateDirs
	if err := f.walk(fsys, f.Dir, locateDepth, &budget); err != nil {
		return nil, fmt.Errorf("look for checkpoints: %w", err)
	}
	slices.SortStableFunc(f.Entries, compareEntries)
	return f, nil
}

// walk opens dir as a store if it holds a checkpoint's folder, and else searches its subfolders.
func (f *Found) walk(fsys disk.FS, dir string, depth int, budget *int) error {
	if *budget--; *budget < 0 {
		return fmt.Errorf("%s has more than %d directories: name the run's directory", f.Dir, locateDirs)
	}
	entries, err := fsys.List(dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
		return nil // not ours, or gone meanwhile
	}
	if err != nil {
		return err
	}
	isStore := slices.ContainsFunc(entries, func(e disk.Entry) bool {
		_, ok := ParseName(e.Name)
		return ok && e.Dir
	})
	if isStore {
		s, err := Open(fsys, dir)
		if err != nil {
			return err
		}
		held, err := s.List()
		f.Stores, f.Entries = append(f.Stores, s), append(f.Entries, held...)
		return err
	}
	for _, e := range entries {
		if !e.Dir || depth == 0 || strings.HasPrefix(e.Name, ".") {
			continue
		}
		if err := f.walk(fsys, filepath.Join(dir, e.Name), depth-1, budget); err != nil {
			return err
		}
	}
	return nil
}

// Best is the newest good checkpoint that Locate found. If there is none, the error wraps ErrNone and says what is wrong with the
// newest one.
func (f *Found) Best() (*Entry, error) {
	if f.Newest != nil {
		return f.Newest, nil
	}
	if len(f.Damaged) == 0 {
		return nil, fmt.Errorf("%w in %s", ErrNone, f.Dir)
	}
	more := ""
	switch n := len(f.Damaged) - 1; {
	case n == 1:
		more = ", and so is another"
	case n > 1:
		more = fmt.Sprintf(", and so are %d others", n)
	}
	return nil, fmt.Errorf("%w in %s: %s: %w%s", ErrNone, f.Dir, f.Damaged[0].Path, f.Damaged[0].Err, more)
}

// At is the newest generation's good checkpoint at a step, over all stores. The error says what is wrong where there is
// none, and which other steps there are.
func (f *Found) At(step uint64) (*Entry, error) {
	var at, others []Entry
	for _, e := range f.Entries {
		switch {
		case e.Step == step:
			at = append(at, e)
		case e.Err == nil:
			others = append(others, e)
		}
	}
	good, bad := newest(at)
	switch {
	case good != nil:
		return good, nil
	case len(bad) > 0:
		at = bad
	case len(at) == 0:
		return nil, fmt.Errorf("no checkpoint at step %d in %s; %s", step, f.Dir, choice(others))
	}
	return nil, fmt.Errorf("%s: %w; %s", at[0].Path, at[0].Err, choice(others))
}

// choice lists the steps of sorted entries; of many, only the first and the last ones.
func choice(entries []Entry) string {
	const most, ends = 12, 5
	var steps []string
	for _, e := range entries {
		if step := fmt.Sprint(e.Step); len(steps) == 0 || steps[len(steps)-1] != step {
			steps = append(steps, step)
		}
	}
	if len(steps) == 0 {
		return "there is no other"
	}
	if len(steps) > most {
		steps = slices.Concat(steps[:ends], []string{"..."}, steps[len(steps)-ends:])
	}
	return "there is one at step " + strings.Join(steps, ", ")
}

// Warnings are one line for each damaged checkpoint, which say what is used instead. If no good one is left there is
// nothing to warn about: Best fails.
func (f *Found) Warnings() []string {
	if f.Newest == nil {
		return nil
	}
	var lines []string
	for _, e := range f.Damaged {
		instead := "using its copy in " + f.Newest.Path
		if f.Newest.Step < e.Step {
			instead = fmt.Sprintf("using step %d before it", f.Newest.Step)
		}
		lines = append(lines, fmt.Sprintf("%v; %s", located(e, len(f.Stores)), instead))
	}
	return lines
}

// located names the folder too where several stores hold copies.
func located(e Entry, stores int) string {
	if stores < 2 {
		return e.Err.Error()
	}
	return e.Path + ": " + e.Err.Error()
}
