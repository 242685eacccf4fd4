package median

import (
	"slices"
	"testing"
)

func TestTheMedianIsTheMiddleOrBetweenTheMiddleTwo(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{[]float64{7}, 7}, {[]float64{3, 1}, 2}, {[]float64{9, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		before := slices.Clone(c.values)
		if got := Of(c.values); got != c.want || !slices.Equal(c.values, before) {
			t.Errorf("the median of %v is %v, want %v; they are %v afterwards", before, got, c.want, c.values)
		}
	}
}
