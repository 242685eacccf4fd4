package worker

import (
	"context"
	"io"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"ringmaster/internal/certs"
	"ringmaster/internal/checkpoint"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// saver stores a session's checkpoints: it copies the state at a step boundary, and in the background writes the shares
// of the worker's seats to every coordinator. A job's last checkpoint is written from the state itself.
type saver struct {
	j       *job
	s       *session
	layout  *checkpoint.Layout
	shares  []checkpoint.Share // of this worker's seats
	ctx     context.Context
	end     context.CancelFunc
	idle    chan struct{} // holds a token while no checkpoint is on its way; whoever takes the token owns staged
	staged  checkpoint.State
	last    sync.WaitGroup
	began   atomic.Pointer[time.Time] // when the copy on its way was taken; nil: there is none
	blocked atomic.Bool               // its last attempt failed
	ending  chan struct{}             // closed when the job's last copy is to come

	mu      sync.Mutex
	stored  []*rpc.ShareFact // stored, not yet committed; at first, it may be, with too few coordinators
	unsaved unsaved
}

func newSaver(j *job, s *session) (*saver, error) {
	t := j.trainer.Load()
	layout, err := t.Layout()
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(j.ctx)
	v := &saver{j: j, s: s, layout: layout, staged: j.staged, ctx: ctx, end: end, idle: make(chan struct{}, 1), ending: make(chan struct{}), unsaved: unsaved{}}
	v.idle <- struct{}{}
	arc := s.id.View.Members[s.id.Self].Arc
	for _, share := range layout.Shares() {
		if arc.Contains(share.Seat) {
			v.shares = append(v.shares, share)
		}
	}
	return v, nil
}

// close gives up what is not stored yet; it was never part of a checkpoint. The state may change again afterwards.
func (v *saver) close() {
	v.end()
	v.last.Wait()
	<-v.idle // whoever saves now would find nobody to store it
}

// saveWait is how long the step loop waits for the checkpoint before to be stored.
const saveWait = 2 * time.Second

// Stuck reports whether the copy before cannot be stored, or has been on its way for longer than anybody should wait.
func (v *saver) Stuck() bool {
	began := v.began.Load()
	return v.blocked.Load() || began != nil && time.Since(*began) > saveWait
}

// Save copies the state and stores it in the background. It waits for the copy before, but not for long: false means that
// nothing was saved.
func (v *saver) Save(t *trainer.Trainer) bool {
	patience := time.NewTimer(saveWait)
	defer patience.Stop()
	called := time.Now()
	select {
	case <-v.idle:
	case <-patience.C:
		return false
	}
	t.Copy(&v.staged)
	v.save(t, &v.staged, called, false)
	return true
}

// SaveLast is Save for a job's last checkpoint: it waits as long as it takes, in parallel to the caller. A copy before it that cannot be
// stored is given up. No step follows, so nothing is copied: the caller leaves the state alone until the saver is closed.
func (v *saver) SaveLast(t *trainer.Trainer) {
	called := time.Now()
	close(v.ending)
	v.last.Go(func() {
		select {
		case <-v.idle:
			state := t.State()
			v.save(t, &state, called, true)
		case <-v.ctx.Done():
		}
	})
}

// save stores a state that stays as it is meanwhile; the caller holds the token.
func (v *saver) save(t *trainer.Trainer, state *checkpoint.State, called time.Time, last bool) {
	began := time.Now()
	v.began.Store(&began)
	waited := began.Sub(called)
	stalled := float64(waited.Microseconds()) / 1e3
	v.j.w.counts.stalled.Observe(waited)
	go func() {
		v.store(t, state, stalled, last)
		v.began.Store(nil)
		v.blocked.Store(false)
		v.idle <- struct{}{}
	}()
}

// store brings the state's shares to the coordinators. It tries until a majority of them holds each one, and gives up only when the
// session's time is over, or the job's last checkpoint is to come.
func (v *saver) store(t *trainer.Trainer, state *checkpoint.State, stalled float64, last bool) {
	digest, all := checkpoint.Digest(state.Params), checkpoint.StateDigest(state)
	v.j.paramDigest.Store((*[32]byte)(&digest))
	v.j.digestStep.Store(state.Step)
	var facts []*rpc.ShareFact
	for _, share := range v.shares {
		file, err := v.layout.EncodeShare(io.Discard, share.Index, state)
		if err != nil {
			v.cannotEncode(share, state.Step, err)
			return
		}
		fact := v.fact(t, state, share, file)
		fact.Digest, fact.StateDigest, fact.StalledMs = digest[:], all[:], stalled
		facts = append(facts, fact)
	}
	ending := v.ending
	if last {
		ending = nil
	}
	for retry := firstRetry; ; retry = min(2*retry, lastRetry) {
		if facts = v.spread(facts, state); len(facts) == 0 {
			v.j.w.counts.stored.Observe(time.Since(*v.began.Load()))
			return
		}
		select {
		case <-ending:
			return
		case <-time.After(retry):
		case <-v.ctx.Done():
			return
		}
	}
}

// fact is what will be reported of a share.
func (v *saver) fact(t *trainer.Trainer, state *checkpoint.State, share checkpoint.Share, file checkpoint.File) *rpc.ShareFact {
	step, sums := state.Step, state.Sums
	f := &rpc.ShareFact{Generation: uint64(v.s.generation), Step: step, Share: uint32(share.Index), Shares: uint32(len(v.layout.Shares())),
		File:    &rpc.StoredFile{Name: file.Name, Bytes: uint64(file.Bytes), Sha256: file.SHA256[:]},
		SumLoss: math.Float64bits(sums.Loss), SumCount: sums.Count, SumCorrect: sums.Correct, SumWeight: math.Float64bits(sums.Weight),
		Epoch: uint32(t.Epoch(step)), StepInEpoch: t.StepInEpoch(step), Samples: t.Samples(step)}
	if share.Index == 0 {
		f.Data = t.Data.Describe()
	}
	return f
}

// cannotEncode says that this worker is at fault, which no other attempt will change.
func (v *saver) cannotEncode(share checkpoint.Share, step uint64, err error) {
	v.j.w.log.Error("a checkpoint share could not be encoded", "share", share.Name, "reason", err)
	v.mu.Lock()
	defer v.mu.Unlock()
	self := v.j.w.cfg.Self.Worker
	v.unsaved[self] = &trouble{fact: &rpc.Unsaved{Place: self, Worker: true, What: checkpointAt(step), Step: step, Reason: err.Error(),
		Blocking: true}, since: time.Now()}
}

const (
	putTimeout = time.Minute
	firstRetry = 50 * time.Millisecond
	lastRetry  = 5 * time.Second
)

// spread sends the shares to all coordinators and returns those that too few of them took.
func (v *saver) spread(facts []*rpc.ShareFact, state *checkpoint.State) (short []*rpc.ShareFact) {
	for _, f := range facts {
		folder := checkpoint.Name{Step: f.Step, Generation: v.s.generation, Job: plan.Incarnation(v.j.spec.Incarnation)}
		head := &rpc.FilePart{Directory: folder.Folder(), Name: f.File.Name, Bytes: f.File.Bytes, Sha256: f.File.Sha256}
		f = proto.CloneOf(f)
		f.Holders = v.spreadOnce(head, int(f.Share), state)
		if v.ctx.Err() != nil {
			return nil // the session's time is over
		}
		if !v.j.w.majority(f.Holders) {
			short = append(short, f)
		} else {
			v.j.w.counts.shares.Add(1)
			v.j.w.counts.bytes.Add(f.File.Bytes)
		}
		if len(f.Holders) > 0 {
			v.note(f)
		}
	}
	v.blocked.Store(len(short) > 0)
	v.mu.Lock()
	for _, t := range v.unsaved {
		t.fact.Blocking = len(short) > 0
	}
	v.mu.Unlock()
	return short
}

// note makes a share part of what is reported, in place of what was known of it.
func (v *saver) note(f *rpc.ShareFact) {
	v.mu.Lock()
	v.stored = slices.DeleteFunc(v.stored, func(old *rpc.ShareFact) bool { return old.Step == f.Step && old.Share == f.Share })
	v.stored = append(v.stored, f)
	v.mu.Unlock()
	v.j.w.post(v.ctx, func() {}) // so that it is reported
}

// lateTimeout is how much longer than a majority the other coordinators may take. Those that miss it fetch the file from
// the others.
const lateTimeout = time.Second

// spreadOnce sends a file to all coordinators at once and returns the ids of those that hold it.
func (v *saver) spreadOnce(head *rpc.FilePart, share int, state *checkpoint.State) []string {
	ctx, cancel := context.WithTimeout(v.ctx, putTimeout)
	defer cancel()
	type answer struct {
		address, id string
		err         error
	}
	addresses := v.j.w.coordinators()
	answers := make(chan answer, len(addresses))
	for _, address := range addresses {
		go func() {
			id, err := v.j.w.links.PutFile(ctx, address, head, func(w io.Writer) error {
				return v.layout.WriteShare(w, share, state)
			})
			answers <- answer{address, id, err}
		}()
	}
	var holders []string
	enough := false
	for range addresses { // all of them: nobody reads the state afterwards
		a := <-answers
		switch {
		case a.err == nil && !slices.Contains(holders, a.id):
			holders = append(holders, a.id)
			v.took(a.id)
		case a.err != nil && ctx.Err() == nil:
			v.j.w.counts.refusals.Add(1)
			v.j.w.log.Info("checkpoint share not stored", "file", head.Name, "coordinator", a.address, "reason", certs.Reason(a.err))
			v.refused(v.j.w.coordinatorAt(a.address), state.Step, a.err)
		}
		if !enough && v.j.w.majority(holders) {
			enough = true
			late := time.AfterFunc(lateTimeout, cancel)
			defer late.Stop()
		}
	}
	return holders
}

// committed forgets the facts that the log has made part of a checkpoint, and those of earlier ones. A checkpoint of the same step by an
// earlier view does not count: a job ends only with one of its last view.
func (v *saver) committed(step uint64, by plan.Generation) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.stored[:0:0]
	for _, f := range v.stored {
		if f.Step > step || f.Step == step && plan.Generation(f.Generation) > by {
			kept = append(kept, f)
		}
	}
	v.stored = kept
}

// facts are the shares that are stored and not yet committed.
func (v *saver) facts() []*rpc.ShareFact {
	v.mu.Lock()
	defer v.mu.Unlock()
	return append([]*rpc.ShareFact(nil), v.stored...)
}

// coordinatorAt is the id of the coordinator at an address, or the address where that is not known.
func (w *Worker) coordinatorAt(address string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	if id := w.ids[address]; id != "" {
		return id
	}
	return address
}

// coordinators are where those that the newest order named are.
func (w *Worker) coordinators() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.known)
}

// majority reports whether these are most of the coordinators that count.
func (w *Worker) majority(holders []string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	held := 0
	for _, id := range w.voters {
		if slices.Contains(holders, id) {
			held++
		}
	}
	return held > len(w.voters)/2
}
