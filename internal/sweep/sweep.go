package sweep

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/metric"
)

// Train takes a trial's job to its end. begin is the checkpoint that it goes on from; empty: from the seed. The result is nil only with an
// error, and an error ends the sweep.
type Train func(ctx context.Context, o *Outcome, job *config.Job, begin string) (*launch.Summary, error)

// Options are what a person says to "ringmaster sweep".
type Options struct {
	Job     func(sets []string) (*config.Job, error) // the job with these keys set
	Space   Space
	Metric  string                 // by which trials are compared; empty: train.early_stop's, or the loss
	Startup int                    // trials that end by themselves before the median rule ends others; 0: there is no rule
	Folder  func() (string, error) // the sweep's folder, asked for when all else has been checked
	Resume  bool                   // go on with the sweep in the folder
	Share   bool                   // trials may go on from others' checkpoints
	Samples Samples                // asked where trials share and their schedules differ
	Train   Train
	Submit  Submit    // if not nil, trials are given away and not waited for
	At      int       // trials at once; 0: 1
	Out     io.Writer // a line for each trial; nil: none
}

// Samples is the size of a job's training set.
type Samples func(*config.Job) (int, error)

// Submit gives a trial's job to somebody who trains it later. Doing it again with the same token does nothing.
type Submit func(ctx context.Context, o *Outcome, job *config.Job) error

// Report is what a sweep came to. It is kept in the folder as sweep.json after each trial.
type Report struct {
	Job     string    `json:"job"`
	Metric  string    `json:"metric"`
	Mode    string    `json:"mode"` // min or max
	Startup int       `json:"startup"`
	At      int       `json:"parallel"`
	Keys    []string  `json:"keys"` // that vary
	Trunks  []Trunk   `json:"trunks,omitempty"`
	Trials  []Outcome `json:"trials"`
	Best    int       `json:"best_trial"` // 0: none has a figure
	Points  []Point   `json:"points"`
}

// Point is what the trials of one setting came to, whatever their seeds.
type Point struct {
	Point  int      `json:"point"`
	Sets   []string `json:"sets"`
	Trials int      `json:"trials"` // that have a figure
	Mean   *float64 `json:"mean"`   // of their best figures
	SD     *float64 `json:"sd"`     // with n-1 below
}

// file is where the report is kept.
const file = "sweep.json"

// ErrUsage wraps what the person has to change; nothing was started.
type ErrUsage struct{ Err error }

// Error says it.
func (e *ErrUsage) Error() string { return e.Err.Error() }

// Unwrap returns the cause.
func (e *ErrUsage) Unwrap() error { return e.Err }

// sweep is one that runs.
type sweep struct {
	o       Options
	dir     string
	rule    metric.Rule
	courses []course
	lengths []length // of the trials that begin with a trunk
	mu      sync.Mutex
	report  *Report
}

// Run runs the trials that are not over yet. The report is nil only if nothing was started.
func Run(ctx context.Context, o Options) (*Report, error) {
	s, err := prepare(&o)
	if err != nil {
		return nil, &ErrUsage{err}
	}
	if o.Submit == nil {
		for _, level := range s.levels() {
			if err := inOrder(len(level), s.o.At, func(i int) error { return s.grow(ctx, level[i]) }); err != nil {
				return s.report, err
			}
		}
	}
	return s.report, inOrder(len(s.report.Trials), s.o.At, func(i int) error { return s.try(ctx, i) })
}

// inOrder calls do for 0 to n-1, as many at once as width says: k begins when all up to k-width are over. After an error none begins.
func inOrder(n, width int, do func(int) error) error {
	type end struct {
		k   int
		err error
	}
	ends, over := make(chan end), make([]bool, n)
	var failed error
	next, low, running := 0, 0, 0
	for {
		for ; failed == nil && next < min(n, low+width); next++ {
			k := next
			go func() { ends <- end{k, do(k)} }()
			running++
		}
		if running == 0 {
			return failed
		}
		e := <-ends
		running--
		if over[e.k] = true; failed == nil {
			failed = e.err
		}
		for low < n && over[low] {
			low++
		}
	}
}

// prepare checks everything that can be checked before the first trial.
func prepare(o *Options) (*sweep, error) {
	base, err := o.Job(nil)
	if err != nil {
		return nil, err
	}
	trials, err := o.Space.Trials(base.Seed)
	if err != nil {
		return nil, err
	}
	s := &sweep{o: *o}
	s.o.At = max(o.At, 1)
	if s.rule, err = ruleOf(base, o.Metric); err != nil {
		return nil, err
	}
	for i := range trials {
		job, err := o.Job(trials[i].Settings())
		if err == nil {
			_, err = o.Job(append(trials[i].Settings(), s.stopping([]float64{0})...))
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", trials[i].describe(len(trials)), err)
		}
		s.courses = append(s.courses, courseOf(job))
	}
	arrange(trials, s.courses) // whether they share or not, so that the bars are the same
	s.report = &Report{Job: base.Name, Metric: s.rule.Metric, Mode: config.ModeMin, Startup: o.Startup, At: s.o.At, Keys: o.Space.keys(), Points: []Point{}}
	if s.rule.Highest {
		s.report.Mode = config.ModeMax
	}
	if s.dir, err = o.Folder(); err != nil {
		return nil, err
	}
	if err := s.planTrunks(trials); err != nil {
		return nil, err
	}
	for _, t := range trials {
		s.report.Trials = append(s.report.Trials, Outcome{Trial: t, State: Waiting, Values: []*float64{}, Token: rand.Uint64() | 1, Run: filepath.Join(s.dir, fmt.Sprintf("trial-%03d", t.Number))})
	}
	return s, s.open()
}

// ruleOf says by which figure trials are compared, and whether the highest or the lowest is the best.
func ruleOf(job *config.Job, name string) (metric.Rule, error) {
	stop := &job.Train.EarlyStop
	switch {
	case name == "" && !stop.IsZero():
		name = stop.Metric
	case name == "":
		name = "loss"
	case !stop.IsZero() && name != stop.Metric:
		return metric.Rule{}, job.Errorf("train.early_stop.metric", "--metric %s: the job ends early by %s; name the same metric in both", name, stop.Metric)
	}
	highest := metric.HigherIsBetter(name)
	if stop.Mode != "" {
		highest = stop.Mode == config.ModeMax
	}
	return metric.Rule{Metric: name, Highest: highest}, nil
}

// stopping are the settings by which a trial ends where it stays behind the bars.
func (s *sweep) stopping(bars []float64) []string {
	if len(bars) == 0 {
		return nil
	}
	texts := make([]string, len(bars))
	for i, bar := range bars {
		texts[i] = strconv.FormatFloat(bar, 'g', -1, 64)
	}
	return []string{"train.early_stop.metric=" + s.rule.Metric, "train.early_stop.bars=[" + strings.Join(texts, ", ") + "]"}
}

// open makes the sweep's folder, or takes over what the one in it has done.
func (s *sweep) open() error {
	path := filepath.Join(s.dir, file)
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !s.o.Resume:
		if entries, err := os.ReadDir(s.dir); err == nil && len(entries) > 0 {
			return fmt.Errorf("%s is not empty and holds no sweep; name another folder by --dir", s.dir)
		}
		if err := os.MkdirAll(s.dir, 0o700); err != nil {
			return fmt.Errorf("make the sweep's folder: %w; name another one by --dir", err)
		}
		return s.save()
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s holds no sweep to go on with; start it without --resume", s.dir)
	case err != nil:
		return fmt.Errorf("read the sweep in %s: %w; name another folder by --dir", s.dir, err)
	case !s.o.Resume:
		return fmt.Errorf("%s holds a sweep already; go on with it by --resume, or name another folder by --dir", s.dir)
	}
	var old Report
	if err := json.Unmarshal(text, &old); err != nil {
		return fmt.Errorf("%s is damaged: %w; start it again in another folder", path, err)
	}
	return s.adopt(&old)
}

// adopt takes over the outcomes of the same sweep.
func (s *sweep) adopt(old *Report) error {
	if old.At = max(old.At, 1); old.At != s.report.At && s.report.Startup > 0 {
		return fmt.Errorf("the sweep in %s began with --parallel %d, on which the median rule depends; give it the flags with which it began", s.dir, old.At)
	}
	if len(old.Trials) != len(s.report.Trials) || old.Metric != s.report.Metric || old.Mode != s.report.Mode || old.Startup != s.report.Startup {
		return fmt.Errorf("the sweep in %s is another one (%d trials by %s, --startup %d); give it the flags with which it began", s.dir, len(old.Trials), old.Metric, old.Startup)
	}
	for i := range old.Trials {
		was, is := &old.Trials[i].Trial, &s.report.Trials[i].Trial
		if was.Seed != is.Seed || !slices.Equal(was.Sets, is.Sets) {
			return fmt.Errorf("the sweep in %s is another one: its trial %d has %s, not %s; give it the flags with which it began", s.dir, i+1,
				strings.Join(was.Settings(), " "), strings.Join(is.Settings(), " "))
		}
	}
	s.report.Trials = old.Trials
	s.adoptTrunks(old)
	s.conclude()
	return nil
}

// try runs one trial.
func (s *sweep) try(ctx context.Context, i int) error {
	o, job, begin, err := s.ready(i)
	if err != nil || o.over() {
		return err
	}
	if s.o.Submit != nil {
		err = s.o.Submit(ctx, &o, job)
		return s.note("", &s.report.Trials[i], &o, nil, err)
	}
	summary, err := s.o.Train(ctx, &o, job, begin)
	return s.note(fmt.Sprintf("trial %d", o.Number), &s.report.Trials[i], &o, summary, err)
}

// ready says what a trial is trained with, and from where it goes on.
func (s *sweep) ready(i int) (o Outcome, job *config.Job, begin string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o = s.report.Trials[i]; o.over() {
		return o, nil, "", nil
	}
	if o.State == launch.StateCancelled || o.State == launch.StateInterrupted {
		o.Token = rand.Uint64() | 1 // a cluster knows the old one as a job that has ended
	}
	earlier := s.report.Trials[:max(0, i-s.o.At+1)] // those that are over in any case
	sets := append(o.Settings(), s.stopping(bars(earlier, &s.rule, s.o.Startup))...)
	if job, err = s.o.Job(sets); err != nil {
		return o, nil, "", err // the file has changed since
	}
	line := o.describe(len(s.report.Trials))
	if s.o.Share && s.o.Submit == nil {
		stop := metric.EarlyStop(job)
		from, trunk := origin(earlier, s.courses, s.courses[i], stop), s.trunkOf(i, stop)
		switch {
		case trunk != nil && (from == nil || trunk.Step > from.Step):
			o.Trunk, o.Shared, begin = trunk.Number, trunk.Step, trunk.Weights
			line += fmt.Sprintf(" (goes on from step %d, up to which its rates are those of others)", o.Shared)
			if job, err = s.o.Job(append(sets, s.lengths[i].horizon())); err != nil {
				return o, nil, "", err
			}
		case from != nil:
			o.From, o.Shared, begin = from.Number, from.Step, from.Weights
			line += fmt.Sprintf(" (goes on from step %d of trial %d)", o.Shared, o.From)
		}
	}
	s.say("%s", line)
	s.name(job, "trial", o.Number)
	return o, job, begin, nil
}

// maxBase leaves room in a job's name for what name adds.
const maxBase = 64 - len("-trial-1000")

// name gives a trial's job a name of its own, on which no bit depends: it is found by it in a queue and in events.
func (s *sweep) name(job *config.Job, what string, number int) {
	job.Name = fmt.Sprintf("%s-%s-%03d", s.report.Job[:min(len(s.report.Job), maxBase)], what, number)
}

// note keeps what became of a trial or a trunk.
func (s *sweep) note(what string, kept, o *Outcome, summary *launch.Summary, err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if summary != nil {
		o.take(summary, &s.rule)
	}
	*kept = *o
	if o.State == launch.StateFailed && err == nil {
		s.say("%s failed: %s", what, o.Error)
	}
	s.conclude()
	return errors.Join(err, s.save())
}

func (s *sweep) say(format string, args ...any) {
	if s.o.Out != nil {
		fmt.Fprintf(s.o.Out, format+"\n", args...)
	}
}

func (s *sweep) save() error {
	if err := launch.WriteJSON(filepath.Join(s.dir, file), s.report); err != nil {
		return fmt.Errorf("keep the sweep's results: %w", err)
	}
	return nil
}

// Ranked are the trials that have a figure and left a checkpoint, the best first, of equals the earlier; at most n.
func (r *Report) Ranked(n int) []*Outcome {
	var out []*Outcome
	for i := range r.Trials {
		if o := &r.Trials[i]; o.over() && o.State != launch.StateFailed && o.Best != nil && o.Weights != "" {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b *Outcome) int {
		if r.Mode == config.ModeMax {
			a, b = b, a
		}
		return cmp.Compare(*a.Best, *b.Best)
	})
	return out[:min(n, len(out))]
}

// conclude finds the best trial, the earliest of equals, and brings the trials of each point together.
func (s *sweep) conclude() {
	r := s.report
	r.Best, r.Points = 0, []Point{}
	byPoint := map[int][]float64{}
	for i := range r.Trials {
		o := &r.Trials[i]
		if o.Point > len(r.Points) { // points are numbered as they come
			r.Points = append(r.Points, Point{Point: o.Point, Sets: o.Sets})
		}
		if o.Best == nil || !o.over() || o.State == launch.StateFailed {
			continue
		}
		byPoint[o.Point] = append(byPoint[o.Point], *o.Best)
		if r.Best == 0 || better(&s.rule, *o.Best, *r.Trials[r.Best-1].Best) {
			r.Best = o.Number
		}
	}
	for i := range r.Points {
		p := &r.Points[i]
		values := byPoint[p.Point]
		if p.Trials = len(values); p.Trials > 0 {
			p.Mean, p.SD = meanSD(values)
		}
	}
}
