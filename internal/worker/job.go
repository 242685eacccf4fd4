package worker

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/host"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
)

// job is a worker's part in one job. Its fields belong to the worker's main loop, except where a comment says otherwise.
type job struct {
	w       *Worker
	spec    *rpc.JobSpec
	cluster uint64
	began   time.Time // to be prepared
	team    *kernel.Team
	ctx     context.Context // ends with the worker's part in the job
	cancel  context.CancelFunc
	running chan struct{} // closed when the current background work has ended; nil: there is none

	phase      rpc.Phase
	generation plan.Generation // newest view that this worker has reported to
	failure    string
	changed    bool // its configuration is not what its checkpoint was made with
	plan       *trainer.Plan
	trainer    atomic.Pointer[trainer.Trainer] // set once the job is prepared; read by others too
	digest     []byte                          // state digest of the state held, while no session runs
	memory     plan.Memory                     // memory the job needs, known before it is allocated
	fresh      bool                            // the next session needs gradients of its own

	pausing    bool // a restore failed a moment ago
	session    *session
	started    plan.Generation // newest generation a session was begun for
	lost       []uint64
	lostReason string
	epochs     []*rpc.EpochFact // reported and not yet recorded
	outcome    *rpc.Outcome
	saver      *saver
	saving     atomic.Pointer[saver]   // the same; read by others too
	staged     checkpoint.State        // the memory of the last saver's copy of the state
	current    atomic.Pointer[session] // the session under way; read by others too
	abandoned  atomic.Bool             // set by a session whose transport did not let go of the gradients

	ends  sync.Mutex
	noted []*rpc.EpochFact // epochs that have ended, not yet among those that are reported

	rejoin      atomic.Pointer[rejoin]
	digestStep  atomic.Uint64
	paramDigest atomic.Pointer[[32]byte]
}

func newJob(w *Worker, o *rpc.Order) *job {
	ctx, cancel := context.WithCancel(context.Background())
	return &job{w: w, spec: o.Job, cluster: o.Cluster, began: time.Now(), ctx: ctx, cancel: cancel, phase: rpc.Phase_PHASE_PREPARING,
		team: kernel.NewTeam(w.cfg.Threads)}
}

// close ends everything the worker does for the job, and waits until it has ended.
func (j *job) close() {
	j.cancel()
	if j.running != nil {
		<-j.running
	}
	if j.saver != nil {
		j.saver.close()
	}
	j.team.Close()
}

// background runs work outside the main loop, one piece at a time; the main loop then calls done.
func (j *job) background(ctx context.Context, work func(context.Context) error, done func(error)) {
	ended := make(chan struct{})
	j.running = ended
	go func() {
		err := work(j.ctx)
		close(ended)
		j.w.post(ctx, func() {
			if j.w.job != j {
				return
			}
			j.running = nil
			done(err)
		})
	}()
}

func (j *job) fail(err error) {
	j.phase, j.failure = rpc.Phase_PHASE_FAILED, err.Error()
	j.w.log.Error("the job cannot go on here", "job", j.spec.Id, "reason", err)
}

// prepare reads the data and builds the model. If this machine has too little memory for the job, it stops there: the
// leader sees that from the same figures and says so.
func (j *job) prepare(ctx context.Context) {
	var p *trainer.Plan
	var memory plan.Memory
	j.background(ctx, func(context.Context) (err error) {
		if p, err = j.w.cfg.Assemble(j.spec.Config); err == nil {
			memory = j.price(p)
		}
		return err
	}, func(err error) {
		if err != nil {
			j.fail(j.here(err))
			return
		}
		j.plan, j.memory = j.restoring(p), memory
		for _, line := range p.Data.Account() {
			j.w.log.Info(line, "job", j.spec.Id)
		}
		if memory.Seats(1, p.Job.Seats) > 0 {
			if memory.Job > 0 {
				host.KeepWithin(memory.Job + memory.Seat) // in a view it may be more
			}
			j.make(ctx)
			return
		}
		j.w.log.Warn("the job does not fit into memory here", "job", j.spec.Id, "job_bytes", memory.Job, "seat_bytes", memory.Seat, "room", memory.Room(1))
	})
}

// restoring is the plan, marked if the job resumes from a checkpoint whose state replaces the initial one. A checkpoint of step
// 0 is not fetched.
func (j *job) restoring(p *trainer.Plan) *trainer.Plan {
	m, err := checkpoint.ParseManifest(j.spec.Manifest)
	if err != nil || m.Step == 0 { // without a manifest too
		return p
	}
	marked := *p
	marked.Restores = true
	return &marked
}

// make builds the state that training starts from.
func (j *job) make(ctx context.Context) {
	var t *trainer.Trainer
	var digest checkpoint.Hash
	j.background(ctx, func(ctx context.Context) (err error) {
		if t, err = j.w.cfg.New(ctx, j.plan, j.team); err != nil {
			return err
		}
		state := t.State()
		digest, err = checkpoint.NewStateHasher().SumWithin(ctx, &state)
		return err
	}, func(err error) {
		if err != nil {
			j.fail(j.here(err))
			return
		}
		j.plan = t.Plan
		t.TraceTo(&j.w.recorder)
		t.Activity.Turn(trainer.Idle)
		j.trainer.Store(t)
		j.digest, j.phase = digest[:], rpc.Phase_PHASE_READY
	})
}

// here says where an error happened.
func (j *job) here(err error) error {
	return fmt.Errorf("worker %s on %s: %w", j.w.cfg.Self.Worker, j.w.cfg.Self.Host, err)
}

// runtimeMemory is what a process needs besides its heap: the program, stacks, connection buffers.
const runtimeMemory = 32 << 20

// price computes how much memory the job needs here, with the data already read, before the rest is allocated.
func (j *job) price(p *trainer.Plan) plan.Memory {
	has := j.w.cfg.Memory
	if has == (Memory{}) {
		return plan.Memory{} // nobody compares it with anything
	}
	runtime.GC() // garbage from reading the data is not counted
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	takes := p.Memory()
	return plan.Memory{Machine: uint64(has.Machine), Limit: uint64(has.Limit),
		Job: m.HeapAlloc + uint64(takes.Job()) + runtimeMemory, Seat: uint64(takes.Seat)}
}

// hold records that no session runs and what state the worker holds.
func (j *job) hold(phase rpc.Phase) {
	t := j.trainer.Load()
	state := t.State()
	digest := checkpoint.StateDigest(&state)
	j.digest, j.phase = digest[:], phase
}

func (j *job) reconcile(ctx context.Context, o *rpc.Order) {
	j.acknowledge(o)
	if j.session != nil {
		j.steer(o)
		return
	}
	t := j.trainer.Load()
	if t == nil || j.running != nil || j.phase == rpc.Phase_PHASE_FAILED {
		return
	}
	if !j.checkData(o) {
		return
	}
	if o.Restore && len(o.Job.Manifest) > 0 && j.restore(ctx, o) {
		return
	}
	if o.View != nil && plan.Generation(o.View.Generation) > j.generation {
		// Every earlier session of this worker has ended for good: from here on it follows the newer view.
		j.generation = plan.Generation(o.View.Generation)
		j.outcome, j.lost, j.lostReason = nil, nil, ""
		j.endSaver()
		j.phase = rpc.Phase_PHASE_READY
	}
	if s := o.Start; s != nil && plan.Generation(s.Generation) == j.generation && j.started < j.generation &&
		memberOf(o.View, j.w.cfg.Self) >= 0 {
		j.started = j.generation
		j.begin(ctx, o)
	}
}

// endSaver closes the saver, from which on the state may change; the memory of its copy is the next one's.
func (j *job) endSaver() {
	if j.saver == nil {
		return
	}
	j.saver.close()
	j.staged = j.saver.staged
	j.saver = nil
	j.saving.Store(nil)
}

// acknowledge drops the facts that are in the log.
func (j *job) acknowledge(o *rpc.Order) {
	j.epochs = slices.DeleteFunc(j.epochs, func(e *rpc.EpochFact) bool { return e.Epoch <= o.EpochsRecorded })
	if j.saver != nil && o.HasCheckpoint {
		j.saver.committed(o.CheckpointStep, plan.Generation(o.CheckpointGeneration))
	}
}

// steer passes an order on to the session that runs.
func (j *job) steer(o *rpc.Order) {
	j.session.obey(o)
	if o.View == nil || plan.Generation(o.View.Generation) <= j.generation {
		return
	}
	follows := cmp.Or(o.View.Follows, o.View.Generation-1) // an older coordinator does not tell
	if o.View.Orderly && plan.Generation(follows) == j.generation {
		j.session.signals.Yield.Store(true)
		return
	}
	j.session.cancel(nil)
}

// checkData compares the data's fingerprint with the job's.
func (j *job) checkData(o *rpc.Order) bool {
	if len(o.Job.Fingerprint) == 0 || bytes.Equal(o.Job.Fingerprint, j.plan.Data.Fingerprint[:]) {
		return true
	}
	name := "the data set"
	for _, f := range j.plan.Data.Files {
		for _, want := range o.Job.Files {
			if want.Name == f.Path && !bytes.Equal(want.Sha256, f.Sum[:]) {
				name = "file " + f.Path
			}
		}
	}
	j.fail(fmt.Errorf("worker %s on %s: %s in %s differs from the data the job was submitted with: copy the same files there", j.w.cfg.Self.Worker, j.w.cfg.Self.Host, name, strings.Join(j.plan.Job.Data.Places(), ", ")))
	return false
}

// describe fills in the job's part of a report.
func (j *job) describe(r *rpc.Report) {
	r.Cluster, r.Job, r.Parked, r.Phase, r.Generation = j.cluster, j.spec.Id, j.spec.Parked, j.phase, uint64(j.generation)
	r.Failure, r.ConfigDiffers = j.failure, j.changed
	r.LostPeers, r.LostReason = j.lost, j.lostReason
	r.JobMemory, r.SeatMemory = j.memory.Job, j.memory.Seat
	t := j.trainer.Load()
	if t == nil {
		return
	}
	r.Fingerprint = j.plan.Data.Fingerprint[:]
	for _, f := range j.plan.Data.Files {
		r.Files = append(r.Files, &rpc.DataFile{Name: f.Path, Sha256: f.Sum[:]})
	}
	if j.session == nil {
		r.Step, r.StateDigest = t.Step(), j.digest
	}
	r.Outcome = j.outcome
	if j.saver != nil {
		r.Shares = j.saver.facts()
	}
	// Last, so that no report names a share without the epochs that ended before it.
	j.takeEpochs()
	r.Epochs = slices.Clone(j.epochs)
}

// live adds to a report the figures that change with every step. It may be called from any goroutine.
func (j *job) live(r *rpc.Report) {
	t := j.trainer.Load()
	if t == nil {
		r.Activity = &rpc.Activity{Doing: rpc.Doing_DOING_READING, SinceUs: micros(time.Since(j.began))}
		return
	}
	p := &t.Progress
	step := p.Step.Load()
	if r.StateDigest == nil {
		r.Step = step
	}
	r.Progress = &rpc.Progress{Step: step, Epoch: uint32(t.Epoch(step)), TrainLoss: math.Float64frombits(p.LossBits.Load()),
		Samples: t.Samples(step), StepMs: float64(p.StepNs.Load()) / 1e6, FirstStepUnixNs: uint64(p.FirstStep.Load()),
		TrainS: float64(p.TrainNs.Load()) / 1e9, StepsTotal: t.Steps, SessionSamples: p.Samples.Load(),
		DigestStep: j.digestStep.Load(), SeatMs: float64(p.SeatNs.Load()) / 1e6, SeatSpans: uint32(p.SeatSpans.Load())}
	if again := j.rejoin.Load(); again != nil {
		r.Progress.RejoinGeneration, r.Progress.RejoinMs = uint64(again.generation), again.ms
	}
	if d := j.paramDigest.Load(); d != nil {
		r.Progress.Digest = d[:]
	}
	if v := j.saving.Load(); v != nil {
		r.Unsaved = v.failing()
	}
	j.describeActivity(t, r)
}
