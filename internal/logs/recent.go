package logs

import (
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Bounds on what a process keeps of its log.
const (
	maxLines     = 2000
	maxLineBytes = 4 << 10
	maxKept      = 1 << 20 // bytes of all lines
)

// Recent keeps the newest lines of a process's log, so that people can read them from elsewhere. A nil one keeps nothing.
type Recent struct {
	life uint64 // drawn at random, so that readers notice that the process began again

	mu    sync.Mutex
	lines []string
	bytes int    // in lines
	last  uint64 // number of the last line, from 1
}

// Excerpt is a part of a log.
type Excerpt struct {
	Life   uint64 // of the process; never 0
	Last   uint64 // number of the newest line
	Missed uint64 // lines that were asked for and are not kept any more
	Lines  []string
}

// Keeping is a logger that writes text to w, and the lines that it keeps, which RecentOf finds again.
func Keeping(w io.Writer, level slog.Level) *slog.Logger {
	r := &Recent{life: rand.Uint64() | 1}
	text := func(w io.Writer) slog.Handler {
		return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level})
	}
	return slog.New(keeping{text(both{w, r}), r})
}

// RecentOf are the lines that a logger keeps; nil where it is not one of Keeping, nor derived from one.
func RecentOf(log *slog.Logger) *Recent {
	if k, ok := log.Handler().(keeping); ok {
		return k.recent
	}
	return nil
}

type keeping struct {
	slog.Handler
	recent *Recent
}

// WithAttrs keeps lines with these attributes too.
func (k keeping) WithAttrs(attrs []slog.Attr) slog.Handler {
	return keeping{k.Handler.WithAttrs(attrs), k.recent}
}

// WithGroup keeps lines of this group too.
func (k keeping) WithGroup(name string) slog.Handler {
	return keeping{k.Handler.WithGroup(name), k.recent}
}

// both writes to w, and keeps what it writes even if that fails.
type both struct {
	w      io.Writer
	recent *Recent
}

// Write takes one line, as slog's handlers do.
func (b both) Write(p []byte) (int, error) {
	b.recent.add(strings.TrimSuffix(string(p), "\n"))
	return b.w.Write(p)
}

func (r *Recent) add(line string) {
	if len(line) > maxLineBytes {
		line = strings.ToValidUTF8(line[:maxLineBytes], "") + "…"
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, line)
	r.bytes += len(line)
	r.last++
	drop := 0
	for len(r.lines)-drop > maxLines || r.bytes > maxKept {
		r.bytes -= len(r.lines[drop])
		drop++
	}
	clear(r.lines[:drop])
	r.lines = r.lines[drop:]
}

// Since are the lines after the one of that number, at most tail (0: all) of them, the newest. A reader of another life knows none.
func (r *Recent) Since(life, after uint64, tail int) Excerpt {
	if r == nil {
		return Excerpt{Life: 1}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if life != r.life || after > r.last {
		after = 0
	}
	lacks := r.last - after
	lines := r.lines[len(r.lines)-int(min(lacks, uint64(len(r.lines)))):]
	if tail > 0 && len(lines) > tail {
		lines = lines[len(lines)-tail:]
	}
	e := Excerpt{Life: r.life, Last: r.last, Lines: slices.Clone(lines)}
	if life == r.life { // who asks for the first time misses nothing
		e.Missed = lacks - uint64(len(lines))
	}
	return e
}
