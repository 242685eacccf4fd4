package metric

import (
	"math"
	"testing"
)

func TestFiguresKeepEveryBit(t *testing.T) {
	want := []Figure{{"f1", 1.0 / 3}, {"auc", math.NaN()}, {"perplexity", math.Inf(1)}, {"r2", -5e-324}, {"top5", 1}}
	line := Format(want)
	if line != "f1=0.3333333333333333 auc=NaN perplexity=+Inf r2=-5e-324 top5=1" {
		t.Errorf("written as %q", line)
	}
	got, err := Parse(line)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%v, %v", got, err)
	}
	for i, f := range got {
		if f.Name != want[i].Name || f.Value != want[i].Value && !(math.IsNaN(f.Value) && math.IsNaN(want[i].Value)) {
			t.Errorf("%+v became %+v", want[i], f)
		}
	}
	if none, err := Parse(""); none != nil || err != nil {
		t.Errorf("of nothing: %v, %v", none, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("f1=0.5 auc=NaN")
	f.Add("=1 x")
	f.Fuzz(func(t *testing.T, line string) {
		figures, err := Parse(line)
		if err != nil {
			return
		}
		if again, err := Parse(Format(figures)); err != nil || len(again) != len(figures) {
			t.Errorf("%q: %v, %v", line, again, err)
		}
	})
}
