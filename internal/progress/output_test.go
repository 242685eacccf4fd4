package progress

import (
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestOutputArrivesInOrder(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	o := NewOutput(w)
	for _, word := range []string{"a", "b", "c"} {
		if n, err := io.WriteString(o, word); n != 1 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
	}
	o.Close(time.Minute)
	w.Close()
	if text, err := io.ReadAll(r); err != nil || string(text) != "abc" {
		t.Errorf("%q, %v", text, err)
	}
	if _, err := io.WriteString(o, "late"); err != nil {
		t.Error(err)
	}
}

// Nobody waits for a reader that does not read, and what waits for it is bounded.
func TestOutputToStoppedReader(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	o := NewOutput(w)
	line := strings.Repeat("x", 1<<10)
	for range 10 * outputRoom / len(line) {
		if _, err := io.WriteString(o, line); err != nil {
			t.Fatal(err)
		}
	}
	o.Close(time.Millisecond) // returns although nothing is read
	o.mu.Lock()
	if len(o.pending) > outputRoom {
		t.Errorf("%d bytes wait", len(o.pending))
	}
	o.mu.Unlock()
	select {
	case <-o.Gone():
		t.Error("a reader that is only slow counts as gone")
	default:
	}
}

// A reader that has gone is told of, and nothing fails.
func TestOutputWithoutReader(t *testing.T) {
	signal.Ignore(syscall.SIGPIPE)
	defer signal.Reset(syscall.SIGPIPE)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	o := NewOutput(w)
	if _, err := io.WriteString(o, "a"); err != nil {
		t.Error(err)
	}
	<-o.Gone()
	if _, err := io.WriteString(o, "b"); err != nil {
		t.Error(err)
	}
	o.Close(time.Minute)
}
