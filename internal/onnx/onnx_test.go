package onnx

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/model"
	"ringmaster/internal/tensor"
)

// export is the file of a case.
func export(t *testing.T, m *made) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, m.Model, m.params, m.stats, map[string]string{"classes": "a\nb", "digest": "0123"}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestFilesAreThoseAccepted compares every case's file with the one that onnx.checker accepted and that gave the same outputs in
// onnxruntime, within 1e-4: testdata/check.py records its digest. The script reads the files from the folder that RINGMASTER_ONNX_CASES
// names, where this test writes them with samples and their outputs.
func TestFilesAreThoseAccepted(t *testing.T) {
	text, err := os.ReadFile("testdata/accepted.json")
	if err != nil {
		t.Fatal(err)
	}
	accepted := map[string]string{}
	if err := json.Unmarshal(text, &accepted); err != nil {
		t.Fatal(err)
	}
	folder := os.Getenv("RINGMASTER_ONNX_CASES")
	for _, c := range exportCases() {
		t.Run(c.name, func(t *testing.T) {
			m := c.make(t)
			file := export(t, m)
			if folder != "" {
				c.leave(t, folder, m, file)
				return
			}
			sum := sha256.Sum256(file)
			if got := hex.EncodeToString(sum[:]); got != accepted[c.name] {
				t.Errorf("the file has digest %s, not that of the one that onnxruntime ran (%q): run testdata/check.py", got, accepted[c.name])
			}
		})
	}
}

// leave writes what the script compares.
func (c *exportCase) leave(t *testing.T, folder string, m *made, file []byte) {
	t.Helper()
	const samples = 3
	batch := c.batch(samples)
	outputs, _, _ := m.NewReplica(nil).Predict(m.params, m.stats, batch)
	type input struct {
		Name   string    `json:"name"`
		Shape  []int     `json:"shape"`
		Floats []float32 `json:"floats,omitempty"`
		Ints   []int32   `json:"ints,omitempty"`
	}
	var inputs []input
	for k, f := range c.schema {
		if f.Role == dataset.Input {
			inputs = append(inputs, input{f.Name, append([]int{samples}, f.Shape...), batch.Columns[k].Floats, batch.Columns[k].Ints})
			if f.Ragged {
				inputs = append(inputs, input{Name: f.Name + "_length", Shape: []int{samples}, Ints: batch.Columns[k].Lengths})
			}
		}
	}
	text, err := json.Marshal(map[string]any{"inputs": inputs, "output": outputs})
	if err != nil {
		t.Fatal(err)
	}
	for suffix, content := range map[string][]byte{".onnx": file, ".json": text} {
		if err := os.WriteFile(filepath.Join(folder, c.name+suffix), content, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCasesHaveEveryLayer(t *testing.T) {
	all := ""
	for _, c := range exportCases() {
		all += c.text + "\n"
	}
	for _, kind := range config.LayerKinds {
		if !strings.Contains(all, "kind: "+kind+",") && !strings.Contains(all, "kind: "+kind+"}") && !strings.Contains(all, "kind: "+kind+"\n") {
			t.Errorf("no case has a layer of kind %s", kind)
		}
	}
}

// TestFileHoldsTogether reads the files again: each node reads only what is there before it, names are given once, everything is read,
// all initializers have the elements of their shape, and every parameter is among them.
func TestFileHoldsTogether(t *testing.T) {
	for _, c := range exportCases() {
		t.Run(c.name, func(t *testing.T) {
			m := c.make(t)
			f := decode(t, export(t, m))
			if f.ir != irVersion || f.opset != opset || f.metadata["classes"] != "a\nb" || f.metadata["digest"] != "0123" {
				t.Errorf("the file is of IR %d, opset %d, with metadata %v", f.ir, f.opset, f.metadata)
			}
			f.checkNames(t)
			for _, p := range m.Params() {
				held := slices.ContainsFunc(f.initializers, func(i heldTensor) bool { return strings.HasPrefix(i.name, p.Name) })
				if !held && !strings.Contains(p.Name, ".bias_") { // those of a recurrent layer are side by side
					t.Errorf("the file does not hold %s", p.Name)
				}
			}
			for k, field := range c.schema.Of(dataset.Input) {
				if want := append([]int{-1}, field.Shape...); f.inputs[k].name != field.Name || !slices.Equal(f.inputs[k].shape, want) {
					t.Errorf("input %d is %v, want %s of %v", k, f.inputs[k], field.Name, want)
				}
			}
		})
	}
}

// Convolutions follow each other without exchanging axes.
func TestAxesStayChannelsFirst(t *testing.T) {
	for _, c := range exportCases() {
		if !slices.Contains([]string{"mobilenetv2", "resnet", "squeeze"}, c.name) {
			continue
		}
		f := decode(t, export(t, c.make(t)))
		if k := slices.IndexFunc(f.nodes, func(n readNode) bool {
			return n.op == "Transpose" || n.op == "Gemm" && n.outputs[0] == "features.1.conv.1"
		}); k >= 0 {
			t.Errorf("%s: node %s is a %s", c.name, f.nodes[k].outputs[0], f.nodes[k].op)
		}
	}
}

// Where the file would be too large, nothing is written.
func TestTooLargeForOneFile(t *testing.T) {
	g := &graph{initializers: []initializer{{name: "huge", shape: []int{100}, floats: make([]float32, 100)}}}
	var b bytes.Buffer
	if err := g.write(&b, nil, 1000); err != nil || b.Len() > 500 {
		t.Fatal(b.Len(), err)
	}
	b.Reset()
	if err := g.write(&b, nil, 300); err == nil || b.Len() > 0 || !strings.Contains(err.Error(), "less than 2 GiB") {
		t.Errorf("%d bytes were written, and the error is %v", b.Len(), err)
	}
}

// recordedBy is the file of a computation on values (1, 4, 4, 6) that no job file can name, or the error.
func recordedBy(f func(g *tensor.Graph, x *tensor.Value) *tensor.Value) (*graph, error) {
	field := &dataset.Field{Name: "values", Type: dataset.Float32, Role: dataset.Input, Shape: []int{4, 4, 6}}
	g := tensor.NewGraph(false)
	x := g.Input(1, 4, 4, 6)
	y := g.Reshape(f(g, x), 1, -1)
	steps, err := g.Steps()
	if err != nil {
		return nil, err
	}
	c := &model.Computation{Steps: steps, Reads: []model.Read{{Field: field, Floats: x}}, Outputs: []model.Output{{Name: "given", Rows: 1, Value: y}}}
	return translate(c, nil, nil, nil, nil)
}

// What has no form in ONNX is named in one line.
func TestNoForm(t *testing.T) {
	attend := func(o tensor.AttentionOptions) func(g *tensor.Graph, x *tensor.Value) *tensor.Value {
		return func(g *tensor.Graph, x *tensor.Value) *tensor.Value {
			all := tensor.Columns{Value: g.Reshape(x, 1, 16, 6)}
			o.Heads, o.Dim, o.Scale = 1, 6, 1
			return g.Attention(all, tensor.Columns{Value: g.ReLU(all.Value)}, tensor.Columns{Value: g.Tanh(all.Value)}, o)
		}
	}
	for want, f := range map[string]func(g *tensor.Graph, x *tensor.Value) *tensor.Value{
		"":                            attend(tensor.AttentionOptions{}),
		"an average over 2 x 3 cells": func(g *tensor.Graph, x *tensor.Value) *tensor.Value { return g.AdaptiveAveragePool(x, 2, 3) },
		"inputs come from no linear layer": func(g *tensor.Graph, x *tensor.Value) *tensor.Value {
			return g.GRU(g.Reshape(x, 1, 16, 6), g.Input(6, 2), nil, false)
		},
	} {
		_, err := recordedBy(f)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "has no form in ONNX (opset 17)")) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := recordedBy(func(g *tensor.Graph, x *tensor.Value) *tensor.Value {
		g.SquaredError(g.ReLU(x), x, nil)
		return x
	}); err == nil || !strings.Contains(err.Error(), "no form in which others can read it") {
		t.Errorf("a loss: %v", err)
	}
}
