package optim

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/elementary"
	"ringmaster/internal/plural"
)

// Schedule is the learning rate as a pure function of the update's number. It is computed in float64 with operations that
// give the same bits on every CPU; only the constants of the update are rounded to float32.
type Schedule struct {
	rate float64
	cfg  config.Schedule
}

// NewSchedule is the schedule of a base learning rate. A schedule that decays to a horizon needs one beyond its warm-up.
func NewSchedule(rate float64, cfg config.Schedule) (Schedule, error) {
	switch cfg.Kind {
	case config.ScheduleConstant, "":
	case config.ScheduleStep:
		if cfg.StepSize < 1 {
			return Schedule{}, fmt.Errorf("learning-rate schedule step: step_size %d should be at least 1", cfg.StepSize)
		}
	case config.ScheduleCosine, config.ScheduleLinear:
		if cfg.Horizon <= cfg.Warmup {
			return Schedule{}, fmt.Errorf("learning-rate schedule %s: horizon %d must be beyond the warm-up's %s", cfg.Kind, cfg.Horizon, plural.Of(cfg.Warmup, "step"))
		}
	case config.ScheduleWarmRestarts:
		if cfg.T0 < 1 || cfg.TMult < 1 {
			return Schedule{}, fmt.Errorf("learning-rate schedule warm_restarts: t_0 %d and t_mult %d should be at least 1", cfg.T0, cfg.TMult)
		}
	case config.ScheduleOneCycle:
		if cfg.Horizon < 1 || cfg.DivFactor == 0 || cfg.FinalDivFactor == 0 {
			return Schedule{}, fmt.Errorf("learning-rate schedule one_cycle: horizon %d should be at least 1, div_factor %v and final_div_factor %v above 0", cfg.Horizon, cfg.DivFactor, cfg.FinalDivFactor)
		}
	default:
		return Schedule{}, fmt.Errorf("learning-rate schedule %q is not known", cfg.Kind)
	}
	if cfg.Warmup < 0 {
		return Schedule{}, fmt.Errorf("learning-rate schedule: warm-up of %d steps", cfg.Warmup)
	}
	return Schedule{rate: rate, cfg: cfg}, nil
}

// Rate is the learning rate of update number step, counted from 1. During the warm-up of W updates it is rate*step/W.
// After it, with i = step-1-W updates since, R the rate, L min_lr and H the horizon:
//
//	constant  R
//	step      R * gamma^floor(i/step_size)
//	linear    L + (R-L) * (1 - i/(H-W))
//	cosine    L + (R-L) * (1 + cos(pi i/(H-W))) / 2
//
// Linear and cosine stay at L from update H+1 on. Without warm-up these are PyTorch's StepLR, LinearLR to L and
// CosineAnnealingLR. Kind warm_restarts is cosine over periods of t_0, t_0*t_mult, t_0*t_mult^2... updates (Loshchilov and Hutter, 2016;
// PyTorch's CosineAnnealingWarmRestarts). Kind one_cycle (Smith and Topin, 2017; PyTorch's OneCycleLR with two phases) goes from
// R/div_factor to R at update pct_start*H, and from there to R/div_factor/final_div_factor at update H, both along half a cosine.
func (s Schedule) Rate(step uint64) float64 {
	warmup := uint64(s.cfg.Warmup)
	if step < 1 {
		step = 1
	}
	if step <= warmup {
		return s.rate * float64(step) / float64(warmup)
	}
	since := step - 1 - warmup
	switch s.cfg.Kind {
	case config.ScheduleStep:
		return s.rate * power(s.cfg.Gamma, since/uint64(s.cfg.StepSize))
	case config.ScheduleLinear:
		return s.between(1 - s.progress(since))
	case config.ScheduleCosine:
		return s.between((1 + cosPi(s.progress(since))) * 0.5)
	case config.ScheduleWarmRestarts:
		in, period := s.period(since)
		return s.between((1 + cosPi(float64(in)/float64(period))) * 0.5)
	case config.ScheduleOneCycle:
		first := s.rate / s.cfg.DivFactor
		return s.cycle(since, first, s.rate, first/s.cfg.FinalDivFactor)
	}
	return s.rate
}

// Momentum is what update number step uses for a momentum (Adam's beta1): the configured one, unless a one_cycle schedule moves it
// from max_momentum to base_momentum and back, against the rate.
func (s Schedule) Momentum(step uint64, configured float64) float64 {
	if s.cfg.Kind != config.ScheduleOneCycle || !s.cfg.CycleMomentum {
		return configured
	}
	return s.cycle(max(step, 1)-1, s.cfg.MaxMomentum, s.cfg.BaseMomentum, s.cfg.MaxMomentum)
}

// period says in which update of its period update number since is, counted from 0, and how long the period is.
func (s Schedule) period(since uint64) (in, length uint64) {
	length = uint64(s.cfg.T0)
	if s.cfg.TMult == 1 {
		return since % length, length
	}
	for since >= length {
		since, length = since-length, length*uint64(s.cfg.TMult)
	}
	return since, length
}

// cycle is a value that goes from first to top in the updates before number pct_start*H, counted from 0, and then to last at number H-1.
func (s Schedule) cycle(since uint64, first, top, last float64) float64 {
	at, peak, end := float64(since), float64(s.cfg.PctStart*float64(s.cfg.Horizon))-1, float64(s.cfg.Horizon-1)
	if at <= peak {
		return glide(first, top, at, peak)
	}
	return glide(top, last, min(at, end)-peak, end-peak)
}

// glide is the value at the place at of half a cosine of a length, from one value to another.
func glide(from, to, at, length float64) float64 {
	if at >= length {
		return to
	}
	return to + float64((from-to)*float64((1+cosPi(at/length))*0.5))
}

// progress is the part of the decay that is over, at most 1.
func (s Schedule) progress(since uint64) float64 {
	length := uint64(s.cfg.Horizon - s.cfg.Warmup)
	return float64(min(since, length)) / float64(length)
}

func (s Schedule) between(part float64) float64 {
	return s.cfg.MinLR + float64((s.rate-s.cfg.MinLR)*part)
}

// power is x^n by repeated squaring, a fixed sequence of products.
func power(x float64, n uint64) float64 {
	result := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			result = float64(result * x)
		}
		x = float64(x * x)
	}
	return result
}

// cosPi is cos(pi x) for x in [0, 1].
func cosPi(x float64) float64 { return elementary.CosPi(x) }
