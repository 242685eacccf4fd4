package cluster

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/plural"
	"ringmaster/internal/rpc"
)

// watchInterval is how often a watcher is told the status.
const watchInterval = 100 * time.Millisecond

// Submit records a job.
func (s *Server) Submit(ctx context.Context, r *rpc.SubmitRequest) (*rpc.SubmitReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	job, err := config.Decode(r.Config)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "job file: %v", err)
	}
	if int(r.Workers) > job.Seats {
		return nil, status.Errorf(codes.InvalidArgument, "%s more than the job's %s", plural.Are(r.Workers, "worker"), plural.Of(job.Seats, "seat"))
	}
	if r.Workers > 0 && int(r.Workers) < job.MinWorkers {
		return nil, status.Errorf(codes.InvalidArgument, "%s fewer than the job's min_workers: %d", plural.Are(r.Workers, "worker"), job.MinWorkers)
	}
	if most := job.MaxWorkers; most > 0 && int(r.Workers) > most {
		return nil, status.Errorf(codes.InvalidArgument, "%s more than the job's max_workers: %d", plural.Are(r.Workers, "worker"), most)
	}
	token := r.Token
	if token == 0 {
		token = s.cfg.Random() | 1
	}
	c := &fsm.Submit{Incarnation: plan.Incarnation(token), Name: job.Name, Seats: job.Seats, Config: r.Config,
		Keep: job.Checkpoint.KeepLast, Workers: int(r.Workers), Fingerprint: r.Fingerprint, Stop: r.Stop, MinWorkers: job.MinWorkers, MaxWorkers: job.MaxWorkers, Even: !job.Balance, Seed: job.Seed, Priority: int(r.Priority),
		EarlyStop: metric.EarlyStop(job), KeepBest: metric.KeepBest(job)}
	for _, f := range r.Files {
		c.Files = append(c.Files, fsm.DataFile{Name: f.Name, SHA256: f.Sha256})
	}
	if len(r.Manifest) > 0 {
		if err := resumeFrom(c, job, r.Manifest); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "resume: %v", err)
		}
		if err := inherit(c, r.Earlier); err != nil {
			return nil, status.Errorf(codes.InvalidArgument, "resume: %v", err)
		}
	}
	known := ""
	s.log.Read(func(st *fsm.State) {
		c.ID = freeID(st, job.Name)
		for _, j := range st.Jobs {
			if j.Incarnation == c.Incarnation {
				known = j.ID
			}
		}
		for _, e := range st.Past {
			if e.Incarnation == c.Incarnation {
				known = e.ID
			}
		}
	})
	if known != "" {
		return &rpc.SubmitReply{Job: known}, nil
	}
	if err := s.log.Propose(ctx, fsm.Command{Submit: c}); err != nil {
		return nil, s.refused("submit", err)
	}
	s.cfg.Log.Info("job submitted", "job", c.ID, "workers", c.Workers, "resumed", c.Origin != nil)
	s.poke()
	return &rpc.SubmitReply{Job: c.ID}, nil
}

func freeID(st *fsm.State, name string) string {
	id := name
	for n := 2; st.Job(id) != nil || st.Ended(id) != nil; n++ {
		id = fmt.Sprintf("%s-%d", name, n)
	}
	return id
}

// maxEarlier bounds the older checkpoints that a job takes over.
const maxEarlier = 10000

// inherit takes over the older checkpoints of the run that the job goes on with.
func inherit(c *fsm.Submit, earlier []string) error {
	if len(earlier) > maxEarlier {
		return fmt.Errorf("%d older checkpoints, at most %d can be taken over", len(earlier), maxEarlier)
	}
	for _, folder := range earlier {
		if _, ok := checkpoint.ParseName(folder); !ok {
			return fmt.Errorf("%q is not the name of a checkpoint's folder", folder)
		}
	}
	c.Earlier = earlier
	return nil
}

// refused turns an error of the log into one for callers.
func (s *Server) refused(what string, err error) error {
	switch {
	case !s.log.Leading():
		return s.notLeader()
	case errors.Is(err, ErrBusy):
		return status.Error(codes.Aborted, err.Error()) // to be tried again
	case what != "":
		err = fmt.Errorf("%s: %w", what, err)
	}
	return status.Error(codes.FailedPrecondition, err.Error())
}

// Stop asks for a job's orderly end.
func (s *Server) Stop(ctx context.Context, r *rpc.StopRequest) (*rpc.StopReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	if err := s.log.Propose(ctx, fsm.Command{Stop: &fsm.Stop{Job: r.Job}}); err != nil {
		return nil, s.refused("stop job", err)
	}
	s.poke()
	return &rpc.StopReply{}, nil
}

// Scale sets the number of workers a job wants. An empty job means the one that runs.
func (s *Server) Scale(ctx context.Context, r *rpc.ScaleRequest) (*rpc.ScaleReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	id, several := r.Job, false
	if id == "" {
		s.log.Read(func(st *fsm.State) {
			active := st.Active()
			if several = len(active) > 1; len(active) > 0 {
				id = active[0].ID
			}
		})
	}
	if several {
		return nil, status.Error(codes.FailedPrecondition, "several jobs run; name the one to scale")
	}
	if err := s.log.Propose(ctx, fsm.Command{Scale: &fsm.Scale{Job: id, Workers: int(r.Workers)}}); err != nil {
		return nil, s.refused("scale", err)
	}
	s.poke()
	return &rpc.ScaleReply{}, nil
}

// Watch streams a job's status until it has ended.
func (s *Server) Watch(r *rpc.WatchRequest, stream rpc.Coordinator_WatchServer) error {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	told := 0
	for {
		st, err := s.jobStatus(r.Job)
		if err != nil {
			return err
		}
		if n := len(st.Epochs); n >= told { // a long history travels once; fewer are left of a job that has become a line
			st.Epochs, st.EpochsBefore, told = st.Epochs[told:], uint32(told), n
		}
		if err := stream.Send(st); err != nil {
			return err
		}
		if st.Ended {
			return nil
		}
		select {
		case <-tick.C:
		case <-stream.Context().Done():
			return nil
		}
	}
}

// Status answers what the cluster and a job are doing: the one asked for, else the one that runs, else the newest.
func (s *Server) Status(_ context.Context, r *rpc.StatusRequest) (*rpc.ClusterStatus, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	out := &rpc.ClusterStatus{Coordinators: s.coordinators()}
	if st, err := s.jobStatus(r.Job); err == nil {
		out.Job = st
	} else if r.Job != "" {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return nil, s.notLeader()
	}
	now := time.Now()
	s.log.Read(func(st *fsm.State) {
		out.Cluster = uint64(st.Cluster)
		for _, j := range st.Active() {
			if out.Job.GetJob() == j.ID {
				out.Queued = uint32(len(st.Queue()))
			} else {
				line := s.jobLine(s.describeJob(j))
				line.Priority, line.Checkpoints = int32(j.Priority), nil
				out.Others = append(out.Others, line)
			}
		}
		_, of := s.leader.Orders(st, now)
		workers, on, arcs := s.leader.Workers(now), map[string]int{}, arcsOf(st.Active())
		for _, r := range workers {
			on[r.Machine]++
		}
		on[""] = 1
		for _, r := range workers {
			w := workerStatus(arcs, r)
			if j := of[plan.Incarnation(r.Incarnation)]; j != nil {
				w.Job = j.ID
			}
			w.Memory = plan.Memory{Machine: r.MachineMemory, Limit: r.MemoryLimit}.Room(on[r.Machine])
			out.Workers = append(out.Workers, w)
		}
	})
	return out, nil
}

// arcsOf are the seats of the workers in the jobs' views.
func arcsOf(jobs []*fsm.Job) map[plan.Incarnation]plan.Interval {
	out := map[plan.Incarnation]plan.Interval{}
	for _, j := range jobs {
		if j.View == nil {
			continue
		}
		for _, m := range j.View.Members {
			out[m.Incarnation] = m.Arc
		}
	}
	return out
}

func workerStatus(arcs map[plan.Incarnation]plan.Interval, r *rpc.Report) *rpc.WorkerStatus {
	out := &rpc.WorkerStatus{Id: r.Worker, Pid: r.Pid, Host: r.Host, Machine: r.Machine, Address: r.Address, Step: r.Step,
		State: strings.ReplaceAll(strings.ToLower(strings.TrimPrefix(r.Phase.String(), "PHASE_")), "_", " "), WaitingFor: r.Waiting, Activity: r.Activity}
	if p := r.Progress; p != nil && r.Phase == rpc.Phase_PHASE_TRAINING {
		out.Step, out.SeatMs = p.Step, p.SeatMs
	}
	if arc, ok := arcs[plan.Incarnation(r.Incarnation)]; ok {
		out.Seated, out.SeatBegin, out.SeatEnd = true, uint32(arc.Begin), uint32(arc.End)
	}
	return out
}

// jobStatus is the state of a job with the workers' newest figures. Where id is empty it is the one that State.Shown chooses.
func (s *Server) jobStatus(id string) (*rpc.JobStatus, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return nil, s.notLeader()
	}
	var out *rpc.JobStatus
	s.log.Read(func(st *fsm.State) {
		j := st.Shown()
		if id != "" {
			j = st.Job(id)
		}
		if j != nil {
			out = s.describeJob(j)
		} else if e := st.Ended(id); e != nil {
			out = s.describeEnded(e)
		}
	})
	if out == nil {
		return nil, status.Errorf(codes.NotFound, "no job %q here", id)
	}
	return out, nil
}

func (s *Server) describeJob(j *fsm.Job) *rpc.JobStatus {
	out := &rpc.JobStatus{Job: j.ID, Name: j.Name, State: string(j.Phase), Error: j.Error, Message: s.waits[j.ID].Reason, Seats: uint32(j.Seats),
		Generation: uint64(j.Generation), Ended: j.Phase.Ended(), Config: j.Config, Seed: j.Seed,
		Wanted: uint32(j.Workers), Scalings: j.Scalings}
	for _, r := range s.log.Replicas() {
		out.Coordinators = append(out.Coordinators, r.Address)
	}
	switch {
	case out.Ended:
	case j.Stop || j.Yields != "":
		out.State, out.Message = ending(j, out.Message)
	case j.Phase == fsm.Paused:
		out.Message = "paused until it is resumed: ringmaster jobs resume " + j.ID
	case s.waits[j.ID].TooFew:
		out.State = string(fsm.Waiting)
	}
	for _, e := range j.Epochs {
		out.Epochs = append(out.Epochs, &rpc.EpochRecord{Epoch: uint32(e.Epoch), Step: e.Step, TrainLoss: math.Float64frombits(e.TrainLoss),
			HasEval: e.HasEval, EvalLoss: math.Float64frombits(e.EvalLoss), EvalAccuracy: math.Float64frombits(e.EvalAccuracy), Metrics: e.Metrics})
	}
	for _, v := range j.Views {
		out.Views = append(out.Views, &rpc.ViewRecord{Generation: uint64(v.Generation), Workers: uint32(v.Workers), Cause: v.Cause,
			Reason: v.Reason, Step: v.Step, DetectedMs: v.DetectedMs, StalledMs: s.stalls[v.Generation], LostSteps: uint32(v.LostSteps), Started: v.Started})
	}
	out.CopyTo, out.CopiesSettled = s.places.of(j), s.settledAt(j)
	for _, c := range j.Checkpoints {
		_, copied := s.copied.Load(out.CopyTo + " " + c.Directory)
		out.Checkpoints = append(out.Checkpoints, &rpc.CheckpointRecord{Step: c.Step, Generation: uint64(c.Generation), Bytes: c.Bytes,
			StalledMs: c.StalledMs, Directory: c.Directory, Copied: copied})
	}
	if j.View != nil {
		out.Workers = uint32(len(j.View.Members))
	}
	s.describeProgress(j, out)
	if !out.Ended || out.CopyTo != "" {
		out.Unsaved = s.leader.Unsaved(j)
	}
	out.Stalled = s.held[j.ID]
	if o := j.Outcome; o != nil {
		describeOutcome(o, out)
	}
	return out
}

// describeEnded is describeJob for a job of which a line is left.
func (s *Server) describeEnded(e *fsm.Ended) *rpc.JobStatus {
	j := &fsm.Job{ID: e.ID, Name: e.Name, Phase: e.Phase, Error: e.Error, Seats: e.Seats, Seed: e.Seed, Generation: e.Generation, Epochs: e.Last,
		Checkpoints: e.Checkpoints, Outcome: e.Outcome, Started: &fsm.Start{Step: e.Step}}
	out := s.describeJob(j)
	out.Workers, out.Epoch = uint32(e.Workers), uint32(e.Epochs)
	return out
}

func (s *Server) describeProgress(j *fsm.Job, out *rpc.JobStatus) {
	if j.Origin != nil {
		out.Step = j.Origin.Step
	}
	if j.Started != nil {
		out.Step = max(out.Step, j.Started.Step)
	}
	if c := j.Newest(); c != nil {
		out.Step = max(out.Step, c.Step)
	}
	p := s.lastSeen[j.ID]
	if p == nil {
		return
	}
	out.Step, out.StepsTotal, out.Epoch, out.Samples = p.Step, p.StepsTotal, p.Epoch, p.Samples
	out.DigestStep, out.Digest = p.DigestStep, p.Digest
	out.TrainS, out.FirstStepUnixNs = p.TrainS, p.FirstStepUnixNs
	if p.SessionSamples > 0 {
		out.TrainLoss, out.HasTrainLoss = p.TrainLoss, true
	}
	if p.TrainS > 0 {
		out.SamplesPerS = float64(p.SessionSamples) / p.TrainS
	}
}

func describeOutcome(o *fsm.Outcome, out *rpc.JobStatus) {
	out.Reason = o.Reason
	if o.Phase == fsm.Failed || len(o.Digest) == 0 {
		return
	}
	out.Step, out.DigestStep = o.Step, o.Step
	out.Digest, out.StateDigest = slices.Clone(o.Digest), o.StateDigest
	if loss := math.Float64frombits(o.TrainLoss); !math.IsNaN(loss) {
		out.TrainLoss, out.HasTrainLoss = loss, true
	}
	if o.HasEval {
		out.HasEval, out.EvalLoss, out.EvalAccuracy = true, math.Float64frombits(o.EvalLoss), math.Float64frombits(o.EvalAccuracy)
		out.EvalMetrics = o.Metrics
	}
}
