package sweep

import (
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

func TestAxes(t *testing.T) {
	for _, c := range []struct {
		text string
		want Axis
		err  string
	}{
		{"a.b=1,2", Axis{"a.b", []string{"1", "2"}}, ""},
		{" a = 1 , 2 ", Axis{"a", []string{"1", "2"}}, ""},
		{"model.layers=[784, 64, 10],[784, 10]", Axis{"model.layers", []string{"[784, 64, 10]", "[784, 10]"}}, ""},
		{`a="x,y",z`, Axis{"a", []string{`"x,y"`, "z"}}, ""},
		{"a={b: 1, c: 2}", Axis{"a", []string{"{b: 1, c: 2}"}}, ""},
		{"a=b=c", Axis{"a", []string{"b=c"}}, ""},
		{"a", Axis{}, `"a" must be KEY=VALUE,VALUE`},
		{"=1", Axis{}, `"=1" must be KEY=VALUE,VALUE`},
		{"a=1,,2", Axis{}, `"a=1,,2": value 2 is empty`},
		{"a=", Axis{}, `"a=": value 1 is empty`},
		{"a=1,1", Axis{}, `"a=1,1" has the value 1 twice`},
		{"a=[1,2", Axis{}, `"a=[1,2": a bracket or quote is not closed`},
	} {
		got, err := ParseAxis(c.text)
		if !reflect.DeepEqual(got, c.want) || message(err) != c.err {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDraws(t *testing.T) {
	for _, c := range []struct {
		text string
		want Draw
		err  string
	}{
		{"lr=0.001..0.1", Draw{Key: "lr", Low: 0.001, High: 0.1}, ""},
		{"lr=log:1e-4..1", Draw{Key: "lr", Low: 1e-4, High: 1, Log: true}, ""},
		{"n=1..8", Draw{Key: "n", Low: 1, High: 8, Whole: true}, ""},
		{"n=1..8.0", Draw{Key: "n", Low: 1, High: 8}, ""},
		{"k=sgd,adam", Draw{Key: "k", Values: []string{"sgd", "adam"}}, ""},
		{"n=8..1", Draw{}, `"n=8..1": 8 is not below 1`},
		{"n=1..1", Draw{}, `"n=1..1": 1 is not below 1`},
		{"n=a..b", Draw{}, `"n=a..b": a..b is no range LOW..HIGH of numbers`},
		{"n=1..inf", Draw{}, `"n=1..inf": 1..inf is no range LOW..HIGH of numbers`},
		{"n=log:0..1", Draw{}, `"n=log:0..1": a range by the logarithm begins above 0`},
		{"n=-1e308..1.5e308", Draw{}, `"n=-1e308..1.5e308": the range is too wide`},
		{"n=0..99999999999", Draw{}, `"n=0..99999999999": the range is too wide`},
	} {
		got, err := ParseDraw(c.text)
		if !reflect.DeepEqual(got, c.want) || message(err) != c.err {
			t.Errorf("%s: %+v, %v", c.text, got, err)
		}
	}
}

// What is drawn is within its range, spread over it, and does not depend on what else is drawn.
func TestDrawnValues(t *testing.T) {
	lr, n := Draw{Key: "lr", Low: 1e-4, High: 1, Log: true}, Draw{Key: "n", Low: -1, High: 2, Whole: true}
	both := Space{Random: []Draw{lr, n}, Points: 400}
	alone := Space{Random: []Draw{n}, Points: 400}
	trials, err := both.Trials(7)
	if err != nil {
		t.Fatal(err)
	}
	again, _ := both.Trials(7)
	only, _ := alone.Trials(7)
	other, _ := both.Trials(8)
	small, seen := 0, map[string]int{}
	for i, tr := range trials {
		_, text, _ := strings.Cut(tr.Sets[0], "=")
		x, err := strconv.ParseFloat(text, 64)
		if err != nil || x < 1e-4 || x > 1 {
			t.Fatalf("%v", tr)
		}
		if x < 1e-2 {
			small++
		}
		seen[tr.Sets[1]]++
		if tr.Sets[1] != only[i].Sets[0] || !reflect.DeepEqual(tr, again[i]) {
			t.Fatalf("trial %d: %v, alone %v, again %v", i, tr, only[i], again[i])
		}
	}
	if small < 150 || small > 250 || len(seen) != 4 {
		t.Errorf("%d of 400 below the middle, integers %v", small, seen)
	}
	for set, times := range seen {
		if times < 60 {
			t.Errorf("%s was drawn %d times of 400", set, times)
		}
	}
	if reflect.DeepEqual(other, trials) {
		t.Error("another seed draws the same")
	}
}

func TestTrials(t *testing.T) {
	s := Space{Grid: []Axis{{"a", []string{"1", "2"}}, {"b", []string{"x", "y"}}}, Seeds: 2}
	trials, err := s.Trials(math.MaxInt64)
	if err != nil || len(trials) != 8 {
		t.Fatal(trials, err)
	}
	if want := (Trial{Number: 4, Point: 2, Sets: []string{"a=1", "b=y"}, Seed: 1 << 63}); !reflect.DeepEqual(trials[3], want) {
		t.Errorf("%+v", trials[3])
	}
	long := make([]string, 40)
	for i := range long {
		long[i] = strconv.Itoa(i)
	}
	for _, c := range []struct {
		space Space
		want  string
	}{
		{Space{}, "nothing varies: give --grid KEY=A,B, --random KEY=LOW..HIGH or --seeds N"},
		{Space{Grid: []Axis{{"a", []string{"1"}}}, Random: []Draw{{Key: "a", High: 1}}}, "the key a is given twice"},
		{Space{Grid: []Axis{{"seed", []string{"1"}}}}, "the seed is varied by --seeds N"},
		{Space{Grid: []Axis{{"a", []string{"1"}}}, Points: 3}, "--trials says how many points --random draws, and there is none"},
		{Space{Grid: []Axis{{"a", long}, {"b", long}, {"c", long}, {"d", long}, {"e", long}}}, "these are more than 1000 trials; leave values out"},
		{Space{Seeds: 1 << 30}, "--trials and --seeds must be 1 to 1000"},
	} {
		if trials, err := c.space.Trials(1); message(err) != c.want {
			t.Errorf("%+v: %d trials, %v", c.space, len(trials), err)
		}
	}
}

func FuzzSpace(f *testing.F) {
	f.Add("a=1,2", "b=log:1..2")
	f.Add(`a=[1,"]"],2`, "b=1..9")
	f.Fuzz(func(t *testing.T, grid, random string) {
		a, err := ParseAxis(grid)
		if err != nil {
			return
		}
		d, err := ParseDraw(random)
		if err != nil {
			return
		}
		trials, err := (&Space{Grid: []Axis{a}, Random: []Draw{d}, Points: 2}).Trials(1)
		if err == nil && len(trials) != 2*len(a.Values) {
			t.Errorf("%q %q: %d trials", grid, random, len(trials))
		}
	})
}
