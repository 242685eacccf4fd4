//go:build unix

package dataset

import (
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"ringmaster/internal/config"
)

// A pipe that nobody writes to would be waited for without end.
func TestNamedPipesAreRefused(t *testing.T) {
	folder := t.TempDir()
	pipe := filepath.Join(folder, testImages)
	if err := unix.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	var b Batch
	_, text := Open(config.Data{Kind: config.DataText, Dir: pipe, Context: 8})
	_, images := Open(imagesConfig(pipe))
	_, _, idx := readIDX(&Data{}, config.Data{Dir: folder}, nil, testImages, 3)
	_, photo := greyData().ReadPhoto(&b, pipe)
	for what, err := range map[string]error{"photo": photo, "text": text, "images": images, "idx": idx} {
		if err == nil || !strings.Contains(err.Error(), pipe+" cannot be read: it is a pipe") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

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
