package report

import (
	"fmt"
	"io"
	"math"
	"slices"
	"text/tabwriter"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/printable"
)

// Side is one of two runs that are compared.
type Side struct {
	Run         string `json:"run"`
	Job         string `json:"job"`
	Step        uint64 `json:"step"` // of its newest good checkpoint,
	Digest      string `json:"digest"`
	StateDigest string `json:"state_digest"`
	Curve       string `json:"curve_digest"`
	Data        string `json:"data_fingerprint"`
}

// Key is a key of the configuration that differs. A value is empty where the key does not exist.
type Key struct {
	Key  string `json:"key"`
	A    string `json:"a"`
	B    string `json:"b"`
	Bits bool   `json:"bits"` // the weights depend on it
}

// Fork is where two curves part: the first point that differs. Its figure is the mean of the steps from First to Step, or that of Step.
type Fork struct {
	First  uint64  `json:"first"`
	Step   uint64  `json:"step"`
	Figure string  `json:"figure"`
	A      *Number `json:"a"`
	B      *Number `json:"b"`
}

// Number is a float32 in JSON; what is not finite is a string.
type Number float32

// MarshalJSON writes the digits that bring the same float32 back.
func (n Number) MarshalJSON() ([]byte, error) {
	if x := float64(n); math.IsNaN(x) || math.IsInf(x, 0) {
		return fmt.Appendf(nil, "%q", fmt.Sprint(x)), nil
	}
	return fmt.Append(nil, float32(n)), nil
}

// Diff is how two runs differ.
type Diff struct {
	Same      bool    `json:"same"` // nothing that is compared differs
	A         Side    `json:"a"`
	B         Side    `json:"b"`
	Config    []Key   `json:"config"`
	SameData  bool    `json:"same_data"`
	Compared  uint64  `json:"curve_compared"` // the curves are compared up to this step
	Fork      *Fork   `json:"curve_differs"`
	Epoch     int     `json:"epoch_differs"` // the first epoch whose figures differ; 0: none
	AtStep    *uint64 `json:"digests_step"`  // the newest step of which both have a good checkpoint; null: there is none
	SameBits  *bool   `json:"same_digests"`  // there; null: there is none
	ShorterBy uint64  `json:"steps_apart"`   // how many steps one is behind the other
}

func sideOf(r *Run) Side {
	m := r.Entry.Manifest
	return Side{Run: r.Name, Job: m.Job, Step: m.Step, Digest: m.Digest.String(), StateDigest: m.StateDigest.String(), Curve: r.History.Digest(m.Step).String(),
		Data: m.Fingerprint.String()}
}

// Compare says how two runs differ.
func Compare(a, b *Run) *Diff {
	d := &Diff{A: sideOf(a), B: sideOf(b), Config: []Key{}, SameData: a.Entry.Manifest.Fingerprint == b.Entry.Manifest.Fingerprint}
	for _, c := range config.Changes(a.Job, b.Job) {
		d.Config = append(d.Config, Key{c.Key, c.Old, c.New, true})
	}
	for _, c := range config.FreeChanges(a.Job, b.Job) {
		d.Config = append(d.Config, Key{c.Key, c.Old, c.New, false})
	}
	d.ShorterBy = max(a.Entry.Step, b.Entry.Step) - min(a.Entry.Step, b.Entry.Step)
	d.Compared, d.Fork = forkOf(a.History.Curve(a.Entry.Step), b.History.Curve(b.Entry.Step))
	d.Epoch = epochOf(a.Records.Epochs, b.Records.Epochs, d.ShorterBy == 0)
	d.digests(a, b)
	d.Same = len(d.Config) == 0 && d.SameData && d.Fork == nil && d.Epoch == 0 && d.ShorterBy == 0 && d.SameBits != nil && *d.SameBits
	return d
}

// epochOf is the first epoch whose figures differ; 0: none does. whole: both did as many steps, so one that is missing differs too.
func epochOf(a, b []checkpoint.EpochMetrics, whole bool) int {
	n := min(len(a), len(b))
	for i := range n {
		if fmt.Sprint(a[i]) != fmt.Sprint(b[i]) { // NaNs are equal here
			return a[i].Epoch
		}
	}
	if whole && len(a) != len(b) {
		return slices.Concat(a[n:], b[n:])[0].Epoch
	}
	return 0
}

// digests compares the parameters and the states at the newest step that both have.
func (d *Diff) digests(a, b *Run) {
	for _, x := range slices.Backward(a.Saved) {
		for _, y := range b.Saved {
			if x.Step == y.Step && x.Manifest != nil && y.Manifest != nil {
				same := x.Manifest.Digest == y.Manifest.Digest && x.Manifest.StateDigest == y.Manifest.StateDigest
				d.AtStep, d.SameBits = &x.Step, &same
				return
			}
		}
	}
}

// stride is the number of steps that a point stands for.
func stride(points []checkpoint.Point) uint64 {
	if len(points) == 0 {
		return 0
	}
	return points[0].Step
}

// forkOf compares two curves as far as both go, the finer one thinned as it would be if it had gone on.
func forkOf(a, b []checkpoint.Point) (compared uint64, fork *Fork) {
	for stride(a) != 0 && stride(a) < stride(b) {
		a = checkpoint.Thin(a)
	}
	for stride(b) != 0 && stride(b) < stride(a) {
		b = checkpoint.Thin(b)
	}
	for i := range min(len(a), len(b)) {
		p, q := &a[i], &b[i]
		for _, f := range []struct {
			name string
			x, y float32
		}{{"loss", p.Loss, q.Loss}, {"accuracy", p.Accuracy, q.Accuracy}, {"learning_rate", p.LearningRate, q.LearningRate}, {"grad_norm", p.GradNorm, q.GradNorm}} {
			if math.Float32bits(f.x) != math.Float32bits(f.y) {
				x, y := Number(f.x), Number(f.y)
				return p.Step, &Fork{p.Step - stride(a) + 1, p.Step, f.name, &x, &y}
			}
		}
		compared = p.Step
	}
	return compared, nil
}

// maxValue bounds a value of the configuration that is shown.
const maxValue = 200

// Write tells it to people.
func (d *Diff) Write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", what, printable.Line(fmt.Sprintf(format, args...), 8*maxValue))
	}
	row("a", "%s: job %s, step %d", d.A.Run, d.A.Job, d.A.Step)
	row("b", "%s: job %s, step %d", d.B.Run, d.B.Job, d.B.Step)
	for _, k := range d.Config {
		note := ""
		if !k.Bits {
			note = "  (equal steps have equal weights all the same)"
		}
		row("configuration", "%s: %s | %s%s", k.Key, orAbsent(k.A), orAbsent(k.B), note)
	}
	if len(d.Config) == 0 {
		row("configuration", "equal")
	}
	if d.SameData {
		row("data", "equal")
	} else {
		row("data", "differ: fingerprints %s | %s", d.A.Data, d.B.Data)
	}
	d.writeCurve(row)
	switch {
	case d.AtStep == nil:
		row("weights", "there is no step of which both have a good checkpoint")
	case *d.SameBits:
		row("weights", "equal at step %d, and all else that training goes on from", *d.AtStep)
	default:
		row("weights", "differ at step %d", *d.AtStep)
	}
	row("digest", "%s at step %d", d.A.Digest, d.A.Step)
	row("digest", "%s at step %d", d.B.Digest, d.B.Step)
	return w.Flush()
}

func (d *Diff) writeCurve(row func(what, format string, args ...any)) {
	switch f := d.Fork; {
	case f == nil && d.Compared == 0:
		row("curve", "one of them has no point yet")
	case f == nil:
		row("curve", "equal up to step %d", d.Compared)
	case f.First == f.Step:
		row("curve", "differs from step %d on: %s %v | %v", f.Step, f.Figure, float32(*f.A), float32(*f.B))
	default:
		row("curve", "differs from one of the steps %d to %d on: %s %v | %v", f.First, f.Step, f.Figure, float32(*f.A), float32(*f.B))
	}
	if d.Epoch != 0 {
		row("epochs", "differ from epoch %d on", d.Epoch)
	}
	if d.ShorterBy != 0 {
		row("steps", "%d apart", d.ShorterBy)
	}
}

func orAbsent(value string) string {
	if value == "" {
		return "-"
	}
	return printable.Short(value, maxValue)
}
