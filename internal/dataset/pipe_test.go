//go:build unix

package dataset

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestNamedPipesAreLeftOut(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, smallSet(t))
	want, err := Open(imagesConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mkfifo(filepath.Join(dir, "train", want.Labels[0], "0.png"), 0o600); err != nil {
		t.Fatal(err)
	}
	if have, err := Open(imagesConfig(dir)); err != nil || have.Fingerprint != want.Fingerprint {
		t.Errorf("a named pipe changes the data: %v", err)
	}
}
