package fleet

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/regularfile"
	"ringmaster/internal/wholefile"
)

// Place is a folder beside the file of hosts, in which this machine keeps what it must remember of the cluster:
//
//	certs/       the authority, and a client's certificate for the person here
//	cluster.json the hosts that the cluster is on, and where its coordinators are
type Place string

// PlaceOf is the place that belongs to a file of hosts: hosts-cluster beside hosts.yaml.
func PlaceOf(file string) Place {
	return Place(strings.TrimSuffix(file, filepath.Ext(file)) + "-cluster")
}

// Certs is the folder to name by --certs.
func (p Place) Certs() string { return filepath.Join(string(p), "certs") }

const (
	recordFile  = "cluster.json"
	maxRecord   = 16 << 20
	ownPatience = time.Second
)

// record is what cluster.json holds.
type record struct {
	Authority string                 `json:"authority"` // fingerprint, in hexadecimal
	Founder   string                 `json:"founder"`   // id of the coordinator that founds the cluster; "": none has been chosen
	Founded   bool                   `json:"founded"`   // it has: every other coordinator joins, also for the first one's second start
	Hosts     map[string]*hostRecord `json:"hosts"`     // by name
}

// hostRecord is a host on which the cluster is.
type hostRecord struct {
	SSH         string `json:"ssh"`
	Dir         string `json:"dir"`
	Address     string `json:"address"`
	Program     string `json:"program"`     // SHA-256 of what was brought there last
	Coordinator string `json:"coordinator"` // host:port of its coordinator; "": it has none
}

// Addresses are those of the coordinators of a cluster that ringmaster up has started, for --cluster.
func (p Place) Addresses() ([]string, error) {
	r, err := p.load()
	if err != nil {
		return nil, err
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(r.Hosts)) {
		if address := r.Hosts[name].Coordinator; address != "" {
			out = append(out, address)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("no coordinator is known in %s: start the cluster first (ringmaster up)", p)
	}
	return out, nil
}

// own keeps other commands from changing the cluster meanwhile.
func (p Place) own() (*folderlock.Lock, error) {
	owner, err := folderlock.Own(string(p), ownPatience)
	if errors.As(err, new(*folderlock.TakenError)) {
		return nil, fmt.Errorf("another ringmaster up or down is at work: %w", err)
	}
	return owner, err
}

// load reads the record; an empty one where there is none.
func (p Place) load() (*record, error) {
	r := &record{Hosts: map[string]*hostRecord{}}
	path := filepath.Join(string(p), recordFile)
	f, err := regularfile.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecord+1))
	if err == nil && len(text) > maxRecord {
		err = errors.New("it is too large")
	}
	if err == nil {
		err = json.Unmarshal(text, r)
	}
	for name, h := range r.Hosts {
		if h == nil || name == "" {
			err = errors.Join(err, errors.New("it lists a host that is none"))
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; it says on which hosts the cluster is: take it from a backup, or move it away and run ringmaster up", path, err)
	}
	if r.Hosts == nil {
		r.Hosts = map[string]*hostRecord{}
	}
	return r, nil
}

func (p Place) save(r *record) error {
	return wholefile.Write(filepath.Join(string(p), recordFile), 0o600, func(w io.Writer) error {
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		return e.Encode(r)
	})
}

// authority reads the cluster's authority. make makes one where there is none and none has been.
func (p Place) authority(r *record, make bool, now time.Time) (*certs.Authority, error) {
	if _, err := os.Stat(p.Certs()); errors.Is(err, fs.ErrNotExist) && make && r.Authority == "" {
		return certs.Init(p.Certs(), now)
	}
	a, err := certs.LoadAuthority(p.Certs())
	if err != nil {
		return nil, err
	}
	if sum := fmt.Sprintf("%x", a.Fingerprint()); r.Authority != "" && r.Authority != sum {
		return nil, fmt.Errorf("the authority in %s is not the one with which the cluster was started", p.Certs())
	}
	return a, nil
}
