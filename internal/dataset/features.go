package dataset

import (
	"slices"

	"ringmaster/internal/config"
)

// features is the transform that puts the inputs of a table's row side by side into one vector: numbers as they are, a category as a 1 in
// its place among as many zeros as there are others. An input alone that is numbers stays as it is, and so do pictures.
type features struct {
	offsets []int // by input: where its values begin
	classes []int // by input: of a category; 0: numbers
}

const featuresField = "features"

// Fields implements Transform. It is called once, before Apply.
func (t *features) Fields(schema Schema) (reads []string, makes []Field, err error) {
	inputs, width := schema.Of(Input), 0
	inputs = slices.DeleteFunc(inputs, func(f *Field) bool { return f.Name == pixelsField && len(f.Shape) == 3 })
	if len(inputs) == 0 {
		return nil, nil, nil
	}
	if len(inputs) == 1 && inputs[0].Type == Float32 {
		return nil, nil, nil
	}
	t.offsets, t.classes = nil, nil
	for _, f := range inputs {
		t.offsets, t.classes = append(t.offsets, width), append(t.classes, f.Classes)
		reads = append(reads, f.Name)
		if f.Type == Int32 {
			width += f.Classes
		} else {
			width += f.Width()
		}
	}
	if width > maxFeatures {
		return nil, nil, config.KeyErrorf("data.features", "a row makes %d values, more than %d", width, maxFeatures)
	}
	return reads, []Field{{Name: featuresField, Type: Float32, Role: Input, Shape: []int{width}}}, nil
}

// maxFeatures bounds the values of a row.
const maxFeatures = 1 << 24

// Apply implements Transform.
func (t *features) Apply(out, in []Value, _ Draw) {
	if len(out) == 0 {
		return
	}
	dst := out[0].Floats
	for k := range in {
		if t.classes[k] == 0 {
			copy(dst[t.offsets[k]:], in[k].Floats)
			continue
		}
		place := dst[t.offsets[k] : t.offsets[k]+t.classes[k]]
		clear(place)
		place[in[k].Ints[0]] = 1
	}
}
