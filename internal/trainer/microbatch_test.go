package trainer

import (
	"encoding/json"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
)

// Accumulated steps are PyTorch's: batch norm by micro-batch, whose running statistics move with each, and a mean over the targets of all of
// them by the weights of their classes. The second step of each epoch is ragged.
func TestAccumulationAsPyTorch(t *testing.T) {
	text, err := os.ReadFile("testdata/accumulate.json")
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Orders  [][]int32
		Tensors map[string][]float64
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	job, err := config.Parse("job.yaml", []byte(`
seats: 1
data: {kind: csv, train: testdata/rows.csv, target: kind, categories: [kind]}
model:
    kind: sequential
    stack: [{kind: linear, out: 8, bias: false}, {kind: batch_norm}, {kind: relu}, {kind: linear, out: 8}, {kind: relu}, {kind: linear, out: 3}]
    init: testdata/weights.safetensors
train: {epochs: 2, batch_per_seat: 4, accumulate: 2, class_weights: [1, 2, 0.5], optimizer: {kind: sgd, lr: 0.1, momentum: 0.9}}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	p, err := Assemble(job)
	if err != nil {
		t.Fatal(err)
	}
	for epoch, want := range golden.Orders {
		order := make([]int32, len(want))
		dataset.NewSampler(job.Seed, uint64(epoch), len(want)).Fill(order, plan.Interval{Begin: 0, End: len(want)})
		if !slices.Equal(order, want) {
			t.Fatalf("epoch %d takes the rows in the order %v, PyTorch was given %v", epoch, order, want)
		}
	}
	tr := train(t, p, 1, 1, 1, nil, nil)[0]
	if tr.Step() != 4 || p.PerPass != 2 {
		t.Fatalf("%d steps, %d an epoch", tr.Step(), p.PerPass)
	}
	compared := 0
	compare := func(name string, values []float32) {
		compared++
		for i, v := range values {
			if math.Abs(float64(v)-golden.Tensors[name][i]) > 1e-5 {
				t.Errorf("%s[%d] is %v, PyTorch's %v", name, i, v, golden.Tensors[name][i])
				return
			}
		}
	}
	for _, tensor := range p.Model.Params() {
		compare(tensor.Name, tr.params[tensor.Interval.Begin:tensor.Interval.End])
	}
	for _, tensor := range p.Model.Stats() {
		compare(tensor.Name, tr.stats[tensor.Interval.Begin:tensor.Interval.End])
	}
	if compared != len(golden.Tensors) {
		t.Errorf("%d tensors compared, PyTorch has %d", compared, len(golden.Tensors))
	}
}

// A seat's gradient is the sum of its micro-batches' gradients, each computed by itself, in their order and to the bit.
func TestAccumulationAsDefined(t *testing.T) {
	p := planOf(t, "{kind: sequential, stack: [{kind: linear, out: 16}, {kind: batch_norm}, {kind: relu}, {kind: dropout}, {kind: linear, out: 10}]}",
		"{steps: 1, batch_per_seat: 3, accumulate: 4}")
	fresh, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := New(t.Context(), p, nil)
	if err != nil {
		t.Fatal(err)
	}
	seats := p.Job.Seats
	r := &Run{Arc: plan.Arc{Begin: 0, End: seats}, Ring: &solo{}}
	tr.Gradients(seats, false)
	if err := tr.enter(r); err != nil {
		t.Fatal(err)
	}
	defer tr.feed.close()
	if err := tr.forwardBackward(r); err != nil {
		t.Fatal(err)
	}
	order := p.Data.Sampler(p.Job.Seed, 0)
	micro := make([]float32, p.Model.Len())
	for seat := range seats {
		want := make([]float32, p.Model.Len())
		for k := range 4 {
			indices := make([]int32, 3)
			begin := seat*12 + k*3
			order.Fill(indices, plan.Interval{Begin: begin, End: begin + 3})
			key := rng.SeatKey(p.Job.Seed, 0, uint64(seat), uint64(k))
			var batch dataset.Batch
			if err := p.Data.Train.Read(&batch, indices, key); err != nil {
				t.Fatal(err)
			}
			fresh.replica.Gradient(fresh.params, fresh.stats, micro, &batch, key, nil, nil)
			for i, v := range micro {
				if k == 0 {
					want[i] = v
				} else {
					want[i] += v
				}
			}
		}
		if !slices.Equal(tr.grads[seat], want) {
			t.Errorf("seat %d has another gradient", seat)
		}
	}
}

// The definition holds on any ring, with ragged shards that leave micro-batches empty; another division of the same samples gives other bits but, without
// batch norm, nearly the same weights.
func TestAccumulationOnAnyRing(t *testing.T) {
	norm := "{kind: sequential, stack: [{kind: linear, out: 16}, {kind: batch_norm}, {kind: relu}, {kind: dropout, rate: 0.1}, {kind: linear, out: 10}]}"
	p := planOf(t, norm, "{steps: 12, batch_per_seat: 2, accumulate: 3, clip_norm: 0.5}")
	want := digestOf(sameEverywhere(t, p))
	data := *p.Data
	data.Train = elsewhere{data.Train}
	p.Data = &data
	if got := digestOf(train(t, p, 2, 1, 1, nil, nil)[0]); got != want {
		t.Errorf("reading ahead it ends at %s, else at %s", got, want)
	}

	whole := train(t, planOf(t, "{layers: [784, 24, 10]}", "{steps: 10, batch_per_seat: 12}"), 1, 1, 1, nil, nil)[0]
	parts := sameEverywhere(t, planOf(t, "{layers: [784, 24, 10]}", "{steps: 10, batch_per_seat: 4, accumulate: 3}"))
	if slices.Equal(whole.params, parts.params) || whole.sums.Count != parts.sums.Count {
		t.Errorf("%d and %d samples, equal parameters", whole.sums.Count, parts.sums.Count)
	}
	for i, v := range parts.params {
		if math.Abs(float64(v-whole.params[i])) > 1e-4 {
			t.Fatalf("parameter %d is %v, with one micro-batch %v", i, v, whole.params[i])
		}
	}
	if got, want := parts.Memory(), whole.Memory(); got.Work != max(parts.Model.TrainingBytes(4), parts.Model.EvaluationBytes(evalBatch))+4*int64(parts.Model.Len()) || got.Seat != want.Seat {
		t.Errorf("%+v, with one micro-batch %+v", got, want)
	}
}

// The few rows of a table, and more micro-batches than a seat has samples.
func TestAccumulationOfRaggedShards(t *testing.T) {
	p := assembleTable(t, "[2, 8, 2]", "kind", config.LossCrossEntropy) // 50 rows, 4 seats of 3
	p.Job.Train.Accumulate, p.Job.Train.Steps = 5, 9
	p, err := Assemble(p.Job)
	if err != nil {
		t.Fatal(err)
	}
	if p.PerPass != 1 || p.Steps != 9 || p.Samples(2) != 100 {
		t.Errorf("%d steps an epoch, %d in all, %d samples in 2", p.PerPass, p.Steps, p.Samples(2))
	}
	sameEverywhere(t, p)
}

func TestAccumulatedStatisticsAreBounded(t *testing.T) {
	job, err := config.Parse("job.yaml", []byte(`
seats: 64
model: {kind: sequential, stack: [{kind: linear, out: 100}, {kind: batch_norm}, {kind: linear, out: 10}]}
data: {kind: glyphs}
train: {batch_per_seat: 1, accumulate: 10000}
`), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Assemble(job)
	if want := "job.yaml:5:40: train.accumulate 10000 has each step gather 493 MiB of batch statistics, the limit is 64 MiB"; err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
