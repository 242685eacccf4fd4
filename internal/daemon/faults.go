package daemon

import (
	"context"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"ringmaster/internal/config"
	"ringmaster/internal/dataset"
	"ringmaster/internal/plan"
	"ringmaster/internal/rng"
	"ringmaster/internal/trainer"
	"ringmaster/internal/worker"
)

// Tests can inject faults into a worker that cannot be caused from outside its process without privileges: the environment
// variable config.FaultsVariable names a file, and while that is there, each of its lines is a fault. Without the variable
// a worker has no faults. They only delay; no bit of the result depends on them.
//
//	open-delay 10s     opening the data takes so much longer, as from a slow disk
//	read-delay 200ms   reading a batch does
//	hold-links         nothing that this worker writes to the next one in the ring leaves; what comes the other way passes

// faultsInterval is how often the file is looked at.
const faultsInterval = 10 * time.Millisecond

// faults are the current faults.
type faults struct {
	openDelay, readDelay atomic.Int64 // nanoseconds
	hold                 atomic.Bool
}

// watchFaults follows the file that the environment names until ctx ends; nil where it names none.
func watchFaults(ctx context.Context) *faults {
	path := os.Getenv(config.FaultsVariable)
	if path == "" {
		return nil
	}
	f := &faults{}
	look := func() {
		text, _ := os.ReadFile(path) // no file: no faults
		f.set(string(text))
	}
	look()
	go func() {
		tick := time.NewTicker(faultsInterval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				f.set("")
				return
			case <-tick.C:
				look()
			}
		}
	}()
	return f
}

// set takes the faults from a file's text. It ignores unknown lines.
func (f *faults) set(text string) {
	var opening, reading time.Duration
	hold := false
	for line := range strings.Lines(text) {
		switch name, value, _ := strings.Cut(strings.TrimSpace(line), " "); name {
		case "open-delay":
			opening, _ = time.ParseDuration(value)
		case "read-delay":
			reading, _ = time.ParseDuration(value)
		case "hold-links":
			hold = true
		}
	}
	f.openDelay.Store(int64(opening))
	f.readDelay.Store(int64(reading))
	f.hold.Store(hold)
}

// dawdle takes the time that a fault says, at most until the fault is over.
func dawdle(delay *atomic.Int64) {
	for began := time.Now(); time.Since(began) < time.Duration(delay.Load()); {
		time.Sleep(min(faultsInterval, time.Duration(delay.Load())))
	}
}

// assemble is worker.Assemble with a data set that is opened and read slowly.
func (f *faults) assemble(encoded []byte) (*trainer.Plan, error) {
	dawdle(&f.openDelay)
	p, err := worker.Assemble(encoded)
	if err != nil {
		return nil, fmt.Errorf("under faults: %w", err)
	}
	data := *p.Data
	data.Train = &slowSet{data.Train, f}
	p.Data = &data
	return p, nil
}

// slowSet is a data set on a slow disk.
type slowSet struct {
	dataset.Set
	faults *faults
}

// Read takes longer by the delay that the fault sets when it begins, at most until the fault is over.
func (s *slowSet) Read(b *dataset.Batch, indices []int32, key rng.Key) error {
	dawdle(&s.faults.readDelay)
	return s.Set.Read(b, indices, key)
}

// dialing makes connections whose writes can be held.
func (f *faults) dialing(dial func(context.Context, plan.Member) (net.Conn, error)) func(context.Context, plan.Member) (net.Conn, error) {
	return func(ctx context.Context, m plan.Member) (net.Conn, error) {
		conn, err := dial(ctx, m)
		if err != nil {
			return nil, err
		}
		return &heldConn{Conn: conn, faults: f}, nil
	}
}

// heldConn is a connection that can be blocked in one direction.
type heldConn struct {
	net.Conn
	faults *faults
	closed atomic.Bool
}

// NetConn is the connection below, for a ring that writes to its socket itself, and asks Held before.
func (c *heldConn) NetConn() net.Conn { return c.Conn }

// Held reports whether the fault holds writes back.
func (c *heldConn) Held() bool { return c.faults.hold.Load() }

// Write waits while the fault holds writes back.
func (c *heldConn) Write(p []byte) (int, error) {
	for c.Held() && !c.closed.Load() {
		time.Sleep(faultsInterval / 2)
	}
	return c.Conn.Write(p)
}

// Close ends a waiting Write.
func (c *heldConn) Close() error {
	c.closed.Store(true)
	return c.Conn.Close()
}
