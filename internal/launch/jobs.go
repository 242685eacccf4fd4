package launch

import (
	"encoding/hex"
	"fmt"

	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
)

// JobEntry is a job in a cluster's list, as `ringmaster jobs --json` writes it.
type JobEntry struct {
	ID          string            `json:"id"`
	Name        string            `json:"name"`
	State       string            `json:"state"` // queued, running, pausing, paused, stopping, done, failed, interrupted, cancelled
	Place       uint32            `json:"place"` // in the queue, from 1; 0: it does not wait for its turn
	Priority    int32             `json:"priority"`
	Step        uint64            `json:"step"`
	Steps       uint64            `json:"steps"` // of the whole job; 0: not known
	Workers     uint32            `json:"workers"`
	Seed        uint64            `json:"seed"`
	Message     string            `json:"message"` // what it waits for, or why it failed
	Saving      bool              `json:"saving"`  // a checkpoint that was asked for is not stored yet
	DigestStep  uint64            `json:"digest_step"`
	Digest      string            `json:"digest"`
	Checkpoints []CheckpointEntry `json:"checkpoints"`
}

// progress is how far a job is, with how many workers, for people.
func (j *JobEntry) progress() string {
	text := fmt.Sprintf("step %d", j.Step)
	if j.Steps > 0 {
		text += fmt.Sprintf("/%d", j.Steps)
	}
	text += "  " + plural.Of(j.Workers, "worker")
	if j.Message != "" {
		text += "  " + j.Message
	}
	return text
}

// CheckpointEntry is a committed checkpoint of a job.
type CheckpointEntry struct {
	Step      uint64 `json:"step"`
	Directory string `json:"directory"`
	Bytes     uint64 `json:"bytes"`
}

// DescribeJobs turns a cluster's list of jobs into entries.
func DescribeJobs(jobs []*rpc.JobLine) []JobEntry {
	out := make([]JobEntry, len(jobs))
	for i, j := range jobs {
		out[i] = JobEntry{ID: j.Id, Name: j.Name, State: j.State, Place: j.Place, Priority: j.Priority, Step: j.Step, Steps: j.Steps, Workers: j.Workers,
			Seed: j.Seed, Message: j.Message, Saving: j.Saving, DigestStep: j.DigestStep, Digest: hex.EncodeToString(j.Digest), Checkpoints: []CheckpointEntry{}}
		for _, c := range j.Checkpoints {
			out[i].Checkpoints = append(out[i].Checkpoints, CheckpointEntry{Step: c.Step, Directory: c.Directory, Bytes: c.Bytes})
		}
	}
	return out
}
