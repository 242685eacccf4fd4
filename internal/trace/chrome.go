package trace

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"
)

// Process is the trace of one worker.
type Process struct {
	Worker, Host   string
	PID            int64
	Previous, Next string // its neighbours in the ring
	Spans          []Span
	Lost           uint64
	// Origin is the recording's by the clock that all processes share, in nanoseconds since 1970, and Uncertainty by how much that may be
	// wrong. Offset is what was added to the worker's own clock to get there.
	Origin              int64
	Offset, Uncertainty time.Duration
}

// Steps is how many steps are in it to their end.
func (p *Process) Steps() int {
	n := 0
	for _, s := range p.Spans {
		if s.Kind == Step {
			n++
		}
	}
	return n
}

// event is one event of the format; see the Trace Event Format of the Chromium project.
type event struct {
	Name     string         `json:"name"`
	Category string         `json:"cat,omitempty"`
	Phase    string         `json:"ph"`            // X: whole, b and e: beginning and end of one that overlaps others, M: metadata
	Begin    *micros        `json:"ts,omitempty"`  // microseconds
	Lasted   *micros        `json:"dur,omitempty"` // microseconds
	PID      int            `json:"pid"`           // the worker's place, from 1: process numbers of several machines may be equal
	TID      int            `json:"tid"`
	ID       string         `json:"id,omitempty"`
	Args     map[string]any `json:"args,omitempty"`
}

// micros is a time in microseconds, written to the nanosecond.
type micros int64

// MarshalJSON writes the nanoseconds as microseconds.
func (n micros) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%d.%03d", n/1e3, n%1e3), nil }

const stepLoop = 1 // the thread of what the step loop does

// Write writes the traces as one JSON object that Perfetto and chrome://tracing open. Times count from the earliest span on.
func Write(w io.Writer, job string, processes []Process) error {
	out := bufio.NewWriter(w)
	clocks := map[string]string{}
	for _, p := range processes {
		clocks[p.Worker] = p.clock()
	}
	head, err := json.Marshal(map[string]any{"job": job, "clocks": clocks})
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "{\"displayTimeUnit\":\"ms\",\"otherData\":%s,\"traceEvents\":[", head)
	encode := json.NewEncoder(out)
	encode.SetEscapeHTML(false)
	separator := "\n"
	put := func(e event) error {
		if _, err := out.WriteString(separator); err != nil {
			return err
		}
		separator = ","
		return encode.Encode(e)
	}
	base := earliest(processes)
	for i, p := range processes {
		if err := p.write(i+1, base, put); err != nil {
			return fmt.Errorf("write the trace of worker %s: %w", p.Worker, err)
		}
	}
	if _, err := out.WriteString("]}\n"); err != nil {
		return err
	}
	return out.Flush()
}

func earliest(processes []Process) int64 {
	base, none := int64(0), true
	for _, p := range processes {
		for _, s := range p.Spans {
			if at := p.Origin + int64(s.Began); none || at < base {
				base, none = at, false
			}
		}
	}
	return base
}

// clock says how the worker's clock was made to agree with the others.
func (p *Process) clock() string {
	return fmt.Sprintf("%+.3f ms, right to %.3f ms", float64(p.Offset)/1e6, float64(p.Uncertainty)/1e6)
}

func (p *Process) write(pid int, base int64, put func(event) error) error {
	name := fmt.Sprintf("worker %s on %s (pid %d)", p.Worker, p.Host, p.PID)
	label := "clock " + p.clock()
	if p.Lost > 0 {
		label += fmt.Sprintf("; %d spans are missing, there was no room for them", p.Lost)
	}
	for _, e := range []event{
		{Name: "process_name", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"name": name}},
		{Name: "process_sort_index", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"sort_index": pid}},
		{Name: "process_labels", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"labels": label}},
		{Name: "thread_name", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"name": "step loop"}},
	} {
		if err := put(e); err != nil {
			return err
		}
	}
	// An enclosing span comes before those inside it.
	slices.SortStableFunc(p.Spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.Began, b.Began), cmp.Compare(b.Lasted, a.Lasted)) })
	for _, s := range p.Spans {
		begin, lasted := micros(p.Origin+int64(s.Began)-base), micros(s.Lasted)
		e := event{Name: p.name(s), Category: s.Kind.String(), Phase: "X", Begin: &begin, Lasted: &lasted, PID: pid, TID: stepLoop, Args: map[string]any{"step": s.Step}}
		if s.Kind < Reduce {
			if err := put(e); err != nil {
				return err
			}
			continue
		}
		end := begin + lasted
		e.Phase, e.Lasted, e.ID = "b", nil, fmt.Sprintf("%d-%d-%d", pid, s.Step, s.Index) // buckets overlap
		if err := put(e); err != nil {
			return err
		}
		e.Phase, e.Begin, e.Args = "e", &end, nil
		if err := put(e); err != nil {
			return err
		}
	}
	return nil
}

// name says what a span shows.
func (p *Process) name(s Span) string {
	switch s.Kind {
	case Step:
		return fmt.Sprintf("step %d", s.Step)
	case Forward, Backward:
		return fmt.Sprintf("%v, seat %d", s.Kind, s.Index)
	case Reduce:
		return fmt.Sprintf("reduce bucket %d", s.Index)
	case Receiving:
		return "waiting for worker " + p.Previous
	case Sending:
		return "waiting for worker " + p.Next
	}
	return s.Kind.String()
}
