package worker

import (
	"time"

	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// doings are what the reports call what a trainer does.
var doings = map[trainer.Doing]rpc.Doing{
	trainer.Reading: rpc.Doing_DOING_READING, trainer.Computing: rpc.Doing_DOING_COMPUTING, trainer.Evaluating: rpc.Doing_DOING_EVALUATING,
	trainer.Saving: rpc.Doing_DOING_SAVING, trainer.Waiting: rpc.Doing_DOING_WAITING, trainer.Connecting: rpc.Doing_DOING_CONNECTING,
	trainer.Fetching: rpc.Doing_DOING_FETCHING,
}

// describeActivity adds to a report what the worker is doing, and whom it waits for. It may be called from any goroutine.
func (j *job) describeActivity(t *trainer.Trainer, r *rpc.Report) {
	a := t.Activity.Account()
	r.Activity = &rpc.Activity{Doing: doings[a.Doing], SinceUs: micros(a.Since), Step: a.Step,
		StepReadingUs: micros(a.InStep[trainer.Reading]), StepBusyUs: micros(a.Busy()), ReadingUs: micros(a.Spent[trainer.Reading]),
		ComputingUs: micros(a.Spent[trainer.Computing]), WaitingUs: micros(a.Spent[trainer.Waiting]), HeldUs: micros(a.Spent[trainer.Held]),
		EvaluatingUs: micros(a.Spent[trainer.Evaluating]), SavingUs: micros(a.Spent[trainer.Saving]), ConnectingUs: micros(a.Spent[trainer.Connecting]),
		FetchingUs: micros(a.Spent[trainer.Fetching]), IdleUs: micros(a.Spent[trainer.Idle])}
	s := j.current.Load()
	if s == nil {
		return
	}
	r.Activity.ReachedNext, r.Activity.ReachedByPrevious = s.opening.Stands()
	ring := s.ring.Load()
	if ring == nil {
		return
	}
	r.Activity.Sent, r.Activity.Received = (*ring).Traffic()
	if wait, ok := (*ring).WaitingFor(); ok {
		r.Waiting = &rpc.Waiting{Worker: wait.Peer.Worker, Host: wait.Peer.Host, Step: wait.Step, Bucket: int32(wait.Bucket),
			Chunk: int32(wait.Chunk), Doing: wait.Doing, SinceMs: uint64(time.Since(wait.Since).Milliseconds())}
	}
}

func micros(d time.Duration) uint64 { return uint64(max(0, d.Microseconds())) }
