package ui

import (
	"context"
	"math"
	"sync"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/launch"
	"ringmaster/internal/rpc"
)

// How long the cluster may take to answer, and how often a curve is read again from a newer checkpoint.
const (
	askTimeout = 3 * time.Second
	reread     = 5 * time.Second
	idly       = 20 // times as long between two questions while nobody looks
	crowded    = 16 // browsers make it twice as long, twice as many three times
)

// Snapshot is what the page shows at a moment. Its lists are sent by themselves; see parts.
type Snapshot struct {
	Error       string                   `json:"error"` // why the cluster does not answer; empty: it does
	ReadOnly    bool                     `json:"read_only"`
	Job         string                   `json:"job"` // the id of the job in status
	Seats       uint32                   `json:"seats"`
	Seed        uint64                   `json:"seed"`
	Samples     uint64                   `json:"samples"`
	Status      *launch.Status           `json:"status"`
	Jobs        []launch.JobEntry        `json:"-"`
	Epochs      []Epoch                  `json:"-"`
	Views       []launch.ViewSummary     `json:"-"`
	Checkpoints []launch.CheckpointEntry `json:"-"`
}

// Epoch is a point of the evaluation's curve. Step is 0 where it is not known.
type Epoch struct {
	Epoch     uint32   `json:"epoch"`
	Step      uint64   `json:"step"`
	TrainLoss *float64 `json:"train_loss"`
	Loss      *float64 `json:"loss"`
	Accuracy  *float64 `json:"accuracy"`
	Metrics   string   `json:"metrics"`
}

// watcher asks the cluster and remembers what it said last, and the curve of the job that is shown.
type watcher struct {
	cfg     Config
	job     string        // the one that it shows; empty: the one that the cluster shows by itself
	arrived chan struct{} // somebody looks again
	over    chan struct{} // closed when it is to end

	mu      sync.Mutex
	readers int
	changed chan struct{}    // closed when something may be new
	parts   [len(parts)]part // of the newest snapshot
	seen    *Snapshot        // the newest snapshot; nil before the first, and never changed afterwards
	curve   curve
	told    told               // the newest event of the curve
	curves  map[string][]Point // of other jobs, by the folder of the checkpoint that they were read from
	folders map[string]string  // the newest checkpoint's folder of each job
}

func newWatcher(cfg Config, job string) *watcher {
	w := &watcher{cfg: cfg, job: job, arrived: make(chan struct{}, 1), over: make(chan struct{}), changed: make(chan struct{}), curve: newCurve(), curves: map[string][]Point{}, folders: map[string]string{}}
	w.parts[0].renew(parts[0].name, &Snapshot{Error: "asking the cluster"})
	return w
}

func (w *watcher) run(ctx context.Context) {
	cluster := w.cfg.Dial()
	defer cluster.Close()
	for {
		w.look(ctx, cluster)
		if !w.rest(ctx) {
			return
		}
	}
}

// pause is the time between two questions for a number of readers. The more there are, the longer it is, so that all together are told at most
// 64 times a second: each time interrupts what the machine trains.
func (cfg Config) pause(readers int) time.Duration {
	if readers == 0 {
		return idly * cfg.Every
	}
	return time.Duration(1+readers/crowded) * cfg.Every
}

// rest waits until it is time to ask again. It returns false where the watcher is to end.
func (w *watcher) rest(ctx context.Context) bool {
	w.mu.Lock()
	every := w.cfg.pause(w.readers)
	w.mu.Unlock()
	timer := time.NewTimer(every)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-w.arrived:
		return true
	case <-w.over:
	case <-ctx.Done():
	}
	return false
}

// arrive notes a reader more, who is to see what is new; leave that it has gone.
func (w *watcher) arrive() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.readers++; w.readers == 1 {
		select {
		case w.arrived <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.readers--
}

func (w *watcher) idle() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.readers == 0
}

func (w *watcher) shows(job string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return job != "" && w.curve.job == job
}

// look asks once.
func (w *watcher) look(parent context.Context, cluster Cluster) {
	ctx, cancel := context.WithTimeout(parent, askTimeout)
	defer cancel()
	status, err := cluster.Status(ctx, w.job)
	var jobs []*rpc.JobLine
	if err == nil {
		jobs, err = cluster.Jobs(ctx)
	}
	if err != nil {
		w.fail(err)
		return
	}
	snap := w.describe(status, jobs)
	j := status.GetJob()
	var history checkpoint.History
	folder, step := newestOf(j)
	if j != nil && w.due(j.Job, folder) {
		if data, err := cluster.ReadFile(ctx, folder, checkpoint.HistoryFile(), checkpoint.MaxHistoryFile); err == nil {
			history, _ = checkpoint.DecodeHistory(data)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.curve.follow(j)
	if history != nil {
		w.curve.rebase(folder, step, history.Curve(step))
	}
	w.curve.note(j)
	clear(w.folders)
	for _, line := range jobs {
		if n := len(line.Checkpoints); n > 0 {
			w.folders[line.Id] = line.Checkpoints[n-1].Directory
		}
	}
	w.tell(snap)
}

// fail tells that the cluster does not answer. What it said last stays on the page.
func (w *watcher) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last Snapshot
	if w.seen != nil {
		last = *w.seen
	}
	last.Error = err.Error()
	w.tell(&last)
}

// tell makes a snapshot the newest one; w.mu is held.
func (w *watcher) tell(s *Snapshot) {
	for i := range w.parts {
		w.parts[i].renew(parts[i].name, parts[i].of(s))
	}
	w.seen = s
	close(w.changed)
	w.changed = make(chan struct{})
}

// due reports whether the curve is to be read from this checkpoint.
func (w *watcher) due(job, folder string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return folder != "" && (w.curve.job != job || w.curve.folder != folder && time.Since(w.curve.read) > reread)
}

func newestOf(j *rpc.JobStatus) (folder string, step uint64) {
	if n := len(j.GetCheckpoints()); n > 0 {
		return j.Checkpoints[n-1].Directory, j.Checkpoints[n-1].Step
	}
	return "", 0
}

func (w *watcher) describe(status *rpc.ClusterStatus, jobs []*rpc.JobLine) *Snapshot {
	j := status.GetJob()
	out := &Snapshot{ReadOnly: w.cfg.ReadOnly, Job: j.GetJob(), Seats: j.GetSeats(), Seed: j.GetSeed(), Samples: j.GetSamples(), Status: launch.Describe(status, w.cfg.Machine),
		Jobs: launch.DescribeJobs(jobs), Epochs: []Epoch{}, Views: []launch.ViewSummary{}, Checkpoints: []launch.CheckpointEntry{}}
	for i := range out.Jobs {
		out.Jobs[i].Checkpoints = nil
	}
	for _, e := range j.GetEpochs() {
		told := Epoch{Epoch: e.Epoch, Step: e.Step, TrainLoss: finite(e.TrainLoss), Metrics: e.Metrics}
		if e.HasEval {
			told.Loss, told.Accuracy = finite(e.EvalLoss), finite(e.EvalAccuracy)
		}
		out.Epochs = append(out.Epochs, told)
	}
	if summary := launch.Summarize(j, "", time.Time{}, time.Time{}); summary != nil {
		out.Views = summary.Views
	}
	for _, c := range j.GetCheckpoints() {
		out.Checkpoints = append(out.Checkpoints, launch.CheckpointEntry{Step: c.Step, Directory: c.Directory, Bytes: c.Bytes})
	}
	return out
}

// finite is a figure for JSON: null where it is not finite.
func finite(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}
