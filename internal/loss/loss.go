// Package loss holds what training minimises. A loss is one file: it says which target of the data it compares the model's output
// with, and so how wide that output must be, and records its operations at the end of the model's graph. Losses are sums over rows,
// folded in ascending order and then over the seats; their count, or the sum of their classes' weights, divides them once.
package loss

import (
	"strings"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/tensor"
)

// Loss compares the output of a model with targets of the data. It is immutable.
type Loss interface {
	// Rows is how many rows of output a sample has: 1, or the length of a sequence whose every element has a target.
	Rows() int
	// Width is the number of values in a row of output.
	Width() int
	// Wants says what Width is, for people: "10 classes".
	Wants() string
	// Task says what a row of output is compared with.
	Task() metric.Task
	// Target is the field that the output is compared with.
	Target() *dataset.Field
	// Weight is the name of the field of the samples' weights; empty where they have none.
	Weight() string
	// Record ends the graph of n samples. The output is (n x Rows, Width). What belongs to training alone is left out elsewhere.
	Record(g *tensor.Graph, fields Fields, output *tensor.Value, n int, training bool)
}

// Fields gives fields of the batch as inputs of the graph that is being recorded.
type Fields interface {
	// Floats is a field of float32 in a shape that holds all samples.
	Floats(name string, shape ...int) *tensor.Value
	// Integers is a field of int32.
	Integers(name string, shape ...int) *tensor.Integers
}

// New makes the configured loss for data of the schema. The error begins with the key at fault.
func New(cfg config.Train, schema dataset.Schema) (Loss, error) {
	if len(cfg.Losses) > 0 {
		return newSeveral(cfg, schema)
	}
	target, err := targetOf(cfg, schema)
	if err != nil {
		return nil, err
	}
	var weight *dataset.Field
	if weights := schema.Of(dataset.Weight); len(weights) > 0 {
		weight = weights[0]
	}
	if weight != nil && weight.Width() != 1 && weight.Width() != target.Width() {
		return nil, config.KeyErrorf("train.loss", "there are %d weights of a sample for %d targets", weight.Width(), target.Width())
	}
	mixed := len(schema.Of(dataset.Second)) > 0 && target.Role == dataset.Target
	if mixed && cfg.Loss != config.LossCrossEntropy {
		return nil, config.KeyErrorf("train.loss", "%s can not compare with classes that data.augment mixes: set train.loss: cross_entropy, or leave mixup and cutmix out", cfg.Loss)
	}
	construct := map[string]func(config.Train, compared) (Loss, error){
		config.LossCrossEntropy: newCrossEntropy, config.LossBinary: newBinary,
		config.LossMSE: newDifference, config.LossMAE: newDifference, config.LossHuber: newDifference,
	}[cfg.Loss]
	if construct == nil {
		return nil, config.KeyErrorf("train.loss", "there is no loss %q", cfg.Loss)
	}
	return construct(cfg, compared{target, weight, mixed})
}

// targetOf is the field that the output is compared with: the one that the job names, which may be an input, as for an autoencoder, or
// else the data's only target.
func targetOf(cfg config.Train, schema dataset.Schema) (*dataset.Field, error) {
	if cfg.Target == "" {
		target, err := schema.Only(dataset.Target)
		if err != nil {
			return nil, config.KeyErrorf("train.loss", "%s compares the model's output with one target, but %w", cfg.Loss, err)
		}
		return target, nil
	}
	if k := schema.Find(cfg.Target); k >= 0 {
		return &schema[k], nil
	}
	var names []string
	for k := range schema {
		names = append(names, schema[k].Name)
	}
	return nil, config.KeyErrorf("train.target", "the data has no field %s; there are %s", cfg.Target, strings.Join(names, ", "))
}

// compared is what every loss knows of the data.
type compared struct {
	target *dataset.Field
	weight *dataset.Field // one value a sample, or one for each of its targets; nil: all weigh 1
	mixed  bool           // in training a sample is of a second class too
}

// Target is the field that the output is compared with.
func (c *compared) Target() *dataset.Field { return c.target }

// Weight is the name of the field of the samples' weights; empty where they have none.
func (c *compared) Weight() string {
	if c.weight == nil {
		return ""
	}
	return c.weight.Name
}

// weights is the weights of n samples; nil where the data has none.
func (c *compared) weights(fields Fields, n int) *tensor.Value {
	if c.weight == nil {
		return nil
	}
	return fields.Floats(c.weight.Name, n*c.weight.Width())
}
