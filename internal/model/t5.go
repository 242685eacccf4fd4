package model

import (
	"math"
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// t5 is an encoder and a decoder of transformer blocks with RMS norms before what they normalise, ReLU, no biases, and attention that is not
// scaled but knows relative positions, named and shaped as Hugging Face's T5ForConditionalGeneration (Raffel et al., JMLR 2020).
type t5 struct {
	sizes            t5Sizes
	source, target   int // tokens
	tokens, output   int // parameters; the output's is none where it is the tokens' embedding
	encoder, decoder *t5Stack
}

// t5Sizes is what all blocks share.
type t5Sizes struct {
	width, hidden, heads, dim int
	buckets, distance         int
	dropout                   float32
}

// t5Stack is blocks and a norm behind them. Its table of relative positions is the first block's, which all of them use.
type t5Stack struct {
	positions int // parameter
	blocks    []*t5Block
	norm      *norm
	decodes   bool
}

// t5Block is a row of residual branches: attention to itself, in the decoder attention to the encoder's output, two linear layers.
type t5Block struct {
	attention, cross *t5Attention
	normed           *norm // of the linear layers
	up, down         *linear
}

// t5Attention is one branch of attention with its norm.
type t5Attention struct {
	query, key, value, attended *linear
	norm                        *norm
}

const t5Epsilon = 1e-6

func buildT5(b *builder, cfg config.Model) (network, error) {
	m, vocabulary, err := fitT5(b.model.schema, b.model.loss.Target())
	if err != nil {
		return nil, err
	}
	m.sizes = t5Sizes{width: cfg.Width, hidden: cfg.Hidden, heads: cfg.Heads, dim: cfg.HeadWidth, buckets: cfg.Buckets, distance: cfg.Distance, dropout: float32(cfg.Dropout)}
	if m.sizes.hidden == 0 {
		m.sizes.hidden = 4 * cfg.Width
	}
	if m.sizes.dim == 0 {
		if cfg.Width%cfg.Heads != 0 {
			return nil, config.KeyErrorf("model.heads", "%d heads do not divide the width %d; set model.head_width", cfg.Heads, cfg.Width)
		}
		m.sizes.dim = cfg.Width / cfg.Heads
	}
	m.tokens, m.output = b.parameter("shared.weight", true, normal(1), vocabulary, cfg.Width), none
	m.encoder = newT5Stack(b, "encoder", cfg.Depth, &m.sizes)
	m.decoder = newT5Stack(b, "decoder", cfg.Depth, &m.sizes)
	for _, stack := range []string{"encoder", "decoder"} {
		b.extra(stack+".embed_tokens.weight", Extra{Equals: "shared.weight", Else: "a t5's encoder and decoder share one embedding"})
	}
	b.extra("decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight", Extra{}) // in old files, and never used
	if cfg.Tied {
		b.extra("lm_head.weight", Extra{Equals: "shared.weight", Else: "set model.tied: false"})
	} else {
		b.model.form.Shared = map[string]string{"lm_head.weight": "shared.weight"}
		m.output = b.parameter("lm_head.weight", true, normal(1), vocabulary, cfg.Width)
	}
	return m, nil
}

// fitT5 checks that the data is pairs of texts, and says how many tokens there are.
func fitT5(schema dataset.Schema, target *dataset.Field) (*t5, int, error) {
	source, shifted := schema.Find(dataset.SourceTokens), schema.Find(dataset.ShiftedTokens)
	if source < 0 || shifted < 0 || target.Name != dataset.TargetTokens {
		return nil, 0, config.KeyErrorf("model.kind", "t5 reads pairs of texts, a source and a target, but the data has none; take data.kind: pairs, or text with data.corrupt")
	}
	s, d := &schema[source], &schema[shifted]
	return &t5{source: s.Width(), target: d.Width()}, max(s.Classes, d.Classes), nil
}

func newT5Stack(b *builder, name string, depth int, sizes *t5Sizes) *t5Stack {
	s := &t5Stack{decodes: name == "decoder"}
	for k := range depth {
		at := name + ".block." + strconv.Itoa(k) + ".layer."
		block := &t5Block{attention: newT5Attention(b, at+"0.SelfAttention", sizes)}
		if k == 0 {
			s.positions = b.parameter(at+"0.SelfAttention.relative_attention_bias.weight", true, scaled(sizes.width), sizes.buckets, sizes.heads)
		}
		block.attention.norm = newRMSNorm(b, at+"0.layer_norm", sizes.width, t5Epsilon)
		last := at + "1"
		if s.decodes {
			block.cross = newT5Attention(b, at+"1.EncDecAttention", sizes)
			block.cross.norm = newRMSNorm(b, at+"1.layer_norm", sizes.width, t5Epsilon)
			last = at + "2"
		}
		block.up = newLinear(b, last+".DenseReluDense.wi", sizes.width, sizes.hidden, nil, kernel.ReLUActivation, scaled(sizes.width))
		block.down = newLinear(b, last+".DenseReluDense.wo", sizes.hidden, sizes.width, nil, kernel.None, scaled(sizes.hidden))
		block.normed = newRMSNorm(b, last+".layer_norm", sizes.width, t5Epsilon)
		s.blocks = append(s.blocks, block)
	}
	s.norm = newRMSNorm(b, name+".final_layer_norm", sizes.width, t5Epsilon)
	return s
}

func newT5Attention(b *builder, name string, sizes *t5Sizes) *t5Attention {
	inner := sizes.heads * sizes.dim
	of := func(part string, in, out int, first fill) *linear {
		return newLinear(b, name+part, in, out, nil, kernel.None, first)
	}
	l := &t5Attention{query: of(".q", sizes.width, inner, scaled(sizes.width*sizes.dim))}
	l.key, l.value = of(".k", sizes.width, inner, scaled(sizes.width)), of(".v", sizes.width, inner, scaled(sizes.width))
	l.attended = of(".o", inner, sizes.width, scaled(inner))
	return l
}

// scaled draws from a normal distribution of variance 1/n.
func scaled(n int) fill { return normal(1 / math.Sqrt(float64(n))) }

// record makes logits of shape (n*target, vocabulary).
func (m *t5) record(r *recorder, n int) *tensor.Value {
	tokens, rate := r.param(m.tokens), m.sizes.dropout
	x := r.Dropout(r.Embedding(r.Integers(dataset.SourceTokens, n, m.source), tokens, nil), rate)
	encoded := m.encoder.record(r, &m.sizes, x, nil)
	y := r.Dropout(r.Embedding(r.Integers(dataset.ShiftedTokens, n, m.target), tokens, nil), rate)
	y = r.Reshape(m.decoder.record(r, &m.sizes, y, encoded), -1, m.sizes.width)
	if m.output != none {
		return r.Linear(y, r.param(m.output), nil, kernel.None)
	}
	return r.Linear(r.Scale(y, float32(1/math.Sqrt(float64(m.sizes.width)))), tokens, nil, kernel.None)
}

// record takes x through the stack. encoded is what the decoder also attends to; nil in the encoder.
func (s *t5Stack) record(r *recorder, sizes *t5Sizes, x, encoded *tensor.Value) *tensor.Value {
	length := x.Dim(1)
	itself := tensor.AttentionOptions{Heads: sizes.heads, Dim: sizes.dim, Scale: 1, Causal: s.decodes, Padded: !s.decodes, Rate: sizes.dropout}
	itself.Bias = r.RelativeBias(r.param(s.positions), length, length, tensor.RelativeOptions{Bidirectional: !s.decodes, Distance: sizes.distance})
	cross := tensor.AttentionOptions{Heads: sizes.heads, Dim: sizes.dim, Scale: 1, Padded: true, Rate: sizes.dropout}
	for _, b := range s.blocks {
		y := b.attention.norm.record(r, x)
		x = r.Add(x, r.Dropout(b.attention.record(r, y, y, itself), sizes.dropout))
		if b.cross != nil {
			x = r.Add(x, r.Dropout(b.cross.record(r, b.cross.norm.record(r, x), encoded, cross), sizes.dropout))
		}
		hidden := r.Dropout(b.up.record(r, b.normed.record(r, x)), sizes.dropout)
		x = r.Add(x, r.Dropout(b.down.record(r, hidden), sizes.dropout))
	}
	return r.Dropout(s.norm.record(r, x), sizes.dropout)
}

// record attends from x to y.
func (l *t5Attention) record(r *recorder, x, y *tensor.Value, options tensor.AttentionOptions) *tensor.Value {
	return l.attended.record(r, r.Attention(tensor.Columns{Value: l.query.record(r, x)}, tensor.Columns{Value: l.key.record(r, y)},
		tensor.Columns{Value: l.value.record(r, y)}, options))
}
