package trainer

import (
	"math"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// TestNoiseIsThatOfSingleSamples measures the first step of seats of one sample each. There the estimates are the textbook's: the variance is that of
// the samples' gradients around their mean, by one less than their number, and the square is the mean's without its share of the variance.
func TestNoiseIsThatOfSingleSamples(t *testing.T) {
	for _, model := range []string{"{layers: [784, 12, 12, 10]}", `{layers: [784, 12, 12, 10], freeze: ["0", "2.bias"]}`} {
		p := planOf(t, model, "{steps: 1, batch_per_seat: 1, gradient_noise: true}")
		fresh, err := New(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		var grads [][]float32
		mean := make([]float64, p.Model.GradientLen())
		for seat := range p.Job.Seats {
			var batch dataset.Batch
			shard := plan.Shard(p.Data.Train.Len(), p.Job.Seats, 1, 0, seat)
			indices := make([]int32, shard.Len())
			p.Data.Sampler(p.Job.Seed, 0).Fill(indices, shard)
			if err := p.Data.Train.Read(&batch, indices, rng.Key{}); err != nil {
				t.Fatal(err)
			}
			grad := make([]float32, p.Model.GradientLen())
			p.Model.NewReplica(nil).Gradient(fresh.params, fresh.stats, grad, &batch, rng.Key{}, nil, nil)
			for i, g := range grad {
				mean[i] += float64(g) / float64(p.Job.Seats)
			}
			grads = append(grads, grad)
		}
		square, variance := 0.0, 0.0
		for i, m := range mean {
			square += m * m
			for _, g := range grads {
				variance += (float64(g[i]) - m) * (float64(g[i]) - m) / float64(len(grads)-1)
			}
		}
		square -= variance / float64(len(grads))
		for workers := range 3 {
			tr := train(t, p, 1+workers, 1, 1, nil, nil)[0]
			point := tr.history.Curve(1)[0]
			if math.Abs(float64(point.GradSquare)-square) > 1e-4*variance || math.Abs(float64(point.GradVariance)-variance) > 1e-4*variance {
				t.Errorf("%s on %d workers: square %v, variance %v, want %v and %v", model, 1+workers, point.GradSquare, point.GradVariance, square, variance)
			}
		}
	}
}

// TestNoiseOnAnyRing wants one curve on any ring and over a resume, with accumulation, and parameters as without it.
func TestNoiseOnAnyRing(t *testing.T) {
	const rest = "steps: 6, batch_per_seat: 2, accumulate: 2, clip_norm: 0.5"
	plain := train(t, planOf(t, "{layers: [784, 24, 10]}", "{"+rest+"}"), 1, 1, 1, nil, nil)[0]
	p := planOf(t, "{layers: [784, 24, 10]}", "{"+rest+", gradient_noise: true}")
	want := train(t, p, 1, 1, 1, nil, nil)[0]
	for _, point := range want.history.Curve(6) {
		if !(point.GradVariance > 0) {
			t.Errorf("step %d: a variance of %v", point.Step, point.GradVariance)
		}
	}
	half := *p
	half.Steps = 3
	layout, err := p.Layout()
	if err != nil {
		t.Fatal(err)
	}
	saved := recode(t, layout, train(t, &half, 2, 1, 1, nil, nil)[0].State())
	for workers, from := range map[int]*checkpoint.State{1: nil, 2: nil, 3: saved} {
		tr := train(t, p, workers, 1, 2, from, nil)[0]
		if tr.history.Digest(6) != want.history.Digest(6) || digestOf(tr) != digestOf(want) {
			t.Errorf("%d workers: another curve or state", workers)
		}
	}
	if m := p.Memory(); m.State != int64(4*want.Floats()) {
		t.Errorf("the plan says %d bytes, the state has %d values", m.State, want.Floats())
	}
	if checkpoint.Digest(want.params) != checkpoint.Digest(plain.params) {
		t.Error("measuring changes the parameters")
	}
}

// TestNoiseOfOneSeat refuses a job that has nothing to compare.
func TestNoiseOfOneSeat(t *testing.T) {
	_, err := config.Parse("job.yaml", []byte("name: one\nseats: 1\ntrain:\n    gradient_noise: true\n"), nil)
	if err == nil || !strings.Contains(err.Error(), "job.yaml:4:21: train.gradient_noise compares the gradients of seats") || strings.Contains(err.Error(), "\n") {
		t.Error(err)
	}
}
