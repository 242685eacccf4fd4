package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/checkpoint"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/config"
	"ringmaster/internal/plan"
	"ringmaster/internal/rpc"
)

// Bucket is a place outside the cluster that gets copies of checkpoints.
type Bucket interface {
	// Push copies a checkpoint that is whole in the store. It may be called again for one that is there.
	Push(ctx context.Context, from *checkpoint.Store, name checkpoint.Name) error
	// Held are the names of all folders there, checkpoints or what is left of them.
	Held(ctx context.Context) ([]checkpoint.Name, error)
	// Retire deletes one of them.
	Retire(ctx context.Context, name checkpoint.Name) error
}

const (
	copyInterval = 250 * time.Millisecond
	copyPause    = time.Second // after a failure; doubled with each further one
	copyPauseMax = 30 * time.Second
)

// copier makes a leader's buckets match the log, as keepCheckpoints does for its own store: it copies each committed checkpoint, the newest
// first, and deletes what no job needs any more once the newest is there. All follows from the log and from what the bucket holds, so a leader
// that dies leaves nothing to repair but what the next one finds. While a bucket does not answer nothing is lost: the copies are made later, and
// until then older ones stay.
type copier struct {
	s      *Server
	open   map[string]Bucket       // by place
	failed map[string]*copyFailure // by place
}

// copyFailure is what a bucket said last.
type copyFailure struct {
	what  *rpc.Unsaved
	pause time.Duration
	next  time.Time
}

// copies are what a job needs of its bucket.
type copies struct {
	job      plan.Incarnation
	place    string
	folders  []checkpoint.Name // of the committed checkpoints, ascending
	needless func(checkpoint.Name) bool
}

// copyCheckpoints runs while the server does.
func (s *Server) copyCheckpoints(ctx context.Context) {
	c := &copier{s: s}
	tick := time.NewTicker(copyInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if !s.log.Leading() {
			c.forget()
			continue
		}
		var wanted []copies
		s.log.Read(func(st *fsm.State) { wanted = c.wanted(st) })
		for _, w := range wanted {
			c.serve(ctx, w)
		}
		c.tell()
	}
}

// forget drops what another leader may change.
func (c *copier) forget() {
	if c.open == nil {
		return
	}
	*c = copier{s: c.s}
	c.s.copied.Clear()
	c.s.settled.Clear()
	c.tell()
}

// wanted are the jobs with a bucket, and which checkpoints it should have.
func (c *copier) wanted(st *fsm.State) []copies {
	if c.open == nil {
		c.open, c.failed = map[string]Bucket{}, map[string]*copyFailure{}
	}
	var all []copies
	for _, j := range st.Jobs {
		if place := c.s.places.of(j); place != "" {
			all = append(all, copies{job: j.Incarnation, place: place, folders: committed(j), needless: needlessCopies(j)})
		}
	}
	return all
}

// copyPlace is where a job's checkpoints are copied to.
func copyPlace(j *fsm.Job) string {
	job, err := config.Decode(j.Config)
	if err != nil {
		return ""
	}
	return job.Checkpoint.CopyTo
}

// committed are the names of a job's checkpoints, with what it was resumed from while it has none of its own.
func committed(j *fsm.Job) (names []checkpoint.Name) {
	add := func(c *fsm.Checkpoint) {
		if n, ok := checkpoint.ParseName(c.Directory); ok {
			names = append(names, n)
		}
	}
	if j.Origin != nil && len(j.Checkpoints) == 0 {
		add(j.Origin)
	}
	for i := range j.Checkpoints {
		add(&j.Checkpoints[i])
	}
	return names
}

// needlessCopies says of which folders of a bucket it is certain that the job needs them no more, once its newest checkpoint is there: its
// own older ones that the log has retired, and likewise those of the launches that it goes on from.
func needlessCopies(j *fsm.Job) func(checkpoint.Name) bool {
	named := map[string]bool{}
	own := committed(j)
	for _, n := range own {
		named[n.Folder()] = true
	}
	for _, folder := range j.Inherited() {
		named[folder] = true
	}
	earlier := slices.Clone(j.Earlier)
	runs := map[plan.Incarnation]bool{}
	var oldest checkpoint.Name
	for i, folder := range earlier {
		n, _ := checkpoint.ParseName(folder) // names were checked when they came
		if runs[n.Job] = n.Job != 0; i == 0 {
			oldest = n
		}
	}
	ended, newest := j.Phase.Ended(), j.Newest()
	return func(n checkpoint.Name) bool {
		switch {
		case named[n.Folder()] || newest == nil:
			return false
		case n.Job == j.Incarnation:
			return ended || n.Step < newest.Step || n.Step == newest.Step && n.Generation < newest.Generation
		}
		return slices.Contains(earlier, n.Folder()) || runs[n.Job] && checkpoint.CompareNames(n, oldest) < 0
	}
}

// serve makes a bucket match what a job needs of it. After a failure it waits.
func (c *copier) serve(ctx context.Context, w copies) {
	f := c.failed[w.place]
	if f != nil && time.Now().Before(f.next) {
		return
	}
	what, err := c.match(ctx, w)
	if ctx.Err() != nil {
		return
	}
	if err == nil {
		if f != nil {
			c.s.cfg.Log.Info("checkpoints are copied again", "to", w.place)
		}
		delete(c.failed, w.place)
		return
	}
	if f == nil {
		f = &copyFailure{pause: copyPause / 2}
		c.failed[w.place] = f
	}
	what.Place, what.Reason = c.s.cfg.ID, innermost(err).Error()
	if f.what == nil || f.what.Reason != what.Reason {
		c.s.cfg.Log.Warn("could not store "+what.What, "reason", err)
	}
	f.pause = min(2*f.pause, copyPauseMax)
	f.what, f.next = what, time.Now().Add(f.pause)
}

// match copies what the bucket lacks and deletes what is needless. With an error it says what that concerns.
func (c *copier) match(ctx context.Context, w copies) (*rpc.Unsaved, error) {
	newest := "" // that is whole here
	for _, n := range slices.Backward(w.folders) {
		folder, key := n.Folder(), w.place+" "+n.Folder()
		if _, whole := c.s.holds.Load(folder); !whole {
			continue // the keeper completes it
		}
		if newest == "" {
			newest = folder
		}
		if _, done := c.s.copied.Load(key); done {
			continue
		}
		began := time.Now()
		b, err := c.bucket(w.place)
		if err == nil {
			err = b.Push(ctx, c.s.store, n)
		}
		if _, whole := c.s.holds.Load(folder); err != nil && !whole {
			continue // the log has retired it meanwhile
		}
		if err != nil {
			return &rpc.Unsaved{What: fmt.Sprintf("the checkpoint at step %d in %s", n.Step, w.place), Step: n.Step}, err
		}
		c.s.copied.Store(key, true)
		c.s.cfg.Log.Info("copied a checkpoint", "checkpoint", folder, "to", w.place, "ms", time.Since(began).Milliseconds())
	}
	if len(w.folders) == 0 || newest != w.folders[len(w.folders)-1].Folder() {
		return nil, nil
	}
	if last, _ := c.s.settled.Load(w.job); last != newest {
		if err := c.sweep(ctx, w); err != nil {
			return &rpc.Unsaved{What: "checkpoints in " + w.place + " as the job keeps them"}, err
		}
		c.s.settled.Store(w.job, newest)
	}
	return nil, nil
}

// sweep deletes the folders of a bucket that the job needs no more.
func (c *copier) sweep(ctx context.Context, w copies) error {
	b, err := c.bucket(w.place)
	if err != nil {
		return err
	}
	held, err := b.Held(ctx)
	if err != nil {
		return err
	}
	for _, n := range held {
		if !w.needless(n) {
			continue
		}
		if err := b.Retire(ctx, n); err != nil {
			return err
		}
		c.s.copied.Delete(w.place + " " + n.Folder())
		c.s.cfg.Log.Info("deleted a copy of a checkpoint that no job needs any more", "checkpoint", n.Folder(), "from", w.place)
	}
	return nil
}

func (c *copier) bucket(place string) (Bucket, error) {
	if b := c.open[place]; b != nil {
		return b, nil
	}
	if c.s.cfg.OpenBucket == nil {
		return nil, errors.New("this coordinator copies no checkpoints")
	}
	b, err := c.s.cfg.OpenBucket(place)
	if err == nil {
		c.open[place] = b
	}
	return b, err
}

// tell makes what cannot be copied part of the status.
func (c *copier) tell() {
	var facts []*rpc.Unsaved
	for _, f := range c.failed {
		facts = append(facts, f.what)
	}
	c.s.unsaved.replace("copy ", facts, time.Now())
}

// innermost is the cause of an error, without the names of the files that it kept from being stored: equal troubles have equal reasons.
func innermost(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
		}
		err = inner
	}
}

// settledAt reports whether a job's newest checkpoint is copied, and nothing needless is left beside it.
func (s *Server) settledAt(j *fsm.Job) bool {
	last, _ := s.settled.Load(j.Incarnation)
	own := committed(j)
	return len(own) == 0 || last == own[len(own)-1].Folder()
}

// placesOf remembers where jobs copy their checkpoints to, for the status.
type placesOf struct{ by sync.Map }

func (p *placesOf) of(j *fsm.Job) string {
	if place, known := p.by.Load(j.Incarnation); known {
		return place.(string)
	}
	place := copyPlace(j)
	p.by.Store(j.Incarnation, place)
	return place
}
