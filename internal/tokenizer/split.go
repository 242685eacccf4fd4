package tokenizer

// behavior says what becomes of what a pattern matches when a piece is split.
type behavior int

const (
	removed behavior = iota
	isolated
	mergedWithPrevious
	mergedWithNext
	contiguous
)

var behaviors = map[string]behavior{
	"Removed": removed, "Isolated": isolated, "MergedWithPrevious": mergedWithPrevious, "MergedWithNext": mergedWithNext, "Contiguous": contiguous,
}

// match is a stretch of a piece that a pattern matches, or one between two matches.
type match struct {
	from, to int
	is       bool
}

// split divides every piece that is no added token at what a pattern matches. Empty pieces are dropped.
func (w *work) split(find pattern, b behavior, invert bool) {
	w.nextPieces = w.nextPieces[:0]
	for _, p := range w.pieces {
		if p.id >= 0 {
			w.nextPieces = append(w.nextPieces, p)
			continue
		}
		text := w.text[p.from:p.to]
		if b == isolated {
			w.isolate(p, text, find)
			continue
		}
		w.findMatches(text, find, invert)
		w.joinMatches(b)
		for _, m := range w.matches {
			if m.to > m.from && !(b == removed && m.is) {
				w.nextPieces = append(w.nextPieces, piece{p.from + m.from, p.from + m.to, -1})
			}
		}
	}
	w.swapPieces()
}

// isolate makes pieces of the matches and of what is between them.
func (w *work) isolate(p piece, text []byte, find pattern) {
	done := 0
	for start, end := find(text, 0); start >= 0; start, end = find(text, end) {
		if start > done {
			w.nextPieces = append(w.nextPieces, piece{p.from + done, p.from + start, -1})
		}
		w.nextPieces = append(w.nextPieces, piece{p.from + start, p.from + end, -1})
		done = end
	}
	if done < len(text) {
		w.nextPieces = append(w.nextPieces, piece{p.from + done, p.to, -1})
	}
}

// findMatches covers a text with w.matches.
func (w *work) findMatches(text []byte, find pattern, invert bool) {
	w.matches = w.matches[:0]
	done := 0
	for start, end := find(text, 0); start >= 0; start, end = find(text, end) {
		if start > done {
			w.matches = append(w.matches, match{done, start, invert})
		}
		w.matches = append(w.matches, match{start, end, !invert})
		done = end
	}
	if done < len(text) {
		w.matches = append(w.matches, match{done, len(text), invert})
	}
}

// joinMatches joins matches with their neighbours.
func (w *work) joinMatches(b behavior) {
	in := w.matches
	out := in[:0]
	before := false // whether the one before in the list is a match
	switch b {
	case contiguous, mergedWithPrevious:
		for _, m := range in {
			is := m.is
			join := b == contiguous && is == before || b == mergedWithPrevious && is && !before
			if join && len(out) > 0 {
				out[len(out)-1].to = m.to
			} else {
				out = append(out, m)
			}
			before = is
		}
	case mergedWithNext:
		// From the end: a match takes the one after it, unless that is a match itself.
		last := len(in)
		for i := len(in) - 1; i >= 0; i-- {
			is := in[i].is
			if is && !before && last < len(in) {
				in[last].from = in[i].from
			} else {
				last--
				in[last] = in[i]
			}
			before = is
		}
		out = in[last:]
	default:
		return
	}
	w.matches = out
}
