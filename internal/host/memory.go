package host

import (
	"bufio"
	"bytes"
	"math"
	"os"
	"path"
	"runtime/debug"
	"strconv"
	"strings"
)

// Memory is how many bytes this machine has for all its processes, 0 where that cannot be told: the installed memory, or less
// where the control groups that this process lives in allow no more.
func Memory() int64 { return memory(os.ReadFile) }

// MemoryLimit is how many bytes this process may use according to GOMEMLIMIT, 0 where that sets none. KeepWithin overrides it.
func MemoryLimit() int64 {
	if limit := debug.SetMemoryLimit(-1); limit != math.MaxInt64 {
		return limit
	}
	return 0
}

// KeepWithin makes the garbage collector run early enough that this process takes no more than a number of bytes, as far as its live data allows.
// Otherwise it is let grow until it takes twice of what it uses.
func KeepWithin(bytes uint64) { debug.SetMemoryLimit(int64(min(bytes, math.MaxInt64))) }

// ResidentPeak is the most bytes of memory that a process has had resident so far; 0 where the system does not say.
func ResidentPeak(pid int) int64 { return residentPeak(os.ReadFile, pid) }

func residentPeak(read func(string) ([]byte, error), pid int) int64 {
	text, err := read("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if size, found := strings.CutPrefix(line, "VmHWM:"); found {
			if kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(size), "kB")), 10, 64); err == nil {
				return kib << 10
			}
		}
	}
	return 0
}

// KilledForMemory is how many processes the kernel has killed since it started because memory was short; 0 where it does not say.
func KilledForMemory() int64 { return killedForMemory(os.ReadFile) }

func killedForMemory(read func(string) ([]byte, error)) int64 {
	text, err := read("/proc/vmstat")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(text)) {
		if count, found := strings.CutPrefix(line, "oom_kill "); found {
			if kills, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64); err == nil {
				return kills
			}
		}
	}
	return 0
}

func memory(read func(string) ([]byte, error)) int64 {
	text, err := read("/proc/meminfo")
	if err != nil {
		return 0
	}
	total := int64(0)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "MemTotal:" {
			if kib, err := strconv.ParseInt(fields[1], 10, 64); err == nil {
				total = kib << 10
			}
		}
	}
	groups, err := read("/proc/self/cgroup")
	if err != nil || total == 0 {
		return total
	}
	for lines := bufio.NewScanner(bytes.NewReader(groups)); lines.Scan(); {
		// hierarchy:controllers:path; the one hierarchy of version 2 lists no controllers
		parts := strings.SplitN(lines.Text(), ":", 3)
		switch {
		case len(parts) != 3:
		case parts[1] == "":
			total = least(read, total, "/sys/fs/cgroup", parts[2], "memory.max")
		case parts[1] == "memory":
			total = least(read, total, "/sys/fs/cgroup/memory", parts[2], "memory.limit_in_bytes")
		}
	}
	return total
}

// least is the smallest of total and the limits of a control group and those around it.
func least(read func(string) ([]byte, error), total int64, root, group, file string) int64 {
	for at := path.Clean("/" + group); ; at = path.Dir(at) {
		if text, err := read(path.Join(root, at, file)); err == nil {
			if limit, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64); err == nil && limit > 0 {
				total = min(total, limit)
			}
		}
		if at == "/" {
			return total
		}
	}
}
