package dataset

import (
	"fmt"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// spanLengths is how many tokens of text make an input of at most inputs tokens, and how many tokens its target has (T5's
// random_spans_helper): the text's tokens without noise, a sentinel for each span of noise, and the end; the noise, its sentinels and the end.
func spanLengths(inputs int, share, mean float64) (tokens, targets int) {
	of := func(tokens int) (input, target int) {
		noise := roundEven(float64(tokens) * share)
		spans := roundEven(float64(noise) / mean)
		return tokens - noise + spans + 1, noise + spans + 1
	}
	tokens = inputs
	for {
		if input, _ := of(tokens + 1); input > inputs {
			break
		}
		tokens++
	}
	if _, targets = of(tokens); share == 0.5 && targets > inputs { // half and half are of one length
		tokens, targets = tokens-1, targets-1
	}
	return tokens, targets
}

// roundEven rounds a number that is not negative; halves to the even neighbour, as Python does.
func roundEven(x float64) int {
	n := int(x)
	if rest := x - float64(n); rest > 0.5 || rest == 0.5 && n%2 == 1 {
		n++
	}
	return n
}

// spans is the transform that makes of a stretch of tokens what T5 is pre-trained on (Raffel et al., 2020, 3.1.4): an input in which each
// span of noise is a sentinel, and a target of the sentinels, each followed by its span. A stretch begins with a span that stays and ends with noise;
// where the spans begin is drawn such that all divisions into as many spans are equally likely.
type spans struct {
	tokens, noise, count int // of a stretch: its length, the tokens of noise, its spans
	inputs, targets      int // lengths
	sentinels            []int32
	start, end           int32
}

// newSpans is the transform that a job wants. The error names a sentinel that the tokenizer lacks.
func newSpans(c config.Data, v *Vocabulary) (*spans, error) {
	if v.tokenizer == nil {
		return nil, config.KeyErrorf("data.corrupt", "it hides spans of a tokenizer's tokens: name one by data.tokenizer")
	}
	l, err := newPieces(v.tokenizer)
	if err != nil {
		return nil, config.KeyErrorf("data.tokenizer", "%w", err)
	}
	s := &spans{start: l.Start(), end: l.End()}
	s.tokens, s.targets = spanLengths(c.Context, c.Corrupt, c.Span)
	s.noise = roundEven(float64(s.tokens) * c.Corrupt)
	s.count = roundEven(float64(s.noise) / c.Span)
	s.inputs = s.tokens - s.noise + s.count + 1
	s.targets = s.noise + s.count + 1
	if s.count < 1 || s.count > s.tokens-s.noise || s.inputs != c.Context {
		return nil, config.KeyErrorf("data.corrupt", "inputs of %d tokens have no span of %g to hide at %g; raise data.context", c.Context, c.Span, c.Corrupt)
	}
	for k := range s.count {
		name := fmt.Sprintf("<extra_id_%d>", k)
		id, ok := v.tokenizer.ID(name)
		if !ok {
			return nil, config.KeyErrorf("data.tokenizer", "the tokenizer has no %s, and inputs of %d tokens take %d such sentinels; ringmaster tokenizer train makes them by --sentinels %d", name, c.Context, s.count, max(100, s.count))
		}
		s.sentinels = append(s.sentinels, id)
	}
	return s, nil
}

// Fields implements Transform.
func (s *spans) Fields(schema Schema) ([]string, []Field, error) {
	classes := schema[schema.Find(textField)].Classes
	field := func(name string, role Role, length int) Field {
		return Field{Name: name, Type: Int32, Role: role, Shape: []int{length}, Classes: classes, Start: s.start, End: s.end}
	}
	return []string{textField}, []Field{field(SourceTokens, Input, s.inputs), field(ShiftedTokens, Input, s.targets), field(TargetTokens, Target, s.targets)}, nil
}

// Apply implements Transform. An evaluation hides the same spans of a record each time.
func (s *spans) Apply(out, in []Value, draw Draw) {
	text, source, shifted, target := in[0].Ints, out[0].Ints, out[1].Ints, out[2].Ints
	key := draw.Always().Key(streamSpans)
	kept := segments{key.Derive(0), 0, s.tokens - s.noise - 1, s.count - 1}
	hidden := segments{key.Derive(1), 0, s.noise - 1, s.count - 1}
	s.divide(source, target, text, kept.next, hidden.next)
	shifted[0] = s.start
	copy(shifted[1:], target)
}

// divide writes a text's spans that stay to the source, and those that are hidden to the target.
func (s *spans) divide(source, target, text []int32, kept, hidden func() int) {
	for _, sentinel := range s.sentinels {
		n := copy(source, text[:kept()])
		source[n] = sentinel
		text, source = text[n:], source[n+1:]
		target[0] = sentinel
		n = copy(target[1:], text[:hidden()])
		text, target = text[n:], target[n+1:]
	}
	source[0], target[0] = s.end, s.end
}

// segments divides items into segments, none of them empty. Each division is as likely.
type segments struct {
	key    rng.Key
	at     uint64
	left   int // places at which a segment may begin
	starts int // segments that are still to begin
}

// next is the length of the next segment.
func (s *segments) next() int {
	for n := 1; ; n++ {
		if s.left == 0 {
			return n
		}
		begins := s.key.Below(s.at, uint64(s.left)) < uint64(s.starts)
		s.at++
		s.left--
		if begins {
			s.starts--
			return n
		}
	}
}
