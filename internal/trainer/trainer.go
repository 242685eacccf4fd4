// Package trainer holds a job's training state and the step loop: data, forward and backward for every local seat,
// the ring's sums, the optimizer. What it computes depends on the configuration, the data and the seed alone; on how
// many workers the seats are spread does not show.
package trainer

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/codes"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/histogram"
	"ringmaster/internal/loss"
	"ringmaster/internal/metric"
	"ringmaster/internal/model"
	"ringmaster/internal/optim"
	"ringmaster/internal/plan"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
)

// Plan is a job with its data and its model, checked against each other. It holds no training state.
type Plan struct {
	Job     *config.Job
	Data    *dataset.Data
	Model   *model.Model
	Metrics *metric.Set   // of an evaluation, beside loss and accuracy; nil: none
	Buckets []plan.Bucket // of the flat gradient
	Steps   uint64        // at which the job ends
	PerPass int           // steps in an epoch

	Restores bool // the state comes from a checkpoint, so the weights that training began from are not read
}

// Assemble reads the job's data and builds its model. Errors name the key and its place in the job file where the
// configuration is at fault, else the data file.
func Assemble(job *config.Job) (*Plan, error) {
	if err := dataset.Settle(job); err != nil {
		return nil, job.Blame("data", err)
	}
	data, err := codes.Open(job.Data)
	if err != nil {
		return nil, job.Blame("data", err)
	}
	m, err := BuildModel(job, data.Schema)
	if err != nil {
		return nil, err
	}
	samples := data.Train.Len()
	if _, err := CheckStatistics(job, m, samples); err != nil {
		return nil, err
	}
	metrics, err := BuildMetrics(job, m, data)
	if err != nil {
		return nil, err
	}
	job.Resolve(samples)
	return &Plan{Job: job, Data: data, Model: m, Metrics: metrics, Buckets: BucketsOf(job, m),
		Steps:   uint64(job.TotalSteps(samples)),
		PerPass: plan.StepsPerEpoch(samples, job.Seats, job.Train.PerSeat())}, nil
}

// BucketsOf are the buckets in which the gradients of the job's model are reduced.
func BucketsOf(job *config.Job, m *model.Model) []plan.Bucket {
	return plan.TrainedBuckets(m.Len(), job.Seats, job.Train.BucketLen(), m.Trained())
}

// BuildModel makes the job's model for data of the schema, with the loss that it is trained by. Errors point at the key at fault in the
// job file.
func BuildModel(job *config.Job, schema dataset.Schema) (*model.Model, error) {
	schema, err := widen(schema, job.Model.Vocabulary)
	if err != nil {
		return nil, job.Blame("model", err)
	}
	l, err := loss.New(job.Train, schema)
	if err != nil {
		return nil, job.Blame("train", err)
	}
	m, err := model.Build(job.Model, schema, l)
	if err != nil {
		return nil, job.Blame("model", err)
	}
	if _, err := groupsOf(job, m); err != nil {
		return nil, err
	}
	if job.Train.Precision == config.PrecisionBFloat16 {
		m = m.InBFloat16()
	}
	if job.Train.Recompute {
		m = m.Recomputing()
	}
	return m, nil
}

// widen is the schema with tokens of a vocabulary that is larger than the data's, as those of many published models are; 0: the data's own.
func widen(schema dataset.Schema, vocabulary int) (dataset.Schema, error) {
	if vocabulary == 0 {
		return schema, nil
	}
	wide := slices.Clone(schema)
	for k := range wide {
		f := &wide[k]
		if f.Type != dataset.Int32 || f.Classes == 0 || len(f.Shape) == 0 {
			continue
		}
		if f.Classes > vocabulary {
			return nil, config.KeyErrorf("model.vocabulary", "it is %d, but the data has %d tokens: set it to that or more", vocabulary, f.Classes)
		}
		f.Classes, f.Labels = vocabulary, nil
	}
	return wide, nil
}

// Tensors are the model's parameters as checkpoints name them.
func (p *Plan) Tensors() []checkpoint.Tensor { return tensors(p.Model.Params()) }

// StatTensors are the model's running statistics as checkpoints name them.
func (p *Plan) StatTensors() []checkpoint.Tensor { return tensors(p.Model.Stats()) }

func tensors(from []model.Tensor) []checkpoint.Tensor {
	out := make([]checkpoint.Tensor, len(from))
	for i, t := range from {
		out[i] = checkpoint.Tensor{Name: t.Name, Shape: t.Shape, Interval: t.Interval, Frozen: t.Frozen}
	}
	return out
}

// Samples is the number of training samples used in the first step steps of the job.
func (p *Plan) Samples(step uint64) uint64 {
	passes, in := step/uint64(p.PerPass), step%uint64(p.PerPass)
	n := uint64(p.Data.Train.Len())
	batch := uint64(p.Job.Batch())
	return passes*n + min(in*batch, n)
}

// Epoch is the 1-based epoch under way after step steps; at the end of an epoch that epoch.
func (p *Plan) Epoch(step uint64) int {
	if step == 0 {
		return 1
	}
	return int((step-1)/uint64(p.PerPass)) + 1
}

// Trainer holds one replica of the training state and computes steps on it. One goroutine runs it at a time; State
// readers beside it go through Section and Position.
type Trainer struct {
	*Plan
	team    *kernel.Team
	replica *model.Replica
	opt     optim.Optimizer
	trained []plan.Interval // of the gradient, what is apart in the parameters

	mu      sync.RWMutex // write-held while the state goes from one step to the next
	step    uint64
	params  []float32
	average []float32 // the moving average of what is trained; nil where the job keeps none
	scored  []float32 // the parameters that are evaluated: with their moving average where the job keeps one
	stats   []float32
	sums    checkpoint.EpochSums
	history checkpoint.History

	grads   [][]float32 // one flat gradient a local seat
	partial []float32   // the gradient of a micro-batch but the first; nil where there is one alone
	feed    *feed
	records [][]byte
	piece   int // samples that an evaluation computes at a time; 0: not known yet

	evaluated  [][]byte     // records of the local seats, of an evaluation
	scorer     *scorer      // nil without metrics, and before the first evaluation
	metricSums *metric.Sums // of the newest evaluation

	// What the replica calls back while it computes a seat; see bind.
	seat       int // the local seat under way
	micro      int // its micro-batch under way
	seatSums   model.Result
	nextBucket int // the next one that backward completes
	ready      func(from int)
	forward    func(model.Result)

	statRecords [][]byte    // batch statistics of the local seats
	statSeat    []float32   // of one seat,
	statSums    [][]float32 // and folded over the seats, for each micro-batch
	statCounts  []uint64

	// What the history notes of a step.
	rate      optim.Schedule
	divisor   float64 // what the sums of the newest step were divided by
	gradNorm  func() float64
	seatNoise *seatNoise // nil: not measured

	earlyStop, keepBest *metric.Rule // nil: none
	EndReason           string       // why the newest session ended the job before its last step; "": it did not
	stuck               bool         // as the newest step's tally says
	savedAt             uint64       // the step of the newest copy that was saved in this session

	pace                        pace
	trace                       *trace.Recorder // may be nil
	forwardBegan, backwardBegan trace.Mark      // of the micro-batch under way, while they are traced
	Progress                    Progress
	Activity                    Activity
}

// Progress is what others may read while the trainer runs.
type Progress struct {
	Step      atomic.Uint64
	LossBits  atomic.Uint64       // float64 bits: mean training loss over the recent steps
	StepNs    atomic.Int64        // moving mean of the step time
	TrainNs   atomic.Int64        // spent in steps since the trainer was made
	Samples   atomic.Uint64       // trained on since the trainer was made
	LastStep  atomic.Int64        // when the newest step ended, in nanoseconds since this process began
	FirstStep atomic.Int64        // unix nanoseconds at which the first step of this trainer ended
	SeatNs    atomic.Int64        // what a local seat takes in a step, see pace; 0: not known yet
	SeatSpans atomic.Int64        // how often that was measured in this session; 0: it is of an earlier one
	Took      histogram.Durations // by the steps since the trainer was made
}

// New makes a trainer at step 0: the state that seed and model, and the weights of model.init, alone determine. It gives up where ctx ends, since a large model's takes
// a while.
func New(ctx context.Context, p *Plan, team *kernel.Team) (*Trainer, error) {
	groups, err := groupsOf(p.Job, p.Model)
	if err != nil {
		return nil, err
	}
	opt, err := optim.New(p.Job.Train.Optimizer, p.Job.Train.Schedule, p.Model.Len(), groups)
	if err != nil {
		return nil, p.Job.Errorf("train.optimizer", "%v", err)
	}
	if p.Job.Train.EMA > 0 {
		if opt, err = optim.Average(opt, p.Job.Train.EMA, p.Job.Train.EMAWarmup, p.Model.Len(), groups); err != nil {
			return nil, p.Job.Errorf("train.ema", "%v", err)
		}
	}
	rate, err := optim.NewSchedule(p.Job.Train.Optimizer.LR, p.Job.Train.Schedule)
	if err != nil {
		return nil, p.Job.Errorf("train.schedule", "%v", err)
	}
	stats := p.Model.StatsLen()
	params := make([]float32, p.Model.Len())
	t := &Trainer{Plan: p, team: team, replica: p.Model.NewReplica(team), opt: opt, rate: rate, trained: joined(p.Model),
		params: params, scored: params, stats: make([]float32, stats), history: checkpoint.NewHistory(p.Job.Train.GradientNoise),
		statSeat: make([]float32, stats)}
	t.earlyStop, t.keepBest = metric.EarlyStop(p.Job), metric.KeepBest(p.Job)
	t.makeMicroBatches()
	if p.Job.Train.GradientNoise {
		t.seatNoise = &seatNoise{}
	}
	borders := make([]int, len(p.Buckets))
	for i, b := range p.Buckets {
		borders[i] = b.Begin
	}
	t.replica.TellAt(borders)
	if err := p.Model.Init(ctx, t.params, t.stats, p.Job.Seed); err != nil {
		return nil, fmt.Errorf("make the state: %w", err)
	}
	if err := t.begin(ctx); err != nil {
		return nil, err
	}
	if p.Job.Train.EMA > 0 {
		vectors := opt.State()
		t.average = vectors[len(vectors)-1]
		p.Model.Gather(t.average, t.params)
		if t.scored = t.average; p.frozen() {
			t.scored = make([]float32, len(t.params))
		}
	}
	return t, nil
}

// frozen reports whether there are parameters that stay as they are.
func (p *Plan) frozen() bool { return p.Model.GradientLen() < p.Model.Len() }

// joined are the intervals of the flat gradient whose parameters are neighbours.
func joined(m *model.Model) []plan.Interval {
	var out []plan.Interval
	at := 0
	for _, in := range m.Trained() {
		out = append(out, plan.Interval{Begin: at, End: at + in.Len()})
		at += in.Len()
	}
	return out
}

// Step is the number of steps the state has seen.
func (t *Trainer) Step() uint64 {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.step
}

// State is the trainer's state, sharing its memory: it is whole only while no step runs.
func (t *Trainer) State() checkpoint.State {
	s := checkpoint.State{Step: t.step, Params: t.params, Stats: t.stats, Sums: t.sums, History: t.history}
	for i, name := range t.opt.Names() {
		s.Optim = append(s.Optim, checkpoint.Buffer{Name: name, Data: t.opt.State()[i]})
	}
	return s
}

// Adopt replaces the trainer's state by a copy of s, whose buffers must fit the model and the optimizer.
func (t *Trainer) Adopt(s checkpoint.State) error {
	names, bufs := t.opt.Names(), t.opt.State()
	if len(s.Params) != len(t.params) || len(s.Stats) != len(t.stats) || len(s.Optim) != len(names) || len(s.History) != len(t.history) {
		return fmt.Errorf("adopt state at step %d: %d parameters, %d statistics and %d optimizer buffers do not fit the model (%d, %d, %d)",
			s.Step, len(s.Params), len(s.Stats), len(s.Optim), len(t.params), len(t.stats), len(names))
	}
	for i, b := range s.Optim {
		if b.Name != names[i] || len(b.Data) != len(bufs[i]) {
			return fmt.Errorf("adopt state at step %d: optimizer buffer %s of %d values, want %s of %d", s.Step, b.Name, len(b.Data), names[i], len(bufs[i]))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.step, t.sums = s.Step, s.Sums
	copy(t.params, s.Params)
	copy(t.stats, s.Stats)
	copy(t.history, s.History)
	for i, b := range s.Optim {
		copy(bufs[i], b.Data)
	}
	t.Progress.Step.Store(s.Step)
	return nil
}

// Gradients are n flat gradient buffers, one a local seat. Buffers of an earlier session are used again unless fresh
// is set, which a session wants whose transport may still read the old ones.
func (t *Trainer) Gradients(n int, fresh bool) [][]float32 {
	if fresh {
		t.grads = nil
	}
	for len(t.grads) < n {
		t.grads = append(t.grads, make([]float32, t.Model.GradientLen()))
	}
	t.grads = t.grads[:n]
	return t.grads
}

// Copy is a deep copy of the state into dst, whose buffers are used again where they are large enough.
func (t *Trainer) Copy(dst *checkpoint.State) {
	s := t.State()
	dst.Step, dst.Sums = s.Step, s.Sums
	dst.Params = append(dst.Params[:0], s.Params...)
	dst.Stats = append(dst.Stats[:0], s.Stats...)
	dst.History = append(dst.History[:0], s.History...)
	if len(dst.Optim) != len(s.Optim) {
		dst.Optim = make([]checkpoint.Buffer, len(s.Optim))
	}
	for i, b := range s.Optim {
		dst.Optim[i].Name = b.Name
		dst.Optim[i].Data = append(dst.Optim[i].Data[:0], b.Data...)
	}
}

// Window copies part of the state, concatenated as parameters, statistics, history and optimizer buffers, into dst, beginning at
// float offset; it returns how many floats it copied. It refuses unless the state is at exactly step, so that a reader
// who asks several times never mixes two states.
func (t *Trainer) Window(step uint64, offset int, dst []float32) (int, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.step != step {
		return 0, fmt.Errorf("state is at step %d, not %d", t.step, step)
	}
	n := 0
	for _, section := range t.sections() {
		if offset >= len(section) {
			offset -= len(section)
			continue
		}
		c := copy(dst[n:], section[offset:])
		n, offset = n+c, 0
		if n == len(dst) {
			break
		}
	}
	return n, nil
}

func (t *Trainer) sections() [][]float32 {
	return append([][]float32{t.params, t.stats, t.history}, t.opt.State()...)
}

// Floats is the length of the concatenated state that Window reads.
func (t *Trainer) Floats() int {
	n := 0
	for _, s := range t.sections() {
		n += len(s)
	}
	return n
}

// Sums are the sums of the epoch under way, if the state is at exactly step.
func (t *Trainer) Sums(step uint64) (checkpoint.EpochSums, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if t.step != step {
		return checkpoint.EpochSums{}, fmt.Errorf("state is at step %d, not %d", t.step, step)
	}
	return t.sums, nil
}

// Unpack makes a state of this trainer's layout over a concatenation as Window reads it, sharing its memory.
func (t *Trainer) Unpack(step uint64, sums checkpoint.EpochSums, all []float32) (checkpoint.State, error) {
	if len(all) != t.Floats() {
		return checkpoint.State{}, fmt.Errorf("state of %d values, the model has %d", len(all), t.Floats())
	}
	take := func(n int) []float32 {
		part := all[:n:n]
		all = all[n:]
		return part
	}
	s := checkpoint.State{Step: step, Sums: sums, Params: take(len(t.params)), Stats: take(len(t.stats)), History: take(len(t.history))}
	for i, name := range t.opt.Names() {
		s.Optim = append(s.Optim, checkpoint.Buffer{Name: name, Data: take(len(t.opt.State()[i]))})
	}
	return s, nil
}

// TraceTo makes the steps from now on record their spans. No session may run.
func (t *Trainer) TraceTo(r *trace.Recorder) { t.trace, t.Activity.trace = r, r }

var origin = time.Now() // the monotonic times of this process count from it

func (t *Trainer) note(began time.Time, loss float64) {
	now := time.Now()
	took := now.Sub(began)
	p := &t.Progress
	p.Step.Store(t.step)
	p.LossBits.Store(floatBits(loss))
	p.TrainNs.Add(int64(took))
	p.Took.Observe(took)
	t.trace.Since(trace.Step, t.step, trace.None, began)
	p.LastStep.Store(int64(now.Sub(origin)))
	p.FirstStep.CompareAndSwap(0, now.UnixNano())
	if mean := p.StepNs.Load(); mean == 0 {
		p.StepNs.Store(int64(took))
	} else {
		p.StepNs.Store(mean + (int64(took)-mean)/16)
	}
}

// Layout says which files the job's checkpoints have.
func (p *Plan) Layout() (*checkpoint.Layout, error) {
	l, err := checkpoint.NewLayout(p.Job.Seats, p.Tensors(), p.StatTensors(), optim.Names(&p.Job.Train))
	if err != nil {
		return nil, err
	}
	return l.WithForm(formOf(p.Model)).WithHistory(p.Job.Train.GradientNoise), nil
}

// formOf is how another ecosystem's files hold the model's tensors.
func formOf(m *model.Model) checkpoint.Form {
	of := m.Form()
	form := checkpoint.Form{Aliases: map[string]checkpoint.Alias{}, Prefix: of.Prefix, Endings: of.Endings, Extras: map[string]checkpoint.Extra{}, Shared: of.Shared}
	for _, t := range slices.Concat(m.Params(), m.Stats()) {
		if t.Alias.Name != "" {
			form.Aliases[t.Name] = checkpoint.Alias(t.Alias)
		}
	}
	for name, e := range of.Extras {
		form.Extras[name] = checkpoint.Extra(e)
	}
	return form
}

// StepInEpoch is how many steps of the epoch under way are done after step steps; at an epoch's end all of them.
func (p *Plan) StepInEpoch(step uint64) uint64 {
	if step == 0 {
		return 0
	}
	return (step-1)%uint64(p.PerPass) + 1
}
