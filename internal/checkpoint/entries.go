package checkpoint

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"

	"ringmaster/internal/checkpoint/disk"
)

// Entry is a folder of a store.
type Entry struct {
	Name
	Path     string // of the folder
	Bytes    int64  // of the files in the folder
	Manifest *Manifest
	Err      error // nil: nothing wrong was seen; wraps ErrUnfinished or ErrDamaged

	store *Store
}

// Store is the store that holds the entry.
func (e Entry) Store() *Store { return e.store }

func (e Entry) failed(err error) error {
	return fmt.Errorf("checkpoint step %d: %w", e.Step, err)
}

// compareEntries orders by step, then generation, then place.
func compareEntries(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Step, b.Step), cmp.Compare(a.Generation, b.Generation), cmp.Compare(a.Path, b.Path))
}

// List is every folder of the store by step and generation, checked as far as that goes without reading the shares:
// manifests, presence and sizes. A store that does not exist yet is empty.
func (s *Store) List() ([]Entry, error) {
	found, err := s.fs.List(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var entries []Entry
	for _, f := range found {
		if name, ok := ParseName(f.Name); ok && f.Dir {
			entries = append(entries, s.entry(name))
		}
	}
	slices.SortFunc(entries, compareEntries)
	return entries, nil
}

// Entry looks at one folder of the store as List does.
func (s *Store) entry(name Name) Entry {
	e := Entry{Name: name, Path: s.path(name.Folder()), store: s}
	sizes := map[string]int64{}
	files, err := s.fs.List(e.Path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // it may have been deleted meanwhile
		e.Err = e.failed(err)
		return e
	}
	for _, f := range files {
		if !f.Dir && !isTemp(f.Name) {
			sizes[f.Name] = f.Bytes
			e.Bytes += f.Bytes
		}
	}
	if _, ok := sizes[ManifestName]; !ok {
		e.Err = e.failed(ErrUnfinished)
		return e
	}
	if e.Manifest, err = s.readManifest(e.Folder()); err != nil {
		e.Err = e.failed(err)
		return e
	}
	for _, f := range e.Manifest.Files {
		size, ok := sizes[f.Name]
		switch {
		case !ok:
			e.Err = e.failed(damaged("file %s is missing", f.Name))
		case size != f.Bytes:
			e.Err = e.failed(damaged("file %s is damaged (it has %d bytes, the manifest says %d)", f.Name, size, f.Bytes))
		}
		if e.Err != nil {
			return e
		}
	}
	return e
}

// readManifest reads and checks a folder's manifest. Errors about its content wrap ErrDamaged.
func (s *Store) readManifest(folder string) (*Manifest, error) {
	r, err := s.open(folder, ManifestName)
	if errors.Is(err, ErrDamaged) {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ManifestName, err)
	}
	defer r.Close()
	data, err := io.ReadAll(io.LimitReader(r, MaxManifestBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", ManifestName, err)
	}
	m, err := ParseManifest(data)
	if err != nil {
		return nil, damaged("%v", err)
	}
	if m.Folder() != folder {
		return nil, damaged("manifest is damaged: it belongs to %s", m.Folder())
	}
	return m, nil
}

// Verify reads every file of an entry and returns the entry with Err set if one is not what the manifest says.
func (e Entry) Verify() Entry {
	if e.Err != nil {
		return e
	}
	for _, f := range e.Manifest.Files {
		if err := e.store.reread(e.Folder(), f); err != nil {
			e.Err = e.failed(err)
			return e
		}
	}
	return e
}

// ErrNone is wrapped where there is no good checkpoint.
var ErrNone = errors.New("no whole checkpoint")

// newest walks sorted entries from the end to the first whose files are all what its manifest says. bad are the damaged ones
// that are newer, newest first, each with its reason in Err; unfinished ones are passed over.
func newest(entries []Entry) (good *Entry, bad []Entry) {
	for _, e := range slices.Backward(entries) {
		e = e.Verify()
		if e.Err == nil {
			return &e, bad
		}
		if !errors.Is(e.Err, ErrUnfinished) {
			bad = append(bad, e)
		}
	}
	return nil, bad
}

// Names are the names of the store's checkpoint folders, whatever they contain, in no particular order.
func (s *Store) Names() ([]Name, error) {
	found, err := s.fs.List(s.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list checkpoints: %w", err)
	}
	var names []Name
	for _, f := range found {
		if name, ok := ParseName(f.Name); ok && f.Dir {
			names = append(names, name)
		}
	}
	return names, nil
}

// Retire deletes a checkpoint's files, and its folder unless it contains other files too. It reports whether there was
// anything to delete. The manifest goes first, so that an interruption never leaves a checkpoint behind; a second call continues the deletion.
func (s *Store) Retire(name Name) (deleted bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if deleted, err = s.remove(name.Folder()); err != nil {
		return false, fmt.Errorf("delete checkpoint step %d: %w", name.Step, err)
	}
	return deleted, nil
}

func (s *Store) remove(folder string) (deleted bool, err error) {
	dir := s.path(folder)
	files, err := s.fs.List(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	delete(s.made, folder)
	foreign := slices.DeleteFunc(slices.Clone(files), ownFile)
	files = slices.DeleteFunc(files, func(f disk.Entry) bool { return !ownFile(f) || f.Name == ManifestName })
	if err := s.fs.Remove(s.path(folder, ManifestName)); err == nil {
		deleted = true
		if err := s.fs.SyncDir(dir); err != nil {
			return false, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	for _, f := range files {
		delete(s.whole, folder+"/"+f.Name)
		deleted = true
		if err := s.fs.Remove(s.path(folder, f.Name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false, err
		}
	}
	delete(s.whole, folder+"/"+ManifestName)
	if len(foreign) > 0 {
		return deleted, nil
	}
	if err := s.fs.Remove(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	return true, s.fs.SyncDir(s.dir)
}

// ownFile reports whether the store has written a file of a checkpoint's folder, by its name.
func ownFile(f disk.Entry) bool {
	_, _, _, share := parseShareName(f.Name)
	return !f.Dir && (share || f.Name == ManifestName || isTemp(f.Name))
}

// Clean removes the temporary files that crashes have left behind. Only the process that writes to the store may call it, with no
// upload under way. It returns the paths of what it removed.
func (s *Store) Clean() ([]string, error) {
	names, err := s.Names()
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var removed []string
	for _, n := range names {
		files, err := s.fs.List(s.path(n.Folder()))
		if err != nil {
			return removed, fmt.Errorf("clean checkpoint store: %w", err)
		}
		for _, f := range files {
			if f.Dir || !isTemp(f.Name) {
				continue
			}
			name := s.path(n.Folder(), f.Name)
			if err := s.fs.Remove(name); err != nil {
				return removed, fmt.Errorf("clean checkpoint store: %w", err)
			}
			removed = append(removed, name)
		}
	}
	return removed, nil
}
