package tokenizer

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"unicode/utf8"

	"ringmaster/internal/elementary"
)

// Settings of the training of a Unigram model (Kudo 2018), as SentencePiece has them.
const (
	maxPieceRunes = 16      // of a token
	maxSeeds      = 1 << 20 // tokens to begin with
	maxSubstrings = 1 << 22 // different substrings of words that are counted; the words are in order of frequency
	coverage      = 0.9995  // of the texts, by the characters that have tokens of their own
	maxWordRunes  = 32      // longer words are divided
	shrinking     = 0.75    // how much of the vocabulary is kept by each round
	rounds        = 2       // of expectation and maximization before the vocabulary is cut again
	rareCount     = 0.5     // a token that is expected less often is dropped
	blocks        = 8       // of words, whose expectations are added up in order whatever the number of threads
	perRune       = 256     // what probabilities are multiplied by for each character, so that products neither vanish nor overflow
)

// scoredPiece is a token with its probability, and the logarithm of it.
type scoredPiece struct {
	text        string
	probability float64
	score       float64
}

// pieceTrainer looks for the vocabulary under which the words are most likely.
type pieceTrainer struct {
	words   []word
	pieces  []scoredPiece
	find    *trie
	scaled  []float64 // by piece: its probability times perRune for each character
	threads int
}

// trainPieces learns a vocabulary: it begins with the frequent substrings of the words and drops those that are missed least.
func trainPieces(words []word, o Training) []scoredPiece {
	room := o.Size - len(withUnknown(o.Special)) - 256 // for what is learned, beside the special tokens and the bytes
	required := frequent(characters(words), room)
	words = divided(words, required)
	t := &pieceTrainer{words: words, threads: o.Threads}
	t.use(seeds(words, required))
	wanted := room + room/10
	for {
		for range rounds {
			t.use(t.maximize(t.expect()))
		}
		if len(t.pieces) <= wanted {
			break
		}
		before := len(t.pieces)
		t.use(t.prune(max(wanted, int(float64(before)*shrinking))))
		if len(t.pieces) == before {
			break
		}
	}
	return t.final(required, room)
}

// frequent are the most frequent characters that together make coverage of the texts, but no more than there is room for. The others are
// written as bytes.
func frequent(all []scoredPiece, room int) []scoredPiece {
	sum, part := 0.0, 0.0
	for _, c := range all {
		sum += c.probability
	}
	for i, c := range all {
		if part >= float64(sum*coverage) || i == room {
			return all[:i]
		}
		part += c.probability
	}
	return all
}

// divided cuts words of more than maxWordRunes characters, and drops the characters that are not required.
func divided(words []word, required []scoredPiece) []word {
	known := map[string]bool{}
	for _, c := range required {
		known[c.text] = true
	}
	var out []word
	for _, w := range words {
		from, runes := 0, 0
		for at, r := range w.text {
			if runes == maxWordRunes || !known[string(r)] {
				out = append(out, word{w.text[from:at], w.count})
				from, runes = at, 0
			}
			if !known[string(r)] {
				from = at + utf8.RuneLen(r)
				continue
			}
			runes++
		}
		out = append(out, word{w.text[from:], w.count})
	}
	return slices.DeleteFunc(out, func(w word) bool { return w.text == "" })
}

// characters are the characters of the words with their counts, the most frequent first.
func characters(words []word) []scoredPiece {
	counts := map[rune]uint64{}
	for _, w := range words {
		for _, r := range w.text {
			counts[r] += w.count
		}
	}
	all := make([]scoredPiece, 0, len(counts))
	for r, count := range counts {
		all = append(all, scoredPiece{text: string(r), probability: float64(count)})
	}
	sortPieces(all)
	return all
}

// sortPieces puts the most likely pieces first, of equally likely ones the smaller text.
func sortPieces(all []scoredPiece) {
	slices.SortFunc(all, func(a, b scoredPiece) int {
		return cmp.Or(cmp.Compare(b.probability, a.probability), cmp.Compare(a.text, b.text))
	})
}

// seeds are the characters and the substrings that are there more than once, weighted by length and count. A substring that is always
// followed by the same character is left out: the longer one says it all.
func seeds(words []word, required []scoredPiece) []scoredPiece {
	counts := map[string]uint64{}
	for _, w := range words {
		eachSubstring(w.text, func(s string) {
			if _, known := counts[s]; known || len(counts) < maxSubstrings {
				counts[s] += w.count
			}
		})
	}
	covered := map[string]bool{}
	for s, count := range counts {
		_, last := utf8.DecodeLastRuneInString(s)
		if shorter := s[:len(s)-last]; counts[shorter] == count {
			covered[shorter] = true
		}
	}
	var all []scoredPiece
	for s, count := range counts {
		if count > 1 && !covered[s] {
			all = append(all, scoredPiece{text: s, probability: float64(count) * float64(utf8.RuneCountInString(s))})
		}
	}
	sortPieces(all)
	all = append(slices.Clone(required), all[:min(len(all), maxSeeds)]...)
	sum := 0.0
	for _, p := range all {
		sum += p.probability
	}
	for i := range all {
		all[i].probability /= sum
	}
	return all
}

// eachSubstring calls do with the substrings of 2 to maxPieceRunes characters, once for each place.
func eachSubstring(text string, do func(s string)) {
	for from := range text {
		runes := 0
		for at, r := range text[from:] {
			if runes++; runes > maxPieceRunes {
				break
			}
			if runes > 1 {
				do(text[from : from+at+utf8.RuneLen(r)])
			}
		}
	}
}

// use makes pieces the vocabulary.
func (t *pieceTrainer) use(pieces []scoredPiece) {
	t.pieces = pieces
	keys := make([]key, len(pieces))
	t.scaled = make([]float64, len(pieces))
	for i := range pieces {
		p := &pieces[i]
		keys[i] = key{p.text, int32(i)}
		p.score = elementary.Log(p.probability)
		t.scaled[i] = p.probability
		for range utf8.RuneCountInString(p.text) {
			t.scaled[i] *= perRune
		}
	}
	t.find = trieOf(keys)
}

// inBlocks does something with every block of words, several at once.
func (t *pieceTrainer) inBlocks(do func(block int, words []word)) {
	work := make(chan int)
	var done sync.WaitGroup
	for range t.threads {
		done.Add(1)
		go func() {
			defer done.Done()
			for b := range work {
				do(b, t.words[b*len(t.words)/blocks:(b+1)*len(t.words)/blocks])
			}
		}()
	}
	for b := range blocks {
		work <- b
	}
	close(work)
	done.Wait()
}

// expect is how often every piece is expected in the words, over all ways to take them apart (the forward-backward algorithm).
func (t *pieceTrainer) expect() []float64 {
	return t.sum(func(words []word, sums []float64) {
		var before, after []float64
		for _, w := range words {
			n := len(w.text)
			before, after = append(before[:0], make([]float64, n+1)...), append(after[:0], make([]float64, n+1)...)
			before[0], after[n] = 1, 1
			for from := 0; from < n; from++ {
				if b := before[from]; b > 0 {
					t.matches(w.text, from, func(to int, id int32) { before[to] += float64(b * t.scaled[id]) })
				}
			}
			for from := n - 1; from >= 0; from-- {
				if before[from] > 0 {
					t.matches(w.text, from, func(to int, id int32) { after[from] += float64(after[to] * t.scaled[id]) })
				}
			}
			if before[n] == 0 {
				continue // no way: a character of it was dropped
			}
			each := float64(w.count) / before[n]
			for from := 0; from < n; from++ {
				if b := before[from] * each; b > 0 {
					t.matches(w.text, from, func(to int, id int32) { sums[id] += float64(b * float64(t.scaled[id]*after[to])) })
				}
			}
		}
	})
}

// sum adds up what do finds of every piece in blocks of words.
func (t *pieceTrainer) sum(do func(words []word, sums []float64)) []float64 {
	parts := make([][]float64, blocks)
	t.inBlocks(func(b int, words []word) {
		parts[b] = make([]float64, len(t.pieces))
		do(words, parts[b])
	})
	for _, part := range parts[1:] {
		for i, v := range part {
			parts[0][i] += v
		}
	}
	return parts[0]
}

// matches calls do with the end and the id of every piece that is in a text at an offset.
func (t *pieceTrainer) matches(text string, from int, do func(to int, id int32)) {
	node := int32(0)
	for i := from; i < len(text); i++ {
		if node = t.find.step(node, text[i]); node < 0 {
			return
		}
		if id := t.find.value[node]; id >= 0 {
			do(i+1, id)
		}
	}
}

// maximize makes probabilities of expected counts. Counts are lowered by a half, which is what the variational form of the algorithm
// comes to (exp(digamma(x)) is x - 1/2 + 1/(24 x) nearly), and makes rare pieces rarer.
func (t *pieceTrainer) maximize(expected []float64) []scoredPiece {
	var kept []scoredPiece
	sum := 0.0
	for i, p := range t.pieces {
		count := expected[i]
		if count < rareCount {
			continue
		}
		sum += count
		kept = append(kept, scoredPiece{text: p.text, probability: count - 0.5 + 1/(24*count)})
	}
	for i := range kept {
		kept[i].probability /= sum
	}
	return kept
}

// best is the most likely way to take a text apart, as ids from the last to the first. without is a piece that may not be used for
// the whole text, or -1. It is nil where there is no way.
func (t *pieceTrainer) best(text string, without int32, ends []pathEnd) (ids []int32, kept []pathEnd) {
	ends = ends[:0]
	for range len(text) + 1 {
		ends = append(ends, pathEnd{from: -1})
	}
	for from := 0; from < len(text); from++ {
		if from > 0 && ends[from].from < 0 {
			continue
		}
		score := ends[from].score
		t.matches(text, from, func(to int, id int32) {
			if id == without && to-from == len(text) {
				return
			}
			if next := score + t.pieces[id].score; ends[to].from < 0 || next > ends[to].score {
				ends[to] = pathEnd{next, int32(from), id}
			}
		})
	}
	for at := int32(len(text)); at > 0; at = ends[at].from {
		if ends[at].from < 0 {
			return nil, ends
		}
		ids = append(ids, ends[at].id)
	}
	return ids, ends
}

// prune keeps at most most pieces: those without which the words would become least likely.
func (t *pieceTrainer) prune(most int) []scoredPiece {
	counts := t.sum(func(words []word, sums []float64) {
		var ends []pathEnd
		var ids []int32
		for _, w := range words {
			ids, ends = t.best(w.text, -1, ends)
			for _, id := range ids {
				sums[id] += float64(w.count)
			}
		}
	})
	sum, all := 0.0, 0.0
	for _, c := range counts {
		sum += c
	}
	for _, w := range t.words {
		all += float64(w.count)
	}
	type candidate struct {
		id   int
		loss float64
	}
	var kept []scoredPiece
	var candidates []candidate
	logSum := elementary.Log(sum)
	var ends []pathEnd
	for id, p := range t.pieces {
		var whole, others []int32
		whole, ends = t.best(p.text, -1, ends)
		others, ends = t.best(p.text, int32(id), ends)
		switch {
		case len(others) == 0:
			kept = append(kept, p) // nothing can take its place
			continue
		case counts[id] == 0:
			continue
		case len(whole) > 1:
			candidates = append(candidates, candidate{id, 0}) // it is not even the best for its own text
			continue
		}
		// Its count goes to those that take its place.
		logAfter := elementary.Log(sum + float64(counts[id]*float64(len(others)-1)))
		after := 0.0
		for _, other := range others {
			after += elementary.Log(counts[other]+counts[id]) - logAfter
		}
		loss := counts[id] / all * (elementary.Log(counts[id]) - logSum - after)
		candidates = append(candidates, candidate{id, loss})
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return cmp.Compare(b.loss, a.loss) })
	for _, c := range candidates[:min(len(candidates), max(0, most-len(kept)))] {
		kept = append(kept, t.pieces[c.id])
	}
	return kept
}

// final is the vocabulary: all characters and the most likely pieces, the most likely first. Characters that were dropped on the way are
// a little less likely than all others.
func (t *pieceTrainer) final(required []scoredPiece, room int) []scoredPiece {
	sortPieces(t.pieces)
	byText := map[string]scoredPiece{}
	least := 0.0
	for _, p := range t.pieces {
		byText[p.text] = p
		least = min(least, p.score)
	}
	taken := map[string]bool{}
	var all []scoredPiece
	for i, c := range required {
		p, known := byText[c.text]
		if !known {
			p = scoredPiece{text: c.text, score: least - float64(float64(i+1)*0.0001)}
		}
		all = append(all, p)
		taken[c.text] = true
	}
	for _, p := range t.pieces {
		if len(all) < room && !taken[p.text] {
			all = append(all, p)
		}
	}
	for i := range all {
		all[i].score = math.Floor(float64(all[i].score*1e6)+0.5) / 1e6
	}
	slices.SortStableFunc(all, func(a, b scoredPiece) int {
		return cmp.Or(cmp.Compare(b.score, a.score), cmp.Compare(a.text, b.text))
	})
	return all
}
