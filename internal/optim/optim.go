// Package optim turns summed gradients into updates of the flat parameter vector: SGD with momentum, Adam and AdamW, in
// PyTorch's and in Keras's forms, with learning-rate schedules, weight decay and clipping by global norm. Updates are
// elementwise, so any interval may be updated apart from the others, by any worker, with the same bits.
package optim

import (
	"fmt"
	"math"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// Optimizer updates parameters and holds the state that this needs.
type Optimizer interface {
	// Names are the names of the state vectors as PyTorch's state_dict gives them: exp_avg, exp_avg_sq, momentum_buffer.
	Names() []string
	// State are the state vectors in the order of Names, each with as many elements as the gradient. They are the
	// optimizer's own: what is written into them is its state from then on. All zeros is the state before step 1.
	State() [][]float32
	// Step is update number step (counted from 1) of the parameters that have the gradients grad[in], the sum over the targets; count is their
	// number, or the sum of their classes' weights. The mean is scaled by clip. params is the whole flat vector; grad has the gradients of
	// the groups' parameters one after another. With count 0 nothing changes. Calls must not
	// run at the same time. A count beyond 2^24 is rounded to a float32 before it divides.
	Step(team *kernel.Team, step uint64, params, grad []float32, in plan.Interval, count float64, clip float32)
}

// Group is an interval of the flat parameter vector with settings of its own.
type Group struct {
	plan.Interval
	LRFactor    float64 // of the learning rate
	WeightDecay float64
}

// New makes the optimizer of a configuration for a flat vector of params parameters. groups, ascending and apart, say what is updated and
// how: their settings go before the configuration's. Parameters of no group stay as they are, and nothing is kept for them.
func New(cfg config.Optimizer, schedule config.Schedule, params int, groups []Group) (Optimizer, error) {
	rate, err := NewSchedule(cfg.LR, schedule)
	if err != nil {
		return nil, err
	}
	if err := checkForm(cfg); err != nil {
		return nil, err
	}
	base := base{cfg: cfg, rate: rate, params: params}
	if err := base.divide(groups); err != nil {
		return nil, err
	}
	switch cfg.Kind {
	case config.OptimizerAdam, config.OptimizerAdamW:
		return newAdam(base), nil
	case config.OptimizerSGD:
		return newSGD(base), nil
	}
	return nil, fmt.Errorf("optimizer %q is not known", cfg.Kind)
}

// Names are the names of the vectors that the optimizer of a job keeps, as Optimizer.Names has them.
func Names(cfg *config.Train) []string {
	names := namesOf(cfg.Optimizer)
	if cfg.EMA > 0 {
		names = append(names, AverageName)
	}
	return names
}

func namesOf(cfg config.Optimizer) []string {
	switch {
	case cfg.Kind != config.OptimizerSGD:
		return []string{"exp_avg", "exp_avg_sq"}
	case cfg.Momentum != 0:
		return []string{"momentum_buffer"}
	}
	return nil
}

func checkForm(cfg config.Optimizer) error {
	if cfg.Form != config.FormKeras && cfg.Form != config.FormPyTorch {
		return fmt.Errorf("optimizer %s: form %q should be %s or %s", cfg.Kind, cfg.Form, config.FormKeras, config.FormPyTorch)
	}
	return nil
}

// span is an interval of the gradient whose parameters are updated alike.
type span struct {
	plan.Interval
	shift int // from a gradient's place to its parameter's
	class int
}

// class is how the parameters of some spans are updated.
type class struct{ lrFactor, weightDecay float64 }

// divide makes a span of each group and finds the classes.
func (b *base) divide(groups []Group) error {
	at := 0
	for _, g := range groups {
		if g.Begin < at || g.End < g.Begin || g.End > b.params {
			return fmt.Errorf("optimizer: group %v is out of order or outside the %d parameters", g.Interval, b.params)
		}
		at = g.End
		c := class{g.LRFactor, g.WeightDecay}
		k := slices.Index(b.classes, c)
		if k < 0 {
			k = len(b.classes)
			b.classes = append(b.classes, c)
		}
		b.spans = append(b.spans, span{plan.Interval{Begin: b.length, End: b.length + g.Len()}, g.Begin - b.length, k})
		b.length += g.Len()
	}
	return nil
}

// threadLen is the number of parameters below which a second thread costs more than it saves.
const threadLen = 1 << 14

// base is what every optimizer has: it divides an update between the threads of a team and at the borders of groups.
type base struct {
	cfg     config.Optimizer
	rate    Schedule
	spans   []span
	classes []class
	params  int
	length  int // of the gradient

	// The update under way. task is made once, so that a step allocates nothing.
	task  func(part int)
	step  uint64
	parts int
	in    plan.Interval
	p, g  []float32
}

// flushEvery is the number of steps after which moments below the smallest normal number become zero. Where gradients are exactly
// zero for long, as those of pixels that are always black, moments shrink into the denormal numbers, where rounding keeps them for good,
// and many CPUs take a hundred times as long for those. No parameter can tell. It is part of the numerics contract.
const flushEvery = 64

// flush sets the moments of the update under way that are denormal to zero, every flushEvery steps.
func (b *base) flush(moments ...[]float32) {
	if b.step%flushEvery != 0 {
		return
	}
	for _, m := range moments {
		kernel.FlushDenormals(m, m)
	}
}

// run calls update for every part of in that is within one span and one thread's share.
func (b *base) run(team *kernel.Team, step uint64, params, grad []float32, in plan.Interval) {
	if len(params) != b.params || len(grad) != b.length {
		panic(fmt.Sprintf("optim: %d parameters and %d gradients for an optimizer of %d and %d", len(params), len(grad), b.params, b.length))
	}
	b.step, b.p, b.g, b.in = step, params, grad, in
	b.parts = max(1, min(team.Threads(), in.Len()/threadLen))
	team.Run(b.parts, b.task)
	b.p, b.g = nil, nil
}

// each calls update for what a thread has of each span: the interval of the gradient and the parameters.
func (b *base) each(part int, update func(at plan.Interval, params []float32, class int)) {
	share := b.in.Part(part, b.parts)
	for _, s := range b.spans {
		at := plan.Interval{Begin: max(s.Begin, share.Begin), End: min(s.End, share.End)}
		if at.Len() > 0 {
			update(at, b.p[at.Begin+s.shift:at.End+s.shift], s.class)
		}
	}
}

// ClipScale is the factor that brings a mean gradient within maxNorm: min(1, maxNorm/norm), norm = sqrt(sumSquares)/count.
// sumSquares is the sum of the squares of the summed gradient. maxNorm 0 or count 0 mean no clipping. PyTorch's
// clip_grad_norm_ adds 1e-6 to the norm, which keeps its quotient finite; here it is only taken where it is below 1.
func ClipScale(sumSquares float64, count, maxNorm float64) float32 {
	if maxNorm <= 0 || count == 0 {
		return 1
	}
	norm := math.Sqrt(sumSquares) / count
	if norm <= maxNorm {
		return 1
	}
	return float32(maxNorm / norm)
}
