package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/host"
	"ringmaster/internal/launch"
)

// programs is the folder of the binaries under test, made once for all tests.
var programs string

func TestMain(m *testing.M) {
	code, err := buildAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func buildAndRun(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "ringmaster-e2e-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	programs = dir
	if err := build(dir); err != nil {
		return 0, err
	}
	return m.Run(), nil
}

// build compiles the programs into a folder.
func build(dir string) error {
	cmd := exec.Command("go", "build", "-o", dir+string(filepath.Separator), "ringmaster/cmd/...")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// patience bounds everything that should take seconds.
const patience = 2 * time.Minute

// repository is the root of the repository.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

func config(t *testing.T, name string) string {
	return filepath.Join(repository(t), "configs", name)
}

// data is a folder of the data beside the repository; the test is skipped where it is not there.
func data(t *testing.T, name string) string {
	t.Helper()
	dir := filepath.Join(repository(t), "..", "shared", "data", name)
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("needs the data set %s in %s", name, dir)
	}
	return dir
}

// process is one run of a program.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	done   chan struct{}
}

// start runs a program of the folder bin in the folder dir.
func start(t *testing.T, bin, dir string, env []string, name string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(filepath.Join(bin, name), args...), done: make(chan struct{})}
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.done)
		_ = p.cmd.Wait() // the exit code is read from the process's state
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill() // most have ended long before
		<-p.done
	})
	return p
}

// wait returns the exit code, or 128 and the signal's number.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(patience):
		p.t.Fatalf("%v has not ended after %v\nstdout: %s\nstderr: %s", p.cmd.Args, patience, p.stdout.String(), p.stderr.String())
	}
	status := p.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Fatal(err)
	}
}

// run runs ringmaster to its end and returns exit code, stdout and stderr.
func run(t *testing.T, dir string, args ...string) (int, string, string) {
	t.Helper()
	p := start(t, programs, dir, nil, "ringmaster", args...)
	code := p.wait()
	return code, p.stdout.String(), p.stderr.String()
}

// job is a launch to come: where and how.
type job struct {
	file    string
	dir     string   // of the run; "": a new one
	workers int      // 0: 2
	args    []string // more arguments
	env     []string
	bin     string // folder of the programs; "": those under test
}

// launched is a launch under way.
type launched struct {
	*process
	dir     string
	summary string
}

func (j job) start(t *testing.T) *launched {
	t.Helper()
	if j.dir == "" {
		j.dir = filepath.Join(t.TempDir(), "run")
	}
	if j.workers == 0 {
		j.workers = 2
	}
	if j.bin == "" {
		j.bin = programs
	}
	summary := filepath.Join(t.TempDir(), "summary.json")
	args := append([]string{"launch", j.file, "--dir", j.dir, "--workers", strconv.Itoa(j.workers), "--summary", summary, "--progress", "plain"}, j.args...)
	return &launched{process: start(t, j.bin, t.TempDir(), j.env, "ringmaster", args...), dir: j.dir, summary: summary}
}

// references are runs of the quickstart that nothing disturbed, by one worker, by their arguments.
var references struct {
	sync.Mutex
	runs map[string]*launch.Summary
}

// reference is what the quickstart comes to when nothing disturbs it. Tests with the same arguments share the run; its folder is gone.
func reference(t *testing.T, args ...string) *launch.Summary {
	t.Helper()
	references.Lock()
	defer references.Unlock()
	key := strings.Join(args, " ")
	if references.runs[key] == nil {
		if references.runs == nil {
			references.runs = map[string]*launch.Summary{}
		}
		references.runs[key] = job{file: config(t, "quickstart.yaml"), workers: 1, args: args}.run(t, 0)
	}
	return references.runs[key]
}

// slowly is the environment of workers that wait before each batch, with nothing to compute, until release is called: a job of few steps
// lasts as long as a test needs.
func slowly(t *testing.T) (env []string, release func()) {
	t.Helper()
	faults := filepath.Join(t.TempDir(), "faults")
	if err := os.WriteFile(faults, []byte("read-delay 20ms\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return []string{"RINGMASTER_FAULTS=" + faults}, func() {
		if err := os.Remove(faults); err != nil {
			t.Error(err)
		}
	}
}

// run launches and expects the exit code.
func (j job) run(t *testing.T, want int) *launch.Summary {
	t.Helper()
	return j.start(t).end(want)
}

// end waits for the launch and expects the exit code.
func (l *launched) end(want int) *launch.Summary {
	l.t.Helper()
	if code := l.wait(); code != want {
		l.t.Fatalf("%v: exit code %d, want %d\nstdout: %s\nstderr: %s\n%s", l.cmd.Args, code, want, l.stdout.String(), l.stderr.String(), l.logs())
	}
	return readSummary(l.t, l.summary)
}

func readSummary(t *testing.T, path string) *launch.Summary {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var s launch.Summary
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&s); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return &s
}

// logs are the ends of the log files, for messages.
func (l *launched) logs() string {
	files, _ := filepath.Glob(filepath.Join(l.dir, "logs", "*.log"))
	var out strings.Builder
	for _, file := range files {
		text, _ := os.ReadFile(file)
		fmt.Fprintf(&out, "== %s\n%s\n", filepath.Base(file), text[max(0, len(text)-2000):])
	}
	return out.String()
}

// until asks for the launch's status, as ringmaster status does but without its process, until ok says that it is as wanted.
func (l *launched) until(ok func(s *launch.Status) bool) *launch.Status {
	l.t.Helper()
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		select {
		case <-l.done:
			l.t.Fatalf("the launch ended (%d) before its status was as wanted\nstdout: %s\nstderr: %s\n%s", l.wait(), l.stdout.String(), l.stderr.String(), l.logs())
		default:
		}
		s, err := launch.Directory(l.dir).Status(l.t.Context(), host.ID())
		if err != nil && !errors.Is(err, launch.ErrNotUp) {
			l.t.Fatal(err)
		}
		if err == nil && ok(s) {
			return s
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatalf("the status is not as wanted after %v\n%s", patience, l.logs())
	return nil
}

// statusOf is nil while the cluster is not up.
func statusOf(t *testing.T, args ...string) *launch.Status {
	t.Helper()
	code, out, errors := run(t, t.TempDir(), append([]string{"status", "--json"}, args...)...)
	if code == 3 {
		return nil
	}
	if code != 0 {
		t.Fatalf("status: exit code %d: %s", code, errors)
	}
	var s launch.Status
	if err := json.Unmarshal([]byte(out), &s); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	return &s
}

// file waits until the launch has made a file in its folder.
func (l *launched) file(name string) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if found, err := filepath.Glob(filepath.Join(l.dir, name)); err != nil || len(found) > 0 {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s has not appeared in %s", name, l.dir)
		}
	}
}

// step waits until the job has done that number of steps.
func (l *launched) step(n uint64) *launch.Status {
	l.t.Helper()
	return l.until(func(s *launch.Status) bool { return s.Step >= n })
}

// alive reports whether a process runs; zombies that nobody has waited for do not.
func alive(pid int64) bool {
	if syscall.Kill(int(pid), 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return true // no such file system here
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// kill ends a process the hard way.
func kill(pid int64) error { return syscall.Kill(int(pid), syscall.SIGKILL) }

// gone waits until a process has ended.
func gone(t *testing.T, pid int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// oneLine expects exactly one line on stderr that holds all the words.
func oneLine(t *testing.T, stderr string, words ...string) {
	t.Helper()
	if !strings.HasPrefix(stderr, "ringmaster: ") || strings.Count(stderr, "\n") != 1 || !strings.HasSuffix(stderr, "\n") {
		t.Errorf("stderr is not one line of ringmaster's: %q", stderr)
	}
	for _, word := range words {
		if !strings.Contains(stderr, word) {
			t.Errorf("stderr %q does not say %q", stderr, word)
		}
	}
}

// freePort is a port below those that the system gives to whoever asks for any, so that nobody else gets it meanwhile.
func freePort(t *testing.T) string {
	t.Helper()
	for range 1000 {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000)))
		if err == nil {
			defer l.Close()
			return l.Addr().String()
		}
	}
	t.Fatal("no port is free")
	return ""
}
