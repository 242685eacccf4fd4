package tokenizer

import (
	"cmp"
	"container/heap"
	"slices"
)

// pairCount is a pair of neighbouring tokens: how often it is there, and in which words (some of them more than once, and some in
// which it is no more).
type pairCount struct {
	left, right int32
	count       int64
	words       []int32
}

// pairQueue has the most frequent pair first, of equally frequent ones that of the smaller ids. The counts in it may be out of date.
type pairQueue []queued

type queued struct {
	pair  *pairCount
	count int64
}

func (q pairQueue) Len() int { return len(q) }
func (q pairQueue) Less(i, j int) bool {
	a, b := q[i], q[j]
	return cmp.Or(cmp.Compare(b.count, a.count), cmp.Compare(a.pair.left, b.pair.left), cmp.Compare(a.pair.right, b.pair.right)) < 0
}
func (q pairQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *pairQueue) Push(x any)   { *q = append(*q, x.(queued)) }
func (q *pairQueue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// pairTrainer learns merges (Sennrich et al. 2016): again and again the most frequent pair of neighbours becomes a token.
type pairTrainer struct {
	words  [][]int32 // as tokens
	counts []uint64
	pairs  map[uint64]*pairCount
	queue  pairQueue
	fresh  []*pairCount // pairs that the current merge has made
}

// trainPairs learns a vocabulary of the byte alphabet and merges. The ids are those of the special tokens, of the 256 bytes in the order of
// their characters, and of the merges in the order of learning.
func trainPairs(words []word, o Training) (vocabulary []string, merges [][2]int32) {
	vocabulary = slices.Clone(o.Special)
	ids := map[string]int32{}
	for i, token := range vocabulary {
		ids[token] = int32(i)
	}
	alphabet := slices.Clone(runeOfByte[:])
	slices.Sort(alphabet)
	for _, r := range alphabet {
		ids[string(r)] = int32(len(vocabulary))
		vocabulary = append(vocabulary, string(r))
	}
	t := &pairTrainer{pairs: map[uint64]*pairCount{}}
	for i, w := range words {
		var tokens []int32
		for _, r := range w.text {
			tokens = append(tokens, ids[string(r)])
		}
		t.words, t.counts = append(t.words, tokens), append(t.counts, w.count)
		for k := 1; k < len(tokens); k++ {
			t.change(tokens[k-1], tokens[k], int64(w.count), int32(i))
		}
	}
	t.enqueue()
	learned := map[uint64]bool{}
	for len(vocabulary) < o.Size {
		best := t.next()
		if best == nil || best.count < int64(o.MinCount) {
			break
		}
		both := vocabulary[best.left] + vocabulary[best.right]
		if len(both) > maxTokenLen {
			continue // it stays two tokens
		}
		id, known := ids[both]
		if !known {
			id = int32(len(vocabulary))
			ids[both] = id
			vocabulary = append(vocabulary, both)
		}
		// A pair can come back where a token is made in two ways; its merge is learned already.
		if key := pairKey(best.left, best.right); !learned[key] {
			learned[key] = true
			merges = append(merges, [2]int32{best.left, best.right})
		}
		t.merge(best, id)
		t.enqueue()
	}
	return vocabulary, merges
}

// change counts a pair of a word, or uncounts it.
func (t *pairTrainer) change(left, right int32, by int64, in int32) {
	key := pairKey(left, right)
	p := t.pairs[key]
	if p == nil {
		p = &pairCount{left: left, right: right}
		t.pairs[key] = p
	}
	p.count += by
	if by > 0 {
		if len(p.words) == 0 {
			t.fresh = append(t.fresh, p)
		}
		if n := len(p.words); n == 0 || p.words[n-1] != in {
			p.words = append(p.words, in)
		}
	}
}

// enqueue queues the pairs that are new.
func (t *pairTrainer) enqueue() {
	for _, p := range t.fresh {
		if p.count > 0 {
			heap.Push(&t.queue, queued{p, p.count})
		}
	}
	t.fresh = t.fresh[:0]
}

// next takes the most frequent pair off the queue; nil where there is none.
func (t *pairTrainer) next() *pairCount {
	for len(t.queue) > 0 {
		top := heap.Pop(&t.queue).(queued)
		if top.count == top.pair.count {
			return top.pair
		}
		if top.pair.count > 0 {
			heap.Push(&t.queue, queued{top.pair, top.pair.count})
		}
	}
	return nil
}

// merge makes a pair one token wherever it is.
func (t *pairTrainer) merge(p *pairCount, id int32) {
	in := p.words
	slices.Sort(in)
	in = slices.Compact(in)
	p.words, p.count = nil, 0
	delete(t.pairs, pairKey(p.left, p.right))
	for _, w := range in {
		tokens, by := t.words[w], int64(t.counts[w])
		out := tokens[:0]
		for i := 0; i < len(tokens); i++ {
			if i+1 == len(tokens) || tokens[i] != p.left || tokens[i+1] != p.right {
				out = append(out, tokens[i])
				continue
			}
			if n := len(out); n > 0 {
				t.uncount(out[n-1], p.left, by, w, p)
				t.change(out[n-1], id, by, w)
			}
			if i+2 < len(tokens) {
				t.uncount(p.right, tokens[i+2], by, w, p)
				t.change(id, tokens[i+2], by, w)
			}
			out = append(out, id)
			i++
		}
		t.words[w] = out
	}
}

// uncount takes a pair of a word away, unless it is the one that is being merged.
func (t *pairTrainer) uncount(left, right int32, by int64, in int32, merged *pairCount) {
	if left != merged.left || right != merged.right {
		t.change(left, right, -by, in)
	}
}
