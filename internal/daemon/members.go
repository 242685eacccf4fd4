package daemon

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/cluster"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/cluster/raftnode"
	"ringmaster/internal/gossip"
	"ringmaster/internal/rpc"
	"ringmaster/internal/sleep"
)

const (
	memberLook   = 250 * time.Millisecond // between two checks of this replica's membership
	memberCall   = 5 * time.Second        // bounds one question to one coordinator
	enterFirst   = 100 * time.Millisecond // between two attempts to enter a cluster
	enterLast    = 2 * time.Second
	leaderless   = 3 * time.Second // without a leader for so long, a replica asks whether it was removed
	leaderlessGo = 2 * time.Second // between two such questions
)

// RemovedError means that this replica is no longer a member of the cluster.
type RemovedError struct {
	ID  string
	Now []string // its members
}

// Error says what to do.
func (e *RemovedError) Error() string {
	return fmt.Sprintf("coordinator %s was removed from the cluster, whose coordinators are %s; to bring it back, start it with --join and an empty folder", e.ID, strings.Join(e.Now, ", "))
}

// ExitCode tells a process supervisor not to restart this process.
func (e *RemovedError) ExitCode() int { return 4 }

// membership maintains a replica's own place among the coordinators.
type membership struct {
	id, address string
	seeds       []string // addresses of coordinators, as the configuration says
	gossip      *gossip.Gossip
	node        *raftnode.Node // nil before it is a member
	conns       *connections
	log         *slog.Logger
	said        string
}

// logged are the addresses of the replicas that the log knows, and those of the configuration.
func (m *membership) logged() []string {
	var all []string
	if m.node != nil {
		for _, r := range m.node.Replicas() {
			all = append(all, r.Address)
		}
	}
	return append(all, m.seeds...)
}

// known are all addresses of coordinators, including those from gossip.
func (m *membership) known() []string { return coordinators(m.gossip, m.logged()) }

// say logs a line unless it repeats the previous one.
func (m *membership) say(text string, args ...any) {
	if line := fmt.Sprintln(append([]any{text}, args...)...); line != m.said {
		m.said = line
		m.log.Info(text, args...)
	}
}

// lead carries a question to the leader: it asks the coordinators that it knows, one after another, and those that they
// name as leading. The error is the leader's, or the last one where none was found.
func (m *membership) lead(ctx context.Context, do func(context.Context, rpc.CoordinatorClient) error) error {
	ask, asked := m.known(), map[string]bool{}
	last := errors.New("no other coordinator is known")
	for len(ask) > 0 && ctx.Err() == nil {
		address := ask[0]
		ask = ask[1:]
		if asked[address] || address == m.address {
			continue
		}
		asked[address] = true
		conn, err := m.conns.at(address)
		if err == nil {
			bounded, cancel := context.WithTimeout(ctx, memberCall)
			err = do(bounded, rpc.NewCoordinatorClient(conn))
			cancel()
		}
		if err == nil {
			return nil
		}
		last = fmt.Errorf("coordinator %s: %s", address, certs.Reason(err))
		if leader, follows := leaderOf(err); follows {
			if leader != "" && !asked[leader] {
				ask = slices.Insert(ask, 0, leader)
			}
			continue
		}
		switch status.Code(err) {
		case codes.FailedPrecondition, codes.PermissionDenied, codes.InvalidArgument, codes.Unimplemented, codes.AlreadyExists:
			return &refusal{last, status.Code(err) == codes.AlreadyExists}
		}
	}
	return last
}

// refusal is a leader's answer that asking again will not change.
type refusal struct {
	error
	lives bool // since another process is the coordinator of that id
}

// leaderOf reads the leader from a follower's answer.
func leaderOf(err error) (address string, follows bool) {
	for _, d := range status.Convert(err).Details() {
		if other, ok := d.(*rpc.NotLeader); ok {
			return other.LeaderAddress, true
		}
	}
	return "", false
}

// stay keeps the replica a voting member at its current address. It returns a *RemovedError when
// it is no longer a member.
func (m *membership) stay(ctx context.Context, server *cluster.Server) error {
	var target uint64 // how far its checkpoints must reach before it gets its vote
	led, asked := time.Now(), time.Time{}
	for sleep.For(ctx, memberLook) {
		m.gossip.SetSeeds(m.logged()) // replicas separated by a partition must find those that joined since
		self, member := m.node.Logged(m.id)
		if _, _, known := m.node.Leader(); known {
			led = time.Now()
		}
		switch {
		case member && self.Votes && self.Address == m.address:
			m.said = ""
		case member:
			var err error
			if target, err = m.ask(ctx, server, self, target); err != nil {
				return err
			}
		}
		if member && time.Since(led) < leaderless || time.Since(asked) < leaderlessGo {
			continue
		}
		asked = time.Now()
		if err := m.stillIn(ctx, server); err != nil {
			return err
		}
	}
	return nil
}

// ask asks the leader, which may be this replica, for the vote, or to note the new address. The error says that another process
// is the coordinator of this id.
func (m *membership) ask(ctx context.Context, server *cluster.Server, self raftnode.Replica, target uint64) (uint64, error) {
	request := &rpc.AddCoordinatorRequest{Id: m.id, Address: m.address, Whole: target > 0 && server.Whole(target)}
	var reply *rpc.AddCoordinatorReply
	do := func(ctx context.Context, leader rpc.CoordinatorClient) (err error) {
		reply, err = leader.AddCoordinator(ctx, request)
		return err
	}
	var err error
	if m.node.IsLeader() {
		reply, err = server.AddCoordinator(ctx, request)
	} else {
		err = m.lead(ctx, do)
	}
	var refused *refusal
	switch {
	case ctx.Err() != nil:
	case errors.As(err, &refused) && refused.lives:
		return 0, err
	case err != nil:
		m.say("cannot tell the leader about this coordinator", "logged", self, "address", m.address, "reason", err)
	case reply.Waits != "":
		m.say("joins the cluster", "waits_for", reply.Waits)
		if target == 0 {
			return reply.Applied, nil
		}
	case !self.Votes && self.Address == m.address:
		m.log.Info("joined the cluster: this coordinator votes", "id", m.id)
	default:
		m.log.Info("the cluster knows the new address of this coordinator", "was", self.Address, "address", m.address)
	}
	return target, nil
}

// stillIn asks the leader of the cluster whether this replica belongs to it.
func (m *membership) stillIn(ctx context.Context, server *cluster.Server) error {
	var reply *rpc.CoordinatorsReply
	err := m.lead(ctx, func(ctx context.Context, leader rpc.CoordinatorClient) (err error) {
		reply, err = leader.Coordinators(ctx, &rpc.CoordinatorsRequest{})
		return err
	})
	if err != nil {
		return nil // nobody to ask: it goes on waiting for a leader
	}
	var own uint64
	server.Log().Read(func(st *fsm.State) { own = uint64(st.Cluster) })
	var ids []string
	for _, c := range reply.Coordinators {
		ids = append(ids, c.Id)
	}
	if slices.Contains(ids, m.id) || own != 0 && own != reply.Cluster {
		return nil
	}
	return &RemovedError{m.id, ids}
}

// spend has the leader, which may be this replica, note that a join token is used.
func (m *membership) spend(server *cluster.Server) certs.Spend {
	return func(token [sha256.Size]byte, expires time.Time, key [sha256.Size]byte) error {
		ctx, cancel := context.WithTimeout(context.Background(), memberCall)
		defer cancel()
		r := &rpc.SpendTokenRequest{Token: token[:], Key: key[:], Expires: expires.Unix()}
		var err error
		if m.node.IsLeader() {
			_, err = server.SpendToken(ctx, r)
		} else {
			err = m.lead(ctx, func(ctx context.Context, leader rpc.CoordinatorClient) error {
				_, err := leader.SpendToken(ctx, r)
				return err
			})
		}
		switch {
		case err == nil:
			return nil
		case strings.Contains(err.Error(), fsm.ErrSpent.Error()):
			return fsm.ErrSpent
		}
		return fmt.Errorf("whether the token has been used cannot be found out now (%s); try again", certs.Reason(err))
	}
}
