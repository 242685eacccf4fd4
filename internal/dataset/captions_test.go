package dataset

import (
	"bytes"
	"image/color"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// toneCoder is a coder whose codes say how bright the left and the right column of 2 x 3 pixels are.
type toneCoder struct {
	codes int
	shape []int
	pack  []byte
}

func (c toneCoder) Reads() *Field {
	return &Field{Name: "pixels", Type: Float32, Role: Input, Shape: c.shape}
}
func (c toneCoder) Grid() (rows, columns int) { return 1, 2 }
func (c toneCoder) Codes() int                { return c.codes }
func (c toneCoder) Pack() []byte              { return c.pack }
func (c toneCoder) Encode(pixels []float32, n int) []int32 {
	var codes []int32
	for i := range n {
		codes = append(codes, int32(pixels[6*i]*255)/10%int32(c.codes), int32(pixels[6*i+2]*255)/10%int32(c.codes))
	}
	return codes
}

var sixTones = toneCoder{6, []int{6}, []byte("tones")}

func captionConfig() config.Data {
	return config.Data{Kind: config.DataMNIST, Codes: "x", Caption: "A {}!", CaptionWeight: 0.125}
}

func captionSmall(t *testing.T) *Data {
	t.Helper()
	pictures, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	d, err := Caption(captionConfig(), pictures, sixTones, nil)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestCaptionsWithCodes(t *testing.T) {
	d := captionSmall(t)
	// Tokens: start, padding, a eight five four nine one seven six three two zero, then six codes from 13 on.
	if got := d.Schema.describe(); got != "tokens: int32 4, 19 classes; next: int32 4, 19 classes; weight: float32 4" {
		t.Errorf("schema is %s", got)
	}
	var b Batch
	if err := d.Train.Read(&b, []int32{2, 0}, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	// Picture 2 is a nine whose first row is 120, 130, 140; picture 0 a three of 0, 10, 20.
	if got := b.Columns[0].Ints; !slices.Equal(got, []int32{0, 2, 6, 13 + 12%6, 0, 2, 10, 13}) {
		t.Errorf("tokens are %v", got)
	}
	if got := b.Columns[1].Ints; !slices.Equal(got, []int32{2, 6, 13, 13 + 14%6, 2, 10, 13, 13 + 2}) {
		t.Errorf("targets are %v", got)
	}
	// The mean over the two words counts for 1/8, that over the two codes for 7/8.
	if got := b.Columns[2].Floats; !slices.Equal(got, []float32{0.25, 0.25, 1.75, 1.75, 0.25, 0.25, 1.75, 1.75}) {
		t.Errorf("weights are %v", got)
	}
	if d.Train.Len() != 4 || d.Eval.Len() != 2 || !d.Train.Resident() || !strings.HasSuffix(d.Read, ", written as 1 x 2 of 6 codes") {
		t.Errorf("%d and %d samples, %s", d.Train.Len(), d.Eval.Len(), d.Read)
	}
	if got, err := d.Captions.Encode("A, Seven"); err != nil || !slices.Equal(got, []int32{0, 2, 8}) {
		t.Errorf("encoded %v, %v", got, err)
	}
	if got, err := d.Captions.Encode("seven"); err != nil || !slices.Equal(got, []int32{0, 8, captionPadding}) {
		t.Errorf("encoded %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"a cat":          `the word cat is in no caption; there are a, eight, five, four, nine, one, seven, six, three, two, zero`,
		"...":            "has no words",
		"a seven, a two": "has 4 words, but captions have at most 2",
	} {
		if _, err := d.Captions.Encode(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// The fingerprint is that of the codes and captions: other codes, and other words, have another one.
func TestCaptionsAreInTheFingerprint(t *testing.T) {
	pictures, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	seen := map[[32]byte]string{}
	for name, change := range map[string]func(*config.Data, *toneCoder){
		"plain":  func(*config.Data, *toneCoder) {},
		"codes":  func(_ *config.Data, c *toneCoder) { c.codes = 5 },
		"words":  func(c *config.Data, _ *toneCoder) { c.Caption = "b {}" },
		"weight": func(c *config.Data, _ *toneCoder) { c.CaptionWeight = 0.5 },
	} {
		c, coder := captionConfig(), sixTones
		change(&c, &coder)
		d, err := Caption(c, pictures, coder, nil)
		if err != nil {
			t.Fatal(err)
		}
		if other, same := seen[d.Fingerprint]; same {
			t.Errorf("%s and %s have one fingerprint", name, other)
		}
		seen[d.Fingerprint] = name
	}
	if again := captionSmall(t).Fingerprint; seen[again] != "plain" {
		t.Errorf("the same data have two fingerprints: that of %q", seen[again])
	}
}

func TestCaptionsAreDescribed(t *testing.T) {
	d := captionSmall(t)
	back, err := Recall(captionConfig(), d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	if back.Schema.describe() != d.Schema.describe() || !bytes.Equal(back.Captions.Coder(), []byte("tones")) || back.Captions.First() != 13 || back.Captions.Steps() != 2 {
		t.Errorf("%s: %+v", back.Schema.describe(), back.Captions)
	}
	like, err := DescribedCaptions(d.Describe())
	if err != nil {
		t.Fatal(err)
	}
	pictures, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	again, err := Caption(captionConfig(), pictures, sixTones, like)
	if err != nil || again.Fingerprint != d.Fingerprint {
		t.Errorf("with the model's vocabulary the data are others (%v)", err)
	}
	other := captionConfig()
	other.Caption = "the {}"
	if _, err := Caption(other, pictures, sixTones, like); err == nil || !strings.Contains(err.Error(), `data.caption: the word the is in no caption`) {
		t.Errorf("error %v", err)
	}
	for _, text := range []string{
		`{"classes": 9, "captions": {"words": [], "length": 1, "rows": 1, "columns": 1, "codes": 4, "coder": "AA=="}}`,
		`{"classes": 9, "captions": {"words": ["b", "a"], "length": 1, "rows": 1, "columns": 1, "codes": 4, "coder": "AA=="}}`,
		`{"classes": 9, "captions": {"words": ["a", "a"], "length": 1, "rows": 1, "columns": 1, "codes": 4, "coder": "AA=="}}`,
		`{"classes": 9, "captions": {"words": ["a"], "length": 0, "rows": 1, "columns": 1, "codes": 4, "coder": "AA=="}}`,
		`{"classes": 9, "captions": {"words": ["a"], "length": 1, "rows": 60000, "columns": 60000, "codes": 4, "coder": "AA=="}}`,
		`{"classes": 9, "captions": {"words": ["a"], "length": 1, "rows": 1, "columns": 1, "codes": 65536, "coder": "AA=="}}`,
		`{"classes": 9}`,
	} {
		if _, err := Recall(captionConfig(), []byte(text)); err == nil {
			t.Errorf("%s was taken", text)
		}
	}
}

func TestWhatIsNotCaptioned(t *testing.T) {
	pictures, err := openSmall(t, smallMNIST())
	if err != nil {
		t.Fatal(err)
	}
	many := toneCoder{1 << 16, []int{6}, nil}
	large := toneCoder{6, []int{6}, make([]byte, maxPackedCoder+1)}
	weighed := *pictures
	weighed.Schema = append(slices.Clone(pictures.Schema), Field{Name: "w", Type: Float32, Role: Weight})
	for _, c := range []struct {
		pictures *Data
		coder    toneCoder
		caption  string
		want     string
	}{
		{pictures, toneCoder{6, []int{3, 2, 1}, nil}, "a {}", "data.codes: its autoencoder reads pixels: float32 3 x 2 x 1, but the data has pixels: float32 6"},
		{pictures, sixTones, "!", `data.caption: the caption ! has 0 words`},
		{pictures, many, "a {}", "65536 codes are more than 65536 tokens"},
		{pictures, large, "a {}", "data.codes: the autoencoder has"},
		{&weighed, sixTones, "a {}", "the data has weights of samples"},
	} {
		job := captionConfig()
		job.Caption = c.caption
		if _, err := Caption(job, c.pictures, c.coder, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

// A picture of a model's values has the bytes that such values are made of.
func TestPictureOfValues(t *testing.T) {
	grey := greyData()
	values := make([]float32, grey.pixels.plane)
	values[0], values[1], values[2] = 0.2, -3, 1.5
	m := grey.Picture(values)
	columns := grey.pixels.columns
	for i, want := range []byte{51, 0, 255, 0} {
		if got := m.At(i%columns, i/columns); got != (color.Gray{Y: want}) {
			t.Errorf("pixel %d is %v, want %d", i, got, want)
		}
	}
	p := &pixels{plane: 2, columns: 1, scales: []*scale{standardScale(0.5, 0.25), standardScale(0.4, 0.2), standardScale(0, 1)}}
	var floats [6]float32
	p.decode(floats[:], []byte{1, 2, 3, 250, 128, 255}, make([]byte, 6))
	coloured := (&Data{pixels: p}).Picture(floats[:])
	if a, b := coloured.At(0, 0), coloured.At(0, 1); a != (color.RGBA{1, 3, 128, 255}) || b != (color.RGBA{2, 250, 255, 255}) {
		t.Errorf("pixels are %v and %v", a, b)
	}
}
