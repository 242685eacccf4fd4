package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/plan"
)

// saved is a small checkpoint ready to be stored.
type saved struct {
	layout   *Layout
	state    *State
	manifest *Manifest
	contents map[string][]byte
}

func smallLayout(t testing.TB) *Layout {
	return mustLayout(t, 2, tensorsOf("p", []int{2, 3}, []int{4}), tensorsOf("s", []int{3}), "exp_avg")
}

// save makes the files and the manifest of a small state at a step.
func save(t testing.TB, step uint64, generation plan.Generation) saved {
	t.Helper()
	l := smallLayout(t)
	s := fill(l.NewState(), uint32(step)+1)
	s.Step = step
	return saveOf(t, l, s, generation)
}

// saveOf makes a checkpoint of a state.
func saveOf(t testing.TB, l *Layout, s *State, generation plan.Generation) saved {
	t.Helper()
	files, contents := encodeAll(t, l, s)
	m := &Manifest{Version: ManifestVersion, Job: "j", Step: s.Step, Generation: generation, Seats: 2, Digest: Digest(s.Params),
		StateDigest: StateDigest(s), Sums: s.Sums, Epochs: s.Epochs, Config: "name: j\n", Files: files}
	c := saved{l, s, m, map[string][]byte{}}
	for i, f := range files {
		c.contents[f.Name] = contents[i]
	}
	return c
}

// put stores the files, and the manifest too if commit is set.
func (c saved) put(s *Store, commit bool) error {
	for _, f := range c.manifest.Files {
		if err := s.PutFile(c.manifest.Folder(), f.Name, bytes.NewReader(c.contents[f.Name]), f.Bytes, f.SHA256); err != nil {
			return err
		}
	}
	if !commit {
		return nil
	}
	return s.Commit(c.manifest)
}

func mustOpen(t testing.TB, fsys disk.FS, dir string) *Store {
	t.Helper()
	s, err := Open(fsys, dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func retire(t testing.TB, s *Store, name Name) {
	t.Helper()
	if _, err := s.Retire(name); err != nil {
		t.Fatal(err)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stores runs a test on the operating system's files and in memory.
func stores(t *testing.T, test func(t *testing.T, fsys disk.FS, dir string)) {
	t.Run("os", func(t *testing.T) { test(t, disk.OS{}, filepath.Join(t.TempDir(), "a", "checkpoints")) })
	t.Run("memory", func(t *testing.T) { test(t, disk.NewMemFS(), "/a/checkpoints") })
}

func TestStoreRoundTrip(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		s := mustOpen(t, fsys, dir)
		if entries, err := s.List(); err != nil || len(entries) != 0 {
			t.Fatalf("a store that does not exist yet lists %v, %v", entries, err)
		}
		if _, err := fsys.Stat(dir); !errors.Is(err, os.ErrNotExist) {
			t.Fatalf("opening made something on disk: %v", err)
		}
		for step := uint64(250); step <= 750; step += 250 {
			must(t, save(t, step, 2).put(s, true))
		}
		must(t, save(t, 750, 2).put(s, true)) // again
		s = mustOpen(t, fsys, dir)
		entries, err := verified(s)
		must(t, err)
		var got []string
		for _, e := range entries {
			got = append(got, fmt.Sprint(e.Folder(), " ", e.Err))
		}
		want := []string{"step-0000000250-g2 <nil>", "step-0000000500-g2 <nil>", "step-0000000750-g2 <nil>"}
		if !slices.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
		e, bad, err := newestOf(s)
		must(t, err)
		if e.Step != 750 || len(bad) != 0 || e.Bytes <= e.Manifest.Bytes() {
			t.Fatalf("newest is %+v, damaged %v", e, bad)
		}
		c := save(t, 750, 2)
		state, err := e.Load(c.layout)
		must(t, err)
		if err := sameBits(c.state, state); err != nil {
			t.Fatal(err)
		}
		if state.Step != 750 || state.Sums != c.state.Sums || !slices.Equal(state.Epochs, c.state.Epochs) || StateDigest(state) != c.manifest.StateDigest {
			t.Errorf("got %+v", state)
		}
		retire(t, s, Name{Step: 500, Generation: 2})
		retire(t, s, Name{Step: 500, Generation: 2})
		if entries, err = s.List(); err != nil || len(entries) != 2 {
			t.Errorf("after retiring one: %v, %v", entries, err)
		}
	})
}

// The order of operations on disk is what makes a crash harmless; it is written down.
func TestStoreOperations(t *testing.T) {
	m := disk.NewMemFS()
	must(t, m.Mkdir("/c1"))
	s := mustOpen(t, m, "/c1/checkpoints")
	l := mustLayout(t, 1, tensorsOf("p", []int{2}), nil)
	state := l.NewState()
	var b bytes.Buffer
	f, err := l.EncodeShare(&b, 0, state)
	must(t, err)
	man := &Manifest{Version: ManifestVersion, Step: 5, Generation: 1, Seats: 1, Digest: Digest(state.Params), StateDigest: StateDigest(state), Files: []File{f}}
	must(t, s.PutFile(man.Folder(), f.Name, &b, f.Bytes, f.SHA256))
	must(t, s.Commit(man))
	retire(t, s, Name{Step: 5, Generation: 1})
	data, err := man.Encode()
	must(t, err)
	want := fmt.Sprintf(`mkdir /c1
mkdir /c1/checkpoints
syncdir /c1
mkdir /c1/checkpoints/STEP
syncdir /c1/checkpoints
create /c1/checkpoints/STEP/.tmp-0-FILE
write /c1/checkpoints/STEP/.tmp-0-FILE %d
sync /c1/checkpoints/STEP/.tmp-0-FILE
rename /c1/checkpoints/STEP/.tmp-0-FILE /c1/checkpoints/STEP/FILE
syncdir /c1/checkpoints/STEP
create /c1/checkpoints/STEP/.tmp-1-manifest.json
write /c1/checkpoints/STEP/.tmp-1-manifest.json %d
sync /c1/checkpoints/STEP/.tmp-1-manifest.json
rename /c1/checkpoints/STEP/.tmp-1-manifest.json /c1/checkpoints/STEP/manifest.json
syncdir /c1/checkpoints/STEP
remove /c1/checkpoints/STEP/manifest.json
syncdir /c1/checkpoints/STEP
remove /c1/checkpoints/STEP/FILE
remove /c1/checkpoints/STEP
syncdir /c1/checkpoints`, f.Bytes, len(data))
	want = strings.NewReplacer("STEP", "step-0000000005-g1", "FILE", "model-00001-of-00001.safetensors").Replace(want)
	if got := strings.Join(m.Log(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestStoreRefusesOtherBytes(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		c := save(t, 500, 1)
		must(t, c.put(mustOpen(t, fsys, dir), true))
		for _, s := range []*Store{mustOpen(t, fsys, dir), mustOpen(t, fsys, dir)} {
			f := c.manifest.Files[0]
			other := bytes.Clone(c.contents[f.Name])
			other[len(other)-1] ^= 1
			err := s.PutFile(c.manifest.Folder(), f.Name, bytes.NewReader(other), f.Bytes, sha256.Sum256(other))
			if !errors.Is(err, ErrConflict) {
				t.Errorf("other bytes: %v", err)
			}
			changed := *c.manifest
			changed.Config = "name: k\n"
			if err := s.Commit(&changed); !errors.Is(err, ErrConflict) {
				t.Errorf("other manifest: %v", err)
			}
			must(t, c.put(s, true))
			if entries, err := verified(s); err != nil || entries[0].Err != nil || entries[0].Manifest.Config != "name: j\n" {
				t.Errorf("the refused bytes show: %+v, %v", entries, err)
			}
		}
		noTemps(t, fsys, filepath.Join(dir, c.manifest.Folder()))
	})
}

func noTemps(t *testing.T, fsys disk.FS, dir string) {
	t.Helper()
	entries, err := fsys.List(dir)
	must(t, err)
	for _, e := range entries {
		if isTemp(e.Name) {
			t.Errorf("%s was left behind", e.Name)
		}
	}
}

func TestPutFileRefusals(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		s := mustOpen(t, fsys, dir)
		c := save(t, 500, 1)
		folder, f := c.manifest.Folder(), c.manifest.Files[0]
		content := c.contents[f.Name]
		for _, bad := range []struct {
			name         string
			folder, file string
			content      []byte
			size         int64
			want         string
		}{
			{"upwards", folder, "../x.safetensors", content, f.Bytes, "is not the name of a checkpoint's file"},
			{"separator", folder, "a/model-00001-of-00001.safetensors", content, f.Bytes, "is not the name of a checkpoint's file"},
			{"temporary", folder, ".tmp-0-manifest.json", content, f.Bytes, "is not the name of a checkpoint's file"},
			{"no name", folder, "", content, f.Bytes, "is not the name of a checkpoint's file"},
			{"folder upwards", "..", f.Name, content, f.Bytes, "is not the name of a checkpoint's folder"},
			{"folder below", folder + "/" + folder, f.Name, content, f.Bytes, "is not the name of a checkpoint's folder"},
			{"no folder", "", f.Name, content, f.Bytes, "is not the name of a checkpoint's folder"},
			{"long name", folder, strings.Repeat("x", 100000), content, f.Bytes, "is not the name of a checkpoint's file"},
			{"negative size", folder, f.Name, content, -1, "-1 bytes"},
			{"huge size", folder, f.Name, content, 1 << 62, "at most 4398046511104 are allowed"},
			{"too short", folder, f.Name, content[1:], f.Bytes, "were announced"},
			{"too long", folder, f.Name, append(bytes.Clone(content), 0), f.Bytes, "more than the"},
			{"other hash", folder, f.Name, append([]byte{1}, content[1:]...), f.Bytes, "announced was"},
		} {
			err := s.PutFile(bad.folder, bad.file, bytes.NewReader(bad.content), bad.size, f.SHA256)
			if err == nil || !strings.Contains(err.Error(), bad.want) || len(err.Error()) > 1000 || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: got %v, want %q", bad.name, err, bad.want)
			}
			if has, err := s.HasFile(folder, f); has || err != nil {
				t.Fatalf("%s: the file is in the store: %v, %v", bad.name, has, err)
			}
		}
		noTemps(t, fsys, filepath.Join(dir, folder))
		if err := s.Commit(c.manifest); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "file model-00001-of-00002.safetensors is missing") {
			t.Errorf("commit without files: %v", err)
		}
		if _, _, err := s.OpenFile(folder, "../../x"); err == nil {
			t.Error("a file elsewhere was opened")
		}
		if _, err := s.HasFile(folder, File{Name: "../../x"}); err == nil {
			t.Error("a file elsewhere was looked for")
		}
	})
}

// A file that decayed on disk may be put again with the bytes that its manifest asks for, and with no others.
func TestPutFileMendsDamage(t *testing.T) {
	m := disk.NewMemFS()
	c := save(t, 500, 1)
	must(t, c.put(mustOpen(t, m, "/s"), true))
	f := c.manifest.Files[1]
	name := "/s/" + c.manifest.Folder() + "/" + f.Name
	must(t, m.Corrupt(name, int(f.Bytes)-1))
	s := mustOpen(t, m, "/s")
	if has, err := s.HasFile(c.manifest.Folder(), f); has || err != nil {
		t.Fatalf("the damaged file counts: %v, %v", has, err)
	}
	other := bytes.Clone(c.contents[f.Name])
	other[len(other)-1] ^= 3
	if err := s.PutFile(c.manifest.Folder(), f.Name, bytes.NewReader(other), f.Bytes, sha256.Sum256(other)); !errors.Is(err, ErrConflict) {
		t.Errorf("other bytes: %v", err)
	}
	must(t, c.put(s, true))
	if entries, err := verified(s); err != nil || entries[0].Err != nil {
		t.Errorf("not mended: %+v, %v", entries, err)
	}
	must(t, m.Corrupt("/s/"+c.manifest.Folder()+"/"+ManifestName, 40))
	s = mustOpen(t, m, "/s")
	if entries, _ := s.List(); !errors.Is(entries[0].Err, ErrDamaged) {
		t.Errorf("damaged manifest: %v", entries[0].Err)
	}
	must(t, c.put(s, true))
	if entries, err := verified(s); err != nil || entries[0].Err != nil {
		t.Errorf("manifest not mended: %+v, %v", entries, err)
	}
}

func TestNewestFallsBack(t *testing.T) {
	type change func(t *testing.T, m *disk.MemFS, folder string)
	corrupt := func(file string, at int) change {
		return func(t *testing.T, m *disk.MemFS, folder string) { must(t, m.Corrupt(folder+"/"+file, at)) }
	}
	const model = "model-00001-of-00002.safetensors"
	for _, c := range []struct {
		name string
		do   change
		want string
	}{
		{"share", corrupt(model, 120), "checkpoint step 500: file model-00001-of-00002.safetensors is damaged (SHA-256 is "},
		{"share's header", corrupt(model, 3), "is damaged (SHA-256 is "},
		{"optimizer", corrupt("optim-00002-of-00002.safetensors", 9), "file optim-00002-of-00002.safetensors is damaged (SHA-256 is "},
		{"cut share", func(t *testing.T, m *disk.MemFS, folder string) { must(t, m.Truncate(folder+"/"+model, 17)) }, "is damaged (it has 17 bytes, the manifest says "},
		{"missing share", func(t *testing.T, m *disk.MemFS, folder string) { must(t, m.Remove(folder+"/"+model)) }, "is missing"},
		{"manifest", corrupt(ManifestName, 30), "manifest is damaged"},
		{"cut manifest", func(t *testing.T, m *disk.MemFS, folder string) { must(t, m.Truncate(folder+"/"+ManifestName, 100)) }, "manifest is damaged"},
		{"empty manifest", func(t *testing.T, m *disk.MemFS, folder string) { must(t, m.Truncate(folder+"/"+ManifestName, 0)) }, "manifest is damaged"},
		{"manifest of another step", func(t *testing.T, m *disk.MemFS, folder string) {
			must(t, m.Remove(folder+"/"+ManifestName))
			must(t, m.Rename("/s/step-0000000250-g1/"+ManifestName, folder+"/"+ManifestName))
			must(t, save(t, 250, 1).put(mustOpen(t, m, "/s"), true))
		}, "manifest is damaged: it belongs to step-0000000250-g1"},
	} {
		m := disk.NewMemFS()
		s := mustOpen(t, m, "/s")
		must(t, save(t, 250, 1).put(s, true))
		must(t, save(t, 500, 1).put(s, true))
		must(t, save(t, 750, 1).put(s, false))
		c.do(t, m, "/s/"+Name{Step: 500, Generation: 1}.Folder())
		f, err := Locate(m, "/s")
		must(t, err)
		if f.Newest == nil || f.Newest.Step != 250 {
			t.Errorf("%s: newest is %v", c.name, f.Newest)
			continue
		}
		w := f.Warnings()
		if len(w) != 1 || !strings.Contains(w[0], c.want) || !strings.HasSuffix(w[0], "; using step 250 before it") || strings.Contains(w[0], "\n") {
			t.Errorf("%s: warnings %q, want %q", c.name, w, c.want)
		}
		if _, err := f.At(500); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: step 500 by name: %v", c.name, err)
		}
		if _, err := f.At(750); !errors.Is(err, ErrUnfinished) {
			t.Errorf("%s: step 750 by name: %v", c.name, err)
		}
	}
}

// Files that are whole do not help where the manifest and the state do not agree.
func TestLoadChecksDigests(t *testing.T) {
	for name, change := range map[string]func(m *Manifest){
		"digest":       func(m *Manifest) { m.Digest[0]++ },
		"state digest": func(m *Manifest) { m.StateDigest[0]++ },
		"sums":         func(m *Manifest) { m.Sums.Count++ },
	} {
		c := save(t, 500, 1)
		change(c.manifest)
		_, err := Load(c.manifest, c.layout, func(name string) (io.ReadCloser, error) {
			return io.NopCloser(bytes.NewReader(c.contents[name])), nil
		})
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "digest") {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := save(t, 500, 1)
	open := func(name string) (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(c.contents[name])), nil
	}
	plain := mustLayout(t, 2, tensorsOf("p", []int{2, 3}, []int{4}), tensorsOf("s", []int{3}))
	if _, err := Load(c.manifest, plain, open); err == nil || !strings.Contains(err.Error(), "it has 5 files, this job's model and optimizer make 3") {
		t.Errorf("another optimizer: %v", err)
	}
	momentum := mustLayout(t, 2, tensorsOf("p", []int{2, 3}, []int{4}), tensorsOf("s", []int{3}), "momentum_buffer")
	if _, err := Load(c.manifest, momentum, open); err == nil || !strings.Contains(err.Error(), "tensor exp_avg.p0.weight is not one of the model's") {
		t.Errorf("another buffer: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	c := save(t, 500, 1)
	for n := 1; ; n++ {
		m := disk.NewMemFS()
		m.FailAt(n, syscall.ENOSPC)
		s := mustOpen(t, m, "/s")
		err := c.put(s, true)
		if err == nil {
			if n < 20 {
				t.Fatalf("operation %d was the last", n)
			}
			return
		}
		if !errors.Is(err, syscall.ENOSPC) || !strings.Contains(err.Error(), "no space for its ") || strings.Contains(err.Error(), "\n") {
			t.Fatalf("operation %d: %v", n, err)
		}
		if entries, err := s.List(); err != nil || (len(entries) == 1 && entries[0].Err == nil && !strings.HasPrefix(last(m.Log()), "syncdir")) {
			t.Fatalf("operation %d: %v, %v", n, entries, err)
		}
		// With space again the same store goes on.
		must(t, c.put(s, true))
		noTemps(t, m, "/s/"+c.manifest.Folder())
		if entries, err := verified(s); err != nil || entries[0].Err != nil {
			t.Fatalf("operation %d: %+v, %v", n, entries, err)
		}
	}
}

func last(lines []string) string { return lines[len(lines)-1] }

func TestUploadsAtOnce(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		s := mustOpen(t, fsys, dir)
		c := save(t, 500, 1)
		var group sync.WaitGroup
		errs := make(chan error, 100)
		for range 4 { // the same files four times
			for _, f := range c.manifest.Files {
				group.Go(func() {
					u, err := s.Begin(c.manifest.Folder(), f.Name, f.Bytes)
					if err != nil {
						errs <- err
						return
					}
					for _, b := range c.contents[f.Name] {
						if _, err := u.Write([]byte{b}); err != nil {
							errs <- err
						}
					}
					errs <- u.Commit(f.SHA256)
					u.Abort()
				})
			}
		}
		group.Wait()
		close(errs)
		for err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
		must(t, s.Commit(c.manifest))
		noTemps(t, fsys, filepath.Join(dir, c.manifest.Folder()))
		if e, _, err := newestOf(s); err != nil || e.Step != 500 {
			t.Errorf("newest %+v, %v", e, err)
		}
	})
}

func TestUploadAfterItsEnd(t *testing.T) {
	s := mustOpen(t, disk.NewMemFS(), "/s")
	c := save(t, 500, 1)
	f := c.manifest.Files[0]
	u, err := s.Begin(c.manifest.Folder(), f.Name, f.Bytes)
	must(t, err)
	u.Abort()
	u.Abort()
	if _, err := u.Write([]byte{1}); err == nil {
		t.Error("written after the end")
	}
	if err := u.Commit(f.SHA256); err == nil {
		t.Error("committed after the end")
	}
}

func TestOpenRefusesAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x")
	must(t, os.WriteFile(name, nil, 0o600))
	if _, err := Open(disk.OS{}, name); err == nil || !strings.Contains(err.Error(), "is not a directory") {
		t.Errorf("got %v", err)
	}
}
