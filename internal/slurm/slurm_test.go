package slurm

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestExpand(t *testing.T) {
	for list, want := range map[string]string{
		"login":                "login",
		"n1,n2":                "n1 n2",
		"n[1-3,7],m05":         "n1 n2 n3 n7 m05",
		"n[08-11]":             "n08 n09 n10 n11",
		"rack[1-2]-n[1,3].hpc": "rack1-n1.hpc rack1-n3.hpc rack2-n1.hpc rack2-n3.hpc",
	} {
		got, err := Expand(list)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("%s: %v, %v, want %s", list, got, err, want)
		}
	}
	for _, list := range []string{"", "n[", "n[]", "n[1", "n[3-1]", "n[a-b]", "n[1-999999999]", "a b", "n]1[", "n[1-300][1-300]", ","} {
		if got, err := Expand(list); err == nil {
			t.Errorf("%q: %d nodes", list, len(got))
		}
	}
}

func FuzzExpand(f *testing.F) {
	for _, list := range []string{"n[1-3,7],m05", "n[1-999999999]", "rack[1-2]-n[1,3].hpc", "[[[", "n[1-9][1-9][1-9][1-9][1-9][1-9]"} {
		f.Add(list)
	}
	f.Fuzz(func(t *testing.T, list string) {
		if nodes, err := Expand(list); err == nil && (len(nodes) == 0 || len(nodes) > maxTasks) {
			t.Errorf("%q: %d nodes", list, len(nodes))
		}
	})
}

func TestHere(t *testing.T) {
	whole := map[string]string{"SLURM_PROCID": "2", "SLURM_NTASKS": "4", "SLURM_JOB_ID": "17", "SLURM_STEP_ID": "0", "SLURM_STEP_NODELIST": "n[1-2]",
		"SLURMD_NODENAME": "n2", "SLURM_CPUS_PER_TASK": "8", "SLURM_RESTART_COUNT": "1"}
	get := func(changes ...string) func(string) string {
		return func(name string) string {
			for i := 0; i < len(changes); i += 2 {
				if changes[i] == name {
					return changes[i+1]
				}
			}
			return whole[name]
		}
	}
	task, err := Here(get())
	if err != nil || task.Rank != 2 || task.Tasks != 4 || task.Job != "17" || task.Restarts != 1 || task.CPUs != 8 || !slices.Equal(task.Nodes, []string{"n1", "n2"}) || task.Node != "n2" {
		t.Errorf("%+v, %v", task, err)
	}
	if task, err := Here(get("SLURM_ARRAY_JOB_ID", "20", "SLURM_ARRAY_TASK_ID", "3")); err != nil || task.Job != "20_3" {
		t.Errorf("in an array: %+v, %v", task, err)
	}
	if task, err := Here(get("SLURM_CPUS_PER_TASK", "", "SLURM_RESTART_COUNT", "")); err != nil || task.CPUs != 0 || task.Restarts != 0 {
		t.Errorf("without what is optional: %+v, %v", task, err)
	}
	if _, err := Here(func(string) string { return "" }); !errors.Is(err, ErrOutside) {
		t.Errorf("outside: %v", err)
	}
	for _, change := range [][2]string{{"SLURM_PROCID", "4"}, {"SLURM_PROCID", "-1"}, {"SLURM_NTASKS", ""}, {"SLURM_NTASKS", "99999999"}, {"SLURM_JOB_ID", "../x"}, {"SLURM_JOB_ID", ""},
		{"SLURM_STEP_NODELIST", "n["}, {"SLURM_CPUS_PER_TASK", "many"}} {
		if _, err := Here(get(change[:]...)); err == nil || !strings.Contains(err.Error(), "SLURM_") {
			t.Errorf("%v: %v", change, err)
		}
	}
}
