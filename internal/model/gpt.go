package model

import (
	"cmp"
	"math"
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// gpt is a decoder-only transformer with pre-norm blocks and the head tied to the token embedding, named and shaped as nanoGPT's:
// "transformer.wte.weight" (vocabulary, width), "transformer.h.0.attn.c_attn.weight" (3 width, width). Hugging Face's GPT2LMHeadModel holds
// the blocks' matrices the other way round (its Conv1D), and always has biases.
type gpt struct {
	field          string
	context        int
	tokens, places int // parameters
	documents      bool
	dropout        float32
	blocks         []*gptBlock
	norm           *norm
	width          int
}

// gptBlock is x + attention(norm(x)), then x + mlp(norm(x)).
type gptBlock struct {
	norm1, norm2  *norm
	qkv, attended *linear
	up, down      *linear
	heads, width  int
	dropout       float32
	activation    string
}

const (
	gptEpsilon   = 1e-5
	gptDeviation = 0.02 // of initial weights
)

func buildGPT(b *builder, cfg config.Model, spec Spec) (network, error) {
	if err := spec.nextTokens(cfg); err != nil {
		return nil, err
	}
	places, err := placesOf(cfg, spec)
	if err != nil {
		return nil, err
	}
	width, weights := cfg.Width, normal(gptDeviation)
	hidden := cmp.Or(cfg.Hidden, 4*width)
	projection := normal(gptDeviation / math.Sqrt(2*float64(cfg.Depth)))
	var biases fill
	if cfg.Bias {
		biases = zeros
	}
	m := &gpt{field: spec.Field, context: spec.Context, documents: spec.Documents, dropout: float32(cfg.Dropout), width: width}
	m.tokens = b.parameter("transformer.wte.weight", true, weights, spec.Classes, width)
	m.places = b.parameter("transformer.wpe.weight", true, weights, places, width)
	for k := range cfg.Depth {
		name := "transformer.h." + strconv.Itoa(k)
		block := &gptBlock{heads: cfg.Heads, width: width, dropout: m.dropout, activation: cfg.Activation}
		block.norm1 = newLayerNorm(b, name+".ln_1", width, cfg.Bias, gptEpsilon)
		block.qkv = newLinear(b, name+".attn.c_attn", width, 3*width, biases, kernel.None, weights)
		block.attended = newLinear(b, name+".attn.c_proj", width, width, biases, kernel.None, projection)
		block.norm2 = newLayerNorm(b, name+".ln_2", width, cfg.Bias, gptEpsilon)
		block.up = newLinear(b, name+".mlp.c_fc", width, hidden, biases, kernel.None, weights)
		block.down = newLinear(b, name+".mlp.c_proj", hidden, width, biases, kernel.None, projection)
		m.blocks = append(m.blocks, block)
		block.foreign(b, name, cfg.Bias, hidden)
	}
	m.norm = newLayerNorm(b, "transformer.ln_f", width, cfg.Bias, gptEpsilon)
	b.decayMatrices()
	b.model.form.Prefix = "transformer."
	b.extra("lm_head.weight", Extra{Equals: "transformer.wte.weight", Else: "a gpt's output layer is its token embedding"})
	if !cfg.Bias {
		b.extra("transformer.ln_f.bias", Extra{Zeros: []int{width}, Else: needsBias})
	}
	return m, nil
}

// placesOf is how many rows a model's table of positions has.
func placesOf(cfg config.Model, spec Spec) (int, error) {
	if cfg.Positions > 0 && cfg.Positions < spec.Context {
		return 0, config.KeyErrorf("model.positions", "%d positions are fewer than the %d tokens of a sample: lower data.context", cfg.Positions, spec.Context)
	}
	return cmp.Or(cfg.Positions, spec.Context), nil
}

// needsBias is what to do with a GPT-2 that has biases.
const needsBias = "set model.bias: true"

// foreign says how Hugging Face's files hold the block of that name.
func (l *gptBlock) foreign(b *builder, name string, bias bool, hidden int) {
	for part, layer := range map[string]*linear{".attn.c_attn": l.qkv, ".attn.c_proj": l.attended, ".mlp.c_fc": l.up, ".mlp.c_proj": l.down} {
		b.alias(layer.weight, name+part+".weight", 1, 0)
	}
	for _, buffer := range []string{".attn.bias", ".attn.masked_bias"} { // the causal mask
		b.extra(name+buffer, Extra{})
	}
	if bias {
		return
	}
	for part, size := range map[string]int{".ln_1": l.width, ".attn.c_attn": 3 * l.width, ".attn.c_proj": l.width, ".ln_2": l.width, ".mlp.c_fc": hidden, ".mlp.c_proj": l.width} {
		b.extra(name+part+".bias", Extra{Zeros: []int{size}, Else: needsBias})
	}
}

// record makes logits of shape (n*context, vocabulary).
func (m *gpt) record(r *recorder, n int) *tensor.Value {
	tokens := r.param(m.tokens)
	var x *tensor.Value
	var places *tensor.Integers
	if m.documents && !r.predicts { // what is predicted is one document
		places = r.Integers(dataset.WindowPlaces, n, m.context)
		x = r.Add(r.Embedding(r.Integers(m.field, n, m.context), tokens, nil), r.Embedding(places, r.param(m.places), nil))
	} else {
		x = r.Embedding(r.Integers(m.field, n, m.context), tokens, r.param(m.places))
	}
	x = r.Dropout(x, m.dropout)
	for _, block := range m.blocks {
		x = block.record(r, x, places)
	}
	x = m.norm.record(r, x)
	return r.Linear(r.Reshape(x, -1, m.width), tokens, nil, kernel.None)
}

func (l *gptBlock) record(r *recorder, x *tensor.Value, places *tensor.Integers) *tensor.Value {
	qkv := l.qkv.record(r, l.norm1.record(r, x))
	dim := l.width / l.heads
	attended := r.Attention(tensor.Columns{Value: qkv}, tensor.Columns{Value: qkv, Offset: l.width},
		tensor.Columns{Value: qkv, Offset: 2 * l.width}, tensor.AttentionOptions{Heads: l.heads, Dim: dim,
			Scale: float32(1 / math.Sqrt(float64(dim))), Causal: true, Rate: l.dropout, Places: places})
	x = r.Add(x, r.Dropout(l.attended.record(r, attended), l.dropout))
	hidden := r.activation(l.activation, l.up.record(r, l.norm2.record(r, x)))
	return r.Add(x, r.Dropout(l.down.record(r, hidden), l.dropout))
}
