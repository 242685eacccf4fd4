package worker

import (
	"encoding/binary"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// A worker whose copy of the weights is another than the submitter's says so, with its host and its file.
func TestOtherWeightsHere(t *testing.T) {
	path := filepath.Join(t.TempDir(), "weights.safetensors")
	const header = `{"0.bias":{"dtype":"F32","shape":[10],"data_offsets":[0,40]}}`
	write := func(first byte) {
		text := append(binary.LittleEndian.AppendUint64(nil, uint64(len(header))), header...)
		if err := os.WriteFile(path, append(append(text, first), make([]byte, 39)...), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	file, err := config.Parse("job.yaml", []byte("seats: 3\nmodel: {layers: [784, 10], init_strict: false, init: "+path+"}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := trainer.Assemble(file)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := trainer.CheckInit(t.Context(), p.Job, p.Model); err != nil {
		t.Fatal(err)
	}
	phase := func() (rpc.Phase, string) {
		w := New(Config{Self: plan.Member{Worker: "w7", Host: "stone"}, Threads: 1, Log: slog.New(slog.DiscardHandler),
			Assemble: func([]byte) (*trainer.Plan, error) { return p, nil }}, &ringless{})
		w.job = newJob(w, &rpc.Order{Job: &rpc.JobSpec{Id: "job"}})
		defer w.dropJob()
		w.job.prepare(t.Context())
		(<-w.events)()
		(<-w.events)()
		return w.job.phase, w.job.failure
	}
	if got, failure := phase(); got != rpc.Phase_PHASE_READY {
		t.Fatalf("with the same weights: %v, %s", got, failure)
	}
	write(1)
	got, failure := phase()
	if want := "worker w7 on stone: job.yaml:2:"; got != rpc.Phase_PHASE_FAILED || !strings.HasPrefix(failure, want) ||
		!strings.Contains(failure, "model.init: "+path+" holds other weights than the job was submitted with") {
		t.Errorf("with others: %v, %s", got, failure)
	}
}
