package trainer

import (
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// Score evaluates parameters and running statistics on the job's evaluation set in this process alone. The result equals that
// of the workers of a training run in every bit: the same intervals, one a seat, folded in the same order. nil: the
// job has no evaluation set. The vectors must have the model's lengths.
func (p *Plan) Score(team *kernel.Team, params, stats []float32) (*Evaluation, error) {
	e, _, err := p.ScoreMetrics(team, params, stats)
	return e, err
}

// ScoreMetrics is Score with the sums of the plan's metrics; nil where it has none.
func (p *Plan) ScoreMetrics(team *kernel.Team, params, stats []float32) (*Evaluation, *metric.Sums, error) {
	t := &Trainer{Plan: p, team: team, replica: p.Model.NewReplica(team), params: params, scored: params, stats: stats}
	e, err := t.Evaluate(&solo{}, plan.Arc{Begin: 0, End: p.Job.Seats})
	return e, t.metricSums, err
}

// solo is the ring of a single worker that holds all seats and computes no gradients: what it collects is what it
// contributed.
type solo struct{ records []byte }

func (s *solo) Begin(uint64)     {}
func (s *solo) Ready(int)        {}
func (s *solo) Tend(int)         {}
func (s *solo) Wait(int) error   { return nil }
func (s *solo) End(uint64) error { return nil }

func (s *solo) Contribute(_ uint8, local [][]byte) {
	s.records = s.records[:0]
	for _, record := range local {
		s.records = append(s.records, record...)
	}
}

func (s *solo) Collect(uint8) ([]byte, error) { return s.records, nil }
