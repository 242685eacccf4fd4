package dataset

import (
	"fmt"
	"math"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/printable"
)

// standard is the transform that brings an input of numbers to mean 0 and standard deviation 1, as they are among the training rows; each
// place of an array by itself.
type standard struct {
	field string
	means []float64 // by place
	stds  []float64 // above 0; 1 where all rows have the same value
}

// Fields implements Transform.
func (s *standard) Fields(schema Schema) (reads []string, makes []Field, err error) {
	k := schema.Find(s.field)
	if k < 0 {
		return nil, nil, fmt.Errorf("dataset: field %s, which is to be standardised, does not exist", s.field)
	}
	return []string{s.field}, []Field{schema[k]}, nil
}

// Apply implements Transform.
func (s *standard) Apply(out, in []Value, _ Draw) {
	dst := out[0].Floats
	for i, v := range in[0].Floats {
		dst[i] = float32((float64(v) - s.means[i]) / s.stds[i])
	}
}

// standards measures the inputs that the job standardises, in training rows. Every row counts, whatever its weight.
func (r *rows) standards(c config.Data) ([]*standard, error) {
	var found []*standard
	for i, name := range c.Standardize {
		if name != config.AllColumns && r.schema.Find(name) < 0 {
			return nil, config.KeyErrorf(fmt.Sprintf("data.standardize[%d]", i), "%s is no feature of %s", printable.Typed(name), r.name)
		}
	}
	for k := range r.schema {
		f := &r.schema[k]
		if f.Role == Input && f.Type == Float32 && (slices.Contains(c.Standardize, f.Name) || slices.Contains(c.Standardize, config.AllColumns)) {
			found = append(found, r.measure(k))
		}
	}
	if len(found) == 0 && len(c.Standardize) > 0 {
		return nil, config.KeyErrorf("data.standardize", "%s has no feature of numbers: all are categories", r.name)
	}
	return found, nil
}

// measure computes the means and standard deviations of column k, in float64 and in the order of the rows: first the mean, then the mean of
// the squared differences from it. Products are rounded by themselves, so that no CPU fuses them with the sums.
func (r *rows) measure(k int) *standard {
	values := r.columns[k].floats
	width := len(values) / r.n
	s := &standard{field: r.schema[k].Name, means: make([]float64, width), stds: make([]float64, width)}
	for place := range width {
		sum, constant := 0.0, true
		for i := place; i < len(values); i += width {
			sum += float64(values[i])
			constant = constant && values[i] == values[place]
		}
		mean := sum / float64(r.n)
		if constant {
			s.means[place], s.stds[place] = float64(values[place]), 1
			continue
		}
		squares := 0.0
		for i := place; i < len(values); i += width {
			d := float64(values[i]) - mean
			squares += float64(d * d)
		}
		s.means[place], s.stds[place] = mean, math.Sqrt(squares/float64(r.n))
	}
	return s
}
