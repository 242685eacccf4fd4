package kernel

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// someChoice is a choice and tiles that it may be for.
func someChoice() (*shape, keptChoice) {
	s := &shape{tier: AVX2, lanes: 8, log: 3, vectors: 2, rows: [5]int{0, 12, 6}, copying: copyingAVX2}
	s.fit(cpus["Zen 3"].Bounded())
	return s, keptChoice{Form: choiceForm, CPU: "some CPU", Tier: "avx2", Rows: [reaches]int{200, 60, 90, 20}}
}

func TestAChoiceIsKeptForItsCPU(t *testing.T) {
	_, k := someChoice()
	file := filepath.Join(t.TempDir(), "new", "choice.json")
	k.write(file)
	asked := k
	asked.Rows = [reaches]int{}
	if rows, ok := asked.read(file); !ok || rows != k.Rows {
		t.Errorf("read %v, %v; kept %v", rows, ok, k.Rows)
	}
	for what, spoil := range map[string]func(k *keptChoice){
		"CPU":  func(k *keptChoice) { k.CPU = "another" },
		"tier": func(k *keptChoice) { k.Tier = "neon" },
		"form": func(k *keptChoice) { k.Form++ },
	} {
		other := asked
		spoil(&other)
		if rows, ok := other.read(file); ok {
			t.Errorf("a choice for another %s counts: %v", what, rows)
		}
	}
}

// A file of anybody's making is not read, or leads to rows near the model's.
func TestAHostileChoiceDoesNoHarm(t *testing.T) {
	s, k := someChoice()
	file := filepath.Join(t.TempDir(), "choice.json")
	like := func(rows string) string {
		return fmt.Sprintf(`{"form":%d,"cpu":"some CPU","tier":"avx2","rows":%s}`, choiceForm, rows)
	}
	for _, text := range []string{"", "{", "null", "[1]", "\x00\xff", like("[1e99,0,0,0]"), like(`"x"`), like("[1,2,3,4]") + "}", strings.Repeat("[", 5000),
		like("[" + strings.Repeat("1,", 5000) + "1]"), like("[-9223372036854775808,9223372036854775807,0,-1]"), like("[]"), like("[1,2,3,4,5,6]"), like("null")} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		rows, ok := k.read(file)
		if !ok {
			continue
		}
		for r, n := range s.within(rows) {
			if n < s.pays[r]/unsure || n > s.pays[r]*unsure {
				t.Errorf("%.60q: %d rows, the model has %d", text, n, s.pays[r])
			}
		}
	}
	if err := os.WriteFile(file, []byte(like("[-9223372036854775808,9223372036854775807,0,-1]")), 0o600); err != nil {
		t.Fatal(err)
	}
	if rows, ok := k.read(file); !ok || s.within(rows) != (s.within([reaches]int{-1, 1 << 60, 0, 0})) {
		t.Errorf("rows beyond all bounds are not brought within them: %v, %v", rows, ok)
	}
}

// Where nothing can be kept there is no error: it is measured again.
func TestAChoiceThatCannotBeKept(t *testing.T) {
	_, k := someChoice()
	dir := t.TempDir()
	blocked := filepath.Join(dir, "a file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"", filepath.Join(blocked, "choice.json"), dir} {
		k.write(file)
		if rows, ok := k.read(file); ok {
			t.Errorf("%q: read %v", file, rows)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v: want the one file", entries, err)
	}
}

func TestMeasuringCanBeSwitchedOff(t *testing.T) {
	s, _ := someChoice()
	t.Setenv(MeasureVariable, "off")
	file := filepath.Join(t.TempDir(), "choice.json")
	if rows, ok := s.choose(file); ok {
		t.Errorf("measured %v", rows)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
}

// TestNoChoiceShowsInTheBits carries the golden products out with every operand packed that could be, with none, and as measured.
func TestNoChoiceShowsInTheBits(t *testing.T) {
	for _, tier := range Tiers() {
		s := tileShape(tier)
		if s == nil {
			continue
		}
		before := s.choice.rows.Load()
		defer func() { s.choice.rows.Store(before) }()
		measured, ok := s.measure()
		if !ok {
			t.Logf("%s: other programs left no time to measure", tier)
			measured = s.pays
		}
		t.Logf("%s: measured %v, the model has %v", tier, measured, s.pays)
		restore := Force(tier)
		for _, rows := range [][reaches]int{{}, {1 << 30, 1 << 30, 1 << 30, 1 << 30}, s.within(measured)} {
			s.choice.rows.Store(&rows)
			if got := digestOfProducts(nil); got != goldenProducts {
				t.Errorf("tier %s, packing from %v rows: the products have digest %s, want %s", tier, rows, got, goldenProducts)
			}
		}
		restore()
	}
}

// TestTheModelCountsFarFromItsAnswer checks that only products near the model's answer measure.
func TestTheModelCountsFarFromItsAnswer(t *testing.T) {
	s, _ := someChoice()
	for _, rows := range []int{1, s.pays[nearB]/unsure - 1, s.pays[nearB] * unsure} {
		if got := s.rowsThatPay(nearB, rows); got != s.pays[nearB] || s.choice.begun.Load() {
			t.Errorf("%d rows: %d, begun %v", rows, got, s.choice.begun.Load())
		}
	}
}

func TestRowsToRepay(t *testing.T) {
	const us = time.Microsecond
	for _, c := range []struct {
		inPlace, packed, short time.Duration
		want                   int
	}{
		{96*us + 48*us, 96*us + 20*us, 24*us + 20*us, 40}, // half a microsecond a row, and the copy takes 20
		{96 * us, 96*us + 20*us, 24*us + 20*us, 77},       // nothing gained
		{98 * us, 96*us + 20*us, 24*us + 20*us, 77},       // less than chance may make
		{96*us + 48*us, 96 * us, 24 * us, 77},             // a copy that takes no time
		{2 * us, 1 * us, 3 * us, 77},                      // a time that other programs lengthened
	} {
		if got := rowsToRepay(c.inPlace, c.packed, c.short, 77); got != c.want {
			t.Errorf("%v in place, %v packed, %v for few rows: %d, want %d", c.inPlace, c.packed, c.short, got, c.want)
		}
	}
}
