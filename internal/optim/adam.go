package optim

import (
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
)

// adam is Adam (Kingma and Ba, 2014), and AdamW (Loshchilov and Hutter, 2017) where the decay is decoupled.
type adam struct {
	base
	m, v      []float32
	constants []kernel.AdamConstants // of the update under way, by class
	update    func(at plan.Interval, params []float32, class int)
}

func newAdam(b base) *adam {
	a := &adam{base: b, m: make([]float32, b.length), v: make([]float32, b.length), constants: make([]kernel.AdamConstants, len(b.classes))}
	a.update = a.updateSpan
	a.task = func(part int) { a.each(part, a.update) }
	return a
}

func (a *adam) Names() []string    { return namesOf(a.cfg) }
func (a *adam) State() [][]float32 { return [][]float32{a.m, a.v} }

func (a *adam) Step(team *kernel.Team, step uint64, params, grad []float32, in plan.Interval, count float64, clip float32) {
	if count == 0 {
		return
	}
	for k, class := range a.classes {
		rate := float64(a.rate.Rate(step) * class.lrFactor)
		c := &a.constants[k]
		*c = a.constantsAt(step, rate)
		c.Gradient = kernel.Gradient{Count: float32(count), Clip: clip}
		if a.cfg.Kind == config.OptimizerAdamW {
			c.Shrink = float32(1 - float64(rate*class.weightDecay))
		} else {
			c.Decay = float32(class.weightDecay)
		}
	}
	a.run(team, step, params, grad, in)
}

// constantsAt are the constants of update number step with a learning rate, without decay. Keras folds both bias corrections into the rate and
// adds epsilon to the uncorrected root ("epsilon hat"); PyTorch adds it to the corrected one.
func (a *adam) constantsAt(step uint64, rate float64) kernel.AdamConstants {
	beta1 := a.rate.Momentum(step, a.cfg.Beta1)
	correction1 := 1 - power(beta1, step)
	correction2 := math.Sqrt(1 - power(a.cfg.Beta2, step))
	c := kernel.AdamConstants{
		Shrink:    1,
		Beta1C:    float32(1 - beta1),
		Beta2C:    float32(1 - a.cfg.Beta2),
		RootScale: 1,
		Epsilon:   float32(a.cfg.Epsilon),
		Alpha:     float32(rate / correction1),
	}
	if a.cfg.Form == config.FormKeras {
		c.Alpha = float32(rate * correction2 / correction1)
	} else {
		c.RootScale = float32(1 / correction2)
	}
	return c
}

func (a *adam) updateSpan(at plan.Interval, params []float32, class int) {
	c := &a.constants[class]
	i, j := at.Begin, at.End
	kernel.AdamStep(params, a.m[i:j], a.v[i:j], a.g[i:j], c)
	a.flush(a.m[i:j], a.v[i:j])
}
