// Package doctor checks what usually goes wrong on a machine that is to train, and says what to do about it.
package doctor

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/grpc"

	"ringmaster/internal/config"
)

// State is how a check ended.
type State string

// The states of findings.
const (
	OK   State = "ok"
	Warn State = "warn" // it may go wrong, or be slow
	Fail State = "fail" // it will go wrong
)

// Finding is what a check found, in one line, with one remedy where something is wrong.
type Finding struct {
	Check  string `json:"check"`
	State  State  `json:"state"`
	Text   string `json:"text"`
	Remedy string `json:"remedy"`
}

// Options say what is to be checked.
type Options struct {
	Job     *config.Job // whose data and memory are checked; nil: none
	Workers int         // of the job on this machine
	Dir     string      // where state is to be written
	Binds   []string    // host:port on which a daemon of this machine is to listen
	Cluster []string    // coordinators to compare with; may be empty
	Dial    []grpc.DialOption
	Certs   string // folder of a certificate; empty: none

	Each time.Duration // the longest that one check may take
	Now  func() time.Time
}

// check is one check; it gives up when ctx ends.
type check struct {
	name string
	look func(ctx context.Context, o *Options) []Finding
}

var checks = []check{{"ports", ports}, {"interfaces", interfaces}, {"clocks", clocks}, {"certificates", certificates}, {"disk", diskCheck}, {"limits", limits},
	{"kernels", kernels}, {"job", job}}

// Examine makes all checks, one after the other, and tells each finding as it comes. None takes longer than o.Each: one that has not
// ended by then is a warning, and what it still does is not waited for.
func Examine(ctx context.Context, o Options, tell func(Finding)) (worst State) {
	worst = OK
	for _, c := range checks {
		for _, f := range bounded(ctx, c, &o) {
			f.Check = c.name
			if f.State == Fail || f.State == Warn && worst == OK {
				worst = f.State
			}
			tell(f)
		}
	}
	return worst
}

func bounded(ctx context.Context, c check, o *Options) []Finding {
	ctx, cancel := context.WithTimeout(ctx, o.Each)
	defer cancel()
	found := make(chan []Finding, 1)
	go func() { found <- c.look(ctx, o) }()
	select {
	case all := <-found:
		return all
	case <-ctx.Done():
	}
	select {
	case all := <-found: // it gave up by itself, and knows more
		return all
	case <-time.After(o.Each / 10):
	}
	return []Finding{warn(fmt.Sprintf("not done after %v", o.Each), "look whether the machine, its disk or its network hangs; a larger --timeout gives the check more time")}
}

func ok(format string, args ...any) Finding {
	return Finding{State: OK, Text: fmt.Sprintf(format, args...)}
}

func warn(text, remedy string) Finding { return Finding{State: Warn, Text: text, Remedy: remedy} }

func fail(text, remedy string) Finding { return Finding{State: Fail, Text: text, Remedy: remedy} }
