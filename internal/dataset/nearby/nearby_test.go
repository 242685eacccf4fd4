package nearby

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/objects"
	"ringmaster/internal/test/s3"
)

// A place is served from here while the store is away, if it was whole; what is not read any more makes room for what is.
func TestWhatStaysIsBounded(t *testing.T) {
	server := s3.New(t)
	cache := t.TempDir()
	content := func(b byte) []byte { return []byte(strings.Repeat(string(b), 400)) }
	for _, name := range []string{"a/1", "a/2", "b/x/1", "c/1"} {
		server.Set(name, content(name[0]))
	}
	o := Options{Folder: cache, Bytes: 1000, Store: objects.Options{Patience: time.Millisecond}}
	fetch := func(name string) (string, error) {
		return Fetch(t.Context(), "s3://"+s3.Bucket+"/"+name, nil, o)
	}
	a, err := fetch("a")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(filepath.Join(a, "2")); err != nil || string(text) != string(content('a')) {
		t.Errorf("%.20s, %v", text, err)
	}
	if _, err := fetch("b"); err == nil || !strings.Contains(err.Error(), "data.cache_mib") {
		t.Errorf("what does not fit beside what is read: %v", err)
	}
	release(t, a)
	b, err := fetch("b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b, "x", "1")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(a); err == nil {
		t.Error("what was used least recently is still there")
	}
	server.Away(true)
	if again, err := fetch("b"); err != nil || again != b {
		t.Errorf("while the store is away: %s, %v", again, err)
	}
	if _, err := fetch("a"); !objects.Away(err) {
		t.Errorf("what is not whole here serves: %v", err)
	}
	server.Away(false)
	server.Remove("b/x/1")
	server.Set("b/y", []byte("1"))
	if _, err := fetch("b"); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(b, "x", "1")); err == nil {
		t.Error("an object that the store has no more is still there")
	}
	o.Bytes = 100
	if _, err := fetch("c"); err == nil || !strings.Contains(err.Error(), "data pack") {
		t.Error(err)
	}
	server.Set("d/../x", nil)
	if _, err := fetch("d"); err == nil || !strings.Contains(err.Error(), "none of a file") {
		t.Error(err)
	}
}

// release makes this process one that does not read a place any more.
func release(t *testing.T, data string) {
	t.Helper()
	f, ok := inUse.LoadAndDelete(filepath.Dir(data))
	if !ok {
		t.Fatal("nothing says that the place is read")
	}
	f.(*os.File).Close()
}
