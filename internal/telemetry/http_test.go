package telemetry

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/histogram"
)

type figures struct {
	seats int
	took  histogram.Snapshot
}

var families = []Family[figures]{
	{"test_seats", "Seats.", Gauge, []string{"worker"}, func(f *figures, put Put) { put.Value(float64(f.seats), "w1") }},
	{"test_step_duration_seconds", "Steps.", Durations, nil, func(f *figures, put Put) { put.Durations(f.took) }},
}

func get(t *testing.T, h http.Handler, method, path, host string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, "http://"+host+path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func fine(context.Context) (string, error) { return "alive", nil }

func TestHandlerShowsFiguresAndChecks(t *testing.T) {
	var took histogram.Durations
	took.Observe(3 * time.Millisecond)
	took.Observe(time.Hour)
	r := NewRegistry()
	Register(r, families, func() *figures { return &figures{4, took.Snapshot()} })
	h := Handler(r, fine, func(context.Context) (string, error) { return "", errors.New("no leader\nis known") })
	code, text := get(t, h, "GET", "/metrics", "127.0.0.1:9470")
	for _, want := range []string{`test_seats{worker="w1"} 4`, `test_step_duration_seconds_bucket{le="0.0032"} 1`, `test_step_duration_seconds_bucket{le="209.7152"} 1`,
		`test_step_duration_seconds_bucket{le="+Inf"} 2`, "test_step_duration_seconds_sum 3600.003", "process_resident_memory_bytes", "go_goroutines"} {
		if code != http.StatusOK || !strings.Contains(text, want) {
			t.Errorf("/metrics: %d, and no %s", code, want)
		}
	}
	for _, c := range []struct {
		method, path string
		code         int
		text         string
	}{
		{"GET", "/healthz", http.StatusOK, "alive\n"},
		{"GET", "/readyz", http.StatusServiceUnavailable, "no leader is known\n"},
		{"GET", "/", http.StatusOK, "/metrics: figures for Prometheus; /healthz: the process lives; /readyz: it can do its work\n"},
		{"POST", "/metrics", http.StatusMethodNotAllowed, "Method Not Allowed\n"},
		{"GET", "/debug/pprof/", http.StatusNotFound, "404 page not found\n"},
	} {
		if code, text := get(t, h, c.method, c.path, "127.0.0.1:9470"); code != c.code || text != c.text {
			t.Errorf("%s %s: %d %q, want %d %q", c.method, c.path, code, text, c.code, c.text)
		}
	}
}

// A name that a page in a browser has pointed to loopback reads no profile.
func TestProfilesAreForLoopback(t *testing.T) {
	for host, want := range map[string]int{"127.0.0.1:6060": http.StatusOK, "[::1]:6060": http.StatusOK, "localhost": http.StatusOK,
		"evil.example:6060": http.StatusForbidden, "10.0.0.1:6060": http.StatusForbidden} {
		if code, text := get(t, Profiles(), "GET", "/debug/pprof/cmdline", host); code != want {
			t.Errorf("Host %s: %d %q, want %d", host, code, text, want)
		}
	}
}

func TestServeBoundsWhatIsAsked(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- Serve(ctx, l, Handler(NewRegistry(), fine, fine), false, slog.New(slog.DiscardHandler))
	}()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("a", 64<<10)+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c) // the server closes the connection
	if !strings.HasPrefix(string(answer), "HTTP/1.1 431") {
		t.Errorf("a header of 64 KiB: %.60q (%v), want 431", answer, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// More connections than may be open wait; they are served when others have gone.
func TestListenerBoundsConnections(t *testing.T) {
	l, err := Listen("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var open []net.Conn
	for range maxConns + 1 {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for range maxConns {
		c, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	accepted := make(chan error, 1)
	go func() {
		_, err := l.Accept()
		accepted <- err
	}()
	if len(l.(*bounded).free) != maxConns {
		t.Errorf("%d connections count as open, want %d", len(l.(*bounded).free), maxConns)
	}
	select {
	case err := <-accepted:
		t.Fatalf("one connection too many was accepted (%v)", err)
	default:
	}
	open[0].Close()
	open[0].Close() // closing twice makes room once
	if err := <-accepted; err != nil {
		t.Error(err)
	}
	l.Close()
	if _, err := l.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
}
