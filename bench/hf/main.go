// Command hf computes what a folder of Hugging Face's form gives for a batch, for the comparison with transformers in folders.py: logits,
// loss, gradients, and both again after one step of SGD.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/hf"
	"ringmaster/internal/model"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// question is a batch, as folders.py writes it. Samples are rows.
type question struct {
	Kind    string      `json:"kind"`    // of model
	Tokens  [][]int32   `json:"tokens"`  // that the model, or its encoder, reads
	Lengths []int32     `json:"lengths"` // of the samples in tokens; nil: whole
	Shifted [][]int32   `json:"shifted"` // that a decoder reads
	Targets [][]int32   `json:"targets"` // -1: none
	Classes int         `json:"classes"` // of a classifier; 0: targets are tokens
	Size    int         `json:"vocabulary"`
	Rate    float32     `json:"rate"`   // of the step
	Pixels  [][]float32 `json:"pixels"` // of a mobilenetv2 instead of tokens: pictures of 3 channels
	Edge    int         `json:"edge"`   // of the square pictures
}

// answer is what the model gives.
type answer struct {
	layout *checkpoint.Layout
	logits [2][]float32 // before and after the step
	losses [2]float64   // means over the targets
	grads  [2][]float32 // of the means, in the order of the parameters
}

func main() {
	if len(os.Args) != 4 {
		fmt.Fprintln(os.Stderr, "usage: hf FOLDER QUESTION.json OUT-FOLDER")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, "hf:", err)
		os.Exit(1)
	}
}

func run(folder, path, out string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var q question
	if err := json.Unmarshal(text, &q); err != nil {
		return err
	}
	a, err := q.ask(folder)
	if err != nil {
		return err
	}
	for k := range a.logits {
		if err := a.write(out, k); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(map[string]any{"losses": a.losses})
}

// write writes the logits and gradients before (0) or after the step.
func (a *answer) write(out string, k int) error {
	raw := make([]byte, 0, 4*len(a.logits[k]))
	for _, v := range a.logits[k] {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	if err := os.WriteFile(filepath.Join(out, fmt.Sprintf("logits%d.f32", k)), raw, 0o644); err != nil {
		return err
	}
	state := a.layout.NewState()
	state.Params = a.grads[k]
	f, err := os.Create(filepath.Join(out, fmt.Sprintf("gradients%d.safetensors", k)))
	if err != nil {
		return err
	}
	return errors.Join(a.layout.WritePieces(f, a.layout.Pieces(), state, checkpoint.Origin{}), f.Close())
}

// ask builds the model of the folder and gives it the batch.
func (q *question) ask(folder string) (*answer, error) {
	data := map[string]string{"bert": "kind: text, dir: ., mask: 0.15", "t5": "kind: pairs, train: a, source: a, target: b"}[q.Kind]
	if data == "" {
		data = "kind: text, dir: ."
	}
	text := fmt.Sprintf("model: {kind: mobilenetv2, init: %q}\ndata: {kind: images, dir: .}\nseats: 1\n", folder)
	if q.Pixels == nil {
		text = fmt.Sprintf("model: {kind: %s, init: %q, vocabulary: %d}\ndata: {%s, context: %d}\nseats: 1\n", q.Kind, folder, q.Size, data, len(q.Tokens[0]))
	}
	job, err := config.Parse("", []byte(text), nil)
	if err != nil {
		return nil, err
	}
	if err := hf.Settle(job); err != nil {
		return nil, err
	}
	schema := q.schema()
	m, err := trainer.BuildModel(job, schema)
	if err != nil {
		return nil, err
	}
	if _, err := trainer.CheckInit(context.Background(), job, m); err != nil {
		return nil, err
	}
	layout, err := (&trainer.Plan{Job: job, Model: m}).Layout()
	if err != nil {
		return nil, err
	}
	w, err := checkpoint.OpenWeights(folder)
	if err != nil {
		return nil, err
	}
	state := layout.NewState()
	if _, err := w.Load(context.Background(), layout, checkpoint.Choice{}, state); err != nil {
		return nil, err
	}
	a := &answer{layout: layout}
	if q.Pixels != nil { // whose statistics training moves: only what it predicts is compared
		a.predict(m, q.batch(schema), state)
		return a, nil
	}
	a.compute(m, q.batch(schema), state.Params, q.Rate)
	return a, nil
}

// predict fills in the logits.
func (a *answer) predict(m *model.Model, batch *dataset.Batch, state *checkpoint.State) {
	logits, _, _ := m.NewReplica(nil).Predict(state.Params, state.Stats, batch)
	for k := range a.logits {
		a.logits[k], a.grads[k] = logits, make([]float32, m.Len())
	}
}

// compute fills the answer.
func (a *answer) compute(m *model.Model, batch *dataset.Batch, params []float32, rate float32) {
	team := kernel.NewTeam(1)
	defer team.Close()
	r := m.NewReplica(team)
	for k := range a.grads {
		logits, _, _ := r.Predict(params, nil, batch)
		a.logits[k] = append([]float32(nil), logits...)
		a.grads[k] = make([]float32, m.Len())
		result := r.Gradient(params, nil, a.grads[k], batch, rng.Key{}, nil, nil)
		a.losses[k] = result.Loss / float64(result.Count)
		for i := range params {
			a.grads[k][i] /= float32(result.Count)
			params[i] -= float32(rate * a.grads[k][i])
		}
	}
}

// schema is the fields of the batch.
func (q *question) schema() dataset.Schema {
	if q.Pixels != nil {
		return dataset.Schema{{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{3, q.Edge, q.Edge}},
			{Name: "label", Type: dataset.Int32, Role: dataset.Target, Classes: q.Classes}}
	}
	width := []int{len(q.Tokens[0])}
	tokens := func(name string, role dataset.Role, shape []int) dataset.Field {
		return dataset.Field{Name: name, Type: dataset.Int32, Role: role, Shape: shape, Classes: q.Size}
	}
	switch {
	case q.Shifted != nil:
		source := tokens(dataset.SourceTokens, dataset.Input, width)
		source.Ragged = true
		short := []int{len(q.Shifted[0])}
		return dataset.Schema{source, tokens(dataset.ShiftedTokens, dataset.Input, short), tokens(dataset.TargetTokens, dataset.Target, short)}
	case q.Classes > 0:
		target := tokens("label", dataset.Target, nil)
		target.Classes = q.Classes
		return append(q.inputs(tokens("tokens", dataset.Input, width)), target)
	case q.Kind == "bert":
		return append(q.inputs(tokens("tokens", dataset.Input, width)), tokens(dataset.HiddenTokens, dataset.Target, width))
	}
	return dataset.Schema{tokens("tokens", dataset.Input, width), tokens("next", dataset.Target, width)}
}

// inputs are the tokens of a bert.
func (q *question) inputs(tokens dataset.Field) dataset.Schema {
	tokens.Ragged = q.Lengths != nil
	return dataset.Schema{tokens}
}

// batch is the samples side by side.
func (q *question) batch(schema dataset.Schema) *dataset.Batch {
	b := &dataset.Batch{}
	if b.Resize(max(len(q.Tokens), len(q.Pixels)), schema); q.Pixels != nil {
		into := b.Columns[0].Floats[:0]
		for _, picture := range q.Pixels {
			into = append(into, picture...)
		}
		return b
	}
	rows := [][][]int32{q.Tokens, q.Targets}
	if q.Shifted != nil {
		rows = [][][]int32{q.Tokens, q.Shifted, q.Targets}
	}
	for k, column := range rows {
		into := b.Columns[k].Ints[:0]
		for _, row := range column {
			into = append(into, row...)
		}
	}
	if schema[0].Ragged {
		copy(b.Columns[0].Lengths, q.Lengths)
	}
	return b
}
