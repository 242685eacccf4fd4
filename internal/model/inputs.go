package model

import (
	"fmt"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/tensor"
)

// Spec is what a family that reads one input and gives one output must fit.
type Spec struct {
	Field      string // the input's name
	Input      []int  // shape of a sample's values, e.g. [784], or [3 32 32] for channels, rows, columns; nil for tokens
	Tokens     bool   // the input is Context tokens of a vocabulary
	Context    int    // tokens of a sample; 0 without Tokens
	Vocabulary int    // tokens of the vocabulary; 0 without Tokens
	Hidden     bool   // the targets are tokens that are hidden in the input
	Ragged     bool   // samples have fewer tokens than Context, and their number
	Segments   bool   // the data say which segment each token is of
	Documents  bool   // samples hold parts of several documents, and the data say each token's place
	Rows       int    // of output for each sample
	Classes    int    // values in a row of output
	wants      string // what these are, for people
}

// specOf is the schema's only input, beside what it says of this input's tokens, with what the loss wants of the output.
func specOf(schema dataset.Schema, l loss.Loss) (Spec, error) {
	beside := []string{dataset.TextSegments, dataset.WindowPlaces}
	in, err := slices.DeleteFunc(slices.Clone(schema), func(f dataset.Field) bool { return slices.Contains(beside, f.Name) }).Only(dataset.Input)
	if err != nil {
		return Spec{}, config.KeyErrorf("model.kind", "the model reads one input, but %w", err)
	}
	s := Spec{Field: in.Name, Rows: l.Rows(), Classes: l.Width(), wants: l.Wants(), Hidden: l.Target().Name == dataset.HiddenTokens, Ragged: in.Ragged}
	s.Segments, s.Documents = schema.Find(dataset.TextSegments) >= 0, schema.Find(dataset.WindowPlaces) >= 0
	switch {
	case in.Type == dataset.Float32 && !in.Ragged:
		s.Input = in.Shape
		if len(in.Shape) == 0 {
			s.Input = []int{1}
		}
	case in.Type == dataset.Int32 && in.Classes > 0 && len(in.Shape) == 1:
		s.Tokens, s.Context, s.Vocabulary = true, in.Shape[0], in.Classes
	default:
		return Spec{}, config.KeyErrorf("model.kind", "the model reads numbers or tokens of one length, but the data has %s", in)
	}
	return s, nil
}

// values refuses data of tokens, and data with more than one target a sample, for a family that reads a sample's values.
func (s *Spec) values() error {
	if s.Tokens {
		return errTokens
	}
	if s.Rows != 1 {
		return config.KeyErrorf("model.kind", "the model gives one answer a sample but the data has %d targets", s.Rows)
	}
	return nil
}

var errTokens = config.KeyErrorf("model.kind", "the data are tokens, which take a model of kind gpt, llama, sequential or graph")

// binding is an input of a program that takes the values of one of the batch's columns.
type binding struct {
	column   int
	floats   *tensor.Value
	integers *tensor.Integers
	trimmed  []int32 // where the samples are shorter than the column's: room for the values of integers
}

// Floats is the field of float32 with that name as an input of the graph. One field is one Value however often it is used in one shape.
func (r *recorder) Floats(name string, shape ...int) *tensor.Value {
	column := r.column(name, dataset.Float32)
	for _, b := range r.bindings {
		if b.column == column && slices.Equal(b.floats.Shape, shape) {
			return b.floats
		}
	}
	v := r.Input(shape...)
	r.bindings = append(r.bindings, binding{column: column, floats: v})
	return v
}

// Integers is the field of int32 with that name as an input of the graph.
func (r *recorder) Integers(name string, shape ...int) *tensor.Integers {
	column := r.column(name, dataset.Int32)
	shape = r.trimmed(column, shape)
	for _, b := range r.bindings {
		if b.column == column && slices.Equal(b.integers.Shape, shape) {
			return b.integers
		}
	}
	v := r.Graph.Integers(shape...)
	b := binding{column: column, integers: v}
	if v.Size() < r.samples*r.model.schema[column].Width() {
		b.trimmed = make([]int32, v.Size())
	}
	r.bindings = append(r.bindings, b)
	return v
}

func (r *recorder) column(name string, want dataset.Type) int {
	column := r.model.schema.Find(name)
	if column < 0 || r.model.schema[column].Type != want {
		panic(fmt.Sprintf("model: the data has no field %s of %s, which was checked", name, want))
	}
	return column
}

// lengths are those of the batch's first ragged input, which padded attention heeds, or that the batch itself gives its first input; nil where
// there are none.
func (m *Model) lengths(batch *dataset.Batch) []int32 {
	for k := range m.schema {
		if m.schema[k].Role == dataset.Input && len(batch.Columns[k].Lengths) > 0 {
			return batch.Columns[k].Lengths
		}
	}
	return nil
}

// ragged is the first ragged input; nil where there is none.
func (m *Model) ragged() *dataset.Field {
	for k := range m.schema {
		if m.schema[k].Role == dataset.Input && m.schema[k].Ragged {
			return &m.schema[k]
		}
	}
	return nil
}

// bind gives a program the columns of a batch.
func (p *recorded) bind(batch *dataset.Batch) {
	for _, b := range p.bindings {
		column := &batch.Columns[b.column]
		if b.floats != nil {
			p.program.Set(b.floats, column.Floats[:b.floats.Size()])
			continue
		}
		values := column.Ints[:b.integers.Size()]
		if b.trimmed != nil {
			values = b.trimmed
			trim(values, column.Ints, batch.N)
		}
		p.program.SetIntegers(b.integers, values)
	}
}
