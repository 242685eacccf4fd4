package tokenizer

import (
	"fmt"
	"math"
	"slices"
	"unicode/utf8"
)

// unknownPenalty is how much less likely than the least likely token an unknown character is, as a logarithm.
const unknownPenalty = 10

// unigram takes a text apart into the tokens whose logarithms of probabilities have the greatest sum (Kudo 2018), by Viterbi's
// algorithm.
type unigram struct {
	vocabulary
	scores       []float64 // by id
	unknown      int32     // negative: there is none, and a text that needs it is an error
	byteFallback bool
	bytes        [256]int32
	pieces       *trie
	unknownScore float64
	single       bool // sums are rounded to float32, as in SentencePiece
	whole        bool // the model sees whole texts, which are not worth remembering
}

// lattice is what Viterbi's algorithm needs: of every end in a text, the best path there.
type lattice struct {
	ends []pathEnd
	path []token
}

// pathEnd is the last token of the best path to an end: where it begins, -1 where there is no path yet; its id; and the path's score.
type pathEnd struct {
	score float64
	from  int32
	id    int32
}

// prepare fills the tables when vocabulary and settings are known.
func (m *unigram) prepare() {
	if m.pieces == nil {
		m.pieces = newTrie(m.tokens, m.known, "")
		m.unknownScore = slices.Min(append(m.scores, math.Inf(1))) - unknownPenalty
	}
	for i := range m.bytes {
		m.bytes[i] = -1
		if id, ok := m.id(fmt.Sprintf("<0x%02X>", i)); ok {
			m.bytes[i] = id
		}
	}
}

func (m *unigram) tokenize(w *work, text []byte) error {
	if !m.whole && w.recall(text) {
		return nil
	}
	if !m.viterbi(&w.lattice, text) {
		return errNoUnknown
	}
	before := len(w.tokens)
	path := w.lattice.path
	for i := 0; i < len(path); {
		t := path[i]
		i++
		if t.id == m.unknown {
			for i < len(path) && path[i].id == m.unknown {
				t.to = path[i].to
				i++
			}
			w.tokens = m.appendUnknown(w.tokens, text, t)
			continue
		}
		w.tokens = append(w.tokens, t)
	}
	if !m.whole {
		w.remember(text, w.tokens[before:])
	}
	return nil
}

// appendUnknown appends what a stretch of unknown characters becomes: a token that is the stretch after all, its bytes, or the unknown
// token.
func (m *unigram) appendUnknown(to []token, text []byte, t token) []token {
	part := text[t.from:t.to]
	if id, ok := m.ids[string(part)]; ok && !m.single {
		return append(to, token{id: id, from: t.from, to: t.to})
	}
	if m.byteFallback && m.allBytes(part) {
		for i, b := range part {
			from, end := t.from, t.to
			if m.single { // SentencePiece gives the text to the last byte of a character
				first, last := characterAround(part, i)
				from, end = t.from+int32(first), t.from+int32(first)
				if i == last-1 {
					end = t.from + int32(last)
				}
			}
			to = append(to, token{id: m.bytes[b], from: from, to: end})
		}
		return to
	}
	t.surface = true
	return append(to, t)
}

func (m *unigram) allBytes(part []byte) bool {
	for _, b := range part {
		if m.bytes[b] < 0 {
			return false
		}
	}
	return true
}

// characterAround is where the character begins and ends that has a byte of a text.
func characterAround(text []byte, at int) (int, int) {
	from := at
	for !utf8.RuneStart(text[from]) {
		from--
	}
	return from, from + runeLen(text[from])
}

// viterbi sets l.path to the best path through a text. It reports whether there is one.
func (m *unigram) viterbi(l *lattice, text []byte) bool {
	l.ends = l.ends[:0]
	for range len(text) + 1 {
		l.ends = append(l.ends, pathEnd{from: -1})
	}
	for from := 0; from < len(text); {
		before := l.ends[from].score
		n := runeLen(text[from])
		known := false // whether some token is just the character here
		node := int32(0)
		for i := from; i < len(text); i++ {
			if node = m.pieces.step(node, text[i]); node < 0 {
				break
			}
			if id := m.pieces.value[node]; id >= 0 {
				m.reach(&l.ends[i+1], m.scores[id]+before, from, id)
				known = known || i+1 == from+n
			}
		}
		if !known {
			if m.unknown < 0 {
				return false
			}
			m.reach(&l.ends[from+n], m.unknownScore+before, from, m.unknown)
		}
		from += n
	}
	l.path = l.path[:0]
	for to := int32(len(text)); to > 0; {
		end := l.ends[to]
		l.path = append(l.path, token{id: end.id, from: end.from, to: to})
		to = end.from
	}
	slices.Reverse(l.path)
	return true
}

// reach notes a path to an end where it is better than the one so far.
func (m *unigram) reach(end *pathEnd, score float64, from int, id int32) {
	if score = m.rounded(score); end.from < 0 || score > end.score {
		*end = pathEnd{score, int32(from), id}
	}
}

func (m *unigram) rounded(score float64) float64 {
	if m.single {
		return float64(float32(score))
	}
	return score
}
