package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// watched are the addresses at which a launch's processes serve their metrics, by their ids.
func (l *launched) watched() map[string]string {
	l.t.Helper()
	l.file("metrics.json")
	text, err := os.ReadFile(filepath.Join(l.dir, "metrics.json"))
	if err != nil {
		l.t.Fatal(err)
	}
	var targets []struct {
		Targets []string
		Labels  map[string]string
	}
	if err := json.Unmarshal(text, &targets); err != nil {
		l.t.Fatal(err)
	}
	all := map[string]string{}
	for _, target := range targets {
		all[target.Labels["member"]] = target.Targets[0]
	}
	return all
}

// visit reads a page; the code is 0 where nobody answers.
func visit(address string) (code int, text string) {
	client := http.Client{Timeout: 10 * time.Second}
	reply, err := client.Get("http://" + address)
	if err != nil {
		return 0, err.Error()
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		return 0, err.Error()
	}
	return reply.StatusCode, string(body)
}

// A launch's processes can be watched while they train, by Prometheus itself where it is installed; the bits stay the same.
func TestMetrics(t *testing.T) {
	want := reference(t)
	env, release := slowly(t)
	l := job{file: config(t, "quickstart.yaml"), workers: 2, env: env, args: []string{"--metrics"}}.start(t)
	l.step(3)
	at := l.watched()
	if len(at) != 3 || !strings.Contains(l.stdout.String(), "metrics: the addresses for Prometheus are in "+l.dir) {
		t.Fatalf("metrics are at %v; %s", at, l.stdout.String())
	}
	for id, address := range at {
		if code, text := visit(address + "/healthz"); code != http.StatusOK || text != "alive\n" {
			t.Errorf("%s /healthz: %d %s", id, code, text)
		}
		if code, text := visit(address + "/readyz"); code != http.StatusOK || !strings.HasPrefix(text, "ready: ") {
			t.Errorf("%s /readyz: %d %s", id, code, text)
		}
	}
	_, coordinator := visit(at["c1"] + "/metrics")
	_, worker := visit(at["w1"] + "/metrics")
	for name, text := range map[string]string{`ringmaster_job_workers{run="quickstart"} 2`: coordinator, `ringmaster_raft_leader 1`: coordinator, `ringmaster_workers_seated 2`: coordinator,
		`ringmaster_views_total{cause="start"} 1`: coordinator, `ringmaster_worker_phase{phase="training"} 1`: worker, `ringmaster_worker_seats 2`: worker, `ringmaster_worker_attached 1`: worker} {
		if !strings.Contains(text, name+"\n") {
			t.Errorf("no %s in\n%s", name, text)
		}
	}
	for _, zero := range []string{"ringmaster_worker_ring_sent_bytes_total 0\n", "ringmaster_worker_step_duration_seconds_count 0\n", "ringmaster_worker_samples_total 0\n"} {
		if strings.Contains(worker, zero) {
			t.Errorf("a worker that trains shows %s", zero)
		}
	}
	t.Run("prometheus", func(t *testing.T) { scrape(t, filepath.Join(l.dir, "metrics.json")) })
	t.Run("trace", func(t *testing.T) { traced(t, l) })
	release()
	if got := l.end(0); got.Digest != want.Digest {
		t.Errorf("digest %s, want %s", got.Digest, want.Digest)
	}
	if _, err := os.Stat(filepath.Join(l.dir, "metrics.json")); !os.IsNotExist(err) {
		t.Errorf("metrics.json stays when the processes are gone (%v)", err)
	}
}

// traced records steps of a launch that trains, and looks at what came.
func traced(t *testing.T, l *launched) {
	file := filepath.Join(t.TempDir(), "trace.json")
	code, out, complaint := run(t, t.TempDir(), "trace", "--dir", l.dir, "--steps", "4", "--out", file)
	if code != 0 || !strings.Contains(out, "4 steps of 2 workers from step ") {
		t.Fatalf("exit code %d: %s%s", code, out, complaint)
	}
	lookAtTrace(t, file, 4, "passing", "arriving", "folding", "frame")
	if code, _, complaint := run(t, t.TempDir(), "trace", "--dir", l.dir, "--steps", "0"); code != 2 || !strings.Contains(complaint, "--steps must be from 1 to") {
		t.Errorf("no steps: exit code %d, %s", code, complaint)
	}
}

// lookAtTrace looks at a trace of that many steps of two workers. exchange is what must be in it of how they exchange gradients.
func lookAtTrace(t *testing.T, file string, count int, exchange ...string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		TraceEvents []struct {
			Cat, Ph, Name string
			Ts, Dur       float64
			PID           int
			Args          struct{ Step int }
		}
		OtherData struct{ Clocks map[string]string }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	steps, kinds := map[int][]int{}, map[string]int{}
	for _, e := range d.TraceEvents {
		kinds[e.Cat]++
		if e.Cat == "step" {
			steps[e.PID] = append(steps[e.PID], e.Args.Step)
		}
		if e.Ts < 0 || e.Ts > 120e6 || e.Dur < 0 {
			t.Errorf("an event at %v us for %v us", e.Ts, e.Dur)
		}
	}
	if len(steps[1]) != count || !slices.Equal(steps[1], steps[2]) {
		t.Errorf("workers traced steps %v and %v", steps[1], steps[2])
	}
	for _, kind := range append([]string{"reading", "forward", "backward", "reduce", "waiting", "optimizer", "forward operation", "backward operation"}, exchange...) {
		if kinds[kind] < 2*count {
			t.Errorf("%d spans of %s in %d steps of 2 workers: %v", kinds[kind], kind, count, kinds)
		}
	}
	if !bytes.Contains(text, []byte(`"name":"linear 0"`)) {
		t.Error("operations have no names")
	}
	if kinds["receiving"]+kinds["sending"] == 0 || len(d.OtherData.Clocks) != 2 {
		t.Errorf("nobody waits: %v; clocks %v", kinds, d.OtherData.Clocks)
	}
}

// scrape lets a real Prometheus read the processes, evaluate the alerts, and answer what the dashboard asks.
func scrape(t *testing.T, targets string) {
	path, err := exec.LookPath("prometheus")
	if err != nil {
		t.Skip("no prometheus here (Debian: apt-get install prometheus): nothing is scraped by it")
	}
	address := freePort(t)
	dir := t.TempDir()
	file := fmt.Sprintf("global: {scrape_interval: 1s, evaluation_interval: 1s}\nrule_files: [%q]\nscrape_configs:\n  - job_name: ringmaster\n    file_sd_configs: [{files: [%q]}]\n",
		filepath.Join(repository(t), "deploy", "alerts.yml"), targets)
	if err := os.WriteFile(filepath.Join(dir, "prometheus.yml"), []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	start(t, filepath.Dir(path), dir, nil, "prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address)
	eventually(t, func() string { return lacks(address, "count(up == 1) == 3") })
	eventually(t, func() string { return lacks(address, "rate(ringmaster_worker_step_duration_seconds_count[30s]) > 0") })
	eventually(t, func() string { return lacks(address, `max(ringmaster_job_step{run="quickstart"}) > 0`) })
	eventually(t, func() string { return unevaluated(address) })
	for _, expr := range dashboardExpressions(t) {
		if _, err := query(address, expr); err != nil {
			t.Errorf("the dashboard's %s: %v", expr, err)
		}
	}
}

// eventually waits until nothing is missing.
func eventually(t *testing.T, missing func() string) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
		lack := missing()
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(lack)
		}
	}
}

// query asks Prometheus; results is how many series the answer has.
func query(address, expr string) (results int, err error) {
	code, text := visit(address + "/api/v1/query?query=" + url.QueryEscape(expr))
	var reply struct {
		Error string
		Data  struct{ Result []json.RawMessage }
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil || code != http.StatusOK {
		return 0, fmt.Errorf("%d %s %s", code, reply.Error, text)
	}
	return len(reply.Data.Result), nil
}

func lacks(address, expr string) string {
	if n, err := query(address, expr); err != nil || n == 0 {
		return fmt.Sprintf("%s has no answer (%v)", expr, err)
	}
	return ""
}

// unevaluated says which alerts Prometheus has not evaluated without an error.
func unevaluated(address string) string {
	_, text := visit(address + "/api/v1/rules")
	var reply struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, Health, LastError string }
			}
		}
	}
	if err := json.Unmarshal([]byte(text), &reply); err != nil || len(reply.Data.Groups) == 0 {
		return fmt.Sprintf("no alerts: %v %s", err, text)
	}
	for _, rule := range reply.Data.Groups[0].Rules {
		if rule.Health != "ok" {
			return fmt.Sprintf("alert %s is %s: %s", rule.Name, rule.Health, rule.LastError)
		}
	}
	return ""
}

// dashboardExpressions are what the dashboard asks, with values for its variables.
func dashboardExpressions(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(t), "deploy", "grafana-dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, strings.NewReplacer("$run", ".*", "$__rate_interval", "30s").Replace(target.Expr))
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// Daemons that cannot do their work yet live, and say why they are not ready.
func TestReadiness(t *testing.T) {
	at := map[string]string{}
	for _, name := range []string{"c1", "c2", "c3", "metrics", "worker"} {
		at[name] = freePort(t)
	}
	peers := "c1=" + at["c1"] + ",c2=" + at["c2"] + ",c3=" + at["c3"]
	start(t, programs, t.TempDir(), nil, "coordinator", "--id", "c1", "--bind", at["c1"], "--peers", peers, "--metrics", at["metrics"])
	start(t, programs, t.TempDir(), nil, "worker", "--join", at["c1"], "--metrics", at["worker"])
	says := func(address string, code int, text string) {
		t.Helper()
		eventually(t, func() string {
			if gotCode, got := visit(address); gotCode != code || !strings.HasPrefix(got, text) || strings.Count(got, "\n") != 1 {
				return fmt.Sprintf("%s: %d %q, want %d %q", address, gotCode, got, code, text)
			}
			return ""
		})
	}
	says(at["metrics"]+"/healthz", http.StatusOK, "alive")
	says(at["metrics"]+"/readyz", http.StatusServiceUnavailable, "the coordinators have no leader, as far as this one knows")
	says(at["worker"]+"/healthz", http.StatusOK, "alive")
	says(at["worker"]+"/readyz", http.StatusServiceUnavailable, "not attached to the leading coordinator: ")
	start(t, programs, t.TempDir(), nil, "coordinator", "--id", "c2", "--bind", at["c2"], "--peers", peers)
	says(at["metrics"]+"/readyz", http.StatusOK, "ready: coordinator c")
	says(at["worker"]+"/readyz", http.StatusOK, "ready: attached to the leading coordinator")
	if code, _, complaint := daemon(t, "coordinator", "--pprof", "0.0.0.0:0"); code != 2 || !strings.Contains(complaint, "pprof: 0.0.0.0:0 is beyond loopback") {
		t.Errorf("profiles for everybody: exit code %d, %s", code, complaint)
	}
	if code, _, complaint := daemon(t, "worker", "--join", at["c1"], "--metrics", at["metrics"]); code != 2 || !strings.Contains(complaint, "name another address by --metrics") {
		t.Errorf("an address that is taken: exit code %d, %s", code, complaint)
	}
}

// daemon runs a daemon that ends by itself.
func daemon(t *testing.T, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := start(t, programs, t.TempDir(), nil, name, args...)
	code = p.wait()
	return code, p.stdout.String(), p.stderr.String()
}
