package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/cli"
	"ringmaster/internal/config"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/wholefile"
)

// The files in a cluster's folder on a host:
//
//	authority           fingerprint of the authority whose cluster it is
//	bin/ringmaster-HASH programs, by their content
//	agent/              whose lock an agent holds while it changes something
//	ID/                 of a daemon:
//	    certs/          its certificate and key
//	    config.yaml     its configuration
//	    started.json    how it was started
//	    log             what it says
//	    data/           its own folder; its lock tells whether it runs
const (
	authorityFile = "authority"
	binDir        = "bin"
	agentDir      = "agent"
	certsDir      = "certs"
	configFile    = "config.yaml"
	startedFile   = "started.json"
	logFile       = "log"
	dataDir       = "data"
)

// turnTimeout is how long an agent waits for another one to finish.
const turnTimeout = 90 * time.Second

// Agent carries out requests on the host on which it runs.
type Agent struct {
	Program string   // path of this program, which the daemons run too
	Command []string // arguments before a daemon's role and its flags
	Home    string   // the user's home folder, in which daemons run
	In      io.Reader
	Out     io.Writer
	Now     func() time.Time

	request Request
	dir     string
	system  systemd
	mu      sync.Mutex // of Out
}

// Serve reads a request and answers it. Everything that goes wrong is part of the answer, unless nobody hears it.
func (a *Agent) Serve(ctx context.Context) error {
	result, err := a.serve(ctx)
	if err != nil {
		return a.say(Message{Error: strings.ReplaceAll(err.Error(), "\n", "; ")})
	}
	if result == nil {
		return nil // the answer was a text
	}
	return a.say(Message{Result: result})
}

func (a *Agent) serve(ctx context.Context) (*Result, error) {
	if err := ReadLine(a.In, &a.request); err != nil {
		return nil, err
	}
	r := &a.request
	if r.Protocol != Protocol {
		return nil, fmt.Errorf("this program speaks version %d of the protocol and was asked by version %d: run ringmaster up, which brings the new one", Protocol, r.Protocol)
	}
	if !filepath.IsAbs(r.Dir) {
		return nil, fmt.Errorf("the cluster's folder %s is not absolute", r.Dir)
	}
	a.dir = filepath.Clean(r.Dir)
	a.system = systemd{cluster: r.Cluster, home: a.Home}
	for _, id := range append(slices.Clone(r.IDs), ids(r.Daemons)...) {
		if err := certs.CheckID(id); err != nil {
			return nil, err
		}
	}
	switch r.Op {
	case Look, Logs, Status, Save:
		if err := a.checkOwner(); err != nil {
			return nil, err
		}
	case Apply, Stop, Purge, Remove:
		owner, err := a.take()
		if err != nil {
			return nil, err
		}
		defer owner.Release()
	}
	return a.carryOut(ctx)
}

func (a *Agent) carryOut(ctx context.Context) (*Result, error) {
	switch a.request.Op {
	case Apply:
		return a.apply(ctx)
	case Look:
		states, err := a.look()
		return &Result{Daemons: states}, err
	case Stop:
		states, err := a.stop(ctx)
		return &Result{Daemons: states}, err
	case Purge:
		left, err := a.purge()
		return &Result{Left: left}, err
	case Logs:
		return nil, a.logs(ctx)
	case Status, Remove, Save:
		return a.ask(ctx)
	}
	return nil, fmt.Errorf("%.40q is nothing to ask an agent for", a.request.Op)
}

func ids(daemons []Daemon) []string {
	var out []string
	for _, d := range daemons {
		out = append(out, d.ID)
	}
	return out
}

func (a *Agent) say(m Message) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	return WriteLine(a.Out, m)
}

func (a *Agent) path(names ...string) string {
	return filepath.Join(append([]string{a.dir}, names...)...)
}

// take makes this agent the only one that changes the folder, after it has made sure that the folder is the cluster's.
func (a *Agent) take() (*folderlock.Lock, error) {
	if a.request.Op != Apply {
		if err := a.checkOwner(); err != nil {
			return nil, err
		}
	} else if err := os.MkdirAll(a.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	owner, err := folderlock.Own(a.path(agentDir), turnTimeout)
	if errors.As(err, new(*folderlock.TakenError)) {
		return nil, fmt.Errorf("another ringmaster up or down is at work here: %w; wait for it, and try again", err)
	} else if err != nil {
		return nil, err
	}
	if err := a.claim(); err != nil {
		return nil, errors.Join(err, owner.Release())
	}
	return owner, nil
}

// claim writes whose the folder is, unless it says so already.
func (a *Agent) claim() error {
	err := a.checkOwner()
	if !errors.Is(err, errUnclaimed) || a.request.Op != Apply {
		return err
	}
	foreign, err := a.foreign()
	if err != nil {
		return err
	}
	if len(foreign) > 0 {
		return fmt.Errorf("the folder %s holds other files (%s): name another dir", a.dir, strings.Join(foreign[:min(3, len(foreign))], ", "))
	}
	return wholefile.Write(a.path(authorityFile), 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, a.request.Authority+"\n")
		return err
	})
}

// foreign lists what is in the folder and not the cluster's.
func (a *Agent) foreign() ([]string, error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if !slices.Contains([]string{authorityFile, binDir, agentDir}, e.Name()) && !a.isDaemon(e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

var errUnclaimed = errors.New("no cluster is installed")

// checkOwner refuses a folder of another cluster.
func (a *Agent) checkOwner() error {
	text, err := os.ReadFile(a.path(authorityFile))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w in %s", errUnclaimed, a.dir)
	} else if err != nil {
		return err
	}
	if strings.TrimSpace(string(text)) != a.request.Authority {
		return fmt.Errorf("the folder %s belongs to a cluster with another authority: give this one another name or dir, or take the other down with its own file (down --purge)", a.dir)
	}
	return nil
}

// isDaemon reports whether a name in the folder is a daemon's.
func (a *Agent) isDaemon(name string) bool {
	if certs.CheckID(name) != nil {
		return false
	}
	for _, file := range []string{startedFile, certsDir, configFile} {
		if _, err := os.Lstat(a.path(name, file)); err == nil {
			return true
		}
	}
	return false
}

// installed lists the daemons that have a folder.
func (a *Agent) installed() ([]string, error) {
	entries, err := os.ReadDir(a.dir)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if a.isDaemon(e.Name()) {
			out = append(out, e.Name())
		}
	}
	return out, nil
}

// purge deletes what the cluster has here, and returns what else is in its folder. Nothing may run.
func (a *Agent) purge() ([]string, error) {
	all, err := a.installed()
	if err != nil {
		return nil, err
	}
	for _, id := range all {
		if _, _, runs, err := folderlock.Holder(a.path(id, dataDir)); err != nil || runs {
			return nil, errors.Join(err, fmt.Errorf("%s still runs, so nothing is deleted", id))
		}
	}
	for _, id := range all {
		if err := errors.Join(a.system.forget(id), os.RemoveAll(a.path(id))); err != nil {
			return nil, err
		}
	}
	left, err := a.foreign()
	for _, name := range []string{authorityFile, binDir, agentDir} {
		err = errors.Join(err, os.RemoveAll(a.path(name)))
	}
	if err == nil && len(left) == 0 {
		err = os.Remove(a.dir)
	}
	return left, err
}

// version is this program's, for people.
func version() string {
	v, _, _ := strings.Cut(cli.Revision(), " ")
	return v
}

// service is what is to look after a daemon that starts now, and what to tell about that.
func (a *Agent) service(ctx context.Context) (string, string, error) {
	if a.request.Service == config.ServiceDetached {
		return config.ServiceDetached, "", nil
	}
	works, lingers := a.system.available(ctx)
	switch {
	case a.request.Service == config.ServiceSystemd && works == nil && lingers:
		return config.ServiceSystemd, "", nil
	case a.request.Service == config.ServiceSystemd && works == nil:
		return config.ServiceSystemd, "systemd ends the daemons when you have logged out everywhere, unless you run there: loginctl enable-linger", nil
	case a.request.Service == config.ServiceSystemd:
		return "", "", fmt.Errorf("service: systemd --user does not answer here (%w); write service: detached", works)
	case works == nil && lingers:
		return config.ServiceSystemd, "", nil
	case works == nil:
		return config.ServiceDetached, "the daemons run detached: nobody starts them again after a reboot or a crash. For systemd to do so, run there: loginctl enable-linger", nil
	}
	return config.ServiceDetached, "", nil
}
