package optim

import (
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// sgd is stochastic gradient descent, with momentum where it is not 0. In Keras's form the velocity contains the learning
// rate, in PyTorch's it does not; they differ only while the rate changes. The buffer is PyTorch's momentum_buffer, in
// Keras's form the velocity with its sign turned.
type sgd struct {
	base
	buffer    []float32             // nil without momentum
	constants []kernel.SGDConstants // of the update under way, by class
	update    func(at plan.Interval, params []float32, class int)
}

func newSGD(b base) *sgd {
	s := &sgd{base: b, constants: make([]kernel.SGDConstants, len(b.classes))}
	if b.cfg.Momentum != 0 {
		s.buffer = make([]float32, b.length)
	}
	s.update = s.updateSpan
	s.task = func(part int) { s.each(part, s.update) }
	return s
}

func (s *sgd) Names() []string { return namesOf(s.cfg) }

func (s *sgd) State() [][]float32 {
	if s.buffer == nil {
		return nil
	}
	return [][]float32{s.buffer}
}

func (s *sgd) Step(team *kernel.Team, step uint64, params, grad []float32, in plan.Interval, count float64, clip float32) {
	if count == 0 {
		return
	}
	for k, class := range s.classes {
		rate := float32(s.rate.Rate(step) * class.lrFactor)
		c := &s.constants[k]
		*c = kernel.SGDConstants{
			Gradient: kernel.Gradient{Count: float32(count), Clip: clip},
			Decay:    float32(class.weightDecay),
			Momentum: float32(s.rate.Momentum(step, s.cfg.Momentum)),
			Inner:    1,
			Rate:     rate,
			Nesterov: s.cfg.Nesterov,
		}
		if s.buffer != nil && s.cfg.Form == config.FormKeras {
			c.Inner, c.Rate = rate, 1
		}
	}
	s.run(team, step, params, grad, in)
}

func (s *sgd) updateSpan(at plan.Interval, params []float32, class int) {
	c := &s.constants[class]
	i, j := at.Begin, at.End
	if s.buffer == nil {
		kernel.SGDStep(params, s.g[i:j], c)
		return
	}
	kernel.MomentumStep(params, s.buffer[i:j], s.g[i:j], c)
	s.flush(s.buffer[i:j])
}
