package logs

import (
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

func TestBoundedLinesCannotFillADisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		to, out := capture(slog.LevelInfo)
		l := bounded(to, 3, time.Second)
		derived := l.With("id", 7)
		say := func(n int, want string) {
			t.Helper()
			out.Reset()
			for i := range n {
				if i%2 == 0 {
					l.Warn("x", "i", i)
				} else {
					derived.Warn("x", "i", i)
				}
			}
			if got := out.String(); got != want {
				t.Errorf("%d lines: %q, want %q", n, got, want)
			}
		}
		say(10, "level=WARN msg=x i=0\nlevel=WARN msg=x id=7 i=1\nlevel=WARN msg=x i=2\n")
		say(1, "")
		time.Sleep(2500 * time.Millisecond) // room for two, and half of one more
		say(5, "level=WARN msg=x i=0 left_out_before=8\nlevel=WARN msg=x id=7 i=1\n")
		time.Sleep(500 * time.Millisecond)
		say(1, "level=WARN msg=x i=0 left_out_before=3\n")
		time.Sleep(time.Hour)
		say(9, "level=WARN msg=x i=0\nlevel=WARN msg=x id=7 i=1\nlevel=WARN msg=x i=2\n")
		l.Debug("below the level")
		time.Sleep(time.Second)
		say(1, "level=WARN msg=x i=0 left_out_before=6\n")
	})
}
