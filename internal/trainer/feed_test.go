package trainer

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// pictureFolder writes 24 pictures of 6 x 5 pixels for training and 8 for evaluation, of two classes.
func pictureFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for i := range 32 {
		m := image.NewRGBA(image.Rect(0, 0, 6, 5))
		for k := range 30 {
			m.SetRGBA(k%6, k/6, color.RGBA{uint8(7 * i), uint8(8 * k), uint8(100 * (i % 2)), 255})
		}
		part := "train"
		if i >= 24 {
			part = "test"
		}
		file := filepath.Join(dir, part, []string{"a", "b"}[i%2], fmt.Sprintf("%02d.png", i))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(png.Encode(f, m), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func assemblePictures(t *testing.T, dir string, seats, memory int) *Plan {
	t.Helper()
	text := fmt.Sprintf(`
name: pictures
seats: %d
model: {kind: mlp, layers: [90, 8, 2]}
data: {kind: images, dir: %q, crop: 1, flip: true, memory_mib: %d}
train: {steps: 23, batch_per_seat: 2}
`, seats, dir, memory)
	job, err := config.Parse("pictures.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestReadingAheadHasTheSameBits trains on pictures that are kept in memory and on ones that are decoded whenever they are read, by one
// worker and by several: over the ends of epochs, with ragged batches, to the same state and the same evaluation.
func TestReadingAheadHasTheSameBits(t *testing.T) {
	dir := pictureFolder(t)
	kept, read := assemblePictures(t, dir, 5, 1), assemblePictures(t, dir, 5, 0)
	if !kept.Data.Train.Resident() || read.Data.Train.Resident() || kept.Data.Fingerprint != read.Data.Fingerprint {
		t.Fatalf("in memory %v and %v, the same data: %v", kept.Data.Train.Resident(), read.Data.Train.Resident(), kept.Data.Fingerprint == read.Data.Fingerprint)
	}
	want := digestOf(train(t, kept, 1, 1, 1, nil, nil)[0])
	var losses []float64
	note := func(r *Run) {
		r.OnEpoch = func(e EpochEnd) { losses = append(losses, e.TrainLoss, e.Eval.Loss) }
	}
	for _, p := range []*Plan{kept, read} {
		if got := digestOf(train(t, p, 1, 1, 1, nil, nil, note)[0]); got != want {
			t.Errorf("one worker reaches %s, want %s", got, want)
		}
	}
	if n := len(losses) / 2; n < 4 || fmt.Sprint(losses[:n]) != fmt.Sprint(losses[n:]) {
		t.Errorf("losses of epochs: %v", losses)
	}
	for i, tr := range train(t, read, 3, 2, 1, nil, nil) {
		if got := digestOf(tr); got != want {
			t.Errorf("worker %d of 3 reaches %s, want %s", i+1, got, want)
		}
	}
}

// TestChangedFileEndsTheRun overwrites and removes a picture after the data have been opened. The run ends with an error that names it, before the
// step in which it is read.
func TestChangedFileEndsTheRun(t *testing.T) {
	for name, change := range map[string]func(file, other string) error{
		"has changed since": func(file, other string) error {
			content, err := os.ReadFile(other)
			return errors.Join(err, os.WriteFile(file, content, 0o644))
		},
		"cannot be read": func(file, _ string) error { return os.Remove(file) },
	} {
		dir := pictureFolder(t)
		p := assemblePictures(t, dir, 1, 0)
		file := filepath.Join(dir, "train", "b", "13.png")
		if err := change(file, filepath.Join(dir, "train", "b", "15.png")); err != nil {
			t.Fatal(err)
		}
		tr, err := New(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		tr.Gradients(1, false)
		var failed *DataError
		_, err = tr.Train(Run{Arc: plan.Arc{Begin: 0, End: 1}, Ring: &solo{}})
		if !errors.As(err, &failed) || !strings.Contains(err.Error(), file) || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want one that says that %s %s", err, file, name)
		}
		if tr.Step() >= 12 {
			t.Errorf("the run reached step %d", tr.Step())
		}
	}
}

// elsewhere is a set that says that it is not in memory.
type elsewhere struct{ dataset.Set }

func (elsewhere) Resident() bool { return false }

// noted is a set that is not in memory and tells when a batch of it is read. From the batch on that failing counts, reading fails.
type noted struct {
	dataset.Set
	reads   chan int // the number of samples
	failing atomic.Int64
}

func (*noted) Resident() bool { return false }

func (s *noted) Read(b *dataset.Batch, indices []int32, key rng.Key) error {
	if s.failing.Add(-1) == 0 {
		return errors.New("the disk is gone")
	}
	err := s.Set.Read(b, indices, key)
	s.reads <- len(indices)
	return err
}

// evaluating is a plan whose evaluation set is not in memory, and the set.
func evaluating(t *testing.T) (*Plan, *noted) {
	p := assemble(t, 3, "")
	data := *p.Data
	set := &noted{Set: data.Eval, reads: make(chan int, 1000)}
	data.Eval = set
	p.Data = &data
	return p, set
}

// TestEvaluationReadsAhead wants the next pieces to be read while the first one is being computed, and the figures of an evaluation from memory.
func TestEvaluationReadsAhead(t *testing.T) {
	p, set := evaluating(t)
	plain := evaluateIn(t, assemble(t, 3, ""), evalBatch)
	for _, piece := range []int{7, 64, evalBatch} {
		if got := evaluateIn(t, p, piece); got != plain {
			t.Errorf("in pieces of %d: %+v, from memory %+v", piece, got, plain)
		}
	}
	for len(set.reads) > 0 {
		<-set.reads
	}
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	from := tr.feedEvaluation(plan.Arc{Begin: 1, End: 3}, 64)
	defer from.close()
	first, err := from.next()
	if err != nil || first.N != 64 {
		t.Fatalf("a piece of %d samples: %v", first.N, err)
	}
	for range p.evaluationSlots(64) { // the first one is not done
		<-set.reads
	}
	if before, after := p.aheadOfEvaluation(64), p.Memory().Work-p.Model.EvaluationBytes(evalBatch); before <= 0 || after <= 0 {
		t.Errorf("reading ahead is priced at %d bytes, in all at %d", before, after)
	}
}

// TestEvaluationThatFailsLeavesNothingBehind has reading fail in the middle of an evaluation, while other pieces are being read.
func TestEvaluationThatFailsLeavesNothingBehind(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	p, set := evaluating(t)
	set.failing.Store(4)
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr.piece = 64
	var failed *DataError
	if _, err = tr.Evaluate(&solo{}, plan.Arc{Begin: 0, End: 3}); !errors.As(err, &failed) || !strings.Contains(err.Error(), "the disk is gone") {
		t.Errorf("%v", err)
	}
}
