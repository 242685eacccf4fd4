package shards

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ringmaster/internal/folderlock"
)

// Draft is a folder that is written beside its place, under another name, and takes that place when it is whole.
type Draft struct {
	dir, partial string
	lock         *folderlock.Lock
}

// partialSuffix is behind the name of a folder that is being written.
const partialSuffix = ".partial"

// NewDraft begins to write a folder. It must not exist, or be empty. What a draft left that was interrupted is removed.
func NewDraft(dir string) (*Draft, error) {
	dir = filepath.Clean(dir)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s cannot be written: %w", dir, err)
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty; name another folder, or remove it", dir)
	}
	d := &Draft{dir: dir, partial: dir + partialSuffix}
	if d.lock, err = folderlock.Own(d.partial, 0); err != nil {
		return nil, err
	}
	if entries, err = os.ReadDir(d.partial); err != nil {
		return nil, errors.Join(err, d.Abort())
	}
	for _, e := range entries {
		if e.Name() != folderlock.LockName {
			if err := os.RemoveAll(filepath.Join(d.partial, e.Name())); err != nil {
				return nil, errors.Join(err, d.Abort())
			}
		}
	}
	return d, nil
}

// Path is where a file of the folder is while it is written.
func (d *Draft) Path(name string) string { return filepath.Join(d.partial, name) }

// Abort removes what has been written. After Publish it does nothing.
func (d *Draft) Abort() error {
	if d.lock == nil {
		return nil
	}
	err := os.RemoveAll(d.partial)
	err = errors.Join(err, d.lock.Release())
	d.lock = nil
	return err
}

// Publish moves the folder to its place. Its files must be on the disk; its folders are brought there.
func (d *Draft) Publish() error {
	if err := os.Remove(d.Path(folderlock.LockName)); err != nil {
		return err
	}
	err := filepath.WalkDir(d.partial, func(path string, e fs.DirEntry, err error) error {
		if err == nil && e.IsDir() {
			err = syncFolder(path)
		}
		return err
	})
	if err != nil {
		return err
	}
	if err := os.Chmod(d.partial, 0o755); err != nil {
		return err
	}
	if err := os.Rename(d.partial, d.dir); err != nil {
		return err
	}
	err = errors.Join(syncFolder(filepath.Dir(d.dir)), d.lock.Release())
	d.lock = nil
	return err
}

func syncFolder(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
