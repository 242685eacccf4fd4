package daemon

import (
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/worker"
)

// emptySet is a data set that is read at once.
type emptySet struct{ dataset.Set }

func (emptySet) Read(*dataset.Batch, []int32, rng.Key) error { return nil }

func TestSlowSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &faults{}
		s := &slowSet{emptySet{}, f}
		read := func() time.Duration {
			began := time.Now()
			if err := s.Read(nil, nil, rng.Key{}); err != nil {
				t.Error(err)
			}
			return time.Since(began)
		}
		if took := read(); took != 0 {
			t.Errorf("without a fault reading takes %v", took)
		}
		f.set("read-delay 300ms\n")
		if took := read(); took != 300*time.Millisecond {
			t.Errorf("reading takes %v, want 300 ms", took)
		}
		go func() {
			time.Sleep(100 * time.Millisecond)
			f.set("")
		}()
		if took := read(); took > 120*time.Millisecond {
			t.Errorf("reading takes %v although the fault was over after 100 ms", took)
		}
	})
}

// Held writes come once the fault is over; what comes the other way passes; closing ends a write that waits.
func TestHeldConn(t *testing.T) {
	f := &faults{}
	near, far := net.Pipe()
	conn, err := f.dialing(func(context.Context, plan.Member) (net.Conn, error) { return near, nil })(t.Context(), plan.Member{})
	if err != nil {
		t.Fatal(err)
	}
	f.set("hold-links\nsomething-else 3\n")
	written := make(chan error, 1)
	go func() {
		_, err := conn.Write([]byte("a"))
		written <- err
	}()
	go far.Write([]byte("b"))
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil || b[0] != 'b' {
		t.Errorf("the other way: %q, %v", b, err)
	}
	select {
	case err := <-written:
		t.Errorf("a held write ended: %v", err)
	case <-time.After(30 * time.Millisecond):
	}
	f.set("")
	if _, err := io.ReadFull(far, b[:]); err != nil || b[0] != 'a' {
		t.Errorf("once the fault is over: %q, %v", b, err)
	}
	if err := <-written; err != nil {
		t.Error(err)
	}
	f.set("hold-links")
	go func() {
		_, err := conn.Write([]byte("a"))
		written <- err
	}()
	conn.Close()
	if err := <-written; err == nil {
		t.Error("a write on a closed connection succeeded")
	}
}

func TestWatchFaults(t *testing.T) {
	t.Setenv(config.FaultsVariable, "")
	if watchFaults(t.Context()) != nil {
		t.Error("a worker has faults that nobody asked for")
	}
	path := filepath.Join(t.TempDir(), "faults")
	t.Setenv(config.FaultsVariable, path)
	f := watchFaults(t.Context())
	await := func(delay time.Duration, hold bool) {
		t.Helper()
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
			if time.Duration(f.readDelay.Load()) == delay && f.hold.Load() == hold {
				return
			}
		}
		t.Errorf("the faults do not become a delay of %v and held links: %v", delay, hold)
	}
	if err := os.WriteFile(path, []byte("read-delay 20ms\nhold-links\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	await(20*time.Millisecond, true)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	await(0, false)
}

// A slow disk changes nothing of how images are described, which checkpoints hold.
func TestSlowImagesAreTheSame(t *testing.T) {
	job, err := config.Parse("job.yaml", []byte("seats: 1\nmodel: {kind: mlp, layers: [784, 4, 10]}\ndata: {kind: glyphs}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := worker.Assemble(job.Encode())
	if err != nil {
		t.Fatal(err)
	}
	slow, err := (&faults{}).assemble(job.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if want, got := plain.Data.Describe(), slow.Data.Describe(); !bytes.Equal(got, want) {
		t.Errorf("images are described as %s, without faults as %s", got, want)
	}
}

// A slow disk changes nothing of what is read: the windows of a text begin where they do without faults.
func TestSlowTextIsTheSame(t *testing.T) {
	file := filepath.Join(t.TempDir(), "text.txt")
	if err := os.WriteFile(file, []byte(strings.Repeat("to be or not to be, that is the question. ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	job, err := config.Parse("job.yaml", []byte("seats: 1\nmodel: {kind: gpt, depth: 1, heads: 1, width: 8}\ndata: {kind: text, dir: "+file+", context: 16}\n"), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := worker.Assemble(job.Encode())
	if err != nil {
		t.Fatal(err)
	}
	slow, err := (&faults{}).assemble(job.Encode())
	if err != nil {
		t.Fatal(err)
	}
	for epoch := range uint64(3) {
		if want, got := plain.Data.Sampler(1, epoch).At(0), slow.Data.Sampler(1, epoch).At(0); got != want {
			t.Errorf("epoch %d begins with window %d, without faults with %d", epoch, got, want)
		}
	}
}
