package launch

import (
	"fmt"
	"math"
	"slices"

	"ringmaster/internal/config"
	"ringmaster/internal/metric"
	"ringmaster/internal/plural"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

// snapshot is the part of a status that a display shows.
func snapshot(s *rpc.JobStatus, job *config.Job) progress.Snapshot {
	shot := progress.Snapshot{State: s.State, Step: s.Step, Steps: s.StepsTotal, Epoch: int(s.Epoch), Loss: math.NaN(), SamplesPerS: s.SamplesPerS,
		Batch: job.Batch(), Workers: int(s.Workers)}
	if job.Train.Steps == 0 {
		shot.Epochs = job.Train.Epochs
	}
	if s.HasTrainLoss {
		shot.Loss = s.TrainLoss
	}
	if n := len(s.Epochs); n > 0 && job.Train.Show != "" {
		shot.Metric = told(s.Epochs[n-1], job.Train.Show)
	}
	if s.State != "running" || s.StepsTotal == 0 {
		shot.Message = s.Message
	}
	if len(s.Unsaved) > 0 {
		shot.Unsaved = s.Unsaved[0].Sentence()
	}
	if f := s.Stalled; f != nil {
		shot.Stall, shot.Culprit = f.Reason, f.Worker+" "+f.Doing+" "+f.Peer
	}
	return shot
}

// events finds the news in a status that deserve a line of their own.
type events struct {
	begun      bool
	show       string // the figure of epochs that is told; "": the first metric
	epochs     int
	generation uint64
	unsaved    []UnsavedStatus // since the launch began, at most mostUnsaved
}

// take returns the lines. The job's past from before this launch is not news.
func (e *events) take(s *rpc.JobStatus) []string {
	if !e.begun {
		e.begun, e.epochs, e.generation = true, len(s.Epochs), 0
	}
	var lines []string
	for _, v := range s.Views {
		if v.Generation > e.generation && v.Started {
			if e.generation != 0 {
				lines = append(lines, fmt.Sprintf("%s from step %d on: %s", plural.Of(v.Workers, "worker"), v.Step, v.Reason))
			}
			e.generation = v.Generation
		}
	}
	lines = append(lines, e.takeUnsaved(s)...)
	for ; e.epochs < len(s.Epochs); e.epochs++ {
		lines = append(lines, epochLine(s.Epochs[e.epochs], e.show))
	}
	return lines
}

// mostUnsaved bounds how many troubles a launch remembers.
const mostUnsaved = 32

// takeUnsaved remembers what could not be stored, and returns lines about new troubles and those that are over. Another checkpoint that
// falls due during the same trouble is not news.
func (e *events) takeUnsaved(s *rpc.JobStatus) []string {
	var lines []string
	now := unsavedOf(s)
	for i := range e.unsaved {
		old := &e.unsaved[i]
		if old.Over {
			continue
		}
		if k := slices.IndexFunc(now, old.same); k >= 0 {
			*old = now[k]
		} else if !s.Ended && (old.Step == 0 || slices.ContainsFunc(s.Checkpoints, func(c *rpc.CheckpointRecord) bool { return c.Step >= old.Step })) {
			old.Over = true
			lines = append(lines, fmt.Sprintf("%s %s stores again what it is sent", old.role(), old.ID))
		}
	}
	for _, u := range now {
		if slices.ContainsFunc(e.unsaved, func(old UnsavedStatus) bool { return !old.Over && old.same(u) }) {
			continue
		}
		if len(e.unsaved) == mostUnsaved {
			e.unsaved = slices.Delete(e.unsaved, 0, 1)
		}
		e.unsaved = append(e.unsaved, u)
		lines = append(lines, u.Text+"; the training goes on, and it is tried again")
	}
	return lines
}

// epochLine tells an epoch, with the figure to show, or else the first metric.
func epochLine(e *rpc.EpochRecord, show string) string {
	line := fmt.Sprintf("epoch %d  train loss %.4f", e.Epoch, e.TrainLoss)
	if eval := evalSummary(e.HasEval, e.EvalLoss, e.EvalAccuracy, e.Metrics); eval != nil {
		line += fmt.Sprintf("  test loss %.4f", e.EvalLoss)
		if f, ok := eval.first(); ok && show == "" {
			line += "  test " + f.Name + " " + f.String()
		}
	}
	if show != "" && show != "loss" && show != "train_loss" { // which stand there already
		line += "  " + told(e, show)
	}
	return line
}

// told is one figure of an epoch with its name.
func told(e *rpc.EpochRecord, name string) string {
	from := metric.Evaluated{TrainLoss: e.TrainLoss, HasEval: e.HasEval, Loss: e.EvalLoss, Accuracy: e.EvalAccuracy, Figures: e.Metrics}
	figure := metric.Figure{Name: name, Value: from.Value(name)}
	if name == "train_loss" {
		return "train loss " + figure.String()
	}
	return "test " + name + " " + figure.String()
}

// forgetBefore leaves the work of earlier launches out of a resumed launch's summary.
func (s *Summary) forgetBefore(o *Origin) {
	generation := uint64(o.Manifest.Generation)
	views := s.Views[:0]
	for _, v := range s.Views {
		if v.Generation > generation {
			views = append(views, v)
		}
	}
	s.Views = views
}

// Watched shows one job's statuses on a display.
type Watched struct{ events events }

// Show shows one status.
func (w *Watched) Show(display progress.Display, s *rpc.JobStatus, job *config.Job) {
	w.events.show = job.Train.Show
	for _, line := range w.events.take(s) {
		display.Note(line)
	}
	display.Update(snapshot(s, job))
}
