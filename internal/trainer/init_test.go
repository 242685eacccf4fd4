package trainer

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
)

// planOf assembles a job on the embedded digits with more keys of the model.
func planOf(t *testing.T, model, train string) *Plan {
	t.Helper()
	job, err := config.Parse("job.yaml", []byte("seed: 4\nseats: 3\nmodel: "+model+"\ntrain: "+train+"\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	p := *digits(t)
	if p.Model, err = BuildModel(job, p.Data.Schema); err != nil {
		t.Fatal(err)
	}
	job.Resolve(p.Data.Train.Len())
	p.Job, p.Buckets, p.Steps = job, BucketsOf(job, p.Model), uint64(job.TotalSteps(p.Data.Train.Len()))
	p.PerPass = plan.StepsPerEpoch(p.Data.Train.Len(), job.Seats, job.Train.PerSeat())
	return &p
}

var opened *Plan

// digits is a plan with the embedded digits, which are drawn once.
func digits(t *testing.T) *Plan {
	t.Helper()
	if opened == nil {
		opened = assemble(t, 3, "")
	}
	return opened
}

const shortTrain = "{steps: 8, batch_per_seat: 3, optimizer: {kind: adam, lr: 0.002}}"

// writeShares writes the model's files of a state into a folder.
func writeShares(t *testing.T, p *Plan, s checkpoint.State, seats int) string {
	t.Helper()
	l, err := checkpoint.NewLayout(seats, p.Tensors(), p.StatTensors(), nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	s.Optim, s.History = nil, nil
	for k, share := range l.Shares() {
		var b bytes.Buffer
		if _, err := l.EncodeShare(&b, k, &s); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, share.Name), b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// A job that begins from weights has them before its first step, and ends at the same state on any ring.
func TestBeginFromWeights(t *testing.T) {
	const stack = "kind: sequential, stack: [{kind: linear, out: 12}, {kind: batch_norm}, {kind: relu}, {kind: linear, out: 10}]"
	from := planOf(t, "{"+stack+"}", shortTrain)
	trained := train(t, from, 1, 1, 1, nil, nil)[0].State()
	dir := writeShares(t, from, trained, 3)
	p := planOf(t, "{"+stack+", init: "+dir+"}", shortTrain)
	note, err := CheckInit(t.Context(), p.Job, p.Model)
	if err != nil || !strings.Contains(note, "begins from 8 tensors of "+dir) || len(p.Job.Model.InitDigest) != 64 {
		t.Fatalf("%s, %v", note, err)
	}
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := tr.State(); checkpoint.Digest(s.Params) != checkpoint.Digest(trained.Params) || checkpoint.Digest(s.Stats) != checkpoint.Digest(trained.Stats) || s.Step != 0 {
		t.Error("the state at step 0 is not the one that was saved")
	}
	want := digestOf(train(t, p, 1, 1, 1, nil, nil)[0])
	if want == digestOf(train(t, from, 1, 1, 1, nil, nil)[0]) {
		t.Error("the weights leave no trace")
	}
	for workers := 2; workers <= 3; workers++ {
		for _, tr := range train(t, p, workers, 1, 1, nil, nil) {
			if got := digestOf(tr); got != want {
				t.Errorf("%d workers end at %s, one at %s", workers, got, want)
			}
		}
	}
	// One file holds the same tensors, so it has the same digest.
	single := planOf(t, "{"+stack+", init: "+filepath.Join(writeShares(t, from, trained, 1), "model-00001-of-00001.safetensors")+", init_strict: false}", shortTrain)
	if _, err := CheckInit(t.Context(), single.Job, single.Model); err != nil {
		t.Fatal(err)
	}
	changed := trained
	changed.Params = append([]float32{trained.Params[0] + 1}, trained.Params[1:]...)
	other := planOf(t, "{"+stack+", init: "+writeShares(t, from, changed, 1)+", init_digest: \""+p.Job.Model.InitDigest+"\"}", shortTrain)
	if _, err := New(t.Context(), other, nil); err == nil || !strings.Contains(err.Error(), "job.yaml:3:") || !strings.Contains(err.Error(), "other weights than the job was submitted with") {
		t.Errorf("other weights: %v", err)
	}
	// What goes on from a checkpoint needs them no more.
	other.Restores = true
	if _, err := New(t.Context(), other, nil); err != nil {
		t.Error(err)
	}
}

// A killed and resumed run ends where one ends that was never interrupted, without the file.
func TestGoOnFromWeights(t *testing.T) {
	from := planOf(t, "{layers: [784, 12, 10]}", shortTrain)
	dir := writeShares(t, from, train(t, from, 1, 1, 1, nil, nil)[0].State(), 2)
	p := planOf(t, "{layers: [784, 12, 10], init: "+dir+"}", shortTrain)
	want := digestOf(train(t, p, 1, 1, 1, nil, nil)[0])
	half := *p
	half.Steps = 3
	var state checkpoint.State
	train(t, &half, 2, 1, 1, nil, nil)[0].Copy(&state)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	rest := *p
	rest.Restores = true
	for _, tr := range train(t, &rest, 3, 1, 2, &state, nil) {
		if got := digestOf(tr); got != want {
			t.Errorf("resumed: %s, want %s", got, want)
		}
	}
}

// Another head is drawn from the seed, the rest is taken.
func TestNewHead(t *testing.T) {
	from := planOf(t, "{layers: [784, 12, 10]}", shortTrain)
	trained := train(t, from, 1, 1, 1, nil, nil)[0].State()
	dir := writeShares(t, from, trained, 1)
	p := planOf(t, `{layers: [784, 12, 10], init: `+dir+`, init_skip: ["2"]}`, shortTrain)
	note, err := CheckInit(t.Context(), p.Job, p.Model)
	if err != nil || !strings.Contains(note, "; from the seed: 2.weight, 2.bias") {
		t.Fatalf("%s, %v", note, err)
	}
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := New(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	head := 784*12 + 12
	if checkpoint.Digest(tr.params[:head]) != checkpoint.Digest(trained.Params[:head]) || checkpoint.Digest(tr.params[head:]) != checkpoint.Digest(plain.params[head:]) {
		t.Error("the body is not the file's, or the head is not the seed's")
	}
}

func TestWeightsThatDoNotFit(t *testing.T) {
	from := planOf(t, "{layers: [784, 12, 10]}", shortTrain)
	fresh, err := New(t.Context(), from, nil)
	if err != nil {
		t.Fatal(err)
	}
	dir := writeShares(t, from, fresh.State(), 1)
	at := func(name string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	whole, err := os.ReadFile(filepath.Join(dir, "model-00001-of-00001.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	empty := t.TempDir()
	nan := bytes.Clone(whole)
	binary.LittleEndian.PutUint32(nan[len(nan)-4:], 0x7fc00000)
	indexed := filepath.Dir(at("model.safetensors.index.json", []byte(`{"weight_map": {"a": "../x.safetensors"}}`)))
	for _, test := range []struct{ model, want string }{
		{"{layers: [784, 12, 10], init: " + dir + "/none.safetensors}", "none.safetensors: no such file or directory"},
		{"{layers: [784, 12, 10], init: " + empty + "}", empty + " holds neither safetensors files nor a checkpoint"},
		{"{layers: [784, 13, 10], init: " + dir + "}", "tensor 0.weight has shape [12 784], the model wants [13 784]; tensor 0.bias has shape [12], the model wants [13]; tensor 2.weight"},
		{"{layers: [784, 12, 12, 10], init: " + dir + ", init_skip: [\"2\"]}", "tensors 4.weight, 4.bias are missing; the file has 2 of the model's 4"},
		{"{layers: [784, 10], init: " + dir + ", init_skip: [\"0\"]}", "tensors 2.weight, 2.bias are not the model's"},
		{"{layers: [784, 12, 10], init: " + dir + ", init_skip: [fc]}", "job.yaml:3:" /* its place */},
		{"{layers: [784, 12, 10], init: " + dir + ", init_skip: [fc]}", "model.init_skip[0]: no tensor of the model or of " + dir + " is named fc"},
		{"{kind: sequential, stack: [{kind: linear, name: fc, out: 10}], init_strict: false, init: " + dir + "}", "no tensor of the file is one of the model's"},
		{"{layers: [784, 12, 10], init: " + at("cut.safetensors", whole[:len(whole)-1]) + "}", "it is cut short"},
		{"{layers: [784, 12, 10], init: " + at("hostile.safetensors", append(bytes.Repeat([]byte{0xff}, 7), 0x7f, '{')) + "}", "announce a header of 9223372036854775807 bytes"},
		{"{layers: [784, 12, 10], init: " + at("nan.safetensors", nan) + "}", "has the value NaN at index"},
		{"{layers: [784, 12, 10], init: " + indexed + "}", "which is no name of a file beside the index"},
	} {
		p := planOf(t, test.model, shortTrain)
		_, err := New(t.Context(), p, nil)
		if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "job.yaml:3:") {
			t.Errorf("%s:\n%v\nwant %s", test.model, err, test.want)
		}
	}
}
