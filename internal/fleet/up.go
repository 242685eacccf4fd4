package fleet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/fleet/agent"
	"ringmaster/internal/plural"
)

// Report is how hosts are after a command.
type Report struct {
	Hosts        []HostReport        `json:"hosts"`
	Cluster      *agent.ClusterState `json:"cluster"`      // null: no coordinator answers
	Coordinators []string            `json:"coordinators"` // host:port
	Certs        string              `json:"certs"`        // folder of the client's certificate on this machine

	Changes int      `json:"-"` // daemons that were started, restarted or stopped
	Far     []string `json:"-"` // coordinators that this machine does not reach itself
}

// HostReport is how a host is.
type HostReport struct {
	Name      string        `json:"name"`
	SSH       string        `json:"ssh"`
	Address   string        `json:"address"`
	Platform  string        `json:"platform"`
	Reachable bool          `json:"reachable"`
	Error     string        `json:"error"`
	Daemons   []agent.State `json:"daemons"`
}

// Failed names the hosts on which something is not as it should be.
func (r *Report) Failed() error {
	var names []string
	for _, h := range r.Hosts {
		if h.Error != "" || slices.ContainsFunc(h.Daemons, func(s agent.State) bool { return s.Problem != "" }) {
			names = append(names, h.Name)
		}
	}
	if len(names) == 0 {
		return nil
	}
	return fmt.Errorf("%d of %s failed: %s", len(names), plural.Of(len(r.Hosts), "host"), strings.Join(names, ", "))
}

// Running counts the daemons of a role that run.
func (r *Report) Running(role certs.Role) int {
	n := 0
	for _, h := range r.Hosts {
		for _, s := range h.Daemons {
			if s.Role == role && s.State == agent.Running {
				n++
			}
		}
	}
	return n
}

// report says how the hosts are.
func (f *fleet) report() *Report {
	r := &Report{Hosts: []HostReport{}, Coordinators: []string{}, Certs: f.Place.Certs()}
	for _, n := range f.nodes {
		h := HostReport{Name: n.name, SSH: n.ssh, Address: n.address, Reachable: n.machine != nil, Daemons: n.states}
		if h.Daemons == nil {
			h.Daemons = []agent.State{}
		}
		if n.machine != nil {
			h.Platform = n.machine.seen.platform
		}
		if n.err != nil {
			h.Error = n.err.Error()
		}
		for _, s := range n.states {
			if s.Changed != "" {
				r.Changes++
			}
		}
		r.Hosts = append(r.Hosts, h)
	}
	r.Coordinators = append(r.Coordinators, f.running()...)
	return r
}

// running are the addresses of the coordinators that run.
func (f *fleet) running() []string {
	var out []string
	for _, n := range f.nodes {
		for _, s := range n.states {
			if s.Role == certs.Coordinator && s.State == agent.Running {
				out = append(out, s.Address)
			}
		}
	}
	return out
}

// Up makes the hosts run what the file says. The error is of the whole; what fails on a host is in the report.
func Up(ctx context.Context, o Options) (*Report, error) {
	f, done, err := open(o, true)
	if err != nil {
		return nil, err
	}
	err = f.up(ctx)
	report := f.report()
	if err == nil {
		err = f.greet(ctx, report)
	}
	return report, errors.Join(err, done())
}

func (f *fleet) up(ctx context.Context) error {
	if err := f.each(ctx, func(*node) bool { return true }, f.connect); err != nil {
		return err
	}
	prepare := func(ctx context.Context, n *node) error {
		if n.wanted == nil {
			if err := f.installed(n); !errors.Is(err, errMissing) {
				return err
			}
			return nil
		}
		if err := f.checkAddress(n); err != nil {
			return err
		}
		return f.bring(ctx, n)
	}
	if err := f.each(ctx, reached, prepare); err != nil {
		return err
	}
	if err := f.chooseFounder(); err != nil {
		return err
	}
	if err := f.remember(); err != nil {
		return err
	}
	if err := f.found(ctx); err != nil {
		return err
	}
	if err := f.each(ctx, func(n *node) bool { return reached(n) && isWanted(n) && n.states == nil }, f.apply(false)); err != nil {
		return err
	}
	if err := f.roll(ctx); err != nil {
		return err
	}
	return f.retire(ctx)
}

// checkAddress makes sure that the others can dial a host.
func (f *fleet) checkAddress(n *node) error {
	ip := net.ParseIP(n.address)
	switch {
	case n.address == "":
		return errors.New("the host does not say at which address ssh arrives: write its address into the file")
	case ip != nil && ip.IsLoopback() && len(f.Hosts.Hosts) > 1:
		return fmt.Errorf("ssh arrives at %s, which other hosts do not reach: write its address into the file", n.address)
	}
	return nil
}

// chooseFounder makes the first coordinator that is reached found the cluster, unless one was chosen before: two founders would make two clusters.
func (f *fleet) chooseFounder() error {
	if f.record.Founded {
		return nil
	}
	for _, n := range f.nodes {
		if n.wanted == nil || !n.wanted.Coordinator || n.machine == nil || n.err != nil {
			continue
		}
		if id := n.wanted.CoordinatorID(); f.record.Founder == "" || f.record.Founder == id {
			f.record.Founder = id
			return nil
		}
	}
	if f.record.Founder != "" {
		return fmt.Errorf("%s was to found the cluster and may have done so, but its host does not answer or is not in the file: bring it back, or begin again elsewhere by ringmaster down --purge", f.record.Founder)
	}
	return errors.New("no host that is to have a coordinator could be prepared, so nothing was started")
}

// found starts the host whose coordinator founds the cluster before all others, which would only wait for it, and notes that it is founded.
func (f *fleet) found(ctx context.Context) error {
	if f.record.Founded {
		return nil
	}
	founder := func(n *node) bool { return isWanted(n) && n.wanted.CoordinatorID() == f.record.Founder }
	if err := f.each(ctx, founder, f.apply(false)); err != nil {
		return err
	}
	for _, n := range f.nodes {
		for _, s := range n.states {
			if s.ID == f.record.Founder && s.State == agent.Running && s.Problem == "" {
				f.record.Founded = true
				return f.Place.save(f.record)
			}
		}
	}
	return fmt.Errorf("%s, which is to found the cluster, is not up, so nothing else was started", f.record.Founder)
}

// remember writes down where the cluster is about to be.
func (f *fleet) remember() error {
	for _, n := range f.nodes {
		if n.wanted == nil || n.machine == nil || n.err != nil {
			continue
		}
		h := f.record.Hosts[n.name]
		if h == nil {
			h = &hostRecord{}
			f.record.Hosts[n.name] = h
		}
		h.SSH, h.Dir, h.Address, h.Program = n.ssh, n.dir, n.address, n.hash
		if n.wanted.Coordinator {
			h.Coordinator = net.JoinHostPort(n.address, strconv.Itoa(n.wanted.Port))
		}
	}
	return f.Place.save(f.record)
}

// apply has a host start what is missing, and with restart also start again what has changed.
func (f *fleet) apply(restart bool) func(ctx context.Context, n *node) error {
	return func(ctx context.Context, n *node) error {
		result, err := f.ask(ctx, n, agent.Request{Op: agent.Apply, Daemons: f.daemons(n), Restart: restart})
		if err != nil {
			return err
		}
		for i, s := range result.Daemons {
			for _, before := range n.states { // what happened in an earlier pass counts
				if before.ID == s.ID && s.Changed == "" && before.Changed != agent.Outdated {
					result.Daemons[i].Changed = before.Changed
				}
			}
		}
		n.states = result.Daemons
		f.tell(n)
		return nil
	}
}

// tell says what has changed on a host.
func (f *fleet) tell(n *node) {
	for i, s := range n.states {
		switch {
		case s.Problem != "" && !s.Unwanted:
			f.Complain(n.name, fmt.Errorf("%s: %s", s.ID, s.Problem))
		case s.Changed == "started" || s.Changed == "restarted":
			f.say(n, "%s %s, process %d at %s", s.ID, s.Changed, s.PID, s.Address)
		}
		if s.Unwanted {
			n.states[i].Problem = "" // it is to be stopped
		}
	}
}

// roll restarts what has changed, one host after another, after the jobs that are running have saved their state.
func (f *fleet) roll(ctx context.Context) error {
	outdated := func(n *node) bool {
		return slices.ContainsFunc(n.states, func(s agent.State) bool { return s.Changed == agent.Outdated })
	}
	if !slices.ContainsFunc(f.nodes, outdated) {
		return nil
	}
	f.save(ctx)
	for _, n := range f.nodes {
		if !outdated(n) {
			continue
		}
		if err := f.each(ctx, func(other *node) bool { return other == n }, f.apply(true)); err != nil {
			return err
		}
		if by := f.spokesman(); by != nil { // until its workers are back before the next host's go
			_, _ = f.ask(ctx, by, agent.Request{Op: agent.Status, Want: f.report().Running(certs.Worker)}) // the last one is looked at in the end
		}
	}
	return nil
}

// save has the jobs that are running save a checkpoint. What does not work is said: the checkpoints that there are remain.
func (f *fleet) save(ctx context.Context) {
	by := f.spokesman()
	if by == nil {
		return
	}
	result, err := f.ask(ctx, by, agent.Request{Op: agent.Save})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		f.Say("", fmt.Sprintf("no checkpoint was saved: %v; jobs go on from their newest one", err))
	case len(result.Saved) > 0:
		f.Say("", "saved a checkpoint of "+strings.Join(result.Saved, ", "))
	}
}

// retire takes coordinators that are not wanted any more out of the cluster, and ends daemons that are not.
func (f *fleet) retire(ctx context.Context) error {
	look := func(ctx context.Context, n *node) error {
		result, err := f.ask(ctx, n, agent.Request{Op: agent.Look})
		if err != nil {
			return err
		}
		n.states = result.Daemons
		for i := range n.states {
			n.states[i].Unwanted, n.states[i].Problem = true, ""
		}
		return nil
	}
	if err := f.each(ctx, func(n *node) bool { return reached(n) && !isWanted(n) && n.hash != "" }, look); err != nil {
		return err
	}
	if err := f.removeCoordinators(ctx); err != nil {
		return err
	}
	unwanted := func(n *node) bool {
		return slices.ContainsFunc(n.states, func(s agent.State) bool { return s.Unwanted && s.State == agent.Running })
	}
	if err := f.each(ctx, unwanted, func(ctx context.Context, n *node) error {
		var gone []string
		for _, s := range n.states {
			if s.Unwanted && s.State == agent.Running {
				gone = append(gone, s.ID)
			}
		}
		return f.stopAt(ctx, n, agent.Request{Op: agent.Stop, IDs: gone})
	}); err != nil {
		return err
	}
	for _, n := range f.nodes {
		if n.wanted == nil && reached(n) && n.err == nil && !unwanted(n) {
			delete(f.record.Hosts, n.name)
			f.say(n, "is no part of the cluster any more; what it had is still in %s", n.machine.seen.dir)
		} else if old := f.record.Hosts[n.name]; old != nil && isWanted(n) && !n.wanted.Coordinator && n.err == nil {
			old.Coordinator = ""
		}
	}
	return f.Place.save(f.record)
}

// removeCoordinators takes the votes of coordinators that are to go.
func (f *fleet) removeCoordinators(ctx context.Context) error {
	var gone []string
	for _, n := range f.nodes {
		if old := f.record.Hosts[n.name]; old == nil || old.Coordinator == "" || n.wanted != nil && n.wanted.Coordinator {
			continue
		}
		gone = append(gone, n.name+"-c")
	}
	by := f.spokesman()
	if len(gone) == 0 || by == nil {
		return nil
	}
	if _, err := f.ask(ctx, by, agent.Request{Op: agent.Remove, IDs: gone}); err != nil {
		return fmt.Errorf("take %s out of the cluster: %w", strings.Join(gone, ", "), err)
	}
	for _, n := range f.nodes {
		if old := f.record.Hosts[n.name]; old != nil && slices.Contains(gone, n.name+"-c") {
			old.Coordinator = ""
		}
	}
	return f.Place.save(f.record)
}

// reachTimeout bounds a look whether this machine reaches a coordinator itself.
const reachTimeout = 3 * time.Second

// greet asks the cluster for its leader and workers, and looks whether this machine reaches it without ssh.
func (f *fleet) greet(ctx context.Context, r *Report) error {
	by := f.spokesman()
	if by == nil {
		return errors.New("no coordinator runs")
	}
	result, err := f.ask(ctx, by, agent.Request{Op: agent.Status, Want: r.Running(certs.Worker)})
	if err != nil {
		return fmt.Errorf("the cluster does not answer: %w", err)
	}
	r.Cluster = result.Cluster
	for _, address := range r.Coordinators {
		conn, err := (&net.Dialer{Timeout: reachTimeout}).DialContext(ctx, "tcp", address)
		if err != nil {
			r.Far = append(r.Far, address)
			continue
		}
		_ = conn.Close() // nothing was sent
	}
	return context.Cause(ctx)
}
