package raftnode

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/hashicorp/raft"
)

// A founder whose folder is empty founds the cluster, with a vote. One whose folder has been emptied must not: it may have voted, and
// acknowledged what it has forgotten. So a file outside the folder, written after the log has begun and before Raft speaks, says that
// there is one.

// Begun reports whether there has been a log in dir, as the mark says.
func Begun(mark, dir string) (bool, error) {
	text, err := os.ReadFile(mark)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("find out whether %s has held a log: %w", dir, err)
	}
	return string(text) == marking(mark, dir), nil
}

// marking is the content of a mark: the folder, as seen from the mark's where that is possible, so that both may be moved.
func marking(mark, dir string) string {
	if relative, err := filepath.Rel(filepath.Dir(mark), dir); err == nil {
		dir = relative
	}
	return dir + "\n"
}

// mark writes the mark once there is a log.
func (n *Node) mark(d disk) error {
	if n.cfg.Mark == "" {
		return nil
	}
	used, err := raft.HasExistingState(d.log, d.stable, d.snapshots)
	if err != nil || !used {
		return err
	}
	if begun, err := Begun(n.cfg.Mark, n.cfg.Dir); err != nil || begun {
		return err
	}
	if err := writeMark(n.cfg.Mark, marking(n.cfg.Mark, n.cfg.Dir)); err != nil {
		return fmt.Errorf("note that there is a log in %s: %w", n.cfg.Dir, err)
	}
	return nil
}

func writeMark(path, text string) error {
	temp := path + ".new"
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}
