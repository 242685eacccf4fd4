package launch

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/progress"
	"ringmaster/internal/rpc"
)

// States of a job that has ended.
const (
	StateDone        = "done"
	StateFailed      = "failed"
	StateInterrupted = "interrupted"
	StateCancelled   = "cancelled"
)

// figure is a number that JSON may have no way to write: not finite becomes null.
type figure float64

func (f figure) finite() bool { return !math.IsNaN(float64(f)) && !math.IsInf(float64(f), 0) }

// MarshalJSON writes the number, or null.
func (f figure) MarshalJSON() ([]byte, error) {
	if !f.finite() {
		return []byte("null"), nil
	}
	return json.Marshal(float64(f))
}

// UnmarshalJSON reads what MarshalJSON wrote; null is NaN.
func (f *figure) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		*f = figure(math.NaN())
		return nil
	}
	return json.Unmarshal(text, (*float64)(f))
}

// Summary is how a launch, or a watched submission, ended. Step, epoch, samples and epochs are the job's; times, rates,
// views and checkpoints are this launch's.
type Summary struct {
	Job         string              `json:"job"`
	State       string              `json:"state"`
	Error       string              `json:"error"`
	Reason      string              `json:"reason,omitempty"` // why it was done before its last step
	Seed        uint64              `json:"seed"`
	Seats       int                 `json:"seats"`
	Step        uint64              `json:"step"`
	Epoch       int                 `json:"epoch"`
	Samples     uint64              `json:"samples"`
	Digest      string              `json:"digest"`
	StateDigest string              `json:"state_digest"`
	TrainLoss   figure              `json:"train_loss"`
	Eval        *EvalSummary        `json:"eval"` // nil if the job has no evaluation set, or ended before the evaluation
	Epochs      []EpochSummary      `json:"epochs"`
	Workers     int                 `json:"workers"`
	WallS       figure              `json:"wall_s"`
	TrainS      figure              `json:"train_s"`
	SamplesPerS figure              `json:"samples_per_s"`
	FirstStepS  figure              `json:"first_step_s"` // from the command to the end of the first step; null: no step
	Views       []ViewSummary       `json:"views"`
	Checkpoints []CheckpointSummary `json:"checkpoints"`
	Unsaved     []UnsavedStatus     `json:"unsaved"` // what could not be stored, whether that is over or not
}

// EpochSummary is one epoch's figures.
type EpochSummary struct {
	Epoch     int          `json:"epoch"`
	TrainLoss figure       `json:"train_loss"`
	Eval      *EvalSummary `json:"eval"`
}

// ViewSummary is one view of the job: the log says who had which seats; this says why the view was made and what it cost.
type ViewSummary struct {
	Generation uint64 `json:"generation"`
	Workers    int    `json:"workers"`
	Cause      string `json:"cause"`
	Reason     string `json:"reason"`
	Step       uint64 `json:"step"`
	DetectedMs figure `json:"detected_ms"`
	StalledMs  figure `json:"stalled_ms"`
	LostSteps  int    `json:"lost_steps"`
}

// CheckpointSummary is one checkpoint that this launch wrote and that still exists.
type CheckpointSummary struct {
	Step      uint64 `json:"step"`
	Path      string `json:"path"`
	Bytes     uint64 `json:"bytes"`
	StalledMs figure `json:"stalled_ms"`
	Copy      string `json:"copy,omitempty"` // where its copy in checkpoint.copy_to is; absent: there is none, or none yet
}

// Summarize turns a job's last status into the summary. s is nil if the job was never created. began is when the command
// began; checkpoints are below store ("" if that is on other machines: then only their names are given).
func Summarize(s *rpc.JobStatus, store string, began, now time.Time) *Summary {
	out := &Summary{Job: s.GetName(), State: s.GetState(), Error: s.GetError(), Reason: s.GetReason(), Seed: s.GetSeed(), Seats: int(s.GetSeats()), Step: s.GetStep(),
		Epoch: int(s.GetEpoch()), Samples: s.GetSamples(), Digest: hex.EncodeToString(s.GetDigest()),
		StateDigest: hex.EncodeToString(s.GetStateDigest()), TrainLoss: figure(math.NaN()), Workers: int(s.GetWorkers()),
		Eval: evalSummary(s.GetHasEval(), s.GetEvalLoss(), s.GetEvalAccuracy(), s.GetEvalMetrics()), WallS: figure(now.Sub(began).Seconds()),
		TrainS: figure(s.GetTrainS()), SamplesPerS: figure(s.GetSamplesPerS()), FirstStepS: figure(math.NaN()),
		Epochs: []EpochSummary{}, Views: []ViewSummary{}, Checkpoints: []CheckpointSummary{}, Unsaved: unsavedOf(s)}
	if s.GetHasTrainLoss() {
		out.TrainLoss = figure(s.GetTrainLoss())
	}
	if first := s.GetFirstStepUnixNs(); first != 0 {
		out.FirstStepS = figure(time.Unix(0, int64(first)).Sub(began).Seconds())
	}
	for _, e := range s.GetEpochs() {
		out.Epochs = append(out.Epochs, EpochSummary{int(e.Epoch), figure(e.TrainLoss), evalSummary(e.HasEval, e.EvalLoss, e.EvalAccuracy, e.Metrics)})
	}
	// The job's end may be inside an epoch; if it is not, the last epoch's figures are the job's.
	if n := len(out.Epochs); n > 0 && out.Eval == nil {
		out.Eval = out.Epochs[n-1].Eval
	}
	for _, v := range s.GetViews() {
		if v.Started {
			out.Views = append(out.Views, ViewSummary{v.Generation, int(v.Workers), v.Cause, v.Reason, v.Step, figure(v.DetectedMs), figure(v.StalledMs), int(v.LostSteps)})
		}
	}
	for _, c := range s.GetCheckpoints() {
		one := CheckpointSummary{Step: c.Step, Path: filepath.Join(store, c.Directory), Bytes: c.Bytes, StalledMs: figure(c.StalledMs)}
		if c.Copied {
			one.Copy = strings.TrimSuffix(s.CopyTo, "/") + "/" + c.Directory
		}
		out.Checkpoints = append(out.Checkpoints, one)
	}
	out.judge()
	return out
}

// judge makes a failure of a job that is done with a test loss that is no finite number: a model that answers so is of no use.
func (s *Summary) judge() {
	if s.State == StateDone && s.Eval != nil && !s.Eval.Loss.finite() {
		s.State = StateFailed
		s.Error = fmt.Sprintf("the test loss after step %d is not finite: the model is of no use; lower train.optimizer.lr, set train.clip_norm, or look for bad values in the data", s.Step)
	}
}

// Status is the answer of "ringmaster status": the state of a job and of the processes that work on it.
type Status struct {
	Job          string              `json:"job"`
	State        string              `json:"state"`
	Error        string              `json:"error,omitempty"`
	Message      string              `json:"message,omitempty"` // what it waits for
	Generation   uint64              `json:"generation"`
	Step         uint64              `json:"step"`
	Steps        uint64              `json:"steps"` // in all; 0: not known yet
	Epoch        int                 `json:"epoch"`
	TrainLoss    figure              `json:"train_loss"`
	SamplesPerS  figure              `json:"samples_per_s"`
	LeftS        *figure             `json:"left_s"`                // seconds until the last step at the present speed; null where that is not known
	SavedStep    *uint64             `json:"saved_step"`            // of the newest stored checkpoint; null: none
	CopyTo       string              `json:"copy_to,omitempty"`     // where checkpoints are copied to
	CopiedStep   *uint64             `json:"copied_step,omitempty"` // of the newest one that is there
	Queued       int                 `json:"queued"`                // jobs that wait for their turn
	Others       []JobEntry          `json:"others,omitempty"`      // jobs that run beside this one
	DigestStep   uint64              `json:"digest_step"`
	Digest       string              `json:"digest"`
	Coordinators []CoordinatorStatus `json:"coordinators"`
	Workers      []WorkerStatus      `json:"workers"`
	Stalled      *StallStatus        `json:"stalled"` // null while nobody holds the job up
	Unsaved      []UnsavedStatus     `json:"unsaved"` // what cannot be stored at present, empty where nothing
}

// StallStatus says who holds the job up. Bucket and chunk are what others wait for, null where that is no part of a sum.
// Peer is from whom the worker is partitioned. Slow: steps end, but at this worker's pace.
type StallStatus struct {
	Worker   string `json:"worker"`
	Host     string `json:"host"`
	Step     uint64 `json:"step"`
	Bucket   *int32 `json:"bucket"`
	Chunk    *int32 `json:"chunk"`
	Doing    string `json:"doing"`
	Peer     string `json:"peer,omitempty"`
	PeerHost string `json:"peer_host,omitempty"`
	SinceMs  uint64 `json:"since_ms"`
	Slow     bool   `json:"slow"`
	Reason   string `json:"reason"`
}

// CoordinatorStatus is one coordinator. PID is absent where the process runs on another machine.
type CoordinatorStatus struct {
	ID      string `json:"id"`
	PID     int64  `json:"pid,omitempty"`
	Address string `json:"address"`
	Leader  bool   `json:"leader"`
}

// WorkerStatus is one worker. Arc is null while it has no seats.
type WorkerStatus struct {
	ID         string         `json:"id"`
	PID        int64          `json:"pid,omitempty"`
	Host       string         `json:"host"`
	Address    string         `json:"address"`
	Arc        *[2]int        `json:"arc"`
	State      string         `json:"state"`
	Step       uint64         `json:"step"`
	SeatMs     float64        `json:"seat_ms,omitempty"` // what one of its seats takes it in a step; absent: not known yet
	Doing      string         `json:"doing,omitempty"`   // what its step loop does at the moment: computing, waiting, ...
	Spent      *SpentStatus   `json:"spent_ms"`          // null: it has done nothing for a job yet
	WaitingFor *WaitingStatus `json:"waiting_for"`
	Job        string         `json:"job,omitempty"` // the job that it is for; arc is null where that is not the one whose status this is
}

// SpentStatus is how a worker has spent the time since it took the job, in ms.
type SpentStatus struct {
	Computing  uint64 `json:"computing"`
	Waiting    uint64 `json:"waiting"` // for others in the ring
	Reading    uint64 `json:"reading"` // samples
	Evaluating uint64 `json:"evaluating"`
	Saving     uint64 `json:"saving"`     // copying the state for a checkpoint
	Connecting uint64 `json:"connecting"` // opening the ring's links
	Fetching   uint64 `json:"fetching"`   // the state, from other workers
	Held       uint64 `json:"held"`       // not let run by its machine while it seemed to wait
	Idle       uint64 `json:"idle"`
}

// WaitingStatus says whom a worker waits for.
type WaitingStatus struct {
	Worker  string `json:"worker"`
	Host    string `json:"host"`
	Step    uint64 `json:"step"`
	Bucket  int    `json:"bucket"`
	Chunk   int    `json:"chunk"`
	Doing   string `json:"doing"`
	SinceMs uint64 `json:"since_ms"`
}

// Describe turns a cluster's answer into a Status. machine is the identity of the asker's machine.
func Describe(c *rpc.ClusterStatus, machine string) *Status {
	j := c.GetJob()
	out := &Status{Job: j.GetName(), State: j.GetState(), Error: j.GetError(), Message: j.GetMessage(), Generation: j.GetGeneration(), Step: j.GetStep(),
		Steps: j.GetStepsTotal(), Epoch: int(j.GetEpoch()), TrainLoss: figure(math.NaN()), SamplesPerS: figure(j.GetSamplesPerS()),
		DigestStep: j.GetDigestStep(), Digest: hex.EncodeToString(j.GetDigest()), Coordinators: []CoordinatorStatus{}, Workers: []WorkerStatus{}, Unsaved: unsavedOf(j)}
	if j.GetHasTrainLoss() {
		out.TrainLoss = figure(j.GetTrainLoss())
	}
	if left, ok := remaining(j); ok {
		seconds := figure(left.Seconds())
		out.LeftS = &seconds
	}
	if n := len(j.GetCheckpoints()); n > 0 {
		out.SavedStep = &j.Checkpoints[n-1].Step
	}
	out.CopyTo = j.GetCopyTo()
	for _, k := range j.GetCheckpoints() {
		if k.Copied {
			out.CopiedStep = &k.Step
		}
	}
	out.Queued = int(c.GetQueued())
	if others := c.GetOthers(); len(others) > 0 {
		out.Others = DescribeJobs(others)
	}
	if f := j.GetStalled(); f != nil {
		out.Stalled = &StallStatus{f.Worker, f.Host, f.Step, f.Bucket, f.Chunk, f.Doing, f.Peer, f.PeerHost, f.SinceMs, f.Slow, f.Reason}
	}
	here := func(pid int64, of string) int64 {
		if of != machine {
			return 0
		}
		return pid
	}
	for _, m := range c.GetCoordinators() {
		out.Coordinators = append(out.Coordinators, CoordinatorStatus{m.Id, here(m.Pid, m.Machine), m.Address, m.Leader})
	}
	for _, w := range c.GetWorkers() {
		status := WorkerStatus{ID: w.Id, PID: here(w.Pid, w.Machine), Host: w.Host, Address: w.Address, State: w.State, Step: w.Step, Job: w.Job}
		if figure(w.SeatMs).finite() { // JSON has no other numbers
			status.SeatMs = w.SeatMs
		}
		status.Doing, status.Spent = describeActivity(w.Activity)
		if w.Seated && (w.Job == "" || w.Job == j.GetJob()) { // an older coordinator does not tell the job
			status.Arc = &[2]int{int(w.SeatBegin), int(w.SeatEnd)}
		}
		if f := w.WaitingFor; f != nil {
			status.WaitingFor = &WaitingStatus{f.Worker, f.Host, f.Step, int(f.Bucket), int(f.Chunk), f.Doing, f.SinceMs}
		}
		out.Workers = append(out.Workers, status)
	}
	return out
}

// describeActivity is what a worker does and how it has spent its time. Where nothing is reported of it, spent is nil.
func describeActivity(a *rpc.Activity) (doing string, spent *SpentStatus) {
	if a == nil {
		return "", nil
	}
	if a.Doing != rpc.Doing_DOING_NOTHING {
		doing = strings.ToLower(strings.TrimPrefix(a.Doing.String(), "DOING_"))
	}
	ms := func(us uint64) uint64 { return us / 1000 }
	return doing, &SpentStatus{Computing: ms(a.ComputingUs), Waiting: ms(a.WaitingUs), Reading: ms(a.ReadingUs), Evaluating: ms(a.EvaluatingUs),
		Saving: ms(a.SavingUs), Connecting: ms(a.ConnectingUs), Fetching: ms(a.FetchingUs), Held: ms(a.HeldUs), Idle: ms(a.IdleUs)}
}

// remaining is how long a job that runs will take yet at its present speed; false while that is unknown.
func remaining(j *rpc.JobStatus) (time.Duration, bool) {
	job, err := config.Decode(j.GetConfig())
	if err != nil || j.GetState() != "running" {
		return 0, false
	}
	return progress.Snapshot{Step: j.Step, Steps: j.StepsTotal, SamplesPerS: j.SamplesPerS, Batch: job.Batch()}.Remaining()
}
