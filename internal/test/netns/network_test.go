//go:build netns

package netns

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// namePrefix begins the names of all namespaces made here. Behind it stand the process number, by which a later run
// tells what an earlier one has left behind, and a random word.
const namePrefix = "ringmaster-"

// network is a router, which is a namespace too, with stations around it. Everything between two stations crosses the
// router, which drops what it is told to: one pair of addresses, one direction, silently or with a refusal.
//
// A station holds one process and has one address, also where several processes make one host: connections leave by the
// address of their namespace, so only this way can one be cut off while others of the host go on talking. What a host
// shares is its name, and its fate when its link goes down.
type network struct {
	t        *testing.T
	name     string
	router   string
	relayed  bool // what the stations send goes through a relay
	stations []*station
	cuts     int // made so far; each has a priority of its own among the router's rules
}

// station is a namespace with a link to the router.
type station struct {
	namespace string
	link      string // the router's end
	ip        string
	host      string // h1, h2, ...: the host name of its process
}

// newNetwork makes a router without stations.
func newNetwork(t *testing.T) *network {
	t.Helper()
	name := fmt.Sprintf("%s%d-%06x", namePrefix, os.Getpid(), rand.Uint32()&0xffffff)
	n := &network{t: t, name: name, router: name + "-r"}
	t.Cleanup(n.remove)
	n.ip("netns", "add", n.router)
	n.inside(n.router, "sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
	n.ip("-n", n.router, "link", "set", "lo", "up")
	return n
}

// add adds a station of a host. rate limits what it sends, in tc's units.
func (n *network) add(host, rate string) *station {
	n.t.Helper()
	number := len(n.stations) + 1
	s := &station{namespace: fmt.Sprintf("%s-%d", n.name, number), link: fmt.Sprintf("s%d", number), ip: fmt.Sprintf("10.91.%d.1", number), host: host}
	n.stations = append(n.stations, s)
	gateway := fmt.Sprintf("10.91.%d.254", number)
	n.ip("netns", "add", s.namespace)
	n.ip("-n", n.router, "link", "add", s.link, "type", "veth", "peer", "name", "eth0", "netns", s.namespace)
	n.ip("-n", n.router, "addr", "add", gateway+"/24", "dev", s.link)
	n.ip("-n", n.router, "link", "set", s.link, "up")
	n.ip("-n", s.namespace, "addr", "add", s.ip+"/24", "dev", "eth0")
	n.ip("-n", s.namespace, "link", "set", "lo", "up")
	n.ip("-n", s.namespace, "link", "set", "eth0", "up")
	n.ip("-n", s.namespace, "route", "add", "default", "via", gateway)
	if n.relayed {
		n.ip("-n", n.router, "rule", "add", "pref", relayPreference, "iif", s.link, "lookup", relayTable)
	}
	n.inside(s.namespace, "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", rate, "burst", "128kb", "latency", "200ms")
	return s
}

// way is from one address to another, in this direction only.
type way struct{ from, to string }

// between returns all links between two groups of addresses, in both directions.
func between(a, b []string) []way {
	var ways []way
	for _, x := range a {
		for _, y := range b {
			ways = append(ways, way{x, y}, way{y, x})
		}
	}
	return ways
}

// manner is what the router does with a packet that must not pass.
type manner string

const (
	silently manner = "blackhole"   // nobody is told
	refusing manner = "unreachable" // the sender gets an ICMP message
)

// cut closes links and returns a function that opens them again.
func (n *network) cut(ways []way, how manner) (heal func()) {
	n.t.Helper()
	var add, del strings.Builder
	for _, w := range ways {
		n.cuts++
		fmt.Fprintf(&add, "rule add pref %d from %s to %s %s\n", n.cuts, w.from, w.to, how)
		fmt.Fprintf(&del, "rule del pref %d\n", n.cuts)
	}
	n.batch(add.String())
	return func() { n.batch(del.String()) }
}

// takeDown takes a host's link down and returns what takes it up again.
func (n *network) takeDown(host string) (heal func()) {
	n.t.Helper()
	set := func(state string) {
		var all strings.Builder
		for _, s := range n.stations {
			if s.host == host {
				fmt.Fprintf(&all, "link set %s %s\n", s.link, state)
			}
		}
		n.batch(all.String())
	}
	set("down")
	return func() { set("up") }
}

// batch carries out commands of ip in the router, all at once.
func (n *network) batch(commands string) {
	n.t.Helper()
	cmd := exec.Command("ip", "-n", n.router, "-batch", "-")
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil {
		n.t.Fatalf("ip -batch: %v: %s\n%s", err, out, commands)
	}
}

func (n *network) ip(args ...string) {
	n.t.Helper()
	if err := ip(args...); err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) inside(namespace string, args ...string) {
	n.t.Helper()
	n.ip(append([]string{"netns", "exec", namespace}, args...)...)
}

// remove ends what still runs in the network and removes it.
func (n *network) remove() {
	if err := removeNamespaces(func(name string) bool { return strings.HasPrefix(name, n.name) }); err != nil {
		n.t.Error(err)
	}
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}

// removeNamespaces removes the namespaces that are chosen, with the processes in them.
func removeNamespaces(chosen func(name string) bool) error {
	out, err := exec.Command("ip", "netns", "list").Output()
	if err != nil {
		return fmt.Errorf("ip netns list: %w", err)
	}
	var errs []error
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) == 0 || !strings.HasPrefix(fields[0], namePrefix) || !chosen(fields[0]) {
			continue
		}
		pids, err := exec.Command("ip", "netns", "pids", fields[0]).Output()
		errs = append(errs, err)
		for _, pid := range strings.Fields(string(pids)) {
			if number, err := strconv.Atoi(pid); err == nil {
				_ = syscall.Kill(number, syscall.SIGKILL) // it may have ended by itself
			}
		}
		errs = append(errs, ip("netns", "delete", fields[0]))
	}
	return errors.Join(errs...)
}

// abandoned reports whether a namespace was made by a run that has ended without removing it.
func abandoned(name string) bool {
	pid, _, _ := strings.Cut(strings.TrimPrefix(name, namePrefix), "-")
	number, err := strconv.Atoi(pid)
	return err == nil && errors.Is(syscall.Kill(number, 0), syscall.ESRCH)
}

// requirements says what is missing for these tests; nil when nothing is.
func requirements() error {
	if os.Geteuid() != 0 {
		return errors.New("partitions are made in network namespaces: run this as root")
	}
	missing := slices.DeleteFunc([]string{"ip", "tc", "unshare", "sysctl"}, func(program string) bool {
		_, err := exec.LookPath(program)
		return err == nil
	})
	if len(missing) > 0 {
		return fmt.Errorf("partitions are made by iproute2 and util-linux: missing %s", strings.Join(missing, ", "))
	}
	return nil
}
