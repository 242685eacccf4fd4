package report

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ringmaster/internal/checkpoint"
)

// The page shows every run, fetches nothing, and takes nothing that others wrote for markup.
func TestPage(t *testing.T) {
	epochs := []checkpoint.EpochMetrics{{Epoch: 1, Step: 50, TrainLoss: 0.5, HasEval: true, EvalLoss: 0.25, EvalAccuracy: math.NaN(), Metrics: "f1=0.5"},
		{Epoch: 2, Step: 100, TrainLoss: 0.25, HasEval: true, EvalLoss: math.Inf(1), EvalAccuracy: 0.5, Metrics: "f1=NaN"}}
	a := save(t, "first", trained{steps: 200, epochs: epochs})
	b := save(t, `<script>alert("x")`, trained{steps: 3000, forks: 98, data: 3, job: "train: {optimizer: {kind: adam, lr: 0.5}}"})
	text := `{"time":"2027-01-15T08:00:00Z","event":"started","step":0}
{"time":"2027-01-15T08:00:02Z","event":"progress","step":150,"samples_per_s":1000}
{"time":"2027-01-15T08:00:03Z","event":"worker_lost","step":160,"text":"<b>w2</b> & its host died"}
foreign
{"time":"2027-01-15T08:00:09Z","event":"finished","step":200}
`
	if err := os.WriteFile(filepath.Join(b.Name, "events.jsonl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b = load(t, b.Name)
	if b.Skipped != 1 {
		t.Errorf("%d lines are skipped", b.Skipped)
	}
	var out bytes.Buffer
	if err := WritePage(&out, []*Run{a, b}); err != nil {
		t.Fatal(err)
	}
	page := out.String()
	if !Own(out.Bytes()[:1<<10]) {
		t.Error("the page is not known again by its beginning")
	}
	for _, want := range []string{"2 runs side by side", "Training loss", "Gradient norm", "Learning rate", "Evaluation: loss", "Evaluation: f1", "Samples a second",
		"<code>train.optimizer.lr</code>", "<code>0.5</code>", a.Entry.Manifest.Digest.String(), b.History.Digest(3000).String(), "differs from step 97 on (loss)",
		"worker lost", "&lt;b&gt;w2&lt;/b&gt; &amp; its host died", "&lt;script&gt;alert", "<td>9s</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
	for _, pattern := range []string{`(?i)https?:`, `\bsrc=`, `\bhref=`, `url\(`, `@import`, `<b>w2`, `<script>alert`, `points="[^"]*(NaN|Inf)`, `ZgotmplZ`} {
		if found := regexp.MustCompile(pattern).FindString(page); found != "" {
			t.Errorf("the page has %s", found)
		}
	}
	if n := strings.Count(page, "<polyline "); n < 8 {
		t.Errorf("%d lines are drawn", n)
	}
}

// Axes have a few round numbers whatever the figures are, and lines stay within the picture.
func TestAxes(t *testing.T) {
	for name, ys := range map[string][]float64{"constant": {3, 3}, "zero": {0, 0}, "negative": {-5, -1}, "tiny": {1e-30, 3e-30}, "wide": {1e-12, 1e9}, "huge": {-1e38, 1e38},
		"gaps": {1, math.NaN(), 2, math.Inf(1), 3}, "close": {1e6, 1e6 + 1}} {
		c := &chart{}
		s := series{}
		for i, y := range ys {
			s.add(uint64(i+1), y)
		}
		c.add(s)
		if !c.draw() || len(c.Y) > 2*maxTicks || len(c.X) == 0 {
			t.Errorf("%s: %d ticks %v", name, len(c.Y), c.Y)
		}
		for _, l := range c.Lines {
			if strings.Contains(l.Points, "NaN") || strings.Contains(l.Points, "Inf") || strings.Contains(l.Points, "-") {
				t.Errorf("%s: %s", name, l.Points)
			}
		}
	}
	empty := &chart{}
	empty.add(series{steps: []uint64{1}, ys: []float64{math.NaN()}})
	if empty.draw() {
		t.Error("a chart of nothing is drawn")
	}
}
