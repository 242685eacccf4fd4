package dataset

import (
	"slices"
	"testing"
)

func TestScales(t *testing.T) {
	src := make([]byte, 300)
	for i := range src {
		src[i] = byte(7*i + 3)
	}
	for name, scale := range map[string]*scale{"unit": unitScale(), "standard": standardScale(0.4, 0.3)} {
		for n := range len(src) {
			want := make([]float32, n+1)
			want[n] = -1 // a guard behind the end
			got := slices.Clone(want)
			for i, v := range src[:n] {
				want[i] = scale.table[v]
			}
			if scale.decode(got[:n], src[:n], src[:n]); !slices.Equal(got, want) {
				t.Fatalf("%s: %d values are wrong", name, n)
			}
		}
	}
}

func TestUnitScale(t *testing.T) {
	table := unitScale().table
	for v, got := range table {
		if want := float32(float64(v) / 255); got != want { // one float64 division of small integers rounds to float32 as one does
			t.Errorf("%d/255 is %v, want %v", v, got, want)
		}
	}
	if table[0] != 0 || table[255] != 1 {
		t.Error("ends are not 0 and 1")
	}
}
