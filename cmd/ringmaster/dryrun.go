package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"

	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// dryRun says what would become of a job if it were submitted. checked is nil where the data are elsewhere.
func dryRun(ctx context.Context, to target, options []grpc.DialOption, job *config.Job, request *rpc.SubmitRequest, checked *launch.Checked, asJSON bool, out io.Writer) error {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	c := client.New(to.cluster, options...)
	st, err := c.Status(asking, "")
	var jobs []*rpc.JobLine
	if err == nil {
		jobs, err = c.Jobs(asking)
	}
	if err = errors.Join(err, c.Close()); errors.Is(err, client.ErrUnreachable) {
		return wrong(err)
	} else if err != nil {
		return failed(err)
	}
	what := dryAnswer{Job: job.Name, Seats: job.Seats, Priority: int(request.Priority), Attached: len(st.Workers), Account: []string{},
		Workers: enough(job, int(request.Workers), len(st.Workers)), Memory: fits(job, checked, st.Workers),
		Queue: place(jobs, int(request.Priority), job, int(request.Workers), len(st.Workers))}
	valid := fmt.Sprintf("job %s is valid: %s", job.Name, plural.Of(job.Seats, "seat"))
	if checked != nil {
		what.Steps, what.Account = job.TotalSteps(checked.Samples), checked.Account
		valid = fmt.Sprintf("job %s is valid: %s in %s", job.Name, plural.Of(what.Steps, "step"), plural.Of(job.Seats, "seat"))
	}
	if asJSON {
		return failed(writeJSON(out, what))
	}
	for _, line := range append(slices.Clone(what.Account), valid, what.Workers, what.Memory, what.Queue, "nothing was submitted") {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return failed(err)
		}
	}
	return nil
}

// dryAnswer is what a dry run says, as --json writes it.
type dryAnswer struct {
	Job      string   `json:"job"`   // its name
	Steps    int      `json:"steps"` // in all; 0: not known, since the data are not here
	Seats    int      `json:"seats"`
	Priority int      `json:"priority"`
	Attached int      `json:"attached"` // workers
	Workers  string   `json:"workers"`  // whether they are enough,
	Memory   string   `json:"memory"`   // whether they hold the job,
	Queue    string   `json:"queue"`    // and when its turn would come, in words
	Account  []string `json:"account"`  // what was read of the data, and left out
}

// enough says whether the workers that are attached are as many as the job wants.
func enough(job *config.Job, wanted, attached int) string {
	text := fmt.Sprintf("workers: %d attached, ", attached)
	switch least := max(1, job.MinWorkers); {
	case attached < least:
		return text + fmt.Sprintf("at least %d needed: it would wait", least)
	case wanted > attached:
		return text + fmt.Sprintf("%d asked for: it would start with those after a while", wanted)
	case wanted > 0:
		return text + fmt.Sprintf("%d asked for", wanted)
	}
	return text + fmt.Sprintf("it would use up to %d", min(attached, cmp.Or(job.MaxWorkers, job.Seats)))
}

// fits says whether the workers' memory holds the job's seats. What the data take there is not known here.
func fits(job *config.Job, checked *launch.Checked, workers []*rpc.WorkerStatus) string {
	if checked == nil {
		return "memory: not known, since the data are not here"
	}
	text := fmt.Sprintf("memory: %s in each worker beside its data, %s for each seat; ", printable.Bytes(uint64(checked.Memory.Job())), printable.Bytes(uint64(checked.Memory.Seat)))
	held := 0
	for _, w := range workers {
		switch room := int64(w.Memory) - checked.Memory.Job(); {
		case w.Memory == 0:
			return text + fmt.Sprintf("worker %s does not tell how much it has", w.Id)
		case room > 0:
			held += int(min(room/max(1, checked.Memory.Seat), int64(job.Seats)))
		}
	}
	if held < job.Seats {
		return text + fmt.Sprintf("the workers there hold %d of %s: it would wait for more", held, plural.Of(job.Seats, "seat"))
	}
	return text + "the workers there hold all seats"
}

// place says when the job's turn would come, and what becomes of the jobs that run. wanted is the number of workers asked for; 0: all it can take.
func place(jobs []*rpc.JobLine, priority int, job *config.Job, wanted, attached int) string {
	before, free := 0, attached
	var lower []string
	for _, j := range jobs {
		switch {
		case jobEnded(j) || j.State == "paused":
		case int(j.Priority) >= priority:
			before++
			free -= int(j.Workers)
			if j.Place > 0 || j.Workers == 0 {
				free = 0 // it comes first
			}
		case j.Place == 0:
			lower = append(lower, j.Id)
			free -= int(j.Workers)
		}
	}
	least, most := max(1, job.MinWorkers), cmp.Or(wanted, job.MaxWorkers, job.Seats)
	switch {
	case before > 0 && free >= least:
		return fmt.Sprintf("queue: its turn would come at once, beside %s", plural.Of(before+len(lower), "job"))
	case before > 0:
		return fmt.Sprintf("queue: it would wait for %s", plural.Of(before, "job"))
	case len(lower) == 0:
		return "queue: its turn would come at once"
	case free >= min(most, attached):
		return fmt.Sprintf("queue: its turn would come at once, beside %s", plural.Of(len(lower), "job"))
	case most < attached:
		return fmt.Sprintf("queue: job %s would shrink for it, or save a checkpoint and make way", strings.Join(lower, ", "))
	}
	return fmt.Sprintf("queue: job %s would save a checkpoint and make way", strings.Join(lower, ", "))
}
