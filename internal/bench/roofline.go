package bench

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"ringmaster/internal/bench/kernels"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/median"
	"ringmaster/internal/optim"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
	"ringmaster/internal/trainer"
)

// RooflineOptions say whose steps Roofline looks at.
type RooflineOptions struct {
	File    string   // of the job
	Sets    []string // job keys to override, KEY=VALUE
	Steps   int
	Threads int
	Each    bool // every operation by itself, not those of a kind together
}

// RooflineResult is where a part of a step's time goes: operations of a kind, in one direction.
type RooflineResult struct {
	Case         string  `json:"case"`
	Count        int     `json:"count"`         // of operations
	Ms           float64 `json:"ms"`            // in a step, the median of the steps
	Share        float64 `json:"share"`         // of the step
	GFLOP        float64 `json:"gflop"`         // of products in a step
	MiB          float64 `json:"mib"`           // of the tensors that are read and written
	ArithmeticMs float64 `json:"arithmetic_ms"` // that the products take at the peak
	MemoryMs     float64 `json:"memory_ms"`     // that the tensors take at the memory's bandwidth
	LeftMs       float64 `json:"left_ms"`       // the time minus the larger of the two
}

func (r RooflineResult) row() []string {
	ms := func(v float64) string { return fmt.Sprintf("%.3f", v) }
	return []string{r.Case, strconv.Itoa(r.Count), ms(r.Ms), fmt.Sprintf("%.1f %%", 100*r.Share), fmt.Sprintf("%.3f", r.GFLOP), fmt.Sprintf("%.2f", r.MiB),
		ms(r.ArithmeticMs), ms(r.MemoryMs), ms(r.LeftMs)}
}

func (r RooflineResult) sample() sample {
	return sample{name: "Roofline/" + r.Case, n: r.Count, values: []value{{r.Ms * 1e6, "ns/op"}}}
}

// machine is what operations are held against.
type machine struct {
	flops float64 // a second
	bytes float64 // likewise
}

// Roofline trains some steps of a job in this process and holds the time of each kind of operation against what the machine could do it in (Williams
// et al. 2009): the products' floating-point operations over the measured peak, and the bytes of its tensors over the measured bandwidth of the memory.
func Roofline(ctx context.Context, o RooflineOptions) (*Report, error) {
	if o.Steps < 1 || o.Steps > 10_000 || o.Threads < 1 {
		return nil, &launch.UsageError{Err: errors.New("--steps must be from 1 to 10000, and --threads at least 1")}
	}
	job, err := config.Load(o.File, append(o.Sets, "train.steps="+strconv.Itoa(o.Steps+rooflineWarmup), "checkpoint.every_steps=0", "train.schedule.warmup=0"))
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	p, err := trainer.Assemble(job)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	data := *p.Data
	data.Eval = nil
	p.Data = &data
	team := kernel.NewTeam(o.Threads)
	defer team.Close()
	at := measure(team)
	t, err := trainer.New(ctx, p, team)
	if err != nil {
		return nil, &launch.UsageError{Err: err}
	}
	works := p.Model.Works(job.Train.BatchPerSeat)
	var recorder trace.Recorder
	t.TraceTo(&recorder)
	repeated := job.Seats * job.Train.MicroBatches()
	spans := recorder.Start(rooflineWarmup+1, uint64(o.Steps), o.Steps*(repeated*(2*len(works)+8)+16+2*len(p.Buckets)))
	if err := trainAlone(ctx, t); err != nil {
		return nil, err
	}
	recorder.Stop()
	traced, lost := spans.Spans()
	if lost > 0 {
		return nil, fmt.Errorf("%d of the steps' spans found no room", lost)
	}
	r := &roofline{machine: at, each: o.Each, works: works, repeated: repeated, update: updateBytes(p)}
	return r.report(traced), nil
}

// updateBytes is what the optimizer reads and writes: the parameters and its state both ways, and the gradient.
func updateBytes(p *trainer.Plan) int {
	return 4 * p.Model.GradientLen() * (2*(1+len(optim.Names(&p.Job.Train))) + 1)
}

// rooflineWarmup are the first steps, which make programs and fill caches.
const rooflineWarmup = 2

// measure finds what the machine can do at most: the fastest of some products whose operands stay in the caches, and of some kernels on vectors that are in none.
func measure(team *kernel.Team) machine {
	var m machine
	for _, shape := range [][3]int{{96, 256, 96}, {128, 128, 128}, {128, 256, 128}, {256, 256, 256}} {
		m.flops = max(m.flops, product(team, "", shape, 1).GFLOPS*1e9)
	}
	const elements = 16 << 20 // 64 MiB a vector
	for _, c := range kernels.Calls(elements) {
		if c.Name == "add" || c.Name == "relu" || c.Name == "sum" {
			m.bytes = max(m.bytes, vector(c, elements).GiBPS*(1<<30))
		}
	}
	return m
}

// roofline collects the time of the parts of steps.
type roofline struct {
	machine
	each     bool
	works    []tensor.OperationWork
	repeated int // passes over the model in a step
	update   int // bytes of the optimizer
	parts    []*rooflinePart
}

// rooflinePart is one line: spans by step, and the work of one step.
type rooflinePart struct {
	name       string
	operations map[int32]bool
	took       map[uint64]time.Duration
	work       tensor.Work
}

// report sums the spans by kind of operation, and says of each what bounds it.
func (r *roofline) report(spans []trace.Span) *Report {
	whole, rest := &rooflinePart{took: map[uint64]time.Duration{}}, map[uint64]time.Duration{}
	for _, s := range spans {
		part, work := r.partOf(s)
		switch {
		case s.Kind == trace.Step:
			whole.took[s.Step] += s.Lasted
			rest[s.Step] += s.Lasted
			continue
		case part == nil:
			continue
		}
		part.took[s.Step] += s.Lasted
		rest[s.Step] -= s.Lasted
		if !part.operations[s.Index] {
			part.operations[s.Index] = true
			part.work.MultiplyAdds += work.MultiplyAdds
			part.work.Bytes += work.Bytes
		}
	}
	r.parts = append(r.parts, &rooflinePart{name: "the rest", operations: map[int32]bool{0: true}, took: rest})
	step := whole.median()
	report := &Report{Columns: []string{"CASE", "COUNT", "MS", "SHARE", "GFLOP", "MIB", "ARITHMETIC MS", "MEMORY MS", "LEFT MS"}}
	all := RooflineResult{Case: "step", Ms: step, Share: 1}
	var lines []RooflineResult
	for _, part := range r.parts {
		line := r.line(part, step)
		lines = append(lines, line)
		all.Count += line.Count
		all.GFLOP, all.MiB = all.GFLOP+line.GFLOP, all.MiB+line.MiB
		all.ArithmeticMs, all.MemoryMs, all.LeftMs = all.ArithmeticMs+line.ArithmeticMs, all.MemoryMs+line.MemoryMs, all.LeftMs+line.LeftMs
	}
	slices.SortStableFunc(lines, func(a, b RooflineResult) int { return cmp.Compare(b.Ms, a.Ms) })
	for _, line := range append(lines, all) {
		report.Results = append(report.Results, line)
	}
	report.Notes = []string{
		fmt.Sprintf("peak %.1f GFLOP/s, memory %.1f GB/s, both measured just now; medians of %d steps", r.flops/1e9, r.bytes/1e9, len(whole.took)),
		"LEFT MS is what is beyond the larger bound; below 0: tensors came from a cache"}
	return report
}

// partOf is the line that a span counts for, nil where it is part of others, and the work of its operation in a step.
func (r *roofline) partOf(s trace.Span) (*rooflinePart, tensor.Work) {
	switch s.Kind {
	case trace.ForwardOperation:
		w := r.works[s.Index]
		return r.part(w.Name, " forward", s.Index), r.inStep(w.Forward)
	case trace.BackwardOperation:
		w := r.works[s.Index]
		return r.part(w.Name, " backward", s.Index), r.inStep(w.Backward)
	case trace.Optimizer:
		return r.part("optimizer", "", trace.None), tensor.Work{Bytes: r.update}
	case trace.Reading:
		return r.part("reading", "", trace.None), tensor.Work{}
	}
	return nil, tensor.Work{}
}

func (r *roofline) inStep(w tensor.Work) tensor.Work {
	return tensor.Work{MultiplyAdds: r.repeated * w.MultiplyAdds, Bytes: r.repeated * w.Bytes}
}

// part finds the line of that name, or begins it.
func (r *roofline) part(name, direction string, index int32) *rooflinePart {
	name += direction
	if r.each && index != trace.None {
		name = fmt.Sprintf("%s %d", name, index)
	}
	for _, p := range r.parts {
		if p.name == name {
			return p
		}
	}
	p := &rooflinePart{name: name, operations: map[int32]bool{}, took: map[uint64]time.Duration{}}
	r.parts = append(r.parts, p)
	return p
}

// median is the median of the steps, in milliseconds.
func (p *rooflinePart) median() float64 {
	var all []float64
	for _, d := range p.took {
		all = append(all, float64(d)/1e6)
	}
	if len(all) == 0 {
		return 0
	}
	return median.Of(all)
}

func (r *roofline) line(p *rooflinePart, step float64) RooflineResult {
	flop := 2 * float64(p.work.MultiplyAdds)
	l := RooflineResult{Case: p.name, Count: len(p.operations), Ms: p.median(), GFLOP: flop / 1e9, MiB: float64(p.work.Bytes) / (1 << 20),
		ArithmeticMs: 1e3 * flop / r.flops, MemoryMs: 1e3 * float64(p.work.Bytes) / r.bytes}
	l.LeftMs = l.Ms - max(l.ArithmeticMs, l.MemoryMs)
	if step > 0 {
		l.Share = l.Ms / step
	}
	return l
}
