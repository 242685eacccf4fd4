package tokenizer

import (
	"fmt"
	"unicode"
	"unicode/utf8"
)

// postProcessor completes the encodings of one text or two by special tokens.
type postProcessor interface {
	// process returns what is joined to the result. special is whether special tokens are wanted; details whether tokens and offsets are.
	process(parts []*Encoding, special, details bool) []*Encoding
	// added is how many special tokens it adds.
	added(pair bool) int
}

type postProcessors []postProcessor

func (all postProcessors) process(parts []*Encoding, special, details bool) []*Encoding {
	for _, p := range all {
		parts = p.process(parts, special, details)
	}
	return parts
}

func (all postProcessors) added(pair bool) int {
	n := 0
	for _, p := range all {
		n += p.added(pair)
	}
	return n
}

// trimmer takes the blanks at a token's ends out of its offsets.
type trimmer struct{ prefixSpace bool }

func (trimmer) added(bool) int { return 0 }

func (t trimmer) process(parts []*Encoding, _, details bool) []*Encoding {
	if !details {
		return parts
	}
	isBlank := func(r rune) bool { return r == runeOfByte[' '] || unicode.IsSpace(r) }
	for _, e := range parts {
		for i, text := range e.Tokens {
			o := &e.Offsets[i]
			leading, trailing := 0, 0
			for _, r := range text {
				if !isBlank(r) {
					break
				}
				leading++
			}
			for rest := text; rest != ""; trailing++ {
				r, n := utf8.DecodeLastRuneInString(rest)
				if !isBlank(r) {
					break
				}
				rest = rest[:len(rest)-n]
			}
			if leading == 1 && t.prefixSpace && (i == 0 || o[0] == 0) {
				leading = 0 // the space was added, so the offsets do not have it
			}
			o[0] = min(o[0]+leading, o[1])
			if trailing > 0 && o[1] >= trailing {
				o[1] = max(o[1]-trailing, o[0])
			}
		}
	}
	return parts
}

// slot is a part of a template: a text (0 or 1), or special tokens where text is negative.
type slot struct {
	text   int
	kind   int32
	ids    []int32
	tokens []string
}

// Padding is the token that the tokenizer's settings pad with; false where they do not pad.
func (t *Tokenizer) Padding() (id int32, ok bool) {
	if t.pad == nil {
		return 0, false
	}
	return t.pad.id, true
}

// template puts special tokens around one text or two.
type template struct {
	single, pair []slot
	// joined says that without special tokens the texts keep their own types, as in BERT's processing.
	joined bool
}

func (t *template) slots(pair bool) []slot {
	if pair {
		return t.pair
	}
	return t.single
}

func (t *template) added(pair bool) int {
	n := 0
	for _, s := range t.slots(pair) {
		n += len(s.ids)
	}
	return n
}

func (t *template) process(parts []*Encoding, special, details bool) []*Encoding {
	if !special && t.joined {
		return parts
	}
	var out []*Encoding
	for _, s := range t.slots(len(parts) > 1) {
		switch {
		case s.text >= 0:
			parts[s.text].setType(s.kind)
			out = append(out, parts[s.text])
		case special:
			e := &Encoding{}
			for i, id := range s.ids {
				e.append(id, s.kind, s.tokens[i], [2]int{}, true, true, details)
			}
			out = append(out, e)
		}
	}
	return out
}

// Truncation shortens encodings.
type truncation struct {
	length   int
	strategy string // longest_first, only_first, only_second
	left     bool   // take tokens away at the beginning
}

// shorten takes tokens off one or two encodings so that no more than most are left.
func (t *truncation) shorten(parts []*Encoding, most int) error {
	total := 0
	for _, e := range parts {
		total += len(e.IDs)
	}
	if total <= most {
		return nil
	}
	keep := make([]int, len(parts))
	for i, e := range parts {
		keep[i] = len(e.IDs)
	}
	switch {
	case t.strategy == "longest_first" && len(parts) == 2:
		keep[0], keep[1] = shares(keep[0], keep[1], most)
	case t.strategy == "only_second" && len(parts) < 2:
		return fmt.Errorf("truncation takes from the second text (only_second), and there is only one")
	default:
		which := 0
		if t.strategy == "only_second" {
			which = 1
		}
		if keep[which] -= total - most; keep[which] < 0 || keep[which] == 0 && t.strategy != "longest_first" {
			return fmt.Errorf("truncation to %d tokens would take more than all of the text that %s names", t.length, t.strategy)
		}
	}
	for i, e := range parts {
		if t.left {
			e.cut(len(e.IDs)-keep[i], len(e.IDs))
		} else {
			e.cut(0, keep[i])
		}
	}
	return nil
}

// shares are the lengths to which two texts of a and b tokens are cut so that they have most together: the longer one loses first.
func shares(a, b, most int) (int, int) {
	if a > b {
		b, a = shares(b, a, most)
		return a, b
	}
	if a > most {
		b = a
	} else {
		b = max(a, most-a)
	}
	if a+b > most {
		a = most / 2
		b = a + most%2
	}
	return a, b
}

// padding lengthens encodings.
type padding struct {
	length   int // 0: to the longest of a batch
	multiple int // the length is rounded up to a multiple of it; 0: it is not
	left     bool
	id       int32
	kind     int32
	token    string
}

// fill pads encodings to one length.
func (p *padding) fill(batch []*Encoding, details bool) {
	length := p.length
	if length == 0 {
		for _, e := range batch {
			length = max(length, len(e.IDs))
		}
	}
	if p.multiple > 0 && length%p.multiple > 0 {
		length += p.multiple - length%p.multiple
	}
	for _, e := range batch {
		missing := length - len(e.IDs)
		if missing <= 0 {
			continue
		}
		pad := &Encoding{}
		for range missing {
			pad.append(p.id, p.kind, p.token, [2]int{}, true, false, details)
		}
		if p.left {
			pad.join(e)
			*e = *pad
		} else {
			e.join(pad)
		}
	}
}
