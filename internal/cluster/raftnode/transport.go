package raftnode

import (
	"errors"
	"net"
	"os"

	"github.com/hashicorp/raft"
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
