package raftnode

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/test/support"
)

// add brings a replica into the cluster as its daemon would: it asks whoever leads until nothing is missing.
func (c *cluster) add(id string) {
	c.t.Helper()
	c.ask("add "+id, func(n *Node) (bool, error) {
		waits, err := n.AddReplica(support.Within(c.t), Arrival{ID: id, Address: c.peers[id], Fresh: c.up[id] == nil, Whole: true})
		if err == nil && c.up[id] == nil {
			c.start(id)
		}
		return err == nil && waits == "", err
	})
}

func (c *cluster) remove(id string, force bool) (err error) {
	c.t.Helper()
	c.ask("remove "+id, func(n *Node) (bool, error) {
		err = n.RemoveReplica(support.Within(c.t), id, force)
		if errors.Is(err, ErrUnknown) || errors.As(err, new(*NotLeaderError)) || errors.Is(err, ErrBusyChanging) {
			return false, err
		}
		return true, nil
	})
	return err
}

// ask asks the replicas in turn until one has done it. That one does not lead, or is busy, is no failure.
func (c *cluster) ask(what string, do func(*Node) (bool, error)) {
	c.t.Helper()
	var last error
	for end := time.Now().Add(support.Patience); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		for _, n := range c.nodes() {
			done, err := do(n)
			if done {
				return
			}
			if err != nil && !errors.As(err, new(*NotLeaderError)) {
				last = err
			}
		}
	}
	c.t.Fatalf("%s: not done in %v: %v", what, support.Patience, last)
}

// newcomer prepares a folder and an address for a replica that is to be added.
func (c *cluster) newcomer(id string) {
	c.t.Helper()
	c.peers[id], c.dirs[id] = freeAddress(c.t), c.t.TempDir()
	c.founders = nil
}

// known waits until all replicas know exactly these as voters.
func (c *cluster) known(ids ...string) {
	c.t.Helper()
	for id, r := range c.up {
		support.Eventually(c.t, fmt.Sprintf("%s knows %v", id, ids), func() bool {
			var voters []string
			for _, other := range r.Replicas() {
				if other.Votes {
					voters = append(voters, other.ID)
				}
			}
			return slices.Equal(voters, ids)
		})
	}
}

// TestReplaceAllReplicasOneByOne replaces each replica by a new one while proposals go on: nothing that was acknowledged
// is lost, and the last ones hold what the first ones took.
func TestReplaceAllReplicasOneByOne(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	var want []string
	add := func(n int) {
		for range n {
			want = append(want, fmt.Sprint(len(want)))
			propose(t, c.nodes(), want[len(want)-1])
		}
	}
	add(120) // more than the log keeps after a snapshot
	for _, r := range c.up {
		if err := r.raft.Snapshot().Error(); err != nil {
			t.Fatal(err)
		}
	}
	for _, change := range [][2]string{{"c1", "c4"}, {"c2", "c5"}, {"c3", "c6"}} {
		before, after := change[0], change[1]
		c.newcomer(after)
		c.add(after)
		add(3)
		if err := c.remove(before, false); err != nil {
			t.Fatal(err)
		}
		c.crash(before)
		delete(c.peers, before)
		add(3)
	}
	c.known("c4", "c5", "c6")
	c.agree(want)
	for id := range c.peers { // the log knows who they are: nobody names them again
		c.crash(id)
	}
	c.startAll()
	add(1)
	c.agree(want)
}

// TestReplaceADeadReplica takes the place of one that does not come back, then loses the leader.
func TestReplaceADeadReplica(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	propose(t, c.nodes(), "a")
	c.crash("c1")
	delete(c.peers, "c1")
	c.newcomer("c4")
	c.add("c4")
	if err := c.remove("c1", false); err != nil {
		t.Fatal(err)
	}
	c.known("c2", "c3", "c4")
	propose(t, c.nodes(), "b")
	c.agree([]string{"a", "b"})
	c.crash(c.leader())
	propose(t, c.nodes(), "c")
	c.agree([]string{"a", "b", "c"})
}

// TestOneReplicaBecomesThree grows a cluster that was founded by one replica alone, and loses the first.
func TestOneReplicaBecomesThree(t *testing.T) {
	c := newCluster(t, 1)
	c.startAll()
	propose(t, c.nodes(), "a")
	for _, id := range []string{"c2", "c3"} {
		c.newcomer(id)
		c.add(id)
	}
	c.known("c1", "c2", "c3")
	c.crash("c1")
	propose(t, c.nodes(), "b")
	c.agree([]string{"a", "b"})
}

// TestLeaderHandsOverBeforeItIsRemoved also watches the removed replica: it lives on, but never stands for election.
func TestLeaderHandsOverBeforeItIsRemoved(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	old := c.leader()
	err := c.up[old].RemoveReplica(support.Within(t), old, false)
	var other *NotLeaderError
	if !errors.As(err, &other) || other.ID == old {
		t.Fatalf("the leader that is to be removed says %v", err)
	}
	if err := c.remove(old, false); err != nil {
		t.Fatal(err)
	}
	removed := c.up[old]
	delete(c.up, old)
	defer func() { c.up[old] = removed }() // to be ended
	for end := time.Now().Add(5 * c.timeout); time.Now().Before(end); time.Sleep(c.timeout / 20) {
		if state := removed.Stats().State; state == "Candidate" || state == "Leader" {
			t.Fatalf("the removed %s is %s", old, state)
		}
	}
	c.leader()
	if removed.IsLeader() {
		t.Errorf("the removed %s leads", old)
	}
}

func TestRemovalThatLosesTheMajorityIsRefused(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	propose(t, c.nodes(), "a")
	c.crash("c3")
	c.leader()
	for _, id := range []string{"c1", "c2"} {
		err := c.remove(id, false)
		if err == nil || !strings.Contains(err.Error(), "only 1 answer") || !strings.Contains(err.Error(), "silent: c3") {
			t.Errorf("remove %s with c3 dead: %v", id, err)
		}
	}
	if err := c.remove("c3", false); err != nil {
		t.Fatal(err)
	}
	c.known("c1", "c2")
	gone := "c1"
	if c.leader() == gone {
		gone = "c2"
	}
	if err := c.remove(gone, false); err != nil {
		t.Fatal(err)
	}
	c.crash(gone)
	last := c.leader()
	if err := c.remove(last, true); err == nil || !strings.Contains(err.Error(), "the only one that votes") {
		t.Errorf("remove the last: %v", err)
	}
	propose(t, c.nodes(), "b")
}

// TestForgetfulReplicaIsRefused: one that votes and comes back with an empty folder has forgotten how it voted.
func TestForgetfulReplicaIsRefused(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	leader := c.up[c.leader()]
	for id := range c.peers {
		if _, err := leader.AddReplica(support.Within(t), Arrival{ID: id, Address: c.peers[id], Fresh: true, Whole: false}); err == nil || !strings.Contains(err.Error(), "votes already") {
			t.Errorf("%s with an empty folder: %v", id, err)
		}
		if waits, err := leader.AddReplica(support.Within(t), Arrival{ID: id, Address: c.peers[id], Fresh: false, Whole: true}); waits != "" || err != nil {
			t.Errorf("%s, a member already: waits for %q, %v", id, waits, err)
		}
	}
	if _, err := leader.AddReplica(support.Within(t), Arrival{ID: "c9", Address: c.peers["c2"], Fresh: true, Whole: false}); err == nil || !strings.Contains(err.Error(), "c2 is at") {
		t.Errorf("an address that is taken: %v", err)
	}
}

// TestNewReplicaVotesOnlyWhenItHasAll: before, it neither votes nor counts.
func TestNewReplicaVotesOnlyWhenItHasAll(t *testing.T) {
	c := newCluster(t, 1)
	c.startAll()
	leader := c.up["c1"].Node
	propose(t, c.nodes(), "a")
	c.newcomer("c2")
	waits, err := leader.AddReplica(support.Within(t), Arrival{ID: "c2", Address: c.peers["c2"], Fresh: true, Whole: false})
	if err != nil || waits != "its log" {
		t.Fatalf("waits for %q, %v", waits, err)
	}
	if waits, err = leader.AddReplica(support.Within(t), Arrival{ID: "c2", Address: c.peers["c2"], Fresh: false, Whole: true}); err != nil || !strings.Contains(waits, "cannot reach it at") {
		t.Errorf("not started: waits for %q, %v", waits, err)
	}
	c.start("c2")
	if waits, err = leader.AddReplica(support.Within(t), Arrival{ID: "c2", Address: c.peers["c2"], Fresh: false, Whole: false}); err != nil || waits != "its checkpoints" {
		t.Errorf("without its checkpoints: waits for %q, %v", waits, err)
	}
	c.agree([]string{"a"})
	if look := leader.Look(support.Within(t)); len(look) != 2 || look[1].Votes || look[1].Silent || look[1].Behind != 0 {
		t.Errorf("the leader sees %+v", look)
	}
	c.crash("c2")
	propose(t, c.nodes(), "b") // its majority is c1 alone
	if look := leader.Look(support.Within(t)); !look[1].Silent {
		t.Errorf("the leader sees %+v", look)
	}
	c.start("c2")
	c.add("c2")
	c.known("c1", "c2")
}

func TestFreshFolders(t *testing.T) {
	c := newCluster(t, 1)
	for _, want := range []bool{true, false} {
		if fresh, err := Fresh(c.dirs["c1"]); err != nil || fresh != want {
			t.Errorf("fresh: %v, %v; want %v", fresh, err, want)
		}
		if want {
			c.start("c1")
			c.crash("c1")
		}
	}
	c.newcomer("c2")
	c.start("c2") // nobody has added it: its log stays empty
	c.crash("c2")
	if fresh, err := Fresh(c.dirs["c2"]); err != nil || !fresh {
		t.Errorf("fresh: %v, %v", fresh, err)
	}
}

// TestNoOtherChangeMeanwhile: the replicas change one at a time.
func TestNoOtherChangeMeanwhile(t *testing.T) {
	c := newCluster(t, 1)
	n := c.start("c1").Node
	support.Eventually(t, "it leads", n.IsLeader)
	done, err := n.change(support.Within(t), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.RemoveReplica(support.Within(t), "c1", false); !errors.Is(err, ErrBusyChanging) {
		t.Errorf("meanwhile: %v", err)
	}
	done()
	n.settle()
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	if err := n.RemoveReplica(ended, "c1", false); !errors.Is(err, ErrBusyChanging) {
		t.Errorf("without the time to settle: %v", err)
	}
}

// TestVoterThatLostItsLog loses its vote before it begins again, not while it lives, and only where the others can decide without it.
func TestVoterThatLostItsLog(t *testing.T) {
	c := newCluster(t, 3)
	c.startAll()
	propose(t, c.nodes(), "before")
	leader := c.leader()
	others := slices.DeleteFunc([]string{"c1", "c2", "c3"}, func(id string) bool { return id == leader })
	lost, other := others[0], others[1]
	arrival := Arrival{ID: lost, Address: c.peers[lost], Fresh: true, Lost: true}
	if _, err := c.up[leader].AddReplica(support.Within(t), arrival); !errors.Is(err, ErrLives) {
		t.Fatalf("a living voter's vote was to be taken back: %v", err)
	}
	elsewhere := Arrival{ID: lost, Address: freeAddress(t)}
	if _, err := c.up[leader].AddReplica(support.Within(t), elsewhere); !errors.Is(err, ErrLives) {
		t.Fatalf("a living replica was moved: %v", err)
	}
	if r, _ := c.up[leader].Logged(lost); r.Address != c.peers[lost] || !r.Votes {
		t.Fatalf("%s is %+v now", lost, r)
	}
	c.crash(lost)
	c.dirs[lost] = t.TempDir()
	c.crash(other)
	if _, err := c.up[leader].AddReplica(support.Within(t), arrival); err == nil {
		t.Fatal("the vote was taken back without a majority of the others")
	}
	c.start(other)
	c.founders = nil
	c.ask("take the vote back", func(n *Node) (bool, error) {
		_, err := n.AddReplica(support.Within(t), arrival)
		return err == nil, err
	})
	if r, ok := c.up[c.leader()].Logged(lost); !ok || r.Votes {
		t.Fatalf("%s is %+v before it has a log", lost, r)
	}
	c.start(lost)
	c.add(lost)
	propose(t, c.nodes(), "after")
	support.Eventually(t, "the log is whole again", func() bool { return len(entries(c.up[lost].Node)) == 2 })
}

func TestSetAside(t *testing.T) {
	dir := t.TempDir()
	for n := 1; n <= 2; n++ {
		path, whole := filledStore(t)
		for name, text := range map[string][]byte{logName: whole[:len(whole)/2], snapshotsName + "/x": nil} {
			at := filepath.Join(dir, filepath.FromSlash(name))
			if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o700), os.WriteFile(at, text, 0o600)); err != nil {
				t.Fatal(err, path)
			}
		}
		if _, err := Fresh(dir); !errors.As(err, new(*DamagedError)) {
			t.Fatalf("half a log: %v", err)
		}
		aside, err := SetAside(dir)
		if err != nil || aside != filepath.Join(dir, fmt.Sprintf("damaged-%d", n)) {
			t.Fatalf("set aside in %s, %v", aside, err)
		}
		if b, err := os.ReadFile(filepath.Join(aside, logName)); err != nil || len(b) != len(whole)/2 {
			t.Errorf("%d bytes were kept of the log, %v", len(b), err)
		}
		if fresh, err := Fresh(dir); !fresh || err != nil || !Lost(dir) {
			t.Errorf("fresh %v, %v; lost %v", fresh, err, Lost(dir))
		}
	}
	if err := errors.Join(Found(dir), Found(dir)); err != nil || Lost(dir) {
		t.Errorf("with a log again: lost %v, %v", Lost(dir), err)
	}
	if err := os.MkdirAll(filepath.Join(dir, snapshotsName, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Fresh(dir); !errors.As(err, new(*DamagedError)) {
		t.Errorf("snapshots without a log: %v", err)
	}
}

// The mark is there before a replica can vote, tells of that folder alone, and of no log that has not begun.
func TestMark(t *testing.T) {
	c := newCluster(t, 1)
	home := t.TempDir()
	c.dirs["c1"], c.marks = filepath.Join(home, "raft"), map[string]string{"c1": filepath.Join(home, "begun"), "c2": filepath.Join(home, "c2")}
	begun := func(mark, dir string, want bool) {
		t.Helper()
		if got, err := Begun(mark, dir); got != want || err != nil {
			t.Errorf("begun: %v, %v; want %v", got, err, want)
		}
	}
	begun(c.marks["c1"], c.dirs["c1"], false)
	for range 2 {
		c.start("c1")
		begun(c.marks["c1"], c.dirs["c1"], true)
		c.crash("c1")
	}
	begun(c.marks["c1"], filepath.Join(home, "raft-2"), false) // of another launch
	moved := filepath.Join(t.TempDir(), "moved")
	if err := os.Rename(home, moved); err != nil {
		t.Fatal(err)
	}
	begun(filepath.Join(moved, "begun"), filepath.Join(moved, "raft"), true)
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	c.newcomer("c2")
	c.start("c2") // nobody has added it: it has no log
	begun(c.marks["c2"], c.dirs["c2"], false)
}
