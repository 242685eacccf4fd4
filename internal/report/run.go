package report

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/records"
	"ringmaster/internal/regularfile"
)

// Run is a run with what its checkpoints remember.
type Run struct {
	Name    string // as it was named on the command line
	Entry   *checkpoint.Entry
	Job     *config.Job
	History checkpoint.History
	Records *records.Run
	Saved   []checkpoint.Entry // its good checkpoints, by step
	Events  []records.Event    // what happened when; none where that was not recorded
	Skipped int                // lines of that record that cannot be read
}

// Load reads a run by the checkpoint that stands for it, and the others in the same place.
func Load(name string, entry *checkpoint.Entry, others []checkpoint.Entry) (*Run, error) {
	r := &Run{Name: name, Entry: entry}
	var err error
	if r.Job, err = config.Decode([]byte(entry.Manifest.Config)); err != nil {
		return nil, fmt.Errorf("%s: %w", entry.Path, err)
	}
	if r.History, err = entry.History(); err != nil {
		return nil, err
	}
	r.Records = records.New(entry.Step, r.History, entry.Manifest.Epochs, r.Job)
	for _, e := range others {
		if n := len(r.Saved); e.Err == nil && (n == 0 || r.Saved[n-1].Step != e.Step) {
			r.Saved = append(r.Saved, e)
		}
	}
	if r.Events, r.Skipped, err = events(filepath.Join(name, records.EventsFile)); err != nil {
		return nil, err
	}
	return r, nil
}

// Bounds on a record of events that is read.
const (
	maxEventBytes = 64 << 20
	maxEventLine  = 64 << 10
)

// events reads a record of events. There need not be one.
func events(path string) (found []records.Event, skipped int, err error) {
	f, err := regularfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(io.LimitReader(f, maxEventBytes))
	lines.Buffer(nil, maxEventLine)
	for lines.Scan() {
		var e records.Event
		if json.Unmarshal(lines.Bytes(), &e) != nil || e.Event == "" {
			skipped++
			continue
		}
		found = append(found, e)
	}
	if lines.Err() != nil { // a line without an end: the rest is none of a launch's
		skipped++
	}
	return found, skipped, nil
}
