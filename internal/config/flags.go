package config

import "reflect"

// Option describes a key of a daemon's file as a command-line flag. The flag is the key with dashes for underscores.
type Option struct {
	Key   string
	Usage string // the value's name is in back quotes
}

// CoordinatorOptions are the flags of the coordinator.
var CoordinatorOptions = []Option{
	{"id", "`name`, unique among the coordinators (default c1)"},
	{"bind", "`host:port` to listen on, TCP and UDP (default 127.0.0.1:7070; with --certs 0.0.0.0:7070)"},
	{"advertise", "`host:port` that others dial (default: as in --peers, else as --bind)"},
	{"dir", "`folder` of the checkpoints and of Raft's state (default coordinator-ID)"},
	{"raft_dir", "`folder` of Raft's log and snapshots (default: raft in --dir)"},
	{"peers", "the coordinators that found a new cluster, this one too: `c1=host:port,c2=...` (default: this one alone)"},
	{"join", "`addresses` of coordinators of a cluster to join, host:port,host:port"},
	{"certs", "`folder` of the certificate (see ringmaster certs); needed beyond loopback"},
	{"election_timeout", "replicas that hear nothing from the leader for this `time` elect another (default 400ms)"},
	{"worker_timeout", "a worker silent for this `time` is suspected (default 1.5s)"},
	{"log", "`level` of the log: debug, info, warn or error (default info)"},
	{"metrics", "`host:port` at which /metrics (for Prometheus), /healthz and /readyz are served by plain HTTP, :PORT for loopback (default: nowhere)"},
	{"pprof", "`host:port` of loopback at which Go's profiles are served (default: nowhere)"},
}

// WorkerOptions are the flags of the worker.
var WorkerOptions = []Option{
	{"id", "`name`, unique in the cluster (default: host name and port)"},
	{"bind", "`host:port` to listen on; port 0 takes any free one (default 127.0.0.1:0; with --certs 0.0.0.0:0)"},
	{"advertise", "`host:port` that other workers dial (default: as --bind)"},
	{"join", "`addresses` of coordinators, host:port,host:port; one that answers suffices"},
	{"certs", "`folder` of the certificate (see ringmaster certs); needed beyond loopback"},
	{"dir", "`folder` for scratch space and local sockets (default: a temporary one)"},
	{"threads", "compute `threads` (default: as many as the machine's CPUs)"},
	{"log", "`level` of the log: debug, info, warn or error (default info)"},
	{"metrics", "`host:port` at which /metrics (for Prometheus), /healthz and /readyz are served by plain HTTP, :PORT for loopback (default: nowhere)"},
	{"pprof", "`host:port` of loopback at which Go's profiles are served (default: nowhere)"},
}

// Keys lists the keys of a mapping of the configuration, given as its type's value, in their order.
func Keys(mapping any) []string { return fieldNames(reflect.TypeOf(mapping)) }
