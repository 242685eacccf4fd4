//go:build netns

package netns

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command is a line that docs/several-machines.md tells a person to type on a machine.
type command struct{ on, line string }

// written reads the document's commands, each with the machine that a comment before it names.
func written(t *testing.T) []command {
	t.Helper()
	const document = "several-machines.md"
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "docs", document))
	if err != nil {
		t.Fatal(err)
	}
	var all []command
	on := ""
	for line := range strings.Lines(string(text)) {
		line, isCode := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		machine, isPlace := strings.CutPrefix(line, "# on ")
		switch {
		case !isCode:
		case isPlace:
			on = machine
		case on == "":
			t.Fatalf("%s does not say where to type %q", document, line)
		default:
			all = append(all, command{on, line})
		}
	}
	return all
}

// expectedDigest is the one that README shows for the quickstart.
func expectedDigest(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile(`(?m)^ +digest +([0-9a-f]{64})$`).FindStringSubmatch(string(text))
	if found == nil {
		t.Fatal("README shows no digest")
	}
	return found[1]
}

// reader is a person with machines in one network who types what the document says.
type reader struct {
	t        *testing.T
	net      *network
	machines map[string]*machine
	token    string // what the last command printed that makes one
	training *typed
}

// machine is a namespace with a folder, with the programs and the configurations laid out as in the repository.
type machine struct {
	*station
	dir     string
	daemons []*typed
}

// typed is a command that was typed.
type typed struct {
	command
	*process
}

func newReader(t *testing.T, commands []command) *reader {
	t.Helper()
	r := &reader{t: t, net: newNetwork(t), machines: map[string]*machine{}}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range commands {
		if r.machines[c.on] != nil {
			continue
		}
		m := &machine{station: r.net.neighbour(c.on), dir: filepath.Join(t.TempDir(), c.on)}
		if err := os.Mkdir(m.dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, target := range map[string]string{"bin": programs, "configs": filepath.Join(root, "configs")} {
			if err := os.Symlink(target, filepath.Join(m.dir, name)); err != nil {
				t.Fatal(err)
			}
		}
		r.machines[c.on] = m
	}
	return r
}

// enter types a command. A daemon, or a command that watches a training, keeps running; everything else must end well, for which
// what needs a daemon that is just starting is tried again, as a person would.
func (r *reader) enter(c command) (out string) {
	r.t.Helper()
	m := r.machines[c.on]
	line := strings.ReplaceAll(c.line, "TOKEN", r.token)
	for deadline := time.Now().Add(patience); ; time.Sleep(300 * time.Millisecond) {
		p := spawnIn(r.t, m.namespace, m.host, m.dir, "sh", "-c", "exec "+line)
		words := strings.Fields(line)
		switch {
		case words[0] == "bin/coordinator" || words[0] == "bin/worker":
			m.daemons = append(m.daemons, &typed{c, p})
			return ""
		case words[1] == "submit":
			r.training = &typed{c, p}
			return ""
		}
		code, ok := p.ended(patience)
		if ok && code == 0 {
			return p.stdout.String()
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("on %s: %s\nended: %v, exit code %d: %s%s\n%s", c.on, line, ok, code, p.stdout.String(), p.stderr.String(), r.logs())
		}
	}
}

// until repeats a command until it prints what it should.
func (r *reader) until(c command, pattern string) {
	r.t.Helper()
	out := ""
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(200 * time.Millisecond) {
		if out = r.enter(c); regexp.MustCompile(pattern).MatchString(out) {
			return
		}
	}
	r.t.Fatalf("on %s: %s\nprints no %s:\n%s\n%s", c.on, c.line, pattern, out, r.logs())
}

func (r *reader) logs() string {
	var out strings.Builder
	for _, m := range r.machines {
		for _, d := range m.daemons {
			text := d.stderr.String()
			fmt.Fprintf(&out, "== %s: %s\n%s\n", d.on, d.line, text[max(0, len(text)-3000):])
		}
	}
	return out.String()
}

// running are the daemons of all machines.
func (r *reader) running() (all []*typed) {
	for _, m := range r.machines {
		for _, d := range m.daemons {
			select {
			case <-d.done:
			default:
				all = append(all, d)
			}
		}
	}
	return all
}

// The document on several machines is typed in as it is, on machines with the addresses that it names, and reaches the digest
// that README shows.
func TestSeveralMachines(t *testing.T) {
	t.Parallel()
	commands := written(t)
	if len(commands) < 15 {
		t.Fatalf("the document has only %d commands: %v", len(commands), commands)
	}
	r := newReader(t, commands)
	for _, c := range commands {
		switch {
		case strings.Contains(c.line, "coordinators list"):
			r.until(c, `c4 +10\.0\.0\.6:7070 +votes`)
		case strings.Contains(c.line, " status "):
			r.until(c, `w2 +10\.0\.0\.5:7071 +training`)
		case strings.Contains(c.line, "submit"): // as a person would, who waits for the workers to be there
			r.until(command{c.on, "bin/ringmaster status --cluster 10.0.0.1:7070 --certs certs"}, `(?s)w1 .*w2 `)
			r.enter(c)
		default:
			if out := r.enter(c); strings.Contains(c.line, "certs token") {
				r.token = strings.TrimSpace(out)
			}
		}
	}
	removed := r.machines["10.0.0.3"].daemons[0]
	if code, ok := removed.ended(patience); !ok || code != 4 || !strings.Contains(removed.stderr.String(), "c3 was removed from the cluster") {
		t.Errorf("the removed coordinator ended: %v, exit code %d: %s", ok, code, removed.stderr.String())
	}
	code, ok := r.training.ended(afterwards)
	if !ok || code != 0 || !strings.Contains(r.training.stdout.String(), expectedDigest(t)) {
		t.Errorf("the training ended: %v, exit code %d, without digest %s: %s%s\n%s", ok, code, expectedDigest(t), r.training.stdout.String(), r.training.stderr.String(), r.logs())
	}
	// Restarted without another word than before, the others are a cluster again.
	leaves := r.running()
	slices.SortFunc(leaves, func(a, b *typed) int { return strings.Compare(b.line, a.line) }) // workers first
	for _, d := range leaves {
		if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		if code, ok := d.ended(patience); !ok || code != 0 {
			t.Errorf("on %s: %s\nended: %v, exit code %d: %s", d.on, d.line, ok, code, d.stderr.String())
		}
	}
	for _, d := range leaves {
		r.enter(d.command)
	}
	r.until(command{"10.0.0.1", "bin/ringmaster status --cluster 10.0.0.1:7070 --certs certs"}, `(?s)done.*c1 .*c2 .*c4 .*w1 .*w2 `)
}

// neighbour adds a station with an address in one network with its like.
func (n *network) neighbour(ip string) *station {
	n.t.Helper()
	const bridge = "lan"
	if err := exec.Command("ip", "-n", n.router, "link", "show", bridge).Run(); err != nil {
		n.ip("-n", n.router, "link", "add", bridge, "type", "bridge")
		n.ip("-n", n.router, "link", "set", bridge, "up")
	}
	number := len(n.stations) + 1
	s := &station{namespace: fmt.Sprintf("%s-%d", n.name, number), link: fmt.Sprintf("s%d", number), ip: ip, host: fmt.Sprintf("h%d", number)}
	n.stations = append(n.stations, s)
	n.ip("netns", "add", s.namespace)
	n.ip("-n", n.router, "link", "add", s.link, "type", "veth", "peer", "name", "eth0", "netns", s.namespace)
	n.ip("-n", n.router, "link", "set", s.link, "master", bridge, "up")
	n.ip("-n", s.namespace, "addr", "add", ip+"/24", "dev", "eth0")
	n.ip("-n", s.namespace, "link", "set", "lo", "up")
	n.ip("-n", s.namespace, "link", "set", "eth0", "up")
	return s
}
