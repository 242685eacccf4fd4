package progress

import (
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"
)

// bar is a progress bar with the figures beside it; notes go above it.
type bar struct {
	container *mpb.Progress
	bar       *mpb.Bar

	mu    sync.Mutex // the library renders in a goroutine of its own
	shown Snapshot
}

func newBar(out io.Writer) *bar {
	b := &bar{container: mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh())}
	text := func(of func(Snapshot) string) decor.Decorator {
		return decor.Any(func(decor.Statistics) string {
			b.mu.Lock()
			defer b.mu.Unlock()
			return of(b.shown)
		})
	}
	b.bar = b.container.New(0, mpb.BarStyle().Rbound("]"),
		mpb.PrependDecorators(text(barLeft)),
		mpb.AppendDecorators(text(barRight)))
	return b
}

func barLeft(s Snapshot) string {
	if s.Steps == 0 {
		return strings.TrimSpace("waiting "+s.Message) + " "
	}
	return fmt.Sprintf("step %s  epoch %s ", count(s.Step, s.Steps), count(uint64(s.Epoch), uint64(s.Epochs)))
}

func barRight(s Snapshot) string {
	if s.Stall != "" {
		return " " + s.Stall // there is no room for the figures beside it, which stand still or are misleading
	}
	if s.Unsaved != "" {
		return " " + s.Unsaved
	}
	parts := s.figures()
	if left, ok := s.Remaining(); ok {
		parts = append(parts, Duration(left)+" left")
	}
	if s.Message != "" && s.Steps > 0 {
		parts = append(parts, s.Message)
	}
	return " " + strings.Join(parts, "  ")
}

func (b *bar) Update(s Snapshot) {
	b.mu.Lock()
	b.shown = s
	b.mu.Unlock()
	if s.Steps > 0 {
		b.bar.SetTotal(int64(s.Steps), false)
		b.bar.SetCurrent(int64(s.Step))
	}
}

func (b *bar) Note(line string) {
	// The library draws the bar again below what it writes; a bar that is over takes no more, which loses nothing.
	_, _ = fmt.Fprintln(b.container, line)
}

func (b *bar) Close() {
	b.bar.Abort(false)
	b.container.Wait()
}
