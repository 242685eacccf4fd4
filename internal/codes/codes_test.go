package codes

import (
	"bytes"
	"image"
	"image/color"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/model"
)

const job = `
model:
    kind: sequential
    stack:
        - {kind: conv, out: 4, kernel: 4, stride: 4}
        - {kind: quantize, codes: 5, init: uniform}
        - {kind: conv_transpose, out: 3, kernel: 4, stride: 4}
        - {kind: flatten}
data: {kind: images, dir: x, mean: [0.4, 0.5, 0.6], resize: [8, 12]}
train: {loss: mse, target: pixels}
`

// packedCoder is the file of an untrained coder of pictures of 8 x 12.
func packedCoder(t testing.TB) []byte {
	t.Helper()
	const described = `{"input": [3, 8, 12], "columns": 12, "classes": 2, "labels": ["cat", "dog"]}`
	j, err := config.Parse("job.yaml", []byte(job), nil)
	if err != nil {
		t.Fatal(err)
	}
	d, err := dataset.Recall(j.Data, []byte(described))
	if err != nil {
		t.Fatal(err)
	}
	l, err := loss.New(j.Train, d.Schema)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Build(j.Model, d.Schema, l)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := checkpoint.NewLayout(1, tensors(m.Params()), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	state := layout.NewState()
	if err := m.Init(t.Context(), state.Params, nil, 1); err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := layout.WriteModel(&b, state, checkpoint.Origin{Job: string(j.Encode()), Data: described}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestDrawInColours(t *testing.T) {
	c, err := Unpack(packedCoder(t))
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := c.Draw([]int32{0, 1, 2, 3, 4, 0, 4, 4, 4, 4, 4, 4}, 2)
	if err != nil || len(pictures) != 2 || pictures[0].Bounds().Size() != image.Pt(12, 8) || pictures[0].ColorModel() != color.RGBAModel {
		t.Fatalf("%v, %v", pictures, err)
	}
	grid := Grid(append(pictures, pictures[0]))
	if grid.Bounds().Size() != image.Pt(2+14+14, 2+10+10) || grid.At(0, 0) != (color.RGBA{255, 255, 255, 255}) || grid.At(2, 12) != pictures[0].At(0, 0) || grid.At(16, 2) != pictures[1].At(0, 0) {
		t.Errorf("the grid is %v", grid.Bounds())
	}
	if _, err := c.Draw([]int32{0}, 1); err == nil || !strings.Contains(err.Error(), "1 codes for 1 pictures of 6 each") {
		t.Errorf("error %v", err)
	}
}

// Pictures that are read otherwise than those that the autoencoder was trained on would get codes that mean nothing.
func TestPicturesMustBeReadAlike(t *testing.T) {
	c, err := Unpack(packedCoder(t))
	if err != nil {
		t.Fatal(err)
	}
	same := c.job.Data
	if err := c.goesWith(&same); err != nil {
		t.Error(err)
	}
	for key, change := range map[string]func(d *config.Data){
		"data.mean":        func(d *config.Data) { d.Mean = []float64{0.5, 0.5, 0.5} },
		"data.std":         func(d *config.Data) { d.Std = slices.Repeat([]float64{1}, 3) },
		"data.resize":      func(d *config.Data) { d.Resize = []int{8, 8} },
		"data.center_crop": func(d *config.Data) { d.CenterCrop = 8 },
		"data.filter":      func(d *config.Data) { d.Filter = config.FilterNearest },
	} {
		other := same
		change(&other)
		if err := c.goesWith(&other); err == nil || !strings.HasPrefix(err.Error(), key+": the autoencoder of data.codes was trained with ") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// Bytes from outside are refused or make a coder that draws.
func FuzzUnpack(f *testing.F) {
	whole := packedCoder(f)
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.Replace(whole, []byte("codes: 5"), []byte("codes: 9"), 1))
	f.Add(bytes.Replace(whole, []byte("8, 12]"), []byte("8, 11]"), 1))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, packed []byte) {
		c, err := Unpack(packed)
		if err != nil {
			return
		}
		if pictures, err := c.Draw(make([]int32, c.Steps()), 1); err != nil || len(pictures) != 1 {
			t.Errorf("%d pictures, %v", len(pictures), err)
		}
	})
}
