package config

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"ringmaster/internal/printable"
)

// Coordinator configures one coordinator replica.
type Coordinator struct {
	ID        string            `yaml:"id"`        // unique among the replicas
	Bind      string            `yaml:"bind"`      // host:port to listen on (TCP and UDP)
	Advertise string            `yaml:"advertise"` // host:port that others dial; default: as in Peers, else Bind
	Dir       string            `yaml:"dir"`       // the checkpoints, in checkpoints/, and Raft's state
	RaftDir   string            `yaml:"raft_dir"`  // Raft's log and snapshots; default: raft in Dir
	Peers     map[string]string `yaml:"peers"`     // id -> host:port of the replicas that found a cluster; default: this one alone, or none with Join
	Join      []string          `yaml:"join"`      // host:port of coordinators of a cluster to join, unless this one is among Peers
	Certs     string            `yaml:"certs"`     // folder of the certificate; without it only loopback is spoken to

	ElectionTimeout time.Duration `yaml:"election_timeout"` // without the leader's sign of life for so long, replicas elect another
	WorkerTimeout   time.Duration `yaml:"worker_timeout"`   // a worker silent for so long is suspected
	Log             string        `yaml:"log"`              // debug, info, warn or error
	Metrics         string        `yaml:"metrics"`          // host:port of Prometheus' metrics and the checks, by plain HTTP; empty: none
	Pprof           string        `yaml:"pprof"`            // host:port, of loopback, of Go's profiles; empty: none
}

// Worker configures one worker.
type Worker struct {
	ID        string   `yaml:"id"`        // unique in the cluster; default: the host name and the port
	Bind      string   `yaml:"bind"`      // host:port to listen on
	Advertise string   `yaml:"advertise"` // host:port that others dial; default: Bind
	Join      []string `yaml:"join"`      // host:port of coordinators; one that answers suffices
	Certs     string   `yaml:"certs"`     // folder of the certificate; without it only loopback is spoken to
	Dir       string   `yaml:"dir"`       // scratch space and local sockets
	Threads   int      `yaml:"threads"`   // compute threads; 0: as many as the machine's CPUs
	Log       string   `yaml:"log"`       // debug, info, warn or error
	Metrics   string   `yaml:"metrics"`   // host:port of Prometheus' metrics and the checks, by plain HTTP; empty: none
	Pprof     string   `yaml:"pprof"`     // host:port, of loopback, of Go's profiles; empty: none
}

// FaultsVariable is the environment variable by which tests give a worker's process the file with the faults that it is to
// suffer (daemon/faults.go).
const FaultsVariable = "RINGMASTER_FAULTS"

// Flag is a key of a daemon file set on the command line.
type Flag struct {
	Name  string // "--bind", for messages
	Key   string // "bind"
	Value string // lists as a,b and mappings as a=b,c=d
}

// LoadCoordinator reads a coordinator's file and sets the flags on top of it. path may be empty: flags alone suffice.
func LoadCoordinator(path string, flags []Flag) (*Coordinator, error) {
	c := &Coordinator{}
	b, err := loadDaemon(path, "coordinator's file", c, flags)
	if err != nil {
		return nil, err
	}
	o := b.origin
	def(o, "id", &c.ID, "c1")
	def(o, "bind", &c.Bind, bindHost(c.Certs)+":7070")
	def(o, "advertise", &c.Advertise, cmp.Or(c.Peers[c.ID], c.Bind))
	def(o, "dir", &c.Dir, "coordinator-"+c.ID)
	expandHomes(&c.Dir, &c.RaftDir, &c.Certs)
	def(o, "raft_dir", &c.RaftDir, filepath.Join(c.Dir, "raft"))
	if len(c.Peers) == 0 && len(c.Join) == 0 {
		c.Peers = map[string]string{c.ID: c.Advertise}
	}
	def(o, "election_timeout", &c.ElectionTimeout, 400*time.Millisecond)
	def(o, "worker_timeout", &c.WorkerTimeout, 1500*time.Millisecond)
	def(o, "log", &c.Log, "info")
	c.validate(&checker{b})
	if err := b.result(); err != nil {
		return nil, err
	}
	c.founds()
	return c, nil
}

// founds settles what a replica does that is not among the founders: it joins them. So all replicas of a cluster can have the same flags.
func (c *Coordinator) founds() {
	if _, self := c.Peers[c.ID]; self {
		return
	}
	for _, id := range slices.Sorted(mapKeys(c.Peers)) {
		if address := c.Peers[id]; !slices.Contains(c.Join, address) {
			c.Join = append(c.Join, address)
		}
	}
	c.Peers = nil
}

// LoadWorker reads a worker's file and sets the flags on top of it. path may be empty: flags alone suffice.
func LoadWorker(path string, flags []Flag) (*Worker, error) {
	w := &Worker{}
	b, err := loadDaemon(path, "worker's file", w, flags)
	if err != nil {
		return nil, err
	}
	o := b.origin
	def(o, "bind", &w.Bind, bindHost(w.Certs)+":0")
	def(o, "advertise", &w.Advertise, w.Bind)
	def(o, "log", &w.Log, "info")
	expandHomes(&w.Dir, &w.Certs)
	w.validate(&checker{b})
	if err := b.result(); err != nil {
		return nil, err
	}
	return w, nil
}

func expandHomes(paths ...*string) {
	for _, p := range paths {
		*p = ExpandHome(*p)
	}
}

// DefaultID is the id of a worker without one: its host's name and its port. Characters that ids may not contain become dashes, and the end of a
// name that is too long a part of its hash: names that differ only there (pods have up to 63 characters) stay different.
func DefaultID(host string, port int) string {
	name := strings.Map(func(r rune) rune {
		if validName("x" + string(r)) {
			return r
		}
		return '-'
	}, host)
	if !validName(name[:min(1, len(name))]) {
		name = "w" + name // it was empty, or began with a dash or a dot
	}
	suffix := "-" + strconv.Itoa(port)
	if room := maxName - len(suffix); len(name) > room {
		sum := sha256.Sum256([]byte(host))
		end := "-" + hex.EncodeToString(sum[:4])
		name = name[:room-len(end)] + end
	}
	return name + suffix
}

// bindHost is where daemons listen unless told otherwise: with a certificate they are made for several machines.
func bindHost(certs string) string {
	if certs != "" {
		return "0.0.0.0"
	}
	return "127.0.0.1"
}

// loadDaemon binds file and flags into a daemon's struct.
func loadDaemon(path, what string, into any, flags []Flag) (*binder, error) {
	var text []byte
	if path != "" {
		var err error
		if text, err = readFile(path, what); err != nil {
			return nil, err
		}
	}
	overrides := make([]override, len(flags))
	for i, f := range flags {
		overrides[i] = override{key: f.Key, value: f.Value, flag: flagPlace(i, f.Name)}
		if field, ok := fieldNamed(reflect.ValueOf(into).Elem(), f.Key); ok {
			overrides[i].value = flowStyle(field.Kind(), f.Value)
		}
	}
	b := newBinder(path)
	b.fill(reflect.ValueOf(into).Elem(), text, overrides)
	return b, nil
}

// flowStyle turns a flag's a,b or a=b,c=d into YAML.
func flowStyle(kind reflect.Kind, value string) string {
	if value == "" || kind != reflect.Slice && kind != reflect.Map {
		return value
	}
	parts := strings.Split(value, ",")
	for i, part := range parts {
		name, rest, ok := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case kind == reflect.Slice:
			parts[i] = strconv.Quote(strings.TrimSpace(part))
		case ok:
			parts[i] = strconv.Quote(name) + ": " + strconv.Quote(rest)
		default:
			parts[i] = strconv.Quote(name) + ": " + strconv.Quote("")
		}
	}
	if kind == reflect.Slice {
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

func (c *Coordinator) validate(k *checker) {
	k.require("id", validName(c.ID), "id %s must be 1 to 64 letters, digits, '-', '_' or '.'", printable.Typed(c.ID))
	k.address("bind", c.Bind, true)
	k.addressIfWritten("advertise", c.Advertise)
	k.require("dir", c.Dir != "", "dir is empty; name a folder for Raft's state and the checkpoints")
	k.require("raft_dir", c.RaftDir != "", "raft_dir is empty; name a folder for Raft's log and snapshots")
	if k.b.origin.written("peers") {
		c.validatePeers(k)
	}
	k.addresses("join", c.Join)
	k.secure(c.Certs, "coordinator", []located{{"bind", c.Bind}, {"advertise", c.Advertise}}, c.Join, c.Peers)
	k.duration("election_timeout", c.ElectionTimeout, 50*time.Millisecond, time.Minute)
	k.duration("worker_timeout", c.WorkerTimeout, 100*time.Millisecond, time.Hour)
	k.oneOf("log", c.Log, logLevels)
	k.watched(&c.Metrics, &c.Pprof)
}

// validatePeers checks peers that were written; else they follow from id and advertise.
func (c *Coordinator) validatePeers(k *checker) {
	if len(c.Peers) > 0 {
		k.require("peers", slices.Contains([]int{1, 3, 5}, len(c.Peers)), "peers must list 1, 3 or 5 coordinators, not %d", len(c.Peers))
		_, self := c.Peers[c.ID]
		k.require("peers", self || len(c.Join) > 0, "peers must list this coordinator (id %s) too, or name those to join by join", printable.Typed(c.ID))
	}
	for _, id := range slices.Sorted(mapKeys(c.Peers)) {
		k.require("peers."+id, validName(id), "peers: id %s must be 1 to 64 letters, digits, '-', '_' or '.'", printable.Typed(id))
		k.address("peers."+id, c.Peers[id], len(c.Peers) == 1)
	}
}

// MaxThreads is how many compute threads a process may have.
const MaxThreads = 1 << 10

func (w *Worker) validate(k *checker) {
	k.require("id", !k.b.origin.written("id") || validName(w.ID), "id %s must be 1 to 64 letters, digits, '-', '_' or '.'", printable.Typed(w.ID))
	k.address("bind", w.Bind, true)
	k.addressIfWritten("advertise", w.Advertise)
	k.require("join", len(w.Join) > 0, "join is missing: name a coordinator's host:port (in the file, or by --join)")
	k.addresses("join", w.Join)
	k.secure(w.Certs, "worker", []located{{"bind", w.Bind}, {"advertise", w.Advertise}}, w.Join, nil)
	between(k, "threads", w.Threads, 0, MaxThreads)
	k.oneOf("log", w.Log, logLevels)
	k.watched(&w.Metrics, &w.Pprof)
}

// watched checks the addresses at which a daemon can be watched, and puts loopback where they name no host.
func (c *checker) watched(metrics, pprof *string) {
	for _, a := range []struct {
		key     string
		address *string
	}{{"metrics", metrics}, {"pprof", pprof}} {
		if *a.address == "" {
			continue
		}
		if strings.HasPrefix(*a.address, ":") {
			*a.address = "127.0.0.1" + *a.address
		}
		c.address(a.key, *a.address, true)
	}
	if *pprof == "" || checkAddress(*pprof, true) != nil {
		return
	}
	host, _, _ := net.SplitHostPort(*pprof) // checked
	ip := net.ParseIP(host)
	c.require("pprof", host == "localhost" || ip != nil && ip.IsLoopback(), "pprof: %s is beyond loopback, and profiles show what is in memory; write 127.0.0.1:PORT, and forward that port by ssh", printable.Typed(*pprof))
}

var logLevels = []string{"debug", "info", "warn", "error"}

func mapKeys(m map[string]string) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for key := range m {
			if !yield(key) {
				return
			}
		}
	}
}

// result is the problems as an error, in the order of their places; nil where there are none.
func (b *binder) result() error {
	if len(b.problems) == 0 {
		return nil
	}
	b.problems.sort()
	if b.unlisted > 0 {
		last := b.problems[len(b.problems)-1].where
		return append(b.problems, &Problem{where: place{name: last.name}, Text: fmt.Sprintf("and %d more problems", b.unlisted)})
	}
	return b.problems
}

func (c *checker) addresses(key string, list []string) {
	for i, address := range list {
		c.address(indexed(key, i), address, false)
	}
}

// located is an address with its key.
type located struct{ key, address string }

// secure requires certificates where an address is beyond loopback. Hosts given by name are checked when they are used:
// the addresses that they resolve to may change. One problem is enough: the remedy is the same for all addresses.
func (c *checker) secure(certs, role string, list []located, join []string, peers map[string]string) {
	if certs != "" {
		return
	}
	for i, address := range join {
		list = append(list, located{indexed("join", i), address})
	}
	for _, id := range slices.Sorted(mapKeys(peers)) {
		list = append(list, located{"peers." + id, peers[id]})
	}
	for _, l := range list {
		if Beyond(l.address) {
			c.require(l.key, false, "%s: %s is beyond loopback, where everything speaks mutual TLS; make certificates (ringmaster certs init; ringmaster certs node ID --role %s) and name their folder by --certs",
				l.key, printable.Typed(l.address), role)
			return
		}
	}
}

// Beyond reports whether a host:port is certainly not a loopback address: any interface, or another IP address. Of hosts
// given by name it says nothing.
func Beyond(address string) bool {
	if checkAddress(address, true) != nil {
		return false
	}
	host, _, _ := net.SplitHostPort(address) // checked
	ip := net.ParseIP(host)
	return host == "" || ip != nil && !ip.IsLoopback()
}

// address requires host:port. Port 0 (any free one) makes sense only for listening.
func (c *checker) address(key, address string, anyPort bool) {
	err := checkAddress(address, anyPort)
	c.require(key, err == nil, "%s: %v", key, err)
}

// addressIfWritten requires host:port of a key that else follows from another one, which is checked.
func (c *checker) addressIfWritten(key, address string) {
	if c.b.origin.written(key) {
		c.address(key, address, true)
	}
}

// CheckAddress says what is wrong with a host:port that is to be dialled; nil when nothing is.
func CheckAddress(address string) error { return checkAddress(address, false) }

// CheckListen checks an address to listen on: like CheckAddress, but port 0, any free one, is allowed.
func CheckListen(address string) error { return checkAddress(address, true) }

func checkAddress(address string, anyPort bool) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%s is not an address; write host:port, like 10.0.0.1:7070", printable.Typed(address))
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil || number == 0 && !anyPort {
		return fmt.Errorf("%s has no port number from 1 to 65535", printable.Typed(address))
	}
	if host == "" && !anyPort {
		return fmt.Errorf("%s names no host; write host:port, like 10.0.0.1:7070", printable.Typed(address))
	}
	return nil
}

func (c *checker) duration(key string, v, low, high time.Duration) {
	c.require(key, v >= low && v <= high, "%s must be from %v to %v, not %v", key, low, high, v)
}
