package worker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"ringmaster/internal/allreduce"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/host"
	"ringmaster/internal/metric"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// session is a worker's life in one generation. It ends once and is never used again.
type session struct {
	generation plan.Generation
	start      *rpc.Start
	id         allreduce.Identity
	signals    trainer.Signals
	cancel     context.CancelCauseFunc
	ring       atomic.Pointer[Ring]
	connecting atomic.Pointer[time.Time] // when it began to connect with its neighbours; nil before, and once it has
	opening    allreduce.Opening

	ending     trainer.Ending
	reason     string              // of an end before the last step; else ""
	evaluation *trainer.Evaluation // where the job ends inside an epoch
}

// rejoin is how long the ring stood still before a generation's first step.
type rejoin struct {
	generation plan.Generation
	ms         float64
}

// begin starts the session that the log has permitted.
func (j *job) begin(ctx context.Context, o *rpc.Order) {
	view := viewOf(o.View)
	self := memberOf(o.View, j.w.cfg.Self)
	inner, cancel := context.WithCancelCause(j.ctx)
	s := &session{generation: j.generation, start: o.Start, cancel: cancel,
		id: allreduce.Identity{Cluster: plan.Incarnation(j.cluster), Job: j.spec.Id, View: view, Self: self}}
	s.id.Opening, s.id.Meter, s.id.Trace = &s.opening, &j.w.meter, &j.w.recorder
	j.w.counts.sessions.Add(1)
	s.obey(o)
	// The view was made with this room in mind.
	if room := j.memory.Room(plan.Sharing(view.Members, view.Members[self])); room > 0 {
		host.KeepWithin(room)
	}
	saver, err := newSaver(j, s)
	if err != nil {
		cancel(nil)
		j.fail(err)
		return
	}
	j.session, j.saver, j.phase = s, saver, rpc.Phase_PHASE_TRAINING
	j.current.Store(s)
	j.saving.Store(saver)
	fresh := j.fresh
	j.fresh = false
	j.background(ctx, func(context.Context) error {
		defer cancel(nil)
		return j.course(inner, s, saver, fresh)
	}, func(err error) { j.ended(ctx, s, err) })
}

// course is the whole session: catch up with the state that the view starts from, join the ring, train.
func (j *job) course(ctx context.Context, s *session, saver *saver, fresh bool) error {
	arc := s.id.View.Members[s.id.Self].Arc
	t := j.trainer.Load()
	// Only workers that did the ring's last step know how long it stood still.
	was, last := t.Step(), t.Progress.LastStep.Load()
	defer t.Activity.Turn(trainer.Idle)
	t.Activity.Turn(trainer.Fetching)
	if err := j.catchUp(ctx, s); err != nil {
		return err
	}
	if s.start.Halt {
		s.ending = trainer.Stopped
		return nil
	}
	t.Activity.Turn(trainer.Connecting)
	ring, err := j.openRing(ctx, s, t.Gradients(arc.Len(), fresh))
	if err != nil {
		return err
	}
	s.ring.Store(&ring)
	stop := context.AfterFunc(ctx, func() { ring.Close() })
	defer func() {
		stop()
		if !ring.Close() {
			j.abandoned.Store(true)
		}
	}()
	run := trainer.Run{EarlyStop: judgedFrom(s.start.EarlyStop), KeepBest: judgedFrom(s.start.KeepBest), Arc: arc, Ring: ring, Signals: &s.signals, Saver: saver, Evaluated: int(s.start.Epochs),
		OnEpoch: func(e trainer.EpochEnd) { j.noteEpoch(e) },
		OnFirst: func() {
			if last != 0 && was == s.start.Step {
				j.rejoin.Store(&rejoin{s.generation, float64(t.Progress.LastStep.Load()-last) / 1e6})
			}
		}}
	t.Data.Within(ctx)
	defer t.Data.Within(context.Background())
	s.ending, err = t.Train(run)
	if data, is := errors.AsType[*trainer.DataError](err); is && ctx.Err() != nil && errors.Is(data, ctx.Err()) {
		err = ctx.Err() // the session ends while it waits for a server: its data are not at fault
	}
	s.reason = t.EndReason
	if err == nil && s.ending == trainer.Complete && t.Step()%uint64(t.PerPass) != 0 {
		s.evaluation, err = t.Evaluate(ring, arc)
	}
	return err
}

// openBound is how long the neighbours may take to connect: one that must fetch the state connects late.
const openBound = catchUpTimeout + 15*time.Second

// openRing connects the session with its neighbours.
func (j *job) openRing(ctx context.Context, s *session, seats [][]float32) (Ring, error) {
	bounded, cancel := context.WithTimeout(ctx, openBound)
	defer cancel()
	began := time.Now()
	s.connecting.Store(&began)
	defer s.connecting.Store(nil)
	ring, err := j.w.links.OpenRing(bounded, s.id, seats, j.trainer.Load().Buckets)
	var lost *allreduce.PeerLostError
	if err != nil && errors.As(context.Cause(ctx), &lost) {
		return nil, lost
	}
	return ring, err
}

// obey passes on what the order asks of the step loop.
func (s *session) obey(o *rpc.Order) {
	if o.Stop {
		s.signals.Stop.Store(true)
	}
	s.signals.SaveFrom.Store(o.SaveFrom)
}

// standsSince is since when the session has been waiting for a neighbour; zero: it is not waiting.
func (s *session) standsSince() time.Time {
	if at := s.connecting.Load(); at != nil {
		return *at
	}
	if r := s.ring.Load(); r != nil {
		if wait, ok := (*r).WaitingFor(); ok {
			return wait.Since
		}
	}
	return time.Time{}
}

// lose ends the session because a neighbour cannot be reached.
func (s *session) lose(neighbour plan.Member, cause error) {
	if r := s.ring.Load(); r != nil {
		(*r).Lose(neighbour, cause)
		return
	}
	s.cancel(&allreduce.PeerLostError{Member: neighbour, Culprit: neighbour.Worker, Cause: cause})
}

// noteEpoch hands an epoch's figures to the main loop without waiting for it. Epochs queue, since they may end faster than they are
// reported: the log takes them one after another, and the job's result is reported after all of them.
func (j *job) noteEpoch(e trainer.EpochEnd) {
	fact := &rpc.EpochFact{Epoch: uint32(e.Epoch), Step: e.Step, TrainLoss: math.Float64bits(e.TrainLoss)}
	if e.Eval != nil {
		fact.HasEval, fact.EvalLoss, fact.EvalAccuracy, fact.EvalCount = true, math.Float64bits(e.Eval.Loss), math.Float64bits(e.Eval.Accuracy), e.Eval.Count
		fact.Metrics = e.Eval.Metrics
	}
	j.ends.Lock()
	j.noted = append(j.noted, fact)
	j.ends.Unlock()
	go j.w.post(j.ctx, func() {}) // so that it is reported
}

// takeEpochs adds the epochs that have ended to those that are reported.
func (j *job) takeEpochs() {
	j.ends.Lock()
	defer j.ends.Unlock()
	for _, fact := range j.noted {
		if !slices.ContainsFunc(j.epochs, func(e *rpc.EpochFact) bool { return e.Epoch == fact.Epoch }) {
			j.epochs = append(j.epochs, fact)
		}
	}
	j.noted = nil
}

// ended is called by the main loop when a session is over.
func (j *job) ended(ctx context.Context, s *session, err error) {
	j.session = nil
	j.current.Store(nil)
	j.fresh = j.fresh || j.abandoned.Swap(false)
	var bad *trainer.NotFiniteError
	var unread *trainer.DataError
	var lost *allreduce.PeerLostError
	switch {
	case errors.As(err, &bad):
		j.fail(bad)
		j.digest = nil
	case errors.As(err, &unread):
		j.fail(j.here(unread))
		j.digest = nil
	case errors.As(err, &lost):
		j.lost, j.lostReason = []uint64{uint64(lost.Member.Incarnation)}, err.Error()
		j.hold(rpc.Phase_PHASE_BROKEN)
		j.w.ways.broke(s.generation)
		j.w.counts.broken.Add(1)
		j.w.log.Warn("the ring broke", "generation", s.generation, "reason", err)
	case err != nil:
		j.lostReason = err.Error()
		j.hold(rpc.Phase_PHASE_BROKEN)
		j.w.ways.broke(s.generation)
		j.w.log.Info("the session ended", "generation", s.generation, "reason", err)
	case s.ending == trainer.Yielded:
		j.hold(rpc.Phase_PHASE_YIELDED)
	default:
		j.finish(s)
	}
}

// finish saves the last checkpoint and reports the job's result.
func (j *job) finish(s *session) {
	j.hold(rpc.Phase_PHASE_SAVING)
	t := j.trainer.Load()
	digest := checkpoint.Digest(t.State().Params)
	j.outcome = &rpc.Outcome{Generation: uint64(s.generation), Step: t.Step(), Complete: s.ending == trainer.Complete,
		Reason: s.reason, Digest: digest[:], StateDigest: j.digest, TrainLoss: math.Float64bits(t.TrainLoss())}
	if e := s.evaluation; e != nil {
		j.outcome.HasEval, j.outcome.EvalLoss, j.outcome.EvalAccuracy = true, math.Float64bits(e.Loss), math.Float64bits(e.Accuracy)
		j.outcome.Metrics = e.Metrics
	}
	j.saver.SaveLast(t)
}

func judgedFrom(j *rpc.Judged) metric.Judged {
	return metric.Judged{Epoch: int(j.GetEpoch()), Best: math.Float64frombits(j.GetBest()), Waited: int(j.GetWaited()), Stop: j.GetStop()}
}

func viewOf(v *rpc.View) plan.View {
	out := plan.View{Generation: plan.Generation(v.Generation), Seats: int(v.Seats)}
	for _, m := range v.Members {
		out.Members = append(out.Members, memberFrom(m))
	}
	return out
}

func memberFrom(m *rpc.Member) plan.Member {
	return plan.Member{Worker: m.Worker, Incarnation: plan.Incarnation(m.Incarnation), Address: m.Address, Socket: m.Socket,
		Machine: m.Machine, Host: m.Host, Arc: plan.Arc{Begin: int(m.SeatBegin), End: int(m.SeatEnd)}}
}

// catchUpTimeout bounds the transfer of a state.
const catchUpTimeout = time.Minute

// catchUp brings the trainer to the state that the view starts from, taking it from the members that hold it. The
// copy is received into separate memory and checked by its digest before it replaces this worker's state.
func (j *job) catchUp(ctx context.Context, s *session) error {
	t := j.trainer.Load()
	if t.Step() == s.start.Step && equalDigest(j.digest, s.start.StateDigest) {
		return nil
	}
	var sources []plan.Member
	for _, m := range s.start.Sources {
		if from := memberFrom(m); from.Incarnation != j.w.cfg.Self.Incarnation {
			sources = append(sources, from)
		}
	}
	if len(sources) == 0 {
		return fmt.Errorf("take the state at step %d: nobody else holds it", s.start.Step)
	}
	if reached := j.w.ways.notClosed(sources); len(reached) > 0 {
		sources = reached
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpTimeout)
	defer cancel()
	if err := j.takeState(ctx, s, sources); err != nil {
		return fmt.Errorf("take the state at step %d: %w", s.start.Step, err)
	}
	return nil
}
