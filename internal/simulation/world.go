// Package simulation runs whole clusters in one process on simulated time, networks and disks: the real state machine, the
// real coordinators over real Raft, the real workers with the real ring. From a seed it draws a schedule of faults (crashes,
// restarts, stops, delays, partitions of every kind), and while it carries it out it checks what must always hold: judge.go
// has the list.
//
// It runs inside a testing/synctest bubble, so time passes only when everybody waits, and a minute of the cluster's life takes
// milliseconds. The schedule of faults replays exactly from its seed; the order in which goroutines run between two waits
// is the scheduler's.
package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/tensor/kernel"
	"ringmaster/internal/trainer"
	"ringmaster/internal/worker"
)

// World is one simulated cluster.
type World struct {
	seed   uint64
	random *rand.Rand               // of the fault schedule alone
	plan   *trainer.Plan            // of the first job
	plans  map[string]*trainer.Plan // of all jobs, by their encoded configuration
	log    *slog.Logger
	ctx    context.Context
	net    *network
	raft   *raftnode.Network
	links  *allreduce.InProcess
	judge  *judge

	sabotage Sabotage

	mu           sync.Mutex
	words        *rand.Rand // incarnations
	speeds       *rand.Rand // of workers
	coordinators []*coordinator
	founders     map[string]string // id to address
	born         int               // coordinators made so far
	replacing    bool
	workers      []*workerProcess
	running      sync.WaitGroup
}

func newWorld(ctx context.Context, seed uint64, p *trainer.Plan, log *slog.Logger) *World {
	w := &World{seed: seed, random: rand.New(rand.NewPCG(seed, 1)), words: rand.New(rand.NewPCG(seed, 2)),
		speeds: rand.New(rand.NewPCG(seed, 4)), plan: p, plans: map[string]*trainer.Plan{string(p.Job.Encode()): p}, log: log, ctx: ctx,
		net: newNetwork(seed), raft: raftnode.NewNetwork(), links: &allreduce.InProcess{}, judge: newJudge(), founders: map[string]string{}}
	return w
}

func (w *World) word() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.words.Uint64()
}

// coordinator is one replica's machine: its disks outlive the process.
type coordinator struct {
	world   *World
	id      string
	address string
	raft    *raftnode.Memory
	store   *disk.MemFS
	founder bool
	target  uint64 // of one that joins: how far its checkpoints must reach

	mu     sync.Mutex
	server *cluster.Server
	end    func() // ends the process; nil while it is down
	gone   bool   // its machine is no more
}

func (w *World) addCoordinators(n int) {
	for i := range n {
		c := &coordinator{world: w, id: fmt.Sprintf("c%d", i+1), raft: raftnode.NewMemory(), store: disk.NewMemFS()}
		c.address = c.id + ":7070"
		c.founder = true
		w.coordinators = append(w.coordinators, c)
		w.founders[c.id] = c.address
	}
	w.born = n
}

// start brings the replica to life on what its disks hold.
func (c *coordinator) start() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.world
	if c.end != nil || c.gone || w.ctx.Err() != nil {
		return nil
	}
	log := w.log.With("at", c.id)
	var founders map[string]string
	if c.founder {
		founders = w.founders
	}
	n, err := raftnode.Start(raftnode.Config{ID: c.id, Address: c.address, Peers: founders, Memory: c.raft, Transport: w.raft.Join(c.address), SnapshotEvery: 64, Logger: log}, cluster.NewMachine())
	if err != nil {
		return err
	}
	store, err := checkpoint.Open(c.store, "/checkpoints")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(w.ctx)
	replicated := &witness{Replicated: &cluster.Replicated{Node: n}, judge: w.judge, id: c.id}
	server := cluster.New(cluster.Config{ID: c.id, Address: c.address, Log: log, Random: w.word, Fetch: w.fetcher(c.id), Timing: timing()}, replicated, store)
	c.server = server
	done := make(chan struct{})
	w.running.Go(func() { defer close(done); _ = server.Run(ctx) })
	c.end = func() {
		w.raft.Leave(c.address)
		cancel()
		w.net.kill(c.id)
		_ = n.Kill()
		<-done
	}
	return nil
}

// crash ends the process at once. Anything that its store had not synced may be lost.
func (c *coordinator) crash() {
	if c.stop() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.world.sabotage.ForgetfulDisks {
			c.raft = raftnode.NewMemory()
		}
		c.store = c.store.Crash(func(n int) int { return int(c.world.word() % uint64(n)) })
	}
}

// stop ends the process; false where none runs.
func (c *coordinator) stop() bool {
	c.mu.Lock()
	end := c.end
	c.end, c.server = nil, nil
	c.mu.Unlock()
	if end != nil {
		end() // unlocked: on its way out the process may still look at the world
	}
	return end != nil
}

func (c *coordinator) alive() *cluster.Server {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.server
}

// workerProcess is one worker's machine.
type workerProcess struct {
	world *World
	id    string

	mu     sync.Mutex
	member plan.Member
	life   *worker.Worker
	end    func() // ends the process; nil while it is down

	seatTime time.Duration // what a seat takes this machine in a step
	slowed   atomic.Int64  // how many times as long it takes at the moment, less one
}

func (w *World) addWorker() *workerProcess {
	w.mu.Lock()
	defer w.mu.Unlock()
	k := &workerProcess{world: w, id: fmt.Sprintf("w%d", len(w.workers)+1), seatTime: seatTimes[w.speeds.IntN(len(seatTimes))]}
	w.workers = append(w.workers, k)
	return k
}

// start begins a new process on the worker's machine.
func (k *workerProcess) start() {
	k.mu.Lock()
	defer k.mu.Unlock()
	w := k.world
	if k.end != nil || w.ctx.Err() != nil {
		return
	}
	m := plan.Member{Worker: k.id, Incarnation: plan.Incarnation(w.word() | 1), Address: k.id + ":7070", Host: k.id}
	ctx, cancel := context.WithCancel(w.ctx)
	life := worker.New(worker.Config{Self: m, Threads: 1, Log: w.log.With("at", k.id),
		Assemble: func(encoded []byte) (*trainer.Plan, error) {
			p := w.plans[string(encoded)]
			if p == nil {
				return nil, fmt.Errorf("unexpected job: %s", encoded)
			}
			if w.sabotage.Liar != nil && k.id == "w1" {
				p = w.sabotage.Liar
			}
			return k.slowly(p), nil
		},
		New: func(ctx context.Context, p *trainer.Plan, team *kernel.Team) (*trainer.Trainer, error) {
			t, err := trainer.New(ctx, p, team)
			if err == nil {
				w.judge.begin(m.Incarnation, t)
			}
			return t, err
		}}, &workerLinks{world: w, self: m})
	k.member, k.life = m, life
	done := make(chan struct{})
	w.running.Go(func() { defer close(done); _ = life.Run(ctx, nil) })
	k.end = func() { cancel(); w.net.kill(k.id); <-done }
}

func (k *workerProcess) crash() {
	k.mu.Lock()
	end := k.end
	k.end, k.life = nil, nil
	k.mu.Unlock()
	if end != nil {
		end() // unlocked: on its way out the process may still look at the world
	}
}

// process is the worker's process with that incarnation, if it still runs.
func (w *World) process(m plan.Member) *worker.Worker {
	w.mu.Lock()
	workers := w.workers
	w.mu.Unlock()
	for _, k := range workers {
		k.mu.Lock()
		life, same := k.life, k.member.Incarnation == m.Incarnation
		k.mu.Unlock()
		if same {
			return life
		}
	}
	return nil
}

// close ends everything.
func (w *World) close() {
	for _, k := range w.workers {
		k.crash()
	}
	for _, c := range w.all() {
		c.stop()
	}
	w.running.Wait()
}

// seatTimes are how long a seat takes, in simulated time, on machines of different speeds.
var seatTimes = []time.Duration{4 * time.Millisecond, 4 * time.Millisecond, 6 * time.Millisecond, 16 * time.Millisecond}

// slowly is the plan on this machine, which takes its time for every seat.
func (k *workerProcess) slowly(p *trainer.Plan) *trainer.Plan {
	own, data := *p, *p.Data
	data.Train = &slowSet{Set: data.Train, worker: k}
	own.Data = &data
	return &own
}

// slow multiplies the time that every seat takes, and returns a function that ends that.
func (k *workerProcess) slow(more int64) (end func()) {
	k.slowed.Add(more)
	return func() { k.slowed.Add(-more) }
}

// slowSet spends a seat's time when the seat is read.
type slowSet struct {
	dataset.Set
	worker *workerProcess
}

func (s *slowSet) Read(batch *dataset.Batch, indices []int32, key rng.Key) error {
	time.Sleep(s.worker.seatTime * time.Duration(1+s.worker.slowed.Load()))
	return s.Set.Read(batch, indices, key)
}

// timing is the coordinators': lives are short here, so seats move sooner.
func timing() decide.Timing {
	t := decide.DefaultTiming()
	t.Settle, t.Sustain = 600*time.Millisecond, 300*time.Millisecond
	return t
}
