// Package merkle computes the roots of Merkle trees.
//
// The trees are those of RFC 6962: a leaf is SHA-256(0 | content), a node SHA-256(1 | left | right), and the left part of n leaves is the
// largest power of two below n. So whole groups of a power of two of leaves, and what is left behind the last of them, have
// nodes of their own, and the root over these nodes is the root over the leaves.
package merkle

import "crypto/sha256"

// Hash is a leaf, a node or the root of a tree.
type Hash = [sha256.Size]byte

// Leaf is the leaf of a content that has a zero byte before it.
func Leaf(prefixed []byte) Hash { return sha256.Sum256(prefixed) }

// Node is the parent of two nodes.
func Node(left, right Hash) Hash {
	var both [1 + 2*sha256.Size]byte
	both[0] = 1
	copy(both[1:], left[:])
	copy(both[1+sha256.Size:], right[:])
	return sha256.Sum256(both[:])
}

// Tree is a tree to which leaves, or nodes of equally many leaves, are added in order. It keeps the roots of the full subtrees, the largest
// first. The zero tree is empty.
type Tree struct {
	leaves uint64
	roots  []Hash
}

// Add adds the next leaf.
func (t *Tree) Add(leaf Hash) {
	t.roots = append(t.roots, leaf)
	t.leaves++
	for n := t.leaves; n&1 == 0; n >>= 1 {
		t.join()
	}
}

// Len is the number of leaves.
func (t *Tree) Len() uint64 { return t.leaves }

// join makes one of the last two roots.
func (t *Tree) join() {
	k := len(t.roots) - 2
	t.roots[k] = Node(t.roots[k], t.roots[k+1])
	t.roots = t.roots[:k+1]
}

// Root is the root over the leaves so far, and makes the tree empty, whose memory is used again.
func (t *Tree) Root() Hash {
	if t.leaves == 0 {
		return sha256.Sum256(nil)
	}
	for len(t.roots) > 1 {
		t.join()
	}
	root := t.roots[0]
	t.roots, t.leaves = t.roots[:0], 0
	return root
}
