package loss

import (
	"fmt"

	"ringmaster/internal/dataset"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
)

// mse is torch.nn.MSELoss: the mean of the squared differences, over the values of a sample and over the samples.
type mse struct {
	target *dataset.Field
	weight string
}

func newMSE(target *dataset.Field, weight string) (Loss, error) {
	if target.Type != dataset.Float32 || target.Ragged {
		return nil, fmt.Errorf("train.loss: mse compares with numbers, but the target %s is classes (%s): set train.loss: cross_entropy", target.Name, target)
	}
	return &mse{target, weight}, nil
}

// Rows is 1.
func (l *mse) Rows() int { return 1 }

// Width is the number of the target's values.
func (l *mse) Width() int { return l.target.Width() }

// Wants names the target's values.
func (l *mse) Wants() string { return plural.Of(l.target.Width(), "target value") }

// Classifies is false.
func (l *mse) Classifies() bool { return false }

// Record ends the graph.
func (l *mse) Record(g *tensor.Graph, fields Fields, output *tensor.Value, n int, _ bool) {
	g.SquaredError(output, fields.Floats(l.target.Name, n, l.Width()), weights(fields, l.weight, n))
}
