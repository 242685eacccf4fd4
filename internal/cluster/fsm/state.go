// Package fsm is the coordinator's replicated state machine: jobs, views with their reasons, starts, epochs with their
// metrics and checkpoint manifests. It is pure: no clock, randomness, I/O or logging. The proposer stamps anything
// that is not deterministic into the command. The work that a state calls for is not returned as effects but derived from the
// state itself (package cluster), so that a new leader needs nothing but the state.
package fsm

import (
	"encoding/json"
	"fmt"
	"slices"

	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
)

// State is everything the coordinators agree on.
type State struct {
	Cluster    plan.Incarnation `json:"cluster"`              // 0 until the first leader founds the cluster
	Jobs       []*Job           `json:"jobs"`                 // in the order of submission
	Generation plan.Generation  `json:"generation,omitempty"` // newest of all jobs
	Past       []Ended          `json:"past,omitempty"`       // what is left of jobs that ended long ago, the oldest first
	Spent      []Spend          `json:"spent,omitempty"`      // join tokens that have been used
	Size       int              `json:"size,omitempty"`       // workers of the cluster, as counted last; 0: not known
}

// Phase is a job's phase of life.
type Phase string

// The phases of a job. The last four are final.
const (
	Waiting     Phase = "waiting" // for its turn or its workers
	Running     Phase = "running"
	Paused      Phase = "paused" // until it is resumed
	Done        Phase = "done"
	Failed      Phase = "failed"
	Interrupted Phase = "interrupted"
	Cancelled   Phase = "cancelled"
)

// Ended reports whether the phase is final.
func (p Phase) Ended() bool { return p == Done || p == Failed || p == Interrupted || p == Cancelled }

// Job is one training run.
type Job struct {
	ID          string           `json:"id"`
	Incarnation plan.Incarnation `json:"incarnation"`
	Name        string           `json:"name"`
	Seats       int              `json:"seats"`
	Config      []byte           `json:"config"`                // the canonical job file
	Keep        int              `json:"keep"`                  // checkpoints to keep; 0: all
	Workers     int              `json:"workers"`               // wanted; 0: all that are attached
	Scalings    uint64           `json:"scalings,omitempty"`    // how often that was asked for since the submission
	MinWorkers  int              `json:"min_workers,omitempty"` // with fewer nobody is seated
	MaxWorkers  int              `json:"max_workers,omitempty"` // more are never seated; 0: as many as seats
	Least       int              `json:"least,omitempty"`       // with fewer its seats do not fit into memory; 0: not known
	Seed        uint64           `json:"seed,omitempty"`
	Priority    int              `json:"priority,omitempty"`
	Parked      uint64           `json:"parked,omitempty"` // how often its workers were taken from it
	Even        bool             `json:"even,omitempty"`   // arcs do not follow the workers' speeds
	EarlyStop   *metric.Rule     `json:"early_stop,omitempty"`
	KeepBest    *metric.Rule     `json:"keep_best,omitempty"`
	Fingerprint []byte           `json:"fingerprint,omitempty"`
	Files       []DataFile       `json:"files,omitempty"`

	// What follows from all the jobs, see activate.
	Yields string `json:"yields,omitempty"` // why it is to give its workers up; empty: it is not
	Turn   bool   `json:"turn,omitempty"`   // it has no workers and is next to get some
	Bound  int    `json:"bound,omitempty"`  // the largest number of workers, for the sake of other jobs; 0: none

	Phase Phase  `json:"phase"`
	Stop  bool   `json:"stop,omitempty"` // an orderly end was asked for
	Hold  bool   `json:"hold,omitempty"` // a pause was asked for
	Error string `json:"error,omitempty"`

	SaveFrom uint64 `json:"save_from,omitempty"` // a checkpoint at this step or a later one was asked for; 0: none, or it is stored

	Generation  plan.Generation `json:"generation"` // newest view's, or what the job was resumed at
	View        *View           `json:"view,omitempty"`
	Started     *Start          `json:"started,omitempty"`      // the last Start
	StartedView *View           `json:"started_view,omitempty"` // the view of that Start
	Views       []ViewRecord    `json:"views,omitempty"`

	Epochs      Epochs       `json:"epochs,omitempty"`
	Checkpoints []Checkpoint `json:"checkpoints,omitempty"` // committed and not retired, ascending by step
	Origin      *Checkpoint  `json:"origin,omitempty"`      // what the job was resumed from
	Earlier     []string     `json:"earlier,omitempty"`     // folders of older checkpoints of the same run, ascending, the origin's last
	Outcome     *Outcome     `json:"outcome,omitempty"`
}

// DataFile is one file of the data set with the SHA-256 of its decoded content.
type DataFile struct {
	Name   string `json:"name"`
	SHA256 []byte `json:"sha256"`
}

// View is a view with the reason why it was made.
type View struct {
	plan.View
	Orderly    bool            `json:"orderly"`           // the view before it ends its step first
	Follows    plan.Generation `json:"follows,omitempty"` // the view before it; set by Apply. 0: none, or an earlier program made it: one less
	Cause      string          `json:"cause"`
	Reason     string          `json:"reason"`
	DetectedMs float64         `json:"detected_ms,omitempty"`
}

// ViewRecord is a view's line in the job's history.
type ViewRecord struct {
	Generation plan.Generation `json:"generation"`
	Workers    int             `json:"workers"`
	Cause      string          `json:"cause"`
	Reason     string          `json:"reason"`
	DetectedMs float64         `json:"detected_ms"`
	Started    bool            `json:"started"`
	Step       uint64          `json:"step"`
	LostSteps  uint64          `json:"lost_steps"`
}

// Start permits a generation to step, from a given state on.
type Start struct {
	Job         string          `json:"job"`
	Generation  plan.Generation `json:"generation"`
	Step        uint64          `json:"step"`
	StateDigest []byte          `json:"state_digest"`
	Halt        bool            `json:"halt,omitempty"` // save a checkpoint at this step and stop
	Epochs      int             `json:"epochs"`         // recorded when this Start was applied; set by Apply
	Sources     []string        `json:"sources"`        // workers that hold the state
	LostSteps   uint64          `json:"lost_steps,omitempty"`
}

// Epoch is the result of an epoch. Losses are kept as bits, so that a repeat compares equal and NaN survives JSON.
type Epoch struct {
	Job          string          `json:"job"`
	Generation   plan.Generation `json:"generation"`
	Epoch        int             `json:"epoch"` // from 1
	Step         uint64          `json:"step"`
	TrainLoss    uint64          `json:"train_loss"`
	HasEval      bool            `json:"has_eval"`
	EvalLoss     uint64          `json:"eval_loss"`
	EvalAccuracy uint64          `json:"eval_accuracy"`
	EvalCount    uint64          `json:"eval_count"`
	Metrics      string          `json:"metrics,omitempty"` // figures of train.metrics, see metric.Format; empty where there are none
}

// same reports whether two reports of one epoch agree in every bit.
func (e Epoch) same(o Epoch) bool {
	o.Generation, o.Job = e.Generation, e.Job
	return e == o
}

// Checkpoint is a committed checkpoint.
type Checkpoint struct {
	Job        string          `json:"job"`
	Generation plan.Generation `json:"generation"`
	Step       uint64          `json:"step"`
	Directory  string          `json:"directory"`
	Bytes      uint64          `json:"bytes"`
	StalledMs  float64         `json:"stalled_ms"`
	Digest     []byte          `json:"digest"`

	// Manifest is the checkpoint's manifest without what the job holds already: its epochs, of which it has the first Epochs, and,
	// of one that the job itself saved, its configuration. nil: see Ended; ManifestSum is the SHA-256 of the whole one.
	Manifest    json.RawMessage `json:"manifest,omitempty"`
	ManifestSum []byte          `json:"manifest_sum,omitempty"`
	Epochs      int             `json:"epochs,omitempty"`
}

// Outcome is how a job ended.
type Outcome struct {
	Job         string          `json:"job"`
	Generation  plan.Generation `json:"generation"`
	Phase       Phase           `json:"phase"`
	Error       string          `json:"error,omitempty"`
	Reason      string          `json:"reason,omitempty"` // of an end before the last step
	Step        uint64          `json:"step"`
	Digest      []byte          `json:"digest,omitempty"`
	StateDigest []byte          `json:"state_digest,omitempty"`
	TrainLoss   uint64          `json:"train_loss"` // float64 bits, like the two below

	HasEval      bool   `json:"has_eval,omitempty"` // evaluated at an end inside an epoch
	EvalLoss     uint64 `json:"eval_loss,omitempty"`
	EvalAccuracy uint64 `json:"eval_accuracy,omitempty"`
	Metrics      string `json:"metrics,omitempty"`
}

// Job finds a job by its id; nil where there is none.
func (s *State) Job(id string) *Job {
	for _, j := range s.Jobs {
		if j.ID == id {
			return j
		}
	}
	return nil
}

// reached is the newest generation that the job has used.
func (j *Job) reached() plan.Generation {
	if j.View == nil {
		return 0
	}
	return j.Generation
}

// NextGeneration is that of the job's next view: newer than all of all jobs, so that no two jobs ever share one.
func (s *State) NextGeneration(j *Job) plan.Generation { return max(s.Generation, j.Generation) + 1 }

// Previous is the generation of the view before the newest one.
func (v *View) Previous() plan.Generation {
	if v.Follows == 0 {
		return v.Generation - 1
	}
	return v.Follows
}

// has reports whether a worker may be at work for the job: it is in the newest view, or in the started one that this has not replaced yet.
func (j *Job) has(id plan.Incarnation) bool {
	for _, v := range []*View{j.View, j.StartedView} {
		if v != nil && slices.ContainsFunc(v.Members, func(m plan.Member) bool { return m.Incarnation == id }) {
			return true
		}
	}
	return false
}

// Newest is the job submitted last; nil where there is none.
func (s *State) Newest() *Job {
	if len(s.Jobs) == 0 {
		return nil
	}
	return s.Jobs[len(s.Jobs)-1]
}

// Running reports whether the newest view has been started.
func (j *Job) Running() bool {
	return j.View != nil && j.Started != nil && j.Started.Generation == j.View.Generation
}

// Newest is the newest checkpoint that the job can go on from: committed by it, else the one it was resumed from.
func (j *Job) Newest() *Checkpoint {
	if n := len(j.Checkpoints); n > 0 {
		return &j.Checkpoints[n-1]
	}
	return j.Origin
}

// Encode writes the state for a snapshot.
func (s *State) Encode() ([]byte, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode coordinator state: %w", err)
	}
	return data, nil
}

// Decode reads a state that Encode wrote.
func Decode(data []byte) (*State, error) {
	var s State
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("decode coordinator state: %w", err)
	}
	for i, j := range s.Jobs {
		if j == nil || j.ID == "" {
			return nil, fmt.Errorf("decode coordinator state: job %d has no id", i)
		}
	}
	s.activate() // states written before jobs took their generations so
	return &s, nil
}
