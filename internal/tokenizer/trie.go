package tokenizer

import (
	"cmp"
	"slices"
	"strings"
)

// trie finds the tokens that a text begins with, byte by byte. Its nodes are numbered level by level, so the children of a node follow one
// another, and node n is entered by the byte label[n].
type trie struct {
	first []int32 // by node: its first child; those of node n end where those of n+1 begin
	label []byte  // by node
	value []int32 // by node: the id of the token that ends here, or -1
	start [256]int32
}

// key is a token to find, with its id.
type key struct {
	text string
	id   int32
}

// newTrie makes a trie of the tokens that begin with a prefix, without it. Of equal ones the first is taken.
func newTrie(tokens []string, known []bool, prefix string) *trie {
	var keys []key
	for id, token := range tokens {
		if rest, ok := strings.CutPrefix(token, prefix); ok && known[id] && rest != "" {
			keys = append(keys, key{rest, int32(id)})
		}
	}
	return trieOf(keys)
}

func trieOf(keys []key) *trie {
	slices.SortStableFunc(keys, func(a, b key) int { return cmp.Compare(a.text, b.text) })
	t := &trie{label: []byte{0}, value: []int32{-1}}
	// level holds, of every node of the current level, its range of keys; depth bytes of them are used up.
	type stretch struct{ from, to int }
	level := []stretch{{0, len(keys)}}
	for depth := 0; len(level) > 0; depth++ {
		var next []stretch
		for _, s := range level {
			t.first = append(t.first, int32(len(t.label)))
			for i := s.from; i < s.to; {
				if len(keys[i].text) == depth {
					i++ // it ends at this node
					continue
				}
				b, from := keys[i].text[depth], i
				for i < s.to && keys[i].text[depth] == b {
					i++
				}
				id := int32(-1)
				if len(keys[from].text) == depth+1 {
					id = keys[from].id
				}
				t.label, t.value = append(t.label, b), append(t.value, id)
				next = append(next, stretch{from, i})
			}
		}
		level = next
	}
	t.first = append(t.first, int32(len(t.label)))
	for b := range t.start {
		t.start[b] = t.search(0, byte(b))
	}
	return t
}

// step is the node that a byte leads to, or -1.
func (t *trie) step(node int32, b byte) int32 {
	if node == 0 {
		return t.start[b]
	}
	return t.search(node, b)
}

func (t *trie) search(node int32, b byte) int32 {
	low, high := t.first[node], t.first[node+1]
	for high-low > 8 {
		if middle := (low + high) / 2; t.label[middle] <= b {
			low = middle
		} else {
			high = middle
		}
	}
	for ; low < high; low++ {
		if t.label[low] == b {
			return low
		}
	}
	return -1
}

// longest is the longest token that a text begins with, and its length; 0 where there is none.
func (t *trie) longest(text []byte) (id int32, n int) {
	node := int32(0)
	for i, b := range text {
		if node = t.step(node, b); node < 0 {
			break
		}
		if t.value[node] >= 0 {
			id, n = t.value[node], i+1
		}
	}
	return id, n
}
