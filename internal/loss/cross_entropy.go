package loss

import (
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
)

// crossEntropy is torch.nn.CrossEntropyLoss against classes, or against a token for each place of a sequence.
type crossEntropy struct {
	compared
	classWeights []float32 // nil: 1 each
	smoothing    float32   // in training: its loss in an evaluation compares with that of any other training
}

func newCrossEntropy(cfg config.Train, c compared) (Loss, error) {
	target := c.target
	if target.Type != dataset.Int32 || target.Classes < 1 {
		return nil, config.KeyErrorf("train.loss", "cross_entropy compares with classes, but the target %s is numbers (%s): set train.loss: mse, or, in a table, list the column in data.categories", target.Name, target)
	}
	if n := len(cfg.ClassWeights); n > 0 && n != target.Classes {
		return nil, config.KeyErrorf("train.class_weights", "there are %s, but the target %s has %s: list one for each, in the classes' order", plural.Of(n, "weight"), target.Name, plural.Of(target.Classes, "class"))
	}
	if c.mixed && len(cfg.ClassWeights) > 0 {
		return nil, config.KeyErrorf("train.class_weights", "they do not go with classes that data.augment mixes: leave them out, or mixup and cutmix")
	}
	l := &crossEntropy{compared: c, smoothing: float32(cfg.LabelSmoothing)}
	for _, w := range cfg.ClassWeights {
		l.classWeights = append(l.classWeights, float32(w))
	}
	return l, nil
}

// Rows is the number of the target's elements.
func (l *crossEntropy) Rows() int { return l.target.Width() }

// Width is the number of classes.
func (l *crossEntropy) Width() int { return l.target.Classes }

// Wants names the classes.
func (l *crossEntropy) Wants() string { return plural.Of(l.target.Classes, "class") }

// Task is to tell classes.
func (l *crossEntropy) Task() metric.Task {
	return metric.Task{Kind: metric.Classes, Outputs: l.target.Classes}
}

// Record ends the graph.
func (l *crossEntropy) Record(g *tensor.Graph, fields Fields, output *tensor.Value, n int, training bool) {
	smoothing := float32(0)
	if training {
		smoothing = l.smoothing
	}
	if training && l.mixed {
		g.MixedCrossEntropy(output, fields.Integers(l.target.Name, n), fields.Integers(dataset.SecondField, n), fields.Floats(dataset.ShareField, n), l.weights(fields, n), smoothing)
		return
	}
	g.CrossEntropy(output, fields.Integers(l.target.Name, n*l.Rows()), l.weights(fields, n), l.classWeights, smoothing)
}
