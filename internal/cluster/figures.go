package cluster

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"ringmaster/internal/cluster/decide"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/histogram"
	"ringmaster/internal/rpc"
)

// Causes are the causes of views, see fsm.View.
var Causes = []string{"start", "worker lost", "joined", "left", "scaled", "resumed", "rebalanced"}

// Phases are the phases of jobs, as those who watch are told them.
var Phases = []fsm.Phase{fsm.Waiting, fsm.Running, fsm.Paused, fsm.Done, fsm.Failed, fsm.Interrupted, fsm.Cancelled}

// Figures are what a coordinator tells those who watch it. What only the leader knows is empty elsewhere. Counts are of
// this process, while it led.
type Figures struct {
	Leads    bool
	Phases   map[fsm.Phase]int // jobs, those of which a line is left too
	Running  []*rpc.JobStatus  // jobs that have workers, or wait for them in their turn
	Attached int               // workers
	Seated   int

	Views       map[string]uint64 // made, by their causes
	Held, Slow  uint64            // times that a job was held up: by a worker that stood still, or by a slow one
	Committed   uint64            // checkpoints
	CommitBytes uint64
	Files       uint64 // of checkpoints, stored here
	Bytes       uint64
	Refused     uint64 // files that could not be stored
	Took        histogram.Snapshot
	Troubles    int // what this replica cannot store at present
}

// counts are what a coordinator counts for its figures.
type counts struct {
	mu                     sync.Mutex
	views                  map[string]uint64
	held, slow             atomic.Uint64
	committed, commitBytes atomic.Uint64
	files, bytes, refused  atomic.Uint64
	took                   histogram.Durations
	beat                   atomic.Pointer[time.Time] // when the main loop last came round
}

// decided counts a decision that the log has taken.
func (c *counts) decided(d decide.Decision) {
	switch {
	case d.Command.View != nil:
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.views == nil {
			c.views = map[string]uint64{}
		}
		c.views[d.Command.View.View.Cause]++
	case d.Command.Checkpoint != nil:
		c.committed.Add(1)
		c.commitBytes.Add(d.Command.Checkpoint.Bytes)
	}
}

// stored counts a file of that many bytes, written since began, or that writing it failed.
func (c *counts) stored(began time.Time, bytes uint64, err error) {
	if err != nil {
		c.refused.Add(1)
		return
	}
	c.files.Add(1)
	c.bytes.Add(bytes)
	c.took.Observe(time.Since(began))
}

// stalled counts that somebody holds a job up.
func (c *counts) stalled(by *rpc.Stall) {
	if by.Slow {
		c.slow.Add(1)
		return
	}
	c.held.Add(1)
}

// turn notes that the main loop has come round.
func (c *counts) turn() {
	now := time.Now()
	c.beat.Store(&now)
}

// Silent is for how long the main loop has not come round; false: it has not begun.
func (s *Server) Silent() (time.Duration, bool) {
	at := s.counts.beat.Load()
	if at == nil {
		return 0, false
	}
	return time.Since(*at), true
}

// Figures are the coordinator's figures at this moment.
func (s *Server) Figures() *Figures {
	now := time.Now()
	c := &s.counts
	f := &Figures{Phases: map[fsm.Phase]int{}, Held: c.held.Load(), Slow: c.slow.Load(), Committed: c.committed.Load(), CommitBytes: c.commitBytes.Load(),
		Files: c.files.Load(), Bytes: c.bytes.Load(), Refused: c.refused.Load(), Took: c.took.Snapshot(), Troubles: len(s.troubled(now))}
	c.mu.Lock()
	f.Views = maps.Clone(c.views)
	c.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leader == nil {
		return f
	}
	f.Leads = true
	seated := map[uint64]bool{}
	s.log.Read(func(st *fsm.State) {
		for i := range st.Past {
			f.Phases[st.Past[i].Phase]++
		}
		for _, j := range st.Jobs {
			f.Phases[j.Phase]++
			if j.Phase != fsm.Running && (j.Phase != fsm.Waiting || j.View == nil) {
				continue
			}
			f.Running = append(f.Running, s.describeJob(j))
			if j.View == nil {
				continue
			}
			for _, m := range j.View.Members {
				seated[uint64(m.Incarnation)] = true
			}
		}
	})
	for _, r := range s.leader.Workers(now) {
		f.Attached++
		if seated[r.Incarnation] {
			f.Seated++
		}
	}
	return f
}
