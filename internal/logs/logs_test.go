package logs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
)

// capture is a logger of the given level that writes "LEVEL message key=value" lines.
func capture(level slog.Level) (*slog.Logger, *bytes.Buffer) {
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return slog.New(h), &out
}

func TestRaftLinesKeepTheirLevel(t *testing.T) {
	to, out := capture(LevelTrace)
	l := Raft(to).With("id", "c1").Named("net")
	l.Trace("a")
	l.Debug("b")
	l.Info("c", "term", 3)
	l.Warn("d", "peer", hclog.Fmt("%s-%d", "x", 7))
	l.Error("e")
	l.Log(hclog.Off, "never")
	want := `level=DEBUG-4 msg="raft.net: a" id=c1
level=DEBUG msg="raft.net: b" id=c1
level=INFO msg="raft.net: c" id=c1 term=3
level=WARN msg="raft.net: d" id=c1 peer=x-7
level=ERROR msg="raft.net: e" id=c1
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestRaftLoggerKnowsItsLevel(t *testing.T) {
	for level, want := range map[slog.Level]hclog.Level{LevelTrace: hclog.Trace, slog.LevelDebug: hclog.Debug,
		slog.LevelInfo: hclog.Info, slog.LevelWarn: hclog.Warn, slog.LevelError: hclog.Error, slog.LevelError + 1: hclog.Off} {
		to, _ := capture(level)
		l := Raft(to)
		if l.GetLevel() != want {
			t.Errorf("at %v: level %v, want %v", level, l.GetLevel(), want)
		}
		if l.IsInfo() != to.Enabled(context.Background(), slog.LevelInfo) {
			t.Errorf("at %v: IsInfo is %v", level, l.IsInfo())
		}
	}
}

func TestGossipLinesAreTakenApart(t *testing.T) {
	to, out := capture(slog.LevelDebug)
	l := Gossip(to)
	l.Printf("[DEBUG] memberlist: one")
	l.Printf("[INFO] memberlist: two")
	l.Printf("[WARN] memberlist: three")
	l.Printf("[ERR] memberlist: four")
	l.Printf("[ERR] five")
	l.Printf("six")
	l.Printf("")
	want := `level=DEBUG msg="gossip: one"
level=INFO msg="gossip: two"
level=WARN msg="gossip: three"
level=ERROR msg="gossip: four"
level=ERROR msg="gossip: five"
level=INFO msg="gossip: six"
`
	if out.String() != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}

func TestRepeatsAreHeldBackAndCounted(t *testing.T) {
	to, out := capture(slog.LevelDebug)
	now := time.Unix(0, 0)
	q := newQuiet()
	q.now = func() time.Time { return now }
	l := &hc{to: to, quiet: q, name: "raft"}
	for range 5 {
		l.Error("cannot reach", "peer", "c2", "error", now.String())
		l.Error("cannot reach", "peer", "c3")
		l.Debug("detail")
		now = now.Add(time.Second)
	}
	if n := strings.Count(out.String(), "cannot reach"); n != 2 {
		t.Errorf("%d lines about two peers, want 2:\n%s", n, out)
	}
	if n := strings.Count(out.String(), "detail"); n != 5 {
		t.Errorf("%d debug lines, want all 5", n)
	}
	out.Reset()
	now = now.Add(repeatAfter)
	l.Error("cannot reach", "peer", "c2")
	if !strings.Contains(out.String(), "repeated=4") {
		t.Errorf("the count of lines left out is missing: %s", out)
	}
}

func TestMemoryOfRepeatsIsBounded(t *testing.T) {
	to, _ := capture(slog.LevelInfo)
	q := newQuiet()
	for i := range 10 * maxRemembered {
		q.write(to, line{level: slog.LevelInfo, message: fmt.Sprint(i)}, nil)
		if len(q.seen) > maxRemembered {
			t.Fatalf("%d lines remembered after %d", len(q.seen), i)
		}
	}
}
