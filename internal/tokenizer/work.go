package tokenizer

// piece is a stretch of the text that is tokenized by itself: text[from:to]. id is the added token that it is, or negative.
type piece struct {
	from, to int
	id       int32
}

// token is a token of a piece: its id and where it stands in the piece's text, in bytes. surface says that it is shown as that text and
// not as the vocabulary writes it.
type token struct {
	id       int32
	from, to int32
	surface  bool
}

// work is what tokenizing one text needs, kept for the next one.
type work struct {
	text   []byte
	at     []span
	pieces []piece
	tokens []token
	// What a step is writing, before it becomes the above.
	nextText   []byte
	nextAt     []span
	nextPieces []piece

	part    aligned
	matches []match
	words   wordCache
	symbols symbols
	lattice lattice
	changes []change
}

// swapPieces makes the pieces that were written the current ones.
func (w *work) swapPieces() {
	w.pieces, w.nextPieces = w.nextPieces, w.pieces[:0]
}

// beginText starts a new text.
func (w *work) beginText() {
	w.nextText, w.nextAt, w.nextPieces = w.nextText[:0], w.nextAt[:0], w.nextPieces[:0]
}

// commitText makes the text that was written, and its pieces, the current ones.
func (w *work) commitText() {
	w.text, w.nextText = w.nextText, w.text
	w.at, w.nextAt = w.nextAt, w.at
	w.swapPieces()
}

// keep writes a stretch of the current text unchanged.
func (w *work) keep(from, to int) {
	w.nextText = append(w.nextText, w.text[from:to]...)
	w.nextAt = append(w.nextAt, w.at[from:to]...)
}

// rewrite makes a new text of every piece that is no added token by edit, which changes w.part.
func (w *work) rewrite(edit func(a *aligned, p piece)) {
	w.beginText()
	for _, p := range w.pieces {
		from := len(w.nextText)
		if p.id >= 0 {
			w.keep(p.from, p.to)
		} else {
			w.part.take(w.text[p.from:p.to], w.at[p.from:p.to])
			edit(&w.part, p)
			w.nextText = append(w.nextText, w.part.text...)
			w.nextAt = append(w.nextAt, w.part.at...)
		}
		if len(w.nextText) > from {
			w.nextPieces = append(w.nextPieces, piece{from, len(w.nextText), p.id})
		}
	}
	w.commitText()
}

// Bounds of a word cache. A word that is longer is rare, and not worth keeping.
const (
	maxCachedWord  = 64
	maxCachedWords = 1 << 16
)

// wordCache remembers the tokens of words.
type wordCache struct {
	of     map[string][2]int32
	tokens []token
}

// recall appends a word's tokens to w.tokens where they are known.
func (w *work) recall(word []byte) bool {
	at, known := w.words.of[string(word)]
	if known {
		w.tokens = append(w.tokens, w.words.tokens[at[0]:at[1]]...)
	}
	return known
}

// remember keeps the tokens of a word. A full cache starts again.
func (w *work) remember(word []byte, tokens []token) {
	if len(word) > maxCachedWord {
		return
	}
	if w.words.of == nil || len(w.words.of) == maxCachedWords {
		w.words.of, w.words.tokens = map[string][2]int32{}, w.words.tokens[:0]
	}
	from := len(w.words.tokens)
	w.words.tokens = append(w.words.tokens, tokens...)
	w.words.of[string(word)] = [2]int32{int32(from), int32(len(w.words.tokens))}
}
