package dataset

import (
	"slices"

	"ringmaster/internal/config"
)

// features is the transform that puts the inputs of a table's row side by side into one vector: numbers as they are, a category as a 1 in
// its place among as many zeros as there are others. An input alone that is numbers keeps its shape, and so do pictures.
type features struct {
	input   config.Input // what it makes of which columns; without a name it is made of all
	offsets []int        // by input: where its values begin
	classes []int        // by input: of a category; 0: numbers
}

const featuresField = "features"

// Fields implements Transform. It is called once, before Apply.
func (t *features) Fields(schema Schema) (reads []string, makes []Field, err error) {
	inputs, width, name := schema.Of(Input), 0, featuresField
	inputs = slices.DeleteFunc(inputs, func(f *Field) bool { return f.Name == pixelsField && len(f.Shape) == 3 })
	if t.input.Name != "" {
		name = t.input.Name
		inputs = slices.DeleteFunc(inputs, func(f *Field) bool { return !slices.Contains(t.input.Columns, f.Name) })
		slices.SortFunc(inputs, func(a, b *Field) int {
			return slices.Index(t.input.Columns, a.Name) - slices.Index(t.input.Columns, b.Name)
		})
	}
	if len(inputs) == 0 {
		return nil, nil, nil
	}
	alone := len(inputs) == 1 && inputs[0].Type == Float32
	if alone && t.input.Name == "" {
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
	made := Field{Name: name, Type: Float32, Role: Input, Shape: []int{width}}
	if alone {
		made.Shape = inputs[0].Shape
	}
	return reads, []Field{made}, nil
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
