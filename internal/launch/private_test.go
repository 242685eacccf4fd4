package launch

import (
	"os"
	"path/filepath"
	"testing"
)

// A run's files can be read by their owner only; a file or folder that already exists keeps its mode.
func TestRunsArePrivate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "job.yaml")
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode().Perm()
	}
	if err := writeFile(path, []byte("a")); err != nil || mode() != 0o600 {
		t.Errorf("a new file has mode %04o, %v", mode(), err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, []byte("b")); err != nil || mode() != 0o640 {
		t.Errorf("a file that was opened to a group has mode %04o, %v", mode(), err)
	}
}
