//go:build unix

package checkpoint

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringmaster/internal/checkpoint/disk"
)

// A pipe that nobody writes to would be waited for without end.
func TestPipeForAManifest(t *testing.T) {
	dir := t.TempDir()
	folder := filepath.Join(dir, Name{Step: 3, Generation: 1}.Folder())
	if err := errors.Join(os.Mkdir(folder, 0o700), unix.Mkfifo(filepath.Join(folder, ManifestName), 0o600)); err != nil {
		t.Fatal(err)
	}
	found, err := Locate(disk.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := found.Best(); !errors.Is(err, ErrNone) || !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "file manifest.json is damaged (it is a pipe, no regular file)") {
		t.Errorf("%v", err)
	}
}
