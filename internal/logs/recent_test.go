package logs

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
)

type closed struct{}

func (closed) Write([]byte) (int, error) { return 0, errors.New("closed") }

func TestRecentLines(t *testing.T) {
	var out bytes.Buffer
	log := Keeping(&out, slog.LevelInfo)
	log.Debug("below the level")
	log.With("a", 1).WithGroup("g").Warn("two\nlines", "b", 2)
	r := RecentOf(log.With("c", 3))
	first := r.Since(0, 0, 0)
	if first.Life == 0 || first.Last != 1 || len(first.Lines) != 1 || first.Lines[0]+"\n" != out.String() || !strings.Contains(first.Lines[0], `msg="two\nlines" a=1 g.b=2`) {
		t.Fatalf("%+v, written: %q", first, out.String())
	}
	if next := r.Since(first.Life, first.Last, 0); len(next.Lines) != 0 || next.Missed != 0 || next.Last != 1 {
		t.Errorf("nothing is new: %+v", next)
	}
	for i := range maxLines + 5 {
		log.Info(fmt.Sprint(i))
	}
	all := r.Since(first.Life, first.Last, 0)
	if len(all.Lines) != maxLines || all.Missed != 5 || all.Last != maxLines+6 || !strings.HasSuffix(all.Lines[maxLines-1], fmt.Sprintf("msg=%d", maxLines+4)) {
		t.Errorf("%d lines, %d missed, last %d", len(all.Lines), all.Missed, all.Last)
	}
	if tail := r.Since(0, 0, 2); !slices.Equal(tail.Lines, all.Lines[maxLines-2:]) || tail.Missed != 0 {
		t.Errorf("tail: %+v", tail)
	}
	if other := r.Since(first.Life+2, 3, 0); len(other.Lines) != maxLines {
		t.Errorf("a reader of another life gets %d lines", len(other.Lines))
	}
	if beyond := r.Since(first.Life, 1<<40, 0); len(beyond.Lines) != maxLines {
		t.Errorf("a reader that knows lines that never were gets %d", len(beyond.Lines))
	}
}

// What is kept is bounded, whoever writes; and it is kept although nobody reads the log itself.
func TestRecentLinesAreBounded(t *testing.T) {
	log := Keeping(closed{}, slog.LevelInfo)
	for range 500 {
		log.Info(strings.Repeat("é", 10000))
	}
	r := RecentOf(log)
	sum := 0
	for _, line := range r.lines {
		sum += len(line)
	}
	if sum != r.bytes || sum > maxKept || len(r.lines) < maxKept/maxLineBytes-2 || len(r.lines[0]) > maxLineBytes+len("…") {
		t.Errorf("%d bytes in %d lines, counted %d", sum, len(r.lines), r.bytes)
	}
	if none := RecentOf(slog.New(slog.DiscardHandler)).Since(0, 0, 0); len(none.Lines) != 0 {
		t.Errorf("%+v", none)
	}
}
