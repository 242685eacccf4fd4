package shards

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"ringmaster/internal/regularfile"
)

// folder is a packed set in a folder.
type folder struct {
	path string
	mu   sync.Mutex
	open map[string]*os.File // at most maxOpen; they are closed when nobody has them any more
}

// maxOpen bounds the files that stay open.
const maxOpen = 128

func newFolder(path string) *folder { return &folder{path: path, open: map[string]*os.File{}} }

// String implements source.
func (f *folder) String() string { return f.path }

func (f *folder) near() bool { return true }

func (f *folder) index() ([]byte, error) {
	name := filepath.Join(f.path, IndexName)
	info, err := regularfile.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no %s: name a folder that ringmaster data pack has written", IndexName)
	}
	if err == nil && info.Size() > maxIndex {
		err = fmt.Errorf("it has more than %d bytes", maxIndex)
	}
	var text []byte
	if err == nil {
		text, err = os.ReadFile(name)
	}
	if err != nil {
		return nil, fmt.Errorf("%s cannot be read: %w", IndexName, cause(err))
	}
	return text, nil
}

func (f *folder) readAt(s *file, p []byte, at int64, _ bool) error {
	r, keep, err := f.file(s)
	if err == nil {
		_, err = r.ReadAt(p, at)
		if !keep {
			err = errors.Join(err, r.Close())
		}
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("%s is shorter than its index says: get it again, or pack again", s.name)
	}
	if err != nil {
		return fmt.Errorf("%s cannot be read: %w", s.name, cause(err))
	}
	return nil
}

// file opens a shard, if it is not open. keep says that it stays so.
func (f *folder) file(s *file) (r *os.File, keep bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r := f.open[s.name]; r != nil {
		return r, true, nil
	}
	if r, err = regularfile.Open(filepath.Join(f.path, s.name)); err != nil {
		return nil, false, err
	}
	if keep = len(f.open) < maxOpen; keep {
		f.open[s.name] = r
	}
	return r, keep, nil
}

// cause is an error without the system call and the path.
func cause(err error) error {
	if detailed, ok := errors.AsType[*fs.PathError](err); ok {
		return detailed.Err
	}
	return err
}
