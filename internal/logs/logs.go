// Package logs brings the lines of the Raft and gossip libraries into log/slog and bounds those that strangers cause. Levels are
// kept, and a line that repeats (a peer that cannot be reached is complained about several times a second) is written once in a
// while with a count of what was left out.
package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// LevelTrace is hclog's Trace, below slog's Debug.
const LevelTrace = slog.LevelDebug - 4

const (
	// repeatAfter is how long an equal line of level Info or above is held back after it was written.
	repeatAfter = 10 * time.Second
	// maxRemembered bounds the lines remembered; beyond it all are forgotten, so that at worst some are written twice.
	maxRemembered = 256
)

// quiet writes lines to a slog.Logger and holds back the repeated ones. Every logger derived from one shares its memory.
type quiet struct {
	now func() time.Time

	mu   sync.Mutex
	seen map[line]*repeats
}

// line is what makes two log lines equal: who the line is about counts, the details of it do not.
type line struct {
	level          slog.Level
	message, about string
}

type repeats struct {
	written time.Time
	left    int
}

func newQuiet() *quiet { return &quiet{now: time.Now, seen: map[line]*repeats{}} }

// allow reports whether a line is to be written now, and how many equal ones were left out before it. Lines below Info
// are always written: somebody asked for all of them.
func (q *quiet) allow(l line) (write bool, left int) {
	if l.level < slog.LevelInfo {
		return true, 0
	}
	now := q.now()
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.seen[l]
	if r == nil {
		if len(q.seen) >= maxRemembered {
			clear(q.seen)
		}
		q.seen[l] = &repeats{written: now}
		return true, 0
	}
	if now.Sub(r.written) < repeatAfter {
		r.left++
		return false, 0
	}
	left, r.left, r.written = r.left, 0, now
	return true, left
}

// write sends a line to the logger unless it repeats.
func (q *quiet) write(to *slog.Logger, l line, args []any) {
	ctx := context.Background()
	if !to.Enabled(ctx, l.level) {
		return
	}
	ok, left := q.allow(l)
	if !ok {
		return
	}
	if left > 0 {
		args = append(args[:len(args):len(args)], "repeated", left)
	}
	to.Log(ctx, l.level, l.message, args...)
}
