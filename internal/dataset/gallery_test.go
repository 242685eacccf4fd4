package dataset

import (
	"image"
	"slices"
	"testing"

	"ringmaster/internal/rng"
)

// TestBoundOnKeptImages opens the same images with room for none, for some and for all: how many are kept is bounded, and nothing that is read
// shows it.
func TestBoundOnKeptImages(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, smallSet(t))
	all, err := Open(imagesConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	if !all.Train.Resident() || !all.Eval.Resident() {
		t.Error("small images are not kept")
	}
	files, _, err := findImages(imagesConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	list, err := pick(files, trainPart, &classList{names: []string{"cat", "dog"}}, 0, imagesConfig(dir))
	if err != nil {
		t.Fatal(err)
	}
	const width = 5 * 4 * channels
	for _, limit := range []int64{0, width - 1, 2*width + 1, 3 * width} {
		room := &keeping{limit: limit}
		d := &Data{pixels: all.pixels}
		reader := newFolderGallery(d, labelOf(2, nil), list, image.Pt(5, 4), room)
		if err := d.sets(reader, nil, d.pixels); err != nil {
			t.Fatal(err)
		}
		reader.opened(d)
		kept := 0
		for i := range reader.kept {
			if reader.kept[i].Load() != nil {
				kept++
			}
		}
		if kept != int(limit/width) || room.taken.Load() != int64(kept)*width || d.Train.Resident() != (kept == 3) {
			t.Errorf("room for %d bytes: %d kept in %d bytes, all in memory: %v", limit, kept, room.taken.Load(), d.Train.Resident())
		}
		var want, got Batch
		for range 2 {
			indices := []int32{2, 0, 1, 0}
			if err := all.Train.Read(&want, indices, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			if err := d.Train.Read(&got, indices, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.values(), want.values()) || !slices.Equal(got.targets(), want.targets()) {
				t.Errorf("room for %d bytes: other values are read", limit)
			}
		}
		if !slices.Equal(d.Files, all.Files[:2]) {
			t.Errorf("room for %d bytes: sums %v, want %v", limit, d.Files, all.Files[:2])
		}
	}
}
