// Package regularfile opens files that come from outside, and only regular ones: a pipe could be waited for without end, and
// a device never end.
package regularfile

import (
	"io/fs"
	"os"
)

// Folder is the Kind of an Error about a folder.
const Folder = "a folder"

// Error says what a path leads to instead of a regular file.
type Error struct{ Kind string }

// Error is "it is a pipe, no regular file".
func (e *Error) Error() string { return "it is " + e.Kind + ", no regular file" }

// Stat describes a regular file, following symbolic links. The error is a *fs.PathError, around an *Error where there
// is something else.
func Stat(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	kind := "a device"
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return info, nil
	case mode.IsDir():
		kind = Folder
	case mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case mode&fs.ModeSocket != 0:
		kind = "a socket"
	}
	return nil, &fs.PathError{Op: "open", Path: path, Err: &Error{kind}}
}

// Open opens a regular file for reading. Anything else is not touched.
func Open(path string) (*os.File, error) {
	if _, err := Stat(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}
