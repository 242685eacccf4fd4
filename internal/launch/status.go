package launch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"

	"ringmaster/internal/client"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/progress"
)

// ErrNotUp means that a run's cluster does not answer yet.
var ErrNotUp = errors.New("the cluster is not up yet")

// askTimeout bounds how long a run's cluster may take to answer.
const askTimeout = 2 * time.Second

// AskStatus asks the coordinators at the addresses, with the options for connecting (see client.New).
func AskStatus(ctx context.Context, addresses []string, machine string, options ...grpc.DialOption) (*Status, error) {
	client := client.New(addresses, options...)
	answer, err := client.Status(ctx, "")
	if err = errors.Join(err, client.Close()); err != nil {
		return nil, err
	}
	return Describe(answer, machine), nil
}

// Status asks the run's cluster, or where that is gone reads what was written last. ErrNotUp means that it is too early.
func (d Directory) Status(ctx context.Context, machine string) (*Status, error) {
	endpoints, up, err := d.Endpoints()
	if err != nil {
		return nil, err
	}
	launched := up && processLives(endpoints.PID)
	if launched {
		ctx, cancel := context.WithTimeout(ctx, askTimeout)
		defer cancel()
		status, err := AskStatus(ctx, endpoints.Addresses(), machine)
		if err == nil && status.Job != "" {
			status.fillProcesses(endpoints)
			return status, nil
		}
	}
	var last Status
	written, err := d.readJSON("status.json", &last)
	switch {
	case err != nil:
		return nil, err
	case !written:
		return nil, d.notUp()
	case !launched && last.State != StateDone && last.State != StateFailed:
		last.State = StateInterrupted // the launch died before it could write the job's end
	}
	if !launched {
		last.forgetProcesses()
	}
	return &last, nil
}

// notUp is ErrNotUp with what is known of the folder.
func (d Directory) notUp() error {
	if _, err := os.Stat(string(d)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: there is no such folder", d, ErrNotUp)
	}
	return fmt.Errorf("%s: %w", d, ErrNotUp)
}

// fillProcesses adds the numbers of processes that launch has started and the leader does not know.
func (s *Status) fillProcesses(e Endpoints) {
	for i := range s.Coordinators {
		if c := &s.Coordinators[i]; c.PID == 0 && e.Coordinators[c.ID] == c.Address {
			c.PID = int64(e.PIDs[c.ID])
		}
	}
}

// forgetProcesses takes the process numbers out of a status that is older than the processes: the system may have given
// them to others. Nobody holds anything up any more.
func (s *Status) forgetProcesses() {
	s.Stalled = nil
	for i := range s.Coordinators {
		s.Coordinators[i].PID = 0
	}
	for i := range s.Workers {
		s.Workers[i].PID = 0
	}
}

// processLives reports whether a process of this machine runs.
func processLives(pid int) bool {
	if pid <= 0 {
		return false
	}
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// Table is the status for people.
func (s *Status) Table() string {
	var out strings.Builder
	w := tabwriter.NewWriter(&out, 0, 0, 2, ' ', 0)
	if s.Job == "" {
		fmt.Fprintln(w, "no job yet")
	} else {
		shot := progress.Snapshot{State: s.State, Step: s.Step, Steps: s.Steps, Epoch: s.Epoch, Loss: float64(s.TrainLoss),
			SamplesPerS: float64(s.SamplesPerS), Workers: s.seated()}
		line := shot.Line()
		if s.LeftS != nil && s.Step < s.Steps {
			line += "  " + progress.Duration(time.Duration(float64(*s.LeftS)*float64(time.Second))) + " left"
		}
		fmt.Fprintf(w, "%s  %s  %s\n", s.Job, s.State, line)
		for _, line := range []string{s.Error, s.Message} {
			if line != "" {
				fmt.Fprintf(w, "  %s\n", line)
			}
		}
		if s.CopyTo != "" {
			fmt.Fprintf(w, "  %s\n", s.copies())
		}
		if s.Stalled != nil {
			fmt.Fprintf(w, "  %s\n", s.Stalled.Reason)
		}
		for _, u := range s.Unsaved {
			fmt.Fprintf(w, "  %s (for %s)\n", u.Text, progress.Duration(time.Duration(u.SinceMs)*time.Millisecond))
		}
		for _, o := range s.Others {
			fmt.Fprintf(w, "%s  %s  %s\n", o.Name, o.State, o.progress())
		}
		if s.Queued > 0 {
			fmt.Fprintf(w, "  %s behind it in the queue\n", plural.Of(s.Queued, "job"))
		}
	}
	for _, c := range s.Coordinators {
		role := "coordinator"
		if c.Leader {
			role = "coordinator, leads"
		}
		fmt.Fprintf(w, "  %s\t%s\t%s\n", c.ID, c.Address, role)
	}
	for _, k := range s.Workers {
		seats := "no seats"
		if k.Arc != nil {
			seats = fmt.Sprintf("seats [%d,%d)", k.Arc[0], k.Arc[1])
			if k.SeatMs > 0 {
				seats += fmt.Sprintf(" at %.3g ms each", k.SeatMs)
			}
		} else if len(s.Others) > 0 && k.Job != "" {
			seats = "for job " + k.Job
		}
		fmt.Fprintf(w, "  %s\t%s\t%s on %s, %s, step %d%s\n", k.ID, k.Address, k.State, k.Host, seats, k.Step, k.WaitingFor.clause())
	}
	_ = w.Flush() // a strings.Builder takes everything
	return shown(out.String())
}

// copies says how far checkpoints are copied.
func (s *Status) copies() string {
	switch {
	case s.CopiedStep == nil && s.SavedStep == nil:
		return "checkpoints are copied to " + s.CopyTo
	case s.CopiedStep == nil:
		return fmt.Sprintf("saved at step %d, not copied to %s yet", *s.SavedStep, s.CopyTo)
	case s.SavedStep != nil && *s.SavedStep > *s.CopiedStep:
		return fmt.Sprintf("saved at step %d; copied to %s up to step %d", *s.SavedStep, s.CopyTo, *s.CopiedStep)
	}
	return fmt.Sprintf("saved at step %d, and copied to %s", *s.CopiedStep, s.CopyTo)
}

// maxStatusLine bounds a line of the status, in bytes.
const maxStatusLine = 1 << 13

// shown makes the lines of a text safe to show: a status may have been read from a file that others wrote.
func shown(text string) string {
	var out strings.Builder
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
		out.WriteString(printable.Line(line, maxStatusLine) + "\n")
	}
	return out.String()
}

func (s *Status) seated() int {
	n := 0
	for _, w := range s.Workers {
		if w.Arc != nil {
			n++
		}
	}
	return n
}

// clause names the worker that another one waits for.
func (f *WaitingStatus) clause() string {
	if f == nil {
		return ""
	}
	return fmt.Sprintf(", waits %s for %s on %s (%s step %d, bucket %d, chunk %d)", time.Duration(f.SinceMs)*time.Millisecond, f.Worker, f.Host, f.Doing,
		f.Step, f.Bucket, f.Chunk)
}
