package raftnode

import (
	"sync"

	"github.com/hashicorp/raft"
)

// Network connects in-memory Raft transports, for tests and simulations: connections can be cut one way.
type Network struct {
	mu    sync.Mutex
	nodes map[string]*raft.InmemTransport
	cut   map[[2]string]bool // from, to: requests of from do not reach to
}

// NewNetwork is a network without nodes.
func NewNetwork() *Network {
	return &Network{nodes: map[string]*raft.InmemTransport{}, cut: map[[2]string]bool{}}
}

// Join makes the transport of the node at address, in place of an earlier one there. Cuts stay.
func (w *Network) Join(address string) raft.Transport {
	w.mu.Lock()
	defer w.mu.Unlock()
	_, t := raft.NewInmemTransport(raft.ServerAddress(address))
	w.nodes[address] = t
	for other := range w.nodes {
		w.connect(address, other)
		w.connect(other, address)
	}
	return t
}

// connect makes the connection of from to to as the cuts want it.
func (w *Network) connect(from, to string) {
	f, t := w.nodes[from], w.nodes[to]
	if f == nil || t == nil {
		return
	}
	f.Disconnect(raft.ServerAddress(to))
	if !w.cut[[2]string{from, to}] {
		f.Connect(raft.ServerAddress(to), t)
	}
}

// Cut loses all requests of from to to; those the other way, and their answers, still arrive.
func (w *Network) Cut(from, to string) { w.set(from, to, true) }

// Heal takes a Cut back.
func (w *Network) Heal(from, to string) { w.set(from, to, false) }

// Leave takes a node off the network, as a crash does.
func (w *Network) Leave(address string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.nodes {
		t.Disconnect(raft.ServerAddress(address))
	}
	if t := w.nodes[address]; t != nil {
		t.DisconnectAll()
	}
	delete(w.nodes, address)
}

func (w *Network) set(from, to string, cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut[[2]string{from, to}] = cut
	w.connect(from, to)
}
