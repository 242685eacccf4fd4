package bucket

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/objects"
	"ringmaster/internal/plan"
	"ringmaster/internal/test/s3"
)

const place = "s3://" + s3.Bucket + "/runs/a"

func store(t *testing.T) (*checkpoint.Store, string) {
	t.Helper()
	dir := t.TempDir()
	s, err := checkpoint.Open(disk.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

// save makes a checkpoint of a job of two files.
func save(t *testing.T, s *checkpoint.Store, job string, step uint64, inc plan.Incarnation) *checkpoint.Manifest {
	t.Helper()
	m := &checkpoint.Manifest{Version: checkpoint.ManifestVersion, Job: job, Incarnation: inc, Step: step, Generation: 1, Seats: 1, Config: "name: j\n"}
	for i := range 2 {
		content := fmt.Appendf(nil, "%s %d %d %d", job, step, inc, i)
		f := checkpoint.File{Name: fmt.Sprintf("model-0000%d-of-00002.safetensors", i+1), Bytes: int64(len(content)), SHA256: sha256.Sum256(content)}
		m.Files = append(m.Files, f)
		if err := s.PutFile(m.Folder(), f.Name, bytes.NewReader(content), f.Bytes, f.SHA256); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Commit(m); err != nil {
		t.Fatal(err)
	}
	return m
}

func open(t *testing.T) *Bucket {
	t.Helper()
	b, err := Open(place, objects.Options{Patience: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// files are the contents of a checkpoint's folder by name.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		found[e.Name()] = string(text)
	}
	return found
}

// A checkpoint goes to a bucket and comes back byte for byte; a second copy changes nothing.
func TestACheckpointComesBackAsItWas(t *testing.T) {
	server := s3.New(t)
	from, dir := store(t)
	m := save(t, from, "j", 10, 5)
	b := open(t)
	for range 2 {
		if err := b.Push(t.Context(), from, m.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if keys := server.Keys(); len(keys) != 3 || !slices.Contains(keys, "runs/a/"+m.Folder()+"/manifest.json") {
		t.Errorf("the bucket holds %v", keys)
	}
	path, back, err := b.Local(t.Context(), t.TempDir(), Choice{Job: "j"}, func(string) {})
	if err != nil || back.Folder() != m.Folder() {
		t.Fatal(back, err)
	}
	if a, b := files(t, filepath.Join(dir, m.Folder())), files(t, path); fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("it comes back as %v, was %v", b, a)
	}
}

// The manifest is created last, whatever interrupts a copy, and what is missing is made up for.
func TestACopyThatIsInterruptedIsNoCheckpoint(t *testing.T) {
	server := s3.New(t)
	from, _ := store(t)
	m := save(t, from, "j", 10, 5)
	b := open(t)
	if err := b.Push(t.Context(), from, m.Name()); err != nil {
		t.Fatal(err)
	}
	order := slices.DeleteFunc(server.Asked(), func(s string) bool { return !strings.HasPrefix(s, "PUT") })
	if len(order) != 3 || !strings.HasSuffix(order[2], "manifest.json") {
		t.Errorf("stored in the order %v", order)
	}
	server.Remove("runs/a/" + m.Folder() + "/manifest.json")
	server.Set("runs/a/"+m.Folder()+"/"+m.Files[0].Name, []byte("half"))
	if _, _, err := b.Local(t.Context(), t.TempDir(), Choice{}, func(string) {}); !errors.Is(err, ErrNone) {
		t.Errorf("a folder without a manifest is taken for a checkpoint: %v", err)
	}
	if err := b.Push(t.Context(), from, m.Name()); err != nil {
		t.Fatal(err)
	}
	if err := b.Verify(t.Context(), m); err != nil {
		t.Error(err)
	}
	server.Away(true)
	if err := b.Push(t.Context(), from, m.Name()); !objects.Away(err) {
		t.Error(err)
	}
}

// A damaged object is named, and the checkpoint before it serves.
func TestADamagedObjectIsNamed(t *testing.T) {
	server := s3.New(t)
	from, _ := store(t)
	b := open(t)
	older, newer := save(t, from, "j", 10, 5), save(t, from, "j", 20, 5)
	other := save(t, from, "other", 30, 6)
	for _, m := range []*checkpoint.Manifest{older, newer, other} {
		if err := b.Push(t.Context(), from, m.Name()); err != nil {
			t.Fatal(err)
		}
	}
	key := "runs/a/" + newer.Folder() + "/" + newer.Files[1].Name
	content := server.Object(key)
	content[3] ^= 1
	server.Set(key, content)
	if err := b.Verify(t.Context(), newer); err == nil || !strings.Contains(err.Error(), "s3://"+s3.Bucket+"/"+key+" is damaged") {
		t.Error(err)
	}
	said := ""
	_, got, err := b.Local(t.Context(), t.TempDir(), Choice{Job: "j"}, func(line string) { said += line })
	if err != nil || got.Step != 10 || !strings.Contains(said, "s3://"+s3.Bucket+"/"+key+" is damaged") {
		t.Errorf("%v, %v, said %q", got, err, said)
	}
	step := uint64(20)
	if _, _, err := b.Local(t.Context(), t.TempDir(), Choice{Step: &step}, func(string) {}); err == nil || !strings.Contains(err.Error(), "is damaged") {
		t.Error(err)
	}
	if _, _, err := b.Local(t.Context(), t.TempDir(), Choice{Job: "none"}, func(string) {}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if _, _, err := b.Local(t.Context(), t.TempDir(), Choice{Job: "j", After: newer.Name()}, func(string) {}); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
	if earlier, err := b.Earlier(t.Context(), newer); err != nil || !slices.Equal(earlier, []string{older.Folder(), newer.Folder()}) {
		t.Errorf("%v, %v", earlier, err)
	}
}

// A checkpoint that was fetched once is used again; a local file that has been damaged since is fetched again.
func TestWhatWasBroughtServesAgain(t *testing.T) {
	server := s3.New(t)
	from, _ := store(t)
	b := open(t)
	m := save(t, from, "j", 10, 5)
	if err := b.Push(t.Context(), from, m.Name()); err != nil {
		t.Fatal(err)
	}
	cache := t.TempDir()
	bring := func() (string, int) {
		before := len(server.Asked())
		path, _, err := b.Local(t.Context(), cache, Choice{}, func(string) {})
		if err != nil {
			t.Fatal(err)
		}
		return path, len(server.Asked()) - before
	}
	_, first := bring()
	path, second := bring()
	if second >= first {
		t.Errorf("%d requests, then %d", first, second)
	}
	if err := os.WriteFile(filepath.Join(path, m.Files[0].Name), []byte("other"), 0o600); err != nil {
		t.Fatal(err)
	}
	bring()
	if text := files(t, path)[m.Files[0].Name]; text != "j 10 5 0" {
		t.Errorf("it is %q", text)
	}
}

func TestAPlaceMayNameOneCheckpoint(t *testing.T) {
	folder := checkpoint.Name{Step: 7, Generation: 2, Job: 9}.Folder()
	for place, want := range map[string]string{"s3://b/c/" + folder: "s3://b/c " + folder, "s3://b/c/": "s3://b/c", "s3://b": "s3://b", "s3://b/" + folder + "/": "s3://b " + folder} {
		at, one := Locate(place)
		got := at
		if one != (checkpoint.Name{}) {
			got += " " + one.Folder()
		}
		if got != want {
			t.Errorf("%s: %s, want %s", place, got, want)
		}
	}
}

func TestRetire(t *testing.T) {
	server := s3.New(t)
	from, _ := store(t)
	b := open(t)
	m, n := save(t, from, "j", 10, 5), save(t, from, "j", 100, 5)
	for _, m := range []*checkpoint.Manifest{m, n} {
		if err := b.Push(t.Context(), from, m.Name()); err != nil {
			t.Fatal(err)
		}
	}
	before := len(server.Asked())
	for range 2 {
		if err := b.Retire(t.Context(), m.Name()); err != nil {
			t.Fatal(err)
		}
	}
	if first := server.Asked()[before]; !strings.HasPrefix(first, "DELETE") || !strings.HasSuffix(first, "manifest.json") {
		t.Errorf("the first request is %s", first)
	}
	if held, err := b.List(t.Context()); err != nil || len(held) != 1 || held[0].Name != n.Name() || !held[0].Whole {
		t.Errorf("%v, %v", held, err)
	}
}
