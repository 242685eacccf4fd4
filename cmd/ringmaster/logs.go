package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/cli"
	"ringmaster/internal/client"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// logEvery is how often jobs logs --follow asks for new lines, and maxLine the longest that it shows.
const (
	logEvery = 500 * time.Millisecond
	maxLine  = 8 << 10
)

func jobsLogs() *cobra.Command {
	var flags jobsFlags
	var follow bool
	var tail int
	cmd := &cobra.Command{
		Use:   "logs JOB|PROCESS [--dir DIR | --cluster ADDR]",
		Short: "Show the newest lines of the logs of a job's workers, or of any coordinator or worker",
		Long: `Shows the newest lines of the log of a coordinator or worker, by its id, or of all workers that train a job, merged by their times.
Each process keeps its newest 2000 lines, at most 1 MiB.`,
		Example: `  ringmaster jobs logs mnist --cluster coordinator-1:7000 --tail 50
  ringmaster jobs logs w1 --cluster coordinator-1:7000 --follow`,
		Args: cli.Takes("JOB|PROCESS"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if tail < 0 {
				return wrong(fmt.Errorf("--tail %d: it must be 0 (all that are kept) or more", tail))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			return flags.ask(ctx, func(asking context.Context, c *client.Client) error {
				l := &logReader{client: c, of: args[0], tail: tail, asJSON: flags.asJSON, out: os.Stdout, read: map[string]*rpc.LogsRequest{}, mute: map[string]bool{}}
				if err := l.show(asking); err != nil || !follow {
					return err
				}
				return l.follow(ctx)
			})
		},
	}
	flags.register(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with lines as they are written, until Ctrl-C or the job's end")
	cmd.Flags().IntVar(&tail, "tail", 200, "newest lines of each process to begin with; 0: all that are kept")
	return cmd
}

// logReader reads the logs of a process, or of a job's workers.
type logReader struct {
	client *client.Client
	of     string // the process, or the job
	tail   int
	asJSON bool
	out    io.Writer

	read map[string]*rpc.LogsRequest // how far each process's log was read
	mute map[string]bool             // processes that do not answer, which has been said
	over bool                        // the job has ended
}

// told is a line of a log.
type told struct {
	at            time.Time
	process, line string
}

// show shows what is new.
func (l *logReader) show(ctx context.Context) error {
	processes, err := l.processes(ctx)
	if err != nil {
		return err
	}
	var lines []told
	for _, p := range processes {
		some, err := l.readOne(ctx, p)
		switch {
		case err != nil && (len(processes) == 1 && l.read[p].Life == 0 || ctx.Err() != nil):
			return failed(err)
		case err != nil && !l.mute[p]:
			fmt.Fprintln(os.Stderr, printable.Line(err.Error(), maxLine))
			l.mute[p] = true
		}
		lines = append(lines, some...)
	}
	slices.SortStableFunc(lines, func(a, b told) int { return a.at.Compare(b.at) })
	for _, line := range lines {
		if err := l.write(line, len(processes) > 1); err != nil {
			return failed(err)
		}
	}
	return nil
}

func (l *logReader) write(line told, several bool) error {
	if l.asJSON {
		return json.NewEncoder(l.out).Encode(map[string]string{"process": line.process, "line": line.line})
	}
	text := printable.Line(line.line, maxLine)
	if several {
		text = line.process + ": " + text
	}
	_, err := fmt.Fprintln(l.out, text)
	return err
}

// readOne reads what is new in one process's log.
func (l *logReader) readOne(ctx context.Context, process string) ([]told, error) {
	request := l.read[process]
	if request == nil {
		request = &rpc.LogsRequest{Process: process, Tail: uint32(l.tail)}
		l.read[process] = request
	}
	reply, err := l.client.Logs(ctx, request)
	if err != nil {
		return nil, err
	}
	delete(l.mute, process)
	request.Life, request.After, request.Tail = reply.Life, reply.Last, 0
	var out []told
	at := time.Time{}
	for _, line := range reply.Lines {
		if when, ok := timeOf(line); ok {
			at = when
		}
		out = append(out, told{at, process, line})
	}
	return out, nil
}

// timeOf reads when a line was written.
func timeOf(line string) (time.Time, bool) {
	text, ok := strings.CutPrefix(line, "time=")
	text, _, _ = strings.Cut(text, " ")
	at, err := time.Parse(time.RFC3339Nano, text)
	return at, ok && err == nil
}

// processes are those whose logs are meant: the process of that id, else the workers that train the job.
func (l *logReader) processes(ctx context.Context) ([]string, error) {
	st, err := l.client.Status(ctx, "")
	if err != nil {
		return nil, failed(err)
	}
	var seated []*rpc.WorkerStatus
	for _, c := range st.Coordinators {
		if c.Id == l.of {
			return []string{c.Id}, nil
		}
	}
	for _, w := range st.Workers {
		if w.Id == l.of {
			return []string{w.Id}, nil
		}
		if w.Seated {
			seated = append(seated, w)
		}
	}
	if l.read[l.of] != nil {
		return []string{l.of}, nil // a process that is away at present
	}
	job, err := findJob(ctx, l.client, l.of)
	if own := (*exit)(nil); errors.As(err, &own) && own.code == exitUsage {
		return nil, wrong(fmt.Errorf("%w; ringmaster status lists the coordinators and workers", err))
	} else if err != nil {
		return nil, err
	}
	l.over = jobEnded(job)
	var train []string
	for _, w := range seated {
		if cmp.Or(w.Job, st.Job.GetJob()) == job.Id { // an older coordinator does not tell the job
			train = append(train, w.Id)
		}
	}
	if len(train) == 0 {
		if len(l.read) > 0 {
			return nil, nil // it has no workers at present
		}
		return nil, failed(fmt.Errorf("job %s is %s and has no workers whose logs could be read; name a process", job.Id, job.State))
	}
	return train, nil
}

// follow shows new lines until ctx ends, or the job does.
func (l *logReader) follow(ctx context.Context) error {
	for !l.over && sleep.For(ctx, logEvery) {
		asking, cancel := context.WithTimeout(ctx, answerTimeout)
		err := l.show(asking)
		cancel()
		if ctx.Err() != nil {
			return nil
		}
		if errors.Is(err, client.ErrUnreachable) { // another error may pass: a process that does not answer now
			return err
		}
	}
	return nil
}
