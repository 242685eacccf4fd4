// Package tokenizer turns text into the token ids that language models read, and back. It reads the files of the Hugging Face tokenizers
// library (tokenizer.json, vocab.json with merges.txt, vocab.txt) and of SentencePiece (.model), gives the ids that those libraries give,
// and refuses by name what it does not implement. It trains vocabularies, too.
package tokenizer

import (
	"fmt"
	"slices"
	"sync"
	"unicode/utf8"

	"ringmaster/internal/printable"
)

// maxText is the most bytes of one text: offsets in it are 32 bits.
const maxText = 1 << 30

// Tokenizer turns text into ids and back. It can be used by several goroutines at once.
type Tokenizer struct {
	files     []file
	said      *beside // what a folder says beside its vocabulary; nil: nothing
	digest    [32]byte
	kind      string
	normalize normalizer // nil where there is none
	split     splitter   // nil where there is none
	model     model
	added     addedTokens
	post      postProcessor // nil where there is none
	decoder   decoder       // nil: tokens are joined by spaces
	truncate  *truncation
	pad       *padding

	free struct {
		sync.Mutex
		works []*work
	}
}

// Kind names the model: BPE, WordPiece, WordLevel, Unigram, SentencePiece BPE or SentencePiece Unigram.
func (t *Tokenizer) Kind() string { return t.kind }

// Digest is the SHA-256 of the files that the tokenizer was read from.
func (t *Tokenizer) Digest() [32]byte { return t.digest }

// Len is one more than the greatest id, which is the size of a table with a row for every token.
func (t *Tokenizer) Len() int {
	n := 0
	if v, ok := t.model.(interface{ bound() int }); ok {
		n = v.bound()
	}
	for _, a := range t.added.list {
		n = max(n, int(a.id)+1)
	}
	return n
}

func (v *vocabulary) bound() int { return len(v.tokens) }

// ID is the id of a token, as the vocabulary writes it.
func (t *Tokenizer) ID(token string) (int32, bool) {
	for _, a := range t.added.list {
		if a.content == token {
			return a.id, true
		}
	}
	return t.model.id(token)
}

// Token is the token with an id.
func (t *Tokenizer) Token(id int32) (string, bool) {
	if i, ok := t.added.byID[id]; ok {
		return t.added.list[i].content, true
	}
	return t.model.token(id)
}

// borrow takes what tokenizing needs, with the words that it remembers; giveBack returns it.
func (t *Tokenizer) borrow() *work {
	t.free.Lock()
	defer t.free.Unlock()
	n := len(t.free.works)
	if n == 0 {
		return &work{}
	}
	w := t.free.works[n-1]
	t.free.works = t.free.works[:n-1]
	return w
}

// maxKept is the most bytes of text that a kept work has room for: one long text must not hold its memory for good.
const maxKept = 1 << 20

func (t *Tokenizer) giveBack(w *work) {
	if cap(w.text)+cap(w.nextText)+cap(w.part.text) > 3*maxKept {
		*w = work{words: w.words}
	}
	t.free.Lock()
	defer t.free.Unlock()
	t.free.works = append(t.free.works, w)
}

// AppendIDs appends the ids of a text, without special tokens of a template, truncation and padding.
func (t *Tokenizer) AppendIDs(to []int32, text string) ([]int32, error) {
	w := t.borrow()
	defer t.giveBack(w)
	if err := t.prepare(w, text); err != nil {
		return to, err
	}
	for _, p := range w.pieces {
		if p.id >= 0 {
			to = append(to, p.id)
			continue
		}
		w.tokens = w.tokens[:0]
		if err := t.model.tokenize(w, w.text[p.from:p.to]); err != nil {
			return to, err
		}
		for _, token := range w.tokens {
			to = append(to, token.id)
		}
	}
	return to, nil
}

// Options say what an encoding is to have.
type Options struct {
	Special bool // the special tokens of the template
	Details bool // Tokens and Offsets
}

// Encode tokenizes a text, cut and padded as the tokenizer's settings say.
func (t *Tokenizer) Encode(text string, o Options) (*Encoding, error) {
	return t.encode([]string{text}, o)
}

// EncodePair tokenizes two texts as one sequence.
func (t *Tokenizer) EncodePair(first, second string, o Options) (*Encoding, error) {
	return t.encode([]string{first, second}, o)
}

func (t *Tokenizer) encode(texts []string, o Options) (*Encoding, error) {
	e, err := t.unpadded(texts, o)
	if err == nil && t.pad != nil {
		t.pad.fill([]*Encoding{e}, o.Details)
	}
	return e, err
}

// EncodeBatch tokenizes texts, padded together to one length where the tokenizer's settings say so.
func (t *Tokenizer) EncodeBatch(texts []string, o Options) ([]*Encoding, error) {
	batch := make([]*Encoding, len(texts))
	for i, text := range texts {
		e, err := t.unpadded([]string{text}, o)
		if err != nil {
			return nil, fmt.Errorf("text %d: %w", i+1, err)
		}
		batch[i] = e
	}
	if t.pad != nil {
		t.pad.fill(batch, o.Details)
	}
	return batch, nil
}

func (t *Tokenizer) unpadded(texts []string, o Options) (*Encoding, error) {
	parts := make([]*Encoding, len(texts))
	for i, text := range texts {
		e, err := t.encodeOne(text, int32(i), o.Details)
		if err != nil {
			return nil, err
		}
		parts[i] = e
	}
	if t.truncate != nil {
		most := t.truncate.length
		if t.post != nil && o.Special {
			most -= t.post.added(len(texts) > 1)
		}
		if most < 0 {
			return nil, fmt.Errorf("truncation to %d tokens leaves no room beside the special tokens", t.truncate.length)
		}
		if err := t.truncate.shorten(parts, most); err != nil {
			return nil, err
		}
	}
	if t.post != nil {
		parts = t.post.process(parts, o.Special, o.Details)
	}
	all := &Encoding{}
	if o.Details {
		all.Tokens, all.Offsets = []string{}, [][2]int{}
	}
	for _, e := range parts {
		all.join(e)
	}
	return all, nil
}

// encodeOne tokenizes one text.
func (t *Tokenizer) encodeOne(text string, kind int32, details bool) (*Encoding, error) {
	w := t.borrow()
	defer t.giveBack(w)
	if err := t.prepare(w, text); err != nil {
		return nil, err
	}
	e := &Encoding{}
	if details {
		e.Tokens, e.Offsets = []string{}, [][2]int{}
	}
	count := counter(text, details)
	for _, p := range w.pieces {
		w.tokens = w.tokens[:0]
		if p.id >= 0 {
			w.tokens = append(w.tokens, token{id: p.id, to: int32(p.to - p.from), surface: true})
		} else if err := t.model.tokenize(w, w.text[p.from:p.to]); err != nil {
			return nil, err
		}
		for _, token := range w.tokens {
			if !details {
				e.append(token.id, kind, "", [2]int{}, false, true, false)
				continue
			}
			from, to := p.from+int(token.from), p.from+int(token.to)
			offsets := [2]int{}
			if to > from {
				offsets = [2]int{count(w.at[from].from), count(w.at[to-1].to)}
			} else {
				offsets = [2]int{count(w.at[from].from), count(w.at[from].from)}
			}
			shown := string(w.text[from:to])
			if !token.surface {
				shown, _ = t.model.token(token.id)
			}
			e.append(token.id, kind, shown, offsets, false, true, true)
		}
	}
	return e, nil
}

// counter counts the characters of a text before an offset in bytes.
func counter(text string, details bool) func(at int32) int {
	if !details || len(text) == utf8.RuneCountInString(text) {
		return func(at int32) int { return int(at) }
	}
	before := make([]int32, 0, len(text)+1)
	count := int32(0)
	for i := range len(text) {
		if i > 0 && utf8.RuneStart(text[i]) {
			count++
		}
		before = append(before, count)
	}
	before = append(before, count+1)
	return func(at int32) int { return int(before[at]) }
}

// prepare normalizes a text and splits it into the pieces that the model is to see.
func (t *Tokenizer) prepare(w *work, text string) error {
	if len(text) > maxText {
		return fmt.Errorf("a text of %d bytes is longer than %d: divide it", len(text), maxText)
	}
	if !utf8.ValidString(text) {
		at := invalidUTF8([]byte(text))
		return fmt.Errorf("the text is not UTF-8: byte %#02x at offset %d", text[at], at)
	}
	w.text, w.at, w.pieces = w.text[:0], w.at[:0], w.pieces[:0]
	full := false
	if t.added.original == nil {
		t.normalizePart(w, text, 0)
	} else {
		t.added.find([]byte(text), t.added.original, func(from, to int, id int32) {
			if id < 0 {
				t.normalizePart(w, text[from:to], from)
				full = full || w.part.full
				return
			}
			w.part.reset(text[from:to], from)
			w.takePart(0, to-from, id)
		})
	}
	if t.split != nil {
		t.split.split(w)
	}
	if full || w.part.full {
		return fmt.Errorf("the tokenizer's normalizer makes a text of %d bytes more than 64 times as long", len(text))
	}
	return nil
}

// normalizePart adds the pieces of a stretch of the original text.
func (t *Tokenizer) normalizePart(w *work, text string, start int) {
	w.part.reset(text, start)
	if t.normalize != nil {
		t.normalize.normalize(w, &w.part)
	}
	if t.added.normalized == nil {
		w.takePart(0, len(w.part.text), -1)
		return
	}
	t.added.find(w.part.text, t.added.normalized, func(from, to int, id int32) { w.takePart(from, to, id) })
}

// takePart adds a stretch of w.part as a piece, unless it is empty.
func (w *work) takePart(from, to int, id int32) {
	if from == to {
		return
	}
	start := len(w.text)
	w.text = append(w.text, w.part.text[from:to]...)
	w.at = append(w.at, w.part.at[from:to]...)
	w.pieces = append(w.pieces, piece{start, len(w.text), id})
}

// Decode turns ids back into text, without special tokens where skipSpecial is set. An id that there is not is an error.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) (string, error) {
	if d, ok := t.model.(interface{ decodeIDs(ids []int32) string }); ok {
		if err := t.checkIDs(ids); err != nil {
			return "", err
		}
		return d.decodeIDs(ids), nil
	}
	tokens := make([]string, 0, len(ids))
	for i, id := range ids {
		token, known := t.model.token(id)
		if at, ok := t.added.byID[id]; ok {
			if t.added.list[at].special && skipSpecial {
				continue
			}
			token, known = t.added.list[at].written, true
		}
		if !known {
			return "", t.noToken(i, id)
		}
		tokens = append(tokens, token)
	}
	if t.decoder == nil {
		return joined(tokens, " "), nil
	}
	return joined(t.decoder.decode(tokens), ""), nil
}

func (t *Tokenizer) checkIDs(ids []int32) error {
	for i, id := range ids {
		if _, ok := t.model.token(id); !ok {
			return t.noToken(i, id)
		}
	}
	return nil
}

func (t *Tokenizer) noToken(place int, id int32) error {
	return fmt.Errorf("id %d (number %d of the list) has no token: ids go from 0 to %d", id, place+1, t.Len()-1)
}

func joined(tokens []string, by string) string {
	n := 0
	for _, t := range tokens {
		n += len(t) + len(by)
	}
	out := make([]byte, 0, n)
	for i, t := range tokens {
		if i > 0 {
			out = append(out, by...)
		}
		out = append(out, t...)
	}
	return string(out)
}

// SpecialTokens lists the added tokens that are special, by id.
func (t *Tokenizer) SpecialTokens() []string {
	var all []addedToken
	for _, a := range t.added.list {
		if a.special {
			all = append(all, a)
		}
	}
	slices.SortFunc(all, func(a, b addedToken) int { return int(a.id - b.id) })
	names := make([]string, len(all))
	for i, a := range all {
		names[i] = printable.Line(a.content, 60)
	}
	return names
}
