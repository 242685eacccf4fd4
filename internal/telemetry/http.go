package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"ringmaster/internal/printable"
)

// Bounds on what those who ask may take.
const (
	maxConns    = 64       // at once
	maxScrapes  = 4        // at once
	maxHeader   = 16 << 10 // bytes
	headerTime  = 5 * time.Second
	answerTime  = 30 * time.Second // for a whole answer
	profileTime = 5 * time.Minute  // for a profile, which may be asked to last
	idleTime    = time.Minute
	checkTime   = 3 * time.Second // for a check
	maxReason   = 300             // bytes of a check's line
)

// Check says in one line why the daemon is as it should be, or by its error why it is not.
type Check func(ctx context.Context) (line string, err error)

// Handler answers /metrics, /healthz (the process lives) and /readyz (it can do its work).
func Handler(r *Registry, health, ready Check) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(r.inner, promhttp.HandlerOpts{MaxRequestsInFlight: maxScrapes, Timeout: answerTime / 2,
		EnableOpenMetrics: true}))
	mux.HandleFunc("GET /healthz", health.serve)
	mux.HandleFunc("GET /readyz", ready.serve)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		line(w, http.StatusOK, "/metrics: figures for Prometheus; /healthz: the process lives; /readyz: it can do its work")
	})
	return mux
}

func (c Check) serve(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), checkTime)
	defer cancel()
	text, err := c(ctx)
	if err != nil {
		line(w, http.StatusServiceUnavailable, err.Error())
		return
	}
	line(w, http.StatusOK, text)
}

// line answers one line of text.
func line(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	fmt.Fprintln(w, printable.Line(text, maxReason))
}

// Profiles answers Go's profiles below /debug/pprof/. They show a process's memory, so only callers that mean a loopback address are answered:
// a page in a browser could call by a name that it has pointed there.
func Profiles() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		if err != nil {
			host = r.Host
		}
		if ip := net.ParseIP(host); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			line(w, http.StatusForbidden, "profiles are for loopback addresses: ask for http://127.0.0.1:PORT/debug/pprof/")
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// Listen opens an address for Serve.
func Listen(address string) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	return &bounded{Listener: l, free: make(chan struct{}, maxConns), done: make(chan struct{})}, nil
}

// Serve answers on l until ctx ends. Profiles may take minutes; everything else has seconds.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, profiles bool, logger *slog.Logger) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: headerTime, ReadTimeout: 2 * headerTime, WriteTimeout: answerTime, IdleTimeout: idleTime,
		MaxHeaderBytes: maxHeader, ErrorLog: log.New(lastWord{logger}, "", 0), BaseContext: func(net.Listener) context.Context { return ctx }}
	if profiles {
		s.WriteTimeout = profileTime
	}
	stop := context.AfterFunc(ctx, func() { s.Close() })
	defer stop()
	if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %v: %w", l.Addr(), err)
	}
	return nil
}

// lastWord takes what the server complains of, which strangers cause: it is for those who debug.
type lastWord struct{ log *slog.Logger }

// Write logs a line.
func (w lastWord) Write(p []byte) (int, error) {
	w.log.Debug("a caller of the metrics' address", "reason", printable.Line(string(p), maxReason))
	return len(p), nil
}

// bounded is a listener that has at most maxConns connections open; the others wait in the system's queue.
type bounded struct {
	net.Listener
	free chan struct{}
	done chan struct{} // closed with the listener
	once sync.Once
}

// Accept waits until a connection is there and another may be open.
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.free <- struct{}{}:
	case <-b.done:
		return nil, net.ErrClosed
	}
	c, err := b.Listener.Accept()
	if err != nil {
		<-b.free
		return nil, err
	}
	return &counted{Conn: c, release: func() { <-b.free }}, nil
}

// Close closes the listener.
func (b *bounded) Close() error {
	b.once.Do(func() { close(b.done) })
	return b.Listener.Close()
}

// counted is a connection that makes room for another when it is closed.
type counted struct {
	net.Conn
	once    sync.Once
	release func()
}

// Close closes the connection.
func (c *counted) Close() error {
	defer c.once.Do(c.release)
	return c.Conn.Close()
}
