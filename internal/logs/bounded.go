package logs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// Bounds on the lines that strangers cause: a burst first, then one line per interval.
const (
	Burst = 50
	every = time.Second
)

// Bounded is a logger for lines that strangers cause: Burst of them at once, then one a second, so that nobody can fill a
// disk from outside. A line that follows some that were left out says how many. Loggers derived from one share the bound.
func Bounded(to *slog.Logger) *slog.Logger { return bounded(to, Burst, every) }

func bounded(to *slog.Logger, burst int, every time.Duration) *slog.Logger {
	return slog.New(&boundedHandler{to.Handler(), &bucket{now: time.Now, room: burst, most: burst, every: every}})
}

// bucket counts the lines that may be written.
type bucket struct {
	now   func() time.Time
	most  int
	every time.Duration

	mu     sync.Mutex
	room   int
	filled time.Time // when room was last added to
	left   int       // lines left out since the last one written
}

// take reports whether a line may be written now, and how many were left out before it.
func (b *bucket) take() (write bool, left int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	if b.room == b.most {
		b.filled = now
	} else if n := int(now.Sub(b.filled) / b.every); n > 0 {
		b.room = min(b.most, b.room+n)
		b.filled = b.filled.Add(time.Duration(n) * b.every)
	}
	if b.room == 0 {
		b.left++
		return false, 0
	}
	b.room--
	left, b.left = b.left, 0
	return true, left
}

type boundedHandler struct {
	slog.Handler
	bucket *bucket
}

// Handle writes a record, or leaves it out.
func (h *boundedHandler) Handle(ctx context.Context, r slog.Record) error {
	write, left := h.bucket.take()
	if !write {
		return nil
	}
	if left > 0 {
		r = r.Clone()
		r.AddAttrs(slog.Int("left_out_before", left))
	}
	return h.Handler.Handle(ctx, r)
}

// WithAttrs shares the bound.
func (h *boundedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &boundedHandler{h.Handler.WithAttrs(attrs), h.bucket}
}

// WithGroup shares the bound.
func (h *boundedHandler) WithGroup(name string) slog.Handler {
	return &boundedHandler{h.Handler.WithGroup(name), h.bucket}
}
