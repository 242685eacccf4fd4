package optim

import (
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// AverageName is the name of the state vector that an average of the parameters has.
const AverageName = "ema"

// average is an optimizer that also keeps an exponential moving average of the parameters that it updates, as its last state vector.
type average struct {
	Optimizer
	base
	decay  float64
	warmup bool
	ema    []float32
	lerp   kernel.SGDConstants // of the update under way
}

// Average makes o keep a moving average of the parameters of the groups too: after update 1 it equals them, and after each later one it is
// ema + (1-d) * (params - ema), as PyTorch's AveragedModel with get_ema_multi_avg_fn(decay) has it. d is the decay, or with
// warm-up min(decay, (1+step)/(10+step)), as TensorFlow's ExponentialMovingAverage has it. Before update 1 it is what is written into its vector.
// What stays as it is equals its average, so nothing is kept for it.
func Average(o Optimizer, decay float64, warmup bool, params int, groups []Group) (Optimizer, error) {
	a := &average{Optimizer: o, base: base{params: params}, decay: decay, warmup: warmup}
	if err := a.divide(groups); err != nil {
		return nil, err
	}
	a.ema = make([]float32, a.length)
	update := a.update
	a.task = func(part int) { a.each(part, update) }
	return a, nil
}

func (a *average) Names() []string    { return append(a.Optimizer.Names(), AverageName) }
func (a *average) State() [][]float32 { return append(a.Optimizer.State(), a.ema) }

func (a *average) Step(team *kernel.Team, step uint64, params, grad []float32, in plan.Interval, count float64, clip float32) {
	a.Optimizer.Step(team, step, params, grad, in, count, clip)
	// A step of SGD from ema along ema - params, whose rate is 1-d.
	a.lerp = kernel.SGDConstants{Gradient: kernel.Gradient{Count: 1, Clip: 1}, Decay: -1, Rate: -float32(1 - a.decayAt(step))}
	a.run(team, step, params, a.ema, in)
}

func (a *average) decayAt(step uint64) float64 {
	if !a.warmup {
		return a.decay
	}
	return min(a.decay, float64(1+step)/float64(10+step))
}

func (a *average) update(at plan.Interval, params []float32, _ int) {
	if ema := a.ema[at.Begin:at.End]; a.step <= 1 {
		copy(ema, params)
	} else {
		kernel.SGDStep(ema, params, &a.lerp)
	}
}
