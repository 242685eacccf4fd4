package wholefile

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

func content(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func TestAFileIsTheOldOrTheNewOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := Write(path, 0o640, content("one")); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm()&^0o640 != 0 {
		t.Errorf("a new file: %v, %v", info.Mode(), err)
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("broken")
	err := Write(path, 0o600, func(w io.Writer) error {
		return errors.Join(content("half")(w), broken)
	})
	if text, _ := os.ReadFile(path); !errors.Is(err, broken) || string(text) != "one" {
		t.Errorf("%v, and the file is %q", err, text)
	}
	if err := Write(path, 0o600, content("two")); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if text, _ := os.ReadFile(path); err != nil || string(text) != "two" || info.Mode().Perm() != 0o604 {
		t.Errorf("%q, %v, %v", text, info.Mode(), err)
	}
	if entries, err := os.ReadDir(filepath.Dir(path)); err != nil || len(entries) != 1 {
		t.Errorf("%d files are left, %v", len(entries), err)
	}
	if err := Write(filepath.Join(path, "b"), 0o600, content("x")); err == nil {
		t.Error("written into a folder that is none")
	}
}
