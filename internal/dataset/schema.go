package dataset

import (
	"fmt"
	"strconv"
	"strings"

	"ringmaster/internal/plural"
)

// Type is what the values of a field are.
type Type uint8

// The types.
const (
	Float32 Type = iota + 1
	Int32        // tokens, classes, ids
	Uint8        // pixels
)

// String is the type's name for people.
func (t Type) String() string {
	return map[Type]string{Float32: "float32", Int32: "int32", Uint8: "uint8"}[t]
}

// Role is what a field is for.
type Role uint8

// The roles.
const (
	Input  Role = iota + 1 // a model reads it
	Target                 // a loss compares a model's output with it
	Weight                 // a loss scales a sample's loss by it
	Group                  // samples that belong together have the same
	Second                 // the class that a mixed sample is of besides its target
	Share                  // how much of a mixed sample is of its target: from a half to 1
)

// String is the role's name for people.
func (r Role) String() string {
	return map[Role]string{Input: "input", Target: "target", Weight: "weight", Group: "group", Second: "second", Share: "share"}[r]
}

// Field is one named tensor of every sample.
type Field struct {
	Name    string
	Type    Type
	Role    Role
	Shape   []int    // of one sample: [784], or [3 32 32] for channels, rows, columns; nil: a single value
	Ragged  bool     // the first length differs between samples; Shape has the largest
	Classes int      // of whole numbers that are classes or tokens: they are 0 to Classes-1; 0: they are neither
	Labels  []string // names of the classes; nil where they have none

	Trimmed    bool  // a micro-batch of training is as long as its longest sample, up to a sixteenth of Shape
	Start, End int32 // of the targets of pairs of texts: the token that a decoder reads first, and the one behind a text
}

// Width is the number of values of one sample, of a ragged field the largest.
func (f *Field) Width() int {
	width := 1
	for _, n := range f.Shape {
		width *= n
	}
	return width
}

// String describes the field for people: `label: int32, 10 classes`, `pixels: float32 3 x 32 x 32`.
func (f *Field) String() string {
	s := f.Name + ": " + f.Type.String()
	if len(f.Shape) > 0 {
		s += " " + Extent(f.Shape)
	}
	if f.Classes > 0 {
		s += ", " + plural.Of(f.Classes, "class")
	}
	return s
}

// Extent writes a shape as "3 x 32 x 32"; that of a single value as "1".
func Extent(shape []int) string {
	if len(shape) == 0 {
		return "1"
	}
	parts := make([]string, len(shape))
	for i, n := range shape {
		parts[i] = strconv.Itoa(n)
	}
	return strings.Join(parts, " x ")
}

// The fields of pairs of texts, tokens by tokens.
const (
	SourceTokens  = "source"  // input, ragged
	ShiftedTokens = "shifted" // input: the target behind a start token, without its last
	TargetTokens  = "target"  // -1 behind its end
)

// WindowPlaces is an input: the place of each token in its document, as far as the sample holds it, from 0. It goes with text whose
// documents are kept apart.
const WindowPlaces = "places"

// Schema is the fields of a sample, in the order in which records and batches hold them. Names differ.
type Schema []Field

// Find is the place of the field with that name; -1 where there is none.
func (s Schema) Find(name string) int {
	for k := range s {
		if s[k].Name == name {
			return k
		}
	}
	return -1
}

// Of are the fields of a role, in order.
func (s Schema) Of(role Role) []*Field {
	var fields []*Field
	for k := range s {
		if s[k].Role == role {
			fields = append(fields, &s[k])
		}
	}
	return fields
}

// Only is the only field of a role. The error says which there are.
func (s Schema) Only(role Role) (*Field, error) {
	fields := s.Of(role)
	if len(fields) == 1 {
		return fields[0], nil
	}
	if len(fields) == 0 {
		return nil, fmt.Errorf("the data has no %s", role)
	}
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.Name
	}
	return nil, fmt.Errorf("the data has %d %ss (%s) where there should be one", len(fields), role, strings.Join(names, ", "))
}

// SampleBytes is what one sample takes in a batch.
func (s Schema) SampleBytes() int {
	n := 0
	for k := range s {
		n += 4 * s[k].Width()
		if s[k].Ragged {
			n += 4
		}
	}
	return n
}

// Column is one field of the samples of a batch, sample by sample. Ragged samples are padded by zeros.
type Column struct {
	Floats  []float32 // of float32: N x Width
	Ints    []int32   // of int32: N x Width
	Lengths []int32   // of a ragged field: the samples' own first lengths
}

// Batch is a number of samples side by side: a column for each field of the schema. A Set fills it and grows it where it is too
// small. A batch belongs to one goroutine at a time.
type Batch struct {
	N       int
	Columns []Column

	work *work // of the set that filled it last
}

// Resize gives the batch room for n samples of the schema and leaves what is in them undefined.
func (b *Batch) Resize(n int, s Schema) {
	b.N = n
	if len(b.Columns) != len(s) {
		b.Columns = make([]Column, len(s))
	}
	for k := range s {
		c, width := &b.Columns[k], s[k].Width()
		c.Floats, c.Ints, c.Lengths = c.Floats[:0], c.Ints[:0], c.Lengths[:0]
		switch s[k].Type {
		case Float32:
			c.Floats = grow(c.Floats, n*width)
		case Int32:
			c.Ints = grow(c.Ints, n*width)
		default:
			panic(fmt.Sprintf("dataset: field %s of %s in a batch", s[k].Name, s[k].Type))
		}
		if s[k].Ragged {
			c.Lengths = grow(c.Lengths, n)
		}
	}
}

func grow[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}
