package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/config"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/rpc"
	"ringmaster/internal/wholefile"
)

// The files of a training that is being recorded, in its folder.
const (
	JSONLFile  = "metrics.jsonl" // the curve and the evaluations up to the newest checkpoint; replaced in one piece
	CSVFile    = "metrics.csv"   // the same
	EventsFile = "events.jsonl"  // what happened when; lines are added
	BoardDir   = "tensorboard"   // event files, one for each launch
)

// rewritePeriod is how often the files of the newest checkpoint are written at most, before the end.
const rewritePeriod = 2 * time.Second

// Recording says what is recorded.
type Recording struct {
	Dir        string      // empty: nothing is written, events are told alone
	Job        *config.Job // as it runs
	Resumed    bool
	From       uint64                                          // the step that it went on from,
	Generation uint64                                          // and its generation
	History    func(folder string) (checkpoint.History, error) // reads a checkpoint's
	Warn       func(error)                                     // a file cannot be written; the training goes on
	Tell       func(Event)                                     // hears of every event; may be nil
	Now        func() time.Time
}

// JobIn is the id of the job whose records a folder holds; "" where none can be read there.
func JobIn(dir string) string {
	f, err := regularfile.Open(filepath.Join(dir, EventsFile))
	if err != nil {
		return ""
	}
	defer f.Close()
	var first Event
	if json.NewDecoder(io.LimitReader(f, 1<<20)).Decode(&first) != nil {
		return ""
	}
	return first.ID
}

// Recorder writes a training's records while it goes on, in a goroutine of its own: whoever hands it a status never waits.
type Recorder struct {
	is     Recording
	news   *news
	events *appender
	board  *appender // nil: nothing was written to it yet
	pieces *Events   // what the board's file lacks
	folder string    // the checkpoint that was read last
	wrote  time.Time
	step   uint64 // of the newest point in the board's files,
	epoch  int    // and the newest epoch
	last   string // complaint

	mu     sync.Mutex
	newest *rpc.JobStatus
	wake   chan struct{}
	done   chan struct{}
}

// Record begins. An error means that the folder cannot be written.
func Record(is Recording) (*Recorder, error) {
	r := &Recorder{is: is, news: newNews(is.From, is.Generation, is.Resumed), wake: make(chan struct{}, 1), done: make(chan struct{})}
	if is.Dir == "" {
		go r.run()
		return r, nil
	}
	if err := os.MkdirAll(is.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("record the training: %w", err)
	}
	var err error
	if r.events, err = openLines(filepath.Join(is.Dir, EventsFile)); err != nil {
		return nil, fmt.Errorf("record the training: %w", err)
	}
	if r.boardHolds() { // an earlier launch has written what was before
		r.step, r.epoch = is.From, -1
	}
	go r.run()
	return r, nil
}

// See hands a status over. Of several that come faster than files are written, the newest counts.
func (r *Recorder) See(s *rpc.JobStatus) {
	if r == nil {
		return
	}
	r.mu.Lock()
	r.newest = s
	r.mu.Unlock()
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Close writes what is still to be written and ends. state and problem are how the training ended, where its own last status does not say so.
func (r *Recorder) Close(state, problem string) {
	if r == nil {
		return
	}
	close(r.wake)
	<-r.done
	s := r.newest
	if s != nil && s.Ended {
		state = ""
	}
	if s == nil {
		s = &rpc.JobStatus{Name: r.is.Job.Name, Step: r.is.From}
	}
	r.take(s, true)
	if state != "" && !r.news.ended {
		r.add([]Event{{Time: r.is.Now(), Event: ending(state), Job: r.is.Job.Name, ID: s.Job, Step: s.Step, Text: problem}})
	}
	if r.events == nil {
		return
	}
	err := r.events.Close()
	if r.board != nil {
		err = errors.Join(err, r.board.Close())
	}
	r.complain(err)
}

func (r *Recorder) run() {
	defer close(r.done)
	for range r.wake {
		r.mu.Lock()
		s := r.newest
		r.mu.Unlock()
		r.take(s, false)
	}
}

// take writes what is new in a status.
func (r *Recorder) take(s *rpc.JobStatus, final bool) {
	now := r.is.Now()
	r.add(r.news.take(s, now))
	n := len(s.Checkpoints)
	if n == 0 || r.events == nil || s.Checkpoints[n-1].Step <= r.is.From && r.is.Resumed {
		return
	}
	c := s.Checkpoints[n-1]
	if !final && (c.Directory == r.folder || now.Sub(r.wrote) < rewritePeriod) {
		return
	}
	h, err := r.is.History(c.Directory)
	if err != nil { // it may have made room for a newer one already
		if final {
			r.complain(err)
		}
		return
	}
	r.folder, r.wrote = c.Directory, now
	r.complain(r.write(New(c.Step, h, epochsUntil(s, c.Step), r.is.Job)))
}

// epochsUntil are the epochs that ended by a step, in the form in which checkpoints keep them.
func epochsUntil(s *rpc.JobStatus, step uint64) []checkpoint.EpochMetrics {
	var out []checkpoint.EpochMetrics
	for _, e := range s.Epochs {
		if e.Step <= step {
			out = append(out, checkpoint.EpochMetrics{Epoch: int(e.Epoch), Step: e.Step, TrainLoss: e.TrainLoss, HasEval: e.HasEval, EvalLoss: e.EvalLoss,
				EvalAccuracy: e.EvalAccuracy, Metrics: e.Metrics})
		}
	}
	return out
}

func (r *Recorder) write(run *Run) error {
	err := wholefile.Write(filepath.Join(r.is.Dir, JSONLFile), 0o600, run.WriteJSONL)
	err = errors.Join(err, wholefile.Write(filepath.Join(r.is.Dir, CSVFile), 0o600, run.WriteCSV))
	if r.epoch < 0 { // those up to the resume are in an earlier launch's file
		r.epoch = 0
		for _, e := range run.Epochs {
			if e.Step <= r.is.From {
				r.epoch = e.Epoch
			}
		}
	}
	r.begin()
	r.pieces.AddRun(run, r.seconds(), r.step, r.epoch)
	step, epoch := run.last()
	r.step, r.epoch = max(r.step, step), max(r.epoch, epoch)
	return errors.Join(err, r.flush())
}

// add writes events down and tells them.
func (r *Recorder) add(events []Event) {
	var lines []byte
	for _, e := range events {
		if e.Event != Progress && r.is.Tell != nil {
			r.is.Tell(e)
		}
		if r.events == nil {
			continue
		}
		line, err := json.Marshal(e)
		if err != nil {
			r.complain(err)
			continue
		}
		lines = append(append(lines, line...), '\n')
		if e.Event == Progress && e.SamplesPerS != nil {
			r.begin()
			r.pieces.Add(r.seconds(), e.Step, Scalar{"pace/samples_per_s", float32(*e.SamplesPerS)})
			r.complain(r.flush())
		}
	}
	if len(lines) > 0 {
		_, err := r.events.Write(lines)
		r.complain(err)
	}
}

func (r *Recorder) seconds() float64 { return float64(r.is.Now().UnixMicro()) / 1e6 }

// boardHolds reports whether an earlier launch has written event files.
func (r *Recorder) boardHolds() bool {
	entries, _ := os.ReadDir(filepath.Join(r.is.Dir, BoardDir)) // none: it is made when there is something to write
	for _, e := range entries {
		if strings.Contains(e.Name(), "tfevents") {
			return true
		}
	}
	return false
}

// begin prepares an event file's beginning.
func (r *Recorder) begin() {
	if r.pieces != nil {
		return
	}
	from := uint64(0)
	if r.boardHolds() {
		from = r.is.From + 1
	}
	r.pieces = NewEvents(r.seconds(), from)
}

// flush writes what the event file lacks.
func (r *Recorder) flush() error {
	if r.board == nil {
		dir := filepath.Join(r.is.Dir, BoardDir)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for second := r.is.Now().Unix(); r.board == nil; second++ {
			f, err := os.OpenFile(filepath.Join(dir, EventFile(second, "ringmaster")), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err == nil {
				r.board = &appender{f: f}
			} else if !errors.Is(err, fs.ErrExist) {
				return err
			}
		}
	}
	_, err := r.pieces.WriteTo(r.board)
	return err
}

// complain reports an error, once for each kind until something else is wrong.
func (r *Recorder) complain(err error) {
	if err == nil {
		return
	}
	kind := err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		kind = errno.Error()
	}
	if kind != r.last {
		r.last = kind
		r.is.Warn(err)
	}
}
