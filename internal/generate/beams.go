package generate

import (
	"slices"

	"ringmaster/internal/elementary"
	"ringmaster/internal/model"
	"ringmaster/internal/tensor/kernel"
)

// unlikely is what transformers adds to a score that must not be chosen.
const unlikely = -1e9

// beams is a beam search as transformers does it (5.x): it keeps the texts whose tokens are the likeliest together, and those that have ended
// with the best scores.
type beams struct {
	decoder  *model.Decoder
	options  Options
	slot     int // the first of as many as there are beams; the source is in it too
	prompt   int
	most     int // tokens to write
	running  []beam
	ended    []beam // the best first
	improves bool   // a running beam may become better than those that have ended
	sampler  *sampler

	weights    []float32
	candidates []continued
	grown      []beam
	order      []int
	place      []int // by beam: the first of order that continues it, -1 for none
}

// beam is a text being written, or one that has ended.
type beam struct {
	text    []int32 // with the prompt
	score   float32
	ended   bool
	stopped bool // by a token or a Stop, not by its length
	slot    int
}

// continued is a beam with one more token.
type continued struct {
	score float32
	beam  int
	token int32
	ends  bool
	stops bool
}

func newBeams(d *model.Decoder, o Options, slot int, prompt []int32, most int) *beams {
	b := &beams{decoder: d, options: o, slot: slot, prompt: len(prompt), most: most, improves: true, sampler: newSampler(d.Vocabulary(), Options{RepetitionPenalty: o.RepetitionPenalty})}
	b.weights = make([]float32, d.Vocabulary())
	b.grown, b.place = make([]beam, o.Beams), make([]int, o.Beams)
	for i := range o.Beams {
		d.Clear(slot + i)
		r := beam{text: slices.Clone(prompt), slot: slot + i}
		if i > 0 {
			r.score = unlikely // all begin alike
		}
		b.running = append(b.running, r)
		b.ended = append(b.ended, beam{text: slices.Clone(prompt), score: unlikely})
	}
	return b
}

// additions are the running beams; before the first token they are one.
func (b *beams) additions(to []model.Addition, _ int) []model.Addition {
	if b.written() == 0 {
		return append(to, next(b.decoder, b.slot, b.slot, b.running[0].text))
	}
	for i := range b.running {
		to = append(to, next(b.decoder, b.running[i].slot, b.slot, b.running[i].text))
	}
	return to
}

// written is how many tokens the running beams have.
func (b *beams) written() int { return len(b.running[0].text) - b.prompt }

func (b *beams) take(logits []float32) (done bool, err error) {
	if !model.Finite(logits) {
		return true, model.ErrNotFinite
	}
	if b.written() == 0 {
		for _, r := range b.running[1:] {
			b.decoder.Copy(r.slot, b.slot)
		}
	}
	b.rank(logits)
	length := b.written() + 1
	b.finish(length)
	b.proceed()
	return b.over(length), nil
}

// rank finds the likeliest continuations of all beams: twice as many as there are beams, or more where several tokens end a text.
func (b *beams) rank(logits []float32) {
	count, width := max(2, 1+len(b.options.End))*len(b.running), b.decoder.Vocabulary()
	b.candidates = b.candidates[:0]
	for i, r := range b.running {
		scores := logits
		if len(logits) > width { // the first token is the same for all
			scores = logits[i*width:][:width]
		} else if i > 0 {
			break
		}
		b.logarithms(scores)
		b.sampler.penalize(scores, r.text)
		for token, s := range scores {
			c := continued{score: s + r.score, beam: i, token: int32(token)}
			if len(b.candidates) == count && !(c.score > b.candidates[count-1].score) {
				continue
			}
			at := len(b.candidates)
			for at > 0 && c.score > b.candidates[at-1].score { // of equal ones the first stays first
				at--
			}
			if len(b.candidates) == count {
				b.candidates = b.candidates[:count-1]
			}
			b.candidates = slices.Insert(b.candidates, at, c)
		}
	}
	for i := range b.candidates {
		c := &b.candidates[i]
		c.stops = slices.Contains(b.options.End, c.token)
		if !c.stops && b.options.Stop != nil {
			c.stops = b.options.Stop(append(b.running[c.beam].text, c.token)[b.prompt:])
		}
		c.ends = c.stops || b.written()+1 == b.most
	}
}

// logarithms makes the logarithms of the probabilities of logits.
func (b *beams) logarithms(x []float32) {
	most := kernel.Max(x)
	sum := [1]float32{kernel.ExpScaleShiftSum(b.weights, x, 1, -most)}
	kernel.Log(sum[:], sum[:])
	for i, v := range x {
		x[i] = v - most - sum[0]
	}
}

// power is a length to the power of an exponent.
func power(length int, exponent float64) float32 {
	switch exponent {
	case 0:
		return 1
	case 1:
		return float32(length)
	}
	return float32(elementary.Exp(exponent * elementary.Log(float64(length))))
}

// finish takes those of the best continuations that end here among the texts that have ended, of which it keeps the best.
func (b *beams) finish(length int) {
	count := len(b.running)
	full := b.options.Early == EarlyFull && !slices.ContainsFunc(b.ended, func(e beam) bool { return !e.ended })
	if full || !b.improves {
		return
	}
	divisor := power(length, b.options.LengthPenalty)
	for _, c := range b.candidates[:min(count, len(b.candidates))] {
		score := c.score / divisor
		if !c.ends || !(score > b.ended[count-1].score) {
			continue
		}
		e := b.ended[count-1] // whose memory it takes
		e.text = append(append(e.text[:0], b.running[c.beam].text...), c.token)
		e.score, e.ended, e.stopped = score, true, c.stops
		if slices.Contains(b.options.End, c.token) {
			e.text = e.text[:len(e.text)-1]
		}
		at := count - 1
		for at > 0 && score > b.ended[at-1].score {
			b.ended[at] = b.ended[at-1]
			at--
		}
		b.ended[at] = e
	}
}

// proceed makes the best continuations that have not ended the running beams. A beam's first continuation stays in its slot; others are copied
// into those that are left.
func (b *beams) proceed() {
	b.order = b.order[:0]
	for _, ending := range []bool{false, true} { // what has ended goes on only where nothing else is left
		for i, c := range b.candidates {
			if c.ends == ending && len(b.order) < len(b.running) {
				b.order = append(b.order, i)
			}
		}
	}
	for from := range b.place {
		b.place[from] = slices.IndexFunc(b.order, func(at int) bool { return b.candidates[at].beam == from })
	}
	left := 0
	for i, at := range b.order { // copies before any text grows
		c := b.candidates[at]
		from := b.running[c.beam]
		if b.place[c.beam] != i {
			for b.place[left] >= 0 {
				left++
			}
			to := b.running[left]
			left++
			b.decoder.Copy(to.slot, from.slot)
			to.text = append(to.text[:0], from.text...)
			from = to
		}
		if from.score = c.score; c.ends {
			from.score += unlikely
		}
		b.grown[i] = from
	}
	for i, at := range b.order {
		b.grown[i].text = append(b.grown[i].text, b.candidates[at].token)
	}
	b.running, b.grown = b.grown, b.running
}

// over reports whether the search has ended after a token that made the texts this long.
func (b *beams) over(length int) bool {
	expected := length
	if b.options.Early == EarlyNever && b.options.LengthPenalty > 0 {
		expected = b.most
	}
	best := b.running[0].score / power(expected, b.options.LengthPenalty)
	worst, all, hopeless := b.ended[len(b.ended)-1].score, true, true
	for _, e := range b.ended {
		all = all && e.ended
		if bound := worst; !e.ended {
			hopeless = hopeless && !(best > unlikely)
		} else {
			hopeless = hopeless && !(best > bound)
		}
	}
	b.improves = b.improves && !hopeless
	stuck := !slices.ContainsFunc(b.candidates, func(c continued) bool { return !c.ends })
	return !b.improves || all && b.options.Early == EarlyFull || stuck
}

func (b *beams) texts() []Text {
	var out []Text
	for _, e := range b.ended[:max(b.options.Return, 1)] {
		out = append(out, Text{Tokens: e.text[b.prompt:], Ended: e.stopped, Score: e.score})
	}
	return out
}
