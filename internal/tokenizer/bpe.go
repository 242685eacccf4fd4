package tokenizer

import (
	"fmt"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// bpe is byte pair encoding (Sennrich et al. 2016): the characters of a word are symbols, and the pair of neighbours whose merge was learned
// first is merged, the leftmost of equals, until there is none.
type bpe struct {
	vocabulary
	merges       map[uint64]merge // by pairKey
	unknown      int32            // negative: characters without a token are dropped
	fuseUnknown  bool
	byteFallback bool
	ignoreMerges bool
	prefix       string // before symbols that do not begin a word, in the vocabulary
	suffix       string // after the symbol that ends a word
	bytes        [256]int32
	runes        [0x250]int32 // ids of the first characters, where there is neither prefix nor suffix; -1 for none
}

// merge says which token two become, and how early that was learned.
type merge struct{ rank, id int32 }

func pairKey(left, right int32) uint64 { return uint64(uint32(left))<<32 | uint64(uint32(right)) }

// addMerge makes the pair of two tokens one, by their texts. A pair that is there twice has its later rank, as in the tokenizers library.
func (b *bpe) addMerge(left, right string, rank int) error {
	l, ok := b.id(left)
	if !ok {
		return fmt.Errorf("merge %d joins %s, which is not in the vocabulary", rank+1, printable.Typed(left))
	}
	r, ok := b.id(right)
	if !ok {
		return fmt.Errorf("merge %d joins %s, which is not in the vocabulary", rank+1, printable.Typed(right))
	}
	if len(right) < len(b.prefix) || left == "" || right == "" {
		return fmt.Errorf("merge %d joins %s and %s, which adds nothing", rank+1, printable.Typed(left), printable.Typed(right))
	}
	both := left + right[len(b.prefix):]
	id, ok := b.id(both)
	if !ok {
		return fmt.Errorf("merge %d of %s and %s makes %s, which is not in the vocabulary", rank+1, printable.Typed(left), printable.Typed(right), printable.Typed(both))
	}
	b.merges[pairKey(l, r)] = merge{int32(rank), id}
	return nil
}

// prepare fills the tables that make tokenizing quick, when vocabulary and settings are known.
func (b *bpe) prepare() {
	find := func(token string) int32 {
		if id, ok := b.id(token); ok {
			return id
		}
		return -1
	}
	for i := range b.bytes {
		b.bytes[i] = find(fmt.Sprintf("<0x%02X>", i))
	}
	for r := range b.runes {
		b.runes[r] = find(string(rune(r)))
	}
}

// symbols is what merging a word needs: a list of symbols that are linked, and a heap of the pairs that can be merged.
type symbols struct {
	list []symbol
	heap []candidate
}

// symbol is a token of the word as far as it is merged. length is its bytes of the word, 0 where it was merged into another.
type symbol struct {
	id         int32
	length     int32
	prev, next int32
}

// candidate is a pair that can be merged: order is the merge's rank and the place of its first symbol, id what it becomes.
type candidate struct {
	order uint64
	id    int32
}

func (b *bpe) tokenize(w *work, text []byte) error {
	if w.recall(text) {
		return nil
	}
	before := len(w.tokens)
	if id, ok := b.ids[string(text)]; ok && b.ignoreMerges {
		w.tokens = append(w.tokens, token{id: id, to: int32(len(text))})
	} else {
		w.symbols.list, w.symbols.heap = w.symbols.list[:0], w.symbols.heap[:0]
		b.spell(&w.symbols, text)
		b.mergeAll(&w.symbols)
		at := int32(0)
		for _, s := range w.symbols.list {
			if s.length > 0 {
				w.tokens = append(w.tokens, token{id: s.id, from: at, to: at + s.length})
				at += s.length
			}
		}
	}
	w.remember(text, w.tokens[before:])
	return nil
}

// spell makes symbols of the characters of a word. Characters without a token are unknown: those that follow one another are one where
// fuseUnknown is set. An unknown one is written when the next known one comes.
func (b *bpe) spell(s *symbols, text []byte) {
	unknownLen := int32(0) // of the unknown symbol that is not written yet
	flush := func() {
		if unknownLen > 0 {
			s.add(b.unknown, unknownLen)
			unknownLen = 0
		}
	}
	for at := 0; at < len(text); {
		n := runeLen(text[at])
		id := b.symbolOf(text, at, at+n)
		switch {
		case id >= 0:
			flush()
			s.add(id, int32(n))
		case b.byteFallback && b.spellBytes(s, text, at, at+n):
		case b.unknown >= 0:
			if !b.fuseUnknown {
				flush()
			}
			unknownLen += int32(n)
		}
		at += n
	}
	flush()
}

// symbolOf is the token of the character text[from:to] of a word, or -1.
func (b *bpe) symbolOf(text []byte, from, to int) int32 {
	first, last := from == 0, to == len(text)
	plain := (b.prefix == "" || first) && (b.suffix == "" || !last)
	if plain {
		if r, _ := utf8.DecodeRune(text[from:to]); int(r) < len(b.runes) {
			return b.runes[r]
		}
		if id, ok := b.ids[string(text[from:to])]; ok {
			return id
		}
		return -1
	}
	if id, ok := b.ids[b.written(text, from, to)]; ok {
		return id
	}
	return -1
}

// written is a character of a word with the prefix and the suffix that belong there.
func (b *bpe) written(text []byte, from, to int) string {
	s := string(text[from:to])
	if from > 0 {
		s = b.prefix + s
	}
	if to == len(text) {
		s += b.suffix
	}
	return s
}

// spellBytes writes a character as its bytes' tokens, where all are there.
func (b *bpe) spellBytes(s *symbols, text []byte, from, to int) bool {
	character := b.written(text, from, to)
	for _, c := range []byte(character) {
		if b.bytes[c] < 0 {
			return false
		}
	}
	for _, c := range []byte(character) {
		s.add(b.bytes[c], 1)
	}
	return true
}

func (s *symbols) add(id, length int32) {
	n := int32(len(s.list))
	if n > 0 {
		s.list[n-1].next = n
	}
	s.list = append(s.list, symbol{id, length, n - 1, -1})
}

// offer adds the pair of a symbol and the one after it to the heap where it can be merged.
func (b *bpe) offer(s *symbols, at int32) {
	next := s.list[at].next
	if next < 0 {
		return
	}
	if m, ok := b.merges[pairKey(s.list[at].id, s.list[next].id)]; ok {
		s.push(candidate{uint64(uint32(m.rank))<<32 | uint64(uint32(at)), m.id})
	}
}

func (b *bpe) mergeAll(s *symbols) {
	for at := range s.list {
		b.offer(s, int32(at))
	}
	for len(s.heap) > 0 {
		top := s.pop()
		at := int32(uint32(top.order))
		left := &s.list[at]
		if left.length == 0 || left.next < 0 {
			continue
		}
		right := &s.list[left.next]
		if m, ok := b.merges[pairKey(left.id, right.id)]; !ok || m.id != top.id {
			continue // one of the two has been merged with another since
		}
		left.id, left.length, left.next = top.id, left.length+right.length, right.next
		right.length = 0
		if left.next >= 0 {
			s.list[left.next].prev = at
		}
		if left.prev >= 0 {
			b.offer(s, left.prev)
		}
		b.offer(s, at)
	}
}

func (s *symbols) push(c candidate) {
	s.heap = append(s.heap, c)
	h := s.heap
	i := len(h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h[up].order <= c.order {
			break
		}
		h[i] = h[up]
		i = up
	}
	h[i] = c
}

func (s *symbols) pop() candidate {
	h := s.heap
	top, last := h[0], h[len(h)-1]
	h = h[:len(h)-1]
	s.heap = h
	if len(h) == 0 {
		return top
	}
	i := 0
	for {
		down := 2*i + 1
		if down >= len(h) {
			break
		}
		if down+1 < len(h) && h[down+1].order < h[down].order {
			down++
		}
		if last.order <= h[down].order {
			break
		}
		h[i] = h[down]
		i = down
	}
	h[i] = last
	return top
}
