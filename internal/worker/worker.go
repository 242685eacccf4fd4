// Package worker is a worker's life: it attaches to the leader, reports its condition, and does what the leader's
// orders ask of it. A worker lives one session a generation: a newer view ends the old session for good before the
// worker reports to it, and it steps in the new one only after the log has started it.
package worker

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trace"
	"ringmaster/internal/trainer"
)

// Config describes one worker process.
type Config struct {
	Self       plan.Member // Worker, Incarnation, Address, Socket, Machine, Host
	PID        int
	Threads    int    // compute threads
	Memory     Memory // what there is
	Dir        string // the worker's own folder: checkpoints that it fetched
	Heartbeat  time.Duration
	Silence    time.Duration // a coordinator that sends no order or answer for this long counts as gone
	LeaveAfter time.Duration // how long a worker that was asked to end waits to be released
	Log        *slog.Logger
	// Assemble reads the data of a job and builds its model; nil: from the job's configuration and the data on this machine.
	Assemble func(config []byte) (*trainer.Plan, error)
	// New makes the trainer; nil: trainer.New.
	New func(ctx context.Context, p *trainer.Plan, team *kernel.Team) (*trainer.Trainer, error)
}

// Memory is a worker's memory in bytes; 0 where unknown or unlimited.
type Memory struct {
	Machine int64 // for all processes of its machine
	Limit   int64 // for its own process
}

// Assemble is trainer.Assemble for an encoded job configuration.
func Assemble(encoded []byte) (*trainer.Plan, error) {
	cfg, err := config.Decode(encoded)
	if err != nil {
		return nil, err
	}
	return trainer.Assemble(cfg)
}

// Links are a worker's connections to the rest of the cluster.
type Links interface {
	// Coordinators are the addresses known from configuration and gossip.
	Coordinators() []string
	// Attach opens the line to a coordinator. A follower answers with a *NotLeaderError.
	Attach(ctx context.Context, address string) (Line, error)
	// Probe tests the link to another worker; nil: that worker answers.
	Probe(ctx context.Context, to plan.Member) error
	// OpenRing connects the session with its neighbours.
	OpenRing(ctx context.Context, id allreduce.Identity, seats [][]float32, buckets []plan.Bucket) (Ring, error)
	// FetchState reads a peer's state at exactly the step of the request.
	FetchState(ctx context.Context, from plan.Member, request *rpc.StateRequest, receive func(*rpc.StatePart) error) error
	// PutFile sends a checkpoint file to a coordinator and returns that coordinator's id.
	PutFile(ctx context.Context, address string, head *rpc.FilePart, write func(io.Writer) error) (string, error)
	// PutTrace gives the leader a trace, or asks it what its clock shows.
	PutTrace(ctx context.Context, address string, t *rpc.WorkerTrace) (unixNs int64, err error)
	// GetFile reads a checkpoint file from a coordinator.
	GetFile(ctx context.Context, address, directory, name string, w io.Writer) error
}

// Line is the open line to the leader.
type Line interface {
	Send(*rpc.Report) error
	Recv() (*rpc.Order, error)
}

// Ring is one session's all-reduce.
type Ring interface {
	trainer.AllReduce
	Close() (drained bool) // false: the transport may still read the gradients
	Lose(neighbour plan.Member, cause error)
	WaitingFor() (allreduce.Waiting, bool)
	Traffic() (sent, received uint64)
}

// NotLeaderError names the leader, if it is known.
type NotLeaderError struct{ Leader string }

// Error says who leads.
func (e *NotLeaderError) Error() string {
	if e.Leader == "" {
		return "this coordinator is not the leader and knows none at the moment"
	}
	return "this coordinator is not the leader; the leader is " + e.Leader
}

// ErrRefused is wrapped by the error of a worker that the cluster does not want.
var ErrRefused = errors.New("refused by the coordinator")

// Worker is one worker's life.
type Worker struct {
	cfg   Config
	links Links
	log   *slog.Logger
	ways  *ways

	events chan func() // run by the main loop, one after another
	wake   chan struct{}

	mu     sync.Mutex
	report *rpc.Report       // base of the next report; replaced, never changed
	live   *job              // for progress, what it waits for and serving state
	known  []string          // addresses of the coordinators that the newest order named
	voters []string          // ids of the coordinators that count for a majority
	ids    map[string]string // of the coordinators by their addresses

	attached   atomic.Bool            // an order has come through the line that is open
	unattached atomic.Pointer[string] // why the newest line ended, or could not be opened; nil: none has
	meter      allreduce.Meter        // of all sessions' rings
	counts     counts
	recorder   trace.Recorder

	// Owned by the main loop.
	tracing tracing
	order   *rpc.Order
	job     *job
	leaving bool
	left    bool
	fatal   error
}

// New makes a worker; Run runs it.
func New(cfg Config, links Links) *Worker {
	if cfg.Heartbeat <= 0 {
		cfg.Heartbeat = 100 * time.Millisecond
	}
	if cfg.Silence <= 0 {
		cfg.Silence = 2 * time.Second
	}
	if cfg.LeaveAfter <= 0 {
		cfg.LeaveAfter = 10 * time.Second
	}
	if cfg.Assemble == nil {
		cfg.Assemble = Assemble
	}
	if cfg.New == nil {
		cfg.New = trainer.New
	}
	w := &Worker{cfg: cfg, links: links, log: cfg.Log, events: make(chan func(), 16), wake: make(chan struct{}, 1)}
	w.ways = newWays(cfg, links, func() { poke(w.wake) })
	w.publish()
	return w
}

// Run works for the cluster until leave is closed: then the worker leaves gracefully, released between two steps. When ctx
// ends it stops at once, whatever it is doing. It returns nil when it left, and an error where the cluster refused it.
func (w *Worker) Run(ctx context.Context, leave <-chan struct{}) error {
	life, end := context.WithCancel(ctx)
	var attached sync.WaitGroup
	attached.Go(func() { w.attachLoop(life) })
	attached.Go(func() { w.ways.run(life, w.lookAtRing) })
	defer attached.Wait()
	defer end()
	defer w.tracing.end()
	defer w.dropJob()

	var patience <-chan time.Time
	for {
		select {
		case do := <-w.events:
			do()
		case <-leave:
			leave, w.leaving = nil, true
			patience = time.After(w.cfg.LeaveAfter)
		case <-patience:
			w.log.Warn("left without being let go")
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
		if w.fatal != nil {
			return w.fatal
		}
		w.reconcile(life)
		w.traceAsOrdered(life)
		w.publish()
		if w.leaving && (w.left || !w.seated()) {
			return nil
		}
	}
}

// post hands an event to the main loop. It gives up when the worker's life is over.
func (w *Worker) post(ctx context.Context, do func()) {
	select {
	case w.events <- do:
	case <-ctx.Done():
	}
}

// seated reports whether the worker has seats in the newest started view that it knows.
func (w *Worker) seated() bool {
	o := w.order
	return w.job != nil && o != nil && !o.Ended && o.View != nil && memberOf(o.View, w.cfg.Self) >= 0
}

func memberOf(v *rpc.View, self plan.Member) int {
	for i, m := range v.GetMembers() {
		if m.Worker == self.Worker && plan.Incarnation(m.Incarnation) == self.Incarnation {
			return i
		}
	}
	return -1
}

// reconcile compares the newest order with the actual state and takes the next missing step.
func (w *Worker) reconcile(ctx context.Context) {
	o := w.order
	if o == nil {
		return
	}
	if o.Refused != "" {
		w.fatal = fmt.Errorf("%w: %s", ErrRefused, o.Refused)
		return
	}
	if w.job != nil && !w.job.is(o) {
		w.dropJob()
	}
	if o.Job == nil || o.Ended {
		return
	}
	if w.job == nil {
		w.job = newJob(w, o)
		w.mu.Lock()
		w.live = w.job
		w.mu.Unlock()
		w.job.prepare(ctx)
	}
	w.job.reconcile(ctx, o)
	if w.leaving && o.Start != nil && o.View != nil && o.Start.Generation == o.View.Generation && memberOf(o.View, w.cfg.Self) < 0 {
		w.left = true
	}
}

func (w *Worker) dropJob() {
	if w.job == nil {
		return
	}
	w.job.close()
	w.recorder.Stop() // the job's steps are over
	w.mu.Lock()
	w.counts.past.take(w.job)
	w.job = nil
	w.live = nil
	w.mu.Unlock()
}

// publish makes the base of the next report and lets the attach loop send it.
func (w *Worker) publish() {
	m := w.cfg.Self
	r := &rpc.Report{Worker: m.Worker, Incarnation: uint64(m.Incarnation), Address: m.Address, Socket: m.Socket,
		Machine: m.Machine, Host: m.Host, Pid: int64(w.cfg.PID), Leaving: w.leaving,
		MachineMemory: uint64(w.cfg.Memory.Machine), MemoryLimit: uint64(w.cfg.Memory.Limit)}
	if w.job != nil {
		w.job.describe(r)
	}
	w.mu.Lock()
	changed := !proto.Equal(w.report, r)
	w.report = r
	w.mu.Unlock()
	if changed {
		poke(w.wake)
	}
}

// current is the report as of now, with the figures that change all the time.
func (w *Worker) current() *rpc.Report {
	w.mu.Lock()
	base, live := w.report, w.live
	w.mu.Unlock()
	r := proto.CloneOf(base)
	if live != nil {
		live.live(r)
	}
	w.ways.describe(r)
	return r
}

func (w *Worker) takeOrder(o *rpc.Order) {
	addresses, voters := make([]string, 0, len(o.Coordinators)), make([]string, 0, len(o.Coordinators))
	ids := map[string]string{}
	for _, c := range o.Coordinators {
		addresses = append(addresses, c.Address)
		ids[c.Address] = c.Id
		if !c.Joining {
			voters = append(voters, c.Id)
		}
	}
	w.mu.Lock()
	w.known, w.voters, w.ids = addresses, voters, ids
	w.mu.Unlock()
	w.order = o
	w.ways.take(o)
}

// sameJob compares the identity of jobs; two clusters, or two submissions of one file, are different jobs.
func (j *job) is(o *rpc.Order) bool {
	return o.Job != nil && !o.Ended && o.Cluster == j.cluster && o.Job.Id == j.spec.Id && o.Job.Incarnation == j.spec.Incarnation && o.Job.Parked == j.spec.Parked
}

func equalDigest(a, b []byte) bool { return len(a) > 0 && bytes.Equal(a, b) }
