package fleet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ringmaster/internal/certs"
	"ringmaster/internal/fleet/agent"
)

// Down ends the daemons on all hosts, workers first, and with purge deletes what the cluster has there.
func Down(ctx context.Context, o Options, purge bool) (*Report, error) {
	f, done, err := open(o, false)
	if err != nil {
		return nil, err
	}
	err = f.down(ctx, purge)
	return f.report(), errors.Join(err, done())
}

func (f *fleet) down(ctx context.Context, purge bool) error {
	if err := f.survey(ctx); err != nil {
		return err
	}
	runs := func(role certs.Role) func(*node) bool {
		return func(n *node) bool {
			return slices.ContainsFunc(n.states, func(s agent.State) bool { return s.Role == role && s.State == agent.Running })
		}
	}
	if slices.ContainsFunc(f.nodes, runs(certs.Worker)) {
		f.save(ctx)
	}
	if err := f.each(ctx, runs(certs.Worker), func(ctx context.Context, n *node) error {
		return f.stopAt(ctx, n, agent.Request{Op: agent.Stop, Workers: true})
	}); err != nil {
		return err
	}
	installed := func(n *node) bool { return reached(n) && n.hash != "" }
	if err := f.each(ctx, installed, func(ctx context.Context, n *node) error {
		return f.stopAt(ctx, n, agent.Request{Op: agent.Stop})
	}); err != nil {
		return err
	}
	if !purge {
		return nil
	}
	return f.purge(ctx, installed)
}

// purge deletes the cluster's files on the hosts, and forgets those.
func (f *fleet) purge(ctx context.Context, installed func(*node) bool) error {
	err := f.each(ctx, installed, func(ctx context.Context, n *node) error {
		result, err := f.ask(ctx, n, agent.Request{Op: agent.Purge})
		if err != nil {
			return err
		}
		n.states = nil
		f.say(n, "deleted the cluster's files in %s", n.machine.seen.dir)
		if len(result.Left) > 0 {
			f.say(n, "%s is still there: it holds %s", n.machine.seen.dir, strings.Join(result.Left[:min(3, len(result.Left))], ", "))
		}
		return nil
	})
	for _, n := range f.nodes {
		if reached(n) && n.err == nil && len(n.states) == 0 {
			delete(f.record.Hosts, n.name)
		}
	}
	if len(f.record.Hosts) == 0 {
		f.record.Founder, f.record.Founded = "", false
	}
	return errors.Join(err, f.Place.save(f.record))
}

// stopAt ends daemons of a host and says which have ended. Their states take the place of those before.
func (f *fleet) stopAt(ctx context.Context, n *node, r agent.Request) error {
	result, err := f.ask(ctx, n, r)
	if err != nil {
		return err
	}
	var problems []error
	for _, s := range result.Daemons {
		switch {
		case s.State == agent.Running:
			problems = append(problems, fmt.Errorf("%s: %s", s.ID, s.Problem))
		case s.Changed != "":
			f.say(n, "%s stopped", s.ID)
		}
		at := slices.IndexFunc(n.states, func(before agent.State) bool { return before.ID == s.ID })
		if at < 0 {
			n.states = append(n.states, s)
			continue
		}
		if s.Changed == "" {
			s.Changed = n.states[at].Changed
		}
		s.Unwanted = n.states[at].Unwanted
		n.states[at] = s
	}
	return errors.Join(problems...)
}

// survey asks all hosts what runs there.
func (f *fleet) survey(ctx context.Context) error {
	if err := f.each(ctx, func(*node) bool { return true }, f.connect); err != nil {
		return err
	}
	return f.each(ctx, reached, func(ctx context.Context, n *node) error {
		err := f.installed(n)
		var result *agent.Result
		if err == nil {
			result, err = f.ask(ctx, n, agent.Request{Op: agent.Look})
		}
		if errors.Is(err, errMissing) {
			n.hash = ""
			return nil
		}
		if err == nil {
			n.states = result.Daemons
		}
		return err
	})
}

// Look says how the hosts and their daemons are.
func Look(ctx context.Context, o Options) (*Report, error) {
	f, done, err := open(o, false)
	if err != nil {
		return nil, err
	}
	if err := f.survey(ctx); err != nil {
		return nil, errors.Join(err, done())
	}
	r := f.report()
	if by := f.spokesman(); by != nil {
		if result, err := f.ask(ctx, by, agent.Request{Op: agent.Status}); err == nil {
			r.Cluster = result.Cluster
		}
	}
	return r, done()
}

// Logs writes the last lines of the logs of a host's daemons, or of one of them, named by its id. With follow it goes on until ctx ends.
func Logs(ctx context.Context, o Options, of string, lines int, follow bool, out io.Writer) error {
	f, done, err := open(o, false)
	if err != nil {
		return err
	}
	n, ids := f.named(of)
	if n == nil {
		var names []string
		for _, n := range f.nodes {
			names = append(names, n.name)
		}
		return errors.Join(fmt.Errorf("there is no host or daemon %s; there are the hosts %s", of, strings.Join(names, ", ")), done())
	}
	err = f.connect(ctx, n)
	if err == nil {
		err = f.installed(n)
	}
	if err == nil {
		err = f.copyLogs(ctx, n, agent.Request{Op: agent.Logs, IDs: ids, Lines: lines, Follow: follow}, out)
	}
	return errors.Join(err, done())
}

// named finds the host that is called so, or that has a daemon that is.
func (f *fleet) named(of string) (*node, []string) {
	for _, n := range f.nodes {
		if n.name == of {
			return n, nil
		}
	}
	for _, n := range f.nodes {
		if rest, ok := strings.CutPrefix(of, n.name+"-"); ok && (rest == "c" || strings.HasPrefix(rest, "w")) {
			return n, []string{of}
		}
	}
	return nil, nil
}

func (f *fleet) copyLogs(ctx context.Context, n *node, r agent.Request, out io.Writer) error {
	r.Cluster, r.Authority = f.Hosts.Name, f.record.Authority
	s, err := n.machine.begin(ctx, n.hash, r)
	if err != nil {
		return err
	}
	if !r.Follow {
		_ = s.Input.Close() // nothing more is asked
	}
	var refused error
	if first, _ := s.Output.Peek(len(refusal)); string(first) == refusal {
		_, refused = converse(bufio.NewReader(s.Output), io.Discard, nil, nil)
		_ = s.Input.Close() // it has ended
	} else {
		_, err = io.Copy(out, s.Output)
	}
	ended := s.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return errors.Join(refused, err, ended)
}

// refusal begins an agent's answer to a request for logs where it cannot show them: no line of a log begins so.
const refusal = `{"error":`
