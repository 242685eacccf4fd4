package tokenizer

import (
	"slices"
)

// pairMerger is SentencePiece's byte pair encoding: of all neighbours whose texts together are a piece, those with the greatest score are
// merged first, the leftmost of equals. Pieces that are unused take part and are taken apart again in the end.
type pairMerger struct {
	order        map[string]ranked // by text, of the pieces that can be merged
	bytes        [256]int32
	byteFallback bool
}

// ranked is a piece with its place in the order of scores: 0 is the greatest, and equal scores have equal places.
type ranked struct {
	place  uint32
	id     int32
	unused bool
}

func newPairMerger(m *sentencePiece, scores []float64, byteFallback bool) *pairMerger {
	p := &pairMerger{order: map[string]ranked{}, byteFallback: byteFallback}
	distinct := sortedScores(scores)
	for id, kind := range m.types {
		switch kind {
		case normalPiece, userDefinedPiece, unusedPiece:
			p.order[m.tokens[id]] = ranked{distinct[scores[id]], int32(id), kind == unusedPiece}
		case bytePiece:
			b, _ := byteToken(m.tokens[id])
			p.bytes[b] = int32(id)
		}
	}
	return p
}

// part is a symbol of a text: text[from:from+length].
type part struct {
	from, length int32
	prev, next   int32
	frozen       bool // a user-defined piece, which is never merged
}

// tokenize appends a text's tokens.
func (p *pairMerger) tokenize(m *sentencePiece, w *work, text []byte) {
	var parts []part
	for at := 0; at < len(text); {
		n, frozen := runeLen(text[at]), false
		if m.userDefined != nil {
			if _, length := m.userDefined.longest(text[at:]); length > 0 {
				n, frozen = length, true
			}
		}
		i := int32(len(parts))
		parts = append(parts, part{int32(at), int32(n), i - 1, i + 1, frozen})
		at += n
	}
	parts[len(parts)-1].next = -1
	heap := &w.symbols
	heap.heap = heap.heap[:0]
	splits := map[string]int32{} // of unused pieces: the length of the first part when they were merged
	offer := func(left int32) {
		if left < 0 || parts[left].next < 0 || parts[left].frozen || parts[parts[left].next].frozen {
			return
		}
		both := parts[left].length + parts[parts[left].next].length
		joined := text[parts[left].from : parts[left].from+both]
		if r, ok := p.order[string(joined)]; ok {
			heap.push(candidate{uint64(r.place)<<32 | uint64(uint32(left)), both})
			if r.unused {
				splits[string(joined)] = parts[left].length
			}
		}
	}
	for i := range parts {
		offer(int32(i))
	}
	for len(heap.heap) > 0 {
		top := heap.pop()
		left := &parts[uint32(top.order)]
		if left.length == 0 || left.next < 0 || left.length+parts[left.next].length != top.id {
			continue // one of the two has been merged with another since
		}
		right := &parts[left.next]
		left.length, left.next = top.id, right.next
		right.length = 0
		if left.next >= 0 {
			parts[left.next].prev = int32(uint32(top.order))
		}
		offer(left.prev)
		offer(int32(uint32(top.order)))
	}
	before := len(w.tokens)
	for i := int32(0); i >= 0; i = parts[i].next {
		p.append(m, w, text, parts[i].from, parts[i].length, splits, before)
	}
}

// append appends the tokens of text[from:from+length], which has been merged.
func (p *pairMerger) append(m *sentencePiece, w *work, text []byte, from, length int32, splits map[string]int32, before int) {
	piece := text[from : from+length]
	r, ok := p.order[string(piece)]
	if first, merged := splits[string(piece)]; ok && r.unused && merged {
		p.append(m, w, text, from, first, splits, before)
		p.append(m, w, text, from+first, length-first, splits, before)
		return
	}
	if ok {
		w.tokens = append(w.tokens, token{id: r.id, from: from, to: from + length})
		return
	}
	if p.byteFallback {
		for i, b := range piece {
			t := token{id: p.bytes[b], from: from, to: from}
			if first, last := characterAround(piece, i); i == last-1 {
				t.from, t.to = from+int32(first), from+int32(last)
			}
			w.tokens = append(w.tokens, t)
		}
		return
	}
	if n := len(w.tokens); n > before && w.tokens[n-1].id == m.unknown {
		w.tokens[n-1].to = from + length
		return
	}
	w.tokens = append(w.tokens, token{id: m.unknown, from: from, to: from + length, surface: true})
}

// sortedScores numbers the distinct scores, the greatest first.
func sortedScores(scores []float64) map[float64]uint32 {
	places := map[float64]uint32{}
	sorted := slices.Clone(scores)
	slices.Sort(sorted)
	for i := len(sorted) - 1; i >= 0; i-- {
		if _, known := places[sorted[i]]; !known {
			places[sorted[i]] = uint32(len(places))
		}
	}
	return places
}
