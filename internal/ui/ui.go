// Package ui serves a page in the browser that shows what a cluster does and lets people act on it. It asks the coordinators as any client
// does, with the person's certificate, so the cluster itself serves no page.
package ui

import (
	"context"
	"embed"
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"ringmaster/internal/rpc"
)

//go:embed static
var static embed.FS

// Cluster is what the page asks of the coordinators. *client.Client is one; calls come from one goroutine at a time.
type Cluster interface {
	Status(ctx context.Context, job string) (*rpc.ClusterStatus, error)
	Jobs(ctx context.Context) ([]*rpc.JobLine, error)
	Change(ctx context.Context, job string, change rpc.Change, priority int) error
	Stop(ctx context.Context, job string) error
	Scale(ctx context.Context, job string, workers int) error
	Logs(ctx context.Context, request *rpc.LogsRequest) (*rpc.LogsReply, error)
	ReadFile(ctx context.Context, directory, name string, limit int) ([]byte, error)
	Close() error
}

// Config describes a page.
type Config struct {
	Dial     func() Cluster // makes a client of the cluster
	Machine  string         // the asker's, whose processes are shown with their pids
	ReadOnly bool           // nobody may change anything
	Host     string         // host:port where the page is served
	Token    string         // opens the page once
	Session  string         // the cookie's value; whoever has it may see the page
	Log      *slog.Logger
	Every    time.Duration // how often the cluster is asked; 0: four times a second
}

func (cfg Config) withDefaults() Config {
	if cfg.Every <= 0 {
		cfg.Every = 250 * time.Millisecond
	}
	return cfg
}

// Server serves one page.
type Server struct {
	cfg     Config
	watch   *watcher // of what the cluster shows by itself
	chosen  chosen
	actions chan struct{} // one action at a time
	streams chan struct{} // of events
	readers chan struct{} // of logs
	guard   guard
}

// New makes a page's server; Run must run beside it.
func New(cfg Config) *Server {
	cfg = cfg.withDefaults()
	return &Server{cfg: cfg, watch: newWatcher(cfg, ""), chosen: chosen{byJob: map[string]*watcher{}, begin: make(chan *watcher)}, actions: make(chan struct{}, 1),
		streams: make(chan struct{}, maxStreams), readers: make(chan struct{}, maxReaders), guard: newGuard(cfg)}
}

// Handler answers the browser.
func (s *Server) Handler() http.Handler {
	files, err := fs.Sub(static, "static")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /curve", s.curve)
	mux.HandleFunc("GET /log", s.log)
	mux.HandleFunc("POST /do", s.do)
	return s.guard.wrap(mux)
}
