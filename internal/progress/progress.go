// Package progress shows how a job goes on: a bar on a terminal, otherwise a line every few seconds.
package progress

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"ringmaster/internal/plural"
)

// Snapshot is the condition of a job at one moment.
type Snapshot struct {
	State         string  // waiting, running, ...
	Message       string  // what it waits for; may be empty
	Stall         string  // who holds it up and for how long; may be empty
	Unsaved       string  // who cannot store what, and why; may be empty
	Culprit       string  // who holds it up and how: a line of its own when it changes
	Step, Steps   uint64  // done, and in all; Steps 0: not known yet
	Epoch, Epochs int     // the one under way (from 1), and in all; Epochs 0: not known
	Loss          float64 // mean over a recent window; NaN: none yet
	Metric        string  // the figure that the job asks to see, of the newest epoch: "test f1 0.9312"; may be empty
	SamplesPerS   float64
	Batch         int // samples a step
	Workers       int
}

// Remaining is how long the rest will take at the present speed; ok is false while that is unknown.
func (s Snapshot) Remaining() (left time.Duration, ok bool) {
	if s.Steps == 0 || s.SamplesPerS <= 0 || s.Batch <= 0 || s.Step > s.Steps {
		return 0, false
	}
	seconds := float64(s.Steps-s.Step) * float64(s.Batch) / s.SamplesPerS
	if !(seconds < 1e9) {
		return 0, false
	}
	return time.Duration(seconds * float64(time.Second)), true
}

// Line is the snapshot in one line.
func (s Snapshot) Line() string {
	parts := []string{"step " + count(s.Step, s.Steps)}
	if s.Epoch > 0 {
		parts = append(parts, "epoch "+count(uint64(s.Epoch), uint64(s.Epochs)))
	}
	parts = append(parts, s.figures()...)
	if left, ok := s.Remaining(); ok && s.Step < s.Steps {
		parts = append(parts, Duration(left)+" left")
	}
	for _, text := range []string{s.Message, s.Stall, s.Unsaved} {
		if text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, "  ")
}

// figures are the parts that a bar has room for too.
func (s Snapshot) figures() []string {
	var parts []string
	if !math.IsNaN(s.Loss) {
		parts = append(parts, fmt.Sprintf("loss %.4f", s.Loss))
	}
	if s.Metric != "" {
		parts = append(parts, s.Metric)
	}
	if s.SamplesPerS > 0 {
		parts = append(parts, Rate(s.SamplesPerS)+" samples/s")
	}
	return append(parts, plural.Of(s.Workers, "worker"))
}

func count(done, all uint64) string {
	if all == 0 {
		return fmt.Sprint(done)
	}
	return fmt.Sprintf("%d/%d", done, all)
}

// Rate writes a rate with three significant digits and no exponent.
func Rate(v float64) string {
	switch {
	case v >= 1e6:
		return fmt.Sprintf("%.1fM", v/1e6)
	case v >= 1e4:
		return fmt.Sprintf("%.1fk", v/1e3)
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.1f", v)
}

// Duration writes a time span the way a person would: 4s, 2m05s, 3h12m.
func Duration(d time.Duration) string {
	switch d = d.Round(time.Second); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", int(d.Minutes()), int(d.Seconds())%60)
	}
	return fmt.Sprintf("%dh%02dm", int(d.Hours()), int(d.Minutes())%60)
}

// Display shows a job's progress. It is used by one goroutine.
type Display interface {
	Update(Snapshot)
	Note(line string) // something worth a line of its own
	Close()           // the display is over; nothing more is shown
}

// Modes are the values that New takes.
var Modes = []string{"auto", "bar", "plain", "none"}

// New makes a display on a file or an Output. auto takes a bar on a terminal (unless NO_COLOR is set or the terminal is dumb) and
// plain lines otherwise; none shows notes alone.
func New(mode string, out io.Writer, now func() time.Time) (Display, error) {
	switch mode {
	case "auto":
		if f, ok := out.(interface{ Fd() uintptr }); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" {
			return newBar(out), nil
		}
		return newPlain(out, now), nil
	case "bar":
		return newBar(out), nil
	case "plain":
		return newPlain(out, now), nil
	case "none":
		return &silent{out}, nil
	}
	return nil, fmt.Errorf("--progress %s is not known; it is one of %s", mode, strings.Join(Modes, ", "))
}

// silent shows nothing but notes.
type silent struct{ out io.Writer }

func (s *silent) Update(Snapshot)  {}
func (s *silent) Note(line string) { fmt.Fprintln(s.out, line) }
func (s *silent) Close()           {}

// plain writes a line when something changes, at most one every interval while only the step moves.
type plain struct {
	out   io.Writer
	now   func() time.Time
	shown Snapshot
	at    time.Time
	any   bool
}

// interval is the time between two plain lines that differ only in figures.
const interval = 2 * time.Second

func newPlain(out io.Writer, now func() time.Time) *plain { return &plain{out: out, now: now} }

func (p *plain) Update(s Snapshot) {
	now := p.now()
	atEnd := s.Steps > 0 && s.Step == s.Steps
	// That a job whose last step has been shown is done is no news: a line with the epoch's loss instead of the newest one
	// would look like another step.
	ended := p.any && atEnd && p.shown.Step == s.Step && s.State == "done"
	changed := !p.any || s.State != p.shown.State && !ended || s.Message != p.shown.Message || s.Epoch != p.shown.Epoch || s.Workers != p.shown.Workers
	changed = changed || s.Unsaved != p.shown.Unsaved || s.Culprit != "" && s.Culprit != p.shown.Culprit
	finished := atEnd && s.Step != p.shown.Step
	moved := s.Step != p.shown.Step && now.Sub(p.at) >= interval
	if !changed && !finished && !moved {
		return
	}
	p.shown, p.at, p.any = s, now, true
	if s.State == "waiting" && s.Step == 0 {
		fmt.Fprintln(p.out, strings.TrimSpace("waiting  "+s.Message))
		return
	}
	fmt.Fprintln(p.out, s.Line())
}

func (p *plain) Note(line string) { fmt.Fprintln(p.out, line) }
func (p *plain) Close()           {}
