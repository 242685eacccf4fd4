package model

import (
	"math"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/rng"
)

// TestSeveralInputs has a graph that reads two fields of the data, which it names.
func TestSeveralInputs(t *testing.T) {
	schema := dataset.Schema{
		{Name: "size", Type: dataset.Float32, Role: dataset.Input, Shape: []int{3}},
		{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{1, 6, 6}},
		{Name: "words", Type: dataset.Int32, Role: dataset.Input, Shape: []int{5}, Classes: 9},
		{Name: "price", Type: dataset.Float32, Role: dataset.Target, Shape: []int{2}},
	}
	l, err := loss.New(config.Train{Loss: config.LossMSE}, schema)
	if err != nil {
		t.Fatal(err)
	}
	text := `model:
    kind: graph
    inputs: [pixels, size, words]
    nodes:
        - {name: conv, kind: conv, inputs: [pixels], out: 4, kernel: 3}
        - {name: pool, kind: global_average_pool}
        - {name: embed, kind: embedding, inputs: [words], out: 4}
        - {name: gru, kind: gru, out: 3}
        - {name: last, kind: last_step}
        - {name: all, kind: concat, inputs: [pool, size, last]}
        - {name: fc, kind: linear, out: 2}
`
	m, err := Build(modelOf(t, text), schema, l)
	if err != nil {
		t.Fatal(err)
	}
	batch := &dataset.Batch{}
	batch.Resize(4, schema)
	for k := range batch.Columns {
		copy(batch.Columns[k].Floats, drawn(len(batch.Columns[k].Floats), uint32(k), 2, 0))
		copy(batch.Columns[k].Ints, chosen(len(batch.Columns[k].Ints), uint32(k), 9))
	}
	params, stats := initial(m, 1)
	grad := make([]float32, m.Len())
	if result := m.NewReplica(nil).Gradient(params, stats, grad, batch, rng.Key{}, nil, nil); !result.Finite || result.Count != 4 {
		t.Errorf("%+v", result)
	}
	for _, p := range m.Params() {
		if digest(grad[p.Interval.Begin:p.Interval.End]) == digest(make([]float32, p.Interval.Len())) {
			t.Errorf("no gradient reaches %s", p.Name)
		}
	}
	unread := strings.NewReplacer("[pixels, size, words]", "[pixels, words]", "[pool, size, last]", "[pool, last]").Replace(text)
	for bad, want := range map[string]string{
		unread: "model.inputs: the data's input size is none of the model's inputs: pixels, words; name it there and read it, or leave it out of the data",
		strings.ReplaceAll(strings.Replace(text, "pixels, size, words", "pixels, size, text", 1), "[words]", "[text]"): "model.inputs[2]: the data has no input text; there are size, pixels, words",
	} {
		if _, err := Build(modelOf(t, bad), schema, l); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	if _, err := Build(modelOf(t, "model: {kind: sequential, stack: [{kind: linear, out: 2}]}"), schema, l); err == nil ||
		!strings.Contains(err.Error(), "the data has 3 inputs (size, pixels, words) where there should be one") {
		t.Errorf("a sequential model of three inputs: %v", err)
	}
}

const threeOutputs = `model:
    kind: graph
    inputs: [x]
    nodes:
        - {name: body, kind: linear, out: 8}
        - {name: bent, kind: tanh}
        - {name: head, kind: linear, inputs: [bent], out: 3}
        - {name: price, kind: linear, inputs: [bent], out: 2}
        - {name: sold, kind: linear, inputs: [price], out: 1}
train: {losses: [{output: head, target: kind, weight: 0.7}, {output: price, target: price, kind: mse, weight: 0.25}, {output: sold, target: sold, kind: binary}]}
`

// TestSeveralLosses has a graph of three outputs: its gradient is that of the weighted sum of the losses, by finite differences, and a batch
// in pieces has the same loss as the whole, bit for bit.
func TestSeveralLosses(t *testing.T) {
	schema := dataset.Schema{
		{Name: "x", Type: dataset.Float32, Role: dataset.Input, Shape: []int{5}},
		{Name: "kind", Type: dataset.Int32, Role: dataset.Target, Classes: 3},
		{Name: "price", Type: dataset.Float32, Role: dataset.Target, Shape: []int{2}},
		{Name: "sold", Type: dataset.Int32, Role: dataset.Target, Classes: 2},
		{Name: "w", Type: dataset.Float32, Role: dataset.Weight},
	}
	job, err := config.Parse("job.yaml", []byte(threeOutputs), nil)
	if err != nil {
		t.Fatal(err)
	}
	l, err := loss.New(job.Train, schema)
	if err != nil {
		t.Fatal(err)
	}
	m, err := Build(job.Model, schema, l)
	if err != nil {
		t.Fatal(err)
	}
	const samples = 6
	batch := &dataset.Batch{}
	batch.Resize(samples, schema)
	for k := range batch.Columns {
		copy(batch.Columns[k].Floats, drawn(len(batch.Columns[k].Floats), uint32(k+1), 2, 0))
		copy(batch.Columns[k].Ints, chosen(len(batch.Columns[k].Ints), uint32(k+1), max(schema[k].Classes, 1)))
	}
	copy(batch.Columns[4].Floats, []float32{1, 0.5, 0, 2, 1, 1})
	params, stats := initial(m, 1)
	r, grad := m.NewReplica(nil), make([]float32, m.Len())
	result := r.Gradient(params, stats, grad, batch, rng.Key{}, nil, nil)
	if result.Count != samples-1 {
		t.Errorf("%d samples count, want the 5 of weight above 0", result.Count)
	}
	const step = 1e-2
	for k := range params {
		at := func(by float32) float64 {
			moved := append([]float32(nil), params...)
			moved[k] += by
			return r.Evaluate(moved, stats, batch, Result{}).Loss
		}
		if want := (at(step) - at(-step)) / (2 * step); math.Abs(want-float64(grad[k])) > 2e-3*(1+math.Abs(want)) {
			t.Errorf("derivative %d is %g, by finite differences %g", k, grad[k], want)
		}
	}
	whole, pieces := r.Evaluate(params, stats, batch, Result{}), Result{}
	for _, from := range []int{0, 1, 4} {
		to := map[int]int{0: 1, 1: 4, 4: samples}[from]
		pieces = r.Evaluate(params, stats, pieceOf(batch, schema, from, to), pieces)
	}
	if whole != pieces || math.Abs(whole.Loss-result.Loss) > 1e-9 {
		t.Errorf("in pieces %+v, as a whole %+v", pieces, whole)
	}
	checkOutputs(t, m, batch, schema, params, stats)
}

// checkOutputs checks that a sample's first output is the same alone and among others, and that all outputs can be read.
func checkOutputs(t *testing.T, m *Model, batch *dataset.Batch, schema dataset.Schema, params, stats []float32) {
	t.Helper()
	r, samples := m.NewReplica(nil), batch.N
	outputs, rows, width := r.Predict(params, stats, batch)
	outputs = append([]float32(nil), outputs...)
	var all [3][]float32
	for k := range all {
		all[k] = append(all[k], r.Output(k)...)
	}
	if rows != samples || width != 3 {
		t.Fatalf("%d rows of %d", rows, width)
	}
	for n := range samples {
		alone, _, _ := r.Predict(params, stats, pieceOf(batch, schema, n, n+1))
		h := 0.0
		for k, z := range alone {
			h += math.Abs(float64(z - outputs[n*width+k]))
		}
		if h != 0 || digest(alone) == digest(make([]float32, width)) {
			t.Errorf("sample %d gives %v alone, %v among others", n, alone, outputs[n*width:][:width])
		}
		for k := range all {
			width := len(all[k]) / samples
			if of := all[k][n*width:][:width]; !slices.Equal(r.Output(k), of) || digest(of) == digest(make([]float32, width)) {
				t.Errorf("sample %d gives %v alone, %v among others as output %d", n, r.Output(k), of, k)
			}
		}
	}
	c, err := m.Computation()
	if err != nil || len(c.Outputs) != 3 || c.Outputs[1].Name != "price" || c.Outputs[2].Name != "sold" || c.Outputs[2].Dim(-1) != 1 {
		t.Errorf("%+v, %v", c.Outputs, err)
	}
}

// pieceOf is some samples of a batch.
func pieceOf(b *dataset.Batch, schema dataset.Schema, from, to int) *dataset.Batch {
	part := &dataset.Batch{}
	part.Resize(to-from, schema)
	for k := range schema {
		width := schema[k].Width()
		copy(part.Columns[k].Floats, b.Columns[k].Floats[min(from*width, len(b.Columns[k].Floats)):])
		copy(part.Columns[k].Ints, b.Columns[k].Ints[min(from*width, len(b.Columns[k].Ints)):])
	}
	return part
}
