// Package agent is what ringmaster up runs on each host: it gets certificates, starts and stops the daemons, and says how they are.
//
// It reads one request, a line of JSON, and answers by lines of JSON until the result. A request for a certificate goes out between them,
// and a grant comes back. It listens nowhere: whoever may log in by ssh may do no more than before.
package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"ringmaster/internal/certs"
)

// Protocol is the version of the messages.
const Protocol = 1

// maxMessage bounds a line: thousands of daemons fit.
const maxMessage = 4 << 20

// What an agent may be asked for.
const (
	Apply  = "apply"  // start what is missing, restart what has changed
	Look   = "look"   // say how the daemons are
	Stop   = "stop"   // end daemons
	Purge  = "purge"  // delete what the cluster has on the host
	Logs   = "logs"   // write the ends of logs; this answer is their text
	Status = "status" // of the cluster, by a coordinator of this host
	Remove = "remove" // take coordinators out of the cluster, likewise
	Save   = "save"   // have the running jobs save a checkpoint, likewise
)

// Request says what is wanted.
type Request struct {
	Protocol  int      `json:"protocol"`
	Op        string   `json:"op"`
	Dir       string   `json:"dir"`               // of the cluster on the host, absolute
	Cluster   string   `json:"cluster"`           // its name
	Authority string   `json:"authority"`         // fingerprint of its authority, in hexadecimal
	Service   string   `json:"service,omitempty"` // of config.Services
	Daemons   []Daemon `json:"daemons,omitempty"` // apply: all that the host is to run
	Restart   bool     `json:"restart,omitempty"` // apply: those that run and have changed are started again
	IDs       []string `json:"ids,omitempty"`     // stop, logs: these daemons; none: all. remove: these coordinators
	Workers   bool     `json:"workers,omitempty"` // stop: workers alone
	Lines     int      `json:"lines,omitempty"`   // logs: of each
	Follow    bool     `json:"follow,omitempty"`  // logs: go on until the input ends
	Want      int      `json:"want,omitempty"`    // status: the number of workers to wait for, for a while
}

// Daemon is one that a host is to run.
type Daemon struct {
	ID        string     `json:"id"`
	Role      certs.Role `json:"role"`
	Bind      string     `json:"bind"`
	Advertise string     `json:"advertise"`
	Join      []string   `json:"join,omitempty"` // coordinators; none: a coordinator that founds the cluster
	Threads   int        `json:"threads,omitempty"`
}

// Message is a line of an answer. One of its fields is set.
type Message struct {
	Enrol  *Enrol  `json:"enrol,omitempty"`
	Note   string  `json:"note,omitempty"` // for the person, at once
	Result *Result `json:"result,omitempty"`
	Error  string  `json:"error,omitempty"`
}

// Enrol asks for a certificate. A line with a certs.Grant is the answer.
type Enrol struct {
	ID      string     `json:"id"`
	Role    certs.Role `json:"role"`
	Request []byte     `json:"request"` // PKCS #10, DER
}

// Result ends an answer.
type Result struct {
	Daemons []State       `json:"daemons,omitempty"`
	Cluster *ClusterState `json:"cluster,omitempty"`
	Saved   []string      `json:"saved,omitempty"` // jobs
	Left    []string      `json:"left,omitempty"`  // purge: what is left in the folder, since it is not the cluster's
}

// States of a daemon.
const (
	Running = "running"
	Ended   = "ended"   // it was not asked to
	Stopped = "stopped" // it was
)

// Outdated is what has changed where a daemon would have to be started again.
const Outdated = "outdated"

// State is how a daemon of a host is.
type State struct {
	ID       string     `json:"id"`
	Role     certs.Role `json:"role"`
	State    string     `json:"state"`
	PID      int        `json:"pid,omitempty"`
	Since    int64      `json:"since,omitempty"`   // Unix seconds
	Version  string     `json:"version,omitempty"` // that it was started with
	Service  string     `json:"service,omitempty"`
	Address  string     `json:"address,omitempty"`
	Changed  string     `json:"changed,omitempty"` // apply, stop: "started", "restarted", "stopped", Outdated
	Problem  string     `json:"problem,omitempty"` // why it does not run, or did not stop
	Unwanted bool       `json:"unwanted,omitempty"`
}

// ClusterState is what the coordinators say of the cluster.
type ClusterState struct {
	Coordinators []string `json:"coordinators"` // ids
	Leader       string   `json:"leader"`
	Workers      []string `json:"workers"` // ids of those that have attached
}

// ReadLine reads one message.
func ReadLine(r io.Reader, into any) error {
	text, err := readLine(r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("read a message: %w", err)
	}
	return nil
}

var errLong = fmt.Errorf("a message is longer than %d bytes", maxMessage)

// readLine reads byte by byte where the reader has no buffer: nothing behind the line is taken.
func readLine(r io.Reader) ([]byte, error) {
	var text []byte
	one := make([]byte, 1)
	for {
		if _, err := io.ReadFull(r, one); err != nil {
			if errors.Is(err, io.EOF) && len(text) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
		if one[0] == '\n' {
			return text, nil
		}
		if len(text) >= maxMessage {
			return nil, errLong
		}
		text = append(text, one[0])
	}
}

// WriteLine writes one message.
func WriteLine(w io.Writer, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("write a message: %w", err)
	}
	_, err = w.Write(append(text, '\n'))
	return err
}
