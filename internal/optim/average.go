package optim

import (
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// AverageName is the name of the state vector that an average of the parameters has.
const AverageName = "ema"

// average is an optimizer that also keeps an exponential moving average of all parameters, frozen ones too, as its last state vector.
type average struct {
	Optimizer
	decay  float64
	warmup bool
	ema    []float32

	// The update under way. task is made once, so that a step allocates nothing.
	task   func(part int)
	parts  int
	in     plan.Interval
	params []float32
	lerp   kernel.SGDConstants
}

// Average makes o keep a moving average of params parameters too: after update 1 it equals them, and after each later one it is
// ema + (1-d) * (params - ema), as PyTorch's AveragedModel with get_ema_multi_avg_fn(decay) has it. d is the decay, or with
// warm-up min(decay, (1+step)/(10+step)), as TensorFlow's ExponentialMovingAverage has it. Before update 1 it is what is written into its vector.
func Average(o Optimizer, decay float64, warmup bool, params int) Optimizer {
	a := &average{Optimizer: o, decay: decay, warmup: warmup, ema: make([]float32, params)}
	a.task = a.updatePart
	return a
}

func (a *average) Names() []string    { return append(a.Optimizer.Names(), AverageName) }
func (a *average) State() [][]float32 { return append(a.Optimizer.State(), a.ema) }

func (a *average) Step(team *kernel.Team, step uint64, params, grad []float32, in plan.Interval, count float64, clip float32) {
	a.Optimizer.Step(team, step, params, grad, in, count, clip)
	if step <= 1 {
		copy(a.ema[in.Begin:in.End], params[in.Begin:in.End])
		return
	}
	// A step of SGD from ema along ema - params, whose rate is 1-d.
	a.lerp = kernel.SGDConstants{Gradient: kernel.Gradient{Count: 1, Clip: 1}, Decay: -1, Rate: -float32(1 - a.decayAt(step))}
	a.in, a.params, a.parts = in, params, max(1, min(team.Threads(), in.Len()/threadLen))
	team.Run(a.parts, a.task)
	a.params = nil
}

func (a *average) decayAt(step uint64) float64 {
	if !a.warmup {
		return a.decay
	}
	return min(a.decay, float64(1+step)/float64(10+step))
}

func (a *average) updatePart(part int) {
	at := a.in.Part(part, a.parts)
	kernel.SGDStep(a.ema[at.Begin:at.End], a.params[at.Begin:at.End], &a.lerp)
}
