package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"ringmaster/internal/plan"
)

// A state's size is bounded, except for the epochs of unfinished jobs and the checkpoints that those keep, which grow
// by a row and a line each.
const (
	maxViewRecords = 1024 // of a job; the oldest are dropped
	maxReason      = 512  // bytes of a view's reason and of a job's error
	maxQueued      = 1000 // jobs that wait
	maxWhole       = 16   // jobs that have ended and are kept whole; of older ones a line is left
	maxEnded       = 1000 // such lines; the oldest are dropped
	maxEndedSaves  = 16   // checkpoints that a line names
)

// Epochs are a job's epochs from the first on. As JSON each is a row without the job, which keeps a long history small:
//
//	[epoch, step, generation, training loss, evaluated (0 or 1), evaluation's loss, accuracy, samples, metrics]
//
// The last, the text of the other metrics, is left out where there are none.
type Epochs []Epoch

const epochFigures = 8

// MarshalJSON writes the rows.
func (h Epochs) MarshalJSON() ([]byte, error) {
	out := []byte{'['}
	for i, e := range h {
		if i > 0 {
			out = append(out, ',')
		}
		evaluated := uint64(0)
		if e.HasEval {
			evaluated = 1
		}
		out = strconv.AppendInt(append(out, '['), int64(e.Epoch), 10)
		for _, x := range [epochFigures - 1]uint64{e.Step, uint64(e.Generation), e.TrainLoss, evaluated, e.EvalLoss, e.EvalAccuracy, e.EvalCount} {
			out = strconv.AppendUint(append(out, ','), x, 10)
		}
		if e.Metrics != "" {
			text, err := json.Marshal(e.Metrics)
			if err != nil {
				return nil, err
			}
			out = append(append(out, ','), text...)
		}
		out = append(out, ']')
	}
	return append(out, ']'), nil
}

// UnmarshalJSON reads rows, and epochs as earlier programs wrote them, an object each.
func (h *Epochs) UnmarshalJSON(data []byte) error {
	if rest := bytes.TrimLeft(data, " \t\r\n["); len(rest) > 0 && rest[0] == '{' {
		return json.Unmarshal(data, (*[]Epoch)(h))
	}
	var rows []json.RawMessage
	if err := json.Unmarshal(data, &rows); err != nil {
		return err
	}
	*h = slices.Grow((*h)[:0], len(rows))
	for i, row := range rows {
		e, evaluated := Epoch{}, uint64(0)
		figures := []any{&e.Epoch, &e.Step, &e.Generation, &e.TrainLoss, &evaluated, &e.EvalLoss, &e.EvalAccuracy, &e.EvalCount, &e.Metrics}
		if err := json.Unmarshal(row, &figures); err != nil {
			return fmt.Errorf("row %d of the epochs: %w", i+1, err)
		}
		if n := len(figures); n != epochFigures && n != epochFigures+1 || e.Epoch < 0 {
			return fmt.Errorf("row %d of the epochs has %d figures, or is of no epoch", i+1, n)
		}
		e.HasEval = evaluated != 0
		*h = append(*h, e)
	}
	return nil
}

// Ended is what is left of a job that has ended when enough others have ended after it.
type Ended struct {
	ID          string           `json:"id"`
	Incarnation plan.Incarnation `json:"incarnation"`
	Name        string           `json:"name"`
	Seats       int              `json:"seats"`
	Seed        uint64           `json:"seed,omitempty"`
	Keep        int              `json:"keep"`
	Workers     int              `json:"workers,omitempty"` // of its last view
	Phase       Phase            `json:"phase"`
	Error       string           `json:"error,omitempty"`
	Generation  plan.Generation  `json:"generation"`
	Step        uint64           `json:"step"`                  // the newest that the log knows of
	Epochs      int              `json:"epochs,omitempty"`      // how many it did,
	Last        Epochs           `json:"last,omitempty"`        // and the last one
	Checkpoints []Checkpoint     `json:"checkpoints,omitempty"` // without their manifests
	Outcome     *Outcome         `json:"outcome,omitempty"`
}

// ended makes the line of a job.
func (j *Job) ended() Ended {
	e := Ended{ID: j.ID, Incarnation: j.Incarnation, Name: j.Name, Seats: j.Seats, Seed: j.Seed, Keep: j.Keep, Phase: j.Phase, Error: j.Error,
		Generation: j.Generation, Step: j.Step(), Epochs: len(j.Epochs), Last: slices.Clone(j.Epochs[max(0, len(j.Epochs)-1):]), Outcome: j.Outcome}
	if j.View != nil {
		e.Workers = len(j.View.Members)
	}
	for _, c := range j.Checkpoints[max(0, len(j.Checkpoints)-maxEndedSaves):] {
		if len(c.ManifestSum) > 0 { // else it was written by an earlier program, and nobody else knows what belongs to it
			c.Manifest = nil
		}
		e.Checkpoints = append(e.Checkpoints, c)
	}
	return e
}

// Step is the newest step that the log knows of.
func (j *Job) Step() uint64 {
	step := uint64(0)
	if j.Started != nil {
		step = j.Started.Step
	}
	if c := j.Newest(); c != nil {
		step = max(step, c.Step)
	}
	if j.Outcome != nil {
		step = max(step, j.Outcome.Step)
	}
	return step
}

// Ended finds what is left of a job by its id; nil where there is nothing.
func (s *State) Ended(id string) *Ended {
	for i := range s.Past {
		if s.Past[i].ID == id {
			return &s.Past[i]
		}
	}
	return nil
}

// compact turns the jobs that ended first into lines.
func (s *State) compact() {
	over := 0
	for _, j := range s.Jobs {
		if j.Phase.Ended() {
			over++
		}
	}
	s.Jobs = slices.DeleteFunc(s.Jobs, func(j *Job) bool {
		if over <= maxWhole || !j.Phase.Ended() {
			return false
		}
		over--
		s.Past = append(s.Past, j.ended())
		return true
	})
	if n := len(s.Past) - maxEnded; n > 0 {
		s.Past = slices.Delete(s.Past, 0, n)
	}
}
