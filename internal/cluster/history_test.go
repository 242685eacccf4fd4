package cluster

import (
	"fmt"
	"math"
	"testing"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// longJob is a state whose only job has done so many epochs and keeps three checkpoints.
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
	s := &Server{}
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
		c, err := s.describeCheckpoint(st.Job("long"), shares)
		if err != nil {
			t.Fatal(err)
		}
		do(fsm.Command{Checkpoint: &c})
	}
	return st
}

func TestMeasure(t *testing.T) {
	for _, n := range []int{1, 1000} {
		st := longJob(t, n)
		data, err := st.Encode()
		if err != nil {
			t.Fatal(err)
		}
		c := st.Job("long").Newest()
		entry, err := fsm.EncodeCommand(fsm.Command{Checkpoint: c})
		t.Logf("%d epochs: snapshot %d bytes, checkpoint entry %d, manifest in log %d, %v", n, len(data), len(entry), len(c.Manifest), err)
	}
}
