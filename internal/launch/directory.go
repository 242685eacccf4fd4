package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/wholefile"
)

// RunsDir is where runs without a folder of their own go, below the current folder.
const RunsDir = "runs"

// Directory is a run's folder:
//
//	job.yaml              the job as it runs, with all defaults
//	lock                  held by the launch that trains here, with its process number
//	launches              how often the run was launched: "3\n"
//	metrics.json          where the processes serve their metrics (--metrics), while the cluster is up
//	cluster.json          addresses and process numbers, while the cluster is up
//	status.json           the newest status
//	metrics.jsonl metrics.csv   the curve and the evaluations up to the newest checkpoint
//	events.jsonl          what happened when
//	tensorboard/          the same for TensorBoard, a file for each launch
//	logs/c1.log w1.log
//	coordinators/c1/      checkpoints/ raft-2/ (of the newest launch)
//	workers/w1/           scratch space and sockets
type Directory string

// path joins names below the folder.
func (d Directory) path(names ...string) string {
	return filepath.Join(append([]string{string(d)}, names...)...)
}

// HoldsRun reports whether a run has used the folder.
func (d Directory) HoldsRun() bool {
	if d == "" {
		return false
	}
	for _, name := range []string{"job.yaml", "launches", "coordinators"} {
		if _, err := os.Stat(d.path(name)); err == nil {
			return true
		}
	}
	return false
}

// saved reports whether the run's folder says that a checkpoint was stored. That it is not there any more is no reason to begin again
// unasked.
func (d Directory) saved() bool {
	var last Status
	written, err := d.readJSON("status.json", &last)
	return err != nil || written && last.SavedStep != nil
}

// begins says why a run that was to be resumed begins at step 0.
func (d Directory) begins(job string) string {
	if d == "" {
		return fmt.Sprintf("no run of job %s is below %s yet, so this one begins at step 0", job, RunsDir)
	}
	if _, err := os.Stat(string(d)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("there is no folder %s yet, so it is made and the job begins at step 0", d)
	}
	if !d.HoldsRun() {
		return fmt.Sprintf("%s holds no run yet, so the job begins at step 0", d)
	}
	var last Status
	if written, err := d.readJSON("status.json", &last); err == nil && written && last.Step > 0 {
		return fmt.Sprintf("%s holds no checkpoint although step %d was reached, so the job begins at step 0 again; checkpoint.every_steps saves more often", d, last.Step)
	}
	return fmt.Sprintf("nothing has been trained in %s yet, so the job begins at step 0", d)
}

// Checkpoints is the folder of the first coordinator's checkpoints: every coordinator holds all of them.
func (d Directory) Checkpoints(coordinator string) string {
	return d.path("coordinators", coordinator, "checkpoints")
}

// settleCheckpoints puts the path of a coordinator's copy that is whole into every summary whose first coordinator has none:
// one that died last may not have caught up.
func (d Directory) settleCheckpoints(summaries []CheckpointSummary, coordinators []string) {
	for i := range summaries {
		folder := filepath.Base(summaries[i].Path)
		for _, id := range coordinators {
			path := filepath.Join(d.Checkpoints(id), folder)
			if _, err := os.Stat(filepath.Join(path, checkpoint.ManifestName)); err == nil {
				summaries[i].Path = path
				break
			}
		}
	}
}

// numbered lists the runs NAME-1, NAME-2, ... below runs, in the order of their numbers.
func numbered(runs, name string) ([]int, error) {
	entries, err := os.ReadDir(runs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the runs: %w", err)
	}
	var numbers []int
	for _, entry := range entries {
		rest, ok := strings.CutPrefix(entry.Name(), name+"-")
		if number, err := strconv.Atoi(rest); ok && err == nil && number > 0 && number < maxNumber && strconv.Itoa(number) == rest {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// NextDirectory makes the next free NAME-N below runs. Two launches at once get different ones.
func NextDirectory(runs, name string) (Directory, error) {
	if err := os.MkdirAll(runs, 0o700); err != nil {
		return "", fmt.Errorf("make the folder of the runs: %w", err)
	}
	numbers, err := numbered(runs, name)
	if err != nil {
		return "", err
	}
	next := 1
	if len(numbers) > 0 {
		next = numbers[len(numbers)-1] + 1
	}
	for ; ; next++ {
		dir := filepath.Join(runs, name+"-"+strconv.Itoa(next))
		switch err := os.Mkdir(dir, 0o700); {
		case err == nil:
			return Directory(dir), nil
		case !errors.Is(err, fs.ErrExist):
			return "", fmt.Errorf("make the run's folder: %w", err)
		}
	}
}

// NewestDirectory is the NAME-N with the highest N below runs that holds a run; "" where there is none.
func NewestDirectory(runs, name string) (Directory, error) {
	numbers, err := numbered(runs, name)
	if err != nil {
		return "", err
	}
	for _, number := range slices.Backward(numbers) {
		if dir := Directory(filepath.Join(runs, name+"-"+strconv.Itoa(number))); dir.HoldsRun() {
			return dir, nil
		}
	}
	return "", nil
}

// LatestDirectory is the run below runs, of any job, that was launched last.
func LatestDirectory(runs string) (Directory, error) {
	entries, err := os.ReadDir(runs)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("list the runs: %w", err)
	}
	var latest Directory
	var newest int64
	for _, entry := range entries {
		dir := Directory(filepath.Join(runs, entry.Name()))
		if info, err := os.Stat(dir.path("job.yaml")); err == nil && info.ModTime().UnixNano() > newest {
			latest, newest = dir, info.ModTime().UnixNano()
		}
	}
	if latest == "" {
		return "", fmt.Errorf("there is no run in %s; name one by --dir, or a cluster by --cluster", runs)
	}
	return latest, nil
}

// Prepare makes the folder's parts, keeps the job and counts the launch. It returns the launch's number, from 1.
func (d Directory) Prepare(job *config.Job, coordinators, workers []string) (int, error) {
	folders := []string{d.path("logs")}
	for _, id := range coordinators {
		folders = append(folders, d.path("coordinators", id))
	}
	for _, id := range workers {
		folders = append(folders, d.path("workers", id))
	}
	for _, folder := range folders {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return 0, fmt.Errorf("make the run's folder: %w; name another one by --dir", err)
		}
	}
	launch := d.launched() + 1
	if err := writeFile(d.path("launches"), []byte(strconv.Itoa(launch)+"\n")); err != nil {
		return 0, err
	}
	for _, left := range []string{"status.json", "cluster.json", metricsFile} { // of an earlier launch
		if err := os.Remove(d.path(left)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return 0, fmt.Errorf("prepare the run's folder: %w", err)
		}
	}
	return launch, writeFile(d.path("job.yaml"), job.Encode())
}

// launched is how often the run was launched: what the file says, or where it is lost or damaged what the folders of Raft's logs
// say. A launch must not meet the log of an earlier one.
func (d Directory) launched() int {
	most := 0
	if text, err := d.read("launches"); err == nil {
		if n, err := strconv.Atoi(strings.TrimSpace(string(text))); err == nil && n < maxNumber {
			most = max(n, 0)
		}
	}
	coordinators, _ := os.ReadDir(d.path("coordinators")) // none: no logs
	for _, c := range coordinators {
		numbers, _ := numbered(d.path("coordinators", c.Name()), "raft")
		if n := len(numbers); n > 0 {
			most = max(most, numbers[n-1])
		}
	}
	return most
}

// Endpoints is what cluster.json says about a cluster that is up.
type Endpoints struct {
	PID          int               `json:"pid"`          // of launch itself
	Coordinators map[string]string `json:"coordinators"` // id -> host:port
	PIDs         map[string]int    `json:"pids"`         // of all processes that launch started
}

// Addresses lists the coordinators' addresses in the order of their ids.
func (e Endpoints) Addresses() []string {
	var ids []string
	for id := range e.Coordinators {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	addresses := make([]string, len(ids))
	for i, id := range ids {
		addresses[i] = e.Coordinators[id]
	}
	return addresses
}

// Endpoints reads cluster.json; ok is false where there is none.
func (d Directory) Endpoints() (endpoints Endpoints, ok bool, err error) {
	ok, err = d.readJSON("cluster.json", &endpoints)
	if ok && len(endpoints.Coordinators) == 0 {
		return endpoints, false, fmt.Errorf("%s is damaged: it names no coordinators; %s", d.path("cluster.json"), rewritten)
	}
	return endpoints, ok, err
}

// rewritten is what to do about a damaged file of a run's folder.
const rewritten = "going on with the run by --resume writes it anew"

func (d Directory) read(name string) ([]byte, error) {
	f, err := regularfile.Open(d.path(name))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRunFile+1))
	if err == nil && len(text) > maxRunFile {
		return nil, fmt.Errorf("%s has more than %d bytes: it is none of a run's files", d.path(name), maxRunFile)
	}
	return text, err
}

// Bounds on what a run's folder may say, far beyond what launch writes.
const (
	maxRunFile = 16 << 20 // bytes of a file
	maxNumber  = 1 << 31  // a launch's number, and a run's
)

func (d Directory) readJSON(name string, into any) (bool, error) {
	text, err := d.read(name)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read the run's folder: %w; name the folder of a run by --dir", err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		return false, fmt.Errorf("%s is damaged: it %s; %s", d.path(name), checkpoint.JSONFault(err), rewritten)
	}
	return true, nil
}

func (d Directory) writeJSON(name string, value any) error {
	return WriteJSON(d.path(name), value)
}

// WriteJSON writes a value to a file, in one piece: readers see the old or the new file.
func WriteJSON(path string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return writeFile(path, append(text, '\n'))
}

// writeFile replaces a file in one piece. A new one is its owner's alone to read; one that is there keeps its mode.
func writeFile(path string, text []byte) error {
	return wholefile.Write(path, 0o600, func(w io.Writer) error {
		_, err := w.Write(text)
		return err
	})
}
