package loss

import (
	"fmt"

	"ringmaster/internal/dataset"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
)

// crossEntropy is torch.nn.CrossEntropyLoss against classes, or against a token for each place of a sequence.
type crossEntropy struct {
	target    *dataset.Field
	weight    string
	smoothing float32 // in training: its loss in an evaluation compares with that of any other training
}

func newCrossEntropy(target *dataset.Field, weight string, smoothing float32) (Loss, error) {
	if target.Type != dataset.Int32 || target.Classes < 1 {
		return nil, fmt.Errorf("train.loss: cross_entropy compares with classes, but the target %s is numbers (%s): set train.loss: mse, or, in a table, list the column in data.categories", target.Name, target)
	}
	return &crossEntropy{target, weight, smoothing}, nil
}

// Rows is the number of the target's elements.
func (l *crossEntropy) Rows() int { return l.target.Width() }

// Width is the number of classes.
func (l *crossEntropy) Width() int { return l.target.Classes }

// Wants names the classes.
func (l *crossEntropy) Wants() string { return plural.Of(l.target.Classes, "class") }

// Classifies is true.
func (l *crossEntropy) Classifies() bool { return true }

// Record ends the graph.
func (l *crossEntropy) Record(g *tensor.Graph, fields Fields, output *tensor.Value, n int, training bool) {
	smoothing := float32(0)
	if training {
		smoothing = l.smoothing
	}
	g.CrossEntropy(output, fields.Integers(l.target.Name, n*l.Rows()), weights(fields, l.weight, n), smoothing)
}
