package raftnode

import (
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/hashicorp/raft"

	"ringmaster/internal/logs"
	"ringmaster/internal/port"
)

// maxPool is the number of idle connections that Raft's transport keeps for each replica.
const maxPool = 3

// persistent is Raft's transport, except that a vote is asked for again over a new connection where an idle one turns
// out to be broken: that of a replica that was restarted since. Raft itself asks once and then waits for the next
// election. A request for a vote may arrive twice; the answer is the same.
type persistent struct{ *raft.NetworkTransport }

var (
	_ raft.Transport   = persistent{}
	_ raft.WithPreVote = persistent{}
	_ raft.WithClose   = persistent{}
)

// RequestVote asks a replica for its vote.
func (t persistent) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	return again(func() error {
		*resp = raft.RequestVoteResponse{}
		return t.NetworkTransport.RequestVote(id, target, args, resp)
	})
}

// RequestPreVote asks a replica whether it would vote.
func (t persistent) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	return again(func() error {
		*resp = raft.RequestPreVoteResponse{}
		return t.NetworkTransport.RequestPreVote(id, target, args, resp)
	})
}

// again repeats a request as often as there may be broken idle connections. It does not where the replica cannot be
// dialled, or was silent for the transport's timeout.
func again(request func() error) (err error) {
	for range maxPool + 1 {
		if err = request(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		if op := (*net.OpError)(nil); errors.As(err, &op) && op.Op == "dial" {
			return err
		}
	}
	return err
}

func (n *Node) openTransport() error {
	if n.cfg.Transport != nil {
		n.transport = n.cfg.Transport
		return nil
	}
	if n.cfg.Port == nil {
		return errors.New("no port to talk to the other coordinators")
	}
	address, err := n.cfg.Port.Advertise(n.address)
	if err != nil {
		return err
	}
	n.address = address
	n.transport = persistent{raft.NewNetworkTransportWithConfig(&raft.NetworkTransportConfig{
		Stream:                &raftLayer{Listener: n.cfg.Port.Raft(), port: n.cfg.Port, address: raftAddr(address), broken: n.brokenConns},
		ServerAddressProvider: addressBook{n},
		Logger:                logs.Raft(n.log),
		MaxPool:               maxPool,
		// Longer than any pause of a busy machine, yet so short that a connection to a machine that vanished
		// does not hold the node for long. Snapshots get more by their size.
		Timeout: max(2*time.Second, 4*n.cfg.ElectionTimeout),
	})}
	return nil
}

// addressBook tells Raft's transport where replicas are.
type addressBook struct{ n *Node }

// ServerAddr looks a replica up.
func (b addressBook) ServerAddr(id raft.ServerID) (raft.ServerAddress, error) {
	if a := b.n.addressOf(id, ""); a != "" {
		return raft.ServerAddress(a), nil
	}
	return "", fmt.Errorf("nobody knows where coordinator %s is", id)
}

// raftLayer carries Raft over the port.
type raftLayer struct {
	net.Listener
	port    *port.Port
	address raftAddr
	broken  chan struct{} // capacity 1: a connection that came in was closed
}

// Dial connects to another replica.
func (l *raftLayer) Dial(address raft.ServerAddress, timeout time.Duration) (net.Conn, error) {
	return l.port.DialRaft(string(address), timeout)
}

// Addr is the address that the other replicas dial.
func (l *raftLayer) Addr() net.Addr { return l.address }

// raftAddr is an advertised host:port; the host may be a name.
type raftAddr string

// Network is always tcp.
func (a raftAddr) Network() string { return "tcp" }

func (a raftAddr) String() string { return string(a) }

// Accept waits for the next connection of another replica.
func (l *raftLayer) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &watched{Conn: conn, broken: l.broken}, nil
}

// watched tells when it is closed: Raft closes what came in when it breaks.
type watched struct {
	net.Conn
	broken chan struct{}
}

// Close closes the connection.
func (w *watched) Close() error {
	poke(w.broken)
	return w.Conn.Close()
}
