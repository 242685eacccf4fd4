package launch

import (
	"fmt"
	"math"

	"ringmaster/internal/config"
	"ringmaster/internal/plural"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

// snapshot is what a display shows of a status.
func snapshot(s *rpc.JobStatus, job *config.Job) progress.Snapshot {
	shot := progress.Snapshot{State: s.State, Step: s.Step, Steps: s.StepsTotal, Epoch: int(s.Epoch), Loss: math.NaN(), SamplesPerS: s.SamplesPerS,
		Batch: job.Batch(), Workers: int(s.Workers)}
	if job.Train.Steps == 0 {
		shot.Epochs = job.Train.Epochs
	}
	if s.HasTrainLoss {
		shot.Loss = s.TrainLoss
	}
	if s.State != "running" || s.StepsTotal == 0 {
		shot.Message = s.Message
	}
	if f := s.Stalled; f != nil {
		shot.Stall, shot.Culprit = f.Reason, f.Worker+" "+f.Doing+" "+f.Peer
	}
	return shot
}

// events finds what is new in a status and worth a line of its own.
type events struct {
	begun      bool
	epochs     int
	generation uint64
}

// take returns the lines. What the job brought along from before this launch is not news.
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
	for ; e.epochs < len(s.Epochs); e.epochs++ {
		lines = append(lines, epochLine(s.Epochs[e.epochs]))
	}
	return lines
}

func epochLine(e *rpc.EpochRecord) string {
	line := fmt.Sprintf("epoch %d  train loss %.4f", e.Epoch, e.TrainLoss)
	if e.HasEval {
		line += fmt.Sprintf("  test loss %.4f", e.EvalLoss)
		if !math.IsNaN(e.EvalAccuracy) {
			line += fmt.Sprintf("  test accuracy %.2f %%", 100*e.EvalAccuracy)
		}
	}
	return line
}

// forgetBefore leaves out of a resumed launch's summary what the launches before it did.
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

// Watched shows the statuses of one job on a display.
type Watched struct{ events events }

// Show shows one status.
func (w *Watched) Show(display progress.Display, s *rpc.JobStatus, job *config.Job) {
	for _, line := range w.events.take(s) {
		display.Note(line)
	}
	display.Update(snapshot(s, job))
}
