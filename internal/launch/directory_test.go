package launch

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A launch never gets the number of an earlier one, whose Raft logs it would meet, whatever has become of the file.
func TestLaunchesAreCounted(t *testing.T) {
	job := mustJob(t, "name: a")
	for _, test := range []struct {
		file string // "-": none
		logs []string
		want int
	}{
		{"-", nil, 1},
		{"4\n", nil, 5},
		{"4\n", []string{"c1/raft-2", "c1/raft-4"}, 5},
		{"2\n", []string{"c1/raft-1", "c2/raft-3", "c1/raft-x"}, 4},
		{"-", []string{"c1/raft-9", "c1/raft-10"}, 11},
		{"-7\n", []string{"c1/raft-1"}, 2},
		{"no number", []string{"c1/raft-1"}, 2},
		{"9223372036854775807\n", []string{"c1/raft-1", "c1/raft-9223372036854775807"}, 2},
	} {
		dir := Directory(t.TempDir())
		for _, log := range test.logs {
			if err := os.MkdirAll(dir.path("coordinators", filepath.FromSlash(log)), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if test.file != "-" {
			if err := os.WriteFile(dir.path("launches"), []byte(test.file), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := dir.Prepare(job, CoordinatorIDs(1), WorkerIDs(1)); err != nil || got != test.want {
			t.Errorf("file %q, logs %v: launch %d, %v, want %d", test.file, test.logs, got, err, test.want)
		}
		if text, err := os.ReadFile(dir.path("launches")); err != nil || string(text) == test.file {
			t.Errorf("file %q is %q afterwards, %v", test.file, text, err)
		}
	}
}

// Files that something has damaged are named, with the place and what to do.
func TestDamagedFolder(t *testing.T) {
	for _, test := range []struct{ file, text, want string }{
		{"status.json", "", "is damaged: it ends too early; going on"},
		{"status.json", `{"job": "a"`, "is damaged: it ends too early; going on"},
		{"status.json", `{"job": "a", ]}`, "is damaged: it is no JSON at byte 14 ("},
		{"status.json", `{"job": 3}`, "is damaged: it has a JSON number at byte 9, where none belongs, in field job; going on"},
		{"cluster.json", `[]`, "is damaged: it has a JSON array at byte"},
		{"cluster.json", `{"pid": 1}`, "is damaged: it names no coordinators; going on"},
	} {
		dir := Directory(t.TempDir())
		if err := os.WriteFile(dir.path(test.file), []byte(test.text), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := dir.Status(t.Context(), "m"); err == nil || !strings.HasPrefix(err.Error(), dir.path(test.file)+" "+test.want) {
			t.Errorf("%s %q: %v, want %s", test.file, test.text, err, test.want)
		}
	}
	absent := Directory(filepath.Join(t.TempDir(), "absent"))
	if _, err := absent.Status(t.Context(), "m"); !errors.Is(err, ErrNotUp) || !strings.Contains(err.Error(), "there is no such folder") {
		t.Errorf("no folder: %v", err)
	}
}
