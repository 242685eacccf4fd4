// Package support holds what tests of several packages share: waiting for what must come, logs, and certificates.
package support

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ringmaster/internal/certs"
)

// Patience is how long a test waits for what must come; it is no measurement.
const Patience = 20 * time.Second

// Main runs a package's tests and then looks for goroutines that they left behind, as goleak does, but with more patience: memberlist
// does not wait for a probe that is under way when it is shut down, which takes up to 2 s.
func Main(m *testing.M) { goleak.VerifyTestMain(unhurried{m}) }

type unhurried struct{ *testing.M }

// Run runs the tests.
func (u unhurried) Run() int {
	code := u.M.Run()
	for end := time.Now().Add(Patience); goleak.Find() != nil && time.Now().Before(end); { // it waits itself, half a second
	}
	return code
}

// Within is a context that ends with the test, and after Patience.
func Within(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Attentive lets the processes that a test starts from now on hear SIGHUP, SIGUSR1 and SIGUSR2, though the tests themselves may have
// been started to ignore them, as by nohup: what a process ignores its children do, and the programs here leave it so.
func Attentive(t testing.TB) {
	caught := make(chan os.Signal, 1)
	signal.Notify(caught, syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2)
	t.Cleanup(func() { signal.Stop(caught) })
}

// Eventually waits until cond holds. The poll is short: conditions change on other goroutines without a signal.
func Eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for end := time.Now().Add(Patience); !cond(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("in %v never: %s", Patience, what)
		}
	}
}

// Log writes to stderr with -v. Goroutines of the libraries may log after a test's end, so it is not the test's log.
func Log(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("test", t.Name())
}

// LineLogger is a logger that hands each line's message and values to write.
func LineLogger(write func(string)) *slog.Logger { return slog.New(lineHandler(write)) }

type lineHandler func(string)

func (h lineHandler) Enabled(context.Context, slog.Level) bool { return true }
func (h lineHandler) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h lineHandler) WithGroup(string) slog.Handler            { return h }
func (h lineHandler) Handle(_ context.Context, r slog.Record) error {
	line := r.Message
	r.Attrs(func(a slog.Attr) bool {
		line += " " + a.String()
		return true
	})
	h(line)
	return nil
}

// Authority makes the certificates of a cluster of its own.
func Authority(t testing.TB) *certs.Authority {
	t.Helper()
	a, err := certs.Init(filepath.Join(t.TempDir(), "ca"), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Identity is that of a member, made by the authority; coordinators admit machines.
func Identity(t testing.TB, a *certs.Authority, role certs.Role, id string) *certs.Identity {
	t.Helper()
	dir := filepath.Join(t.TempDir(), id)
	if err := a.Node(dir, certs.Peer{Role: role, ID: id}, role == certs.Coordinator, 1, time.Now()); err != nil {
		t.Fatal(err)
	}
	i, err := certs.Load(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return i
}
