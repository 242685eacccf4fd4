package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/config"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/wholefile"
)

// renewal is how long before a certificate's end it is replaced.
const renewal = 60 * 24 * time.Hour

// started is how a daemon was started last: started.json.
type started struct {
	Role    certs.Role `json:"role"`
	Program string     `json:"program"` // path
	Version string     `json:"version"`
	Service string     `json:"service"`
	Address string     `json:"address"`
	Spec    string     `json:"spec"`    // sum of all that a restart would change
	Stopped bool       `json:"stopped"` // it was asked to end
}

// apply makes the host run the daemons that are wanted. Others that run are listed as unwanted.
func (a *Agent) apply(ctx context.Context) (*Result, error) {
	service, note, err := a.service(ctx)
	if err != nil {
		return nil, err
	}
	for _, d := range a.request.Daemons {
		if err := a.enrol(d); err != nil {
			return nil, fmt.Errorf("%s: %w", d.ID, err)
		}
	}
	states := make([]State, len(a.request.Daemons))
	var group sync.WaitGroup
	for i, d := range a.request.Daemons {
		group.Go(func() { states[i] = a.applyOne(ctx, d, service) })
	}
	group.Wait()
	if note != "" && slices.ContainsFunc(states, func(s State) bool { return s.Changed == "started" || s.Changed == "restarted" }) {
		if err := a.say(Message{Note: note}); err != nil {
			return nil, err
		}
	}
	all, err := a.look()
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		if !slices.Contains(ids(a.request.Daemons), s.ID) {
			s.Unwanted = true
			states = append(states, s)
		}
	}
	return &Result{Daemons: states}, a.tidy()
}

// applyOne makes one daemon run as wanted.
func (a *Agent) applyOne(ctx context.Context, d Daemon, service string) State {
	how, spec, err := a.configure(d)
	if err != nil {
		return State{ID: d.ID, Role: d.Role, State: Ended, Problem: err.Error()}
	}
	before, _ := a.read(d.ID) // none, or a damaged one: then it is started again
	_, _, runs, err := folderlock.Holder(a.path(d.ID, dataDir))
	if err != nil {
		return State{ID: d.ID, Role: d.Role, State: Ended, Problem: err.Error()}
	}
	if runs && before.Spec == spec && (a.request.Service == config.ServiceAuto || before.Service == service) {
		return a.state(d.ID)
	}
	if runs && !a.request.Restart {
		s := a.state(d.ID)
		s.Changed = Outdated
		return s
	}
	changed := "started"
	if runs {
		changed = "restarted"
		if err := a.stopOne(ctx, d.ID, before); err != nil {
			s := a.state(d.ID)
			s.Problem = err.Error()
			return s
		}
	} else if before.Service == config.ServiceSystemd { // which may be about to start it again
		_ = a.system.forget(d.ID) // the next start says what does not work
	}
	how.Service, how.Spec = service, spec
	if err := a.start(ctx, d, how); err != nil {
		s := a.state(d.ID)
		s.Problem = err.Error()
		return s
	}
	s := a.state(d.ID)
	s.Changed = changed
	return s
}

// enrol gets the daemon's certificate where it has none, or one that ends soon. The key is made here and stays here.
func (a *Agent) enrol(d Daemon) error {
	dir := a.path(d.ID, certsDir)
	now := a.Now()
	if i, err := certs.LoadAs(dir, d.Role, now); err == nil && i.ID == d.ID && i.Expires.After(now.Add(renewal)) && hex.EncodeToString(fingerprint(i)) == a.request.Authority {
		return nil
	}
	request, err := certs.NewRequest()
	if err != nil {
		return err
	}
	if err := a.say(Message{Enrol: &Enrol{ID: d.ID, Role: d.Role, Request: request.DER}}); err != nil {
		return err
	}
	var grant certs.Grant
	if err := ReadLine(a.In, &grant); err != nil {
		return fmt.Errorf("the authority's answer: %w", err)
	}
	fresh := dir + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	if err := request.Accept(fresh, &grant, certs.Peer{Role: d.Role, ID: d.ID}, now); err != nil {
		return err
	}
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	return os.Rename(fresh, dir)
}

func fingerprint(i *certs.Identity) []byte {
	sum := i.Fingerprint()
	return sum[:]
}

// configure writes the daemon's configuration, and returns how to start it with the sum of all for which one that runs must be started again. Where the
// others are is not among that: they find each other.
func (a *Agent) configure(d Daemon) (started, string, error) {
	keys := [][2]string{{"id", d.ID}, {"bind", d.Bind}, {"advertise", d.Advertise}, {"dir", a.path(d.ID, dataDir)}, {"certs", a.path(d.ID, certsDir)}}
	var text strings.Builder
	for _, k := range keys {
		fmt.Fprintf(&text, "%s: %s\n", k[0], quoted(k[1]))
	}
	if d.Role == certs.Worker {
		fmt.Fprintf(&text, "threads: %d\n", a.threads(d))
	}
	certificate, err := os.ReadFile(a.path(d.ID, certsDir, "node.crt"))
	if err != nil {
		return started{}, "", err
	}
	sum := sha256.Sum256([]byte(string(d.Role) + "\n" + a.Program + "\n" + text.String() + string(certificate)))
	var join []string
	for _, address := range d.Join {
		join = append(join, quoted(address))
	}
	if len(join) > 0 {
		fmt.Fprintf(&text, "join: [%s]\n", strings.Join(join, ", "))
	}
	err = wholefile.Write(a.path(d.ID, configFile), 0o600, func(w io.Writer) error {
		_, err := io.WriteString(w, text.String())
		return err
	})
	return started{Role: d.Role, Program: a.Program, Version: version(), Address: d.Advertise}, hex.EncodeToString(sum[:]), err
}

// quoted writes a text for YAML, of which JSON's are part.
func quoted(text string) string {
	out, _ := json.Marshal(text) // a string can be written
	return string(out)
}

// threads are those of a worker: its share of the machine's CPUs unless a number is given.
func (a *Agent) threads(d Daemon) int {
	if d.Threads > 0 {
		return d.Threads
	}
	workers := 0
	for _, other := range a.request.Daemons {
		if other.Role == certs.Worker {
			workers++
		}
	}
	return max(1, runtime.NumCPU()/max(1, workers))
}

// maxStarted bounds started.json.
const maxStarted = 64 << 10

func (a *Agent) read(id string) (started, error) {
	var s started
	f, err := regularfile.Open(a.path(id, startedFile))
	if err != nil {
		return s, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxStarted))
	if err == nil {
		err = json.Unmarshal(text, &s)
	}
	if err != nil {
		return started{}, fmt.Errorf("%s: %w", a.path(id, startedFile), err)
	}
	return s, nil
}

func (a *Agent) write(id string, s started) error {
	return wholefile.Write(a.path(id, startedFile), 0o600, func(w io.Writer) error { return json.NewEncoder(w).Encode(s) })
}

// look says how all daemons are that have a folder here.
func (a *Agent) look() ([]State, error) {
	all, err := a.installed()
	var states []State
	for _, id := range all {
		states = append(states, a.state(id))
	}
	return states, err
}

// state says how a daemon is.
func (a *Agent) state(id string) State {
	how, err := a.read(id)
	s := State{ID: id, Role: how.Role, State: Ended, Version: how.Version, Service: how.Service, Address: how.Address}
	pid, since, runs, lockErr := folderlock.Holder(a.path(id, dataDir))
	switch {
	case runs:
		s.State, s.PID, s.Since = Running, pid, since.Unix()
	case err == nil && how.Stopped:
		s.State = Stopped
	case err != nil || lockErr != nil:
		s.Problem = errors.Join(err, lockErr).Error()
	default:
		s.Problem = a.lastWord(id)
	}
	return s
}

// tidy deletes programs that nothing uses any more.
func (a *Agent) tidy() error {
	used := map[string]bool{a.Program: true}
	all, err := a.installed()
	if err != nil {
		return err
	}
	for _, id := range all {
		if s, err := a.read(id); err == nil {
			used[s.Program] = true
		}
	}
	programs, err := filepath.Glob(filepath.Join(globQuote(a.path(binDir)), "ringmaster-*"))
	for _, p := range programs {
		if !used[p] {
			err = errors.Join(err, os.Remove(p))
		}
	}
	return err
}

// globQuote takes the special meaning from characters of a path.
func globQuote(path string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "?", `\?`, "[", `\[`).Replace(path)
}

func seconds(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
