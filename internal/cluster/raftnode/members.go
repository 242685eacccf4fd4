package raftnode

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"

	"ringmaster/internal/sleep"
)

// Replica is a member of the cluster of coordinators.
type Replica struct {
	ID, Address string
	Votes       bool // false: it is still taking over what the others have
}

// Bounds on changes of the replicas.
const (
	maxReplicas = 7 // five, and two that take the place of others
	// changeRest is the time between two changes of the voters. A file stored with the earlier majority has
	// been counted by then.
	changeRest = time.Second
	// nearEnough is how many entries a new replica may lack when it gets its vote.
	nearEnough = 64
	lookTime   = time.Second // a replica that does not answer for so long counts as silent
)

// ErrBusyChanging means that another change of the replicas is under way.
var ErrBusyChanging = errors.New("another change of the coordinators is under way; try again")

// Replicas are the replicas as this one's log knows them, in the order of their ids. The newest change may not be
// committed yet.
func (n *Node) Replicas() []Replica {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return nil
	}
	var all []Replica
	for _, s := range f.Configuration().Servers {
		at := string(s.Address)
		if string(s.ID) == n.cfg.ID {
			at = n.address
		}
		all = append(all, Replica{ID: string(s.ID), Address: at, Votes: s.Suffrage == raft.Voter})
	}
	slices.SortFunc(all, func(a, b Replica) int { return cmp.Compare(a.ID, b.ID) })
	return all
}

// Logged is the replica as the log knows it; false where it does not.
func (n *Node) Logged(id string) (Replica, bool) {
	f := n.raft.GetConfiguration()
	if f.Error() != nil {
		return Replica{}, false
	}
	for _, s := range f.Configuration().Servers {
		if string(s.ID) == id {
			return Replica{ID: id, Address: string(s.Address), Votes: s.Suffrage == raft.Voter}, true
		}
	}
	return Replica{}, false
}

func (n *Node) addressOf(id raft.ServerID, fallback raft.ServerAddress) string {
	if id == raft.ServerID(n.cfg.ID) {
		return n.address
	}
	known := string(fallback)
	if r, ok := n.Logged(string(id)); ok {
		known = r.Address
	}
	if n.cfg.Elsewhere != nil {
		return cmp.Or(n.cfg.Elsewhere(string(id), known), known)
	}
	return known
}

func (n *Node) voters() int {
	return len(slices.DeleteFunc(n.Replicas(), func(r Replica) bool { return !r.Votes }))
}

// Standing is how far a replica's log is, as the leader sees it.
type Standing struct {
	Replica
	Silent bool   // it does not answer
	Behind uint64 // entries of the log that it lacks
}

// Look asks all replicas how far they are, each for at most a second.
func (n *Node) Look(ctx context.Context) []Standing {
	all := n.Replicas()
	out := make([]Standing, len(all))
	var asking sync.WaitGroup
	for i, r := range all {
		asking.Go(func() { out[i] = n.look(ctx, r) })
	}
	asking.Wait()
	return out
}

// look asks one. The question is a request to append nothing, of a term that has long passed: the receiver answers with
// its last index and does nothing else. The transport may take longer than the question's time to give up; what comes
// then is forgotten.
func (n *Node) look(ctx context.Context, r Replica) Standing {
	last := n.raft.LastIndex()
	if r.ID == n.cfg.ID {
		return Standing{Replica: r}
	}
	self, at := raft.ServerID(n.cfg.ID), raft.ServerAddress(n.address)
	request := &raft.AppendEntriesRequest{RPCHeader: raft.RPCHeader{ProtocolVersion: raft.ProtocolVersionMax,
		ID: []byte(self), Addr: n.transport.EncodePeer(self, at)}}
	type answer struct {
		last uint64
		id   string // of who answers
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		var a answer
		a.err = again(func() error {
			var response raft.AppendEntriesResponse
			err := n.transport.AppendEntries(raft.ServerID(r.ID), raft.ServerAddress(r.Address), request, &response)
			a.last, a.id = response.LastLog, string(response.ID)
			return err
		})
		answers <- a
	}()
	bounded, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	select {
	case a := <-answers:
		if a.err == nil && a.id == r.ID { // another one may have its address
			return Standing{Replica: r, Behind: last - min(a.last, last)}
		}
	case <-bounded.Done():
	}
	return Standing{Replica: r, Silent: true}
}

// change takes the right to change the replicas. With rest it waits until the change before has settled.
func (n *Node) change(ctx context.Context, rest bool) (done func(), err error) {
	if !n.IsLeader() {
		return nil, n.explain(raft.ErrNotLeader)
	}
	select {
	case n.changing <- struct{}{}:
	default:
		return nil, ErrBusyChanging
	}
	n.mu.Lock()
	settled := n.settled
	n.mu.Unlock()
	if rest && !sleep.For(ctx, time.Until(settled)) {
		<-n.changing
		return nil, ErrBusyChanging
	}
	return func() { <-n.changing }, nil
}

// settle makes the next change of the voters wait a while.
func (n *Node) settle() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.settled = time.Now().Add(changeRest)
}

// Arrival is a replica that wants to be a member.
type Arrival struct {
	ID, Address string
	Fresh       bool // its folder is empty: it has forgotten how it voted and what it acknowledged
	Lost        bool // with Fresh: because its log was damaged
	Whole       bool // it holds all else that a member must hold
}

// ErrLives means that a replica answers where the log knows it, so that another process cannot be it.
var ErrLives = errors.New("it answers")

// AddReplica brings a replica one step closer to being a member at an address, and says what it waits for; "" means that
// nothing is missing. It is meant to be asked for again and again: by a replica that wants to join, or has moved. First it
// gets the log, without a vote; once it has that and says that it holds all else too, it gets the vote. One that votes already
// must not come back with an empty folder; one that says why, since its log was damaged, loses its vote and begins again. Errors as
// of Propose, and ErrLives.
func (n *Node) AddReplica(ctx context.Context, a Arrival) (waits string, err error) {
	known, member := n.Logged(a.ID)
	done, err := n.change(ctx, member && (known.Votes && a.Lost || !known.Votes && a.Whole))
	if err != nil {
		return "", err
	}
	defer done()
	if known, member = n.Logged(a.ID); member && a.Fresh && known.Votes && !a.Lost {
		return "", fmt.Errorf("coordinator %s votes already, and the new one's folder is empty: if its log was lost, take it out first (ringmaster coordinators remove %s), else give the new one an id of its own (--id)", a.ID, a.ID)
	}
	for _, r := range n.Replicas() {
		if r.ID != a.ID && r.Address == a.Address {
			return "", fmt.Errorf("coordinator %s is at %s already: %s needs an address of its own", r.ID, a.Address, a.ID)
		}
	}
	emptied := member && known.Votes && a.Fresh
	if member && (emptied || known.Address != a.Address) && n.lives(ctx, known, a.Address) {
		return "", fmt.Errorf("coordinator %s is at %s, and %w there", a.ID, known.Address, ErrLives)
	}
	switch {
	case emptied:
		return "its log", n.readmit(ctx, known, a.Address)
	case member && known.Address != a.Address:
		return "", n.move(ctx, known, a.Address)
	case member && known.Votes:
		return "", nil
	case member:
		return n.promote(ctx, known, a.Whole)
	}
	if len(n.Replicas()) >= maxReplicas {
		return "", fmt.Errorf("there are %d coordinators already: remove one first (ringmaster coordinators remove ID)", maxReplicas)
	}
	return "its log", n.admit(ctx, a.ID, a.Address)
}

// lives reports whether a replica answers where the log knows it. Where gossip knows it elsewhere alone, it has moved.
func (n *Node) lives(ctx context.Context, r Replica, claimed string) bool {
	if r.ID == n.cfg.ID {
		return claimed != n.address
	}
	return n.addressOf(raft.ServerID(r.ID), "") == r.Address && !n.look(ctx, r).Silent
}

// readmit takes a voter that has lost its log out, and in again without a vote. The removal is committed by a majority of the
// others, who hold everything before it then, so what the voter acknowledged and has forgotten is no longer needed from it. It must
// not have spoken as a voter since it lost its log: its Raft starts when it has been taken in.
func (n *Node) readmit(ctx context.Context, r Replica, address string) error {
	if err := n.checkRemoval(ctx, r.ID, false); err != nil {
		return fmt.Errorf("take the vote of coordinator %s back: %w", r.ID, err)
	}
	n.log.Warn("a coordinator has lost its log and begins again without a vote", "id", r.ID, "address", address)
	err := n.reconfigure(ctx, "take the vote of coordinator "+r.ID+" back", func(patience time.Duration) raft.Future {
		return n.raft.RemoveServer(raft.ServerID(r.ID), 0, patience)
	})
	n.settle()
	if err != nil {
		return err
	}
	return n.admit(ctx, r.ID, address)
}

// admit adds a replica that gets the log and has no vote.
func (n *Node) admit(ctx context.Context, id, address string) error {
	n.log.Info("a coordinator joins", "id", id, "address", address)
	return n.reconfigure(ctx, fmt.Sprintf("add coordinator %s at %s", id, address), func(patience time.Duration) raft.Future {
		return n.raft.AddNonvoter(raft.ServerID(id), raft.ServerAddress(address), 0, patience)
	})
}

func (n *Node) move(ctx context.Context, r Replica, address string) error {
	n.log.Info("a coordinator has moved", "id", r.ID, "from", r.Address, "to", address)
	return n.reconfigure(ctx, fmt.Sprintf("move coordinator %s to %s", r.ID, address), func(patience time.Duration) raft.Future {
		// Of a replica that there is, both change the address alone.
		return n.raft.AddNonvoter(raft.ServerID(r.ID), raft.ServerAddress(address), 0, patience)
	})
}

func (n *Node) promote(ctx context.Context, r Replica, whole bool) (waits string, err error) {
	switch s := n.look(ctx, r); {
	case s.Silent:
		return "an answer: the leader cannot reach it at " + r.Address + "; open its port in the firewall, or set its --advertise", nil
	case s.Behind > nearEnough:
		return fmt.Sprintf("its log: %d entries are missing", s.Behind), nil
	case !whole:
		return "its checkpoints", nil
	}
	n.log.Info("a new coordinator has caught up and votes", "id", r.ID, "address", r.Address)
	defer n.settle()
	return "", n.reconfigure(ctx, fmt.Sprintf("give coordinator %s its vote", r.ID), func(patience time.Duration) raft.Future {
		return n.raft.AddVoter(raft.ServerID(r.ID), raft.ServerAddress(r.Address), 0, patience)
	})
}

// RemoveReplica takes a replica out of the cluster; that there is none of that id is no error. The leader itself first
// hands over, and then answers with a *NotLeaderError: ask the next one. A removal that would leave no majority which
// answers is refused, unless forced. Errors as of Propose.
func (n *Node) RemoveReplica(ctx context.Context, id string, force bool) error {
	done, err := n.change(ctx, true)
	if err != nil {
		return err
	}
	defer done()
	r, member := n.Logged(id)
	if !member {
		return nil
	}
	if r.Votes {
		if err := n.checkRemoval(ctx, id, force); err != nil {
			return err
		}
	}
	if id == n.cfg.ID {
		if err := n.yield(ctx); err != nil {
			return err
		}
		return n.explain(raft.ErrNotLeader)
	}
	n.log.Info("a coordinator is removed", "id", id, "address", r.Address, "forced", force)
	defer n.settle()
	return n.reconfigure(ctx, "remove coordinator "+id, func(patience time.Duration) raft.Future {
		return n.raft.RemoveServer(raft.ServerID(id), 0, patience)
	})
}

// checkRemoval, whose errors follow the name of what was asked, refuses to take a voter out where those that stay could then decide nothing.
func (n *Node) checkRemoval(ctx context.Context, id string, force bool) error {
	var stay, silent []string
	for _, s := range n.Look(ctx) {
		switch {
		case !s.Votes || s.ID == id:
		case s.Silent:
			silent = append(silent, s.ID)
			fallthrough
		default:
			stay = append(stay, s.ID)
		}
	}
	switch answer := len(stay) - len(silent); {
	case len(stay) == 0:
		return errors.New("it is the only one that votes; add another first")
	case force || answer > len(stay)/2:
		return nil
	default:
		return fmt.Errorf("of those that stay (%s) only %d answer, no majority (silent: %s); remove the dead ones first, or add others; --force does it all the same",
			strings.Join(stay, " "), answer, strings.Join(silent, " "))
	}
}

// yieldTime bounds how long one replica may take to be elected in this one's place, yieldPatience how long this one tries to
// hand over: on a busy machine the others may be a few entries behind, or slow to vote, for a while.
const (
	yieldTime     = time.Second
	yieldPatience = 15 * time.Second
	yieldPause    = 50 * time.Millisecond
)

// yield makes another replica lead: one that answers and holds the whole log is told to stand for election, again and again until one
// is elected. Raft's own transfer would stop all proposals meanwhile, for good where it is cut short.
func (n *Node) yield(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, yieldPatience)
	defer cancel()
	for {
		if err := n.Barrier(ctx); err != nil {
			return err
		}
		why := n.yieldOnce(ctx)
		if !n.IsLeader() {
			return nil
		}
		if !sleep.For(ctx, yieldPause) {
			return fmt.Errorf("no other coordinator took over from %s within %v: %s", n.cfg.ID, yieldPatience, why)
		}
	}
}

// yieldOnce tells each replica that can lead to stand for election, until one does. It returns what the others lack.
func (n *Node) yieldOnce(ctx context.Context) string {
	var lacks []string
	for _, s := range n.Look(ctx) {
		switch {
		case s.ID == n.cfg.ID || !s.Votes:
			continue
		case s.Silent:
			lacks = append(lacks, s.ID+" does not answer")
			continue
		case s.Behind > 0:
			lacks = append(lacks, fmt.Sprintf("%s lacks %d entries of the log", s.ID, s.Behind))
			continue
		}
		n.log.Info("hands over", "to", s.ID)
		if err := n.bid(s.ID, s.Address); err != nil {
			n.log.Warn("could not hand over", "to", s.ID, "error", err)
			lacks = append(lacks, fmt.Sprintf("%s could not be told: %v", s.ID, err))
			continue
		}
		for end := time.Now().Add(yieldTime); time.Now().Before(end) && sleep.For(ctx, 5*time.Millisecond); {
			if !n.IsLeader() {
				return ""
			}
		}
		lacks = append(lacks, s.ID+" was not elected")
	}
	return strings.Join(lacks, ", ")
}

// reconfigure carries out a change of the replicas and waits until it is committed.
func (n *Node) reconfigure(ctx context.Context, what string, begin func(patience time.Duration) raft.Future) error {
	if err := n.wait(ctx, begin); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	poke(n.changed)
	return nil
}
