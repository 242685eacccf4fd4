package lint

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// wallClock is what takes a time's monotonic reading away, or compares times without one: gRPC's keepalive closes every connection
// that lives when the clock is set back (package pulse does its work).
var wallClock = regexp.MustCompile(`\.Unix(Nano|Milli|Micro)?\(\)|\.Round\(0\)|keepalive\.(Server|Client)Parameters`)

// allowedWallClock are the files that may have it, with what for.
var allowedWallClock = map[string]string{
	"certs/token.go":                "a token says until when it is valid",
	"cluster/members.go":            "the leader says what its wall clock shows, for dates",
	"dataset/remembered.go":         "a file is known again by the times of its file system",
	"daemon/members.go":             "a certificate's end is a date",
	"worker/trace.go":               "traces of several machines are put side by side, for people",
	"cluster/trace.go":              "traces of several machines are put side by side, for people",
	"daemon/metrics_coordinator.go": "metrics say when a checkpoint was stored",
	"cluster/raftnode/entry.go":     "entries of the log say when they were written, for people",
	"launch/directory.go":           "runs are ordered by when their files were written",
	"trainer/trainer.go":            "the first step's time is shown by another process",
	"fleet/agent/apply.go":          "since when a daemon runs is shown on another machine",
	"records/recorder.go":           "TensorBoard's records say when they were written",
}

func TestNothingDecidesByTheWallClock(t *testing.T) {
	root := filepath.Join("..", "..")
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil || allowedWallClock[filepath.ToSlash(name)] != "" {
			return err
		}
		text, err := os.ReadFile(path)
		for number, line := range strings.Split(string(text), "\n") {
			if found := wallClock.FindString(line); found != "" {
				t.Errorf("internal/%s:%d has %s: what decides compares monotonic times (time.Since); what must have the wall clock is allowed here with its reason", name, number+1, found)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
