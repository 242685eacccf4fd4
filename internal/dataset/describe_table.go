package dataset

import "fmt"

// describedColumn is what must be known of a column of a table where the table is not.
type describedColumn struct {
	Name       string   `json:"name"`
	Role       Role     `json:"role"`
	Shape      []int    `json:"shape,omitempty"`      // of numbers
	Categories []string `json:"categories,omitempty"` // none: numbers
}

// describeTable describes the fields of a table's records.
func describeTable(s Schema) []describedColumn {
	var columns []describedColumn
	for _, f := range s {
		columns = append(columns, describedColumn{f.Name, f.Role, f.Shape, f.Labels})
	}
	return columns
}

// schema is that of the records of the table that was described; nil where the data are none.
func (in *description) schema() Schema {
	var s Schema
	for _, c := range in.Table {
		f := Field{Name: c.Name, Type: Float32, Role: c.Role, Shape: c.Shape}
		if len(c.Categories) > 0 {
			f.Type, f.Classes, f.Labels = Int32, len(c.Categories), c.Categories
		}
		s = append(s, f)
	}
	return s
}

// recallTable makes a table without rows.
func (in *description) recallTable() (*Data, error) {
	s := in.schema()
	total := 0
	for k, f := range s {
		if s.Find(f.Name) != k || f.Role < Input || f.Role > Weight || len(f.Shape) > 0 && f.Type == Int32 {
			return nil, fmt.Errorf("description of the data: column %q of role %d", f.Name, f.Role)
		}
		width := 1
		for _, n := range f.Shape {
			if n < 1 || n > maxFeatures/width {
				return nil, fmt.Errorf("description of the data: column %q of %v", f.Name, f.Shape)
			}
			width *= n
		}
		if total += width + f.Classes; total > maxFeatures {
			return nil, fmt.Errorf("description of the data: its columns have more than %d values", maxFeatures)
		}
	}
	if len(s.Of(Target)) != 1 || len(s.Of(Input)) == 0 {
		return nil, fmt.Errorf("description of the data: a table of %d targets and %d inputs", len(s.Of(Target)), len(s.Of(Input)))
	}
	d := &Data{Labels: s.labels(), table: s}
	return d, d.sets(&rows{schema: s, columns: make([]column, len(s))}, nil, d.tableTransforms()...)
}
