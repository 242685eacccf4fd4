package report

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/test/cost"
)

// FuzzEvents: whatever a record of events holds, reading it costs what it is long, and what can be read is read.
func FuzzEvents(f *testing.F) {
	f.Add([]byte(`{"time":"2027-01-15T08:00:00Z","event":"finished","step":3,"eval":{"loss":0.5}}` + "\n"))
	f.Add([]byte("{\"event\":\"a\"}\nforeign\n\n{\"event\":3}\n{\"event\":\"b\""))
	f.Add([]byte(strings.Repeat("x", maxEventLine+10) + "\n{\"event\":\"c\"}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "events.jsonl")
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cost.Bound(t, len(text), 512, func() {
			found, skipped, err := events(path)
			if lines := bytes.Count(text, []byte("\n")) + 1; err != nil || len(found)+skipped > lines {
				t.Errorf("%d events and %d that cannot be read of %d lines, %v", len(found), skipped, lines, err)
			}
		})
	})
}
