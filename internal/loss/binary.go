package loss

import (
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
)

// binary is torch.nn.BCEWithLogitsLoss against one or several yes-or-no labels, each counted as a target of its own.
type binary struct{ compared }

func newBinary(_ config.Train, c compared) (Loss, error) {
	if c.target.Ragged {
		return nil, config.KeyErrorf("train.loss", "binary compares with a number of labels that all samples have, but the target %s is of several lengths (%s)", c.target.Name, c.target)
	}
	if c.target.Type != dataset.Float32 && (c.target.Type != dataset.Int32 || c.target.Classes != 2) {
		return nil, config.KeyErrorf("train.loss", "binary compares with labels that are 0 or 1, but the target %s is %s: set train.loss: cross_entropy", c.target.Name, c.target)
	}
	return &binary{c}, nil
}

// Rows is 1.
func (l *binary) Rows() int { return 1 }

// Width is the number of labels: each has a logit.
func (l *binary) Width() int { return l.target.Width() }

// Wants names the labels.
func (l *binary) Wants() string { return plural.Of(l.Width(), "label") }

// Task is to tell labels.
func (l *binary) Task() metric.Task { return metric.Task{Kind: metric.Labels, Outputs: l.Width()} }

// Record ends the graph.
func (l *binary) Record(g *tensor.Graph, fields Fields, output *tensor.Value, n int, _ bool) {
	w := l.weights(fields, n)
	if l.target.Type == dataset.Int32 {
		g.BinaryCrossEntropyOf(output, fields.Integers(l.target.Name, n*l.Width()), w)
		return
	}
	g.BinaryCrossEntropy(output, fields.Floats(l.target.Name, n, l.Width()), w)
}
