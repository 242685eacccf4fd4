package main

import (
	"os"
	"path/filepath"
	"testing"

	"ringmaster/internal/records"
)

// Whoever follows a job goes on in the folder of its records, and in no other's.
func TestRecordsStayWithTheirJob(t *testing.T) {
	folder := t.TempDir()
	if err := checkRecords(folder, "b"); err != nil {
		t.Errorf("an empty folder: %v", err)
	}
	if err := os.WriteFile(filepath.Join(folder, records.EventsFile), []byte(`{"event":"started","id":"a"}`+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for id, taken := range map[string]bool{"a": true, "b": false, "": false} {
		if err := checkRecords(folder, id); (err == nil) != taken {
			t.Errorf("job %q: %v", id, err)
		}
	}
}
