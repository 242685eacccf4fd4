package bench

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/chaos"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/median"
)

// BalanceResult is how well an uneven pair of workers is used. Rates are of samples a second.
type BalanceResult struct {
	Case      string  `json:"case"`                   // "round 1", and at last "median"
	Fast      float64 `json:"fast_samples_per_s"`     // one worker alone, undisturbed
	Slow      float64 `json:"slow_samples_per_s"`     // one worker alone, held up
	Apart     float64 `json:"apart_samples_per_s"`    // both of them at the same time, each with the whole job for itself
	Even      float64 `json:"even_samples_per_s"`     // both in one ring with as many seats each
	Balanced  float64 `json:"balanced_samples_per_s"` // both in one ring, seats moved
	Seats     string  `json:"seats"`                  // then
	OfIdeal   float64 `json:"of_ideal"`               // balanced / (fast + slow)
	OfApart   float64 `json:"of_apart"`               // balanced / apart
	EvenIdeal float64 `json:"even_of_ideal"`          // even / (fast + slow)
	OfShown   float64 `json:"of_shown"`               // balanced / what seats take the two in the same seconds, without any loss
}

func (r BalanceResult) row() []string {
	cells := []string{r.Case}
	for _, rate := range []float64{r.Fast, r.Slow, r.Apart, r.Even, r.Balanced} {
		cells = append(cells, fmt.Sprintf("%.0f", rate))
	}
	cells = append(cells, r.Seats)
	for _, share := range []float64{r.OfIdeal, r.OfApart, r.OfShown, r.EvenIdeal} {
		cells = append(cells, fmt.Sprintf("%.1f %%", 100*share))
	}
	return cells
}

// sample leaves the rounds unnumbered, so that benchstat takes them for measurements of one thing.
func (r BalanceResult) sample() sample {
	name := "Balance"
	if r.Case == medianCase {
		name = "BalanceMedian"
	}
	return sample{name: name, n: 1, values: []value{{r.Balanced, "samples/s"}, {r.OfIdeal, "of-ideal"}, {r.OfApart, "of-apart"},
		{r.OfShown, "of-shown"}, {r.EvenIdeal, "even-of-ideal"}}}
}

// medianCase names the last result, which holds the medians of the others' figures.
const medianCase = "median"

// BalanceOptions say what Balance measures.
type BalanceOptions struct {
	File     string        // of the job
	Sets     []string      // job keys to override, KEY=VALUE
	Rounds   int           // how often everything is measured
	Window   time.Duration // how long each rate is measured
	Running  time.Duration // how long the slow worker runs,
	Stopped  time.Duration // and how long it is suspended, in turn
	Patience time.Duration // how long seats may take to move

	// Reading is how long the fast and the slow worker take to read each seat's data; the slow one is not held up then. Hardly
	// anything is computed, so a busy machine gives the same figures as an idle one.
	Reading []time.Duration
}

// minReading is the shortest time that workers under faults keep well.
const minReading = 10 * time.Millisecond

func (o *BalanceOptions) check() error {
	if o.Rounds < 1 || o.Window < time.Second || o.Running <= 0 || o.Stopped <= 0 || o.Patience <= 0 {
		return errors.New("--rounds must be at least 1, --window at least 1s, --running, --stopped and --patience above 0")
	}
	if len(o.Reading) != 0 && (len(o.Reading) != 2 || o.Reading[0] < minReading || o.Reading[1] < o.Reading[0]) {
		return fmt.Errorf("--reading takes two times, the shorter one first, of at least %v", minReading)
	}
	return nil
}

// Balance measures a fast and a slow worker in one ring against what each does alone.
func Balance(ctx context.Context, o BalanceOptions) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	sets := append(o.Sets, endless...)
	b := &balance{BalanceOptions: o}
	var err error
	if b.job, err = config.Load(o.File, append(sets, "balance=true")); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	if b.off, err = config.Load(o.File, append(sets, "balance=false")); err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	report := &Report{Columns: []string{"CASE", "FAST", "SLOW", "APART", "EVEN", "BALANCED", "SEATS", "OF IDEAL", "OF APART", "OF SHOWN", "EVEN OF IDEAL"}}
	var measured []BalanceResult
	for n := range o.Rounds {
		r, err := b.round(ctx)
		if err != nil {
			return nil, err
		}
		r.Case = fmt.Sprint("round ", n+1)
		measured = append(measured, r)
		report.Results = append(report.Results, r)
	}
	report.Results = append(report.Results, medianBalance(measured))
	return report, nil
}

// measured is a rate in samples a second.
type measured struct {
	rate  float64
	shown float64 // what the workers' seats alone would allow
	seats string  // of each worker
}

// balance is a measurement under way.
type balance struct {
	BalanceOptions
	job *config.Job
	off *config.Job // the same with balance switched off
}

// round measures everything once.
func (b *balance) round(ctx context.Context) (r BalanceResult, err error) {
	settled := func(*launch.Status) bool { return true }
	moved := func(s *launch.Status) bool { return seatsOf(s) != "" && !evenSeats(s) }
	measure := func(job *config.Job, workers int, slow bool, ready func(*launch.Status) bool) (m measured) {
		if err == nil {
			m, err = b.measure(ctx, job, workers, slow, ready)
		}
		return m
	}
	r.Fast = measure(b.off, 1, false, settled).rate
	r.Slow = measure(b.off, 1, true, settled).rate
	r.Even = measure(b.off, 2, true, settled).rate
	balanced := measure(b.job, 2, true, moved)
	if err != nil {
		return r, err
	}
	r.Balanced, r.Seats, r.OfShown = balanced.rate, balanced.seats, balanced.rate/balanced.shown
	var both sync.WaitGroup
	apart, errs := [2]measured{}, [2]error{}
	for i := range apart {
		both.Go(func() { apart[i], errs[i] = b.measure(ctx, b.off, 1, i == 1, settled) })
	}
	both.Wait()
	r.Apart = apart[0].rate + apart[1].rate
	r.OfIdeal, r.OfApart, r.EvenIdeal = r.Balanced/(r.Fast+r.Slow), r.Balanced/r.Apart, r.Even/(r.Fast+r.Slow)
	return r, errors.Join(errs[:]...)
}

// measure trains the job on a cluster of its own, of which the last worker may be slow, and returns the samples a second
// once the status is as wanted, and how many seats each worker has then.
func (b *balance) measure(ctx context.Context, job *config.Job, workers int, slow bool, ready func(*launch.Status) bool) (m measured, err error) {
	root, err := os.MkdirTemp("", "ringmaster-bench-")
	if err != nil {
		return m, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(root)) }()
	environment, err := b.slowReading(root, workers, slow)
	if err != nil {
		return m, err
	}
	t := startTraining(ctx, job, launch.Options{Workers: workers, Threads: 1, Dir: filepath.Join(root, "run"), Environment: environment}, b.Patience)
	m, err = b.watch(t, slow, ready)
	return m, t.stop(err)
}

// slowReading writes down for the workers what reading is to take each of them, and says where they find that.
func (b *balance) slowReading(root string, workers int, slow bool) (environment func(id string) []string, err error) {
	if len(b.Reading) == 0 {
		return nil, nil
	}
	at := func(id string) string { return filepath.Join(root, "reading-"+id) }
	for i, id := range launch.WorkerIDs(workers) {
		takes := b.Reading[i]
		if slow && i == workers-1 {
			takes = b.Reading[1]
		}
		if err := os.WriteFile(at(id), fmt.Appendf(nil, "read-delay %v\n", takes), 0o644); err != nil {
			return nil, err
		}
	}
	return func(id string) []string { return []string{config.FaultsVariable + "=" + at(id)} }, nil
}

// watch waits until the run is as wanted and counts its steps for the window's time.
func (b *balance) watch(t *training, slow bool, ready func(*launch.Status) bool) (m measured, err error) {
	s, err := t.await(func(s *launch.Status) bool { return s.Step >= 3 && len(s.Workers) > 0 })
	if err != nil {
		return m, err
	}
	if slow && len(b.Reading) == 0 {
		life, end := context.WithCancel(t.ctx)
		throttled := make(chan error, 1)
		pid := int(s.Workers[len(s.Workers)-1].PID)
		go func() {
			_, err := chaos.Throttle(life, pid, b.Running, b.Stopped)
			throttled <- err
		}()
		defer func() { end(); err = errors.Join(err, <-throttled) }()
	}
	if _, err = t.await(ready); err != nil {
		return m, err
	}
	if err := settle(t); err != nil {
		return m, err
	}
	from, began, err := nextStep(t)
	if err != nil {
		return m, err
	}
	shown, looks := 0.0, 0
	for time.Since(began) < b.Window {
		time.Sleep(b.Window / 20)
		now, err := t.await(func(*launch.Status) bool { return true })
		if err != nil {
			return m, err
		}
		rate := 0.0
		for _, w := range now.Workers {
			if w.SeatMs > 0 {
				rate += 1000 / w.SeatMs
			}
		}
		if rate > 0 {
			shown, looks = shown+rate, looks+1
		}
	}
	to, at, err := nextStep(t)
	if err != nil {
		return m, err
	}
	return measured{rate: float64(to.Step-from.Step) * float64(b.job.Batch()) / at.Sub(began).Seconds(),
		shown: shown / float64(max(looks, 1)) * float64(b.job.Train.BatchPerSeat), seats: seatsOf(to)}, nil
}

// settle waits until seats have not moved for some steps, and some seconds.
func settle(t *training) error {
	seats, since, from := "", time.Now(), uint64(0)
	_, err := t.await(func(s *launch.Status) bool {
		if now := seatsOf(s); now == "" || now != seats {
			seats, since, from = now, time.Now(), s.Step
		}
		return time.Since(since) > 3*time.Second && s.Step >= from+5
	})
	return err
}

// nextStep waits for a step to end.
func nextStep(t *training) (*launch.Status, time.Time, error) {
	now, err := t.await(func(*launch.Status) bool { return true })
	if err != nil {
		return nil, time.Time{}, err
	}
	next, err := t.await(func(s *launch.Status) bool { return s.Step > now.Step })
	return next, time.Now(), err
}

// seatsOf is how many seats each worker has: "8, 4".
func seatsOf(s *launch.Status) string {
	var counts []string
	for _, w := range s.Workers {
		if w.Arc != nil {
			counts = append(counts, fmt.Sprint(w.Arc[1]-w.Arc[0]))
		}
	}
	return strings.Join(counts, ", ")
}

// evenSeats reports whether no worker has two seats more than another.
func evenSeats(s *launch.Status) bool {
	var counts []int
	for _, w := range s.Workers {
		if w.Arc != nil {
			counts = append(counts, w.Arc[1]-w.Arc[0])
		}
	}
	return len(counts) == 0 || slices.Max(counts)-slices.Min(counts) < 2
}

// medianBalance is the median of each figure by itself.
func medianBalance(rounds []BalanceResult) BalanceResult {
	of := func(figure func(BalanceResult) float64) float64 {
		var values []float64
		for _, r := range rounds {
			values = append(values, figure(r))
		}
		return median.Of(values)
	}
	return BalanceResult{Case: medianCase,
		Fast:      of(func(r BalanceResult) float64 { return r.Fast }),
		Slow:      of(func(r BalanceResult) float64 { return r.Slow }),
		Apart:     of(func(r BalanceResult) float64 { return r.Apart }),
		Even:      of(func(r BalanceResult) float64 { return r.Even }),
		Balanced:  of(func(r BalanceResult) float64 { return r.Balanced }),
		OfIdeal:   of(func(r BalanceResult) float64 { return r.OfIdeal }),
		OfApart:   of(func(r BalanceResult) float64 { return r.OfApart }),
		OfShown:   of(func(r BalanceResult) float64 { return r.OfShown }),
		EvenIdeal: of(func(r BalanceResult) float64 { return r.EvenIdeal }),
	}
}
