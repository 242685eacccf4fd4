package cluster

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/test/cost"
)

// longJob is a state whose only job has done that number of epochs and keeps three checkpoints.
func longJob(t testing.TB, epochs int) *fsm.State {
	t.Helper()
	job, err := config.Parse("job.yaml", []byte("name: long\nseed: 1\nseats: 4\nmodel: {kind: mlp, layers: [784, 128, 10]}\ndata: {kind: glyphs}\ntrain: {epochs: 100000, batch_per_seat: 8, optimizer: {kind: adam, lr: 0.001}}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	st := &fsm.State{Cluster: 1}
	do := func(c fsm.Command) {
		t.Helper()
		if err := st.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	do(fsm.Command{Submit: &fsm.Submit{ID: "long", Incarnation: 7, Name: "long", Seats: 4, Keep: 3, Config: job.Encode(), Fingerprint: make([]byte, 32)}})
	view := fsm.View{View: plan.View{Generation: 1, Seats: 4, Members: []plan.Member{{Worker: "w1", Incarnation: 9, Arc: plan.Arc{End: 4}}}}}
	do(fsm.Command{View: &fsm.ProposeView{Job: "long", View: view}})
	do(fsm.Command{Start: &fsm.Start{Job: "long", Generation: 1, Sources: []string{"w1"}, StateDigest: make([]byte, 32)}})
	for e := 1; e <= epochs; e++ {
		do(fsm.Command{Epoch: &fsm.Epoch{Job: "long", Generation: 1, Epoch: e, Step: uint64(e) * 469, TrainLoss: math.Float64bits(1 / (math.Pi + float64(e))), HasEval: true,
			EvalLoss: math.Float64bits(1 / (math.E + float64(e))), EvalAccuracy: math.Float64bits(0.9764), EvalCount: 10000}})
		if epochs-e >= 3 {
			continue
		}
		var shares []*rpc.ShareFact
		for k := range 8 {
			kind := []string{"model", "optim"}[k/4]
			shares = append(shares, &rpc.ShareFact{Step: uint64(e) * 469, Digest: make([]byte, 32), StateDigest: make([]byte, 32), Epoch: uint32(e),
				File: &rpc.StoredFile{Name: fmt.Sprintf("%s-%05d-of-00004.safetensors", kind, k%4+1), Bytes: 100000, Sha256: make([]byte, 32)}})
		}
		c, err := describeCheckpoint(st.Job("long"), shares)
		if err != nil {
			t.Fatal(err)
		}
		do(fsm.Command{Checkpoint: &c})
	}
	return st
}

// History grows by a row an epoch, in one place: entries and manifests of checkpoints in the log do not grow with it.
func TestHistoryStandsOnce(t *testing.T) {
	size := func(epochs int) (snapshot, entry int) {
		st := longJob(t, epochs)
		data, err := st.Encode()
		if err != nil {
			t.Fatal(err)
		}
		command, err := fsm.EncodeCommand(fsm.Command{Checkpoint: st.Job("long").Newest()})
		if err != nil {
			t.Fatal(err)
		}
		return len(data), len(command)
	}
	snapshot, entry := size(3)
	longSnapshot, longEntry := size(1003)
	if row := (longSnapshot - snapshot) / 1000; row > 95 {
		t.Errorf("an epoch takes %d bytes of the snapshot", row)
	}
	if longEntry > entry+100 {
		t.Errorf("a checkpoint's entry grows from %d bytes to %d", entry, longEntry)
	}
	t.Logf("after 3 epochs the snapshot has %d bytes and a checkpoint's entry %d, after 1003 epochs %d and %d", snapshot, entry, longSnapshot, longEntry)
}

// The log's entry and the job together give the manifest that is in the file, and a job that resumes from it takes it over whole.
func TestWholeManifest(t *testing.T) {
	st := longJob(t, 20)
	j := st.Job("long")
	job, err := config.Decode(j.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range j.Checkpoints {
		m, err := wholeManifest(j, &c)
		if err != nil {
			t.Fatal(err)
		}
		text, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(text); !bytes.Equal(sum[:], c.ManifestSum) || len(m.Epochs) != c.Epochs || m.Config != string(j.Config) || m.Folder() != c.Directory {
			t.Errorf("step %d: %d epochs of %d, folder %s of %s", c.Step, len(m.Epochs), c.Epochs, m.Folder(), c.Directory)
		}
		submit := fsm.Submit{ID: "next", Incarnation: 8, Seats: 4}
		if err := resumeFrom(&submit, job, text); err != nil {
			t.Fatal(err)
		}
		if err := st.Apply(fsm.Command{Submit: &submit}); err != nil {
			t.Fatal(err)
		}
		next := st.Job("next")
		again, err := wholeManifest(next, next.Origin)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := again.Encode(); err != nil || !bytes.Equal(got, text) {
			t.Errorf("step %d: taken over as\n%s, %v, it was\n%s", c.Step, got, err, text)
		}
		st.Jobs = st.Jobs[:1]
	}
	short := j.Checkpoints[0]
	short.Epochs = 21
	if _, err := wholeManifest(j, &short); err == nil {
		t.Error("more epochs than the log holds were found")
	}
}

// TestStallsThatAreNoNumbers lets workers tell nonsense of how long they stood: the checkpoint can be in the log all the same.
func TestStallsThatAreNoNumbers(t *testing.T) {
	st := longJob(t, 1)
	var shares []*rpc.ShareFact
	for k, ms := range []float64{3, math.NaN(), math.Inf(1), 2} {
		shares = append(shares, &rpc.ShareFact{Step: 500, Digest: make([]byte, 32), StateDigest: make([]byte, 32), Epoch: 1, StalledMs: ms,
			File: &rpc.StoredFile{Name: fmt.Sprintf("model-%05d-of-00004.safetensors", k+1), Bytes: 100000, Sha256: make([]byte, 32)}})
	}
	c, err := describeCheckpoint(st.Job("long"), shares)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fsm.EncodeCommand(fsm.Command{Checkpoint: &c}); err != nil || c.StalledMs != 3 {
		t.Errorf("%v ms, %v", c.StalledMs, err)
	}
}

// A coordinator forgets what it knew about jobs and views that are gone.
func TestACoordinatorForgetsJobsThatAreGone(t *testing.T) {
	st := longJob(t, 1)
	st.Generation = 4000
	s := &Server{lastSeen: map[string]*rpc.Progress{"long": {}, "old": {}}, stalls: map[plan.Generation]float64{1: 1, 5000: 1}}
	s.forget(st)
	if len(s.lastSeen) != 1 || s.lastSeen["long"] == nil || len(s.stalls) != 1 || s.stalls[5000] == 0 {
		t.Errorf("left: progress %v, stalls %v", s.lastSeen, s.stalls)
	}
}

// FuzzRestore restores arbitrary snapshots and does with them what a coordinator does with its own.
func FuzzRestore(f *testing.F) {
	st := longJob(f, 4)
	data, err := st.Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"jobs":[{"id":"a","keep":-1,"earlier":["x"],"checkpoints":[{"epochs":-1,"manifest":{}}]}],"past":[{"checkpoints":[{"manifest":"x"}]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := NewMachine()
		cost.Bound(t, len(data), 1<<10, func() {
			if m.Restore(data) != nil {
				return
			}
			all := foldersClaimed(m.state, nil)
			all.needless(checkpoint.Name{Step: 1, Generation: 1, Job: 7})
			now := time.Unix(1000, 0)
			decide.NewLeader(decide.DefaultTiming(), describeCheckpoint, now).Next(m.state, now)
			if _, err := m.Snapshot(); err != nil {
				t.Fatal(err)
			}
		})
	})
}

// A byte of the job's configuration changes in the log: the checkpoint's manifest is not written with it, and a job with another
// configuration does not go on from the checkpoint.
func TestChangedConfiguration(t *testing.T) {
	st := longJob(t, 3)
	j := st.Job("long")
	c := *j.Newest()
	m, err := wholeManifest(j, &c)
	if err != nil {
		t.Fatal(err)
	}
	text, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	j.Config = bytes.Replace(j.Config, []byte("lr: 0.001"), []byte("lr: 0.005"), 1)
	if _, err := wholeManifest(j, &c); err == nil || !strings.Contains(err.Error(), "not those that it was made with") {
		t.Errorf("a changed configuration goes into the manifest: %v", err)
	}
	job, err := config.Decode(j.Config)
	if err != nil {
		t.Fatal(err)
	}
	err = resumeFrom(&fsm.Submit{ID: "next", Incarnation: 8, Seats: 4}, job, text)
	if want := "train.optimizer.lr is 0.005, but was 0.001"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("going on with another configuration: %v, not %q", err, want)
	}
}
