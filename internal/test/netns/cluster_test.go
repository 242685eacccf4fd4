//go:build netns

package netns

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/launch"
	"ringmaster/internal/tether"
)

// patience bounds everything that should take seconds, but for whole trainings.
const patience = 30 * time.Second

// programs is the folder of the binaries under test, made once for all tests; parent ties what they start to this
// process.
var (
	programs string
	parent   *tether.Parent
)

func TestMain(m *testing.M) {
	if spec := os.Getenv(relayVariable); spec != "" {
		fmt.Fprintln(os.Stderr, relay(spec)) // it ends with its namespace
		os.Exit(1)
	}
	code, err := prepareAndRun(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func prepareAndRun(m *testing.M) (code int, err error) {
	if err := requirements(); err != nil {
		return 0, err
	}
	if err := removeNamespaces(abandoned); err != nil {
		return 0, err
	}
	if programs, err = os.MkdirTemp("", "ringmaster-netns-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(programs)
	build := exec.Command("go", "build", "-o", programs+string(filepath.Separator), "ringmaster/cmd/...")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	if parent, err = tether.NewParent(); err != nil {
		return 0, err
	}
	defer parent.Close()
	return m.Run(), nil
}

// node is one daemon.
type node struct {
	*station
	id   string
	role string // coordinator or worker
	port int
	args []string
	proc *process
}

func (n *node) address() string { return fmt.Sprintf("%s:%d", n.ip, n.port) }

// cluster is coordinators and workers on the hosts of a network.
type cluster struct {
	t     *testing.T
	net   *network
	dir   string
	certs string // the authority's folder

	coordinators []*node
	workers      []*node
}

// newCluster makes three hosts with a coordinator each; the first has two workers, the others one. Nothing runs yet.
func newCluster(t *testing.T, rate string) *cluster {
	t.Helper()
	return newClusterOn(t, newNetwork(t), rate)
}

// newClusterOn makes it on a network that is there.
func newClusterOn(t *testing.T, network *network, rate string) *cluster {
	t.Helper()
	c := &cluster{t: t, dir: t.TempDir(), net: network}
	c.certs = filepath.Join(c.dir, "certs")
	c.command("certs", "init", "--dir", c.certs)
	var peers []string
	for i, host := range []string{"h1", "h2", "h3"} {
		n := c.add(fmt.Sprintf("c%d", i+1), "coordinator", host, rate)
		c.coordinators = append(c.coordinators, n)
		peers = append(peers, n.id+"="+n.address())
	}
	for _, n := range c.coordinators {
		n.args = append(n.args, "--peers", strings.Join(peers, ","))
	}
	for i, host := range []string{"h1", "h1", "h2", "h3"} {
		c.workers = append(c.workers, c.addWorker(fmt.Sprintf("w%d", i+1), host, rate))
	}
	return c
}

func (c *cluster) addWorker(id, host, rate string) *node {
	c.t.Helper()
	return c.workerOn(c.net.add(host, rate), id, firstPort)
}

// workerOn adds a worker to a station that is there.
func (c *cluster) workerOn(at *station, id string, port int) *node {
	c.t.Helper()
	n := c.addTo(at, id, "worker", port)
	n.args = append(n.args, "--threads", "1", "--join", strings.Join(c.addresses(), ","))
	return n
}

// firstPort is the one that a station's first daemon listens on.
const firstPort = 7070

// add makes a station, a folder and a certificate for a daemon.
func (c *cluster) add(id, role, host, rate string) *node {
	c.t.Helper()
	return c.addTo(c.net.add(host, rate), id, role, firstPort)
}

// addTo makes a folder and a certificate for a daemon on a station that is there.
func (c *cluster) addTo(at *station, id, role string, port int) *node {
	c.t.Helper()
	dir := filepath.Join(c.dir, id)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		c.t.Fatal(err)
	}
	certificate := filepath.Join(c.certs, id)
	c.command("certs", "node", id, "--role", role, "--ca", c.certs, "--out", certificate)
	n := &node{station: at, id: id, role: role, port: port}
	n.args = []string{"--id", id, "--bind", n.address(), "--advertise", n.address(), "--dir", dir, "--certs", certificate}
	return n
}

// command runs a command of ringmaster that needs no network.
func (c *cluster) command(args ...string) {
	c.t.Helper()
	if out, err := exec.Command(filepath.Join(programs, "ringmaster"), args...).CombinedOutput(); err != nil {
		c.t.Fatalf("ringmaster %s: %v: %s", strings.Join(args, " "), err, out)
	}
}

// addresses are where the coordinators are asked.
func (c *cluster) addresses() []string {
	var all []string
	for _, n := range c.coordinators {
		all = append(all, n.address())
	}
	return all
}

// start starts daemons in the given order.
func (c *cluster) start(nodes ...*node) {
	c.t.Helper()
	for _, n := range nodes {
		log, err := os.OpenFile(c.logFile(n), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		if err != nil {
			c.t.Fatal(err)
		}
		n.proc = spawn(c.t, n.namespace, n.host, log, n.role, n.args...)
		log.Close()
	}
}

func (c *cluster) logFile(n *node) string { return filepath.Join(c.dir, n.id+".log") }

func (c *cluster) log(n *node) string {
	text, err := os.ReadFile(c.logFile(n))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(text)
}

// logs are the ends of all logs, for messages.
func (c *cluster) logs() string {
	var out strings.Builder
	for _, n := range slices.Concat(c.coordinators, c.workers) {
		text, _ := os.ReadFile(c.logFile(n))
		fmt.Fprintf(&out, "== %s on %s\n%s\n", n.id, n.host, text[max(0, len(text)-4000):])
	}
	return out.String()
}

// process is a program that runs in a namespace.
type process struct {
	cmd    *exec.Cmd
	stdout bytes.Buffer
	stderr bytes.Buffer
	done   chan struct{}
}

// spawn runs a program of the project in a namespace, under a host name of its own. Its stderr goes to log, or is kept
// where that is nil.
func spawn(t *testing.T, namespace, hostname string, log *os.File, program string, args ...string) *process {
	t.Helper()
	return begin(t, inNamespace(namespace, hostname, t.TempDir(), filepath.Join(programs, program), args...), log)
}

// spawnIn runs any program in a namespace and in a folder, and keeps what it prints.
func spawnIn(t *testing.T, namespace, hostname, dir, program string, args ...string) *process {
	t.Helper()
	return begin(t, inNamespace(namespace, hostname, dir, program, args...), nil)
}

func inNamespace(namespace, hostname, dir, program string, args ...string) *exec.Cmd {
	const become = `hostname "$1" && shift && exec "$@"` // all of them replace one another: the process number stays
	cmd := exec.Command("ip", append([]string{"netns", "exec", namespace, "unshare", "--uts", "--", "sh", "-c", become, "sh", hostname, program}, args...)...)
	cmd.Dir = dir
	return cmd
}

func begin(t *testing.T, cmd *exec.Cmd, log *os.File) *process {
	t.Helper()
	p := &process{cmd: cmd, done: make(chan struct{})}
	p.cmd.Stdout = &p.stdout
	p.cmd.Stderr = &p.stderr
	if log != nil {
		p.cmd.Stderr = log
	}
	tether.Bind(p.cmd, parent)
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

// ended waits until the process has ended and returns its exit code; ok is false when it has not in time.
func (p *process) ended(within time.Duration) (code int, ok bool) {
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), true
	case <-time.After(within):
		return 0, false
	}
}

// signal sends a signal to a daemon.
func (c *cluster) signal(n *node, s syscall.Signal) {
	c.t.Helper()
	if err := n.proc.cmd.Process.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// status asks the coordinators from the router's place in the network, which no partition cuts off; nil when none
// answers.
func (c *cluster) status() *launch.Status {
	c.t.Helper()
	p := spawn(c.t, c.net.router, "operator", nil, "ringmaster", "status", "--json", "--certs", c.certs, "--cluster", strings.Join(c.addresses(), ","))
	code, ok := p.ended(patience)
	if !ok {
		c.t.Fatal("ringmaster status hangs")
	}
	if code != 0 {
		return nil
	}
	var s launch.Status
	if err := json.Unmarshal(p.stdout.Bytes(), &s); err != nil {
		c.t.Fatalf("%s: %v", p.stdout.String(), err)
	}
	return &s
}

// leader waits until a coordinator leads.
func (c *cluster) leader() *node {
	c.t.Helper()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		s := c.status()
		if s == nil {
			continue
		}
		for _, found := range s.Coordinators {
			if i := slices.IndexFunc(c.coordinators, func(n *node) bool { return n.id == found.ID }); found.Leader && i >= 0 {
				return c.coordinators[i]
			}
		}
	}
	c.t.Fatalf("no coordinator leads after %v\n%s", patience, c.logs())
	return nil
}

// training is a submitted job.
type training struct {
	*process
	c       *cluster
	summary string
	samples []sample
}

// sample is what an observer saw.
type sample struct {
	at         time.Time
	answered   bool // somebody leads
	step       uint64
	generation uint64
	message    string
	apart      map[string]uint64 // the steps of the workers that have no seats
}

// submit gives the job to the cluster, to be trained by all its workers, and watches it.
func (c *cluster) submit(file string, sets ...string) *training {
	c.t.Helper()
	j := &training{c: c, summary: filepath.Join(c.t.TempDir(), "summary.json")}
	path, err := filepath.Abs(file)
	if err != nil {
		c.t.Fatal(err)
	}
	args := []string{"submit", path, "--certs", c.certs, "--cluster", strings.Join(c.addresses(), ","), "--summary", j.summary, "--progress", "plain", "--workers", fmt.Sprint(len(c.workers))}
	for _, set := range sets {
		args = append(args, "--set", set)
	}
	j.process = spawn(c.t, c.net.router, "operator", nil, "ringmaster", args...)
	return j
}

// observe notes what the status shows now.
func (j *training) observe() sample {
	s := sample{at: time.Now()}
	if status := j.c.status(); status != nil {
		s.answered = true
		s.step, s.generation, s.message, s.apart = status.Step, status.Generation, status.Message, map[string]uint64{}
		for _, w := range status.Workers {
			if w.Arc == nil {
				s.apart[w.ID] = w.Step
			}
		}
	}
	j.samples = append(j.samples, s)
	return s
}

// pause is how often the status is asked for.
const pause = 200 * time.Millisecond

// reach waits until the job has done that number of steps.
func (j *training) reach(step uint64, within time.Duration) {
	j.c.t.Helper()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(pause) {
		if j.observe().step >= step {
			return
		}
		select {
		case <-j.done:
			j.c.t.Fatalf("the submission ended before step %d\nstdout: %s\nstderr: %s\n%s", step, j.stdout.String(), j.stderr.String(), j.c.logs())
		default:
		}
	}
	j.c.t.Fatalf("the job has not come to step %d within %v\n%s", step, within, j.c.logs())
}

// watch observes for a while, or until the job has ended.
func (j *training) watch(d time.Duration) {
	j.c.t.Helper()
	for deadline := time.Now().Add(d); time.Now().Before(deadline); time.Sleep(pause) {
		select {
		case <-j.done:
			return
		default:
			j.observe()
		}
	}
}

// end observes until the job has ended and returns how it came out.
func (j *training) end(within time.Duration) *launch.Summary {
	j.c.t.Helper()
	j.watch(within)
	code, ok := j.ended(time.Second)
	if !ok || code != 0 {
		j.c.t.Fatalf("the submission ended: %v, exit code %d\nstdout: %s\nstderr: %s\n%s", ok, code, j.stdout.String(), j.stderr.String(), j.c.logs())
	}
	text, err := os.ReadFile(j.summary)
	if err != nil {
		j.c.t.Fatal(err)
	}
	var s launch.Summary
	if err := json.Unmarshal(text, &s); err != nil {
		j.c.t.Fatalf("%s: %v", text, err)
	}
	return &s
}

// still is how long ago a step was last seen to be finished.
func (j *training) still() time.Duration {
	answered := slices.DeleteFunc(slices.Clone(j.samples), func(s sample) bool { return !s.answered })
	last := answered[len(answered)-1]
	first := slices.IndexFunc(answered, func(s sample) bool { return s.step == last.step })
	return last.at.Sub(answered[first].at)
}

// jump is how many steps were done between two answers, where it was most: while nobody answered.
func (j *training) jump(begin time.Time) uint64 {
	most, step := uint64(0), uint64(0)
	for _, s := range j.samples {
		if !s.answered {
			continue
		}
		if s.at.After(begin) && s.step > step {
			most = max(most, s.step-step)
		}
		step = max(step, s.step)
	}
	return most
}

// rings names workers that went on for more than the step under way while they had no seats.
func (j *training) rings() []string {
	var second []string
	first := map[string]uint64{}
	for _, s := range j.samples {
		for id := range first {
			if _, still := s.apart[id]; !still {
				delete(first, id)
			}
		}
		for id, step := range s.apart {
			if was, known := first[id]; !known {
				first[id] = step
			} else if step > was+1 && step%saveEvery == 0 {
				first[id] = step // it has loaded a checkpoint
			} else if step > was+1 {
				second = append(second, fmt.Sprintf("worker %s has no seats and came from step %d to %d", id, was, step))
			}
		}
	}
	return second
}

// standstill is the longest time after begin in which no step was seen to be finished.
func (j *training) standstill(begin time.Time) time.Duration {
	longest, moved, step := time.Duration(0), begin, uint64(0)
	for _, s := range j.samples {
		if s.at.Before(begin) {
			step = max(step, s.step)
			continue
		}
		longest = max(longest, s.at.Sub(moved))
		if s.step > step {
			step, moved = s.step, s.at
		}
	}
	return longest
}
