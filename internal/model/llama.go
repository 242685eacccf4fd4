package model

import (
	"cmp"
	"fmt"
	"math"
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/elementary"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// llama is a decoder-only transformer with RMS norms before what they normalise, rotary positions, heads that share keys and values in groups, a
// gated MLP (SwiGLU) and no biases, named and shaped as Hugging Face's LlamaForCausalLM (Touvron et al. 2023).
type llama struct {
	field          string
	context        int
	documents      bool
	tokens, output int // parameters; the output's is none where it is the tokens' embedding
	angles         []float32
	blocks         []*llamaBlock
	norm           *norm
	sizes          llamaSizes
}

// llamaSizes is what all blocks share.
type llamaSizes struct {
	width, hidden, heads, keyHeads, dim int
	epsilon                             float64
	dropout                             float32 // of the attention's probabilities
}

// llamaBlock is x + attention(norm(x)), then x + down(silu(gate(norm(x))) up(norm(x))).
type llamaBlock struct {
	query, key, value, attended *linear
	gate, up, down              *linear
	norm1, norm2                *norm
}

const (
	llamaDeviation = 0.02    // of initial weights
	maxAngles      = 1 << 26 // bounds a table of rotary positions
)

func buildLLaMA(b *builder, cfg config.Model, spec Spec) (network, error) {
	if err := spec.nextTokens(cfg); err != nil {
		return nil, err
	}
	if _, err := placesOf(cfg, spec); err != nil {
		return nil, err
	}
	s := llamaSizes{width: cfg.Width, hidden: cmp.Or(cfg.Hidden, 4*cfg.Width), heads: cfg.Heads, keyHeads: cmp.Or(cfg.KVHeads, cfg.Heads), dim: cmp.Or(cfg.HeadWidth, cfg.Width/cfg.Heads),
		epsilon: cfg.Epsilon, dropout: float32(cfg.Dropout)}
	switch {
	case s.heads%s.keyHeads != 0:
		return nil, config.KeyErrorf("model.kv_heads", "%d heads of keys and values do not divide the %d heads", s.keyHeads, s.heads)
	case s.dim < 2 || s.dim%2 != 0:
		return nil, config.KeyErrorf("model.heads", "a head is %d wide, and rotary positions turn pairs of columns: it must be an even number", s.dim)
	case spec.Context > maxAngles/s.dim:
		return nil, config.KeyErrorf("model.head_width", "rotary positions of %d tokens for heads of %d are more than %d numbers: lower data.context", spec.Context, s.dim, maxAngles)
	}
	m := &llama{field: spec.Field, context: spec.Context, documents: spec.Documents, sizes: s, output: none, angles: rotaryAngles(spec.Context, s.dim, cfg.RopeTheta)}
	weights := normal(llamaDeviation)
	m.tokens = b.parameter("model.embed_tokens.weight", true, weights, spec.Classes, s.width)
	for k := range cfg.Depth {
		m.blocks = append(m.blocks, newLLaMABlock(b, "model.layers."+strconv.Itoa(k), &m.sizes, weights))
	}
	m.norm = newRMSNorm(b, "model.norm", s.width, s.epsilon)
	if cfg.Tied {
		b.extra("lm_head.weight", Extra{Equals: "model.embed_tokens.weight", Else: "set model.tied: false"})
	} else {
		m.output = b.parameter("lm_head.weight", true, weights, spec.Classes, s.width)
	}
	b.decayMatrices()
	b.model.form.Prefix = "model."
	return m, nil
}

func newLLaMABlock(b *builder, name string, s *llamaSizes, weights fill) *llamaBlock {
	of := func(part string, in, out int) *linear {
		return newLinear(b, name+part, in, out, nil, kernel.None, weights)
	}
	l := &llamaBlock{query: of(".self_attn.q_proj", s.width, s.heads*s.dim)}
	l.key, l.value = of(".self_attn.k_proj", s.width, s.keyHeads*s.dim), of(".self_attn.v_proj", s.width, s.keyHeads*s.dim)
	l.attended = of(".self_attn.o_proj", s.heads*s.dim, s.width)
	l.gate, l.up, l.down = of(".mlp.gate_proj", s.width, s.hidden), of(".mlp.up_proj", s.width, s.hidden), of(".mlp.down_proj", s.hidden, s.width)
	l.norm1, l.norm2 = newRMSNorm(b, name+".input_layernorm", s.width, s.epsilon), newRMSNorm(b, name+".post_attention_layernorm", s.width, s.epsilon)
	b.extra(name+".self_attn.rotary_emb.inv_freq", Extra{}) // in old files: what model.rope_theta gives
	return l
}

// rotaryAngles is for each position the cosines of the angles by which it turns the pairs of a head's columns, and behind them their sines. Pair i
// turns by theta^(-2i/dim) at each position. Each step is rounded to float32, as transformers computes it, so that far positions agree with it.
func rotaryAngles(positions, dim int, theta float64) []float32 {
	half := dim / 2
	table := make([]float32, positions*dim)
	for i := range half {
		power := float32(elementary.Exp(float64(float32(2*i)/float32(dim)) * elementary.Log(theta)))
		frequency := 1 / power
		for t := range positions {
			sin, cos := sineCosine(float64(float32(float32(t) * frequency)))
			table[t*dim+i], table[t*dim+half+i] = float32(cos), float32(sin)
		}
	}
	return table
}

// record makes logits of shape (n*context, vocabulary).
func (m *llama) record(r *recorder, n int) *tensor.Value {
	tokens := r.param(m.tokens)
	x := r.Embedding(r.Integers(m.field, n, m.context), tokens, nil)
	turn := rotation{angles: r.Constant(m.angles, m.context, m.sizes.dim)}
	if m.documents && !r.predicts { // what is predicted is one document
		turn.places = r.Integers(dataset.WindowPlaces, n, m.context)
	}
	for _, block := range m.blocks {
		x = block.record(r, &m.sizes, x, turn)
	}
	x = r.Reshape(m.norm.record(r, x), -1, m.sizes.width)
	if m.output != none {
		tokens = r.param(m.output)
	}
	return r.Linear(x, tokens, nil, kernel.None)
}

// rotation is how queries and keys are turned.
type rotation struct {
	angles *tensor.Value
	places *tensor.Integers // nil: each sample is one document
}

func (l *llamaBlock) record(r *recorder, s *llamaSizes, x *tensor.Value, turn rotation) *tensor.Value {
	y := l.norm1.record(r, x)
	turned := func(v *tensor.Value) tensor.Columns {
		return tensor.Columns{Value: r.Rotary(v, turn.angles, s.dim, turn.places)}
	}
	attended := r.Attention(turned(l.query.record(r, y)), turned(l.key.record(r, y)), tensor.Columns{Value: l.value.record(r, y)},
		tensor.AttentionOptions{Heads: s.heads, KeyHeads: s.keyHeads, Dim: s.dim, Scale: float32(1 / math.Sqrt(float64(s.dim))), Causal: true, Rate: s.dropout, Places: turn.places})
	x = r.Add(x, l.attended.record(r, attended))
	y = l.norm2.record(r, x)
	return r.Add(x, l.down.record(r, r.Multiply(r.SiLU(l.gate.record(r, y)), l.up.record(r, y))))
}

// nextTokens refuses data that are not texts whose next tokens a model of decoder blocks predicts, and sizes that no block can have.
func (s *Spec) nextTokens(cfg config.Model) error {
	switch {
	case !s.Tokens:
		return config.KeyErrorf("model.kind", "%s reads tokens but the data are not text", cfg.Kind)
	case s.Rows != s.Context || s.Classes != s.Vocabulary:
		return config.KeyErrorf("model.kind", "%s gives one of %d tokens for each of %d but the data has %s for %d", cfg.Kind, s.Vocabulary, s.Context, s.wants, s.Rows)
	case cfg.Depth < 1 || cfg.Heads < 1 || cfg.Width < 1:
		return fmt.Errorf("model: %s needs depth, heads and width of at least 1, not %d, %d and %d", cfg.Kind, cfg.Depth, cfg.Heads, cfg.Width)
	case cfg.HeadWidth == 0 && cfg.Width%cfg.Heads != 0:
		return config.KeyErrorf("model.heads", "%d heads do not divide the width %d", cfg.Heads, cfg.Width)
	}
	return nil
}

// decayMatrices lets weight decay apply to the matrices alone.
func (b *builder) decayMatrices() {
	for k := range b.model.params {
		b.model.params[k].Decay = len(b.model.params[k].Shape) > 1
	}
}
