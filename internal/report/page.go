package report

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"ringmaster/internal/metric"
	"ringmaster/internal/printable"
	"ringmaster/internal/records"
)

// MaxRuns bounds how many runs a page compares: with more, nobody could tell the lines from each other.
const MaxRuns = 16

// mostRows bounds a run's rows of what happened; the page says how many are left out.
const mostRows = 200

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what the template shows.
type page struct {
	Runs    []summary
	Charts  []*chart
	Figures []string   // names of the last evaluations' figures
	Keys    []keyRow   // of the configuration that differ
	Forks   []forkRow  // from the first run
	Happens []happened // by run
}

// summary is a run's row.
type summary struct {
	Index                     int
	Name, Path, Job           string
	Seats                     int
	Step                      uint64
	Epoch                     int
	Loss                      string
	Eval                      []string // by page.Figures
	Digest, State, Curve      string
	Data, Config              string
	Checkpoints               []saved
	Size                      string
	Time, Pace, Workers, Ends string // of the recorded launches; empty where that was not recorded
	Lost                      int
}

type saved struct {
	Step         uint64
	Size, Digest string
}

// keyRow is a key of the configuration with each run's value.
type keyRow struct {
	Key    string
	Values []string
	Bits   bool
}

// forkRow says where a run parts from the first.
type forkRow struct {
	Index                      int
	Name, Curve, Weights, Data string
}

type happened struct {
	Index  int
	Name   string
	Rows   []eventRow
	Beyond int // rows that are left out
}

type eventRow struct {
	Time, Step, What, Text string
	Bad                    bool
}

// WritePage writes a page of plots and tables that needs nothing else.
func WritePage(out io.Writer, runs []*Run) error {
	p := &page{}
	names := shortNames(runs)
	for _, r := range runs {
		for _, name := range evaluated(r) {
			if !slices.Contains(p.Figures, name) {
				p.Figures = append(p.Figures, name)
			}
		}
	}
	for i, r := range runs {
		p.Runs = append(p.Runs, p.summarize(i, names[i], r))
		if rows, beyond := happenings(r); len(rows) > 0 {
			p.Happens = append(p.Happens, happened{i, names[i], rows, beyond})
		}
		if i > 0 {
			p.Forks = append(p.Forks, forkRowOf(i, names[i], Compare(runs[0], r)))
		}
	}
	p.Keys = differences(runs)
	p.Charts = charts(runs, names)
	if err := pageTemplate.Execute(out, p); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	return nil
}

// Own reports whether a file is a page that WritePage wrote, by its beginning.
func Own(beginning []byte) bool { return bytes.Contains(beginning, []byte("<title>Ringmaster: ")) }

// shortNames are the folders' last names where these are different, else whole paths.
func shortNames(runs []*Run) []string {
	names := make([]string, len(runs))
	seen := map[string]bool{}
	for i, r := range runs {
		names[i] = printable.Line(filepath.Base(filepath.Clean(r.Name)), 80)
		if seen[names[i]] || names[i] == "." || names[i] == ".." {
			for k, r := range runs {
				names[k] = printable.Line(r.Name, 200)
			}
			return names
		}
		seen[names[i]] = true
	}
	return names
}

// lastEval are the figures of a run's last evaluation, loss and accuracy first.
func lastEval(r *Run) []metric.Figure {
	for _, e := range slices.Backward(r.Records.Epochs) {
		if !e.HasEval {
			continue
		}
		out := []metric.Figure{{Name: "loss", Value: e.EvalLoss}}
		if !math.IsNaN(e.EvalAccuracy) {
			out = append(out, metric.Figure{Name: "accuracy", Value: e.EvalAccuracy})
		}
		told, _ := metric.Parse(e.Metrics) // of another version's program: the others are shown
		for _, f := range told {
			if f.Name != "accuracy" && slices.Contains(r.Records.Metrics, f.Name) {
				out = append(out, f)
			}
		}
		return out
	}
	return nil
}

func evaluated(r *Run) (names []string) {
	for _, f := range lastEval(r) {
		names = append(names, f.Name)
	}
	return names
}

func (p *page) summarize(i int, name string, r *Run) summary {
	m := r.Entry.Manifest
	s := summary{Index: i, Name: name, Path: r.Name, Job: m.Job, Seats: m.Seats, Step: m.Step, Epoch: m.Position.Epoch, Loss: "-", Digest: m.Digest.String(),
		State: m.StateDigest.String(), Curve: r.History.Digest(m.Step).String(), Data: m.Fingerprint.String(), Config: m.Config}
	if n := len(r.Records.Points); n > 0 {
		s.Loss = figure(float64(r.Records.Points[n-1].Loss))
	}
	told := lastEval(r)
	for _, name := range p.Figures {
		at := slices.IndexFunc(told, func(f metric.Figure) bool { return f.Name == name })
		if at < 0 {
			s.Eval = append(s.Eval, "-")
		} else {
			s.Eval = append(s.Eval, figure(told[at].Value))
		}
	}
	for _, e := range r.Saved {
		s.Checkpoints = append(s.Checkpoints, saved{e.Step, printable.Bytes(uint64(e.Bytes)), e.Manifest.Digest.String()})
	}
	s.Size = printable.Bytes(uint64(r.Entry.Bytes))
	s.recorded(r.Events)
	return s
}

// colours is how many the page has; more runs use them again, dashed.
const colours = 8

// Colour is the number of the run's colour.
func (s summary) Colour() int { return s.Index % colours }

// Dash reports whether the run's lines are dashed.
func (s summary) Dash() bool { return s.Index >= colours }

// recorded adds what the record of events says.
func (s *summary) recorded(events []records.Event) {
	var trained time.Duration
	var began time.Time
	pace, n, most := 0.0, 0, uint32(0)
	for _, e := range events {
		switch e.Event {
		case records.Started:
			began = e.Time
		case records.WorkerLost:
			s.Lost++
		case records.Finished, records.Failed, records.Interrupted, records.Cancelled:
			s.Ends = e.Event
			if !began.IsZero() {
				trained += e.Time.Sub(began)
			}
			began = time.Time{}
		}
		if e.SamplesPerS != nil {
			pace, n = pace+*e.SamplesPerS, n+1
		}
		most = max(most, e.Workers)
	}
	if trained > 0 {
		s.Time = trained.Round(100 * time.Millisecond).String()
	}
	if n > 0 {
		s.Pace = figure(math.Round(pace / float64(n)))
	}
	if most > 0 {
		s.Workers = strconv.Itoa(int(most))
	}
}

// figure writes a number with as many digits as one compares.
func figure(x float64) string { return strconv.FormatFloat(x, 'g', 6, 64) }

// differences are the keys whose values are not the same in all runs.
func differences(runs []*Run) []keyRow {
	var rows []keyRow
	at := map[string]int{}
	for i, r := range runs[1:] {
		for _, k := range Compare(runs[0], r).Config {
			row, known := at[k.Key]
			if !known {
				row = len(rows)
				at[k.Key] = row
				rows = append(rows, keyRow{Key: k.Key, Values: make([]string, len(runs)), Bits: k.Bits})
				for j := range runs {
					rows[row].Values[j] = orAbsent(k.A) // as long as nothing else is said of that run
				}
			}
			rows[row].Bits = rows[row].Bits || k.Bits
			rows[row].Values[i+1] = orAbsent(k.B)
		}
	}
	return rows
}

func forkRowOf(i int, name string, d *Diff) forkRow {
	row := forkRow{Index: i, Name: name, Data: "equal", Curve: fmt.Sprintf("equal up to step %d", d.Compared), Weights: "no common checkpoint"}
	if !d.SameData {
		row.Data = "differ"
	}
	if f := d.Fork; f != nil {
		row.Curve = fmt.Sprintf("differs from step %d on (%s)", f.First, f.Figure)
	}
	if d.AtStep != nil {
		row.Weights = fmt.Sprintf("differ at step %d", *d.AtStep)
		if *d.SameBits {
			row.Weights = fmt.Sprintf("same bits at step %d", *d.AtStep)
		}
	}
	return row
}

// happenings are the views, faults and ends of a run.
func happenings(r *Run) (rows []eventRow, beyond int) {
	for _, e := range r.Events {
		bad := e.Event == records.WorkerLost || e.Event == records.Stalled || e.Event == records.Failed
		if !bad && !slices.Contains([]string{records.Started, records.View, records.Finished, records.Interrupted, records.Cancelled}, e.Event) {
			continue
		}
		if len(rows) == mostRows {
			beyond++
			continue
		}
		text := e.Text
		if text == "" {
			text = e.Digest
		}
		what := e.Event
		if bad && e.Event == records.WorkerLost {
			what = "worker lost"
		}
		rows = append(rows, eventRow{e.Time.UTC().Format("2006-01-02 15:04:05"), strconv.FormatUint(e.Step, 10), what, printable.Line(text, 400), bad})
	}
	return rows, beyond
}

// charts are the curves of all runs, those charts that have something to show.
func charts(runs []*Run, names []string) []*chart {
	titles := []string{"Training loss", "Training accuracy", "Learning rate", "Gradient norm", "Noise scale of the gradients", "Samples a second"}
	byTitle := map[string]*chart{}
	at := func(title string) *chart {
		c := byTitle[title]
		if c == nil {
			c = &chart{Title: title}
			byTitle[title] = c
			if !slices.Contains(titles, title) {
				titles = append(titles, title)
			}
		}
		return c
	}
	for i, r := range runs {
		drawRun(at, i, names[i], r)
	}
	var out []*chart
	for _, title := range titles {
		if c := byTitle[title]; c != nil && c.draw() {
			out = append(out, c)
		}
	}
	for i, r := range runs {
		for _, e := range r.Events {
			if e.Event == records.WorkerLost || e.Event == records.View {
				for _, c := range out {
					if len(c.Marks) < mostRows && e.Step <= c.Steps {
						c.Marks = append(c.Marks, mark{i, pixel(c.x(e.Step)), fmt.Sprintf("%s, step %d: %s", names[i], e.Step, printable.Line(e.Text, 400))})
					}
				}
			}
		}
	}
	return out
}

// drawRun adds a run's lines to the charts.
func drawRun(at func(title string) *chart, i int, name string, r *Run) {
	line := func() series { return series{run: i, name: name} }
	loss, accuracy, rate, norm, noise, pace := line(), line(), line(), line(), line(), line()
	for k := range r.Records.Points {
		p := &r.Records.Points[k]
		loss.add(p.Step, float64(p.Loss))
		accuracy.add(p.Step, float64(p.Accuracy))
		rate.add(p.Step, float64(p.LearningRate))
		norm.add(p.Step, float64(p.GradNorm))
		noise.add(p.Step, p.NoiseScale())
	}
	for _, e := range r.Events {
		if e.SamplesPerS != nil {
			pace.add(e.Step, *e.SamplesPerS)
		}
	}
	at("Training loss").add(loss)
	if r.Records.Accurate {
		at("Training accuracy").add(accuracy)
	}
	at("Learning rate").add(rate)
	at("Gradient norm").add(norm)
	if r.Records.Noisy {
		at("Noise scale of the gradients").add(noise)
	}
	at("Samples a second").add(pace)
	for _, figure := range evaluated(r) {
		s := line()
		for _, e := range r.Records.Epochs {
			if e.HasEval {
				told := metric.Evaluated{TrainLoss: e.TrainLoss, HasEval: true, Loss: e.EvalLoss, Accuracy: e.EvalAccuracy, Figures: e.Metrics}
				s.add(e.Step, told.Value(figure))
			}
		}
		at("Evaluation: " + figure).add(s)
	}
}
