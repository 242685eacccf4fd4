package host

import (
	"os"
	"strconv"
	"strings"
	"time"
)

// Usage is what a process has had of the CPUs so far.
type Usage struct {
	CPU      time.Duration // of all its threads
	Switches uint64        // context switches: how often one of its threads gave up its CPU, or was made to
}

// UsageOf is a process's usage, without that of threads which have ended; false where the system does not say.
func UsageOf(pid int) (Usage, bool) {
	root := "/proc/" + strconv.Itoa(pid) + "/task"
	entries, err := os.ReadDir(root)
	if err != nil {
		return Usage{}, false
	}
	var tasks []string
	for _, e := range entries {
		tasks = append(tasks, root+"/"+e.Name())
	}
	return usageOf(os.ReadFile, tasks)
}

// usageOf adds up threads; one that ends meanwhile counts no more.
func usageOf(read func(string) ([]byte, error), tasks []string) (Usage, bool) {
	var sum Usage
	seen := false
	for _, task := range tasks {
		scheduled, err := read(task + "/schedstat") // nanoseconds on a CPU, nanoseconds waiting for one, turns
		if err != nil {
			continue
		}
		fields := strings.Fields(string(scheduled))
		if len(fields) != 3 {
			return Usage{}, false
		}
		ns, err := strconv.ParseInt(fields[0], 10, 64)
		status, unread := read(task + "/status")
		if err != nil || unread != nil {
			continue
		}
		sum.CPU += time.Duration(ns)
		sum.Switches += switchesIn(string(status))
		seen = true
	}
	return sum, seen
}

// switchesIn adds up the voluntary and the other context switches of a thread's status.
func switchesIn(status string) uint64 {
	sum := uint64(0)
	for line := range strings.Lines(status) {
		name, count, found := strings.Cut(line, ":")
		if !found || name != "voluntary_ctxt_switches" && name != "nonvoluntary_ctxt_switches" {
			continue
		}
		if n, err := strconv.ParseUint(strings.TrimSpace(count), 10, 64); err == nil {
			sum += n
		}
	}
	return sum
}
