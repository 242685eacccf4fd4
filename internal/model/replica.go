package model

import (
	"fmt"

	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
)

// Replica computes a model for one goroutine at a time. It owns the programs, recorded once for each batch size, and the
// arena for their activations, and serves one seat after another. Once the batch sizes have been seen it allocates nothing.
type Replica struct {
	model      *Model
	team       *kernel.Team
	arena      []float32
	programs   []*recorded
	last       *recorded // used last
	clock      uint64    // uses so far
	context    tensor.Context
	outputs    func(first int, rows []float32)
	statistics []float32
	trace      *trace.Recorder // of the operations of Gradient; may be nil
}

// recorded is a program with its input and output.
type recorded struct {
	program *tensor.Program
	size    int // samples
	widths  widths
	purpose purpose
	logits  *tensor.Value
	outputs []*tensor.Value // of a model with several, in the order of the losses
	used    uint64

	bindings []binding

	nearest []int32          // of a coder: the codes that it makes,
	codes   *tensor.Integers // and those that it reads
}

type purpose uint8

const (
	forTraining purpose = iota
	forEvaluation
	forPrediction
	forCodes
	forPictures
)

// How many programs a replica keeps: training and evaluation each have a full and a few ragged batch sizes. Where fields are trimmed, training
// has as many as 256 for each size, though hardly ever: long sources go with long targets.
const (
	maxPrograms        = 12
	maxTrimmedPrograms = 160
)

// Result is the sums over a batch.
type Result struct {
	Loss    float64 // sum over the targets that count
	Count   uint64  // of targets that count
	Weight  float64 // of the classes of the targets that count; 0 where classes have no weights
	Correct uint64  // of these, where the largest logit (the first of equal ones) is the target's
	Finite  bool    // the loss is neither NaN nor infinite
}

// NewReplica makes a replica that computes with the team's threads; a nil team is the caller's thread alone.
func (m *Model) NewReplica(team *kernel.Team) *Replica {
	return &Replica{model: m, team: team, statistics: make([]float32, m.statLength)}
}

// TellAt asks Gradient to call ready soon when all of grad behind one of these places is final. They ascend.
func (r *Replica) TellAt(borders []int) { r.context.Borders = borders }

// TraceTo makes Gradient record its operations from now on as those of a step. The recorder may be nil.
func (r *Replica) TraceTo(to *trace.Recorder, step uint64) { r.trace, r.context.Step = to, step }

// Gradient computes the sum of the losses over the batch and its gradient, which overwrites grad entirely. afterForward, if
// not nil, is called with the sums before backward begins. ready, if not nil, is called whenever more of grad's end is final,
// with the index from which on it is; at last with 0. The key draws dropout: rng.SeatKey of seed, step, seat and
// micro-batch. An empty batch has a zero gradient and no statistics.
func (r *Replica) Gradient(params, stats, grad []float32, batch *dataset.Batch, key rng.Key, ready func(from int), afterForward func(Result)) Result {
	r.check(params, stats)
	if len(grad) != r.model.gradLength {
		panic(fmt.Sprintf("model: gradient of %d elements for %d trained parameters", len(grad), r.model.gradLength))
	}
	clear(r.statistics)
	if batch.N == 0 {
		clear(grad)
		empty := Result{Finite: true}
		if afterForward != nil {
			afterForward(empty)
		}
		if ready != nil {
			ready(0)
		}
		return empty
	}
	p := r.prepare(forTraining, batch)
	r.context.Key = key
	r.context.Running, r.context.Statistics, r.context.Gradient, r.context.Trace = stats, r.statistics, grad, r.trace
	p.program.Forward(&r.context, params)
	result := r.result()
	if afterForward != nil {
		afterForward(result)
	}
	p.program.Backward(&r.context, grad, ready)
	r.context.Gradient, r.context.Trace = nil, nil
	return result
}

// Statistics are the statistics of the last batch that Gradient saw, in the layout of the running ones, valid until the
// next call. FoldStatistics and ApplyStatistics take them into the running ones.
func (r *Replica) Statistics() []float32 { return r.statistics }

// Evaluate adds the batch to the sums of what was evaluated before, with running statistics and without dropout. Samples do not see
// each other and the loss is added up target by target, so a batch in pieces comes to the same bits as the whole.
func (r *Replica) Evaluate(params, stats []float32, batch *dataset.Batch, before Result) Result {
	r.check(params, stats)
	if batch.N == 0 {
		before.Finite = finite(before.Loss)
		return before
	}
	p := r.prepare(forEvaluation, batch)
	r.context.Running, r.context.Before, r.context.Weighed = stats, before.Loss, before.Weight
	r.context.Outputs = r.outputs
	p.program.Forward(&r.context, params)
	r.context.Before, r.context.Weighed, r.context.Outputs = 0, 0, nil
	sum := r.result()
	sum.Count += before.Count
	sum.Correct += before.Correct
	return sum
}

// TellOutputs asks Evaluate to give the rows of output to visit, the first output's where there are several: all of a batch at once, or, where
// they are many, piece by piece those from the row first on. They are valid during the call.
func (r *Replica) TellOutputs(visit func(first int, rows []float32)) { r.outputs = visit }

// Predict computes the logits of the batch, a row for each sample, or for each token where the model reads tokens. Targets are not
// used. The logits are valid until the next call.
func (r *Replica) Predict(params, stats []float32, batch *dataset.Batch) (logits []float32, rows, classes int) {
	r.check(params, stats)
	if batch.N == 0 {
		return nil, 0, 0
	}
	p := r.prepare(forPrediction, batch)
	r.context.Running = stats
	p.program.Forward(&r.context, params)
	return p.logits.Data(), p.logits.Rows(), p.logits.Dim(-1)
}

// Output is the rows of output k, in the order of the losses, of the batch that Predict saw last. They are valid until the next call.
func (r *Replica) Output(k int) []float32 {
	if outputs := r.last.outputs; len(outputs) > 0 {
		return outputs[k].Data()
	}
	return r.last.logits.Data()
}

func (r *Replica) check(params, stats []float32) {
	if len(params) != r.model.length || len(stats) != r.model.statLength {
		panic(fmt.Sprintf("model: %d parameters and %d statistics given, %d and %d wanted",
			len(params), len(stats), r.model.length, r.model.statLength))
	}
}

func (r *Replica) result() Result {
	c := &r.context
	return Result{Loss: c.Loss, Weight: c.Weight, Count: uint64(c.Count), Correct: uint64(c.Correct), Finite: finite(c.Loss)}
}

// prepare finds or records the program for the batch and binds the batch to it.
func (r *Replica) prepare(purpose purpose, batch *dataset.Batch) *recorded {
	var w widths
	if purpose == forTraining && r.model.trimmed {
		w = r.model.widthsOf(batch)
	}
	p := r.find(purpose, batch.N, w)
	r.clock++
	p.used, r.last = r.clock, p
	r.context.Team = r.team
	r.context.Lengths = r.model.lengths(batch)
	p.bind(batch)
	return p
}

func (r *Replica) find(purpose purpose, size int, w widths) *recorded {
	most := maxPrograms
	if r.model.trimmed {
		most = maxTrimmedPrograms
	}
	for _, p := range r.programs {
		if p.size == size && p.purpose == purpose && p.widths == w {
			return p
		}
	}
	if len(r.programs) == most {
		oldest := 0
		for k, p := range r.programs {
			if p.used < r.programs[oldest].used {
				oldest = k
			}
		}
		r.programs = append(r.programs[:oldest], r.programs[oldest+1:]...)
	}
	p := r.model.compile(purpose, size, w)
	r.programs = append(r.programs, p)
	if need := p.program.Length(); need > len(r.arena) && w != (widths{}) {
		r.enlarge(r.model.compile(purpose, size, widths{}).program.Length()) // at once for all lengths
	} else if need > len(r.arena) {
		r.enlarge(need)
	}
	p.program.Bind(r.arena)
	return p
}

// enlarge makes a larger arena for all programs.
func (r *Replica) enlarge(length int) {
	r.arena = make([]float32, length)
	for _, each := range r.programs {
		each.program.Bind(r.arena)
	}
}

// TrainingBytes is what a gradient of so many samples takes beside the flat vectors: the samples and the activations.
func (m *Model) TrainingBytes(samples int) int64 { return m.bytes(forTraining, samples) }

// EvaluationBytes is what an evaluation of so many samples takes beside the flat vectors.
func (m *Model) EvaluationBytes(samples int) int64 { return m.bytes(forEvaluation, samples) }

// bytes only plans: nothing of that size is allocated.
func (m *Model) bytes(purpose purpose, samples int) int64 {
	if samples == 0 {
		return 0
	}
	return int64(samples)*int64(m.schema.SampleBytes()) + 4*int64(m.compile(purpose, samples, widths{}).program.Length())
}

// Operations are what the operations of a gradient are, by their numbers in a trace.
func (m *Model) Operations() []string {
	return m.compile(forTraining, 1, widths{}).program.Operations()
}

// Works are what the operations of a gradient of so many samples have to do, by their numbers in a trace.
func (m *Model) Works(samples int) []tensor.OperationWork {
	return m.compile(forTraining, samples, widths{}).program.Works()
}

// MultiplyAdds is how many multiply-adds the products take that a gradient of so many samples consists of.
func (m *Model) MultiplyAdds(samples int) int {
	forward, backward := m.compile(forTraining, samples, widths{}).program.MultiplyAdds()
	return forward + backward
}

// end records the losses: of the output, or of each of several.
func (r *recorder) end(output *tensor.Value, size int, training bool) {
	parts := loss.PartsOf(r.model.loss)
	if len(parts) == 1 {
		parts[0].Record(r.Graph, r, output, size, training)
		return
	}
	var factors []float32
	for _, p := range parts {
		factors = append(factors, p.Factor)
	}
	r.JoinLosses(factors...)
	for k, p := range parts {
		p.Record(r.Graph, r, r.outputs[k], size, training)
	}
}

func (m *Model) compile(purpose purpose, size int, w widths) *recorded {
	if purpose == forCodes || purpose == forPictures {
		return m.compileCoder(purpose, size)
	}
	rec := newRecorder(m, purpose == forTraining, size)
	rec.widths, rec.predicts = w, purpose == forPrediction
	if m.recompute && purpose == forTraining {
		rec.Recompute()
	}
	logits := m.network.record(rec, size)
	if purpose != forPrediction {
		rec.end(logits, size, purpose == forTraining)
	}
	return &recorded{program: rec.Compile(), size: size, widths: w, purpose: purpose, logits: logits, outputs: rec.outputs, bindings: rec.bindings}
}
