package onnx

import (
	"fmt"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/loss"
	"ringmaster/internal/model"
	"ringmaster/internal/rng"
)

// images and tokens are the data of the cases.
func images(shape ...int) dataset.Schema {
	return dataset.Schema{
		{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: shape},
		{Name: "label", Type: dataset.Int32, Role: dataset.Target, Classes: 7},
	}
}

func tokens(length, vocabulary int) dataset.Schema {
	return dataset.Schema{
		{Name: "tokens", Type: dataset.Int32, Role: dataset.Input, Shape: []int{length}, Classes: vocabulary},
		{Name: "next", Type: dataset.Int32, Role: dataset.Target, Shape: []int{length}, Classes: vocabulary},
	}
}

// hidden is tokens of which some are hidden, and to be guessed.
func hidden(length, vocabulary int) dataset.Schema {
	s := tokens(length, vocabulary)
	s[1].Name = dataset.HiddenTokens
	return s
}

// pairs is sources of up to 12 tokens and targets of 9.
var pairs = dataset.Schema{
	{Name: dataset.SourceTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{12}, Ragged: true, Classes: 13},
	{Name: dataset.ShiftedTokens, Type: dataset.Int32, Role: dataset.Input, Shape: []int{9}, Classes: 13},
	{Name: dataset.TargetTokens, Type: dataset.Int32, Role: dataset.Target, Shape: []int{9}, Classes: 13},
}

// priced is images with a class and two numbers.
var priced = append(images(2, 6, 6), dataset.Field{Name: "price", Type: dataset.Float32, Role: dataset.Target, Shape: []int{2}})

// exportCase is a model as a job file has it, with the data that it reads.
type exportCase struct {
	name   string
	text   string // below "model:"
	schema dataset.Schema
}

// exportCases have every family, and every layer of config.LayerKinds, which TestCasesHaveEveryLayer checks.
func exportCases() []exportCase {
	cases := []exportCase{
		{"mlp", "kind: mlp\nlayers: [20, 16, 7]", images(20)},
		{"mobilenetv2", "kind: mobilenetv2", images(3, 64, 64)},
		{"mobilenetv2 keras", "kind: mobilenetv2\nform: keras", images(3, 64, 64)},
		{"mobilenetv2 cifar", "kind: mobilenetv2\nvariant: cifar", images(3, 16, 16)},
		{"gpt", "kind: gpt\ndepth: 2\nheads: 3\nwidth: 12\nbias: true", tokens(9, 13)},
		{"gpt without biases", "kind: gpt\ndepth: 1\nheads: 2\nwidth: 8\nbias: false", tokens(9, 13)},
		{"llama", "kind: llama\ndepth: 2\nheads: 4\nkv_heads: 2\nwidth: 16\nhidden: 20\ntied: false", tokens(9, 13)},
		{"bert", "kind: bert\ndepth: 2\nheads: 3\nwidth: 12", hidden(9, 13)},
		{"bert classifier", "kind: bert\ndepth: 1\nheads: 2\nwidth: 8", append(tokens(9, 13)[:1], images(1)[1])},
		{"t5", "kind: t5\ndepth: 2\nheads: 2\nwidth: 8\nbuckets: 8\ndistance: 16", pairs},
		{"t5 with a head", "kind: t5\ndepth: 1\nheads: 2\nwidth: 8\nhead_width: 3\ntied: false\nbuckets: 4\ndistance: 9", pairs},
		{"resnet", resnet, images(3, 16, 16)},
		{"autoencoder", autoencoder, dataset.Schema{{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{64}}}},
		{"quantised", quantised, dataset.Schema{{Name: "pixels", Type: dataset.Float32, Role: dataset.Input, Shape: []int{64}}}},
		{"text lstm", textLSTM, tokens(9, 13)},
		{"tied", tied, tokens(9, 13)},
		{"parts", parts, images(64)},
		{"squeeze", squeeze, images(3, 8, 8)},
		{"tabular", tabular, dataset.Schema{
			{Name: "features", Type: dataset.Float32, Role: dataset.Input, Shape: []int{11}},
			{Name: "price", Type: dataset.Float32, Role: dataset.Target, Shape: []int{1}}}},
		{"two inputs", twoInputs, append(images(2, 6, 6), dataset.Field{Name: "numbers", Type: dataset.Float32, Role: dataset.Input, Shape: []int{5}})},
		{"two outputs", fmt.Sprintf(twoOutputs, "{output: price, target: price, kind: mse}, {output: head, target: label}"), priced},
		{"two outputs swapped", fmt.Sprintf(twoOutputs, "{output: head, target: label}, {output: price, target: price, kind: mse}"), priced},
		{"channels one by one", oneByOne, images(3, 9, 9)},
	}
	for _, kind := range []string{"relu", "relu6", "leaky_relu, slope: 0.2", "elu, alpha: 0.7", "softplus", "gelu", "silu", "sigmoid", "tanh", "softmax", "log_softmax"} {
		name, _, _ := strings.Cut(kind, ",")
		cases = append(cases, exportCase{"function " + name, fmt.Sprintf(functionOf, kind, kind), images(2, 5, 4)})
	}
	return cases
}

const (
	functionOf = `kind: sequential
stack:
    - {kind: conv, out: 6, kernel: 3}
    - {kind: %s}
    - {kind: flatten}
    - {kind: linear, out: 7}
    - {kind: %s}`
	resnet = `kind: sequential
stack:
    - {name: conv1, kind: conv, out: 8, kernel: 3, padding: 1, bias: false}
    - {name: bn1, kind: batch_norm}
    - {kind: relu}
    - {kind: max_pool, kernel: 3, stride: 2, padding: 1}
    - kind: residual
      name: layer1.0
      stack:
          - {name: conv1, kind: conv, out: 12, kernel: 3, stride: 2, padding: 1, bias: false}
          - {name: bn1, kind: batch_norm}
          - {kind: relu}
          - {name: conv2, kind: conv, out: 12, kernel: 3, padding: 1, bias: false}
          - {name: bn2, kind: batch_norm}
      shortcut:
          - {name: downsample.0, kind: conv, out: 12, kernel: 1, stride: 2, bias: false}
          - {name: downsample.1, kind: batch_norm}
    - {kind: relu}
    - {kind: global_average_pool}
    - {name: fc, kind: linear, out: 7}`
	autoencoder = `kind: sequential
stack:
    - {kind: reshape, shape: [1, 8, 8]}
    - {kind: conv, out: 4, kernel: 3, stride: 2, padding: 1}
    - {kind: relu}
    - {kind: flatten}
    - {kind: linear, out: 5}
    - {kind: linear, out: 64}
    - {kind: reshape, shape: [4, 4, -1]}
    - {kind: conv_transpose, out: 1, kernel: 4, stride: 2, padding: 1, groups: 1}
    - {kind: flatten}`
	quantised = `kind: sequential
stack:
    - {kind: conv, out: 6, kernel: 4, stride: 2, padding: 1}
    - {kind: quantize, codes: 9}
    - {kind: conv_transpose, out: 1, kernel: 4, stride: 2, padding: 1}
    - {kind: flatten}`
	textLSTM = `kind: sequential
stack:
    - {name: embed, kind: embedding, out: 10}
    - {name: lstm, kind: lstm, out: 16, layers: 2, rate: 0.1}
    - {name: norm, kind: rms_norm}
    - {name: head, kind: linear, out: 13}`
	tied = `kind: graph
nodes:
    - {name: embed, kind: embedding, out: 16}
    - {name: places, kind: positions}
    - {name: norm, kind: layer_norm}
    - {name: attn, kind: attention, heads: 4, causal: true}
    - {name: sum, kind: add, inputs: [places, attn]}
    - {name: gru, kind: gru, out: 16, bias: false}
    - {name: head, kind: linear, out: 13, bias: false, weights: embed}`
	parts = `kind: graph
inputs: [pixels]
nodes:
    - {name: stem, kind: conv, out: 8, kernel: 3, padding: 1}
    - {name: gn, kind: group_norm, groups: 4}
    - {name: first, kind: elu}
    - {name: down, kind: conv, out: 12, kernel: 3, stride: 2, padding: 1}
    - {name: norm, kind: instance_norm, affine: true}
    - {name: second, kind: leaky_relu, slope: 0.1}
    - {name: up, kind: conv_transpose, out: 8, kernel: 3, stride: 2, padding: 1, output_padding: 1}
    - {name: nearest, kind: upsample, inputs: [second]}
    - {name: bilinear, kind: upsample, inputs: [second], mode: bilinear}
    - {name: all, kind: concat, inputs: [first, up, nearest, bilinear]}
    - {name: squeeze, kind: conv, out: 8, kernel: 1}
    - {name: gate, kind: conv, inputs: [all], out: 8, kernel: 1}
    - {name: open, kind: sigmoid}
    - {name: gated, kind: multiply, inputs: [squeeze, open]}
    - {kind: to_sequence}
    - {name: placed, kind: positions, form: sinusoidal}
    - {name: attn, kind: attention, heads: 2}
    - {name: seq, kind: add, inputs: [placed, attn]}
    - {kind: transpose}
    - {name: conv1, kind: conv1d, out: 12, kernel: 3, stride: 2, padding: 1}
    - {kind: softplus}
    - {name: bn, kind: batch_norm}
    - {kind: max_pool, kernel: 2}
    - {name: wide, kind: conv_transpose1d, out: 8, kernel: 2, stride: 2}
    - {kind: average_pool, kernel: 2, padding: 1}
    - {name: short, kind: transpose}
    - {name: cross, kind: attention, heads: 4, inputs: [short, seq]}
    - {name: gru, kind: gru, out: 5, bidirectional: true}
    - {name: lstm, kind: lstm, out: 6, layers: 2, bidirectional: true}
    - {name: enc, kind: linear, out: 12}
    - {kind: tanh}
    - {name: again, kind: linear, out: 12, weights: enc}
    - {name: last, kind: last_step}
    - {name: most, kind: global_max_pool, inputs: [again]}
    - {name: mean, kind: global_average_pool, inputs: [again]}
    - {name: both, kind: concat, inputs: [last, most, mean]}
    - {name: fc, kind: linear, out: 7}
    - {kind: log_softmax}`
	squeeze = `kind: graph
nodes:
    - {name: conv, kind: conv, out: 6, kernel: 3}
    - {kind: global_average_pool}
    - {name: fc1, kind: linear, out: 6}
    - {name: gate, kind: sigmoid}
    - {name: scaled, kind: multiply, inputs: [conv, gate]}
    - {kind: softmax}
    - {kind: global_max_pool}
    - {kind: dropout}
    - {name: fc2, kind: linear, out: 7}`
	tabular = `kind: sequential
stack:
    - {kind: linear, out: 12}
    - {kind: batch_norm}
    - {kind: gelu}
    - {kind: layer_norm}
    - {kind: residual, stack: [{kind: linear, out: 12}, {kind: silu}]}
    - {kind: group_norm, groups: 3}
    - {kind: linear, out: 1}`
	twoInputs = `kind: graph
inputs: [pixels, numbers]
nodes:
    - {name: conv, kind: conv, inputs: [pixels], out: 4, kernel: 3}
    - {name: pooled, kind: global_average_pool}
    - {name: deep, kind: linear, inputs: [numbers], out: 4}
    - {name: sum, kind: add, inputs: [pooled, deep]}
    - {name: side, kind: concat, inputs: [sum, numbers]}
    - {name: fc, kind: linear, out: 7}`
	twoOutputs = `kind: graph
nodes:
    - {name: conv, kind: conv, out: 4, kernel: 3}
    - {name: pooled, kind: global_average_pool}
    - {name: head, kind: linear, out: 7}
    - {name: price, kind: linear, inputs: [pooled], out: 2}
train: {losses: [%s]}`
	oneByOne = `kind: sequential
stack:
    - {kind: conv, out: 6, kernel: 1}
    - {kind: conv, out: 6, kernel: 3, groups: 6, bias: false, dilation: 2, padding: 1}
    - {kind: conv, out: 8, kernel: 1, bias: false}
    - {kind: relu}
    - {kind: average_pool, kernel: 2, stride: 1}
    - {kind: conv_transpose, out: 4, kernel: 3, groups: 4, dilation: 2, bias: false}
    - {kind: instance_norm}
    - {kind: to_sequence}
    - {kind: linear, out: 4}
    - {kind: transpose}
    - {kind: flatten}
    - {kind: linear, out: 7}`
)

// made is a case's model with parameters and statistics away from their first values.
type made struct {
	*model.Model
	params, stats []float32
}

func (c *exportCase) make(t testing.TB) *made {
	t.Helper()
	text := "model:\n    " + strings.ReplaceAll(strings.ReplaceAll(c.text, "\n", "\n    "), "\n    train:", "\ntrain:")
	if c.schema[0].Type == dataset.Int32 {
		data := "kind: text, dir: x"
		switch {
		case strings.HasPrefix(c.text, "kind: bert"):
			data += ", mask: 0.15"
		case strings.HasPrefix(c.text, "kind: t5"):
			data = "kind: pairs, train: x, source: a, target: b"
		}
		text += fmt.Sprintf("\ndata: {%s, context: %d}", data, c.schema[0].Shape[0])
	}
	job, err := config.Parse("job.yaml", []byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	train := job.Train
	switch targets := c.schema.Of(dataset.Target); {
	case len(targets) == 0:
		train = config.Train{Loss: config.LossMSE, Target: c.schema[0].Name}
	case targets[0].Type == dataset.Float32 && len(train.Losses) == 0:
		train.Loss = config.LossMSE
	}
	l, err := loss.New(train, c.schema)
	if err != nil {
		t.Fatal(err)
	}
	m, err := model.Build(job.Model, c.schema, l)
	if err != nil {
		t.Fatal(err)
	}
	x := &made{Model: m, params: make([]float32, m.Len()), stats: make([]float32, m.StatsLen())}
	if err := m.Init(t.Context(), x.params, x.stats, 1); err != nil {
		t.Fatal(err)
	}
	shake(x.params, 1, 0.1)
	shake(x.stats, 2, 0.5)
	return x
}

// shake moves numbers by up to the given amount.
func shake(v []float32, stream uint64, by float32) {
	noise := make([]float32, len(v))
	rng.NewKey(stream).FillUniform(noise, 0, -by, by)
	for i := range v {
		v[i] += noise[i]
	}
}

// batch is samples of the case.
func (c *exportCase) batch(n int) *dataset.Batch {
	b := &dataset.Batch{}
	b.Resize(n, c.schema)
	for k := range b.Columns {
		key := rng.NewKey(3, uint64(k))
		copy(b.Columns[k].Lengths, []int32{12, 5, 8}) // of a ragged field
		key.FillUniform(b.Columns[k].Floats, 0, -1, 1)
		for i := range b.Columns[k].Ints {
			b.Columns[k].Ints[i] = int32(key.Below(uint64(i), uint64(c.schema[k].Classes)))
		}
	}
	return b
}
