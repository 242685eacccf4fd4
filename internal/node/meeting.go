// Package node is one task of a cluster that a scheduler starts: every task runs a worker, some a coordinator too, and the first
// one submits the job and watches it. They find each other in a folder that all of them see.
package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"ringmaster/internal/regularfile"
	"ringmaster/internal/sleep"
	"ringmaster/internal/wholefile"
)

// meeting is the folder in which the tasks of one start find each other. Each file is written once, in one piece:
//
//	task-3.json   where task 3 is
//	plan.json     who does what, by the first task
//	end.json      how the job ended, by the first task
//	left-3        task 3 has no worker any more
type meeting string

const (
	planFile = "plan.json"
	endFile  = "end.json"
)

// place is where a task is: task-N.json.
type place struct {
	Node    string `json:"node"`
	Address string `json:"address"` // IP that the other tasks reach
	Port    int    `json:"port"`    // of its coordinator, should it have one
}

// plan says who does what.
type plan struct {
	Launch       int     `json:"launch"` // number of the run's launch
	Places       []place `json:"places"` // by rank
	Coordinators []int   `json:"coordinators"`
	Certs        string  `json:"certs"` // folder of the certificates
	Dir          string  `json:"dir"`   // of the run
}

// end says how the job ended.
type end struct {
	Done bool `json:"done"`
}

// maxMeetingFile bounds what is read of a file here: a plan of the largest allocation.
const maxMeetingFile = 64 << 20

const pollPeriod = 200 * time.Millisecond

func taskFile(rank int) string { return "task-" + strconv.Itoa(rank) + ".json" }
func leftFile(rank int) string { return "left-" + strconv.Itoa(rank) }

// publish writes a file.
func (m meeting) publish(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(string(m), 0o700); err != nil {
		return fmt.Errorf("make the folder in which the tasks meet: %w; --dir must be in a folder that all nodes see", err)
	}
	return wholefile.Write(filepath.Join(string(m), name), 0o600, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}

// names lists the files that are there. A network's file system may remember for a while that a name was not there, but reads the folder again.
func (m meeting) names() (map[string]bool, error) {
	entries, err := os.ReadDir(string(m))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for the other tasks: %w", err)
	}
	names := make(map[string]bool, len(entries))
	for _, e := range entries {
		names[e.Name()] = true
	}
	return names, nil
}

// read reads a file.
func (m meeting) read(name string, into any) error {
	f, err := regularfile.Open(filepath.Join(string(m), name))
	if err != nil {
		return err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMeetingFile))
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s of the meeting of the tasks is damaged: %w", name, err)
	}
	return nil
}

// await waits until one of the files is there, and says which.
func (m meeting) await(ctx context.Context, files ...string) (string, error) {
	for {
		names, err := m.names()
		if err != nil {
			return "", err
		}
		for _, name := range files {
			if names[name] {
				return name, nil
			}
		}
		if !sleep.For(ctx, pollPeriod) {
			return "", context.Cause(ctx)
		}
	}
}

// places waits for all tasks.
func (m meeting) places(ctx context.Context, tasks int) ([]place, error) {
	out := make([]place, tasks)
	read := make([]bool, tasks)
	for {
		names, err := m.names()
		if err != nil {
			return nil, err
		}
		missing := 0
		first := -1
		for rank := range out {
			if !read[rank] && names[taskFile(rank)] {
				if err := m.read(taskFile(rank), &out[rank]); err != nil {
					return nil, err
				}
				read[rank] = true
			}
			if !read[rank] {
				if missing++; first < 0 {
					first = rank
				}
			}
		}
		if missing == 0 {
			return out, nil
		}
		if !sleep.For(ctx, pollPeriod) {
			return nil, fmt.Errorf("%d of %d tasks have not come to %s, task %d for one: --dir must be in a folder that all nodes see (%w)", missing, tasks, m, first, context.Cause(ctx))
		}
	}
}

// left waits until all other tasks have left.
func (m meeting) left(ctx context.Context, tasks, own int) {
	for {
		names, err := m.names()
		there := 0
		for rank := range tasks {
			if rank != own && !names[leftFile(rank)] {
				there++
			}
		}
		if err == nil && there == 0 || !sleep.For(ctx, pollPeriod) {
			return
		}
	}
}

// coordinators are the ranks that coordinate: the first task of each of the first three nodes, or where there are fewer of the first.
func coordinators(places []place) []int {
	var ranks []int
	seen := map[string]bool{}
	for rank, p := range places {
		if !seen[p.Node] {
			seen[p.Node] = true
			ranks = append(ranks, rank)
		}
	}
	if len(ranks) < 3 {
		return ranks[:1]
	}
	return ranks[:3]
}
