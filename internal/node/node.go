package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"ringmaster/internal/certs"
	"ringmaster/internal/client"
	"ringmaster/internal/config"
	"ringmaster/internal/daemon"
	"ringmaster/internal/launch"
	"ringmaster/internal/logs"
	"ringmaster/internal/sleep"
	"ringmaster/internal/slurm"
)

// Options describe a task.
type Options struct {
	Task      *slurm.Task
	Dir       string // of the run, which all tasks see
	Interface string // name or address; "": found by itself
	Threads   int    // of the worker; 0: as many as Slurm gave the task, or its share of the node's
	Warn      func(format string, args ...any)
}

const (
	gathering  = 2 * time.Minute  // until all tasks have come
	upTimeout  = time.Minute      // until the coordinators have a leader
	leaving    = 10 * time.Second // until all other tasks have left
	answering  = 5 * time.Second  // of a call
	lonely     = 2 * time.Minute  // without an answer of any coordinator a task gives up
	orphaned   = 15 * time.Second // after the job's end a task waits so long for the first one to say so
	watching   = 2 * time.Second  // between two looks at the job
	again      = 3 * time.Second  // before a daemon that failed begins again
	certDays   = 365              // a job's certificates are as old as the job
	clientName = "submitter"
)

// Node is this task.
type Node struct {
	o       Options
	meeting meeting
	here    place
	plan    plan
	crew    sync.WaitGroup
	stops   []context.CancelFunc // of the worker, then of the coordinator
	workers sync.WaitGroup
}

// New prepares a task: it finds the address at which the others reach it.
func New(ctx context.Context, o Options) (*Node, error) {
	t := o.Task
	address, err := machine().reachable(ctx, o.Interface, t.Node, t.Nodes)
	if err != nil {
		return nil, err
	}
	port, err := freePort(address)
	if err != nil {
		return nil, err
	}
	host, _ := os.Hostname() // else nameless, as one node
	dir := filepath.Join(o.Dir, "meeting", fmt.Sprintf("%s.%s.%d", t.Job, t.Step, t.Restarts))
	return &Node{o: o, meeting: meeting(dir), here: place{Node: cmp.Or(t.Node, host), Address: address.String(), Port: port}}, nil
}

// Coordinators is how many coordinators the cluster has.
func (n *Node) Coordinators() int {
	if len(n.o.Task.Nodes) >= 3 {
		return 3
	}
	return 1
}

// Start is the first task's: it waits for the others, gives them their certificates and their parts, and begins its own.
func (n *Node) Start(ctx context.Context, dir launch.Directory, number int) error {
	if err := n.meeting.publish(taskFile(n.o.Task.Rank), n.here); err != nil {
		return err
	}
	waiting, cancel := context.WithTimeout(ctx, gathering)
	defer cancel()
	places, err := n.meeting.places(waiting, n.o.Task.Tasks)
	if err != nil {
		return err
	}
	p := plan{Launch: number, Places: places, Coordinators: coordinators(places), Certs: filepath.Join(string(n.meeting), "certs"), Dir: string(dir)}
	if err := p.certify(time.Now()); err != nil {
		return err
	}
	if err := n.meeting.publish(planFile, p); err != nil {
		return err
	}
	if err := n.begin(p); err != nil {
		return err
	}
	up, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	c := client.New(n.Addresses(), n.Dial()...)
	_, err = c.Status(up, "")
	return errors.Join(err, c.Close())
}

// certify makes an authority of the job's own and the certificates of all tasks. No key leaves the folder that the tasks share.
func (p *plan) certify(now time.Time) error {
	authority, err := certs.Init(filepath.Join(p.Certs, "authority"), now)
	if err != nil {
		return err
	}
	holders := []certs.Peer{{Role: certs.Client, ID: clientName}}
	for rank := range p.Places {
		holders = append(holders, certs.Peer{Role: certs.Worker, ID: workerID(rank)})
	}
	for i := range p.Coordinators {
		holders = append(holders, certs.Peer{Role: certs.Coordinator, ID: coordinatorID(i)})
	}
	for _, h := range holders {
		if err := authority.Node(filepath.Join(p.Certs, h.ID), h, false, certDays, now); err != nil {
			return err
		}
	}
	return nil
}

func workerID(rank int) string      { return "w" + strconv.Itoa(rank+1) }
func coordinatorID(i int) string    { return "c" + strconv.Itoa(i+1) }
func (p place) coordinator() string { return net.JoinHostPort(p.Address, strconv.Itoa(p.Port)) }

// Addresses are those of the coordinators.
func (n *Node) Addresses() []string {
	var out []string
	for _, rank := range n.plan.Coordinators {
		out = append(out, n.plan.Places[rank].coordinator())
	}
	return out
}

// Dial is how they are dialled: with the certificate that the tasks share.
func (n *Node) Dial() []grpc.DialOption {
	identity, err := certs.Load(filepath.Join(n.plan.Certs, clientName), time.Now())
	if err != nil {
		return nil // the calls say that there is no certificate
	}
	return []grpc.DialOption{grpc.WithTransportCredentials(identity.Credentials(certs.Coordinator))}
}

// begin begins this task's worker, and its coordinator if it has one.
func (n *Node) begin(p plan) error {
	n.plan = p
	rank := n.o.Task.Rank
	join := strings.Join(n.Addresses(), ",")
	threads := n.threads()
	if os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(threads + 1) // one for the network
	}
	worker, err := config.LoadWorker("", flags("id", workerID(rank), "bind", net.JoinHostPort(n.here.Address, "0"), "join", join,
		"dir", n.path("workers", workerID(rank)), "threads", strconv.Itoa(threads), "certs", filepath.Join(p.Certs, workerID(rank))))
	if err != nil {
		return err
	}
	err = n.keep(&n.workers, workerID(rank), func(ctx context.Context, log *slog.Logger) error { return daemon.Worker(ctx, worker, log) })
	for i, coordinates := range p.Coordinators {
		if coordinates != rank || err != nil {
			continue
		}
		id := coordinatorID(i)
		var c *config.Coordinator
		if c, err = config.LoadCoordinator("", flags("id", id, "bind", n.here.coordinator(), "peers", n.peers(), "dir", n.path("coordinators", id),
			"raft_dir", n.path("coordinators", id, "raft-"+strconv.Itoa(p.Launch)), "certs", filepath.Join(p.Certs, id))); err == nil {
			err = n.keep(&n.crew, id, func(ctx context.Context, log *slog.Logger) error { return daemon.Coordinator(ctx, c, log) })
		}
	}
	return err
}

func (n *Node) path(names ...string) string {
	return filepath.Join(append([]string{n.plan.Dir}, names...)...)
}

// peers lists the founders as a flag does.
func (n *Node) peers() string {
	var out []string
	for i, rank := range n.plan.Coordinators {
		out = append(out, coordinatorID(i)+"="+n.plan.Places[rank].coordinator())
	}
	return strings.Join(out, ",")
}

// threads is how many the worker computes with.
func (n *Node) threads() int {
	if n.o.Threads > 0 {
		return n.o.Threads
	}
	if n.o.Task.CPUs > 0 {
		return n.o.Task.CPUs
	}
	here := 0
	for _, p := range n.plan.Places {
		if p.Node == n.here.Node {
			here++
		}
	}
	return max(1, runtime.NumCPU()/max(here, 1))
}

func flags(pairs ...string) []config.Flag {
	var out []config.Flag
	for i := 0; i < len(pairs); i += 2 {
		out = append(out, config.Flag{Name: pairs[i], Key: pairs[i], Value: pairs[i+1]})
	}
	return out
}

// keep runs a daemon until it is stopped. One that fails begins again.
func (n *Node) keep(group *sync.WaitGroup, id string, run func(ctx context.Context, log *slog.Logger) error) error {
	if err := os.MkdirAll(n.path("logs"), 0o700); err != nil {
		return fmt.Errorf("make the folder of the logs: %w", err)
	}
	file, err := os.OpenFile(n.path("logs", id+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", id, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	n.stops = append(n.stops, cancel)
	log := logs.Keeping(file, slog.LevelInfo)
	group.Go(func() {
		defer file.Close()
		for {
			err := run(ctx, log)
			if ctx.Err() != nil {
				return
			}
			n.o.Warn("%s ended: %v; it begins again (log: %s)", id, err, file.Name())
			if !sleep.For(ctx, again) {
				return
			}
		}
	})
	return nil
}

// Stop is the first task's: it tells the others that the job has ended, lets them leave, and ends its own part.
func (n *Node) Stop(done bool) error {
	err := n.meeting.publish(endFile, end{Done: done})
	n.leave()
	return err
}

// leave ends the worker, then the coordinator when the others' workers have left as well.
func (n *Node) leave() {
	if len(n.stops) > 0 {
		n.stops[0]()
		n.workers.Wait()
	}
	if err := n.meeting.publish(leftFile(n.o.Task.Rank), nil); err != nil {
		n.o.Warn("%v", err)
	}
	if len(n.stops) > 1 {
		ctx, cancel := context.WithTimeout(context.Background(), leaving)
		n.meeting.left(ctx, n.o.Task.Tasks, n.o.Task.Rank)
		cancel()
		n.stops[1]()
		n.crew.Wait()
	}
}
