// Package report tells of runs on this machine: it lists them, says where two differ, and draws them side by side.
package report

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"ringmaster/internal/launch"
)

// Row is a run in a list.
type Row struct {
	Run       string    `json:"run"` // the folder
	Job       string    `json:"job"`
	State     string    `json:"state"` // as status has it; "new" before its cluster was up, "damaged" where the folder cannot be read
	Step      uint64    `json:"step"`
	Steps     uint64    `json:"steps"` // 0: not known
	TrainLoss *float64  `json:"train_loss"`
	Digest    string    `json:"digest"` // of the parameters after step digest_step; empty: not known
	DigestAt  uint64    `json:"digest_step"`
	SavedStep *uint64   `json:"saved_step"` // of the newest checkpoint
	Changed   time.Time `json:"changed"`    // when the run last wrote its status
	Bytes     int64     `json:"bytes"`      // of all its files
	Problem   string    `json:"problem,omitempty"`
}

// mostFiles bounds how many files of a run are looked at for its size.
const mostFiles = 100_000

// List lists the runs in a folder, those that changed last first; of a folder that is a run, that one. Other folders are passed over.
func List(ctx context.Context, dir, machine string) ([]Row, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err // the message names the path
		}
		return nil, fmt.Errorf("list the runs in %s: %w; name the folder in which runs are", dir, err)
	}
	if launch.Directory(dir).HoldsRun() {
		return []Row{rowOf(ctx, launch.Directory(dir), machine)}, nil
	}
	rows := []Row{}
	for _, e := range entries {
		run := launch.Directory(filepath.Join(dir, e.Name()))
		if e.IsDir() && run.HoldsRun() {
			rows = append(rows, rowOf(ctx, run, machine))
		}
	}
	slices.SortStableFunc(rows, func(a, b Row) int { return b.Changed.Compare(a.Changed) })
	return rows, nil
}

func rowOf(ctx context.Context, run launch.Directory, machine string) Row {
	row := Row{Run: string(run), State: "new", Bytes: size(string(run))}
	for _, name := range []string{"job.yaml", "status.json", "events.jsonl"} {
		if info, err := os.Stat(filepath.Join(string(run), name)); err == nil && info.ModTime().After(row.Changed) {
			row.Changed = info.ModTime()
		}
	}
	status, err := run.Status(ctx, machine)
	switch {
	case errors.Is(err, launch.ErrNotUp):
		return row
	case err != nil:
		row.State, row.Problem = "damaged", err.Error()
		return row
	}
	row.Job, row.State, row.Step, row.Steps, row.SavedStep = status.Job, status.State, status.Step, status.Steps, status.SavedStep
	row.Digest, row.DigestAt, row.Problem = status.Digest, status.DigestStep, status.Error
	if loss := float64(status.TrainLoss); !math.IsNaN(loss) && !math.IsInf(loss, 0) {
		row.TrainLoss = &loss
	}
	return row
}

// size is the bytes of the files below a folder, as far as they can be seen.
func size(dir string) int64 {
	total, seen := int64(0), 0
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return nil // gone meanwhile, or not ours: the rest counts
		}
		if seen++; seen > mostFiles {
			return fs.SkipAll
		}
		if info, err := d.Info(); err == nil && info.Mode().IsRegular() {
			total += info.Size()
		}
		return nil
	})
	return total
}
