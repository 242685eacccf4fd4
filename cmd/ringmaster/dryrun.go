package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"google.golang.org/grpc"

	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
	"ringmaster/internal/rpc"
)

// dryRun says what would become of a job if it were submitted. checked is nil where the data are elsewhere.
func dryRun(ctx context.Context, to target, options []grpc.DialOption, job *config.Job, request *rpc.SubmitRequest, checked *launch.Checked, out io.Writer) error {
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
	valid := fmt.Sprintf("job %s is valid: %s", job.Name, plural.Of(job.Seats, "seat"))
	if checked != nil {
		for _, line := range checked.Account {
			fmt.Fprintln(out, line)
		}
		valid = fmt.Sprintf("job %s is valid: %s in %s", job.Name, plural.Of(job.TotalSteps(checked.Samples), "step"), plural.Of(job.Seats, "seat"))
	}
	for _, line := range []string{valid, enough(job, int(request.Workers), len(st.Workers)), fits(job, checked, st.Workers), place(jobs, int(request.Priority)), "nothing was submitted"} {
		if _, err := fmt.Fprintln(out, line); err != nil {
			return failed(err)
		}
	}
	return nil
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
	return text + fmt.Sprintf("it would use %d", min(attached, job.Seats))
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

// place says when the job's turn would come.
func place(jobs []*rpc.JobLine, priority int) string {
	before, makesWay := 0, ""
	for _, j := range jobs {
		switch {
		case jobEnded(j) || j.State == "paused":
		case int(j.Priority) >= priority:
			before++
		case j.Place == 0:
			makesWay = j.Id
		}
	}
	switch {
	case before > 0:
		return fmt.Sprintf("queue: it would wait for %s", plural.Of(before, "job"))
	case makesWay != "":
		return fmt.Sprintf("queue: job %s would save a checkpoint and make way", makesWay)
	}
	return "queue: its turn would come at once"
}
