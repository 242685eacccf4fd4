// Package wholefile replaces files in one piece: whoever reads one sees all of the old content or all of the new.
package wholefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
)

// Write replaces the file with what write writes. A new file has the permissions perm, as far as the process's mask lets it; one that is
// there keeps its own. When it fails the old file is as it was, and nothing of the new one is left.
func Write(path string, perm fs.FileMode, write func(io.Writer) error) error {
	name := filepath.Join(filepath.Dir(path), fmt.Sprintf(".%s-%08x", filepath.Base(path), rand.Uint32()))
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, perm)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if old, err := os.Stat(path); err == nil && old.Mode().IsRegular() {
		_ = f.Chmod(old.Mode().Perm()) // as perm says otherwise
	}
	err = write(f)
	err = errors.Join(err, f.Close())
	if err == nil {
		err = os.Rename(name, path)
	}
	if err != nil {
		err = errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(name))
	}
	return err
}
