package launch

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/config"
	"ringmaster/internal/metric"
)

// tidy deletes from the run's folder what its launch of this number cannot need: checkpoints that were never finished, older ones than
// the newest and the best ones that the job keeps, and the logs of the coordinators of former launches. It says what it deletes, and returns the
// folders of the checkpoints that stay, ascending, the origin's last. What cannot be deleted now is worth a line, and no reason not to train.
func (d Directory) tidy(origin *Origin, job *config.Job, launch int, note func(line string), warnings io.Writer) []string {
	stores, err := d.stores()
	var pruned checkpoint.Pruned
	if err == nil {
		var manifest *checkpoint.Manifest
		if origin != nil {
			manifest = origin.Manifest
		}
		pruned, err = checkpoint.Prune(stores, manifest, job.Checkpoint.KeepLast, metric.KeepBest(job))
	}
	if err != nil {
		say(warnings, "ringmaster: not everything that is not needed any more could be deleted from %s: %v", d, err)
	}
	if text := pruned.String(); text != "" {
		rule := ""
		if pruned.Older > 0 {
			rule = fmt.Sprintf(" (checkpoint.keep_last is %d)", job.Checkpoint.KeepLast)
		}
		note(fmt.Sprintf("deleted %s from %s%s", text, d, rule))
	}
	if n := d.dropLogs(launch); n > 0 {
		note(fmt.Sprintf("deleted the coordinators' logs of earlier launches (%d) from %s", n, d))
	}
	var kept []string
	for _, name := range pruned.Kept {
		kept = append(kept, name.Folder())
	}
	return kept
}

// stores opens the stores of all coordinators that ever worked in the folder.
func (d Directory) stores() ([]*checkpoint.Store, error) {
	folders, err := filepath.Glob(d.path("coordinators", "*", "checkpoints"))
	if err != nil {
		return nil, fmt.Errorf("look for the run's checkpoints: %w", err)
	}
	var stores []*checkpoint.Store
	for _, folder := range folders {
		s, err := checkpoint.Open(disk.OS{}, folder)
		if err != nil {
			return nil, err
		}
		stores = append(stores, s)
	}
	return stores, nil
}

// dropLogs deletes the folders of Raft's logs of the launches before this one, which nobody reads again, and returns of how many
// launches they were.
func (d Directory) dropLogs(launch int) int {
	dropped := map[int]bool{}
	coordinators, _ := os.ReadDir(d.path("coordinators")) // none: no logs
	for _, c := range coordinators {
		numbers, _ := numbered(d.path("coordinators", c.Name()), "raft")
		for _, n := range numbers {
			if n < launch && os.RemoveAll(d.path("coordinators", c.Name(), "raft-"+strconv.Itoa(n))) == nil {
				dropped[n] = true
			}
		}
	}
	return len(dropped)
}
