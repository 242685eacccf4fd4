package model

import (
	"fmt"
	"math"
	"strconv"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// bert is an encoder of transformer blocks whose norms stand behind what they normalise, named and shaped as Hugging
// Face's BertForMaskedLM, or as its BertForSequenceClassification where a sample has one target. Where the data say no segments, all tokens belong to
// segment 0. A sample's tokens attend to as many tokens as it has.
type bert struct {
	field                    string
	segmented                bool
	context, width           int
	tokens, places, segments int // parameters
	dropout                  float32
	norm                     *norm
	blocks                   []*bertBlock
	head                     interface {
		record(r *recorder, m *bert, x *tensor.Value) *tensor.Value
	}
}

// bertBlock is norm(x + attention(x)), then norm(x + mlp(x)).
type bertBlock struct {
	query, key, value, attended *linear
	norm1                       *norm
	up, down                    *linear
	norm2                       *norm
	heads, width                int
	dropout                     float32
	activation                  string
}

const (
	bertEpsilon   = 1e-12
	bertDeviation = 0.02 // of initial weights
	bertSegments  = 2
)

func buildBERT(b *builder, cfg config.Model, spec Spec) (network, error) {
	switch {
	case !spec.Tokens:
		return nil, config.KeyErrorf("model.kind", "bert reads tokens but the data are not text")
	case spec.Rows != 1 && (spec.Rows != spec.Context || spec.Classes != spec.Vocabulary):
		return nil, config.KeyErrorf("model.kind", "bert gives one of %d tokens for each of %d, or one answer for all, but the data has %s for %d", spec.Vocabulary, spec.Context, spec.wants, spec.Rows)
	case spec.Rows > 1 && !spec.Hidden:
		return nil, config.KeyErrorf("model.kind", "bert sees the tokens that follow, so it cannot learn to predict them: set data.mask, or take model.kind: gpt")
	case cfg.Depth < 1 || cfg.Heads < 1 || cfg.Width < 1:
		return nil, fmt.Errorf("model: bert needs depth, heads and width of at least 1, not %d, %d and %d", cfg.Depth, cfg.Heads, cfg.Width)
	case cfg.Width%cfg.Heads != 0:
		return nil, config.KeyErrorf("model.heads", "%d heads do not divide the width %d", cfg.Heads, cfg.Width)
	}
	places, err := placesOf(cfg, spec)
	if err != nil {
		return nil, err
	}
	m := &bert{field: spec.Field, segmented: spec.Segments, context: spec.Context, width: cfg.Width, dropout: float32(cfg.Dropout)}
	weights := normal(bertDeviation)
	const embeddings = "bert.embeddings."
	m.tokens = b.parameter(embeddings+"word_embeddings.weight", true, weights, spec.Vocabulary, m.width)
	m.places = b.parameter(embeddings+"position_embeddings.weight", true, weights, places, m.width)
	m.segments = b.parameter(embeddings+"token_type_embeddings.weight", true, weights, bertSegments, m.width)
	m.norm = newLayerNorm(b, embeddings+"LayerNorm", m.width, true, bertEpsilon)
	for k := range cfg.Depth {
		m.blocks = append(m.blocks, newBERTBlock(b, "bert.encoder.layer."+strconv.Itoa(k), cfg))
	}
	if spec.Rows == 1 {
		m.head = newBERTClassifier(b, m.width, spec.Classes)
		foreignPredictor(b)
	} else {
		m.head = newBERTPredictor(b, cfg, spec.Vocabulary)
		foreignClassifier(b)
	}
	b.model.form.Prefix = "bert."
	b.model.form.Endings = map[string]string{".LayerNorm.gamma": ".LayerNorm.weight", ".LayerNorm.beta": ".LayerNorm.bias"}
	b.extra(embeddings+"position_ids", Extra{})
	for k := range b.model.params {
		b.model.params[k].Decay = len(b.model.params[k].Shape) > 1
	}
	return m, nil
}

func newBERTBlock(b *builder, name string, cfg config.Model) *bertBlock {
	width, hidden := cfg.Width, cfg.Hidden
	if hidden == 0 {
		hidden = 4 * width
	}
	of := func(part string, in, out int) *linear {
		return newLinear(b, name+part, in, out, zeros, kernel.None, normal(bertDeviation))
	}
	l := &bertBlock{heads: cfg.Heads, width: width, dropout: float32(cfg.Dropout), activation: cfg.Activation}
	l.query = of(".attention.self.query", width, width)
	l.key = of(".attention.self.key", width, width)
	l.value = of(".attention.self.value", width, width)
	l.attended = of(".attention.output.dense", width, width)
	l.norm1 = newLayerNorm(b, name+".attention.output.LayerNorm", width, true, bertEpsilon)
	l.up = of(".intermediate.dense", width, hidden)
	l.down = of(".output.dense", hidden, width)
	l.norm2 = newLayerNorm(b, name+".output.LayerNorm", width, true, bertEpsilon)
	return l
}

// record makes a row of output for each target.
func (m *bert) record(r *recorder, n int) *tensor.Value {
	x := r.Embedding(r.Integers(m.field, n, m.context), r.param(m.tokens), r.param(m.places))
	var segments *tensor.Integers
	if m.segmented {
		segments = r.Integers(dataset.TextSegments, n, m.context)
	} else {
		segments = r.ConstantIntegers(make([]int32, n*m.context), n, m.context)
	}
	x = r.Add(x, r.Embedding(segments, r.param(m.segments), nil))
	x = r.Dropout(m.norm.record(r, x), m.dropout)
	for _, block := range m.blocks {
		x = block.record(r, x)
	}
	return m.head.record(r, m, x)
}

func (l *bertBlock) record(r *recorder, x *tensor.Value) *tensor.Value {
	dim := l.width / l.heads
	attended := r.Attention(tensor.Columns{Value: l.query.record(r, x)}, tensor.Columns{Value: l.key.record(r, x)},
		tensor.Columns{Value: l.value.record(r, x)}, tensor.AttentionOptions{Heads: l.heads, Dim: dim, Scale: float32(1 / math.Sqrt(float64(dim))), Padded: true, Rate: l.dropout})
	x = l.norm1.record(r, r.Add(r.Dropout(l.attended.record(r, attended), l.dropout), x))
	hidden := r.activation(l.activation, l.up.record(r, x))
	return l.norm2.record(r, r.Add(r.Dropout(l.down.record(r, hidden), l.dropout), x))
}

// bertPredictor gives logits of a token for every place, (n*context, vocabulary), by the token embedding and a bias.
type bertPredictor struct {
	bias       int
	dense      *linear
	norm       *norm
	activation string
}

func newBERTPredictor(b *builder, cfg config.Model, vocabulary int) *bertPredictor {
	width := cfg.Width
	h := &bertPredictor{activation: cfg.Activation, bias: b.parameter("cls.predictions.bias", true, zeros, vocabulary)}
	h.dense = newLinear(b, "cls.predictions.transform.dense", width, width, zeros, kernel.None, normal(bertDeviation))
	h.norm = newLayerNorm(b, "cls.predictions.transform.LayerNorm", width, true, bertEpsilon)
	const oneEmbedding = "a bert's output layer is its token embedding, and a bias"
	b.extra("cls.predictions.decoder.weight", Extra{Equals: "bert.embeddings.word_embeddings.weight", Else: oneEmbedding})
	b.extra("cls.predictions.decoder.bias", Extra{Equals: "cls.predictions.bias", Else: oneEmbedding})
	return h
}

// foreignPredictor passes over the heads of pre-training that a file may have beside the encoder that a classifier begins from.
func foreignPredictor(b *builder) {
	for _, name := range []string{"bias", "transform.dense.weight", "transform.dense.bias", "transform.LayerNorm.weight", "transform.LayerNorm.bias", "decoder.weight", "decoder.bias"} {
		b.extra("cls.predictions."+name, Extra{})
	}
	foreignOrder(b)
}

// foreignClassifier passes over what a file may have for samples as a whole.
func foreignClassifier(b *builder) {
	for _, name := range []string{"bert.pooler.dense.weight", "bert.pooler.dense.bias"} {
		b.extra(name, Extra{})
	}
	foreignOrder(b)
}

// foreignOrder passes over the head that tells whether two sentences follow each other.
func foreignOrder(b *builder) {
	for _, name := range []string{"cls.seq_relationship.weight", "cls.seq_relationship.bias"} {
		b.extra(name, Extra{})
	}
}

func (h *bertPredictor) record(r *recorder, m *bert, x *tensor.Value) *tensor.Value {
	x = h.norm.record(r, r.activation(h.activation, h.dense.record(r, x)))
	return r.Linear(r.Reshape(x, -1, m.width), r.param(m.tokens), r.param(h.bias), kernel.None)
}

// bertClassifier gives one row for each sample, from what the first token has become.
type bertClassifier struct{ pooler, classifier *linear }

func newBERTClassifier(b *builder, width, classes int) *bertClassifier {
	of := func(name string, out int) *linear {
		return newLinear(b, name, width, out, zeros, kernel.None, normal(bertDeviation))
	}
	return &bertClassifier{of("bert.pooler.dense", width), of("classifier", classes)}
}

func (h *bertClassifier) record(r *recorder, m *bert, x *tensor.Value) *tensor.Value {
	pooled := r.Tanh(h.pooler.record(r, r.Step(x, 0)))
	return h.classifier.record(r, r.Dropout(pooled, m.dropout))
}
