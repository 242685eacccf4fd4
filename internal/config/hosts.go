package config

import (
	"net"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"ringmaster/internal/printable"
)

// Hosts lists the machines of a cluster that ringmaster up starts by ssh.
type Hosts struct {
	Name    string `yaml:"name"`    // of the cluster, part of its folder on each host; default: the file's
	Dir     string `yaml:"dir"`     // folder on each host; a leading ~/ is the home folder there
	Service string `yaml:"service"` // what looks after the daemons: auto, systemd or detached
	Hosts   []Host `yaml:"hosts"`

	origin *origin
}

// Host is one machine.
type Host struct {
	SSH         string `yaml:"ssh"`         // what a person types behind ssh: a name of ~/.ssh/config, user@host
	Name        string `yaml:"name"`        // in ids and messages; default: the host part of SSH
	Address     string `yaml:"address"`     // IP address or name that the other hosts dial; "": the one at which ssh arrives
	Coordinator bool   `yaml:"coordinator"` // default: the first host, of three or more the first three
	Workers     int    `yaml:"workers"`
	Threads     int    `yaml:"threads"`     // compute threads of each worker; 0: the host's CPUs divided by its workers
	Port        int    `yaml:"port"`        // of the coordinator
	WorkerPort  int    `yaml:"worker_port"` // of the first worker; the others have the next ones
}

// What may look after the daemons of a host.
const (
	ServiceAuto     = "auto"     // systemd where it does so after a logout, else nobody
	ServiceSystemd  = "systemd"  // systemd --user
	ServiceDetached = "detached" // nobody: processes of their own session
)

// Services are all of them.
var Services = []string{ServiceAuto, ServiceSystemd, ServiceDetached}

const (
	maxHosts       = 4096
	maxHostWorkers = 256
	maxHostName    = 48  // so that ids fit, which add "-w256"
	maxHostDir     = 200 // bytes
)

// LoadHosts reads a file of hosts and fills in the defaults.
func LoadHosts(path string) (*Hosts, error) {
	text, err := readFile(path, "file of hosts")
	if err != nil {
		return nil, err
	}
	return ParseHosts(path, text)
}

// ParseHosts is LoadHosts for a text; messages use name as the file's name.
func ParseHosts(name string, text []byte) (*Hosts, error) {
	h := &Hosts{}
	b := newBinder(name)
	b.fill(reflect.ValueOf(h).Elem(), text, nil)
	h.origin = b.origin
	h.setDefaults(strings.TrimSuffix(filepath.Base(name), filepath.Ext(name)))
	h.validate(&checker{b})
	if err := b.result(); err != nil {
		return nil, err
	}
	return h, nil
}

func (h *Hosts) setDefaults(file string) {
	if !validName(file) {
		file = "hosts"
	}
	def(h.origin, "name", &h.Name, file)
	def(h.origin, "dir", &h.Dir, "~/.local/share/ringmaster/"+h.Name)
	def(h.origin, "service", &h.Service, ServiceAuto)
	chosen := false
	for i := range h.Hosts {
		host, key := &h.Hosts[i], indexed("hosts", i)+"."
		def(h.origin, key+"name", &host.Name, nameFromSSH(host.SSH))
		def(h.origin, key+"workers", &host.Workers, 1)
		def(h.origin, key+"port", &host.Port, 7070)
		def(h.origin, key+"worker_port", &host.WorkerPort, host.Port+1)
		chosen = chosen || host.Coordinator
	}
	if chosen {
		return
	}
	most := 1
	if len(h.Hosts) >= 3 {
		most = 3
	}
	for i := range h.Hosts {
		if !h.origin.written(indexed("hosts", i)+".coordinator") && most > 0 {
			h.Hosts[i].Coordinator = true
			most--
		}
	}
}

// nameFromSSH is the host in what is typed behind ssh: alice@node1.lab is node1.lab.
func nameFromSSH(ssh string) string {
	ssh = strings.TrimPrefix(ssh, "ssh://")
	ssh = ssh[strings.LastIndexByte(ssh, '@')+1:]
	if host, _, err := net.SplitHostPort(ssh); err == nil {
		ssh = host
	}
	name := strings.Map(func(r rune) rune {
		if validName("x" + string(r)) {
			return r
		}
		return '-'
	}, ssh)
	return strings.TrimLeft(name[:min(len(name), maxHostName)], "-.")
}

func (h *Hosts) validate(c *checker) {
	c.require("name", validName(h.Name), "name %s must be 1 to 64 letters, digits, '-', '_' or '.', and not begin with '.' or '-'", printable.Typed(h.Name))
	c.require("dir", validHostDir(h.Dir), "dir: %s must be an absolute path on the hosts, or begin with ~/, in at most %d characters without control characters or ..", printable.Typed(h.Dir), maxHostDir)
	c.oneOf("service", h.Service, Services)
	c.require("hosts", len(h.Hosts) > 0, "hosts is missing: list the machines, like  hosts: [{ssh: alice@10.0.0.1}, {ssh: alice@10.0.0.2}]")
	c.require("hosts", len(h.Hosts) <= maxHosts, "hosts lists %d machines, more than %d", len(h.Hosts), maxHosts)
	coordinators := 0
	first := map[string]int{}
	for i := range h.Hosts[:min(len(h.Hosts), maxHosts)] {
		key := indexed("hosts", i)
		h.Hosts[i].validate(c, key, len(h.Hosts) == 1)
		if h.Hosts[i].Coordinator {
			coordinators++
		}
		name := h.Hosts[i].Name
		other, twice := first[name]
		c.require(key+".name", !twice, "%s: two hosts are called %s, the other is hosts[%d]; give one of them another name", key, printable.Typed(name), other)
		first[name] = i
	}
	c.require("hosts", len(h.Hosts) == 0 || coordinators > 0, "hosts: no host may have a coordinator; write coordinator: true at one, three or five of them")
	c.require("hosts", coordinators == 0 || slices.Contains([]int{1, 3, 5}, coordinators), "hosts: %d hosts have a coordinator: true; it takes 1, 3 or 5", coordinators)
}

func (h *Host) validate(c *checker, key string, alone bool) {
	if !c.present(key+".ssh", "write what you type behind ssh, like alice@10.0.0.1 or a name of ~/.ssh/config") {
		return
	}
	c.require(key+".ssh", validSSH(h.SSH), "%s.ssh: %s is nothing to type behind ssh: write HOST, USER@HOST or ssh://USER@HOST:PORT; options belong into ~/.ssh/config", key, printable.Typed(h.SSH))
	c.require(key+".name", !validSSH(h.SSH) || validName(h.Name) && len(h.Name) <= maxHostName, "%s.name: %s must be 1 to %d letters, digits, '-', '_' or '.', and not begin with '.' or '-'", key, printable.Typed(h.Name), maxHostName)
	if c.b.origin.written(key + ".address") {
		ip := net.ParseIP(h.Address)
		c.require(key+".address", ip != nil || validName(h.Address), "%s.address: %s is neither an IP address nor a host's name; the port is a key of its own", key, printable.Typed(h.Address))
		c.require(key+".address", ip == nil || !ip.IsUnspecified() && !ip.IsMulticast() && (alone || !ip.IsLoopback()), "%s.address: %s is no address that other hosts reach", key, h.Address)
	}
	between(c, key+".workers", h.Workers, 0, maxHostWorkers)
	between(c, key+".threads", h.Threads, 0, MaxThreads)
	between(c, key+".port", h.Port, 1, 65535)
	between(c, key+".worker_port", h.WorkerPort, 1, 65536-max(1, h.Workers))
	clash := h.Coordinator && h.Port >= h.WorkerPort && h.Port < h.WorkerPort+h.Workers
	c.require(key+".worker_port", !clash, "%s.worker_port: the workers' ports %d to %d include the coordinator's, %d", key, h.WorkerPort, h.WorkerPort+h.Workers-1, h.Port)
	c.require(key+".workers", h.Workers > 0 || h.Coordinator, "%s.workers: the host has neither workers nor a coordinator; delete it, or give it something to do", key)
}

// validSSH reports whether a text is a destination of ssh, and neither an option nor anything that a shell could take apart: ssh hands it to
// what ProxyCommand and Match exec name.
func validSSH(s string) bool {
	return s != "" && len(s) <= 255 && s[0] != '-' && !strings.ContainsFunc(strings.TrimPrefix(s, "ssh://"), func(r rune) bool {
		return !strings.ContainsRune("@.:%[]_-", r) && !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9')
	})
}

func validHostDir(dir string) bool {
	rest, home := strings.CutPrefix(dir, "~/")
	return (home || strings.HasPrefix(dir, "/")) && len(strings.Trim(rest, "/")) > 0 && len(dir) <= maxHostDir && printable.Line(dir, maxHostDir) == dir &&
		!slices.Contains(strings.Split(dir, "/"), "..")
}

// CoordinatorID and WorkerID name the daemons of a host: node1-c, node1-w1.
func (h *Host) CoordinatorID() string { return h.Name + "-c" }

// WorkerID names the i-th worker, from 0.
func (h *Host) WorkerID(i int) string { return h.Name + "-w" + strconv.Itoa(i+1) }
