package session

import (
	"context"
	"io"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/rpc"
	"ringmaster/internal/trainer"
)

// saver stores a session's checkpoints: it copies the state at a step boundary, and in the background writes the shares
// of the worker's seats to every coordinator.
type saver struct {
	j       *job
	s       *session
	layout  *checkpoint.Layout
	shares  []checkpoint.Share // of this worker's seats
	ctx     context.Context
	end     context.CancelFunc
	busy    atomic.Bool
	staged  checkpoint.State // owned by the background work while busy
	storing sync.WaitGroup

	mu     sync.Mutex
	stored []*rpc.ShareFact // stored, not yet committed
}

func newSaver(j *job, s *session) (*saver, error) {
	t := j.trainer.Load()
	layout, err := t.Layout()
	if err != nil {
		return nil, err
	}
	ctx, end := context.WithCancel(j.ctx)
	v := &saver{j: j, s: s, layout: layout, ctx: ctx, end: end}
	arc := s.id.View.Members[s.id.Self].Arc
	for _, share := range layout.Shares() {
		if arc.Contains(share.Seat) {
			v.shares = append(v.shares, share)
		}
	}
	return v, nil
}

// close gives up what is not stored yet; it was never part of a checkpoint.
func (v *saver) close() {
	v.end()
	v.storing.Wait()
}

// Busy reports whether the copy before is still on its way to the coordinators.
func (v *saver) Busy() bool { return v.busy.Load() }

// Save copies the state and stores it in the background. It must not be called while Busy, except by the main loop at the
// end, which waits.
func (v *saver) Save(t *trainer.Trainer) {
	began := time.Now()
	v.storing.Wait()
	v.busy.Store(true)
	t.Copy(&v.staged)
	stalled := float64(time.Since(began).Microseconds()) / 1e3
	v.storing.Go(func() {
		defer v.busy.Store(false)
		v.store(t, stalled)
	})
}

func (v *saver) store(t *trainer.Trainer, stalled float64) {
	digest, state := checkpoint.Digest(v.staged.Params), checkpoint.StateDigest(&v.staged)
	v.j.paramDigest.Store((*[32]byte)(&digest))
	v.j.digestStep.Store(v.staged.Step)
	step := v.staged.Step
	for _, share := range v.shares {
		file, err := v.layout.EncodeShare(io.Discard, share.Index, &v.staged)
		if err != nil {
			v.j.w.log.Error("a checkpoint share could not be encoded", "share", share.Name, "reason", err)
			return
		}
		holders := v.spread(&rpc.FilePart{Directory: checkpoint.FolderName(step, v.s.generation), Name: file.Name,
			Bytes: uint64(file.Bytes), Sha256: file.SHA256[:]}, share.Index)
		if holders == nil {
			return // the session's time is over
		}
		fact := &rpc.ShareFact{Generation: uint64(v.s.generation), Step: step, Share: uint32(share.Index), Shares: uint32(len(v.layout.Shares())),
			File:    &rpc.StoredFile{Name: file.Name, Bytes: uint64(file.Bytes), Sha256: file.SHA256[:]},
			Holders: holders, Digest: digest[:], StateDigest: state[:], SumLoss: math.Float64bits(v.staged.Sums.Loss),
			SumCount: v.staged.Sums.Count, SumCorrect: v.staged.Sums.Correct, StalledMs: stalled,
			Epoch: uint32(t.Epoch(step)), StepInEpoch: t.StepInEpoch(step), Samples: t.Samples(step)}
		v.mu.Lock()
		v.stored = append(v.stored, fact)
		v.mu.Unlock()
		v.j.w.post(v.ctx, func() {}) // so that the new fact is reported
	}
}

const (
	putTimeout = time.Minute
	firstRetry = 50 * time.Millisecond
	lastRetry  = 2 * time.Second
)

// spread sends a file to all coordinators and returns the ids of those that hold it: at least a majority. It tries until
// so many answer, and gives up (nil) only when the session's time is over.
func (v *saver) spread(head *rpc.FilePart, share int) []string {
	retry, said := firstRetry, ""
	for {
		addresses := v.j.w.addresses()
		holders := make([]string, len(addresses))
		errs := make([]error, len(addresses))
		var sending sync.WaitGroup
		for i, address := range addresses {
			sending.Go(func() {
				ctx, cancel := context.WithTimeout(v.ctx, putTimeout)
				defer cancel()
				holders[i], errs[i] = v.j.w.links.PutFile(ctx, address, head, func(w io.Writer) error {
					return v.layout.WriteShare(w, share, &v.staged)
				})
			})
		}
		sending.Wait()
		ids, all := map[string]bool{}, []string{}
		for i, id := range holders {
			if errs[i] == nil && !ids[id] {
				ids[id] = true
				all = append(all, id)
			}
		}
		if replicas := v.j.w.replicas(); len(all) > replicas/2 {
			return all
		}
		for i, err := range errs {
			if err != nil && v.ctx.Err() == nil && err.Error() != said {
				said = err.Error()
				v.j.w.log.Warn("checkpoint share not stored yet", "file", head.Name, "coordinator", addresses[i], "reason", said)
			}
		}
		if !sleep(v.ctx, retry) {
			return nil
		}
		retry = min(2*retry, lastRetry)
	}
}

// committed forgets the facts that the log has made part of a checkpoint.
func (v *saver) committed(step uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	kept := v.stored[:0:0]
	for _, f := range v.stored {
		if f.Step > step {
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

// replicas is the number of coordinators, as the leader told.
func (w *Worker) replicas() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.known)
}
