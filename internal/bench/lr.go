package bench

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/elementary"
	"ringmaster/internal/launch"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// LROptions say what LR tries.
type LROptions struct {
	File     string   // of the job
	Sets     []string // job keys to override, KEY=VALUE
	From, To float64  // the first and the last rate
	Steps    int
	Threads  int
}

// LRResult is a learning-rate range test: what the training loss does while the rate grows from step to step by a factor.
type LRResult struct {
	Case       string    `json:"case"`
	Suggestion *float64  `json:"suggestion"`     // where the smoothed loss falls fastest; null: it does not fall
	Least      *float64  `json:"least_loss_lr"`  // where it is least; null: no step
	DivergedAt *float64  `json:"diverged_at_lr"` // the rate after whose step the loss was not finite; null: it always was
	Points     []LRPoint `json:"points"`
}

// LRPoint is one step of the test.
type LRPoint struct {
	Step     int     `json:"step"`
	LR       float64 `json:"lr"`
	Loss     float64 `json:"loss"`
	Smoothed float64 `json:"smoothed"`
}

// LR trains a job for some steps from its first weights while the learning rate grows geometrically (Smith, 2015, "Cyclical learning rates"). It computes in this
// process and writes nothing, so no run is touched. The figures are the same on any machine and with any number of threads. A *launch.UsageError means that nothing
// was computed.
func LR(ctx context.Context, o LROptions) (*LRResult, error) {
	p, factor, err := o.plan()
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	team := kernel.NewTeam(o.Threads)
	defer team.Close()
	t, err := trainer.New(ctx, p, team)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	r := &LRResult{Case: p.Job.Name, Points: []LRPoint{}}
	err = trainAlone(ctx, t)
	if bad := (*trainer.NotFiniteError)(nil); errors.As(err, &bad) {
		if bad.Tensor == "" && bad.Step > 1 { // the step before has spoilt the weights
			rate := rateOf(o.From, factor, int(bad.Step)-2)
			r.DivergedAt = &rate
		}
	} else if err != nil {
		return nil, err
	}
	r.take(t.State(), o.From, factor)
	return r, nil
}

// plan is the job with the rising rate, and the factor from step to step.
func (o *LROptions) plan() (*trainer.Plan, float64, error) {
	if o.Steps < 10 || o.Steps > checkpoint.HistoryPoints {
		return nil, 0, fmt.Errorf("--steps must be from 10 to %d, not %d", checkpoint.HistoryPoints, o.Steps)
	}
	if !(o.From > 0) || !(o.To > o.From) || o.To > 1e6 {
		return nil, 0, fmt.Errorf("--from must be above 0, and --to above it and at most 1e6, not %v and %v", o.From, o.To)
	}
	job, err := config.Load(o.File, append(o.Sets, "train.steps="+strconv.Itoa(o.Steps), "train.optimizer.lr="+strconv.FormatFloat(o.From, 'g', -1, 64)))
	if err != nil {
		return nil, 0, err
	}
	factor := elementary.Exp(elementary.Log(o.To/o.From) / float64(o.Steps-1))
	job.Train.Schedule = config.Schedule{Kind: config.ScheduleStep, StepSize: 1, Gamma: factor, Horizon: o.Steps}
	job.Train.EarlyStop, job.Train.EMA, job.Train.EMAWarmup, job.Train.Metrics = config.EarlyStop{}, 0, false, nil
	job.Checkpoint = config.Checkpoint{}
	p, err := trainer.Assemble(job)
	if err != nil {
		return nil, 0, err
	}
	data := *p.Data
	data.Eval = nil
	p.Data = &data
	return p, factor, nil
}

// trainAlone trains to the job's end with all seats in this process.
func trainAlone(ctx context.Context, t *trainer.Trainer) error {
	view, err := plan.Seat(1, t.Job.Seats, []plan.Member{{Worker: "lr", Incarnation: 1}})
	if err != nil {
		return err
	}
	arc := view.Members[0].Arc
	ring, err := allreduce.Open(ctx, allreduce.Identity{Cluster: 1, Job: "lr", View: view}, nil, t.Gradients(arc.Len(), false), t.Buckets)
	if err != nil {
		return err
	}
	defer ring.Close()
	var signals trainer.Signals
	defer context.AfterFunc(ctx, func() { signals.Stop.Store(true) })()
	if _, err := t.Train(trainer.Run{Arc: arc, Ring: ring, Signals: &signals}); err != nil {
		return err
	}
	return ctx.Err()
}

// smoothing is the weight of the past in the smoothed loss of a test of n steps: it reaches over a fifth of them. fastai's learning-rate finder has
// 0.98 for 100 steps, which delays what the loss does.
func smoothing(n int) float64 { return max(0.8, min(1-5/float64(n), 0.98)) }

// take reads the points from the history of the training and finds the rates of interest.
func (r *LRResult) take(s checkpoint.State, from, factor float64) {
	mean, weight, smoothing := 0.0, 1.0, smoothing(int(s.Step))
	for i := range int(s.Step) {
		loss := float64(s.History[i])
		mean = smoothing*mean + (1-smoothing)*loss
		weight *= smoothing
		r.Points = append(r.Points, LRPoint{Step: i + 1, LR: rateOf(from, factor, i), Loss: loss, Smoothed: mean / (1 - weight)})
	}
	if len(r.Points) == 0 {
		return
	}
	first := len(r.Points) / 10 // the mean of the first few is not smooth yet
	least := first
	for i := first; i < len(r.Points); i++ {
		if r.Points[i].Smoothed < r.Points[least].Smoothed {
			least = i
		}
	}
	r.Least = &r.Points[least].LR
	fall := 0.0
	for i := max(1, first); i < min(least+1, len(r.Points)-1); i++ {
		if slope := r.Points[i+1].Smoothed - r.Points[i-1].Smoothed; slope < fall {
			fall, r.Suggestion = slope, &r.Points[i].LR
		}
	}
}

// rateOf is the rate of step i, counted from 0.
func rateOf(from, factor float64, i int) float64 {
	rate := from
	for range i {
		rate *= factor
	}
	return rate
}

// Rows are the lines of a table, cells separated by tabs: some of the points, and what follows from all.
func (r *LRResult) Rows() []string {
	rows := []string{"STEP\tLR\tLOSS\tSMOOTHED"}
	const most = 24
	for k := range min(most, len(r.Points)) {
		p := r.Points[k]
		if len(r.Points) > most {
			p = r.Points[k*(len(r.Points)-1)/(most-1)]
		}
		rows = append(rows, fmt.Sprintf("%d\t%.3g\t%.4f\t%.4f", p.Step, p.LR, p.Loss, p.Smoothed))
	}
	line := func(what string, rate *float64) {
		if rate != nil {
			rows = append(rows, fmt.Sprintf("%s\t%.3g", what, *rate))
		}
	}
	line("diverged at", r.DivergedAt)
	line("least loss at", r.Least)
	if r.Suggestion == nil {
		rows = append(rows, "suggestion\tnone: the loss does not fall; try other --from and --to")
	}
	line("suggestion", r.Suggestion)
	return rows
}
