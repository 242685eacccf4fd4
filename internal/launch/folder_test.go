package launch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"ringmaster/internal/test/cost"
)

// FuzzRunFolder: whatever the files of a run's folder hold, reading them costs what they are long, says in one line what is wrong, counts
// the launches on, and shows nothing that a terminal acts on.
func FuzzRunFolder(f *testing.F) {
	f.Add([]byte("3\n"), []byte(`{"pid":0,"coordinators":{"c1":"127.0.0.1:7070"},"pids":{"c1":4}}`),
		[]byte(`{"job":"a","state":"running","step":4,"left_s":null,"workers":[{"id":"w1","arc":[0,2],"seat_ms":3}],"stalled":{"reason":"r"}}`))
	f.Add([]byte("9223372036854775807"), []byte(`{"coordinators":{"c1":""}}`), []byte("{\"job\":\"\\u001b[2J\",\"state\":\"\\u0007\",\"error\":\"a\\nb\",\"left_s\":1e300}"))
	f.Add([]byte("-1"), []byte(`[`), []byte(`{"workers":[{"arc":[1]}],"train_loss":null,"step":-1}`))
	f.Add([]byte("x"), []byte(`{"coordinators":{}}`), []byte(`{}`))
	f.Fuzz(func(t *testing.T, launches, cluster, status []byte) {
		runs := t.TempDir()
		d := Directory(filepath.Join(runs, "a-1"))
		err := os.Mkdir(string(d), 0o700)
		for name, text := range map[string][]byte{"launches": launches, "cluster.json": cluster, "status.json": status, "job.yaml": nil} {
			err = errors.Join(err, os.WriteFile(d.path(name), text, 0o600))
		}
		if err != nil {
			t.Fatal(err)
		}
		cost.Bound(t, len(launches)+len(cluster)+len(status), 4<<10, func() { readFolder(t, runs, d) })
	})
}

func readFolder(t *testing.T, runs string, d Directory) {
	if n := d.launched(); n < 0 || n >= maxNumber {
		t.Errorf("it was launched %d times", n)
	}
	if latest, err := LatestDirectory(runs); err != nil || latest != d {
		t.Errorf("the latest run is %s, %v", latest, err)
	}
	oneLine := func(text string) {
		if strings.ContainsFunc(text, unicode.IsControl) {
			t.Errorf("%q is shown", text)
		}
	}
	oneLine(d.begins("a"))
	endpoints, up, err := d.Endpoints()
	if err != nil {
		oneLine(err.Error())
	}
	if up && (len(endpoints.Addresses()) == 0 || endpoints.PID > 0) {
		return // somebody may answer there
	}
	last, err := d.Status(context.Background(), "here")
	if err != nil {
		oneLine(err.Error())
		return
	}
	for line := range strings.Lines(last.Table()) {
		oneLine(strings.TrimSuffix(line, "\n"))
	}
}

// TestRunFilesAreBounded: a file of a run's folder that no launch can have written is refused, not read.
func TestRunFilesAreBounded(t *testing.T) {
	d := Directory(t.TempDir())
	file, err := os.Create(d.path("status.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(file.Truncate(maxRunFile+1), file.Close()); err != nil {
		t.Fatal(err)
	}
	_, err = d.Status(t.Context(), "here")
	if want := fmt.Sprintf("status.json has more than %d bytes", maxRunFile); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}
