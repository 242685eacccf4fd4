package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"ringmaster/internal/cluster/fsm"
	"ringmaster/internal/cluster/raftnode"
)

// Machine makes the pure state machine one that a node can replicate.
type Machine struct{ state *fsm.State }

// NewMachine is a machine with an empty state.
func NewMachine() *Machine { return &Machine{state: &fsm.State{}} }

// Apply carries out an encoded command. The result is nil or the error that says why it was refused.
func (m *Machine) Apply(command []byte) any {
	c, err := fsm.DecodeCommand(command)
	if err == nil {
		err = m.state.Apply(c)
	}
	if err != nil {
		return err
	}
	return nil
}

// Snapshot writes the whole state.
func (m *Machine) Snapshot() ([]byte, error) { return m.state.Encode() }

// Restore replaces the state.
func (m *Machine) Restore(snapshot []byte) error {
	s, err := fsm.Decode(snapshot)
	if err != nil {
		return err
	}
	m.state = s
	return nil
}

// Replicated is the Log over a Raft node that replicates a Machine.
type Replicated struct{ Node *raftnode.Node }

// Unstored is what keeps this replica from writing its log, and since when.
func (r *Replicated) Unstored() (time.Time, error) { return r.Node.Unstored() }

// Propose appends a command to the log and waits until it is applied here.
func (r *Replicated) Propose(ctx context.Context, command fsm.Command) error {
	data, err := fsm.EncodeCommand(command)
	if err != nil {
		return err
	}
	result, err := r.Node.Propose(ctx, data)
	if err != nil {
		return err
	}
	if refused, ok := result.(error); ok {
		return &RefusedError{refused}
	}
	return nil
}

// RefusedError says why the state machine refused a command; the state is unchanged.
type RefusedError struct{ Reason error }

// Error is the reason.
func (e *RefusedError) Error() string { return e.Reason.Error() }

// Unwrap is the reason.
func (e *RefusedError) Unwrap() error { return e.Reason }

// Barrier waits until everything that was committed before is applied here.
func (r *Replicated) Barrier(ctx context.Context) error { return r.Node.Barrier(ctx) }

// Read calls do with the state.
func (r *Replicated) Read(do func(*fsm.State)) {
	r.Node.View(func(m raftnode.Machine) { do(m.(*Machine).state) })
}

// Changed receives a value after the state or the leadership changed.
func (r *Replicated) Changed() <-chan struct{} { return r.Node.Changed() }

// Leading reports whether this replica leads.
func (r *Replicated) Leading() bool { return r.Node.IsLeader() }

// Leader is the leader's id and address; empty while there is none.
func (r *Replicated) Leader() (id, address string) {
	id, address, _ = r.Node.Leader()
	return id, address
}

// Replicas are all coordinators in the order of their ids.
func (r *Replicated) Replicas() []Replica {
	var out []Replica
	for _, m := range r.Node.Replicas() {
		out = append(out, Replica(m))
	}
	return out
}

// Add brings a replica one step closer to being a member.
func (r *Replicated) Add(ctx context.Context, a Arrival) (waits string, err error) {
	waits, err = r.Node.AddReplica(ctx, raftnode.Arrival(a))
	if errors.Is(err, raftnode.ErrLives) {
		return "", fmt.Errorf("%w; %w", err, ErrLives)
	}
	return waits, busy(err)
}

// Remove takes a replica out.
func (r *Replicated) Remove(ctx context.Context, id string, force bool) error {
	return busy(r.Node.RemoveReplica(ctx, id, force))
}

func busy(err error) error {
	if errors.Is(err, raftnode.ErrBusyChanging) || errors.Is(err, raftnode.ErrBusy) || errors.Is(err, raftnode.ErrTransferring) || errors.Is(err, raftnode.ErrUnknown) {
		return fmt.Errorf("%w: %w", ErrBusy, err)
	}
	return err
}

// Look asks all replicas how far they are.
func (r *Replicated) Look(ctx context.Context) []Standing {
	var out []Standing
	for _, s := range r.Node.Look(ctx) {
		out = append(out, Standing{Replica: Replica(s.Replica), Silent: s.Silent, Behind: s.Behind})
	}
	return out
}

// Applied is the index of the newest entry of the log that is applied here.
func (r *Replicated) Applied() uint64 { return r.Node.Applied() }
