package cluster

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/logs"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

// Log is the part of the replicated log that the coordinator uses.
type Log interface {
	// Propose appends a command and waits until it is applied here. The error says why it was refused, or that this
	// replica does not lead.
	Propose(ctx context.Context, command fsm.Command) error
	// Barrier waits until everything committed so far is applied here.
	Barrier(ctx context.Context) error
	// Read calls do with the state; do must not keep or change it.
	Read(do func(*fsm.State))
	// Changed receives a value after the state or the leadership changed. It never blocks the sender.
	Changed() <-chan struct{}
	// Leading reports whether this replica leads.
	Leading() bool
	// Leader is the id and address of the leader; empty while there is none.
	Leader() (id, address string)
	// Unstored says what keeps this replica from writing its log, and since when; nil: nothing does.
	Unstored() (since time.Time, err error)
	// Replicas are all coordinators with their addresses, in the order of their ids.
	Replicas() []Replica
	Membership
}

// Config describes one coordinator.
type Config struct {
	ID      string
	Address string
	Machine string
	PID     int
	Timing  decide.Timing
	Log     *slog.Logger
	Random  func() uint64 // source of incarnations
	Fetch   Fetcher
	// OpenBucket opens a place that checkpoints are copied to; nil: there is none.
	OpenBucket func(place string) (Bucket, error)
	Recent     *logs.Recent // of this process
	// AskLogs asks another coordinator or a worker for lines of its log; nil: nobody can be asked.
	AskLogs func(ctx context.Context, worker bool, address string, r *rpc.LogsRequest) (*rpc.LogsReply, error)
}

// Server is one coordinator: it answers workers and clients, and while it leads it makes decisions and proposes them to the log.
type Server struct {
	rpc.UnimplementedCoordinatorServer
	cfg   Config
	log   Log
	store *checkpoint.Store

	wake   chan struct{}
	keep   chan struct{}   // wakes the checkpoint keeper
	kept   map[string]bool // folders of the log's checkpoints that the keeper has found complete
	blamed string          // the folder that could not be deleted at the last attempt

	counts  counts
	traces  traces
	unsaved troubles
	begun   begun    // by workers
	holds   sync.Map // folders of checkpoints that are complete here
	copied  sync.Map // "PLACE FOLDER" of checkpoints that this leader has copied, or found there
	settled sync.Map // by job: its newest checkpoint when its bucket was last found to be as it should be
	places  placesOf

	wholeAt atomic.Uint64 // all checkpoints named in the log up to this entry are here; see Whole
	sweptAt atomic.Uint64 // log entry after which the last search for needless folders ran; 0: search again

	mu       sync.Mutex
	leader   *decide.Leader // nil while this replica does not lead
	lines    map[plan.Incarnation]*line
	orders   map[string]*rpc.Order     // newest order of each job, which its workers have or are being sent
	waits    map[string]decide.Waiting // what each job waits for
	held     map[string]*rpc.Stall     // who holds each job up that somebody does
	stalls   map[plan.Generation]float64
	lastSeen map[string]*rpc.Progress // newest progress of each job, from any worker
}

// New makes a coordinator from its replicated log and its checkpoint store. Run runs it.
func New(cfg Config, log Log, store *checkpoint.Store) *Server {
	if cfg.Timing == (decide.Timing{}) {
		cfg.Timing = decide.DefaultTiming()
	}
	return &Server{cfg: cfg, log: log, store: store, wake: make(chan struct{}, 1),
		keep: make(chan struct{}, 1), kept: map[string]bool{}, lines: map[plan.Incarnation]*line{},
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
	_, address := s.log.Leader()
	message := "this coordinator does not lead"
	for _, f := range s.troubled(time.Now()) {
		message += "; " + f.Sentence()
	}
	st, err := status.New(codes.FailedPrecondition, message).
		WithDetails(&rpc.NotLeader{LeaderAddress: address})
	if err != nil {
		return status.Error(codes.FailedPrecondition, message)
	}
	return st.Err()
}

func (s *Server) leads() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leader != nil
}

// Run leads whenever Raft makes this replica the leader, until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	var keeper sync.WaitGroup
	keeper.Go(func() { s.keepCheckpoints(ctx) })
	if s.cfg.OpenBucket != nil {
		keeper.Go(func() { s.copyCheckpoints(ctx) })
	}
	defer keeper.Wait()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		s.counts.turn()
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
		s.mu.Lock()
		s.watchStalls(time.Now())
		s.mu.Unlock()
		if err := s.lead(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("could not lead", "reason", err)
			sleep.For(ctx, 50*time.Millisecond)
		}
	}
}

// stepDown closes all lines, so that the workers look for the new leader, and forgets suspicions.
func (s *Server) stepDown() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return
	}
	s.cfg.Log.Info("no longer leads")
	s.leader = nil
	for _, l := range s.lines {
		l.end()
	}
	clear(s.lines)
}

// lead proposes what is due and sends the workers the resulting orders.
func (s *Server) lead(ctx context.Context) error {
	if !s.leads() {
		if err := s.takeOver(ctx); err != nil {
			return err
		}
	}
	for range 64 { // bounded, so that orders go out between bursts of decisions
		d := s.next()
		if d.Command == nil {
			s.setWaits(d.Waits)
			break
		}
		bounded, cancel := context.WithTimeout(ctx, 5*time.Second)
		err := s.log.Propose(bounded, *d.Command)
		cancel()
		if err != nil {
			s.refusedBy(d, err)
			s.sendAll()
			return err
		}
		s.confirm(d)
		s.cfg.Log.Info("decided", "reason", d.Reason)
	}
	s.sendAll()
	return nil
}

// takeOver begins to lead: first everything committed is applied, then the suspicion timers restart.
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
	s.leader = decide.NewLeader(s.cfg.Timing, describeCheckpoint, time.Now())
	s.mu.Unlock()
	s.cfg.Log.Info("leads")
	return nil
}

func (s *Server) next() (d decide.Decision) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return d
	}
	s.leader.SetVoters(s.voters()) // they may have changed
	own := s.troubled(time.Now())
	s.log.Read(func(st *fsm.State) {
		s.forget(st)
		s.leader.SetStore(own, s.lacksNewest(st))
		d = s.leader.Next(st, time.Now())
	})
	return d
}

// confirm tells the leader that the log has taken its decision.
func (s *Server) confirm(d decide.Decision) {
	s.counts.decided(d)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != nil {
		s.leader.Confirm(d, time.Now())
	}
}

// refusedBy tells the leader that the log has refused its decision, so that it goes on with other jobs first.
func (s *Server) refusedBy(d decide.Decision, err error) {
	var refused *RefusedError
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader != nil && errors.As(err, &refused) {
		s.leader.Refused(d, time.Now())
	}
}

func (s *Server) setWaits(waits []decide.Waiting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	was := s.waits
	s.waits = map[string]decide.Waiting{}
	for _, w := range waits {
		s.waits[w.Job] = w
		if w.Reason != "" && w.Reason != was[w.Job].Reason {
			s.cfg.Log.Info("waits", "job", w.Job, "reason", w.Reason)
		}
	}
}

// PutFile stores a checkpoint file that a worker or a person sends.
func (s *Server) PutFile(stream rpc.Coordinator_PutFileServer) error {
	first, err := stream.Recv()
	if err != nil {
		return err
	}
	if worker, ok := certs.WorkerOf(stream.Context()); ok {
		if err := s.checkUpload(worker, first); err != nil {
			s.cfg.Log.Warn("refused a checkpoint file", "worker", worker, "directory", first.Directory, "file", first.Name, "reason", err)
			return err
		}
	}
	if err := s.StoreFile(first, &partReader{stream: stream, rest: first.Data}); err != nil {
		if words, ok := diskFault(err); ok {
			return status.Error(codes.ResourceExhausted, words)
		}
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
