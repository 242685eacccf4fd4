package daemon

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"ringmaster/internal/cluster"
	"ringmaster/internal/config"
	"ringmaster/internal/rpc"
	"ringmaster/internal/telemetry"
	"ringmaster/internal/worker"
)

// family is what the tests look at.
type family struct {
	name, help string
	kind       telemetry.Kind
	labels     []string
}

func allFamilies() []family {
	var all []family
	for _, f := range coordinatorFamilies {
		all = append(all, family{f.Name, f.Help, f.Kind, f.Labels})
	}
	for _, f := range workerFamilies {
		all = append(all, family{f.Name, f.Help, f.Kind, f.Labels})
	}
	for _, f := range buildFamilies {
		all = append(all, family{f.Name, f.Help, f.Kind, f.Labels})
	}
	for _, f := range callFamilies {
		all = append(all, family{f.Name, f.Help, f.Kind, f.Labels})
	}
	return all
}

// labels are those that there may be: each has few values, bounded by the members, the jobs that run, or a list in the program.
var labels = []string{"run", "phase", "cause", "kind", "activity", "method", "code", "tier", "revision", "go_version", "contract"}

func TestFamiliesKeepTheConventions(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range allFamilies() {
		if seen[f.name] || !regexp.MustCompile(`^ringmaster_[a-z][a-z_]*[a-z]$`).MatchString(f.name) {
			t.Errorf("%s: a name twice, or not one", f.name)
		}
		seen[f.name] = true
		if counter := strings.HasSuffix(f.name, "_total"); counter != (f.kind == telemetry.Counter) {
			t.Errorf("%s: counters, and they alone, end with _total", f.name)
		}
		if f.kind == telemetry.Durations && !strings.HasSuffix(f.name, "_duration_seconds") {
			t.Errorf("%s: a histogram of durations ends with _duration_seconds", f.name)
		}
		if !strings.HasSuffix(f.help, ".") {
			t.Errorf("%s: its help is no sentence: %s", f.name, f.help)
		}
		for _, l := range f.labels {
			if !slices.Contains(labels, l) {
				t.Errorf("%s: label %s is not among those that are bounded", f.name, l)
			}
		}
	}
}

// full are figures of which every family has something to show.
func full(t *testing.T) *telemetry.Registry {
	t.Helper()
	dir := t.TempDir()
	folder := filepath.Join(dir, "checkpoints", "step-8")
	if err := os.MkdirAll(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "manifest.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openSight("", "", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	s.calls.note("/ringmaster.Coordinator/Status", nil)
	s.calls.note("/ringmaster.Coordinator/Status", errors.New("why"))
	job := &rpc.JobStatus{Job: "mnist", Step: 9, StepsTotal: 20, HasTrainLoss: true, TrainLoss: 0.5, Stalled: &rpc.Stall{SinceMs: 1500},
		Checkpoints: []*rpc.CheckpointRecord{{Step: 8, Bytes: 1 << 20, Directory: "step-8"}}}
	telemetry.Register(s.registry, coordinatorFamilies, func() *coordinatorFigures {
		return &coordinatorFigures{Figures: &cluster.Figures{Running: []*rpc.JobStatus{job}}, dir: dir}
	})
	telemetry.Register(s.registry, workerFamilies, func() *worker.Figures { return &worker.Figures{} })
	return s.registry
}

// names are the metrics that the daemons show.
func names(t *testing.T) map[string]bool {
	t.Helper()
	shown, err := full(t).Names()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]bool{}
	for _, name := range shown {
		all[name] = true
	}
	return all
}

func TestEveryFamilyHasSomethingToShow(t *testing.T) {
	shown := names(t)
	for _, f := range allFamilies() {
		if !shown[f.name] {
			t.Errorf("%s is not shown", f.name)
		}
	}
}

var metricName = regexp.MustCompile(`\b(ringmaster|process|go)_[a-z0-9_]+`)

// dashboard is what the test reads of Grafana's file.
type dashboard struct {
	Title  string
	Panels []struct {
		ID      int
		Title   string
		Type    string
		Targets []struct{ Expr string }
	}
}

func TestDashboardAndAlertsNameMetricsThatExist(t *testing.T) {
	exist := names(t)
	check := func(where, expr string) {
		found := metricName.FindAllString(expr, -1)
		if len(found) == 0 {
			t.Errorf("%s names no metric: %s", where, expr)
		}
		for _, name := range found {
			if !exist[name] {
				t.Errorf("%s: no daemon shows %s", where, name)
			}
		}
	}
	text := deployed(t, "grafana-dashboard.json")
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	ids, panels := map[int]bool{}, 0
	for _, p := range d.Panels {
		if ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: an id twice, or no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			panels++
			check("panel "+p.Title, target.Expr)
		}
	}
	if d.Title != "Ringmaster" || panels < 20 {
		t.Errorf("dashboard %q with %d expressions", d.Title, panels)
	}
	rules := regexp.MustCompile(`(?ms)^      - alert: (\w+)\n        expr: (.*?)\n        (for|labels):`).FindAllStringSubmatch(string(deployed(t, "alerts.yml")), -1)
	if len(rules) < 10 {
		t.Errorf("%d alerts were found", len(rules))
	}
	for _, rule := range rules {
		check("alert "+rule[1], rule[2])
	}
}

func deployed(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// promtool runs Prometheus' own checks.
func promtool(t *testing.T, input []byte, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("no promtool here (Debian: apt-get install prometheus): Prometheus' own checks are left out")
	}
	cmd := exec.Command(path, args...)
	cmd.Dir, cmd.Stdin = filepath.Join("..", "..", "deploy"), bytes.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "FAILED") {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolFindsNothing(t *testing.T) {
	text, err := full(t).Text()
	if err != nil {
		t.Fatal(err)
	}
	promtool(t, text, "check", "metrics")
	promtool(t, nil, "check", "rules", "alerts.yml")
	promtool(t, nil, "check", "config", "prometheus.yml")
	promtool(t, nil, "test", "rules", "alerts_test.yml")
}

func TestSightRefusesATakenAddress(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = openSight("127.0.0.1:0", l.Addr().String(), slog.New(slog.DiscardHandler))
	if !errors.As(err, new(*config.Problem)) || !strings.Contains(err.Error(), "address already in use; name another address by --pprof") {
		t.Errorf("%v, want a problem of the configuration", err)
	}
}

// Whoever ends a daemon is not told that its metrics have gone.
func TestSightEndsQuietly(t *testing.T) {
	for range 50 { // the end of the listeners and that of the servers race
		var said bytes.Buffer
		s, err := openSight("127.0.0.1:0", "127.0.0.1:0", slog.New(slog.NewTextHandler(&said, &slog.HandlerOptions{Level: slog.LevelWarn})))
		if err != nil {
			t.Fatal(err)
		}
		s.begin(t.Context())()
		if said.Len() > 0 {
			t.Fatalf("logged %s", &said)
		}
	}
}

// A daemon that starts lives, and is not ready.
func TestSightOfADaemonThatStarts(t *testing.T) {
	s := &sight{}
	if line, err := s.check(func(c *checks) telemetry.Check { return c.health }, nil)(t.Context()); err != nil || line != "starting" {
		t.Errorf("health: %q, %v", line, err)
	}
	ready := s.check(func(c *checks) telemetry.Check { return c.ready }, errors.New("starting"))
	if _, err := ready(t.Context()); err == nil {
		t.Error("a daemon that starts is ready")
	}
	s.up.Store(&checks{ready: func(context.Context) (string, error) { return "ready", nil }})
	if line, err := ready(t.Context()); err != nil || line != "ready" {
		t.Errorf("ready: %q, %v", line, err)
	}
}
