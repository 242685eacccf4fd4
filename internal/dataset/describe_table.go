package dataset

import (
	"fmt"
	"image"
	"slices"

	"ringmaster/internal/config"
)

// describedColumn is what must be known of a column of a table where the table is not.
type describedColumn struct {
	Name       string    `json:"name"`
	Role       Role      `json:"role"`
	Shape      []int     `json:"shape,omitempty"`      // of numbers
	Categories []string  `json:"categories,omitempty"` // none: numbers, or texts
	Tokens     int       `json:"tokens,omitempty"`     // of texts: how many the vocabulary has
	Means      []float64 `json:"means,omitempty"`      // of numbers that are standardised
	Stds       []float64 `json:"stds,omitempty"`       // likewise
}

// describeTable describes the fields of a table's records.
func describeTable(s Schema, standards []*standard) []describedColumn {
	var columns []describedColumn
	for _, f := range s {
		column := describedColumn{Name: f.Name, Role: f.Role, Shape: f.Shape, Categories: f.Labels}
		if f.Ragged {
			column.Tokens = f.Classes
		}
		for _, each := range standards {
			if each.field == f.Name {
				column.Means, column.Stds = each.means, each.stds
			}
		}
		columns = append(columns, column)
	}
	return columns
}

// schema is that of the records of the table that was described; nil where the data are none.
func (in *description) schema() Schema {
	if in == nil {
		return nil
	}
	var s Schema
	for _, c := range in.Table {
		f := Field{Name: c.Name, Type: Float32, Role: c.Role, Shape: c.Shape}
		if len(c.Categories) > 0 {
			f.Type, f.Classes, f.Labels = Int32, len(c.Categories), c.Categories
		}
		if c.Tokens > 0 {
			f.Type, f.Classes, f.Ragged = Int32, c.Tokens, true
		}
		s = append(s, f)
	}
	return s
}

// standards are the transforms that the description has.
func (in *description) standards() (found []*standard, err error) {
	schema := in.schema()
	for k, c := range in.Table {
		if len(c.Means) == 0 && len(c.Stds) == 0 {
			continue
		}
		width, f := 1, &schema[k]
		for _, n := range f.Shape {
			width *= n
		}
		if len(c.Means) != width || len(c.Stds) != width || f.Role != Input || f.Type != Float32 || slices.ContainsFunc(c.Stds, func(s float64) bool { return s <= 0 }) {
			return nil, fmt.Errorf("description of the data: column %q has %d means and %d standard deviations", c.Name, len(c.Means), len(c.Stds))
		}
		found = append(found, &standard{c.Name, c.Means, c.Stds})
	}
	return found, nil
}

// recallTable makes a table without rows.
func (in *description) recallTable(c config.Data) (*Data, recollection, error) {
	s := in.schema()
	total := 0
	for k, f := range s {
		if s.Find(f.Name) != k || f.Role < Input || f.Role > Weight || len(f.Shape) > 0 && f.Type == Int32 && !f.Ragged {
			return nil, recollection{}, fmt.Errorf("description of the data: column %q of role %d", f.Name, f.Role)
		}
		width := 1
		for _, n := range f.Shape {
			if n < 1 || n > maxFeatures/width {
				return nil, recollection{}, fmt.Errorf("description of the data: column %q of %v", f.Name, f.Shape)
			}
			width *= n
		}
		if total += width + f.Classes; total > maxFeatures {
			return nil, recollection{}, fmt.Errorf("description of the data: its columns have more than %d values", maxFeatures)
		}
	}
	if len(s.Of(Target)) == 0 || len(s.Of(Input)) == 0 && c.Image == "" {
		return nil, recollection{}, fmt.Errorf("description of the data: a table of %d targets and %d inputs", len(s.Of(Target)), len(s.Of(Input)))
	}
	standards, err := in.standards()
	if err != nil {
		return nil, recollection{}, err
	}
	d := &Data{Labels: s.labels(), table: s, standards: standards, inputs: c.Inputs}
	if d.texts, err = in.texts(c); err != nil {
		return nil, recollection{}, err
	}
	if d.texts != nil {
		d.Vocabulary = d.texts.vocabulary
	}
	if c.Image == "" {
		return d, recollection{s, d.tableTransforms()}, nil
	}
	if d.pixels, err = in.pixels(c); err != nil {
		return nil, recollection{}, err
	}
	if s.Find(pixelsField) >= 0 {
		return nil, recollection{}, fmt.Errorf("description of the data: a column %s beside pictures", pixelsField)
	}
	r := newGallery("", nil, image.Pt(in.Columns, in.Input[1]), &rows{schema: s}, &keeping{})
	return d, recollection{r.schema, d.tableTransforms()}, nil
}

// texts is how the texts of the table that was described become tokens; nil where it has none.
func (in *description) texts(c config.Data) (*texts, error) {
	var columns []string
	for _, column := range in.Table {
		if column.Tokens > 0 {
			columns = append(columns, column.Name)
		}
	}
	if !slices.Equal(columns, c.Texts) {
		return nil, fmt.Errorf("description of the data: its texts are %q, not those in data.texts", columns)
	}
	if len(columns) == 0 {
		return nil, nil
	}
	v, err := in.vocabulary()
	if err != nil {
		return nil, err
	}
	t, err := newTexts(c, v)
	if err != nil {
		return nil, err
	}
	for _, f := range in.schema() {
		if want := t.field(f.Name); f.Ragged && (f.Role != Input || f.Classes != want.Classes || !slices.Equal(f.Shape, want.Shape)) {
			return nil, fmt.Errorf("description of the data: column %q has texts of %v of %d tokens, not of %v of %d", f.Name, f.Shape, f.Classes, want.Shape, want.Classes)
		}
	}
	return t, nil
}
