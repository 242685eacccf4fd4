package dataset

import (
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

func openMasked(t *testing.T, share float64) *Data {
	t.Helper()
	file := writeText(t, []byte(strings.Repeat("to be, or not to be: that is the question\n", 400)))
	d, err := Open(config.Data{Kind: config.DataText, Dir: file, Context: 50, Mask: share})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readAll(t *testing.T, s Set, key rng.Key, from, to int) *Batch {
	t.Helper()
	var numbers []int32
	for n := from; n < to; n++ {
		numbers = append(numbers, int32(n))
	}
	b := &Batch{}
	if err := s.Read(b, numbers, key); err != nil {
		t.Fatal(err)
	}
	return b
}

// TestMaskingHidesAShare counts what becomes of the tokens.
func TestMaskingHidesAShare(t *testing.T) {
	d := openMasked(t, 0.15)
	mask := int32(d.Vocabulary.Len())
	if d.Schema[0].Classes != int(mask)+1 || d.Schema[1].Classes != int(mask)+1 || d.Schema[1].Name != HiddenTokens {
		t.Fatalf("schema %v, with %d characters", d.Schema, mask)
	}
	plain, err := newRecords(d.Train.(*records).Reader, successors{})
	if err != nil {
		t.Fatal(err)
	}
	masked, open := readAll(t, d.Train, rng.SeatKey(1, 2, 3, 0), 0, 250), readAll(t, plain, rng.Key{}, 0, 250)
	var chosen, hidden, other, kept, all float64
	for i, token := range masked.Columns[0].Ints {
		was, target := open.Columns[0].Ints[i], masked.Columns[1].Ints[i]
		all++
		switch {
		case target < 0:
			if token != was {
				t.Fatalf("token %d became %d but is not to be guessed", was, token)
			}
			continue
		case target != was:
			t.Fatalf("token %d is to be guessed as %d", was, target)
		case token == mask:
			hidden++
		case token != was:
			other++
		default:
			kept++
		}
		chosen++
	}
	for _, c := range []struct {
		name      string
		got, want float64
	}{{"chosen", chosen / all, 0.15}, {"masked", hidden / chosen, 0.8}, {"replaced", other / chosen, 0.1}, {"kept", kept / chosen, 0.1}} {
		if c.got < c.want-0.03 || c.got > c.want+0.03 {
			t.Errorf("%s: %.3f of the tokens, want about %.2f", c.name, c.got, c.want)
		}
	}
}

// TestEvaluationHidesTheSameTokens whatever the batch that a sample is in.
func TestEvaluationHidesTheSameTokens(t *testing.T) {
	d := openMasked(t, 0.3)
	all, last := readAll(t, d.Eval, rng.Key{}, 0, 9), readAll(t, d.Eval, rng.SeatKey(9, 9, 9, 9), 8, 9)
	for k, c := range all.Columns {
		if !slices.Equal(c.Ints[8*50:], last.Columns[k].Ints) {
			t.Errorf("sample 8 has other %s alone", d.Schema[k].Name)
		}
	}
	if slices.Equal(all.Columns[1].Ints[:50], all.Columns[1].Ints[50:100]) {
		t.Error("all samples have the same places hidden")
	}
	first, second := readAll(t, d.Train, rng.SeatKey(1, 0, 0, 0), 0, 9), readAll(t, d.Train, rng.SeatKey(1, 1, 0, 0), 0, 9)
	if slices.Equal(first.Columns[1].Ints, second.Columns[1].Ints) {
		t.Error("two steps hide the same tokens of a sample")
	}
}
