package records

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"ringmaster/internal/regularfile"
)

// maxLog is how large a record of events may have grown for another launch to go on in it. A larger one is set aside as NAME.1, in the
// place of the one before.
const maxLog = 16 << 20

// appender adds to a file in whole pieces: what a failed write left of one is cut off again.
type appender struct {
	f    *os.File
	good int64 // bytes of whole pieces
}

// openLines opens a file of lines to go on behind its last whole one.
func openLines(path string) (*appender, error) {
	if info, err := regularfile.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, fmt.Errorf("set %s aside: %w", path, err)
		}
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxLog+1))
	a := &appender{f, int64(bytes.LastIndexByte(text, '\n') + 1)}
	if err == nil {
		err = f.Truncate(a.good)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// Write adds a piece.
func (a *appender) Write(piece []byte) (int, error) {
	n, err := a.f.WriteAt(piece, a.good)
	if err != nil {
		return n, errors.Join(err, a.f.Truncate(a.good))
	}
	a.good += int64(n)
	return n, nil
}

func (a *appender) Close() error { return a.f.Close() }
