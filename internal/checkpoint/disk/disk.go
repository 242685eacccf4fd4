// Package disk is the small part of a file system that checkpoints need, on the operating system's files and in a
// memory that can crash at any operation.
package disk

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"ringmaster/internal/regularfile"
)

// FS is a file system. Errors are those of package os: errors.Is with fs.ErrNotExist and fs.ErrExist holds. What is
// promised after a crash is what POSIX promises: a file's bytes after its Sync, and a directory's names after its
// SyncDir. It is safe for concurrent use.
type FS interface {
	Mkdir(dir string) error                  // the parent must exist
	List(dir string) ([]Entry, error)        // by name
	Stat(name string) (Entry, error)         // follows symbolic links
	Open(name string) (io.ReadCloser, error) // a regular file for reading
	Create(name string) (File, error)        // a new file; fs.ErrExist where the name is taken
	Rename(from, to string) error            // replaces a file at to at once; a directory goes to where nothing is
	Remove(name string) error                // a file or an empty directory
	SyncDir(dir string) error                // makes the names in dir durable
}

// Entry is a file or directory.
type Entry struct {
	Name  string // last element of the path
	Dir   bool
	Bytes int64 // of a file
}

// File is a file being written.
type File interface {
	io.Writer
	Sync() error // makes what was written durable
	Close() error
}

// OS is the operating system's file system.
type OS struct{}

// Mkdir makes a directory.
func (OS) Mkdir(dir string) error { return os.Mkdir(dir, 0o700) }

// List reads a directory. Names that vanish meanwhile are left out.
func (o OS) List(dir string) ([]Entry, error) {
	found, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, f := range found {
		e, err := o.Stat(filepath.Join(dir, f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// Stat describes a file or directory.
func (OS) Stat(name string) (Entry, error) {
	info, err := os.Stat(name)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: filepath.Base(name), Dir: info.IsDir(), Bytes: info.Size()}, nil
}

// Open opens a regular file for reading.
func (OS) Open(name string) (io.ReadCloser, error) { return regularfile.Open(name) }

// Create makes a new file.
func (OS) Create(name string) (File, error) {
	return os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
}

// Rename moves a file.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove deletes a file or an empty directory.
func (OS) Remove(name string) error { return os.Remove(name) }

// SyncDir makes the names in a directory durable. Where a file system has no such operation there is nothing to do.
func (OS) SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
