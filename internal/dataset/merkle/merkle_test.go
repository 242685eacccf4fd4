package merkle

import (
	"crypto/sha256"
	"testing"

	"pgregory.net/rapid"
)

// plainRoot is RFC 6962's definition of a tree's root, by recursion.
func plainRoot(leaves []Hash) Hash {
	switch n := len(leaves); n {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	default:
		k := 1
		for 2*k < n {
			k *= 2
		}
		return Node(plainRoot(leaves[:k]), plainRoot(leaves[k:]))
	}
}

// TestRoot compares roots with the definition, also where groups of a power of two of leaves are summed up first.
func TestRoot(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		leaves := make([]Hash, rapid.IntRange(0, 200).Draw(t, "leaves"))
		for i := range leaves {
			leaves[i] = Leaf([]byte{0, byte(i)})
		}
		group := 1 << rapid.IntRange(0, 8).Draw(t, "group")
		var tree, inner Tree
		for begin := 0; begin < len(leaves); begin += group {
			for _, leaf := range leaves[begin:min(begin+group, len(leaves))] {
				inner.Add(leaf)
			}
			tree.Add(inner.Root())
		}
		if tree.Root() != plainRoot(leaves) {
			t.Fatalf("the root of %d leaves in groups of %d is another", len(leaves), group)
		}
	})
}
