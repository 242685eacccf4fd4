package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Log is what the coordinator needs of its replicated log.
type Log interface {
	// Propose appends a command and waits until it is applied here. The error says why it was refused, or that this
	// replica does not lead.
	Propose(ctx context.Context, command fsm.Command) error
	// Barrier waits until everything that was committed before is applied here.
	Barrier(ctx context.Context) error
	// Read calls do with the state; do must not keep or change it.
	Read(do func(*fsm.State))
	// Changed receives a value after the state or the leadership changed. It never blocks the sender.
	Changed() <-chan struct{}
	// Leading reports whether this replica leads.
	Leading() bool
	// Leader is the id and address of the leader; empty while there is none.
	Leader() (id, address string)
	// Replicas are all coordinators with their addresses, in the order of their ids.
	Replicas() []Replica
}

// Replica is one coordinator.
type Replica struct {
	ID, Address string
}

// Config describes one coordinator.
type Config struct {
	ID      string
	Address string
	Machine string
	PID     int
	Timing  Timing
	Log     *slog.Logger
	Random  func() uint64 // source of incarnations
	Fetch   Fetcher
}

// Server is one coordinator: it answers workers and people, and while it leads it decides and proposes.
type Server struct {
	rpc.UnimplementedCoordinatorServer
	cfg   Config
	log   Log
	store *checkpoint.Store

	wake chan struct{}
	keep chan struct{}        // wakes the keeper of checkpoints
	kept map[string]keptState // what the keeper has done, by folder

	mu       sync.Mutex
	obs      *observations // nil while this replica does not lead
	lines    map[plan.Incarnation]*line
	message  string // what the job waits for
	stalls   map[plan.Generation]float64
	lastSeen map[string]*rpc.Progress // newest progress of a job, by any worker
}

// line is one attached worker's connection.
type line struct {
	order *rpc.Order // newest order, replaced, never changed
	ready chan struct{}
	end   context.CancelFunc
}

// New makes a coordinator over its replicated log and its checkpoint store. Run brings it to life.
func New(cfg Config, log Log, store *checkpoint.Store) *Server {
	if cfg.Timing == (Timing{}) {
		cfg.Timing = DefaultTiming()
	}
	return &Server{cfg: cfg, log: log, store: store, wake: make(chan struct{}, 1),
		keep: make(chan struct{}, 1), kept: map[string]keptState{}, lines: map[plan.Incarnation]*line{},
		stalls: map[plan.Generation]float64{}, lastSeen: map[string]*rpc.Progress{}}
}

func (s *Server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// notLeader is the error that sends a caller to the leader.
func (s *Server) notLeader() error {
	id, address := s.log.Leader()
	st, err := status.New(codes.FailedPrecondition, "this coordinator does not lead").
		WithDetails(&rpc.NotLeader{LeaderId: id, LeaderAddress: address})
	if err != nil {
		return status.Error(codes.FailedPrecondition, "this coordinator does not lead")
	}
	return st.Err()
}

// Line is a worker's line as the coordinator sees it. Recv ends when the line's context does.
type Line interface {
	Send(*rpc.Order) error
	Recv() (*rpc.Report, error)
}

// Attach serves a worker's line over gRPC.
func (s *Server) Attach(stream rpc.Coordinator_AttachServer) error {
	return s.Serve(stream.Context(), stream)
}

// Serve serves a worker's line until it breaks or this replica no longer leads. The error tells a worker where the leader
// is.
func (s *Server) Serve(ctx context.Context, stream Line) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if first.Worker == "" || first.Incarnation == 0 {
		return status.Error(codes.InvalidArgument, "a worker's report names its id and incarnation")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	id := plan.Incarnation(first.Incarnation)
	l := &line{ready: make(chan struct{}, 1), end: cancel}
	if !s.join(id, l, first) {
		return s.notLeader()
	}
	defer s.part(id, l)
	var sender sync.WaitGroup
	sender.Go(func() { sendOrders(ctx, s, l, stream, cancel) })
	defer sender.Wait()
	defer cancel()
	go func() { // ends with the stream
		defer cancel()
		for {
			r, err := stream.Recv()
			if err != nil || !s.take(id, l, r) {
				return
			}
		}
	}()
	<-ctx.Done()
	if !s.leads() {
		return s.notLeader()
	}
	return nil
}

func sendOrders(ctx context.Context, s *Server, l *line, stream Line, cancel func()) {
	defer cancel()
	var sent *rpc.Order
	for {
		s.mu.Lock()
		o := l.order
		s.mu.Unlock()
		if o != nil && (sent == nil || !proto.Equal(o, sent)) {
			if stream.Send(o) != nil {
				return
			}
			sent = o
		}
		select {
		case <-l.ready:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Server) leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.obs != nil
}

// join adds a worker's line. A newer process of the same id puts the older one out.
func (s *Server) join(id plan.Incarnation, l *line, first *rpc.Report) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.obs == nil {
		return false
	}
	now := time.Now()
	for other, w := range s.obs.workers {
		if other == id || w.report.Worker != first.Worker || w.stale {
			continue
		}
		w.stale = true
		if old := s.lines[other]; old != nil {
			old.order = &rpc.Order{Refused: "another worker attached as " + first.Worker + "; give each worker an id of its own"}
			old.notify()
		}
	}
	w := s.obs.workers[id]
	if w == nil {
		w = &seen{}
		s.obs.workers[id] = w
		s.cfg.Log.Info("worker attached", "worker", first.Worker, "host", first.Host, "pid", first.Pid)
	}
	w.connected, w.report, w.heard = true, first, now
	s.obs.moved = now
	if old := s.lines[id]; old != nil {
		old.end()
	}
	s.lines[id] = l
	s.poke()
	return true
}

func (l *line) notify() {
	select {
	case l.ready <- struct{}{}:
	default:
	}
}

func (s *Server) part(id plan.Incarnation, l *line) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lines[id] != l {
		return
	}
	delete(s.lines, id)
	if s.obs == nil {
		return
	}
	if w := s.obs.workers[id]; w != nil {
		w.connected = false
		s.obs.moved = time.Now()
		s.cfg.Log.Info("worker's line closed", "worker", w.report.Worker)
	}
	s.poke()
}

// take notes a worker's report; false when the line is no longer the worker's.
func (s *Server) take(id plan.Incarnation, l *line, r *rpc.Report) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.obs == nil || s.lines[id] != l {
		return false
	}
	w := s.obs.workers[id]
	if w == nil || plan.Incarnation(r.Incarnation) != id {
		return false
	}
	now := time.Now()
	if r.Phase != rpc.Phase_PHASE_BROKEN {
		w.brokenSince = time.Time{}
	} else if w.brokenSince.IsZero() || r.Generation != w.report.Generation {
		w.brokenSince = now
	}
	if r.Step > w.report.Step && r.Phase == rpc.Phase_PHASE_TRAINING {
		clear(s.obs.rebuilds)
	}
	w.report, w.heard = r, now
	if r.Job != "" && r.Progress != nil {
		s.obs.best = max(s.obs.best, r.Progress.Step)
		if old := s.lastSeen[r.Job]; old == nil || r.Progress.Step >= old.Step {
			s.lastSeen[r.Job] = r.Progress
		}
		if g := plan.Generation(r.Progress.RejoinGeneration); g != 0 {
			s.stalls[g] = max(s.stalls[g], r.Progress.RejoinMs)
		}
	}
	s.poke()
	return true
}

// Run leads when the log says so, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keepCheckpoints(ctx) })
	defer keeper.Wait()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			s.stepDown()
			return nil
		case <-s.wake:
		case <-s.log.Changed():
			select {
			case s.keep <- struct{}{}:
			default:
			}
		case <-tick.C:
		}
		if !s.log.Leading() {
			s.stepDown()
			continue
		}
		if err := s.lead(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("could not lead", "reason", err)
			sleep(ctx, 50*time.Millisecond)
		}
	}
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// stepDown ends all lines: the workers look for the new leader. Suspicions are forgotten.
func (s *Server) stepDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.obs == nil {
		return
	}
	s.cfg.Log.Info("no longer leads")
	s.obs = nil
	for _, l := range s.lines {
		l.end()
	}
}

// lead proposes what is due and tells the workers what the log now says.
func (s *Server) lead(ctx context.Context) error {
	if !s.leads() {
		if err := s.takeOver(ctx); err != nil {
			return err
		}
	}
	for range 64 { // bounded, so that orders go out between bursts of decisions
		d := s.next()
		if d.command == nil {
			s.setMessage(d.wait)
			break
		}
		bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.log.Propose(bounded, *d.command)
		cancel()
		if err != nil {
			s.sendAll()
			return err
		}
		s.cfg.Log.Info("decided", "reason", d.reason)
	}
	s.sendAll()
	return nil
}

// takeOver begins to lead: everything that was committed is applied first, then the suspicion timers start anew.
func (s *Server) takeOver(ctx context.Context) error {
	if err := s.log.Barrier(ctx); err != nil {
		return err
	}
	var cluster plan.Incarnation
	s.log.Read(func(st *fsm.State) { cluster = st.Cluster })
	if cluster == 0 {
		if err := s.log.Propose(ctx, fsm.Command{Found: &fsm.Found{Cluster: plan.Incarnation(s.cfg.Random() | 1)}}); err != nil {
			return err
		}
	}
	s.mu.Lock()
	s.obs = &observations{workers: map[plan.Incarnation]*seen{}, since: time.Now(), moved: time.Now(), rebuilds: map[plan.Incarnation]int{},
		replicas: len(s.log.Replicas()), manifest: s.describeCheckpoint}
	s.mu.Unlock()
	s.cfg.Log.Info("leads")
	return nil
}

func (s *Server) next() decision {
	s.mu.Lock()
	defer s.mu.Unlock()
	var d decision
	if s.obs == nil {
		return d
	}
	s.log.Read(func(st *fsm.State) { d = decide(st, s.obs, time.Now(), s.cfg.Timing) })
	return d
}

func (s *Server) setMessage(m string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m != s.message {
		s.message = m
		if m != "" {
			s.cfg.Log.Info("waits", "reason", m)
		}
	}
}

// sendAll gives every attached worker its order.
func (s *Server) sendAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.obs == nil {
		return
	}
	now := time.Now()
	s.log.Read(func(st *fsm.State) {
		base := s.baseOrder(st, now)
		for id, l := range s.lines {
			if w := s.obs.workers[id]; w == nil || w.stale {
				continue
			}
			if l.order == nil || !proto.Equal(l.order, base) {
				l.order = base
				l.notify()
			}
		}
	})
}

// baseOrder is what the state wants of every worker.
func (s *Server) baseOrder(st *fsm.State, now time.Time) *rpc.Order {
	o := &rpc.Order{Cluster: uint64(st.Cluster), Coordinators: s.coordinators()}
	j := st.Active()
	if j == nil {
		if j = st.Newest(); j == nil {
			return o
		}
	}
	o.Job = &rpc.JobSpec{Id: j.ID, Incarnation: uint64(j.Incarnation), Config: j.Config, Fingerprint: j.Fingerprint}
	for _, f := range j.Files {
		o.Job.Files = append(o.Job.Files, &rpc.DataFile{Name: f.Name, Sha256: f.SHA256})
	}
	o.Stop, o.Ended, o.Failed = j.Stop, j.Phase.Ended(), j.Error
	o.EpochsRecorded = uint32(len(j.Epochs))
	if n := len(j.Checkpoints); n > 0 {
		c := j.Checkpoints[n-1]
		o.HasCheckpoint, o.CheckpointStep, o.CheckpointGeneration = true, c.Step, uint64(c.Generation)
	}
	if o.Restore = s.obs.restore(j, now, s.cfg.Timing); o.Restore {
		o.Job.Manifest = j.Newest().Manifest
	}
	if j.View == nil {
		return o
	}
	o.View = viewMessage(j.View)
	if j.Running() {
		o.Start = &rpc.Start{Generation: uint64(j.Started.Generation), Step: j.Started.Step, StateDigest: j.Started.StateDigest,
			Halt: j.Started.Halt, Epochs: uint32(j.Started.Epochs)}
		for _, m := range o.View.Members {
			for _, source := range j.Started.Sources {
				if m.Worker == source {
					o.Start.Sources = append(o.Start.Sources, m)
				}
			}
		}
	}
	return o
}

func viewMessage(v *fsm.View) *rpc.View {
	out := &rpc.View{Generation: uint64(v.Generation), Seats: uint32(v.Seats), Orderly: v.Orderly, Cause: v.Cause, Reason: v.Reason}
	for _, m := range v.Members {
		out.Members = append(out.Members, &rpc.Member{Worker: m.Worker, Incarnation: uint64(m.Incarnation), Address: m.Address,
			Socket: m.Socket, Machine: m.Machine, Host: m.Host, SeatBegin: uint32(m.Arc.Begin), SeatEnd: uint32(m.Arc.End)})
	}
	return out
}

func (s *Server) coordinators() []*rpc.CoordinatorInfo {
	leader, _ := s.log.Leader()
	var out []*rpc.CoordinatorInfo
	for _, r := range s.log.Replicas() {
		c := &rpc.CoordinatorInfo{Id: r.ID, Address: r.Address, Leader: r.ID == leader}
		if r.ID == s.cfg.ID {
			c.Pid, c.Machine = int64(s.cfg.PID), s.cfg.Machine
		}
		out = append(out, c)
	}
	return out
}

// PutFile stores a checkpoint file that a worker or a person sends.
func (s *Server) PutFile(stream rpc.Coordinator_PutFileServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if err := s.StoreFile(first, &partReader{stream: stream, rest: first.Data}); err != nil {
		return status.Errorf(codes.InvalidArgument, "store checkpoint file: %v", err)
	}
	return stream.SendAndClose(&rpc.PutFileReply{Id: s.cfg.ID})
}

// partReader reads the bytes of a stream of file parts.
type partReader struct {
	stream interface{ Recv() (*rpc.FilePart, error) }
	rest   []byte
}

func (r *partReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 {
		part, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return 0, io.EOF
		}
		if err != nil {
			return 0, err
		}
		r.rest = part.Data
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Log is the replica's log.
func (s *Server) Log() Log { return s.log }
