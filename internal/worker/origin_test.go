package worker

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// storedLinks are links to a coordinator whose store is at hand.
type storedLinks struct {
	Network
	store *checkpoint.Store
}

func (*storedLinks) Coordinators() []string { return []string{"c1"} }

func (l *storedLinks) GetFile(_ context.Context, _, folder, name string, w io.Writer) error {
	r, _, err := l.store.OpenFile(folder, name)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// TestRestoreComparesTheConfiguration changes one byte of the job's configuration in the log: a worker that is to go on from a checkpoint
// refuses by what the checkpoint's own manifest says, whether or not the log's entry holds the configuration it was made with.
func TestRestoreComparesTheConfiguration(t *testing.T) {
	p := assemble(t)
	right := p.Job.Encode()
	wrong := bytes.Replace(right, []byte("lr: 0.001"), []byte("lr: 0.005"), 1)
	if bytes.Equal(wrong, right) {
		t.Fatalf("no learning rate in\n%s", right)
	}
	for name, c := range map[string]struct {
		config, entry []byte // the job's; the log's entry's
		want          string
	}{
		"the same":                     {right, nil, ""},
		"changed":                      {wrong, nil, "train.optimizer.lr is 0.005, but was 0.001"},
		"changed since another launch": {wrong, right, "train.optimizer.lr is 0.005, but was 0.001"},
	} {
		links := &storedLinks{}
		w := New(Config{Threads: 1, Log: slog.New(slog.DiscardHandler)}, links)
		j := newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job", Config: c.config}})
		w.job = j
		made, err := trainer.New(t.Context(), p, j.team)
		if err != nil {
			t.Fatal(err)
		}
		j.plan = p
		j.trainer.Store(made)
		j.hold(rpc.Phase_PHASE_READY)
		m := storeAhead(t, links, made, right)
		m.Config = string(c.entry)
		entry, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if !j.restore(t.Context(), &rpc.Order{Job: &rpc.JobSpec{Id: "job", Config: c.config, Manifest: entry}}) {
			t.Fatalf("%s: nothing is restored: %s", name, j.failure)
		}
		(<-w.events)()
		var r rpc.Report
		j.describe(&r)
		switch {
		case c.want == "":
			if r.Phase != rpc.Phase_PHASE_READY || r.ConfigDiffers || made.Step() != m.Step {
				t.Errorf("%s: phase %v at step %d: %s", name, r.Phase, made.Step(), r.Failure)
			}
		case r.Phase != rpc.Phase_PHASE_FAILED || !r.ConfigDiffers || made.Step() != 0 || !strings.Contains(r.Failure, c.want) || !strings.Contains(r.Failure, m.Folder()):
			t.Errorf("%s: phase %v at step %d: %s", name, r.Phase, made.Step(), r.Failure)
		}
		w.dropJob()
	}
}

// storeAhead stores a trainer's state as a checkpoint at step 5 that a job with that configuration saved.
func storeAhead(t *testing.T, links *storedLinks, made *trainer.Trainer, config []byte) *checkpoint.Manifest {
	t.Helper()
	layout, err := made.Layout()
	if err != nil {
		t.Fatal(err)
	}
	state := made.State()
	state.Step = 5
	m := &checkpoint.Manifest{Version: checkpoint.ManifestVersion, Job: "job", Incarnation: 7, Step: 5, Generation: 1, Seats: 3, Config: string(config),
		Digest: checkpoint.Digest(state.Params), StateDigest: checkpoint.StateDigest(&state)}
	if links.store, err = checkpoint.Open(disk.OS{}, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	for k, share := range layout.Shares() {
		var file bytes.Buffer
		f, err := layout.EncodeShare(&file, k, &state)
		if err != nil {
			t.Fatal(err)
		}
		if err := links.store.PutFile(m.Folder(), share.Name, &file, f.Bytes, f.SHA256); err != nil {
			t.Fatal(err)
		}
		m.Files = append(m.Files, f)
	}
	if err := links.store.Commit(m); err != nil {
		t.Fatal(err)
	}
	return m
}
