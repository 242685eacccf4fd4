package loss

import (
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/metric"
	"ringmaster/internal/plural"
	"ringmaster/internal/tensor"
)

// difference is the mean of a function of the differences between output and target, over the values of a sample and over the
// samples: torch.nn.MSELoss, L1Loss or HuberLoss.
type difference struct {
	compared
	kind  string
	delta float32
}

func newDifference(cfg config.Train, c compared) (Loss, error) {
	if c.target.Type != dataset.Float32 || c.target.Ragged {
		return nil, config.KeyErrorf("train.loss", "%s compares with numbers, but the target %s is classes (%s): set train.loss: cross_entropy", cfg.Loss, c.target.Name, c.target)
	}
	return &difference{c, cfg.Loss, float32(cfg.HuberDelta)}, nil
}

// Rows is 1.
func (l *difference) Rows() int { return 1 }

// Width is the number of the target's values.
func (l *difference) Width() int { return l.target.Width() }

// Wants names the target's values.
func (l *difference) Wants() string { return plural.Of(l.Width(), "target value") }

// Task is to tell values.
func (l *difference) Task() metric.Task { return metric.Task{Kind: metric.Values, Outputs: l.Width()} }

// Record ends the graph.
func (l *difference) Record(g *tensor.Graph, fields Fields, output *tensor.Value, n int, _ bool) {
	target, w := fields.Floats(l.target.Name, n, l.Width()), l.weights(fields, n)
	switch l.kind {
	case config.LossMSE:
		g.SquaredError(output, target, w)
	case config.LossMAE:
		g.AbsoluteError(output, target, w)
	default:
		g.HuberError(output, target, w, l.delta)
	}
}
