package generate

import (
	"math"
	"slices"

	"ringmaster/internal/model"
	"ringmaster/internal/rng"
)

// line writes one text, a token after the other.
type line struct {
	decoder *model.Decoder
	options Options
	slot    int
	text    []int32 // with the prompt
	prompt  int     // tokens of it
	most    int     // tokens to write
	sampler *sampler
	key     rng.Key
	emit    func(token int32) bool
	ended   bool
}

func newLine(d *model.Decoder, o Options, slot int, prompt []int32, most int, number uint64, emit func(token int32) bool) *line {
	d.Clear(slot)
	l := &line{decoder: d, options: o, slot: slot, prompt: len(prompt), most: most, emit: emit, sampler: newSampler(d.Vocabulary(), o), key: rng.NewKey(o.Seed)}
	if number > 0 {
		l.key = l.key.Derive(number)
	}
	l.text = append(make([]int32, 0, len(prompt)+min(most, 1<<16)), prompt...)
	return l
}

func (l *line) additions(to []model.Addition) []model.Addition {
	return append(to, next(l.decoder, l.slot, l.slot, l.text))
}

func (l *line) take(logits []float32) (done bool, err error) {
	if !model.Finite(logits) {
		return true, model.ErrNotFinite
	}
	if among := l.options.Among; among.Len() > 0 {
		for i := range logits {
			if i < among.Begin || i >= among.End {
				logits[i] = float32(math.Inf(-1))
			}
		}
	}
	token := l.sampler.choose(logits, l.text, l.key.Float32(uint64(len(l.text)-l.prompt)))
	if slices.Contains(l.options.End, token) {
		l.ended = true
		return true, nil
	}
	l.text = append(l.text, token)
	written := l.text[l.prompt:]
	l.ended = l.options.Stop != nil && l.options.Stop(written)
	return !l.emit(token) || l.ended || len(written) == l.most, nil
}

func (l *line) texts() []Text { return []Text{{Tokens: l.text[l.prompt:], Ended: l.ended}} }
