package checkpoint

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint/disk"
)

// layRun lays out a run's directory with three coordinators.
func layRun(t *testing.T, fsys disk.FS, dir string) {
	t.Helper()
	for _, id := range []string{"c1", "c2", "c3"} {
		s := mustOpen(t, fsys, filepath.Join(dir, "coordinators", id, "checkpoints"))
		must(t, save(t, 250, 1).put(s, true))
		must(t, save(t, 500, 2).put(s, id != "c2"))
	}
	must(t, fsys.Mkdir(filepath.Join(dir, "logs")))
}

func TestTheStoresOfARunAreFoundFromItsFolders(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		layRun(t, fsys, dir)
		for _, c := range []struct {
			dir     string
			stores  int
			entries int
			step    uint64 // 0: none
		}{
			{"", 3, 6, 500},
			{"coordinators", 3, 6, 500},
			{"coordinators/c2", 1, 2, 250},
			{"coordinators/c1/checkpoints", 1, 2, 500},
			{"coordinators/c1/checkpoints/step-0000000250-g1", 1, 1, 250},
			{"coordinators/c2/checkpoints/step-0000000500-g2", 1, 1, 0},
			{"logs", 0, 0, 0},
		} {
			f, err := Locate(fsys, filepath.Join(dir, filepath.FromSlash(c.dir)))
			must(t, err)
			step := uint64(0)
			if f.Newest != nil {
				step = f.Newest.Step
			}
			if _, err := f.Best(); (err == nil) != (c.step > 0) || err != nil && !errors.Is(err, ErrNone) {
				t.Errorf("%s: %v", c.dir, err)
			}
			if len(f.Stores) != c.stores || len(f.Entries) != c.entries || step != c.step || len(f.Damaged) != 0 || len(f.Warnings()) != 0 {
				t.Errorf("%s: %d stores, %d entries, step %d, damaged %v", c.dir, len(f.Stores), len(f.Entries), step, f.Damaged)
			}
		}
		if _, err := Locate(fsys, filepath.Join(dir, "nowhere")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("a missing directory: %v", err)
		}
	})
}

func TestLocateFromInside(t *testing.T) {
	dir := t.TempDir()
	layRun(t, disk.OS{}, dir)
	t.Chdir(filepath.Join(dir, "coordinators", "c1", "checkpoints", "step-0000000250-g1"))
	f, err := Locate(disk.OS{}, ".")
	must(t, err)
	if f.Newest == nil || f.Newest.Step != 250 || len(f.Entries) != 1 {
		t.Errorf("found %+v", f)
	}
}

func TestLocateUsesAnotherCopy(t *testing.T) {
	m := disk.NewMemFS()
	layRun(t, m, "/r")
	must(t, m.Corrupt("/r/coordinators/c3/checkpoints/step-0000000500-g2/optim-00001-of-00002.safetensors", 130))
	f, err := Locate(m, "/r")
	must(t, err)
	w := f.Warnings()
	if f.Newest == nil || f.Newest.Step != 500 || len(w) != 1 {
		t.Fatalf("newest %+v, warnings %q", f.Newest, w)
	}
	for _, want := range []string{"/c3/checkpoints/step-0000000500-g2: checkpoint step 500: file optim-00001-of-00002.safetensors is damaged", "; using its copy in /r/coordinators/c1/checkpoints/step-0000000500-g2"} {
		if !strings.Contains(w[0], want) {
			t.Errorf("warning %q, want %q", w[0], want)
		}
	}
	if e, err := f.At(500); err != nil || e.Path != f.Newest.Path {
		t.Errorf("at step 500: %v, %v", e, err)
	}
	if _, err := f.At(501); err == nil || err.Error() != "no checkpoint at step 501 in /r; there is one at step 250, 500" {
		t.Errorf("at step 501: %v", err)
	}
	for _, id := range []string{"c1", "c2", "c3"} {
		must(t, m.Truncate("/r/coordinators/"+id+"/checkpoints/step-0000000250-g1/manifest.json", 3))
	}
	must(t, m.Remove("/r/coordinators/c1/checkpoints/step-0000000500-g2/model-00001-of-00002.safetensors"))
	if f, err = Locate(m, "/r"); err != nil || f.Newest != nil || len(f.Damaged) != 5 || len(f.Warnings()) != 0 {
		t.Fatalf("%+v, %v", f, err)
	}
	_, err = f.Best()
	const want = "no whole checkpoint in /r: /r/coordinators/c3/checkpoints/step-0000000500-g2: checkpoint step 500: file optim-00001-of-00002.safetensors is damaged ("
	if !errors.Is(err, ErrNone) || !errors.Is(err, ErrDamaged) || !strings.HasPrefix(err.Error(), want) || !strings.Contains(err.Error(), "), and so are 4 others") {
		t.Errorf("no good one is left: %v", err)
	}
}

// TestNewestOfGenerations: of a step's checkpoints that of the latest generation counts, by its number and wherever it is.
func TestNewestOfGenerations(t *testing.T) {
	m := disk.NewMemFS()
	must(t, save(t, 500, 10).put(mustOpen(t, m, "/r/c1"), true))
	must(t, save(t, 500, 9).put(mustOpen(t, m, "/r/c1"), true))
	must(t, save(t, 500, 9).put(mustOpen(t, m, "/r/c2"), true))
	for _, dir := range []string{"/r", "/r/c1"} {
		f, err := Locate(m, dir)
		must(t, err)
		if at, err := f.At(500); err != nil || at.Generation != 10 || f.Newest == nil || f.Newest.Generation != 10 {
			t.Errorf("%s: newest %+v, at step 500 %+v, %v", dir, f.Newest, at, err)
		}
	}
}

// TestBestCountsTheDamaged words how many are damaged.
func TestBestCountsTheDamaged(t *testing.T) {
	for n, want := range map[int]string{1: "/r: /c: damaged", 2: "/r: /c: damaged, and so is another", 3: "/r: /c: damaged, and so are 2 others"} {
		f := Found{Dir: "/r", Damaged: slices.Repeat([]Entry{{Path: "/c", Err: ErrDamaged}}, n)}
		if _, err := f.Best(); err == nil || err.Error() != "no whole checkpoint in "+want {
			t.Errorf("%d damaged: %v", n, err)
		}
	}
}

func TestChoiceOfSteps(t *testing.T) {
	steps := func(n int) []Entry {
		var entries []Entry
		for i := range n {
			entries = append(entries, Entry{Name: Name{Step: uint64(10 * i)}}, Entry{Name: Name{Step: uint64(10 * i), Generation: 2}})
		}
		return entries
	}
	for n, want := range map[int]string{
		0:   "there is no other",
		3:   "there is one at step 0, 10, 20",
		12:  "there is one at step 0, 10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110",
		100: "there is one at step 0, 10, 20, 30, 40, ..., 950, 960, 970, 980, 990",
	} {
		if got := choice(steps(n)); got != want {
			t.Errorf("%d steps: %s, want %s", n, got, want)
		}
	}
}

func TestAnExportHoldsTheCheckpointsParameters(t *testing.T) {
	stores(t, func(t *testing.T, fsys disk.FS, dir string) {
		s := mustOpen(t, fsys, dir)
		c := save(t, 500, 1)
		must(t, c.put(s, true))
		e, _, err := newestOf(s)
		must(t, err)
		var b bytes.Buffer
		must(t, e.Export(&b))
		back, err := c.layout.ReadModel(bytes.NewReader(b.Bytes()), int64(b.Len()))
		must(t, err)
		for i := range back.Optim {
			copy(back.Optim[i].Data, c.state.Optim[i].Data)
		}
		if err := sameBits(c.state, back); err != nil {
			t.Error(err)
		}
		if !bytes.Contains(b.Bytes(), []byte(`{"__metadata__":{"format":"pt","ringmaster.job":"name: j\n"},"p0.weight":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},"p1.weight"`)) || bytes.Contains(b.Bytes(), []byte("exp_avg")) {
			t.Errorf("header %q", b.Bytes()[:300])
		}
	})
}

// An export of an optimizer's buffer has the names of the parameters, the buffer's values and their digest, and notices damage.
func TestExportOfABuffer(t *testing.T) {
	m := disk.NewMemFS()
	s := mustOpen(t, m, "/s")
	c := save(t, 500, 1)
	must(t, c.put(s, true))
	e, _, err := newestOf(s)
	must(t, err)
	for _, buffer := range c.state.Optim {
		var b bytes.Buffer
		digest, err := e.ExportBuffer(&b, buffer.Name)
		must(t, err)
		back, err := c.layout.ReadModel(bytes.NewReader(b.Bytes()), int64(b.Len()))
		must(t, err)
		if Digest(back.Params) != Digest(buffer.Data) || digest != Digest(buffer.Data) || Digest(back.Stats) != Digest(c.state.Stats) {
			t.Errorf("%s: the export holds other values, or names the digest %s", buffer.Name, digest.Short())
		}
	}
	if _, err := e.ExportBuffer(&bytes.Buffer{}, "ema"); err == nil || !strings.Contains(err.Error(), "no tensor whose name begins with ema.") {
		t.Error(err)
	}
	name := "/s/" + c.manifest.Folder() + "/optim-00001-of-00002.safetensors"
	size := len(c.contents["optim-00001-of-00002.safetensors"])
	for _, at := range []int{size / 2, size - 1} { // also of the tensors that are passed over
		must(t, m.Corrupt(name, at))
		if _, err := e.ExportBuffer(&bytes.Buffer{}, c.state.Optim[0].Name); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v", at, err)
		}
		must(t, m.Corrupt(name, at))
	}
}

// An export of a buffer has frozen parameters, of which the optimizer keeps nothing, as they are, and everything in the order of the parameters.
func TestExportOfABufferWithFrozenParameters(t *testing.T) {
	params := tensorsOf("p", []int{2, 3}, []int{5}, []int{4}, []int{1}, []int{2, 2})
	params[0].Frozen, params[2].Frozen, params[3].Frozen = true, true, true
	layout, err := NewLayout(3, params, nil, []string{"momentum_buffer", "ema"})
	must(t, err)
	state := layout.NewState()
	for _, values := range [][]float32{state.Params, state.Optim[0].Data, state.Optim[1].Data} {
		for i := range values {
			values[i] = float32(100*len(values) + i)
		}
	}
	state.Optim[0].Data[3] = -1
	if got := len(state.Optim[1].Data); got != 9 {
		t.Fatalf("an average of %d values", got)
	}
	s := mustOpen(t, disk.NewMemFS(), "/s")
	c := saveOf(t, layout, state, 1)
	must(t, c.put(s, true))
	e, _, err := newestOf(s)
	must(t, err)
	var b bytes.Buffer
	digest, err := e.ExportBuffer(&b, "ema")
	must(t, err)
	back, err := layout.ReadModel(bytes.NewReader(b.Bytes()), int64(b.Len()))
	must(t, err)
	want := slices.Clone(state.Params)
	copy(want[6:11], state.Optim[1].Data[:5])
	copy(want[16:], state.Optim[1].Data[5:])
	if digest != Digest(want) || Digest(back.Params) != digest {
		t.Errorf("%v, want %v", back.Params, want)
	}
	whole, err := NewLayout(3, tensorsOf("p", []int{2, 3}, []int{5}, []int{4}, []int{1}, []int{2, 2}), nil, []string{"momentum_buffer", "ema"})
	must(t, err)
	if err := whole.Admit(c.manifest); err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "model.init") {
		t.Errorf("a layout with more in it admits the checkpoint: %v", err)
	}
	must(t, layout.Admit(c.manifest))
}

func TestExportNoticesDamage(t *testing.T) {
	m := disk.NewMemFS()
	c := save(t, 500, 1)
	must(t, c.put(mustOpen(t, m, "/s"), true))
	name := "/s/" + c.manifest.Folder() + "/model-00001-of-00002.safetensors"
	size := len(c.contents["model-00001-of-00002.safetensors"])
	for _, at := range []int{0, 15, size - 1} {
		must(t, m.Corrupt(name, at))
		entries, err := mustOpen(t, m, "/s").List()
		must(t, err)
		if err := entries[0].Export(&bytes.Buffer{}); !errors.Is(err, ErrDamaged) {
			t.Errorf("byte %d: %v", at, err)
		}
		must(t, m.Corrupt(name, at)) // flips it back
	}
	entries, err := mustOpen(t, m, "/s").List()
	must(t, err)
	must(t, entries[0].Export(&bytes.Buffer{}))
}

// Python's own library reads every file, where it is installed.
func TestPythonReadsTheFiles(t *testing.T) {
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import safetensors.numpy").Run(); err != nil {
		t.Skipf("%s has no safetensors with numpy: set PYTHON to an interpreter that has", python)
	}
	dir := t.TempDir()
	s := mustOpen(t, disk.OS{}, dir)
	c := save(t, 500, 1)
	must(t, c.put(s, true))
	e, _, err := newestOf(s)
	must(t, err)
	out, err := os.Create(filepath.Join(dir, "export.safetensors"))
	must(t, err)
	must(t, e.Export(out))
	must(t, out.Close())
	script := `
import sys, glob, hashlib
from safetensors.numpy import load_file
whole = load_file(sys.argv[1] + "/export.safetensors")
shares = {}
for f in sorted(glob.glob(sys.argv[1] + "/step-*/*.safetensors")):
    shares.update(load_file(f))
for k, v in whole.items():
    assert v.tobytes() == shares[k].tobytes() and v.shape == shares[k].shape, k
print(len(whole), len(shares), whole["p0.weight"].shape, hashlib.sha256(whole["p0.weight"].tobytes() + whole["p1.weight"].tobytes()).hexdigest())
`
	got, err := exec.Command(python, "-c", script, dir).CombinedOutput()
	want := "3 5 (2, 3) " + c.manifest.Digest.String()
	if err != nil || strings.TrimSpace(string(got)) != want {
		t.Errorf("python says %s, %v; want %s", got, err, want)
	}
}

// newestOf is the newest good checkpoint of one store, and the damaged ones that are newer.
func newestOf(s *Store) (Entry, []Entry, error) {
	entries, err := s.List()
	good, bad := newest(entries)
	if good == nil {
		return Entry{}, bad, errors.Join(err, ErrNone)
	}
	return *good, bad, err
}

// verified is the store's entries with every file read.
func verified(s *Store) ([]Entry, error) {
	entries, err := s.List()
	for i := range entries {
		entries[i] = entries[i].Verify()
	}
	return entries, err
}
