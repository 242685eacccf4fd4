//go:build linux

package main

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// archive writes the format of Linux's first file system: cpio's "newc", as the kernel's initramfs-buffer-format.rst describes it.
type archive struct {
	to   io.Writer
	next int // inode number
	err  error
}

const isFolder, isFile = 0o040755, 0o100755

func (a *archive) folder(name string) { a.entry(name, isFolder, nil) }

func (a *archive) file(name string, content []byte) { a.entry(name, isFile, content) }

func (a *archive) copied(name, from string) {
	content, err := os.ReadFile(from)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, content)
}

// tree copies a folder and all in it to a place below another.
func (a *archive) tree(below, folder string) {
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		switch name := filepath.Join(below, path); {
		case err != nil:
			return err
		case d.IsDir():
			a.folder(name)
		default:
			a.copied(name, path)
		}
		return nil
	})
	if a.err == nil {
		a.err = err
	}
}

func (a *archive) entry(name string, mode int, content []byte) {
	if a.err != nil {
		return
	}
	a.next++
	const links = 1
	header := fmt.Sprintf("070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", a.next, mode, 0, 0, links, 0, len(content), 0, 0, 0, 0, len(name)+1, 0)
	a.padded(append([]byte(header+name), 0))
	a.padded(content)
}

// padded writes bytes and zeros up to a multiple of four. Every entry begins at such a place.
func (a *archive) padded(b []byte) {
	if a.err == nil {
		_, a.err = a.to.Write(append(b[:len(b):len(b)], make([]byte, -len(b)&3)...))
	}
}

func (a *archive) end() { a.entry("TRAILER!!!", 0, nil) }
