package cluster

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"ringmaster/internal/certs"
	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/rpc"
)

// Replica is one coordinator.
type Replica struct {
	ID, Address string
	Votes       bool // false: it joins, and is still taking over what the others have
}

// Arrival is a replica that wants to be a member.
type Arrival struct {
	ID, Address string
	Fresh       bool // its folder is empty
	Lost        bool // because its log was damaged
	Whole       bool // it holds all checkpoints
}

// Standing is a replica as the leader sees it.
type Standing struct {
	Replica
	Silent bool   // it does not answer
	Behind uint64 // entries of the log that it lacks
}

// Membership changes the set of replicas.
type Membership interface {
	// Add brings a replica one step closer to being a member and says what it waits for; "" means nothing. The error is
	// ErrLives where another process is the replica of that id.
	Add(ctx context.Context, a Arrival) (waits string, err error)
	// Remove takes a replica out.
	Remove(ctx context.Context, id string, force bool) error
	// Look asks all replicas how far they are.
	Look(ctx context.Context) []Standing
	// Applied is the index of the newest entry of the log that is applied here.
	Applied() uint64
}

// Coordinators lists the replicas.
func (s *Server) Coordinators(ctx context.Context, r *rpc.CoordinatorsRequest) (*rpc.CoordinatorsReply, error) {
	out := &rpc.CoordinatorsReply{UnixNs: time.Now().UnixNano()}
	if !s.leads() {
		if !r.Any {
			return nil, s.notLeader()
		}
		out.Coordinators = s.coordinators()
	} else {
		if err := s.log.Barrier(ctx); err != nil {
			return nil, s.refused("list the coordinators", err)
		}
		out.Coordinators = s.coordinators()
		for _, l := range s.log.Look(ctx) {
			for _, c := range out.Coordinators {
				if c.Id == l.ID {
					c.Silent, c.Behind = l.Silent, l.Behind
				}
			}
		}
	}
	s.log.Read(func(st *fsm.State) { out.Cluster = uint64(st.Cluster) })
	return out, nil
}

// AddCoordinator brings a replica one step closer to being one of the cluster.
func (s *Server) AddCoordinator(ctx context.Context, r *rpc.AddCoordinatorRequest) (*rpc.AddCoordinatorReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	if err := certs.CheckID(r.Id); err != nil || r.Address == "" || len(r.Address) > maxAddress {
		return nil, status.Error(codes.InvalidArgument, "a coordinator that joins names its id and address")
	}
	if who, _, err := certs.CallerOf(ctx); err == nil && who.Role == certs.Coordinator && who.ID != r.Id {
		return nil, status.Errorf(codes.PermissionDenied, "%v may not join as %.64q", who, r.Id)
	}
	waits, err := s.log.Add(ctx, Arrival{ID: r.Id, Address: r.Address, Fresh: r.Fresh, Lost: r.Lost, Whole: r.Whole})
	if errors.Is(err, ErrLives) {
		return nil, status.Error(codes.AlreadyExists, err.Error())
	}
	if err != nil {
		return nil, s.refused("", err)
	}
	s.poke()
	return &rpc.AddCoordinatorReply{Waits: waits, Applied: s.log.Applied()}, nil
}

// RemoveCoordinator takes a replica out of the cluster.
func (s *Server) RemoveCoordinator(ctx context.Context, r *rpc.RemoveCoordinatorRequest) (*rpc.RemoveCoordinatorReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	if err := s.log.Remove(ctx, r.Id, r.Force); err != nil {
		return nil, s.refused("", err)
	}
	s.poke()
	return &rpc.RemoveCoordinatorReply{}, nil
}

// ErrBusy means that a change of the replicas is under way; it may be asked for again.
var ErrBusy = errors.New("the coordinators are just being changed")

// ErrLives means that a replica answers where the log knows it, so that another process cannot be it.
var ErrLives = errors.New("give each coordinator an id of its own (--id)")

// Whole reports whether this replica holds all checkpoints that the log up to an entry speaks of, as far as any replica has
// them.
func (s *Server) Whole(index uint64) bool { return s.wholeAt.Load() >= max(index, 1) }

// voters are the ids of the replicas that count for a majority.
func (s *Server) voters() []string {
	var ids []string
	for _, r := range s.log.Replicas() {
		if r.Votes {
			ids = append(ids, r.ID)
		}
	}
	return ids
}

// SpendToken notes in the log that a join token is used.
func (s *Server) SpendToken(ctx context.Context, r *rpc.SpendTokenRequest) (*rpc.SpendTokenReply, error) {
	if !s.leads() {
		return nil, s.notLeader()
	}
	if len(r.Token) != sha256.Size || len(r.Key) != sha256.Size {
		return nil, status.Error(codes.InvalidArgument, "a token and a key are named by their SHA-256")
	}
	if err := s.log.Propose(ctx, fsm.Command{Spend: &fsm.Spend{Token: r.Token, Key: r.Key, Expires: r.Expires, Now: time.Now().Unix()}}); err != nil {
		return nil, s.refused("", err)
	}
	return &rpc.SpendTokenReply{}, nil
}
