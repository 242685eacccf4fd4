package metric

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"strings"
	"testing"
)

// golden is one entry of testdata/golden.json, which testdata/golden.py records.
type golden struct {
	Kind          string
	Outputs       int
	Logits        [][]float32
	Probabilities [][]float32
	Classes       []int32
	Targets       [][]float32
	Weights       []float32
	Want          map[string]float64
	Confusion     [][]float64
}

func (g *golden) set(t *testing.T) *Set {
	t.Helper()
	kind := map[string]Kind{"classes": Classes, "labels": Labels, "values": Values}[g.Kind]
	var names []string
	for name := range g.Want {
		names = append(names, name)
	}
	set, err := New(names, Task{Kind: kind, Outputs: g.Outputs})
	if err != nil {
		t.Fatal(err)
	}
	return set.Tables()
}

// add adds the samples from begin to end.
func (g *golden) add(s *Sums, begin, end int) {
	for i := begin; i < end; i++ {
		switch g.Kind {
		case "classes":
			s.AddClass(g.Logits[i], g.Probabilities[i], g.Classes[i], g.Weights[i])
		case "labels":
			s.AddLabels(g.Logits[i], g.Targets[i], g.Weights[i])
		default:
			s.AddValues(g.Logits[i], g.Targets[i], g.Weights[i])
		}
	}
}

func goldens(t *testing.T) []golden {
	t.Helper()
	text, err := os.ReadFile("testdata/golden.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []golden
	if err := json.Unmarshal(text, &all); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestFiguresAreScikitLearns(t *testing.T) {
	for n, g := range goldens(t) {
		t.Run(fmt.Sprintf("%d %s of %d", n, g.Kind, g.Outputs), func(t *testing.T) {
			set := g.set(t)
			// As five seats do: each its part, sent as bytes and merged in order. One of them has no sample.
			all := set.Sums()
			borders := []int{0, 7, 7, 20, 21, len(g.Logits)}
			for k := range borders[1:] {
				part, read := set.Sums(), set.Sums()
				g.add(part, borders[k], borders[k+1])
				sent := part.Append(nil)
				if limit := set.Size(borders[k+1] - borders[k]); len(sent) > limit {
					t.Errorf("%d samples take %d bytes, at most %d were announced", borders[k+1]-borders[k], len(sent), limit)
				}
				if err := read.Decode(sent); err != nil {
					t.Fatal(err)
				}
				all.Merge(read)
			}
			for name, want := range g.Want {
				if got := set.Value(name, all); math.Abs(got-want) > 1e-9 {
					t.Errorf("%s is %.12g, scikit-learn says %.12g", name, got, want)
				}
			}
			for actual, row := range g.Confusion {
				for predicted, want := range row {
					if got := all.Confusion()[actual][predicted]; math.Abs(got-want) > 1e-9 {
						t.Errorf("confusion[%d][%d] is %v, want %v", actual, predicted, got, want)
					}
				}
			}
		})
	}
}

func TestIgnoredTargetsCountNowhere(t *testing.T) {
	set, err := New([]string{"accuracy", "top2", "f1", "auc"}, Task{Kind: Classes, Outputs: 3})
	if err != nil {
		t.Fatal(err)
	}
	plain, ignoring := set.Sums(), set.Sums()
	for i, z := range [][]float32{{1, 2, 3}, {3, 1, 2}, {0, 5, 1}} {
		plain.AddClass(z, z, int32(i), 1)
		ignoring.AddClass(z, z, int32(i), 1)
		ignoring.AddClass(z, z, -100, 1)
	}
	if string(plain.Append(nil)) != string(ignoring.Append(nil)) {
		t.Error("samples whose target is ignored show in the sums")
	}
}

func TestIgnoredLabelsCountNowhere(t *testing.T) {
	set, err := New([]string{"accuracy", "f1", "auc"}, Task{Kind: Labels, Outputs: 2})
	if err != nil {
		t.Fatal(err)
	}
	one, err := New([]string{"accuracy", "f1", "auc"}, Task{Kind: Labels, Outputs: 1})
	if err != nil {
		t.Fatal(err)
	}
	both, first := set.Sums(), one.Sums()
	both.AddLabels([]float32{1, 1}, []float32{-100, -1}, 1)
	for i, z := range []float32{2, -1, 1, -2} {
		y := float32(i % 2)
		first.AddLabels([]float32{z}, []float32{y}, 1)
		both.AddLabels([]float32{z, -z}, []float32{y, -1}, 1)
	}
	if got, want := set.Value("accuracy", both), one.Value("accuracy", first); got != want {
		t.Errorf("accuracy %v, without the ignored label %v", got, want)
	}
	if got, want := both.Classes()[0], first.Classes()[0]; got != want || both.Classes()[1].Weight != 0 {
		t.Errorf("%+v, without the ignored label %+v", both.Classes(), want)
	}
	if got, want := both.area(0), first.area(0); got != want {
		t.Errorf("area %v, without the ignored label %v", got, want)
	}
}

func TestUndefinedFiguresAreNotNumbers(t *testing.T) {
	set, err := New([]string{"auc", "accuracy"}, Task{Kind: Labels, Outputs: 1})
	if err != nil {
		t.Fatal(err)
	}
	sums := set.Sums()
	if v := set.Value("accuracy", sums); !math.IsNaN(v) {
		t.Errorf("the accuracy over no samples is %v", v)
	}
	sums.AddLabels([]float32{1}, []float32{1}, 1)
	sums.AddLabels([]float32{2}, []float32{1}, 1)
	if v := set.Value("auc", sums); !math.IsNaN(v) {
		t.Errorf("the area under the curve of positives alone is %v", v)
	}
	sums.AddLabels([]float32{float32(math.NaN())}, []float32{0}, 1)
	if v := set.Value("auc", sums); !math.IsNaN(v) {
		t.Errorf("the area with a score that is not a number is %v", v)
	}
}

func TestNamesAreCheckedAgainstTheTask(t *testing.T) {
	for _, c := range []struct {
		names []string
		task  Task
		want  string
	}{
		{[]string{"bleu"}, Task{Kind: Classes, Outputs: 3}, `"bleu" compares whole translations, which take many times as long as an evaluation: ringmaster eval --bleu tells it of a checkpoint`},
		{[]string{"acuracy"}, Task{Kind: Classes, Outputs: 3}, `"acuracy" is not a metric of this job; there are accuracy, topK`},
		{[]string{"rmse"}, Task{Kind: Classes, Outputs: 3}, `"rmse" is not a metric`},
		{[]string{"accuracy"}, Task{Kind: Values, Outputs: 1}, `there are mae, mse, rmse, r2`},
		{[]string{"top4"}, Task{Kind: Classes, Outputs: 3}, `"top4": want top1 to top3`},
		{[]string{"top0"}, Task{Kind: Classes, Outputs: 3}, `"top0" is not a metric`},
		{[]string{"top2"}, Task{Kind: Labels, Outputs: 3}, `"top2" is not a metric`},
		{[]string{"f1", "auc", "f1"}, Task{Kind: Classes, Outputs: 3}, `"f1" is listed twice`},
	} {
		if _, err := New(c.names, c.task); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.names, err, c.want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	set, err := New([]string{"auc", "top2"}, Task{Kind: Classes, Outputs: 3})
	if err != nil {
		f.Fatal(err)
	}
	sums := set.Sums()
	sums.AddClass([]float32{1, 2, 3}, []float32{0.1, 0.2, 0.7}, 1, 1)
	f.Add(sums.Append(nil))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		read := set.Sums()
		if read.Decode(b) != nil {
			return
		}
		if again := read.Append(nil); string(again) != string(b[:len(again)]) {
			t.Error("what was read is written otherwise")
		}
	})
}
