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
	guess   guess
	asked   []int32 // tokens that the decoder is asked for: those that it has not got, and the draft
	draft   int     // tokens of the draft
}

func newLine(d *model.Decoder, o Options, slot int, prompt []int32, most int, number uint64, emit func(token int32) bool) *line {
	d.Clear(slot)
	l := &line{decoder: d, options: o, slot: slot, prompt: len(prompt), most: most, emit: emit, sampler: newSampler(d.Vocabulary(), o), key: rng.NewKey(o.Seed)}
	if number > 0 {
		l.key = l.key.Derive(number)
	}
	l.asked = make([]int32, 0, len(prompt)+o.Draft)
	l.text = append(make([]int32, 0, len(prompt)+min(most, 1<<16)), prompt...)
	return l
}

func (l *line) additions(to []model.Addition, room int) []model.Addition {
	a := next(l.decoder, l.slot, l.slot, l.text)
	l.asked = append(l.asked[:0], a.Tokens...)
	room = min(room, l.options.Draft, l.most-(len(l.text)-l.prompt)-1, l.decoder.Context()-len(l.text))
	l.asked = l.guess.draft(l.asked, l.text, room)
	l.draft = len(l.asked) - len(a.Tokens)
	a.Tokens, a.Last = l.asked, 1+l.draft
	return append(to, a)
}

// take takes tokens for as long as they are those of the draft, and one more: after each of them the logits are as if it had come alone.
func (l *line) take(logits []float32) (done bool, err error) {
	if !model.Finite(logits) {
		return true, model.ErrNotFinite
	}
	width, draft := l.decoder.Vocabulary(), l.asked[len(l.asked)-l.draft:]
	for i := 0; ; i++ {
		token, done := l.write(logits[i*width:][:width])
		if done {
			return true, nil
		}
		if i == len(draft) || token != draft[i] {
			l.guess.learn(len(draft), i)
			l.decoder.Truncate(l.slot, len(l.text)-1)
			return false, nil
		}
	}
}

// write writes the next token.
func (l *line) write(logits []float32) (token int32, done bool) {
	if among := l.options.Among; among.Len() > 0 {
		for i := range logits {
			if i < among.Begin || i >= among.End {
				logits[i] = float32(math.Inf(-1))
			}
		}
	}
	token = l.sampler.choose(logits, l.text, l.key.Float32(uint64(len(l.text)-l.prompt)))
	if slices.Contains(l.options.End, token) {
		l.ended = true
		return token, true
	}
	l.text = append(l.text, token)
	written := l.text[l.prompt:]
	l.ended = l.options.Stop != nil && l.options.Stop(written)
	return token, !l.emit(token) || l.ended || len(written) == l.most
}

func (l *line) texts() []Text { return []Text{{Tokens: l.text[l.prompt:], Ended: l.ended}} }
