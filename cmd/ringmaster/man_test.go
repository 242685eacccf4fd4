package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The daemons have pages beside the commands', with every key of their files.
func TestManualHasPagesOfTheDaemons(t *testing.T) {
	dir := t.TempDir()
	if code := run([]string{"man", "--dir", dir}); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	for page, words := range map[string][]string{
		"ringmaster.1":             {`.TH "RINGMASTER" "1"`, "ringmaster\\-launch"},
		"ringmaster-coordinator.8": {`.TH "RINGMASTER\-COORDINATOR" "8"`, "ringmaster\\-coordinator \\- One coordinator replica", `\fB\-\-raft\-dir\fR`},
		"ringmaster-worker.8":      {`.TH "RINGMASTER\-WORKER" "8"`, "ringmaster\\-worker \\- One worker", `\fB\-\-threads\fR`},
	} {
		text, err := os.ReadFile(filepath.Join(dir, page))
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range words {
			if !strings.Contains(string(text), word) {
				t.Errorf("%s lacks %q", page, word)
			}
		}
	}
}
