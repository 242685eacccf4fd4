package model

import (
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/tensor"
)

// Computation is what a model computes for prediction, as it is recorded for a batch of one sample. The first axis of all values that are
// neither parameters nor constants is a multiple of the samples, and no other axis depends on them.
type Computation struct {
	Steps   []tensor.Step
	Reads   []Read
	Lengths *dataset.Field // whose lengths padded attention heeds; nil: there is none
	Outputs []Output
}

// Read is a field of the data as a program reads it: as numbers or as whole numbers. A field may be read in several shapes.
type Read struct {
	Field    *dataset.Field
	Floats   *tensor.Value    // or
	Integers *tensor.Integers // shared by all that read the field
}

// Output is what a model gives for a target: Rows rows for each sample.
type Output struct {
	Name string // of the target
	Rows int
	*tensor.Value
}

// Computation records the model for others to read. The error names an operation that cannot be read.
func (m *Model) Computation() (*Computation, error) {
	r := newRecorder(m, false, 1)
	r.predicts = true
	output := m.network.record(r, 1)
	c := &Computation{}
	for _, b := range r.bindings {
		c.Reads = append(c.Reads, Read{Field: &m.schema[b.column], Floats: b.floats, Integers: b.integers})
	}
	for k, part := range loss.PartsOf(m.loss) {
		name := "output" // an autoencoder's target is its input
		if target := part.Target(); target.Role == dataset.Target {
			name = target.Name
		}
		if k > 0 {
			output = r.outputs[k]
		}
		c.Outputs = append(c.Outputs, Output{Name: name, Rows: part.Rows(), Value: output})
	}
	var err error
	c.Steps, err = r.Steps()
	for i := range c.Steps {
		a, is := c.Steps[i].What.(tensor.AttentionStep)
		if !is || !a.Options.Padded {
			continue
		}
		if c.Lengths = m.ragged(); c.Lengths == nil { // all samples are whole
			a.Options.Padded = false
			c.Steps[i].What = a
		}
	}
	return c, err
}
