package dataset

import (
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// Images of several sizes are one set where data.resize brings them to one, and a photo is read as they are.
func TestImagesOfAnySize(t *testing.T) {
	dir := t.TempDir()
	set := smallSet(t)
	set["train/cat/y.png"], set["train/dog/c.png"] = smallPNG(t, 9, 16, 7), smallPNG(t, 3, 2, 8)
	writeFiles(t, dir, set)
	c := imagesConfig(dir)
	if _, err := Open(c); err == nil || !strings.Contains(err.Error(), "set data.resize") {
		t.Errorf("several sizes without data.resize: %v", err)
	}
	for _, how := range []config.Data{{Resize: []int{6}, CenterCrop: 4, Filter: config.FilterBilinear}, {Resize: []int{4, 7}, Filter: config.FilterNearest}} {
		c.Resize, c.CenterCrop, c.Filter = how.Resize, how.CenterCrop, how.Filter
		d, err := Open(c)
		if err != nil {
			t.Fatal(err)
		}
		want := []int{3, 4, 4}
		if how.CenterCrop == 0 {
			want[2] = 7
		}
		if !slices.Equal(d.Schema[0].Shape, want) {
			t.Errorf("%+v: samples of %v, want %v", how, d.Schema[0].Shape, want)
		}
		recalled, err := Recall(c, d.Describe())
		if err != nil {
			t.Fatal(err)
		}
		var sample, photo Batch
		if err := d.Train.Read(&sample, []int32{0}, rng.Key{}); err != nil { // cat/y.png
			t.Fatal(err)
		}
		if _, err := recalled.ReadPhoto(&photo, dir+"/train/cat/y.png"); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(sample.values(), photo.values()) {
			t.Errorf("%+v: a photo is read as %v, in the set as %v", how, photo.values(), sample.values())
		}
		c.CenterCrop = 3
		if _, err := Recall(c, d.Describe()); err == nil {
			t.Error("another size than that of the model is taken")
		}
	}
}
