package model

import (
	"errors"
	"fmt"
	"slices"

	"ringmaster/internal/dataset"
	"ringmaster/internal/tensor"
	"ringmaster/internal/tensor/kernel"
)

// ErrNotFinite means that a model answers with NaN or infinite values.
var ErrNotFinite = errors.New("the model's output is not a finite number: its parameters are broken, or too large; take an earlier checkpoint, or train again with a lower train.optimizer.lr")

// Decoder computes what a model says of the token that comes next in texts that grow token by token. What it has computed for tokens before
// it keeps, so that a token costs the same wherever it is. The logits have the bits that the model gives for whole texts, whatever other texts
// are computed at the same time and however many threads there are. A Decoder is for one goroutine at a time.
//
// Texts are in slots, numbered from 0. A model that answers one text by another reads that, the source, into a slot of its own first; its text
// begins with Start.
type Decoder struct {
	model   *Model
	team    *kernel.Team
	reads   reads
	slots   []int // tokens in each
	logits  []float32
	places  []tensor.Place
	tokens  []int32
	wanted  []int
	context tensor.Context
	lengths []int32 // of sources
	rows    *rows   // nil: whole texts are computed again and again
	whole   *wholeTexts
}

// reads says which fields of the data a model that writes texts reads.
type reads struct {
	text, source       string // fields; source is "" where there is none
	context, sourceMax int    // tokens
	vocabulary         int    // of the logits
	start              int32  // what a text begins with that answers a source
}

// DecoderOptions bound what a Decoder keeps.
type DecoderOptions struct {
	Slots     int  // texts, and sources, at a time
	Length    int  // tokens of a text; at most the model's context, and 0 for that
	Source    int  // tokens of a source, likewise
	Recompute bool // keeps nothing, and computes whole texts
}

// rowsAtOnce is how many tokens are computed together while a text is read.
const rowsAtOnce = 64

// writes finds what the model reads, if it writes texts.
func (m *Model) writes() (reads, error) {
	source, shifted := m.schema.Find(dataset.SourceTokens), m.schema.Find(dataset.ShiftedTokens)
	if source >= 0 && shifted >= 0 {
		s, t := &m.schema[source], &m.schema[shifted]
		return reads{t.Name, s.Name, t.Width(), s.Width(), m.loss.Width(), t.Start}, nil
	}
	spec, err := specOf(m.schema, m.loss)
	switch {
	case err != nil || !spec.Tokens || spec.Rows != spec.Context:
		return reads{}, errors.New("the model reads no text, so it cannot continue one")
	case spec.Hidden:
		return reads{}, errors.New("the model guesses hidden tokens, so it cannot continue a text")
	}
	return reads{text: spec.Field, context: spec.Context, vocabulary: spec.Classes}, nil
}

// Writes is nil if the model writes texts, and else says why it does not.
func (m *Model) Writes() error {
	_, err := m.writes()
	return err
}

// Context is how many tokens a text has at most that the model continues; 0 of others.
func (m *Model) Context() int {
	reads, err := m.writes()
	if err != nil {
		return 0
	}
	return reads.context
}

// NewDecoder makes a decoder that computes with the team's threads. The parameters must stay as they are. The error says why the model writes no texts.
func (m *Model) NewDecoder(team *kernel.Team, params, stats []float32, o DecoderOptions) (*Decoder, error) {
	reads, err := m.writes()
	if err != nil {
		return nil, err
	}
	if o.Length > 0 {
		reads.context = min(reads.context, o.Length)
	}
	if o.Source > 0 {
		reads.sourceMax = min(reads.sourceMax, o.Source)
	}
	d := &Decoder{model: m, team: team, reads: reads, slots: make([]int, o.Slots), lengths: make([]int32, o.Slots)}
	if !o.Recompute {
		d.rows = m.newRows(reads, params, o.Slots)
	}
	if d.rows == nil {
		d.whole = newWholeTexts(m, team, params, stats, o.Slots, reads)
	}
	d.context = tensor.Context{Team: team, Lengths: d.lengths}
	return d, nil
}

// Context is how many tokens a text may have.
func (d *Decoder) Context() int { return d.reads.context }

// SourceContext is how many tokens a source may have; 0 where the model reads none.
func (d *Decoder) SourceContext() int { return d.reads.sourceMax }

// Start is the token that a text begins with which answers a source.
func (d *Decoder) Start() int32 { return d.reads.start }

// Vocabulary is how many tokens there are.
func (d *Decoder) Vocabulary() int { return d.reads.vocabulary }

// Len is how many tokens the text in a slot has.
func (d *Decoder) Len(slot int) int { return d.slots[slot] }

// Read reads a source into its slot. The error says what is wrong with it.
func (d *Decoder) Read(source int, tokens []int32) error {
	if err := d.Check(tokens); err != nil {
		return err
	}
	d.lengths[source] = int32(len(tokens))
	if d.rows != nil {
		d.rows.read(d, source, tokens)
	} else {
		d.whole.sources[source] = append(d.whole.sources[source][:0], tokens...)
	}
	return nil
}

// Check says what is wrong with a prompt: a source, where the model reads one, else how a text begins.
func (d *Decoder) Check(tokens []int32) error {
	most, vocabulary, end := d.reads.context, d.reads.vocabulary, ""
	if d.reads.source != "" {
		most, vocabulary, end = d.reads.sourceMax, d.model.schema[d.model.schema.Find(d.reads.source)].Classes, " with its end"
	}
	if len(tokens) == 0 || len(tokens) > most {
		return fmt.Errorf("the text has %d tokens%s, where the model reads 1 to %d", len(tokens), end, most)
	}
	return d.check(tokens, vocabulary)
}

// check refuses tokens that are not in a vocabulary.
func (d *Decoder) check(tokens []int32, vocabulary int) error {
	for i, token := range tokens {
		if token < 0 || int(token) >= vocabulary {
			return fmt.Errorf("token %d of the prompt is %d, outside the vocabulary of %d", i, token, vocabulary)
		}
	}
	return nil
}

// Clear empties a slot.
func (d *Decoder) Clear(slot int) { d.slots[slot] = 0 }

// Truncate leaves the first tokens of the text in a slot, n of them at most.
func (d *Decoder) Truncate(slot, n int) { d.slots[slot] = min(d.slots[slot], n) }

// Copy makes the text of a slot that of another.
func (d *Decoder) Copy(to, from int) {
	if to == from {
		return
	}
	d.slots[to] = d.slots[from]
	if d.rows == nil {
		d.whole.texts[to] = append(d.whole.texts[to][:0], d.whole.texts[from]...)
		return
	}
	for _, s := range d.rows.texts {
		s.Copy(to, from, d.slots[from])
	}
}

// Addition is tokens that come next in the text of a slot, which answers the source in another.
type Addition struct {
	Slot, Source int
	Tokens       []int32
	Last         int // of the tokens: after each of these the logits are wanted; 0 is 1
}

// Wants is how many rows of logits an addition wants.
func (a *Addition) Wants() int { return max(a.Last, 1) }

// Append puts tokens at the ends of texts, at least one each, and computes what may come next: the logits, (additions x their Last, vocabulary),
// valid until the next call. The error says what is wrong with the tokens; nothing has been appended then.
func (d *Decoder) Append(additions ...Addition) ([]float32, error) {
	rows := 0
	for _, a := range additions {
		if err := d.check(a.Tokens, d.reads.vocabulary); err != nil {
			return nil, err
		}
		if n := d.slots[a.Slot] + len(a.Tokens); n > d.reads.context || len(a.Tokens) < a.Wants() {
			return nil, fmt.Errorf("%d tokens after %d, where the model reads %d to %d", len(a.Tokens), d.slots[a.Slot], a.Wants(), d.reads.context)
		}
		rows += a.Wants()
	}
	d.logits = slices.Grow(d.logits[:0], rows*d.reads.vocabulary)[:rows*d.reads.vocabulary]
	done := 0
	if d.rows == nil {
		for _, a := range additions {
			done += d.whole.append(d, a, d.logits[done:])
		}
		return d.logits, nil
	}
	for _, a := range additions {
		for i, token := range a.Tokens {
			d.places = append(d.places, tensor.Place{Slot: a.Slot, Position: d.slots[a.Slot], Source: a.Source})
			d.tokens = append(d.tokens, token)
			d.slots[a.Slot]++
			if i >= len(a.Tokens)-a.Wants() {
				d.wanted = append(d.wanted, len(d.places)-1)
			}
			if len(d.places) == rowsAtOnce {
				done += copy(d.logits[done:], d.run())
			}
		}
	}
	copy(d.logits[done:], d.run())
	return d.logits, nil
}

// run computes the rows that have been collected, and gives the logits of those that are wanted.
func (d *Decoder) run() []float32 {
	if len(d.places) == 0 {
		return nil
	}
	copy(d.rows.tokens, d.tokens)
	d.context.Places, d.context.Lengths = d.places, d.lengths
	logits := d.rows.program.Forward(&d.context, d.wanted)
	d.places, d.tokens, d.wanted = d.places[:0], d.tokens[:0], d.wanted[:0]
	return logits
}

// wholeTexts computes whole texts for each new token: what a model needs whose layers do not go position by position.
type wholeTexts struct {
	replica        *Replica
	params, stats  []float32
	texts, sources [][]int32
	batch          dataset.Batch
}

func newWholeTexts(m *Model, team *kernel.Team, params, stats []float32, slots int, r reads) *wholeTexts {
	w := &wholeTexts{replica: m.NewReplica(team), params: params, stats: stats, texts: make([][]int32, slots), sources: make([][]int32, slots)}
	for i := range slots {
		w.texts[i], w.sources[i] = make([]int32, 0, r.context), make([]int32, 0, r.sourceMax)
	}
	w.batch.Resize(1, m.schema)
	return w
}

// append writes the wanted rows of logits to the beginning of logits, and says how many values those are.
func (w *wholeTexts) append(d *Decoder, a Addition, logits []float32) int {
	w.texts[a.Slot] = append(w.texts[a.Slot][:d.slots[a.Slot]], a.Tokens...)
	d.slots[a.Slot] += len(a.Tokens)
	schema := d.model.schema
	if d.reads.source != "" {
		from := &w.batch.Columns[schema.Find(d.reads.source)]
		clear(from.Ints[copy(from.Ints, w.sources[a.Source]):])
		from.Lengths[0] = d.lengths[a.Source]
	}
	text := w.batch.Columns[schema.Find(d.reads.text)].Ints
	clear(text[copy(text, w.texts[a.Slot]):]) // what stands behind a place is not seen by it
	all, _, classes := w.replica.Predict(w.params, w.stats, &w.batch)
	end := d.slots[a.Slot]
	return copy(logits, all[(end-a.Wants())*classes:end*classes])
}

// Finite reports whether all logits are finite.
func Finite(x []float32) bool {
	return !slices.ContainsFunc(x, func(z float32) bool { return !finite(float64(z)) })
}
