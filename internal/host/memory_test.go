package host

import (
	"io/fs"
	"os"
	"testing"
)

func TestTheSmallestLimitOfTheControlGroupsCounts(t *testing.T) {
	const meminfo = "MemTotal:       1024 kB\nMemFree:         512 kB\n"
	for name, c := range map[string]struct {
		files map[string]string
		want  int64
	}{
		"nothing to read":    {nil, 0},
		"what is built in":   {map[string]string{"/proc/meminfo": meminfo}, 1 << 20},
		"no limit":           {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/b/memory.max": "max\n"}, 1 << 20},
		"version 2, outer":   {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/a/b\n", "/sys/fs/cgroup/a/memory.max": "4096\n"}, 4096},
		"within a space":     {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "0::/../x\n", "/sys/fs/cgroup/memory.max": "8192\n"}, 8192},
		"version 1":          {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "8:pids:/\n4:memory:/a\n", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes": "2048\n"}, 2048},
		"more than is there": {map[string]string{"/proc/meminfo": meminfo, "/proc/self/cgroup": "4:memory:/\n", "/sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 1 << 20},
	} {
		got := memory(func(name string) ([]byte, error) {
			if text, ok := c.files[name]; ok {
				return []byte(text), nil
			}
			return nil, os.ErrNotExist
		})
		if got != c.want {
			t.Errorf("%s: %d bytes, want %d", name, got, c.want)
		}
	}
}

func TestKilledForMemory(t *testing.T) {
	for text, want := range map[string]int64{
		"": 0,
		"nr_free_pages 5\noom_kill 3\ndrop_pagecache 0\n": 3,
		"oom_killer 9\noom_kill many\n":                   0,
	} {
		got := killedForMemory(func(name string) ([]byte, error) {
			if name != "/proc/vmstat" || text == "" {
				return nil, os.ErrNotExist
			}
			return []byte(text), nil
		})
		if got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
}

func TestResidentPeakOfAProcess(t *testing.T) {
	read := func(path string) ([]byte, error) {
		if path != "/proc/12/status" {
			return nil, fs.ErrNotExist
		}
		return []byte("Name:\tworker\nVmPeak:\t  999999 kB\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\n"), nil
	}
	if got := residentPeak(read, 12); got != 2<<20 {
		t.Errorf("%d bytes, want 2 MiB", got)
	}
	if got := residentPeak(read, 13); got != 0 {
		t.Errorf("%d bytes of a process that is gone", got)
	}
}
