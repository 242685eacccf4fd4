package cluster

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
)

// diskFaults are what the system says when it does not store something, in words for people.
var diskFaults = []struct {
	errno syscall.Errno
	words string
}{
	{syscall.ENOSPC, "there is no space (or no inode) left on its disk"},
	{syscall.EDQUOT, "its disk quota is used up"},
	{syscall.EFBIG, "a file would be larger than the limit on file sizes (ulimit -f)"},
	{syscall.EROFS, "its file system is read-only"},
	{syscall.EACCES, "it may not write in its folder (permission denied)"},
	{syscall.EPERM, "it may not write in its folder (operation not permitted)"},
	{syscall.EIO, "its disk fails (input/output error)"},
	{syscall.ENOENT, "its folder is gone (no such file or directory)"},
	{syscall.EMFILE, "it has too many files open"},
}

// diskFault says what is wrong with a disk; false where the error is about something else.
func diskFault(err error) (string, bool) {
	for _, f := range diskFaults {
		if errors.Is(err, f.errno) {
			return f.words, true
		}
	}
	return "", false
}

// troubles are what this replica cannot store, by what it is.
type troubles struct {
	mu sync.Mutex
	by map[string]*trouble
}

type trouble struct {
	fact  *rpc.Unsaved
	since time.Time
}

// replace makes the facts those of the kind: what is not among them any more is over.
func (t *troubles) replace(kind string, facts []*rpc.Unsaved, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	was := maps.Clone(t.by)
	maps.DeleteFunc(t.by, func(key string, _ *trouble) bool { return strings.HasPrefix(key, kind) })
	for _, f := range facts {
		if t.by == nil {
			t.by = map[string]*trouble{}
		}
		key, since := kind+f.What, now
		if old := was[key]; old != nil {
			since = old.since
		}
		t.by[key] = &trouble{f, since}
	}
}

// list is what cannot be stored at present.
func (t *troubles) list(now time.Time) []*rpc.Unsaved {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*rpc.Unsaved
	for _, key := range slices.Sorted(maps.Keys(t.by)) {
		own := t.by[key]
		out = append(out, &rpc.Unsaved{Place: own.fact.Place, What: own.fact.What, Reason: own.fact.Reason, Step: own.fact.Step, Blocking: own.fact.Blocking,
			SinceMs: uint64(max(0, now.Sub(own.since).Milliseconds()))})
	}
	return out
}

// troubled is what this replica cannot store: checkpoints, and its log.
func (s *Server) troubled(now time.Time) []*rpc.Unsaved {
	out := s.unsaved.list(now)
	if since, err := s.log.Unstored(); err != nil {
		words, ok := diskFault(err)
		if !ok {
			words = err.Error()
		}
		out = append(out, &rpc.Unsaved{Place: s.cfg.ID, What: rpc.UnsavedLog, Reason: words, SinceMs: uint64(max(0, now.Sub(since).Milliseconds()))})
	}
	return out
}

// lacksNewest says of which of the jobs whose turn it is the newest checkpoint in the log is not whole here yet.
func (s *Server) lacksNewest(st *fsm.State) map[string]bool {
	lacking := map[string]bool{}
	for _, j := range st.Active() {
		if c := j.Newest(); c != nil {
			if _, whole := s.holds.Load(c.Directory); !whole {
				lacking[j.ID] = true
			}
		}
	}
	return lacking
}
