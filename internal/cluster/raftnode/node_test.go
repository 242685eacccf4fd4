package raftnode

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hashicorp/raft"

	"ringmaster/internal/port"
	"ringmaster/internal/test/support"
)

func TestSingleReplicaComesBackWithEverything(t *testing.T) {
	c := newCluster(t, 1)
	var want []string
	for life := range 3 {
		n := c.start("c1").Node
		for i := range 70 { // more than SnapshotEvery in two lives
			command := fmt.Sprint(life, "-", i)
			propose(t, []*Node{n}, command)
			want = append(want, command)
		}
		if life == 1 {
			if err := n.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
		}
		if got := entries(n); !slices.Equal(got, want) {
			t.Fatalf("life %d: %d entries, want %d", life, len(got), len(want))
		}
		c.crash("c1")
	}
}

func TestProposalGivesTheMachinesResult(t *testing.T) {
	c := newCluster(t, 1)
	n := c.start("c1").Node
	propose(t, []*Node{n}, "one")
	got, err := n.Propose(support.Within(t), []byte("two"))
	if err != nil || got != 2 {
		t.Errorf("result %v, %v; want 2", got, err)
	}
	if err := n.Barrier(support.Within(t)); err != nil {
		t.Error(err)
	}
	if _, err := n.Propose(support.Within(t), make([]byte, MaxCommand+1)); err == nil {
		t.Error("an oversize command was taken")
	}
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := n.Propose(ended, []byte("three")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	s := n.Stats()
	if s.State != "Leader" || s.Voters != 1 || s.AppliedIndex < 2 || s.LeaderSilence != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestFollowersFollowAndNameTheLeader(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	leader := c.leader()
	for id, r := range c.up {
		drain(r.Changed())
		if id == leader {
			continue
		}
		_, err := r.Propose(support.Within(t), []byte("no"))
		var not *NotLeaderError
		if !errors.As(err, &not) || not.ID != leader || not.Address != c.peers[leader] {
			t.Errorf("%s says %v, the leader is %s at %s", id, err, leader, c.peers[leader])
		}
		if err := r.Barrier(support.Within(t)); !errors.As(err, &not) {
			t.Errorf("a barrier at a follower: %v", err)
		}
	}
	propose(t, []*Node{c.up[leader].Node}, "yes")
	for id, r := range c.up {
		for !slices.Equal(entries(r.Node), []string{"yes"}) {
			select {
			case <-r.Changed():
			case <-support.Within(t).Done():
				t.Fatalf("%s was not told of the change, and has %v", id, entries(r.Node))
			}
		}
	}
}

func drain(c <-chan struct{}) {
	select {
	case <-c:
	default:
	}
}

func TestReplicasComeAndGo(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	var want []string
	add := func(n int) {
		for range n {
			command := fmt.Sprint(len(want))
			propose(t, c.nodes(), command)
			want = append(want, command)
		}
	}
	add(5)
	dead := c.leader()
	c.crash(dead)
	add(120) // the dead one misses more than the log keeps after a snapshot
	for _, r := range c.up {
		if err := r.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	c.start(dead)
	c.agree(want)
	for id := range c.peers { // the whole cluster dies and comes back
		c.crash(id)
	}
	c.startAll()
	add(1)
	c.agree(want)
}

// agree waits until all replicas hold the entries. A proposal whose outcome was unknown may stand twice.
func (c *cluster) agree(want []string) {
	c.t.Helper()
	for id, r := range c.up {
		support.Eventually(c.t, fmt.Sprintf("%s holds all %d entries", id, len(want)), func() bool {
			return slices.Equal(entries(r.Node), want)
		})
	}
}

// TestDeadLeaderIsSucceededWithoutWaiting gives Raft timeouts that do not run out within the test: leaders come by standing
// for election at once, or not at all.
func TestDeadLeaderIsSucceededWithoutWaiting(t *testing.T) {
	c := newCluster(t, 3)
	c.timeout, c.turn = 5*support.Patience, 5*support.Patience
	c.startAll()
	support.Eventually(t, "c1 stands", func() bool { return c.up["c1"].stand() == nil })
	support.Eventually(t, "c1 leads", func() bool { return c.leader() == "c1" })
	var want []string
	for _, dead := range []string{"c1", "c2", "c1", "c2"} { // the first of the living inherits
		if l := c.leader(); l != dead {
			t.Fatalf("%s leads, want %s", l, dead)
		}
		want = append(want, "with "+dead)
		propose(t, c.nodes(), want[len(want)-1])
		c.agree(want) // else a heir may lack the last entry, and another is elected
		c.crash(dead)
		c.leader()
		want = append(want, "without "+dead)
		propose(t, c.nodes(), want[len(want)-1])
		c.start(dead)
	}
}

// TestVotesAreAskedForOverNewConnections lets a replica keep an idle connection to one that is restarted, and then need
// its vote; elections are not repeated within the test.
func TestVotesAreAskedForOverNewConnections(t *testing.T) {
	c := newCluster(t, 3)
	c.timeout, c.turn = 5*support.Patience, 5*support.Patience
	c.startAll()
	var want []string
	for _, id := range []string{"c1", "c2", "c1"} { // then c2 has idle connections to both
		c.agree(want) // a replica that lacks an entry is not elected
		support.Eventually(t, id+" stands", func() bool { return c.up[id].stand() == nil })
		support.Eventually(t, id+" leads", func() bool { return c.leader() == id })
		want = append(want, id)
		propose(t, c.nodes(), id)
	}
	c.crash("c3")
	c.start("c3")
	c.agree(want)
	c.crash("c1")
	if l := c.leader(); l != "c2" {
		t.Errorf("%s leads, want c2", l)
	}
}

func TestLeaderHandsOverOnShutdown(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	old := c.leader()
	propose(t, c.nodes(), "before")
	r := c.up[old]
	delete(c.up, old)
	if err := r.Shutdown(support.Within(t)); err != nil {
		t.Fatal(err)
	}
	r.port.Close()
	if _, err := r.Propose(support.Within(t), []byte("late")); !errors.Is(err, ErrClosed) {
		t.Errorf("after shutdown: %v", err)
	}
	if c.leader() == old {
		t.Errorf("%s still leads", old)
	}
	propose(t, c.nodes(), "after")
	c.agree([]string{"before", "after"})
}

func TestOtherPeersThanTheLogsAreRefused(t *testing.T) {
	c := newCluster(t, 1)
	propose(t, []*Node{c.start("c1").Node}, "x")
	c.crash("c1")
	port, err := port.Listen(port.Config{Bind: c.peers["c1"]})
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	peers := map[string]string{"c1": c.peers["c1"], "c2": "127.0.0.1:1", "c3": "127.0.0.1:2"}
	_, err = Start(Config{ID: "c1", Peers: peers, Dir: c.dirs["c1"], Port: port}, &journal{})
	if err == nil || !strings.Contains(err.Error(), "begun by the coordinators [c1], not [c1 c2 c3]") {
		t.Errorf("a single coordinator's log in a cluster of three: %v", err)
	}
}

func TestWrongConfigurationsAreRefused(t *testing.T) {
	for want, cfg := range map[string]Config{
		"2 coordinators, want 1, 3 or 5":           {ID: "c1", Peers: map[string]string{"c1": "a:1", "c2": "b:1"}, Memory: NewMemory(), Transport: NewNetwork().Join("a:1")},
		"it has no address":                        {ID: "c1", Peers: map[string]string{"c2": "b:1"}},
		"it is not among the coordinators [c2]":    {ID: "c1", Address: "a:1", Peers: map[string]string{"c2": "b:1"}, Memory: NewMemory(), Transport: NewNetwork().Join("a:1")},
		"no port to talk to the other":             {ID: "c1", Peers: map[string]string{"c1": "a:1"}},
		"HeartbeatTimeout is too low":              {ID: "c1", Peers: map[string]string{"c1": "a:1"}, ElectionTimeout: 1, Memory: NewMemory(), Transport: NewNetwork().Join("a:1")},
		"start coordinator c1: make the folder of": {ID: "c1", Peers: map[string]string{"c1": "a:1"}, Dir: "/dev/null/x", Transport: NewNetwork().Join("a:1")},
	} {
		n, err := Start(cfg, &journal{})
		if err == nil {
			n.Shutdown(context.Background())
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want …%s…", err, want)
		}
	}
}

func TestRaftsErrorsAreExplained(t *testing.T) {
	c := newCluster(t, 1)
	n := c.start("c1").Node
	for raftError, want := range map[error]error{raft.ErrLeadershipLost: ErrUnknown, raft.ErrAbortedByRestore: ErrUnknown,
		raft.ErrRaftShutdown: ErrClosed, raft.ErrEnqueueTimeout: ErrBusy, raft.ErrLeadershipTransferInProgress: ErrTransferring, nil: nil} {
		if got := n.explain(raftError); !errors.Is(got, want) {
			t.Errorf("%v is explained as %v, want %v", raftError, got, want)
		}
	}
	n.explain(nil)
	if err := n.explain(raft.ErrLeadershipTransferInProgress); err != ErrTransferring {
		t.Errorf("a transfer that has just begun: %v", err)
	}
	n.transferring = n.transferring.Add(-2 * stuckAfter)
	if err := n.explain(raft.ErrLeadershipTransferInProgress); err == nil || !strings.Contains(err.Error(), "which will not end: restart it") {
		t.Errorf("a transfer that does not end: %v", err)
	}
	if n.explain(nil); !n.transferring.IsZero() {
		t.Error("a success does not end the count")
	}
	var not *NotLeaderError
	if err := n.explain(raft.ErrNotLeader); !errors.As(err, &not) || not.ID == "c1" {
		t.Errorf("not leader: %v", err) // it is the leader by now, or will be: it must not send callers to itself
	}
}

const killedEnv = "RINGMASTER_TEST_KILLED_REPLICA"

// proposeUntilKilled is the child process: it prints the number of each command that was acknowledged.
func proposeUntilKilled(dir string) {
	port, err := port.Listen(port.Config{Bind: "127.0.0.1:0"})
	if err != nil {
		panic(err)
	}
	n, err := Start(Config{ID: "c1", Peers: map[string]string{"c1": "127.0.0.1:0"}, Dir: dir, Port: port, SnapshotEvery: 20}, &journal{})
	if err != nil {
		panic(err)
	}
	for i := len(entries(n)); ; i++ {
		if _, err := n.Propose(context.Background(), []byte(fmt.Sprint(i))); err != nil {
			i--
			continue
		}
		fmt.Println(i)
	}
}

func TestKilledReplicaKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	child := exec.Command(os.Args[0])
	child.Env = append(os.Environ(), killedEnv+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := -1
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, err := fmt.Sscan(lines.Text(), &acknowledged); err != nil {
			t.Errorf("the child said %q", lines.Text())
		}
		if acknowledged == 60 {
			if err := child.Process.Kill(); err != nil { // SIGKILL; lines written before are still read
				t.Fatal(err)
			}
		}
	}
	child.Wait()
	if acknowledged < 60 {
		t.Fatalf("the child ended after command %d", acknowledged)
	}
	port, err := port.Listen(port.Config{Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer port.Close()
	n, err := Start(Config{ID: "c1", Peers: map[string]string{"c1": "127.0.0.1:0"}, Dir: dir, Port: port}, &journal{})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Shutdown(support.Within(t))
	support.Eventually(t, "it leads", func() bool { return n.Barrier(support.Within(t)) == nil })
	got := entries(n)
	if len(got) <= acknowledged {
		t.Fatalf("%d entries are there, %d were acknowledged", len(got), acknowledged+1)
	}
	for i, e := range got {
		if e != fmt.Sprint(i) {
			t.Fatalf("entry %d is %q", i, e)
		}
	}
}

// TestPartitionsInMemory runs three replicas in fake time on an in-memory network: a leader that is cut off loses its
// leadership and acknowledges nothing, the majority goes on, and all agree when the network is whole again.
func TestPartitionsInMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := NewNetwork()
		peers := map[string]string{"c1": "a1", "c2": "a2", "c3": "a3"}
		up := map[string]*Node{}
		start := func(id string, m *Memory) {
			n, err := Start(Config{ID: id, Peers: peers, Memory: m, Transport: w.Join(peers[id])}, &journal{})
			if err != nil {
				t.Fatal(err)
			}
			up[id] = n
		}
		disks := map[string]*Memory{}
		for id := range peers {
			disks[id] = NewMemory()
			start(id, disks[id])
		}
		time.Sleep(5 * time.Second)
		old, _, known := up["c1"].Leader()
		if !known {
			t.Fatal("no leader after 5 s")
		}
		if _, err := up[old].Propose(support.Within(t), []byte("a")); err != nil {
			t.Fatal(err)
		}
		for id := range peers {
			if id != old {
				w.Cut(peers[old], peers[id])
				w.Cut(peers[id], peers[old])
			}
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if _, err := up[old].Propose(ctx, []byte("lost")); !errors.Is(err, ErrUnknown) {
			t.Errorf("a leader without a majority said %v", err)
		}
		time.Sleep(5 * time.Second)
		if up[old].IsLeader() {
			t.Error("a leader without a majority still leads")
		}
		var others []*Node
		for id, n := range up {
			if id != old {
				others = append(others, n)
			}
		}
		propose(t, others, "b")
		for id := range peers {
			w.Heal(peers[old], peers[id])
			w.Heal(peers[id], peers[old])
		}
		time.Sleep(5 * time.Second)
		for id, n := range up { // restart all from their disks
			w.Leave(peers[id])
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
		for id := range peers {
			start(id, disks[id])
		}
		time.Sleep(5 * time.Second)
		for id, n := range up {
			if got := entries(n); !slices.Equal(got, []string{"a", "b"}) {
				t.Errorf("%s holds %v", id, got)
			}
			if err := n.end(); err != nil {
				t.Error(err)
			}
		}
	})
}
