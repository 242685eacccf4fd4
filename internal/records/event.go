package records

import (
	"encoding/hex"
	"math"
	"time"

	"ringmaster/internal/metric"
	"ringmaster/internal/rpc"
)

// The kinds of events.
const (
	Started     = "started"     // the first step is about to be computed, or the first one after a resume
	View        = "view"        // other workers from now on: one joined, left, or the job was scaled
	WorkerLost  = "worker_lost" // likewise, because a worker died or fell silent
	Stalled     = "stalled"     // one worker holds all others up
	EpochDone   = "epoch"
	Stored      = "checkpoint" // a checkpoint is stored for good
	Progress    = "progress"   // how far it is; for the record only, nobody is told
	Finished    = "finished"
	Failed      = "failed"
	Interrupted = "interrupted"
	Cancelled   = "cancelled"
)

// Event is something that happened at a time. Figures that are not known or not finite are absent.
type Event struct {
	Time        time.Time          `json:"time"`
	Event       string             `json:"event"`
	Job         string             `json:"job"`
	ID          string             `json:"id"` // of the job in its cluster
	Step        uint64             `json:"step"`
	Steps       uint64             `json:"steps,omitempty"` // of the whole job
	Epoch       int                `json:"epoch,omitempty"`
	TrainLoss   *float64           `json:"train_loss,omitempty"`
	Eval        map[string]float64 `json:"eval,omitempty"` // loss, accuracy and the metrics asked for
	SamplesPerS *float64           `json:"samples_per_s,omitempty"`
	Workers     uint32             `json:"workers,omitempty"`
	Worker      string             `json:"worker,omitempty"` // who stalls
	Text        string             `json:"text,omitempty"`   // the reason, in one line
	StalledMs   float64            `json:"stalled_ms,omitempty"`
	LostSteps   uint32             `json:"lost_steps,omitempty"`
	Directory   string             `json:"directory,omitempty"` // of a checkpoint: its folder's name
	Bytes       uint64             `json:"bytes,omitempty"`
	Digest      string             `json:"digest,omitempty"` // of the parameters at the job's end
}

func known(x float64) *float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return nil
	}
	return &x
}

// Periods of what would else be told again and again.
const (
	progressPeriod = 2 * time.Second // at first; later a thousandth of the time that the job runs, which bounds the record's growth
	stallPeriod    = time.Minute     // the same worker's stalls
)

// news finds in each status of a job what was not in those before.
type news struct {
	from       uint64 // the step that the launch went on from
	generation uint64 // the newest view told, or known from before
	saved      int64  // the newest checkpoint's step, told or from before
	epoch      uint32
	started    bool
	ended      bool
	stall      string
	stalls     map[string]time.Time
	began      time.Time
	progress   time.Time
	step       uint64 // of the newest progress
}

func newNews(from, generation uint64, resumed bool) *news {
	n := &news{from: from, generation: generation, saved: -1, stalls: map[string]time.Time{}}
	if resumed {
		n.saved = int64(min(from, math.MaxInt64))
	}
	return n
}

// take returns the events.
func (n *news) take(s *rpc.JobStatus, now time.Time) []Event {
	if n.ended {
		return nil
	}
	if n.began.IsZero() {
		n.began = now
	}
	var out []Event
	add := func(kind string, fill func(*Event)) {
		e := Event{Time: now, Event: kind, Job: s.Name, ID: s.Job, Step: s.Step, Steps: s.StepsTotal, Workers: s.Workers}
		fill(&e)
		out = append(out, e)
	}
	begun := n.started // before, workers are still reading data
	n.takeViews(s, add)
	for _, e := range s.Epochs {
		if e.Epoch > n.epoch {
			n.epoch = e.Epoch
			if e.Step > n.from || n.from == 0 {
				add(EpochDone, func(to *Event) { to.epoch(e) })
			}
		}
	}
	for _, c := range s.Checkpoints {
		if int64(min(c.Step, math.MaxInt64)) > n.saved {
			n.saved = int64(min(c.Step, math.MaxInt64))
			add(Stored, func(e *Event) { e.Step, e.Directory, e.Bytes, e.StalledMs = c.Step, c.Directory, c.Bytes, c.StalledMs })
		}
	}
	if begun {
		n.takeStall(s, now, add)
	}
	n.takeProgress(s, now, add)
	if s.Ended {
		add(ending(s.State), func(e *Event) { e.end(s) })
		n.ended = true
	}
	return out
}

func (n *news) takeViews(s *rpc.JobStatus, add func(string, func(*Event))) {
	for _, v := range s.Views {
		if !v.Started || v.Generation <= n.generation {
			continue
		}
		kind := View
		switch {
		case !n.started:
			kind = Started
		case v.Cause == "worker lost":
			kind = WorkerLost
		}
		n.generation, n.started = v.Generation, true
		add(kind, func(e *Event) {
			e.Step, e.Workers, e.Text, e.StalledMs, e.LostSteps = v.Step, v.Workers, v.Reason, v.StalledMs, v.LostSteps
		})
	}
}

func (n *news) takeStall(s *rpc.JobStatus, now time.Time, add func(string, func(*Event))) {
	f := s.Stalled
	if f == nil || s.Ended {
		n.stall = ""
		return
	}
	if f.Worker == n.stall {
		return
	}
	n.stall = f.Worker
	if last, told := n.stalls[f.Worker]; told && now.Sub(last) < stallPeriod {
		return
	}
	n.stalls[f.Worker] = now
	add(Stalled, func(e *Event) { e.Worker, e.Text, e.Step = f.Worker, f.Reason, f.Step })
}

func (n *news) takeProgress(s *rpc.JobStatus, now time.Time, add func(string, func(*Event))) {
	if !s.HasTrainLoss || s.Step == n.step || now.Sub(n.progress) < max(progressPeriod, now.Sub(n.began)/1000) {
		return
	}
	n.progress, n.step = now, s.Step
	add(Progress, func(e *Event) {
		e.Epoch, e.TrainLoss, e.SamplesPerS = int(s.Epoch), known(s.TrainLoss), known(s.SamplesPerS)
	})
}

// ending is the kind of event that a state of a job's end is.
func ending(state string) string {
	if state == "done" {
		return Finished
	}
	return state
}

func (e *Event) epoch(of *rpc.EpochRecord) {
	e.Epoch, e.TrainLoss = int(of.Epoch), known(of.TrainLoss)
	if of.Step != 0 {
		e.Step = of.Step
	}
	if of.HasEval {
		e.evaluated(of.EvalLoss, of.EvalAccuracy, of.Metrics)
	}
}

func (e *Event) evaluated(loss, accuracy float64, metrics string) {
	e.Eval = map[string]float64{}
	told, _ := metric.Parse(metrics) // of another version's program: loss and accuracy are told all the same
	for _, f := range append(told, metric.Figure{Name: "loss", Value: loss}, metric.Figure{Name: "accuracy", Value: accuracy}) {
		if known(f.Value) != nil {
			e.Eval[f.Name] = f.Value
		}
	}
}

func (e *Event) end(s *rpc.JobStatus) {
	e.Epoch, e.Text, e.Digest = int(s.Epoch), s.Error, hex.EncodeToString(s.Digest)
	if e.Text == "" {
		e.Text = s.Reason
	}
	if s.HasTrainLoss {
		e.TrainLoss = known(s.TrainLoss)
	}
	if s.HasEval {
		e.evaluated(s.EvalLoss, s.EvalAccuracy, s.EvalMetrics)
	} else if n := len(s.Epochs); n > 0 && s.Epochs[n-1].HasEval && s.Epochs[n-1].Step == s.Step {
		e.evaluated(s.Epochs[n-1].EvalLoss, s.Epochs[n-1].EvalAccuracy, s.Epochs[n-1].Metrics)
	}
}
