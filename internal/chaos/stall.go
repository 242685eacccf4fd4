package chaos

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// A stall is to be named rightly within nameLimit, and by at least the share nameShare of the faults.
const (
	nameLimit = time.Second
	nameShare = 0.95
	nameBeat  = 100 * time.Millisecond // between two reports of a worker: what is said sooner is about the time before the fault
	// For so long a worker at half speed runs, and then stands. A scheduler with more to run than processors makes up for
	// shorter pauses.
	halfBeat = 25 * time.Millisecond
)

// faultsFile is where a worker's process finds its faults.
func (t *trial) faultsFile(id string) string {
	return filepath.Join(string(t.dir), "workers", id, "faults")
}

func (t *trial) environment(id string) []string {
	path, err := filepath.Abs(t.faultsFile(id))
	if err != nil {
		t.problem("%v", err)
	}
	return []string{config.FaultsVariable + "=" + path}
}

// next is the worker that sits behind another in the ring. The lock is held.
func (t *trial) next(worker string) string {
	var ring []*rpc.WorkerStatus
	for _, w := range t.workers {
		if w.Seated {
			ring = append(ring, w)
		}
	}
	slices.SortFunc(ring, func(a, b *rpc.WorkerStatus) int { return cmp.Compare(a.SeatBegin, b.SeatBegin) })
	for i, w := range ring {
		if w.Id == worker {
			return ring[(i+1)%len(ring)].Id
		}
	}
	return ""
}

// hinder holds a worker up for the fault's time.
func (t *trial) hinder(f Fault, child *launch.Child) error {
	switch f.Kind {
	case FreezeWorker:
		if err := child.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		t.later(f.Pause, []*launch.Child{child}, func(child *launch.Child) error { return child.Signal(syscall.SIGCONT) })
		return nil
	case HalfSpeed:
		halved := make(chan error, 1)
		t.helpers.Go(func() { halved <- t.halve(child, f.Pause) })
		t.later(f.Pause, []*launch.Child{child}, func(*launch.Child) error { return <-halved })
		return nil
	}
	text := "hold-links\n"
	if f.Kind == SlowData {
		text = fmt.Sprintf("read-delay %v\n", f.Delay)
	}
	path := t.faultsFile(f.Target)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	t.later(f.Pause, []*launch.Child{child}, func(*launch.Child) error {
		if err := os.Remove(path); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	})
	return nil
}

// halve stops a process for half of the time.
func (t *trial) halve(child *launch.Child, span time.Duration) error {
	for end := time.Now().Add(span); time.Now().Before(end); {
		if err := child.Signal(syscall.SIGSTOP); err != nil {
			return err
		}
		sleep.For(t.life, halfBeat)
		if err := child.Signal(syscall.SIGCONT); err != nil {
			return err
		}
		if !sleep.For(t.life, halfBeat) {
			return nil
		}
	}
	return nil
}

// naming is what the status says about a fault while it lasts.
type naming struct {
	next  string        // the worker behind the target in the ring
	after time.Duration // from the fault to the first answer that names the culprit; 0: none did
	part  bool          // an answer says which bucket and chunk
	wrong string        // the first answer that names another, or something else that it does
}

// see takes an answer.
func (n *naming) see(h *hit, job *rpc.JobStatus, at time.Time) {
	s := job.Stalled
	if s == nil {
		return
	}
	after := at.Sub(h.at)
	if after < nameBeat {
		return
	}
	switch complaint := n.complaint(h.fault, s, job); {
	case complaint == "":
		if n.after == 0 {
			n.after = after
		}
		n.part = n.part || s.Bucket != nil && s.Chunk != nil
	case n.wrong == "":
		n.wrong = fmt.Sprintf("after %d ms: %s (%s)", after.Milliseconds(), s.Reason, complaint)
	}
}

// doing is what a status should say that the target does.
func (k Kind) doing() string {
	switch k {
	case FreezeWorker:
		return "not answering"
	case SlowData:
		return "reading data"
	case CutLink:
		return "partitioned"
	}
	return "computing"
}

// stands reports whether the ring stands still during the fault.
func (k Kind) stands() bool { return k == FreezeWorker || k == CutLink }

// complaint is what is wrong with a stall's record; empty: nothing.
func (n *naming) complaint(f Fault, s *rpc.Stall, job *rpc.JobStatus) string {
	host, _ := os.Hostname()
	switch {
	case s.Worker != f.Target:
		return "not the worker"
	case s.Doing != f.Kind.doing():
		return "not what it does"
	case f.Kind == CutLink && s.Peer != n.next:
		return "not from whom"
	case s.Host != host:
		return "not the host"
	case f.Kind.stands() && (s.Step < job.Step || s.Step > job.Step+2): // else both have moved on since the reports
		return fmt.Sprintf("not the step: %d are done", job.Step)
	}
	return ""
}

// Attribution is how many of the faults that held the ring up were named rightly: within the limit, and nothing else while
// the fault lasted.
type Attribution struct {
	LimitMs float64   `json:"limit_ms"`
	Faults  int       `json:"faults"`
	Right   int       `json:"right"`
	Parts   int       `json:"parts"` // of those named rightly: with bucket and chunk
	Kinds   []Figures `json:"kinds"` // time to the first answer that names the culprit; recoveries: of those named rightly
	Wrong   []string  `json:"wrong"`
}

// attributed judges the hits of a round.
func (a *Attribution) attributed(hits []*hit, run int) []recovery {
	var all []recovery
	for _, h := range hits {
		if !h.fault.Kind.stalls() {
			continue
		}
		a.Faults++
		n, one := &h.named, recovery{kind: h.fault.Kind, ms: math.NaN()}
		switch {
		case n.wrong != "":
			a.Wrong = append(a.Wrong, fmt.Sprintf("run %d, %s: %s", run, h.fault, n.wrong))
		case n.after == 0:
			a.Wrong = append(a.Wrong, fmt.Sprintf("run %d, %s: nobody was named", run, h.fault))
		case n.after > nameLimit:
			a.Wrong = append(a.Wrong, fmt.Sprintf("run %d, %s: named after %d ms", run, h.fault, n.after.Milliseconds()))
		default:
			a.Right++
			one.ms = float64(n.after.Microseconds()) / 1e3
			if n.part {
				a.Parts++
			}
		}
		all = append(all, one)
	}
	return all
}

// conclude makes the figures.
func (a *Attribution) conclude(all []recovery) {
	byKind := map[Kind][]recovery{}
	for _, one := range all {
		byKind[one.kind] = append(byKind[one.kind], one)
	}
	for _, k := range StallKinds() {
		if len(byKind[k]) > 0 {
			a.Kinds = append(a.Kinds, figures(string(k), byKind[k]))
		}
	}
	a.Kinds = append(a.Kinds, figures("all", all))
}

// good reports whether enough were named rightly.
func (a *Attribution) good() bool { return float64(a.Right) >= nameShare*float64(a.Faults) }

// table is the attribution for people.
func (a *Attribution) table() string {
	var out strings.Builder
	fmt.Fprintf(&out, "named rightly within %.0f ms: %d of %d, %d of them with bucket and chunk\n", a.LimitMs, a.Right, a.Faults, a.Parts)
	for _, f := range a.Kinds {
		fmt.Fprintf(&out, "  %s: %d of %d, named after %.0f ms (median), %.0f (p99), %.0f (most)\n", f.Kind, f.Recoveries, f.Faults, f.MedianMs, f.P99Ms, f.MaxMs)
	}
	for _, line := range a.Wrong {
		fmt.Fprintln(&out, "not named rightly:", line)
	}
	return out.String()
}
