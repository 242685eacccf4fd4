package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/client"
	"ringmaster/internal/tether"
)

const (
	stopGrace     = 5 * time.Second  // how long a process asked to end may take
	upTimeout     = 20 * time.Second // how long the coordinators may take to elect a leader
	startAttempts = 5                // with new ports each, when one was taken meanwhile
	fallenRoom    = 64               // for processes that ended and nobody has looked at yet
)

// Cluster is a set of coordinators and workers that run as processes on this machine, in a run's folder.
type Cluster struct {
	Dir     Directory
	Threads int  // compute threads of each worker
	Metrics bool // each process serves its metrics, at an address of its own
	// Environment returns additional environment variables for a worker's process; nil: none.
	Environment func(id string) []string

	launch   int // number of the launch in this folder
	programs struct{ coordinator, worker string }
	parent   *tether.Parent
	env      []string // of workers

	mu           sync.Mutex
	coordinators []*Child
	workers      []*Child
	addresses    map[string]string // of coordinators, by id
	watched      map[string]string // where processes serve their metrics, by id
	stopping     bool
	announced    bool        // cluster.json is written
	fallen       chan *Child // processes that ended while nobody had asked them to
}

// CoordinatorIDs are the names of n coordinators.
func CoordinatorIDs(n int) []string { return ids("c", n) }

// WorkerIDs are the names of n workers.
func WorkerIDs(n int) []string { return ids("w", n) }

func ids(prefix string, n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = prefix + strconv.Itoa(i+1)
	}
	return out
}

// FindPrograms checks that the two daemons are there, so that it is known before anything starts.
func (c *Cluster) FindPrograms() error {
	var err error
	if c.programs.coordinator, err = FindProgram("coordinator"); err != nil {
		return err
	}
	c.programs.worker, err = FindProgram("worker")
	return err
}

// Start starts the processes and waits until the coordinators have a leader. When it fails it has stopped them all.
func (c *Cluster) Start(ctx context.Context, launch, coordinators, workers int) error {
	parent, err := tether.NewParent()
	if err != nil {
		return err
	}
	c.parent, c.launch = parent, launch
	c.fallen = make(chan *Child, fallenRoom+4*(coordinators+workers))
	c.env = workerEnvironment(c.Threads)
	for attempt := 1; ; attempt++ {
		err := c.tryStart(ctx, coordinators, workers)
		if err == nil {
			return c.writeEndpoints()
		}
		c.stopAll()
		if attempt == startAttempts || !errors.Is(err, errPortTaken) {
			return errors.Join(err, parent.Close())
		}
	}
}

// workerEnvironment leaves a worker's scheduler one thread in addition to the compute threads, for the network. If the user has set
// GOMAXPROCS, that value is kept.
func workerEnvironment(threads int) []string {
	if os.Getenv("GOMAXPROCS") != "" {
		return nil
	}
	return []string{"GOMAXPROCS=" + strconv.Itoa(threads+1)}
}

// errPortTaken means that another process was quicker to take a port that had been free.
var errPortTaken = errors.New("a port was taken by another process")

func (c *Cluster) tryStart(ctx context.Context, coordinators, workers int) error {
	ports, err := freePorts(coordinators)
	if err != nil {
		return err
	}
	c.mu.Lock()
	c.stopping, c.coordinators, c.workers = false, nil, nil
	for len(c.fallen) > 0 { // of the attempt before
		<-c.fallen
	}
	c.addresses = map[string]string{}
	for i, id := range CoordinatorIDs(coordinators) {
		c.addresses[id] = "127.0.0.1:" + strconv.Itoa(ports[i])
	}
	c.mu.Unlock()
	for _, id := range CoordinatorIDs(coordinators) {
		if err := c.StartCoordinator(id); err != nil {
			return err
		}
	}
	for _, id := range WorkerIDs(workers) {
		if err := c.StartWorker(id); err != nil {
			return err
		}
	}
	return c.waitForLeader(ctx)
}

// StartCoordinator starts a coordinator, for the first time or again. It continues from the content of its folder.
func (c *Cluster) StartCoordinator(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	peers := make([]string, 0, len(c.addresses))
	for _, peer := range CoordinatorIDs(len(c.addresses)) {
		peers = append(peers, peer+"="+c.addresses[peer])
	}
	args := []string{"--id", id, "--bind", c.addresses[id], "--peers", strings.Join(peers, ","),
		"--dir", c.Dir.path("coordinators", id), "--raft-dir", c.Dir.path("coordinators", id, "raft-"+strconv.Itoa(c.launch))}
	args, err := c.watchable(id, args)
	if err != nil {
		return err
	}
	child, err := startChild(id, c.programs.coordinator, args, nil, c.Dir.path("logs", id+".log"), c.parent)
	if err != nil {
		return err
	}
	child.coordinator = true
	c.coordinators = replace(c.coordinators, child)
	go c.attend(child)
	return c.announce()
}

// StartWorker starts a worker, for the first time or again.
func (c *Cluster) StartWorker(id string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := os.MkdirAll(c.Dir.path("workers", id), 0o700); err != nil {
		return fmt.Errorf("make the folder of worker %s: %w", id, err)
	}
	join := Endpoints{Coordinators: c.addresses}.Addresses()
	args := []string{"--id", id, "--bind", "127.0.0.1:0", "--join", strings.Join(join, ","), "--dir", c.Dir.path("workers", id),
		"--threads", strconv.Itoa(c.Threads)}
	env := c.env
	if c.Environment != nil {
		env = append(slices.Clone(env), c.Environment(id)...)
	}
	args, err := c.watchable(id, args)
	if err != nil {
		return err
	}
	child, err := startChild(id, c.programs.worker, args, env, c.Dir.path("logs", id+".log"), c.parent)
	if err != nil {
		return err
	}
	c.workers = replace(c.workers, child)
	go c.attend(child)
	return c.announce()
}

// replace puts a child into the place of the one of the same name, or at the end.
func replace(children []*Child, child *Child) []*Child {
	for i, old := range children {
		if old.Name == child.Name {
			children[i] = child
			return children
		}
	}
	return append(children, child)
}

// attend reports a child that ends by itself.
func (c *Cluster) attend(child *Child) {
	<-child.Done()
	c.mu.Lock()
	asked := c.stopping || child.dismissed.Load()
	c.mu.Unlock()
	if asked {
		return
	}
	select {
	case c.fallen <- child:
	default: // nobody has listened for long; the log files tell
	}
}

// Fallen delivers each process that has ended without being asked to.
func (c *Cluster) Fallen() <-chan *Child { return c.fallen }

// Child is the process of that name, nil if there is none.
func (c *Cluster) Child(name string) *Child {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, children := range [][]*Child{c.coordinators, c.workers} {
		for _, child := range children {
			if child.Name == name {
				return child
			}
		}
	}
	return nil
}

// waitForLeader waits until a leader answers, or so much has ended that none will or nobody would work for it.
func (c *Cluster) waitForLeader(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	client := client.New(c.Addresses())
	answered := make(chan error, 1)
	go func() {
		_, err := client.Status(ctx, "")
		answered <- errors.Join(err, client.Close())
	}()
	var early []*Child
	defer func() {
		for _, child := range early { // for those who listen once the cluster is up
			c.fallen <- child
		}
	}()
	for {
		select {
		case err := <-answered:
			return err
		case child := <-c.fallen:
			if c.survives(child) {
				early = append(early, child)
				continue
			}
			cancel()
			<-answered
			err := child.Failure()
			if strings.Contains(err.Error(), "address already in use") {
				err = fmt.Errorf("%w: %w", errPortTaken, err)
			}
			return err
		}
	}
}

// survives reports whether a cluster that is coming up can do without a process that has ended: somebody killed it, and
// enough others run.
func (c *Cluster) survives(child *Child) bool {
	if child.coordinator {
		return !child.failed() && c.quorate()
	}
	return !child.failed() || c.workersAlive() > 0
}

// Addresses lists the coordinators' addresses in the order of their ids.
func (c *Cluster) Addresses() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return Endpoints{Coordinators: c.addresses}.Addresses()
}

// writeEndpoints tells other commands where the cluster is.
func (c *Cluster) writeEndpoints() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.announced = true
	return c.announce()
}

// announce rewrites cluster.json once it has been written; the caller holds the lock.
func (c *Cluster) announce() error {
	if !c.announced || c.stopping {
		return nil
	}
	endpoints := Endpoints{PID: os.Getpid(), Coordinators: c.addresses, PIDs: map[string]int{}}
	for _, children := range [][]*Child{c.coordinators, c.workers} {
		for _, child := range children {
			endpoints.PIDs[child.Name] = child.PID()
		}
	}
	return errors.Join(c.Dir.writeJSON("cluster.json", endpoints), c.writeMetrics())
}

// Stop ends all processes: workers first, so that they can take their leave.
func (c *Cluster) Stop() error {
	c.stopAll()
	return errors.Join(os.Remove(c.Dir.path("cluster.json")), c.removeMetrics(), c.parent.Close())
}

func (c *Cluster) stopAll() {
	coordinators, workers := c.stop()
	stopChildren(workers, stopGrace)
	stopChildren(coordinators, stopGrace)
}

// Kill ends all processes at once.
func (c *Cluster) Kill() {
	coordinators, workers := c.stop()
	killChildren(append(coordinators, workers...))
}

func (c *Cluster) stop() (coordinators, workers []*Child) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	return append([]*Child(nil), c.coordinators...), append([]*Child(nil), c.workers...)
}

// alive counts the children that have not ended.
func alive(children []*Child) int {
	n := 0
	for _, child := range children {
		if !child.Ended() {
			n++
		}
	}
	return n
}

// peakBytes is the largest memory that one of the workers that have ended had resident.
func (c *Cluster) peakBytes() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	peak := int64(0)
	for _, child := range c.workers {
		if child.Ended() {
			peak = max(peak, child.peakBytes())
		}
	}
	return peak
}

// DefaultWorkers is how many workers a machine runs unless told otherwise.
func DefaultWorkers(seats int) int { return min(runtime.GOMAXPROCS(0), seats) }

// DefaultThreads is the default number of compute threads of each worker.
func DefaultThreads(workers int) int { return max(1, runtime.GOMAXPROCS(0)/workers) }

// say writes a line that nothing depends on.
func say(out io.Writer, format string, args ...any) {
	_, _ = fmt.Fprintf(out, format+"\n", args...)
}
