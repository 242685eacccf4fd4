// Package fleet starts a cluster on machines that are reached by ssh, says how it is there, and takes it down.
//
// The person's machine connects to each host by the system's ssh, brings this program there by its content's hash, and leaves the rest to it: the agent
// (fleet/agent) makes keys, gets certificates by the same connection, and starts and stops the daemons. Everything is a level: ringmaster up compares what is
// with what should be, so it may be repeated, and interrupted anywhere.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/config"
	"ringmaster/internal/fleet/agent"
	"ringmaster/internal/printable"
	"ringmaster/internal/ssh"
)

// Options are the settings of all commands.
type Options struct {
	Hosts    *config.Hosts
	Place    Place
	Programs *Programs
	Parallel int                              // hosts at a time
	Say      func(host, text string)          // hears what is done on a host, or with host "" with the cluster
	Complain func(host string, problem error) // hears what does not work; the others go on
	Now      func() time.Time
}

// MaxParallel is how many hosts are looked after at a time unless told otherwise.
const MaxParallel = 32

// maxSaid bounds a line that a host says.
const maxSaid = 1000

// fleet is one command at work.
type fleet struct {
	Options
	record    *record
	authority *certs.Authority
	ssh       *ssh.Client
	nodes     []*node
}

// node is a host: of the file, of the record, or both.
type node struct {
	name    string
	wanted  *config.Host // nil: it is not in the file any more
	machine *machine     // nil: not reached
	program *program     // that it has, of this version; nil: not known yet
	hash    string       // of the program that is asked
	ssh     string
	dir     string
	address string

	states []agent.State
	err    error // the first; nothing more is done here then
}

// open prepares a command: the lock, the record, the authority, ssh. close must be called where it does not fail.
func open(o Options, found bool) (f *fleet, close func() error, err error) {
	owner, err := o.Place.own()
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, owner.Release())
		}
	}()
	f = &fleet{Options: o}
	if f.record, err = o.Place.load(); err != nil {
		return nil, nil, err
	}
	if f.authority, err = o.Place.authority(f.record, found, o.Now()); err != nil {
		return nil, nil, err
	}
	f.record.Authority = fmt.Sprintf("%x", f.authority.Fingerprint())
	if f.ssh, err = ssh.New(); err != nil {
		return nil, nil, err
	}
	f.list()
	return f, func() error {
		for _, n := range f.nodes {
			if n.machine != nil {
				n.machine.ssh.Close()
			}
		}
		return errors.Join(f.ssh.Close(), owner.Release())
	}, nil
}

// list puts the file's hosts first, in its order, then those that are only in the record.
func (f *fleet) list() {
	for i := range f.Hosts.Hosts {
		h := &f.Hosts.Hosts[i]
		n := &node{name: h.Name, wanted: h, ssh: h.SSH, dir: f.Hosts.Dir, address: h.Address}
		if old := f.record.Hosts[h.Name]; old != nil && n.address == "" {
			n.address = old.Address
		}
		f.nodes = append(f.nodes, n)
	}
	for _, name := range slices.Sorted(maps.Keys(f.record.Hosts)) {
		if !slices.ContainsFunc(f.nodes, func(n *node) bool { return n.name == name }) {
			old := f.record.Hosts[name]
			f.nodes = append(f.nodes, &node{name: name, ssh: old.SSH, dir: old.Dir, address: old.Address})
		}
	}
}

// each does something for the hosts that are chosen, some at a time. What fails is said at once, and nothing more is done on that host.
func (f *fleet) each(ctx context.Context, chosen func(*node) bool, do func(ctx context.Context, n *node) error) error {
	turns := make(chan struct{}, max(1, f.Parallel))
	var group sync.WaitGroup
	for _, n := range f.nodes {
		if n.err != nil || !chosen(n) {
			continue
		}
		group.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			if ctx.Err() != nil {
				return
			}
			if err := do(ctx, n); err != nil && ctx.Err() == nil {
				f.fail(n, err)
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

func (f *fleet) fail(n *node, err error) {
	n.err = errors.New(printable.Line(strings.ReplaceAll(err.Error(), "\n", "; "), maxSaid))
	f.Complain(n.name, n.err)
}

func (f *fleet) say(n *node, format string, args ...any) {
	f.Say(n.name, printable.Line(fmt.Sprintf(format, args...), maxSaid))
}

func reached(n *node) bool { return n.machine != nil }

func isWanted(n *node) bool { return n.wanted != nil }

// connect opens the connection to a host and asks what it is.
func (f *fleet) connect(ctx context.Context, n *node) error {
	c, err := f.ssh.Open(ctx, n.ssh)
	if err != nil {
		return err
	}
	m := &machine{ssh: c, dir: n.dir}
	if err := m.look(ctx); err != nil {
		c.Close()
		return err
	}
	n.machine = m
	if n.wanted != nil && n.wanted.Address == "" && m.seen.address != "" {
		n.address = m.seen.address
	}
	return nil
}

// bring makes sure that a host has this version of the program.
func (f *fleet) bring(ctx context.Context, n *node) error {
	p, err := f.Programs.of(n.machine.seen.platform)
	if err != nil {
		return err
	}
	there, err := n.machine.has(ctx, p)
	if err != nil {
		return err
	}
	if !there {
		f.say(n, "copying ringmaster for %s (%s)", n.machine.seen.platform, printable.Bytes(uint64(p.bytes)))
		if err := n.machine.put(ctx, p); err != nil {
			return err
		}
	}
	n.program, n.hash = p, p.hash
	return nil
}

// installed finds the program that a host has, to be asked about what runs there; errMissing where it has none.
func (f *fleet) installed(n *node) error {
	there := n.machine.seen.programs
	if old := f.record.Hosts[n.name]; old != nil && slices.Contains(there, old.Program) {
		n.hash = old.Program
		return nil
	}
	if p, err := f.Programs.of(n.machine.seen.platform); err == nil && slices.Contains(there, p.hash) {
		n.hash = p.hash
		return nil
	}
	if len(there) == 0 {
		return errMissing
	}
	n.hash = there[0]
	return nil
}

// ask has the agent of a host carry out a request.
func (f *fleet) ask(ctx context.Context, n *node, r agent.Request) (*agent.Result, error) {
	r.Cluster, r.Authority, r.Service = f.Hosts.Name, f.record.Authority, f.Hosts.Service
	return n.machine.call(ctx, n.hash, r, f.grant(n), func(note string) { f.say(n, "%s", note) })
}

// grant makes the certificates that a host asks for: of its own daemons alone.
func (f *fleet) grant(n *node) func(agent.Enrol) (any, error) {
	return func(e agent.Enrol) (any, error) {
		for _, d := range f.daemons(n) {
			if d.ID == e.ID && d.Role == e.Role {
				return f.authority.Grant(certs.Peer{Role: e.Role, ID: e.ID}, e.Request, f.Now())
			}
		}
		return nil, fmt.Errorf("it asks for the certificate of %s %.80q, which is not its own", e.Role, e.ID)
	}
}

// daemons are those that a host is to run.
func (f *fleet) daemons(n *node) []agent.Daemon {
	if n.wanted == nil {
		return nil
	}
	var out []agent.Daemon
	at := func(port int) (bind, advertise string) {
		all := "0.0.0.0"
		if ip := net.ParseIP(n.address); ip != nil && ip.To4() == nil {
			all = "::"
		}
		return net.JoinHostPort(all, strconv.Itoa(port)), net.JoinHostPort(n.address, strconv.Itoa(port))
	}
	if n.wanted.Coordinator {
		d := agent.Daemon{ID: n.wanted.CoordinatorID(), Role: certs.Coordinator}
		d.Bind, d.Advertise = at(n.wanted.Port)
		if d.ID != f.record.Founder || f.record.Founded {
			d.Join = f.coordinators(n)
		}
		out = append(out, d)
	}
	for i := range n.wanted.Workers {
		d := agent.Daemon{ID: n.wanted.WorkerID(i), Role: certs.Worker, Threads: n.wanted.Threads, Join: f.coordinators(nil)}
		d.Bind, d.Advertise = at(n.wanted.WorkerPort + i)
		out = append(out, d)
	}
	return out
}

// coordinators are the addresses of all but one host's, those that are to go included: they know the cluster.
func (f *fleet) coordinators(but *node) []string {
	var out []string
	for _, n := range f.nodes {
		if n == but {
			continue
		}
		if n.wanted != nil && n.wanted.Coordinator && n.address != "" {
			out = append(out, net.JoinHostPort(n.address, strconv.Itoa(n.wanted.Port)))
		} else if old := f.record.Hosts[n.name]; old != nil && old.Coordinator != "" {
			out = append(out, old.Coordinator)
		}
	}
	return out
}

// spokesman is a host whose coordinator runs, which can be asked about the cluster; nil where there is none.
func (f *fleet) spokesman() *node {
	var found *node
	for _, n := range f.nodes {
		for _, s := range n.states {
			if n.err == nil && s.Role == certs.Coordinator && s.State == agent.Running && (found == nil || !s.Unwanted) {
				if found = n; !s.Unwanted {
					return n
				}
			}
		}
	}
	return found
}
