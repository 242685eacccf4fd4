package launch

import (
	"errors"
	"io"
	"path/filepath"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/records"
	"ringmaster/internal/regularfile"
)

// record begins the run's records. They are a convenience: without them the run goes on.
func (r *run) record() {
	is := records.Recording{Dir: string(r.dir), Job: r.o.Job, History: r.history, Tell: r.o.Tell, Now: time.Now,
		Warn: func(err error) { say(r.o.Warnings, "ringmaster: the run is not recorded: %v", err) }}
	if r.origin != nil {
		is.Resumed, is.From, is.Generation = true, r.origin.Manifest.Step, uint64(r.origin.Manifest.Generation)
	}
	var err error
	if r.recorder, err = records.Record(is); err != nil {
		is.Warn(err)
	}
}

// history reads a checkpoint's history from the first coordinator that holds it.
func (r *run) history(folder string) (checkpoint.History, error) {
	var errs []error
	for _, id := range CoordinatorIDs(r.o.Coordinators) {
		h, err := readHistory(filepath.Join(r.dir.Checkpoints(id), folder, checkpoint.HistoryFile()))
		if err == nil {
			return h, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

func readHistory(path string) (checkpoint.History, error) {
	f, err := regularfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, checkpoint.MaxHistoryFile+1))
	if err != nil {
		return nil, err
	}
	return checkpoint.DecodeHistory(data)
}
