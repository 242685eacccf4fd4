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
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
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
