package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"ringmaster/internal/setaside"
)

// A replica whose log is damaged must not vote or serve what it holds. It cannot just start afresh either: it has forgotten how it
// voted and what it acknowledged. So it first asks the leader to take its vote back (AddReplica with Lost), then sets the damaged
// files aside, and begins as a new replica does. A mark says so from before the files move until there is a log again, so
// that a crash in between does not leave an empty folder that founds a cluster.

// SetAside moves a damaged log and its snapshots into a folder next to them, which it returns. Nothing is deleted.
func SetAside(dir string) (aside string, err error) {
	if err := os.WriteFile(filepath.Join(dir, lostName), nil, 0o600); err != nil {
		return "", fmt.Errorf("set the damaged log aside: %w", err)
	}
	if err := syncDir(dir); err != nil {
		return "", err
	}
	if aside, err = setaside.Path(dir, ""); err == nil {
		err = os.Mkdir(aside, 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("set the damaged log aside: %w", err)
	}
	for _, name := range []string{snapshotsName, logName} {
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("set the damaged log aside: %w", err)
		}
	}
	return aside, errors.Join(syncDir(aside), syncDir(dir))
}

// Lost reports whether the log of a fresh folder was set aside.
func Lost(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, lostName))
	return err == nil
}

// Found takes the mark away that the log was set aside: there is one again.
func Found(dir string) error {
	if err := os.Remove(filepath.Join(dir, lostName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("go on with the new log: %w", err)
	}
	return nil
}
