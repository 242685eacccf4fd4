package trainer

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
)

// TestPackedSetsTrainTheSame trains on a folder of pictures, on the shards that are packed of it, and on these over HTTP while the server is down for a
// while: by one worker and by several the same state. A job of kind shards is the job that the set was packed with.
func TestPackedSetsTrainTheSame(t *testing.T) {
	folder := pictureFolder(t)
	original := assemblePictures(t, folder, 5, 1)
	want := digestOf(train(t, original, 1, 1, 1, nil, nil)[0])
	packed := filepath.Join(t.TempDir(), "packed")
	if _, err := dataset.Pack(original.Job.Data, packed); err != nil {
		t.Fatal(err)
	}
	var down atomic.Bool
	files := http.FileServer(http.Dir(packed))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if down.Load() {
			http.Error(w, "down", http.StatusBadGateway)
			return
		}
		files.ServeHTTP(w, r)
	}))
	defer server.Close()
	for _, place := range []string{packed, server.URL} {
		for _, workers := range []int{1, 2, 3} {
			for _, memory := range []int{0, 1} {
				text := fmt.Sprintf(`
name: pictures
seats: 5
model: {kind: mlp, layers: [90, 8, 2]}
data: {kind: shards, path: %q, memory_mib: %d, cache: %q}
train: {steps: 23, batch_per_seat: 2}
`, place, memory, t.TempDir())
				job, err := config.Parse("pictures.yaml", []byte(text), nil)
				if err != nil {
					t.Fatal(err)
				}
				p, err := Assemble(job)
				if err != nil {
					t.Fatal(err)
				}
				if p.Data.Fingerprint != original.Data.Fingerprint || len(config.Changes(original.Job, p.Job)) > 0 {
					t.Fatalf("another fingerprint, or another job: %v", config.Changes(original.Job, p.Job))
				}
				down.Store(place != packed)
				up := time.AfterFunc(300*time.Millisecond, func() { down.Store(false) })
				got := digestOf(train(t, p, workers, 1, 1, nil, nil)[0])
				if up.Stop(); got != want {
					t.Errorf("from %s with %d workers and %d MiB: another digest", place, workers, memory)
				}
				down.Store(false)
			}
		}
	}
}

// TestOtherKeysThanPacked names the key in which a job differs from what its set was packed with.
func TestOtherKeysThanPacked(t *testing.T) {
	packed := filepath.Join(t.TempDir(), "packed")
	if _, err := dataset.Pack(assemblePictures(t, pictureFolder(t), 5, 1).Job.Data, packed); err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		"{kind: images, train_per_class: 3, path: %q}":               "job.yaml:3:39: data.train_per_class: it is 3, and the set in",
		"{kind: mnist, path: %q}":                                    "data.kind: it is mnist",
		"{kind: images, path: %q, mean: [0, 0, 0], crop: 0}":         "",
		"{kind: shards, path: %q, crop: 2}":                          "data.crop",
		"{kind: shards}":                                             "data.path is missing",
		"{kind: images, path: %q, flip: true, std: [0.5, 0.5, 0.5]}": "",
	} {
		if strings.Contains(data, "%q") {
			data = fmt.Sprintf(data, packed)
		}
		job, err := config.Parse("job.yaml", []byte("seats: 2\nmodel: {kind: mlp, layers: [90, 8, 2]}\ndata: "+data+"\n"), nil)
		if err == nil {
			_, err = Assemble(job)
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n")) {
			t.Errorf("%s: %v, want %q", data, err, want)
		}
	}
}
