package dataset

import (
	"slices"
	"testing"
)

func TestLookUp(t *testing.T) {
	table := (*[256]float32)(unitTable())
	src := make([]byte, 300)
	for i := range src {
		src[i] = byte(7*i + 3)
	}
	for n := range len(src) {
		want := make([]float32, n+1)
		want[n] = -1 // a guard behind the end
		got := slices.Clone(want)
		for i, v := range src[:n] {
			want[i] = table[v]
		}
		if lookUp(got[:n], src[:n], table); !slices.Equal(got, want) {
			t.Fatalf("%d values are wrong", n)
		}
	}
}
