// Package watch shows a cluster full-screen in a terminal, and lets people act on it by keys. It sees what the page in the browser sees.
package watch

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"

	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/progress"
	"ringmaster/internal/ui"
)

// Look is how a row is shown.
type Look int

// The looks of rows.
const (
	Plain   Look = iota
	Title        // the job
	Heading      // of a section
	Alarm        // who holds the job up, or that no coordinator answers
	Curve
	Keys
	Question // that a key answers
)

// Row is a row of the screen: text without control characters.
type Row struct {
	Look Look
	Text string
}

// Scene is everything that a frame shows.
type Scene struct {
	Snapshot *ui.Snapshot // nil before the first answer
	Curve    []ui.Point
	Question string // what a key is to confirm; empty: nothing
	Answer   string // what became of the last action; empty: nothing
	ReadOnly bool
	Log      bool // the losses' axis is logarithmic
}

// Frame is a scene on a screen: height rows of at most width cells.
func Frame(s Scene, width, height int) []Row {
	if width < 1 || height < 1 {
		return nil
	}
	var rows []Row
	if s.Snapshot == nil || s.Snapshot.Status == nil {
		rows = []Row{{Title, "ringmaster"}}
		if s.Snapshot != nil && s.Snapshot.Error != "" {
			rows = append(rows, Row{Alarm, s.Snapshot.Error})
		} else {
			rows = append(rows, Row{Plain, "asking the cluster"})
		}
	} else {
		rows = body(s, width, height-1)
	}
	out := make([]Row, 0, height)
	for _, r := range rows[:min(len(rows), height-1)] {
		out = append(out, fit(r, width))
	}
	for len(out) < height-1 {
		out = append(out, Row{})
	}
	return append(out, fit(foot(s), width))
}

// maxText bounds a text from outside, in bytes, before it is cut to the screen.
const maxText = 4 << 10

// fit makes a row safe to show, and as wide as the screen at most.
func fit(r Row, width int) Row {
	r.Text = ansi.Truncate(printable.Line(r.Text, maxText), width, "…")
	return r
}

// foot is the last row: a question, an answer, or the keys.
func foot(s Scene) Row {
	several := ""
	if len(listed(s.Snapshot)) > 1 {
		several = "  1-9 job"
	}
	switch {
	case s.Question != "":
		return Row{Question, s.Question + "  y: yes  any other key: no"}
	case s.Answer != "":
		return Row{Plain, s.Answer}
	case s.ReadOnly:
		return Row{Keys, "q quit  l log scale" + several}
	}
	return Row{Keys, "q quit  p pause  r resume  +/- workers  s save  x stop  l log scale" + several}
}

// section is a heading with lines below it.
type section struct {
	heading string
	note    string // beside the heading
	lines   []string
	last    bool // its last lines are the ones to keep where there is too little room
}

// body is everything but the last row.
func body(s Scene, width, height int) []Row {
	rows := head(s.Snapshot)
	sections := []section{workers(s.Snapshot), events(s.Snapshot), queue(s.Snapshot)}
	left := height - len(rows)
	curve := plot(s.Curve, s.Log, width, curveHeight(sections, left))
	for _, line := range curve {
		rows = append(rows, Row{Curve, line})
	}
	left -= len(curve)
	for i, share := range shares(sections, left) {
		rows = append(rows, sections[i].rows(share)...)
	}
	return rows
}

// curveHeight gives the curve what the sections leave over, and a third of the room at least.
func curveHeight(sections []section, left int) int {
	for _, s := range sections {
		left -= s.height()
	}
	all := left
	for _, s := range sections {
		all += s.height()
	}
	return max(left, (all+2)/3)
}

func (s section) height() int {
	if len(s.lines) == 0 {
		return 0
	}
	return 1 + len(s.lines)
}

// shares divides rows among sections: each in turn gets one more until it has all that it needs. A heading alone is not worth a row.
func shares(sections []section, rows int) []int {
	out := make([]int, len(sections))
	for given := true; given; {
		given = false
		for i, s := range sections {
			more := 1
			if out[i] == 0 {
				more = 2
			}
			if out[i] < s.height() && rows >= more {
				out[i] += more
				rows -= more
				given = true
			}
		}
	}
	return out
}

// rows is a section in n rows. Lines that find no room are counted.
func (s section) rows(n int) []Row {
	if n < 2 {
		return nil
	}
	lines, heading := s.lines, s.heading
	if hidden := len(lines) - (n - 1); hidden > 0 {
		heading += fmt.Sprintf(" (%d more)", hidden)
		if lines = lines[:n-1]; s.last {
			lines = s.lines[hidden:]
		}
	}
	out := []Row{{Heading, heading + s.note}}
	for _, line := range lines {
		out = append(out, Row{Plain, "  " + line})
	}
	return out
}

// head is the job, and what is wrong.
func head(snap *ui.Snapshot) []Row {
	st := snap.Status
	if st.Job == "" {
		return append([]Row{{Title, "no job yet"}}, alarms(snap)...)
	}
	shot := progress.Snapshot{State: st.State, Step: st.Step, Steps: st.Steps, Epoch: st.Epoch, Loss: float64(st.TrainLoss), SamplesPerS: float64(st.SamplesPerS), Workers: seated(snap)}
	line := st.Job + "  " + st.State + "  " + shot.Line()
	if st.LeftS != nil && st.Step < st.Steps {
		line += "  " + progress.Duration(time.Duration(float64(*st.LeftS)*float64(time.Second))) + " left"
	}
	return append([]Row{{Title, line}}, alarms(snap)...)
}

func alarms(snap *ui.Snapshot) []Row {
	var rows []Row
	st := snap.Status
	if snap.Error != "" {
		rows = append(rows, Row{Alarm, "what follows is old: " + snap.Error})
	}
	if st.Error != "" {
		rows = append(rows, Row{Alarm, st.Error})
	}
	if st.Stalled != nil {
		rows = append(rows, Row{Alarm, st.Stalled.Reason})
	}
	for _, u := range st.Unsaved {
		rows = append(rows, Row{Alarm, u.Text})
	}
	if st.Message != "" {
		rows = append(rows, Row{Plain, st.Message})
	}
	return rows
}

// worthTelling is the wait in milliseconds from which on it is shown. In every step each worker waits a little for the others.
const worthTelling = 50

func workers(snap *ui.Snapshot) section {
	s := section{heading: plural.Of(len(snap.Status.Workers), "worker"), note: leader(snap)}
	id, host := 2, 4
	for _, w := range snap.Status.Workers {
		id, host = max(id, ansi.StringWidth(w.ID)), max(host, ansi.StringWidth(w.Host))
	}
	for _, w := range snap.Status.Workers {
		seats, pace := "no seats", ""
		if w.Arc != nil {
			seats = fmt.Sprintf("seats %d-%d", w.Arc[0], w.Arc[1]-1)
		}
		if w.Arc != nil && w.Arc[1]-w.Arc[0] == 1 {
			seats = fmt.Sprintf("seat %d", w.Arc[0])
		}
		if w.Arc != nil && w.SeatMs > 0 {
			pace = fmt.Sprintf("%.3g ms/seat", w.SeatMs)
		}
		doing := w.State
		if f := w.WaitingFor; f != nil && f.SinceMs >= worthTelling {
			doing = fmt.Sprintf("waits %s for %s (%s)", time.Duration(f.SinceMs)*time.Millisecond, f.Worker, f.Doing)
		}
		s.lines = append(s.lines, strings.TrimRight(fmt.Sprintf("%s  %-11s %-13s step %-8d %s  %s", pad(w.ID, id), seats, pace, w.Step, pad(w.Host, min(host, 20)), doing), " "))
	}
	return s
}

func seated(snap *ui.Snapshot) int {
	n := 0
	for _, w := range snap.Status.Workers {
		if w.Arc != nil {
			n++
		}
	}
	return n
}

// leader names the coordinators: "; c1 leads c2, c3".
func leader(snap *ui.Snapshot) string {
	var lead string
	var others []string
	for _, c := range snap.Status.Coordinators {
		if c.Leader {
			lead = c.ID
		} else {
			others = append(others, c.ID)
		}
	}
	switch {
	case lead == "" && len(others) == 0:
		return ""
	case lead == "":
		return "; no coordinator leads"
	case len(others) == 0:
		return "; coordinator " + lead
	}
	return "; coordinator " + lead + " leads, beside " + strings.Join(others, ", ")
}

func pad(text string, width int) string {
	text = ansi.Truncate(printable.Line(text, maxText), width, "…")
	return text + strings.Repeat(" ", max(0, width-ansi.StringWidth(text)))
}

// events are the views, checkpoints and epochs, in the order of their steps.
func events(snap *ui.Snapshot) section {
	type event struct {
		step uint64
		text string
	}
	var all []event
	for _, v := range snap.Views {
		all = append(all, event{v.Step, fmt.Sprintf("%s (%s): %s", plural.Of(v.Workers, "worker"), v.Cause, v.Reason)})
	}
	for _, e := range snap.Epochs {
		text := fmt.Sprintf("epoch %d ended", e.Epoch)
		if e.TrainLoss != nil {
			text += fmt.Sprintf("  train loss %.4f", *e.TrainLoss)
		}
		if e.Loss != nil {
			text += fmt.Sprintf("  test loss %.4f", *e.Loss)
		}
		if e.Accuracy != nil {
			text += fmt.Sprintf("  accuracy %.4f", *e.Accuracy)
		}
		all = append(all, event{e.Step, text})
	}
	for _, c := range snap.Checkpoints {
		all = append(all, event{c.Step, "checkpoint, " + printable.Bytes(c.Bytes)})
	}
	slices.SortStableFunc(all, func(a, b event) int {
		switch {
		case a.step < b.step:
			return -1
		case a.step > b.step:
			return 1
		}
		return 0
	})
	s := section{heading: "events", last: true}
	for _, e := range all {
		s.lines = append(s.lines, fmt.Sprintf("step %-8d %s", e.step, e.text))
	}
	return s
}

// listed are the jobs that have not ended, and the one that is shown.
func listed(snap *ui.Snapshot) (jobs []launch.JobEntry) {
	if snap == nil {
		return nil
	}
	for _, j := range snap.Jobs {
		if j.ID == snap.Job || !slices.Contains([]string{"done", "failed", "interrupted", "cancelled"}, j.State) {
			jobs = append(jobs, j)
		}
	}
	return jobs
}

// queue lists the jobs where there are several. The numbers of the first nine are keys that show them.
func queue(snap *ui.Snapshot) section {
	s := section{heading: "jobs"}
	jobs := listed(snap)
	if len(jobs) < 2 {
		return section{}
	}
	for i, j := range jobs {
		place, mark, number := "", " ", " "
		if j.Place > 0 {
			place = fmt.Sprintf(", place %d", j.Place)
		}
		if j.ID == snap.Job {
			mark = ">"
		}
		if i < 9 {
			number = strconv.Itoa(i + 1)
		}
		s.lines = append(s.lines, fmt.Sprintf("%s%s %s  %s%s, priority %d  step %d", mark, number, cmp.Or(j.Name, j.ID), j.State, place, j.Priority, j.Step))
	}
	return s
}
