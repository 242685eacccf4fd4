package dataset

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/rng"
)

// herd is a table of animals: x tells a row from all others, a quarter are goats, and seven farms have more animals the higher their number.
func herd(n int) []string {
	rows := make([]string, n)
	for i := range rows {
		kind := "sheep"
		if i%4 == 3 {
			kind = "goat"
		}
		farm := 0
		for (farm+1)*(farm+2)/2 <= i%28 {
			farm++
		}
		rows[i] = fmt.Sprintf("%d,%s,farm %d\n", i, kind, farm)
	}
	return rows
}

const herdHeader = "x,kind,farm\n"

func splitConfig(t *testing.T, s config.Split, rows []string) config.Data {
	c := tableConfig(t, config.DataCSV, herdHeader+strings.Join(rows, ""), "")
	c.Target, c.Weight, c.Categories, c.Split = "kind", "", []string{"kind"}, s
	c.Features = []string{"x"}
	if s.By == config.SplitGroup {
		c.Features, c.Group = nil, "farm"
	}
	return c
}

// parts are the x of the training rows and of those for evaluation.
func parts(t *testing.T, c config.Data) (train, eval []int, d *Data) {
	t.Helper()
	d, err := Open(c)
	if err != nil {
		t.Fatal(err)
	}
	return xs(t, d.Train), xs(t, d.Eval), d
}

func xs(t *testing.T, s Set) (x []int) {
	t.Helper()
	var b Batch
	indices := make([]int32, s.Len())
	for i := range indices {
		indices[i] = int32(i)
	}
	if err := s.Read(&b, indices, rng.Key{}); err != nil {
		t.Fatal(err)
	}
	for i, v := range b.values() {
		if goat := int(v)%4 == 3; goat != (b.targets()[i] == 0) {
			t.Fatalf("row %v has class %d", v, b.targets()[i])
		}
		x = append(x, int(v))
	}
	return x
}

// TestSplits splits in every way: no row is lost, none is in both parts, the same seed gives the same parts and another one others, and the parts are
// of about the size that was asked for.
func TestSplits(t *testing.T) {
	rows := herd(280)
	for _, by := range []string{config.SplitRandom, config.SplitStratified, config.SplitGroup, config.SplitHash} {
		for _, folds := range []int{0, 4} {
			s := config.Split{By: by, Seed: 1, Eval: 0.25}
			if folds > 0 {
				s.Eval, s.Folds = 0, folds
			}
			c := splitConfig(t, s, rows)
			train, eval, d := parts(t, c)
			all := slices.Concat(train, eval)
			if slices.Sort(all); len(all) != len(rows) || all[0] != 0 || len(slices.Compact(all)) != len(rows) {
				t.Errorf("%+v: %d and %d rows, %v", s, len(train), len(eval), all)
			}
			if !slices.IsSorted(train) || !slices.IsSorted(eval) {
				t.Errorf("%+v: rows are not in the order of the file", s)
			}
			slack := map[string]int{config.SplitGroup: 30, config.SplitHash: 25}[by]
			if len(eval) < 70-slack || len(eval) > 70+slack {
				t.Errorf("%+v: %d rows for evaluation", s, len(eval))
			}
			if want := fmt.Sprintf("%d rows for training and %d for evaluation", len(train), len(eval)); !strings.HasPrefix(d.Read, want) || !strings.HasSuffix(d.Read, "seed 1") {
				t.Errorf("%+v: read %q", s, d.Read)
			}
			like, err := OpenLike(c, d.Describe())
			if err != nil || like.Fingerprint != d.Fingerprint {
				t.Errorf("%+v: for its own model the data are others, %v", s, err)
			}
			c.Split.Seed = 2
			if _, again, other := parts(t, c); slices.Equal(eval, again) || other.Fingerprint == d.Fingerprint {
				t.Errorf("%+v: another seed gives the same parts", s)
			}
			if folds > 0 {
				seen := eval
				for c.Split.Seed, c.Split.Fold = 1, 1; c.Split.Fold < folds; c.Split.Fold++ {
					_, more, _ := parts(t, c)
					seen = slices.Concat(seen, more)
				}
				if slices.Sort(seen); len(seen) != len(rows) || len(slices.Compact(seen)) != len(rows) {
					t.Errorf("%+v: the folds are not the whole", s)
				}
			}
		}
	}
}

// TestSplitsKeepTheirRule checks what each way of splitting promises.
func TestSplitsKeepTheirRule(t *testing.T) {
	rows := herd(280)
	_, eval, _ := parts(t, splitConfig(t, config.Split{By: config.SplitStratified, Seed: 3, Eval: 0.1}, rows))
	goats := 0
	for _, x := range eval {
		if x%4 == 3 {
			goats++
		}
	}
	if len(eval) != 28 || goats != 7 {
		t.Errorf("stratified: %d goats of %d", goats, len(eval))
	}

	train, eval, _ := parts(t, splitConfig(t, config.Split{By: config.SplitGroup, Seed: 3, Eval: 0.3}, rows))
	farm := func(x int) string { return rows[x][strings.LastIndex(rows[x], ",")+1:] }
	for _, x := range eval {
		if slices.ContainsFunc(train, func(y int) bool { return farm(x) == farm(y) }) {
			t.Fatalf("group: %s is in both parts", farm(x))
		}
	}

	s := config.Split{By: config.SplitHash, Seed: 3, Eval: 0.25}
	_, before, _ := parts(t, splitConfig(t, s, rows))
	more := herd(500)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(more), func(i, j int) { more[i], more[j] = more[j], more[i] })
	_, after, _ := parts(t, splitConfig(t, s, more))
	after = slices.DeleteFunc(after, func(x int) bool { return x >= 280 })
	if slices.Sort(after); !slices.Equal(before, after) {
		t.Errorf("hash: more rows in another order moved others: %v, %v", before, after)
	}
}

// TestSplitGolden holds the parts to what they were: they are part of the bits.
func TestSplitGolden(t *testing.T) {
	for by, want := range map[string][]int{
		config.SplitRandom:     {9, 11, 13, 17, 18},
		config.SplitStratified: {0, 6, 9, 14, 15},
		config.SplitGroup:      {15, 16, 17, 18, 19},
		config.SplitHash:       {2, 15, 17, 18, 19},
	} {
		if _, eval, _ := parts(t, splitConfig(t, config.Split{By: by, Seed: 1, Eval: 0.25}, herd(20))); !slices.Equal(eval, want) {
			t.Errorf("%s: rows %v, want %v", by, eval, want)
		}
	}
}

// TestSplitsRefused names what cannot be split. Categories are those of the training part alone.
func TestSplitsRefused(t *testing.T) {
	for want, change := range map[string]func(c *config.Data, rows []string) []string{
		`data.group: train.csv has no column "barn"`:    func(c *config.Data, rows []string) []string { c.Group = "barn"; return rows },
		"data.split: of 1 row in train.csv none is for": func(_ *config.Data, rows []string) []string { return rows[:1] },
		`train.csv:4:9: row 3, column "farm": nothing is not a category: it should`: func(c *config.Data, rows []string) []string {
			c.Split.By, c.Group, c.Features = config.SplitGroup, "farm", []string{"x"}
			rows[2] = "2,sheep,\n"
			return rows
		},
		`column "farm": the category "only here0" occurs in the evaluation part alone, so no model can learn it`: func(c *config.Data, rows []string) []string {
			c.Features, c.Categories = nil, []string{"kind", "farm"}
			_, eval, _ := parts(t, splitConfig(t, c.Split, rows))
			rows[eval[0]] = strings.Replace(rows[eval[0]], "farm ", "only here", 1)
			return rows
		},
	} {
		c := splitConfig(t, config.Split{By: config.SplitRandom, Seed: 1, Eval: 0.25}, nil)
		changed := change(&c, herd(28))
		at := tableConfig(t, config.DataCSV, herdHeader+strings.Join(changed, ""), "")
		c.Train = at.Train
		_, err := Open(c)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "data.") {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
