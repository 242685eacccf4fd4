package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// do carries out one drawn operation below root and describes what came of it in words that do not name root.
func do(f FS, root, op, a, b string, data []byte) string {
	p, q := filepath.Join(root, a), filepath.Join(root, b)
	outcome := func(err error) string {
		switch {
		case err == nil:
			return "ok"
		case errors.Is(err, fs.ErrNotExist):
			return "does not exist"
		case errors.Is(err, fs.ErrExist):
			return "exists"
		}
		return "fails"
	}
	switch op {
	case "mkdir":
		return outcome(f.Mkdir(p))
	case "list":
		entries, err := f.List(p)
		return outcome(err) + fmt.Sprint(describe(entries))
	case "stat":
		e, err := f.Stat(p)
		return outcome(err) + fmt.Sprint(describe([]Entry{e}))
	case "read":
		r, err := f.Open(p)
		if err != nil {
			return outcome(err)
		}
		defer r.Close()
		got, err := io.ReadAll(r)
		return outcome(err) + string(got)
	case "write":
		w, err := f.Create(p)
		if err != nil {
			return outcome(err)
		}
		n, err := w.Write(data)
		return fmt.Sprint(n, outcome(errors.Join(err, w.Close())))
	case "rename":
		// Where both ends are wrong either may be named.
		return fmt.Sprint(f.Rename(p, q) == nil)
	case "remove":
		return outcome(f.Remove(p))
	}
	return outcome(f.SyncDir(p))
}

// describe leaves the sizes of directories out, which mean nothing.
func describe(entries []Entry) []Entry {
	for i := range entries {
		if entries[i].Dir {
			entries[i].Bytes = 0
		}
	}
	return entries
}

// isDir keeps the test to what the interface promises: files are read and renamed, directories listed.
func isDir(f FS, name string) bool {
	e, err := f.Stat(name)
	return err == nil && e.Dir
}

// The memory behaves as the operating system's files do.
func TestMemoryIsLikeTheDisk(t *testing.T) {
	base := t.TempDir()
	runs := 0
	rapid.Check(t, func(t *rapid.T) {
		runs++
		root := fmt.Sprintf("%s/%d", base, runs)
		m := NewMemFS()
		if err := (OS{}).Mkdir(root); err != nil {
			t.Fatal(err)
		}
		names := rapid.SampledFrom([]string{"a", "b", "a/b", "a/c", "a/b/c", "nowhere/a"})
		for range rapid.IntRange(1, 20).Draw(t, "operations") {
			op := rapid.SampledFrom([]string{"mkdir", "mkdir", "write", "write", "list", "stat", "read", "rename", "remove", "sync"}).Draw(t, "op")
			a, b := names.Draw(t, "a"), names.Draw(t, "b")
			if op == "rename" && (isDir(m, a) || isDir(m, b)) || op == "read" && isDir(m, a) || op == "sync" && !isDir(m, a) {
				continue
			}
			data := []byte(rapid.StringN(0, 20, 40).Draw(t, "data"))
			want, got := do(OS{}, root, op, a, b, data), do(m, "/", op, a, b, data)
			if got != want {
				t.Fatalf("%s %s %s: the memory says %q, the disk %q", op, a, b, got, want)
			}
		}
	})
}

func TestFailAt(t *testing.T) {
	full := errors.New("full")
	m := NewMemFS()
	m.FailAt(2, full)
	f, err := m.Create("/a")
	if err != nil {
		t.Fatal(err)
	}
	if n, err := f.Write([]byte("1234")); n != 2 || !errors.Is(err, full) {
		t.Errorf("the write that fails: %d, %v", n, err)
	}
	if n, err := f.Write([]byte("34")); n != 2 || err != nil {
		t.Errorf("the write after it: %d, %v", n, err)
	}
	m.FailAt(1, ErrCrashed)
	for range 2 {
		if err := f.Sync(); !errors.Is(err, ErrCrashed) {
			t.Errorf("sync at and after the crash: %v", err)
		}
		if _, err := m.Open("/a"); !errors.Is(err, ErrCrashed) {
			t.Errorf("open after the crash: %v", err)
		}
	}
	if n, err := f.Write([]byte("5")); n != 0 || !errors.Is(err, ErrCrashed) {
		t.Errorf("write after the crash: %d, %v", n, err)
	}
}

// The effect of a crash on bytes and names that were not durable: all lost, all kept, and cases between.
func TestACrashKeepsWhatWasSynced(t *testing.T) {
	m := NewMemFS()
	f, err := m.Create("/a")
	if err != nil {
		t.Fatal(err)
	}
	write := func(text string) {
		if _, err := f.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	write("12")
	if err := errors.Join(f.Sync(), m.SyncDir("/")); err != nil {
		t.Fatal(err)
	}
	write("3456")
	if err := m.Rename("/a", "/b"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		pick func(int) int
		want string
	}{
		{"all lost", func(int) int { return 0 }, "a=12 b=none"},
		{"all kept", func(n int) int { return n - 1 }, "a=none b=123456"},
		{"names kept, half the bytes", func(n int) int { return map[int]int{2: 1, 5: 2}[n] }, "a=none b=12\x00\x00"},
		{"names lost, half the bytes", func(n int) int { return map[int]int{2: 0, 5: 2}[n] }, "a=1234 b=none"},
	} {
		after, got := m.Crash(c.pick), ""
		for _, name := range []string{"a", "b"} {
			content := "none"
			if r, err := after.Open("/" + name); err == nil {
				data, _ := io.ReadAll(r)
				content = string(data)
			}
			got += fmt.Sprintf("%s=%s ", name, content)
		}
		if got != c.want+" " {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}
