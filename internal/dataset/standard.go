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

// standards measures the inputs that the job standardises, in training rows, which messages call name. Every row counts, whatever its weight.
func standards(c config.Data, r Reader, name string) ([]*standard, error) {
	schema := r.Schema()
	for i, column := range c.Standardize {
		if column != config.AllColumns && schema.Find(column) < 0 {
			return nil, config.KeyErrorf(fmt.Sprintf("data.standardize[%d]", i), "%s is no feature of %s", printable.Typed(column), name)
		}
	}
	var found []*standard
	var fields []int
	for k := range schema {
		f := &schema[k]
		if f.Role == Input && f.Type == Float32 && (slices.Contains(c.Standardize, f.Name) || slices.Contains(c.Standardize, config.AllColumns)) {
			found = append(found, &standard{field: f.Name, means: make([]float64, f.Width()), stds: make([]float64, f.Width())})
			fields = append(fields, k)
		}
	}
	if len(found) == 0 && len(c.Standardize) > 0 {
		return nil, config.KeyErrorf("data.standardize", "%s has no feature of numbers: all are categories", name)
	}
	if len(found) == 0 {
		return nil, nil
	}
	return found, measure(found, fields, r)
}

// measure computes the means and standard deviations of fields of a reader, in float64 and in the order of the rows: first the means, then the
// means of the squared differences from them. Products are rounded by themselves, so that no CPU fuses them with the sums.
func measure(all []*standard, fields []int, r Reader) error {
	record, n := make(Record, len(r.Schema())), r.Len()
	each := func(visit func(s *standard, values []float32)) error {
		for i := range n {
			if err := r.Read(record, i); err != nil {
				return err
			}
			for j, k := range fields {
				visit(all[j], record[k].Floats)
			}
		}
		return nil
	}
	firsts := map[*standard][]float32{}
	differs := map[*standard][]bool{}
	err := each(func(s *standard, values []float32) {
		first, other := firsts[s], differs[s]
		if first == nil {
			first, other = slices.Clone(values), make([]bool, len(values))
			firsts[s], differs[s] = first, other
		}
		for place, v := range values {
			s.means[place] += float64(v)
			other[place] = other[place] || v != first[place]
		}
	})
	if err != nil {
		return err
	}
	if err != nil {
		return err
	}
	for _, s := range all {
		for place := range s.means {
			s.means[place] /= float64(n)
		}
	}
	err = each(func(s *standard, values []float32) {
		for place, v := range values {
			d := float64(v) - s.means[place]
			s.stds[place] += float64(d * d)
		}
	})
	for _, s := range all {
		for place := range s.stds {
			if differs[s][place] {
				s.stds[place] = math.Sqrt(s.stds[place] / float64(n))
			} else {
				s.means[place], s.stds[place] = float64(firsts[s][place]), 1
			}
		}
	}
	return err
}
