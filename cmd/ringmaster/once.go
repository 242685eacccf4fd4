package main

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"slices"
	"time"

	"ringmaster/internal/client"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

// tokenOf makes the token of a submission from its key: the cluster takes a submission with a token that it knows for a repetition. 0, for no
// key, means a random one.
func tokenOf(key string) uint64 {
	if key == "" {
		return 0
	}
	sum := sha256.Sum256([]byte("ringmaster submission " + key))
	return binary.BigEndian.Uint64(sum[:]) | 1
}

// submitOnce gives the job to the cluster as soon as it answers, unless it has it already; one that was paused meanwhile goes on.
func submitOnce(ctx context.Context, coordinators *client.Client, request *rpc.SubmitRequest, display progress.Display) (string, error) {
	var id string
	err := whenAnswered(ctx, display, func(ctx context.Context) (err error) {
		id, err = coordinators.Submit(ctx, request)
		return err
	})
	if err != nil {
		return "", failed(err)
	}
	display.Note("submitted as " + id)
	return id, failed(whenAnswered(ctx, display, func(ctx context.Context) error {
		jobs, err := coordinators.Jobs(ctx)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(jobs, func(j *rpc.JobLine) bool { return j.Id == id })
		if at < 0 || !slices.Contains([]string{"paused", "pausing"}, jobs[at].State) {
			return nil
		}
		display.Note("it was paused; it goes on")
		return coordinators.Change(ctx, id, rpc.Change_CHANGE_RESUME, 0)
	}))
}

// whenAnswered asks the cluster again and again while no coordinator answers.
func whenAnswered(ctx context.Context, display progress.Display, ask func(context.Context) error) error {
	for said := false; ; said = true {
		bounded, cancel := context.WithTimeout(ctx, answerTimeout)
		err := ask(bounded)
		cancel()
		if !errors.Is(err, client.ErrUnreachable) || ctx.Err() != nil {
			return err
		}
		if !said {
			display.Note("waiting for the cluster: " + oneLine(err))
		}
	}
}

// pauseTime bounds the call that pauses a job, so that it ends before a scheduler loses its patience.
const pauseTime = 20 * time.Second

// pauseTied pauses a job whose command a signal has ended. Without an id there is none yet.
func pauseTied(coordinators *client.Client, id string, by os.Signal) error {
	if id == "" {
		return signalled(by, errors.New("ended before the cluster had the job"))
	}
	ctx, cancel := context.WithTimeout(context.Background(), pauseTime)
	defer cancel()
	if err := coordinators.Change(ctx, id, rpc.Change_CHANGE_PAUSE, 0); err != nil {
		return signalled(by, errors.New("job "+id+" goes on, since it could not be paused: "+oneLine(err)))
	}
	return signalled(by, errors.New("job "+id+" is paused; the same command with the same --once goes on with it"))
}
