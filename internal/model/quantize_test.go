package model

import (
	"math"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/tensor/kernel"
)

const coder = `
model:
    kind: sequential
    stack:
        - {kind: conv, out: 8, kernel: 4, stride: 4}
        - {kind: batch_norm}
        - {kind: quantize, codes: 7, init: uniform}
        - {kind: conv_transpose, out: 3, kernel: 4, stride: 4}
`

var coderSchema = dataset.Schema{
	{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{3, 12, 8}},
	{Name: "label", Type: dataset.Int32, Role: dataset.Target, Classes: 5},
}

// buildTo builds a model whose output is compared with a field.
func buildTo(t *testing.T, text, target string, schema dataset.Schema) (*Model, error) {
	t.Helper()
	train := config.Train{Loss: config.LossMSE, Target: target}
	if target == "label" {
		train.Loss = config.LossCrossEntropy
	}
	l, err := loss.New(train, schema)
	if err != nil {
		t.Fatal(err)
	}
	return Build(modelOf(t, text), schema, l)
}

// What a coder makes of pictures, and then of the codes, is what the whole model makes, in every bit, in pieces too.
func TestCodesGiveThePicturesOfTheModel(t *testing.T) {
	m, err := buildTo(t, coder+"        - {kind: flatten}\n", "pixels", coderSchema)
	if err != nil {
		t.Fatal(err)
	}
	c, err := m.Coder()
	if err != nil {
		t.Fatal(err)
	}
	if rows, columns := c.Grid(); rows != 3 || columns != 2 || c.Steps() != 6 || c.Codes() != 7 {
		t.Errorf("%d x %d of %d codes, %d steps", rows, columns, c.Codes(), c.Steps())
	}
	params, stats := initial(m, 3)
	const n = 9
	batch := &dataset.Batch{}
	batch.Resize(n, coderSchema)
	for i := range batch.Columns[0].Floats {
		batch.Columns[0].Floats[i] = float32(i%17)/8 - 1
	}
	team := kernel.NewTeam(2)
	defer team.Close()
	r := m.NewReplica(team)
	codes := append([]int32(nil), r.Encode(params, stats, batch)...)
	used := map[int32]bool{}
	for _, code := range codes {
		used[code] = true
	}
	if len(codes) != n*6 || len(used) < 2 {
		t.Fatalf("%d codes, of which %d are used", len(codes), len(used))
	}
	whole, _, _ := r.Predict(params, stats, batch)
	whole = append([]float32(nil), whole...)
	for _, piece := range []int{n, 4, 1} {
		for at := 0; at < n; at += piece {
			end := min(at+piece, n)
			got := r.Decode(params, stats, codes[at*6:end*6], end-at)
			for i, v := range got {
				if math.Float32bits(v) != math.Float32bits(whole[at*288+i]) {
					t.Fatalf("in pieces of %d: value %d from picture %d is %g, of the whole model %g", piece, i, at, v, whole[at*288+i])
				}
			}
		}
	}
}

func TestWhatIsNoCoder(t *testing.T) {
	for _, c := range []struct{ text, target, want string }{
		{strings.Replace(coder, "{kind: quantize, codes: 7, init: uniform}", "{kind: relu}", 1) + "        - {kind: flatten}\n", "pixels", "it makes no codes"},
		{coder + "        - {kind: flatten}\n        - {kind: linear, out: 5}\n", "label", "train it with train.target: pixels"},
		{coder + "        - {kind: quantize, codes: 3}\n        - {kind: flatten}\n", "pixels", "two layers quantize"},
		{coder + "        - {kind: flatten}\n        - {kind: quantize, codes: 3}\n", "pixels", "two layers quantize"},
		{"model:\n    kind: sequential\n    stack: [{kind: flatten}, {kind: quantize, codes: 4}]\n", "pixels", "gets 288 values, where codes are made of images"},
		{"model: {kind: mlp, layers: [288, 5]}", "label", "it makes no codes"},
	} {
		schema := coderSchema
		if strings.HasPrefix(c.text, "model: {kind: mlp") {
			schema = dataset.Schema{{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{288}}, coderSchema[1]}
		}
		m, err := buildTo(t, c.text, c.target, schema)
		if err == nil {
			_, err = m.Coder()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.text, err, c.want)
		}
	}
}

func TestQuantizeRefusesWeightsOfSamples(t *testing.T) {
	schema := append(coderSchema[:2:2], dataset.Field{Name: "w", Type: dataset.Float32, Role: dataset.Weight})
	if _, err := buildTo(t, coder+"        - {kind: flatten}\n", "pixels", schema); err == nil || !strings.Contains(err.Error(), "model.stack[2]: quantize adds to the loss of each sample") {
		t.Errorf("error %v", err)
	}
}
