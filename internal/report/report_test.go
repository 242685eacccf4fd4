package report

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
)

// trained is what a run of a test did.
type trained struct {
	job    string // YAML beside the name
	steps  uint64
	forks  uint64 // from this step on its loss is another one; 0: never
	data   byte
	epochs []checkpoint.EpochMetrics
}

// save writes a run's checkpoint into a folder of runs and loads it.
func save(t *testing.T, name string, what trained) *Run {
	t.Helper()
	job, err := config.Parse("", []byte("name: digits\nseed: 1\nseats: 2\n"+what.job), nil)
	if err != nil {
		t.Fatal(err)
	}
	job.Resolve(1000)
	layout, err := checkpoint.NewLayout(job.Seats, []checkpoint.Tensor{{Name: "w", Shape: []int{4}, Interval: plan.Interval{Begin: 0, End: 4}}}, nil, []string{"momentum_buffer"})
	if err != nil {
		t.Fatal(err)
	}
	layout = layout.WithHistory(false)
	state := layout.NewState()
	state.Step = what.steps
	for step := uint64(1); step <= what.steps; step++ {
		loss := 2 / float64(step)
		if what.forks != 0 && step >= what.forks {
			loss *= 1.5
			state.Params[0] = float32(step)
		}
		state.History.Note(step, loss, 1-1/float64(step), 0.1, func() float64 { return 1 })
	}
	m := &checkpoint.Manifest{Version: checkpoint.ManifestVersion, Job: "digits", Incarnation: 7, Step: what.steps, Generation: 1, Seats: job.Seats, Digest: checkpoint.Digest(state.Params),
		StateDigest: checkpoint.StateDigest(state), Fingerprint: checkpoint.Hash{what.data}, Epochs: what.epochs, Config: string(job.Encode())}
	dir := filepath.Join(t.TempDir(), name)
	store, err := checkpoint.Open(disk.OS{}, filepath.Join(dir, "coordinators", "c1", "checkpoints"))
	if err != nil {
		t.Fatal(err)
	}
	for k := range layout.Shares() {
		var b bytes.Buffer
		f, err := layout.EncodeShare(&b, k, state)
		if err == nil {
			err = store.PutFile(m.Folder(), f.Name, bytes.NewReader(b.Bytes()), int64(b.Len()), sha256.Sum256(b.Bytes()))
		}
		if err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	if err := store.Commit(m); err != nil {
		t.Fatal(err)
	}
	return load(t, dir)
}

func load(t *testing.T, dir string) *Run {
	t.Helper()
	found, err := checkpoint.Locate(disk.OS{}, dir)
	if err != nil {
		t.Fatal(err)
	}
	entry, err := found.Best()
	if err != nil {
		t.Fatal(err)
	}
	r, err := Load(dir, entry, found.Entries)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// Whatever differs between two runs is found, and runs that do not differ are the same.
func TestDiff(t *testing.T) {
	epoch := []checkpoint.EpochMetrics{{Epoch: 1, Step: 100, TrainLoss: 0.5, HasEval: true, EvalLoss: 0.25, EvalAccuracy: 0.5, Metrics: "f1=0.5"}}
	other := []checkpoint.EpochMetrics{{Epoch: 1, Step: 100, TrainLoss: 0.5, HasEval: true, EvalLoss: 0.25, EvalAccuracy: 0.5, Metrics: "f1=0.25"}}
	base := save(t, "base", trained{steps: 200, epochs: epoch})
	for name, test := range map[string]struct {
		of   trained
		want []string // lines, whose columns are one blank apart
	}{
		"same":     {trained{steps: 200, epochs: epoch}, []string{"configuration equal", "data equal", "curve equal up to step 200", "weights equal at step 200, and all else that training goes on from"}},
		"rate":     {trained{steps: 200, epochs: epoch, job: "train: {optimizer: {kind: adam, lr: 0.5}}"}, []string{"configuration train.optimizer.lr: 0.001 | 0.5", "data equal"}},
		"free":     {trained{steps: 200, epochs: epoch, job: "checkpoint: {keep_last: 9}"}, []string{"configuration checkpoint.keep_last: 3 | 9 (equal steps have equal weights all the same)"}},
		"data":     {trained{steps: 200, epochs: epoch, data: 5}, []string{"data differ: fingerprints 00"}},
		"fork":     {trained{steps: 200, epochs: epoch, forks: 151}, []string{"curve differs from step 151 on: loss 0.013245033 | 0.01986755", "weights differ at step 200"}},
		"longer":   {trained{steps: 3000, epochs: epoch, forks: 201}, []string{"curve equal up to step 200", "steps 2800 apart", "weights there is no step of which both have a good checkpoint"}},
		"thinned":  {trained{steps: 3000, epochs: epoch, forks: 98}, []string{"curve differs from one of the steps 97 to 100 on: loss"}},
		"epochs":   {trained{steps: 200, epochs: other}, []string{"epochs differ from epoch 1 on"}},
		"no epoch": {trained{steps: 200}, []string{"curve equal up to step 200", "epochs differ from epoch 1 on"}},
	} {
		d := Compare(base, save(t, "b", test.of))
		var b strings.Builder
		if err := d.Write(&b); err != nil {
			t.Fatal(err)
		}
		said := strings.Join(strings.Fields(b.String()), " ")
		for _, want := range test.want {
			if !strings.Contains(said, want) {
				t.Errorf("%s: there is no %q in\n%s", name, want, &b)
			}
		}
		if d.Same != (name == "same") {
			t.Errorf("%s: same is %v:\n%s", name, d.Same, &b)
		}
	}
}

// Folders of runs may hold anything: what is no run is passed over, and what is damaged is listed with what is wrong.
func TestList(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"good/job.yaml": "name: a\n", "good/status.json": `{"job":"a","state":"done","step":9,"steps":9,"train_loss":0.5,"digest_step":9,"digest":"abcdef0123456789"}`,
		"lost/job.yaml": "name: a\n", "lost/status.json": `{"job":"a","state":"running","step":5,"train_loss":null}`,
		"broken/launches": "1\n", "broken/status.json": `{"job":`, "new/job.yaml": "", "foreign/status.json": "{}", "file": "x",
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	rows, err := List(t.Context(), dir, "here")
	if err != nil {
		t.Fatal(err)
	}
	states := map[string]string{}
	for _, r := range rows {
		states[filepath.Base(r.Run)] = r.State
		if (r.State == "damaged") != (r.Problem != "") || r.Bytes < 0 || r.Changed.IsZero() {
			t.Errorf("%+v", r)
		}
	}
	for run, want := range map[string]string{"good": "done", "lost": "interrupted", "broken": "damaged", "new": "new"} {
		if states[run] != want {
			t.Errorf("%s is %q, want %q", run, states[run], want)
		}
	}
	if len(rows) != 4 {
		t.Errorf("%d runs: %v", len(rows), states)
	}
	alone, err := List(t.Context(), filepath.Join(dir, "good"), "here")
	if err != nil || len(alone) != 1 || alone[0].Step != 9 || alone[0].TrainLoss == nil {
		t.Errorf("of one run: %+v, %v", alone, err)
	}
	if _, err := List(t.Context(), filepath.Join(dir, "nowhere"), "here"); err == nil {
		t.Error("a folder that does not exist has runs")
	}
}
