package raftnode

import (
	"testing"

	"ringmaster/internal/test/support"
)

// held is a journal that applies a command only when it is let.
type held struct {
	journal
	may chan struct{}
}

func (h *held) Apply(command []byte) any {
	<-h.may
	return h.journal.Apply(command)
}

// TestAppliedIsWhatTheMachineHasApplied: what is read of the machine never lacks an entry up to Applied, though Raft is ahead with its own
// count; a snapshot counts up to its last entry.
func TestAppliedIsWhatTheMachineHasApplied(t *testing.T) {
	memory, network := NewMemory(), NewNetwork()
	begin := func(m *held) *Node {
		n, err := Start(Config{ID: "c1", Address: "c1:1", Peers: map[string]string{"c1": "c1:1"}, Memory: memory, Transport: network.Join("c1:1"), Logger: support.Log(t)}, m)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	m := &held{may: make(chan struct{}, 10)}
	n := begin(m)
	for range 3 {
		m.may <- struct{}{}
		propose(t, []*Node{n}, "x")
	}
	if s := n.Stats(); n.Applied() != s.LastIndex {
		t.Errorf("%d is applied of %+v", n.Applied(), s)
	}
	if err := n.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	whole := n.Applied()
	done := make(chan struct{})
	go func() {
		defer close(done)
		propose(t, []*Node{n}, "y")
	}()
	support.Eventually(t, "Raft has handed the entry over", func() bool { return n.Stats().AppliedIndex > whole })
	if got := n.Applied(); got != whole {
		t.Errorf("%d counts as applied, and the machine is at %d", got, whole)
	}
	m.may <- struct{}{}
	<-done
	if got := n.Applied(); got != whole+1 {
		t.Errorf("afterwards %d counts as applied, want %d", got, whole+1)
	}
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	network.Leave("c1:1")
	again := &held{may: make(chan struct{}, 10)}
	n = begin(again)
	if got := n.Applied(); got != whole {
		t.Errorf("from the snapshot on %d counts as applied, want %d", got, whole)
	}
	close(again.may)
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
}
