// Package slurm reads what Slurm tells a task of the allocation that it is part of.
package slurm

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Task is one task of a job step, as srun starts it.
type Task struct {
	Job      string   // id of the job, with that of its place in an array: "17", "17_3"
	Step     string   // id of the step within the job
	Restarts int      // how often the job was requeued
	Rank     int      // among the step's tasks, from 0
	Tasks    int      // of the step
	Nodes    []string // names of the step's nodes, in Slurm's order
	Node     string   // the name of this one
	CPUs     int      // of the task; 0: Slurm does not say
}

// ErrOutside means that the program was not started by srun.
var ErrOutside = errors.New("srun did not start this: SLURM_PROCID is not set; write srun before the command, in a batch script or an allocation")

// maxTasks bounds what a list of nodes and a count of tasks may say.
const maxTasks = 1 << 16

// Here is the task that an environment describes. get looks a variable up.
func Here(get func(name string) string) (*Task, error) {
	if get("SLURM_PROCID") == "" {
		return nil, ErrOutside
	}
	t := &Task{Job: get("SLURM_JOB_ID"), Step: get("SLURM_STEP_ID"), Node: get("SLURMD_NODENAME")}
	if array := get("SLURM_ARRAY_JOB_ID"); array != "" {
		t.Job = array + "_" + get("SLURM_ARRAY_TASK_ID")
	}
	for _, n := range []struct {
		name        string
		value       *int
		least, most int
		optional    bool
	}{
		{"SLURM_NTASKS", &t.Tasks, 1, maxTasks, false},
		{"SLURM_PROCID", &t.Rank, 0, maxTasks - 1, false},
		{"SLURM_RESTART_COUNT", &t.Restarts, 0, 1 << 30, true},
		{"SLURM_CPUS_PER_TASK", &t.CPUs, 1, 1 << 16, true},
	} {
		text := get(n.name)
		if text == "" && n.optional {
			continue
		}
		v, err := strconv.Atoi(text)
		if err != nil || v < n.least || v > n.most {
			return nil, fmt.Errorf("%s is %q, not a number from %d to %d", n.name, text, n.least, n.most)
		}
		*n.value = v
	}
	if t.Rank >= t.Tasks {
		return nil, fmt.Errorf("SLURM_PROCID is %d, of %d tasks (SLURM_NTASKS)", t.Rank, t.Tasks)
	}
	for _, id := range []struct{ name, value string }{{"SLURM_JOB_ID", t.Job}, {"SLURM_STEP_ID", t.Step}} {
		if id.value == "" || strings.Trim(id.value, "0123456789_") != "" || len(id.value) > 64 {
			return nil, fmt.Errorf("%s is %q, not a number", id.name, id.value)
		}
	}
	list := get("SLURM_STEP_NODELIST")
	if list == "" {
		list = get("SLURM_JOB_NODELIST")
	}
	var err error
	if t.Nodes, err = Expand(list); err != nil {
		return nil, fmt.Errorf("SLURM_STEP_NODELIST: %w", err)
	}
	return t, nil
}

// Expand lists the nodes that Slurm writes in short: "n[1-3,07],login" is n1, n2, n3, n07, login. A name may have several brackets.
func Expand(list string) ([]string, error) {
	var nodes []string
	for rest := list; rest != ""; {
		var name string
		name, rest = cutName(rest)
		some, err := expandName(name)
		if err != nil {
			return nil, fmt.Errorf("%q: %w", list, err)
		}
		if nodes = append(nodes, some...); len(nodes) > maxTasks {
			return nil, fmt.Errorf("more than %d nodes", maxTasks)
		}
	}
	if len(nodes) == 0 {
		return nil, errors.New("no nodes")
	}
	return nodes, nil
}

// cutName cuts the first name off a list: up to a comma that is in no brackets.
func cutName(list string) (name, rest string) {
	depth := 0
	for i, c := range list {
		switch c {
		case '[':
			depth++
		case ']':
			depth--
		case ',':
			if depth == 0 {
				return list[:i], list[i+1:]
			}
		}
	}
	return list, ""
}

// expandName lists the nodes that one name stands for.
func expandName(name string) ([]string, error) {
	before, rest, bracketed := strings.Cut(name, "[")
	if !bracketed {
		if name == "" || strings.ContainsAny(name, "]/ ") {
			return nil, fmt.Errorf("%q is no node's name", name)
		}
		return []string{name}, nil
	}
	ranges, after, closed := strings.Cut(rest, "]")
	if !closed {
		return nil, errors.New("a bracket is not closed")
	}
	ends := []string{""}
	if after != "" {
		var err error
		if ends, err = expandName(after); err != nil {
			return nil, err
		}
	}
	var nodes []string
	for _, r := range strings.Split(ranges, ",") {
		first, last, isRange := strings.Cut(r, "-")
		if !isRange {
			last = first
		}
		from, err1 := strconv.Atoi(first)
		to, err2 := strconv.Atoi(last)
		if err1 != nil || err2 != nil || from < 0 || to < from || (to-from+1)*len(ends) > maxTasks-len(nodes) {
			return nil, fmt.Errorf("%q is no range of nodes", r)
		}
		for n := from; n <= to; n++ {
			for _, end := range ends {
				nodes = append(nodes, fmt.Sprintf("%s%0*d%s", before, len(first), n, end))
			}
		}
	}
	return nodes, nil
}
