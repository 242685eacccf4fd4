package dataset

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds on folders: links can make a small tree look endless.
const (
	maxDepth   = 32
	maxEntries = 1 << 23
)

// walker finds the files below a folder. It follows links, to files and to folders, since volumes of Kubernetes and caches of data
// sets are made of them.
type walker struct {
	what    string // of the data, for messages
	account *account
	visit   func(relative, full string) error // for each regular file, by its path with slashes; in the order of the paths
	once    bool                              // a link to something below the folder, which is read there anyway, is left out

	root    string // without links
	entries int
}

// walk visits the files below a folder, whose paths begin with a prefix.
func (w *walker) walk(folder, prefix string) error {
	real, err := filepath.EvalSymlinks(folder)
	if err != nil {
		return unreadableFile(w.what, folder, err)
	}
	w.root = real
	return w.below(folder, prefix, []string{real})
}

// below visits the files below a folder. around lists the folders around it, the last being the folder itself.
func (w *walker) below(folder, relative string, around []string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return unreadableFile(w.what, folder, err)
	}
	for _, entry := range entries {
		full, name := filepath.Join(folder, entry.Name()), path.Join(relative, entry.Name())
		if w.entries++; w.entries > maxEntries || len(around) > maxDepth {
			return wrongDir("%s: %s is beyond the %d entries and %d levels that are looked at: set data.dir to a smaller folder", w.what, full, maxEntries, maxDepth)
		}
		if reason, is := hidden(entry.Name()); is {
			w.account.leave(reason, name, false)
			continue
		}
		if err := w.entry(full, name, entry.Type(), around); err != nil {
			return err
		}
	}
	return nil
}

// entry visits one entry of a folder.
func (w *walker) entry(full, name string, mode fs.FileMode, around []string) error {
	real := filepath.Join(around[len(around)-1], filepath.Base(full))
	if mode&fs.ModeSymlink != 0 {
		info, err := os.Stat(full)
		if err == nil {
			real, err = filepath.EvalSymlinks(full)
		}
		if err != nil {
			return brokenLink(w.what, full, err)
		}
		if mode = info.Mode(); w.once && w.readAnyway(real) {
			w.account.leave("links to what is read anyway", name, false)
			return nil
		}
	}
	switch {
	case mode.IsDir() && slices.Contains(around, real):
		w.account.leave("links to a folder around them", name, false)
		return nil
	case mode.IsDir():
		return w.below(full, name, append(slices.Clone(around), real))
	case mode.IsRegular():
		return w.visit(name, full)
	}
	w.account.leave("that are pipes, sockets or devices", name, false)
	return nil
}

// readAnyway reports whether a path without links is below the folder and not hidden there.
func (w *walker) readAnyway(real string) bool {
	relative, err := filepath.Rel(w.root, real)
	if err != nil || relative == ".." || strings.HasPrefix(relative, ".."+string(filepath.Separator)) {
		return false
	}
	for _, element := range strings.Split(filepath.ToSlash(relative), "/") {
		if _, is := hidden(element); is && element != "." {
			return false
		}
	}
	return true
}

// brokenLink says where a link leads that leads nowhere.
func brokenLink(what, path string, err error) error {
	target, readErr := os.Readlink(path)
	if readErr != nil || !errors.Is(err, fs.ErrNotExist) {
		return unreadableFile(what, path, err)
	}
	return fmt.Errorf("%s: %s is a link to %s, which does not exist: put the file there, or remove the link", what, path, target)
}
