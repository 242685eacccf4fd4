package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/launch"
	"ringmaster/internal/notify"
	"ringmaster/internal/records"
)

// eventFlag registers the flag that names who is told of events.
func eventFlag(cmd *cobra.Command, to *[]string) {
	cmd.Flags().StringArrayVar(to, "on-event", nil, "tell the `COMMAND|URL` of events: started, view, worker_lost, stalled, epoch, checkpoint, finished, failed, interrupted,\n"+
		"cancelled. A command gets one as JSON on its standard input and as RINGMASTER_EVENT, _JOB, _STEP, _TEXT; a web hook as a POST. Repeatable")
}

// targetsOf reads --on-event.
func targetsOf(texts []string) ([]notify.Target, error) {
	var out []notify.Target
	for _, text := range texts {
		target, err := notify.Parse(text)
		if err != nil {
			return nil, fmt.Errorf("--on-event: %w", err)
		}
		out = append(out, target)
	}
	return out, nil
}

// notifier tells the targets; what fails goes to warn.
func (f *jobFlags) notifier(warn func(error)) (*notify.Notifier, error) {
	targets, err := targetsOf(f.onEvent)
	if err != nil {
		return nil, wrong(err)
	}
	return notify.New(targets, warn), nil
}

// follower records a submitted job in a folder of this machine and tells of its events, as long as it is watched.
type follower struct {
	recorder *records.Recorder
	notifier *notify.Notifier
	reader   *client.Client // of histories; calls come from one goroutine
}

// follow begins that. Without a folder nothing is written.
func (f *jobFlags) follow(dir string, to target, options []grpc.DialOption, job *config.Job) (*follower, error) {
	notifier, err := f.notifier(complain)
	if err != nil {
		return nil, err
	}
	w, err := recordJob(dir, to, options, job, notifier.Tell)
	if err != nil {
		notifier.Close()
		return nil, err
	}
	w.notifier = notifier
	return w, nil
}

// checkRecords refuses a folder for the records of a job in which they would replace others: those of a run, or of another job. A job that
// is yet to be submitted has no id.
func checkRecords(folder, id string) error {
	if folder == "" {
		return nil
	}
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		return wrong(fmt.Errorf("--records %s is no folder; name another one", folder))
	}
	if launch.Directory(folder).HoldsRun() {
		return wrong(fmt.Errorf("--records %s holds a run, whose records would be replaced; name another folder", folder))
	}
	if held := records.JobIn(folder); held != "" && held != id {
		return wrong(fmt.Errorf("--records %s holds the records of job %s, which would be replaced; name another folder", folder, held))
	}
	return nil
}

func complain(err error) { fmt.Fprintln(os.Stderr, "ringmaster: "+oneLine(err)) }

// recordJob is follow for those who are told of events already.
func recordJob(dir string, to target, options []grpc.DialOption, job *config.Job, tell func(records.Event)) (*follower, error) {
	w := &follower{reader: client.New(to.cluster, options...)}
	history := func(folder string) (checkpoint.History, error) {
		ctx, cancel := context.WithTimeout(context.Background(), answerTimeout)
		defer cancel()
		data, err := w.reader.ReadFile(ctx, folder, checkpoint.HistoryFile(), checkpoint.MaxHistoryFile)
		if err != nil {
			return nil, err
		}
		return checkpoint.DecodeHistory(data)
	}
	var err error
	if w.recorder, err = records.Record(records.Recording{Dir: dir, Job: job, History: history, Warn: complain, Tell: tell, Now: time.Now}); err != nil {
		return nil, failed(errors.Join(err, w.reader.Close()))
	}
	return w, nil
}

func (w *follower) close() {
	w.recorder.Close("", "")
	if w.notifier != nil {
		w.notifier.Close()
	}
	_ = w.reader.Close() // everything was read
}
