package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/printable"
)

// Command is one entry of the log: exactly one field is set.
type Command struct {
	Found      *Found       `json:"found,omitempty"`
	Submit     *Submit      `json:"submit,omitempty"`
	Data       *Data        `json:"data,omitempty"`
	Stop       *Stop        `json:"stop,omitempty"`
	Scale      *Scale       `json:"scale,omitempty"`
	View       *ProposeView `json:"view,omitempty"`
	Start      *Start       `json:"start,omitempty"`
	Epoch      *Epoch       `json:"epoch,omitempty"`
	Checkpoint *Checkpoint  `json:"checkpoint,omitempty"`
	Retire     *Retire      `json:"retire,omitempty"`
	Finish     *Outcome     `json:"finish,omitempty"`
	Spend      *Spend       `json:"spend,omitempty"`
	Pause      *Pause       `json:"pause,omitempty"`
	Resume     *Resume      `json:"resume,omitempty"`
	Cancel     *Cancel      `json:"cancel,omitempty"`
	Prioritize *Prioritize  `json:"prioritize,omitempty"`
	Park       *Park        `json:"park,omitempty"`
	Save       *Save        `json:"save,omitempty"`
	Size       *Size        `json:"size,omitempty"`
	Least      *Least       `json:"least,omitempty"`
}

// Found gives the cluster its incarnation. The first one wins.
type Found struct {
	Cluster plan.Incarnation `json:"cluster"`
}

// Submit adds a job. With an Origin the job goes on from that checkpoint, its epochs and its generation.
type Submit struct {
	ID          string           `json:"id"`
	Incarnation plan.Incarnation `json:"incarnation"`
	Name        string           `json:"name"`
	Seats       int              `json:"seats"`
	Config      []byte           `json:"config"`
	Keep        int              `json:"keep"`
	Workers     int              `json:"workers"`
	Fingerprint []byte           `json:"fingerprint,omitempty"`
	Files       []DataFile       `json:"files,omitempty"`
	Origin      *Checkpoint      `json:"origin,omitempty"`
	Earlier     []string         `json:"earlier,omitempty"`
	Epochs      Epochs           `json:"epochs,omitempty"`
	Stop        bool             `json:"stop,omitempty"`
	MinWorkers  int              `json:"min_workers,omitempty"`
	MaxWorkers  int              `json:"max_workers,omitempty"`
	Even        bool             `json:"even,omitempty"`
	EarlyStop   *metric.Rule     `json:"early_stop,omitempty"`
	KeepBest    *metric.Rule     `json:"keep_best,omitempty"`
	Seed        uint64           `json:"seed,omitempty"`
	Priority    int              `json:"priority,omitempty"`
}

// Data fixes the fingerprint of a job that was submitted without one.
type Data struct {
	Job         string     `json:"job"`
	Fingerprint []byte     `json:"fingerprint"`
	Files       []DataFile `json:"files,omitempty"`
}

// Stop asks for an orderly end.
type Stop struct {
	Job string `json:"job"`
}

// Scale sets the wanted number of workers.
type Scale struct {
	Job     string `json:"job"`
	Workers int    `json:"workers"`
}

// ProposeView makes a new view.
type ProposeView struct {
	Job  string `json:"job"`
	View View   `json:"view"`
}

// Retire takes a checkpoint out of those that are kept. Every replica deletes the checkpoints that the state no longer names.
type Retire struct {
	Job        string          `json:"job"`
	Step       uint64          `json:"step"`
	Generation plan.Generation `json:"generation"`
}

// EncodeCommand writes a command for the log.
func EncodeCommand(c Command) ([]byte, error) {
	data, err := json.Marshal(c)
	if err != nil {
		return nil, fmt.Errorf("encode command: %w", err)
	}
	return data, nil
}

// DecodeCommand reads a command that EncodeCommand wrote.
func DecodeCommand(data []byte) (Command, error) {
	var c Command
	if err := json.Unmarshal(data, &c); err != nil {
		return c, fmt.Errorf("decode command: %w", err)
	}
	return c, nil
}

// Apply carries a command out on the state. A nil error means that the state now says what the command says, whether
// this command or an equal one before it brought that about; an error says why the command was refused, and then the
// state is unchanged. It is deterministic: every replica reaches the same state and the same answer.
func (s *State) Apply(c Command) error {
	if err := s.apply(c); err != nil {
		return err
	}
	s.activate()
	s.compact()
	return nil
}

func (s *State) apply(c Command) error {
	switch {
	case c.Found != nil:
		return s.found(c.Found)
	case c.Submit != nil:
		return s.submit(c.Submit)
	case c.Data != nil:
		return s.onActive(c.Data.Job, func(j *Job) error { return j.data(c.Data) })
	case c.Stop != nil:
		return s.onActive(c.Stop.Job, (*Job).stop)
	case c.Scale != nil:
		return s.onActive(c.Scale.Job, func(j *Job) error { return j.scale(c.Scale) })
	case c.View != nil:
		return s.onActive(c.View.Job, func(j *Job) error { return s.view(j, c.View.View) })
	case c.Start != nil:
		return s.onActive(c.Start.Job, func(j *Job) error { return j.start(*c.Start) })
	case c.Epoch != nil:
		return s.onActive(c.Epoch.Job, func(j *Job) error { return j.epoch(*c.Epoch) })
	case c.Checkpoint != nil:
		return s.onActive(c.Checkpoint.Job, func(j *Job) error { return j.checkpoint(*c.Checkpoint) })
	case c.Retire != nil:
		return s.retire(c.Retire)
	case c.Finish != nil:
		return s.onActive(c.Finish.Job, func(j *Job) error { return j.finish(*c.Finish) })
	case c.Spend != nil:
		return s.spend(c.Spend)
	}
	return s.applyQueue(c)
}

// applyQueue carries out the commands that change whose turn it is.
func (s *State) applyQueue(c Command) error {
	switch {
	case c.Pause != nil:
		return s.onActive(c.Pause.Job, (*Job).pause)
	case c.Resume != nil:
		return s.onActive(c.Resume.Job, (*Job).resume)
	case c.Cancel != nil:
		return s.onActive(c.Cancel.Job, func(j *Job) error { j.end(Cancelled, "cancelled"); return nil })
	case c.Prioritize != nil:
		return s.onActive(c.Prioritize.Job, func(j *Job) error { return j.prioritize(c.Prioritize) })
	case c.Park != nil:
		return s.onActive(c.Park.Job, func(j *Job) error { return j.park(c.Park) })
	case c.Save != nil:
		return s.onActive(c.Save.Job, func(j *Job) error { return j.save(c.Save) })
	case c.Size != nil:
		return s.size(c.Size)
	case c.Least != nil:
		return s.onActive(c.Least.Job, func(j *Job) error { return j.setLeast(c.Least) })
	}
	return fmt.Errorf("empty command")
}

func (s *State) onActive(id string, do func(*Job) error) error {
	j := s.Job(id)
	if e := s.Ended(id); j == nil && e != nil {
		return fmt.Errorf("job %q has ended (%s)", id, e.Phase)
	}
	if j == nil {
		return fmt.Errorf("no job %q", id)
	}
	if j.Phase.Ended() {
		return fmt.Errorf("job %q has ended (%s)", id, j.Phase)
	}
	return do(j)
}

func (s *State) found(c *Found) error {
	if c.Cluster == 0 {
		return fmt.Errorf("a cluster's incarnation is not 0")
	}
	if s.Cluster == 0 {
		s.Cluster = c.Cluster
	}
	return nil
}

func (s *State) submit(c *Submit) error {
	if old := s.Job(c.ID); old != nil {
		if old.Incarnation == c.Incarnation {
			return nil // a repeat of the same submission
		}
		return fmt.Errorf("job %q exists", c.ID)
	}
	if old := s.Ended(c.ID); old != nil {
		if old.Incarnation == c.Incarnation {
			return nil
		}
		return fmt.Errorf("job %q exists", c.ID)
	}
	if err := s.mayQueue(); err != nil {
		return err
	}
	if c.Priority < -MaxPriority || c.Priority > MaxPriority {
		return fmt.Errorf("priority %d: it must be %d to %d", c.Priority, -MaxPriority, MaxPriority)
	}
	if c.ID == "" || c.Seats < 1 || c.Workers < 0 || c.Workers > c.Seats || c.MinWorkers > c.Seats {
		return fmt.Errorf("job %q: %d workers, at least %d, on %d seats", c.ID, c.Workers, c.MinWorkers, c.Seats)
	}
	if c.Workers > 0 && c.Workers < c.MinWorkers {
		return fmt.Errorf("job %q needs min_workers %d, not %d", c.ID, c.MinWorkers, c.Workers)
	}
	if most := c.MaxWorkers; most < 0 || most > 0 && (most > c.Seats || most < c.MinWorkers || most < c.Workers) {
		return fmt.Errorf("job %q: max_workers %d, with %d workers, at least %d, on %d seats", c.ID, most, c.Workers, c.MinWorkers, c.Seats)
	}
	j := &Job{ID: c.ID, Incarnation: c.Incarnation, Name: c.Name, Seats: c.Seats, Config: c.Config, Keep: c.Keep,
		Workers: c.Workers, Fingerprint: c.Fingerprint, Files: c.Files, Phase: Waiting, Stop: c.Stop, MinWorkers: c.MinWorkers, MaxWorkers: c.MaxWorkers, Even: c.Even, Seed: c.Seed, Priority: c.Priority,
		EarlyStop: c.EarlyStop, KeepBest: c.KeepBest,
		Origin: c.Origin, Earlier: slices.Clone(c.Earlier), Epochs: slices.Clone(c.Epochs)}
	if c.Origin != nil {
		j.Generation = c.Origin.Generation
	}
	s.Jobs = append(s.Jobs, j)
	return nil
}

func (j *Job) data(c *Data) error {
	if len(j.Fingerprint) != 0 {
		if bytes.Equal(j.Fingerprint, c.Fingerprint) {
			return nil
		}
		return fmt.Errorf("job %q already has a data fingerprint", j.ID)
	}
	j.Fingerprint, j.Files = c.Fingerprint, c.Files
	return nil
}

func (j *Job) scale(c *Scale) error {
	if c.Workers < 1 || c.Workers > j.Seats {
		return fmt.Errorf("job %q has %s: workers must be 1 to %d, not %d", j.ID, plural.Of(j.Seats, "seat"), j.Seats, c.Workers)
	}
	if c.Workers < j.MinWorkers {
		return fmt.Errorf("job %q needs min_workers %d, not %d", j.ID, j.MinWorkers, c.Workers)
	}
	if j.MaxWorkers > 0 && c.Workers > j.MaxWorkers {
		return fmt.Errorf("job %q has max_workers %d: it takes no %d", j.ID, j.MaxWorkers, c.Workers)
	}
	j.Workers = c.Workers
	j.Scalings++ // asked again for the same number, whoever starts processes looks whether they still run
	return nil
}

func (s *State) view(j *Job, v View) error {
	if err := s.mayHave(j, &v); err != nil {
		return err
	}
	if v.Generation != s.NextGeneration(j) {
		return fmt.Errorf("view %d proposed, the job is at generation %d", v.Generation, j.Generation)
	}
	if v.Seats != j.Seats {
		return fmt.Errorf("view %d has %d seats, the job %d", v.Generation, v.Seats, j.Seats)
	}
	if err := v.Validate(); err != nil {
		return err
	}
	v.Reason = printable.Short(v.Reason, maxReason)
	if len(v.Members) < j.Least { // it does fit
		j.Least = 0
	}
	v.Follows = 0
	if j.View != nil {
		v.Follows = j.Generation
	}
	j.Generation, j.View, j.Phase = v.Generation, &v, Running
	j.Views = append(j.Views, ViewRecord{Generation: v.Generation, Workers: len(v.Members), Cause: v.Cause,
		Reason: v.Reason, DetectedMs: v.DetectedMs})
	if n := len(j.Views) - maxViewRecords; n > 0 {
		j.Views = slices.Delete(j.Views, 0, n)
	}
	return nil
}

func (j *Job) start(c Start) error {
	if j.View == nil || c.Generation != j.View.Generation {
		return fmt.Errorf("start of view %d, the job is at generation %d", c.Generation, j.Generation)
	}
	if j.Running() {
		if j.Started.Step == c.Step && bytes.Equal(j.Started.StateDigest, c.StateDigest) {
			return nil
		}
		return fmt.Errorf("view %d was started at step %d already", c.Generation, j.Started.Step)
	}
	if len(c.Sources) == 0 {
		return fmt.Errorf("start of view %d names no worker that holds its state", c.Generation)
	}
	c.Epochs = len(j.Epochs)
	j.Started, j.StartedView = &c, j.View
	if j.SaveFrom > 0 {
		j.SaveFrom = min(j.SaveFrom, c.Step+1) // the steps after it are done again
	}
	if n := len(j.Views); n > 0 {
		r := &j.Views[n-1]
		r.Started, r.Step, r.LostSteps = true, c.Step, c.LostSteps
	}
	return nil
}

// current checks that a fact comes from the generation that the log has started last.
func (j *Job) current(what string, g plan.Generation) error {
	if !j.Running() || j.Started.Generation != g {
		return fmt.Errorf("%s from generation %d, the job is at %d", what, g, j.Generation)
	}
	return nil
}

func (j *Job) epoch(c Epoch) error {
	if n := c.Epoch; n >= 1 && n <= len(j.Epochs) {
		if j.Epochs[n-1].same(c) {
			return nil
		}
		return fmt.Errorf("epoch %d is recorded with other figures: two workers disagree about one epoch", n)
	}
	if j.View == nil || c.Generation != j.View.Generation {
		return fmt.Errorf("epoch from generation %d, the job is at %d", c.Generation, j.Generation)
	}
	if c.Epoch != len(j.Epochs)+1 {
		return fmt.Errorf("epoch %d reported, %d are recorded", c.Epoch, len(j.Epochs))
	}
	j.Epochs = append(j.Epochs, c)
	return nil
}

func (j *Job) checkpoint(c Checkpoint) error {
	for _, old := range j.Checkpoints {
		if old.Step != c.Step {
			continue
		}
		if !bytes.Equal(old.Digest, c.Digest) {
			return fmt.Errorf("checkpoint at step %d is recorded with digest %x, now %x", c.Step, old.Digest, c.Digest)
		}
		if old.Generation == c.Generation {
			return nil
		}
	}
	if err := j.current("checkpoint", c.Generation); err != nil {
		return err
	}
	if n := len(j.Checkpoints); n > 0 && j.Checkpoints[n-1].Step > c.Step {
		return fmt.Errorf("checkpoint at step %d comes after one at step %d", c.Step, j.Checkpoints[n-1].Step)
	}
	j.Checkpoints = append(j.Checkpoints, c)
	if c.Step >= j.SaveFrom {
		j.SaveFrom = 0
	}
	return nil
}

func (s *State) retire(c *Retire) error {
	j := s.Job(c.Job)
	if j == nil && s.Ended(c.Job) != nil {
		return nil // what it keeps is settled
	}
	if j == nil {
		return fmt.Errorf("no job %q", c.Job)
	}
	for i, old := range j.Checkpoints {
		if old.Step != c.Step || old.Generation != c.Generation {
			continue
		}
		if i == len(j.Checkpoints)-1 {
			return fmt.Errorf("checkpoint at step %d is the newest: it stays", c.Step)
		}
		j.Checkpoints = slices.Delete(j.Checkpoints, i, i+1)
		return nil
	}
	return nil // retired before
}

func (j *Job) finish(c Outcome) error {
	if !c.Phase.Ended() {
		return fmt.Errorf("job %q cannot end as %q", j.ID, c.Phase)
	}
	// If a job is stopped while nobody works for it, there is no final state: its newest checkpoint is the result.
	without := c.Phase == Interrupted && j.Stop && len(c.Digest) == 0 && c.Generation == j.Generation
	if c.Phase != Failed && !without {
		if err := j.current("end", c.Generation); err != nil {
			return err
		}
	}
	c.Error, c.Reason = printable.Short(c.Error, maxReason), printable.Short(c.Reason, maxReason)
	j.Phase, j.Error, j.Outcome, j.SaveFrom = c.Phase, c.Error, &c, 0
	return nil
}
