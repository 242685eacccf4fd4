package trace

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// Process is the trace of one worker.
type Process struct {
	Worker, Host   string
	Machine        string // the machine's identity; workers of one have one clock. Empty: not known
	PID            int64
	Previous, Next string   // its neighbours in the ring
	Operations     []string // what the operations of Forward and Backward are, by their numbers
	Spans          []Span
	Lost           uint64
	// Origin is the recording's by the clock that all processes share, in nanoseconds since 1970, and Uncertainty by how much that may be
	// wrong. Offset is what was added to the worker's own clock to get there.
	Origin              int64
	Offset, Uncertainty time.Duration
}

// ShareClocks gives processes of one machine the same offset, the one that is known best, so that their spans compare exactly.
func ShareClocks(processes []Process) {
	best := map[string]Process{}
	for _, p := range processes {
		if b, known := best[p.Machine]; !known || p.Uncertainty < b.Uncertainty {
			best[p.Machine] = p
		}
	}
	for i := range processes {
		p := &processes[i]
		if b := best[p.Machine]; p.Machine != "" {
			p.Origin += int64(b.Offset - p.Offset)
			p.Offset, p.Uncertainty = b.Offset, b.Uncertainty
		}
	}
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
	Phase    string         `json:"ph"`            // X: whole, b and e: beginning and end of one that overlaps others, s and f: of an arrow, M: metadata
	Begin    *micros        `json:"ts,omitempty"`  // microseconds
	Lasted   *micros        `json:"dur,omitempty"` // microseconds
	PID      int            `json:"pid"`           // the worker's place, from 1: process numbers of several machines may be equal
	TID      thread         `json:"tid"`
	ID       string         `json:"id,omitempty"`
	Bind     string         `json:"bp,omitempty"` // e: an arrow ends at the span around it
	Args     map[string]any `json:"args,omitempty"`
}

// micros is a time in microseconds, written to the nanosecond.
type micros int64

// MarshalJSON writes the nanoseconds as microseconds.
func (n micros) MarshalJSON() ([]byte, error) { return fmt.Appendf(nil, "%d.%03d", n/1e3, n%1e3), nil }

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
	if err := writeFrames(processes, base, put); err != nil {
		return fmt.Errorf("write the ways of the frames: %w", err)
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
	about := []event{
		{Name: "process_name", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"name": name}},
		{Name: "process_sort_index", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"sort_index": pid}},
		{Name: "process_labels", Phase: "M", PID: pid, TID: stepLoop, Args: map[string]any{"labels": label}},
	}
	for t := stepLoop; t < overlapping; t++ {
		about = append(about, event{Name: "thread_name", Phase: "M", PID: pid, TID: t, Args: map[string]any{"name": threadNames[t]}})
	}
	for _, e := range about {
		if err := put(e); err != nil {
			return err
		}
	}
	// An enclosing span comes before those inside it.
	slices.SortStableFunc(p.Spans, func(a, b Span) int { return cmp.Or(cmp.Compare(a.Began, b.Began), cmp.Compare(b.Lasted, a.Lasted)) })
	for _, s := range p.Spans {
		begin, lasted := micros(p.Origin+int64(s.Began)-base), micros(s.Lasted)
		e := event{Name: p.name(s), Category: s.Kind.String(), Phase: "X", Begin: &begin, Lasted: &lasted, PID: pid, TID: s.Kind.thread(), Args: map[string]any{"step": s.Step}}
		if e.TID != overlapping {
			if err := put(e); err != nil {
				return err
			}
			continue
		}
		end := begin + lasted
		e.TID = stepLoop
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
	case ForwardOperation, BackwardOperation:
		if int(s.Index) < len(p.Operations) && s.Index >= 0 {
			return fmt.Sprintf("%s %d", p.Operations[s.Index], s.Index)
		}
		return fmt.Sprintf("operation %d", s.Index)
	case Receiving:
		return fmt.Sprintf("waiting for worker %s, %s", p.Previous, reduced(s))
	case Sending:
		return "waiting for worker " + p.Next
	case Packing, Passing, Arriving, Early, Folding:
		return fmt.Sprintf("%v, %s", s.Kind, reduced(s))
	}
	return s.Kind.String()
}

// reduced says what of a step the ring works on.
func reduced(s Span) string {
	if s.Index == None {
		return "records"
	}
	return fmt.Sprintf("bucket %d", s.Index)
}

// writeFrames draws an arrow from where a frame was passed to a link to where it arrived. Links keep the order, so the k-th frame that a worker
// passes in a step is the k-th that the next worker takes.
func writeFrames(processes []Process, base int64, put func(event) error) error {
	for i := range processes {
		from := &processes[i]
		k := slices.IndexFunc(processes, func(p Process) bool { return p.Worker == from.Next && p.Previous == from.Worker })
		if k < 0 || k == i || from.Lost > 0 || processes[k].Lost > 0 {
			continue
		}
		passed, arrived := from.frames(Passing), processes[k].frames(Arriving)
		for _, step := range slices.Sorted(maps.Keys(passed)) {
			spans := passed[step]
			if len(arrived[step]) != len(spans) {
				continue // the recording began or ended in between
			}
			for n, s := range spans {
				id := fmt.Sprintf("frame %d-%d-%d", i+1, step, n)
				begin := micros(from.Origin + int64(s.Began) - base)
				end := micros(processes[k].Origin + int64(arrived[step][n].Began+arrived[step][n].Lasted) - base)
				if err := put(event{Name: "frame", Category: "frame", Phase: "s", Begin: &begin, PID: i + 1, TID: sending, ID: id}); err != nil {
					return err
				}
				if err := put(event{Name: "frame", Category: "frame", Phase: "f", Bind: "e", Begin: &end, PID: k + 1, TID: receiving, ID: id}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// frames are the spans of a kind in their order, by step.
func (p *Process) frames(kind Kind) map[uint64][]Span {
	out := map[uint64][]Span{}
	for _, s := range p.Spans {
		if s.Kind == kind {
			out[s.Step] = append(out[s.Step], s)
		}
	}
	return out
}
