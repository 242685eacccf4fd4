package raftnode

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"ringmaster/internal/port"
	"ringmaster/internal/test/support"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(killedEnv); dir != "" { // this process is to be killed by TestKilledReplicaKeepsWhatItAcknowledged
		proposeUntilKilled(dir)
		return
	}
	support.Main(m)
}

// journal is a machine that remembers the commands in order.
type journal struct{ Entries []string }

func (j *journal) Apply(command []byte) any {
	j.Entries = append(j.Entries, string(command))
	return len(j.Entries)
}

func (j *journal) Snapshot() ([]byte, error) { return json.Marshal(j) }

func (j *journal) Restore(b []byte) error {
	var other journal
	if err := json.Unmarshal(b, &other); err != nil {
		return err
	}
	*j = other
	return nil
}

// entries are the commands that a replica has applied. A repeat counts once, as it does for the coordinator's own machine: where leadership
// is lost while a command is under way, propose cannot know its fate and repeats it, so that it may be applied twice.
func entries(n *Node) (list []string) {
	n.View(func(m Machine) { list = slices.Compact(slices.Clone(m.(*journal).Entries)) })
	return list
}

// propose proposes a command until it is acknowledged, to whichever of the nodes leads.
func propose(t testing.TB, nodes []*Node, command string) {
	t.Helper()
	end := time.Now().Add(support.Patience)
	for {
		var err error
		for _, n := range nodes {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			_, err = n.Propose(ctx, []byte(command))
			cancel()
			if err == nil {
				return
			}
			var not *NotLeaderError
			if !errors.As(err, &not) && !errors.Is(err, ErrUnknown) && !errors.Is(err, ErrTransferring) && !errors.Is(err, ErrClosed) {
				t.Fatalf("propose %s: %v", command, err)
			}
		}
		if time.Now().After(end) {
			t.Fatalf("propose %s: nobody led in %v: %v", command, support.Patience, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// replica is a coordinator on a loopback port.
type replica struct {
	*Node
	port *port.Port
}

// cluster is a set of replicas with their folders and addresses.
type cluster struct {
	t       testing.TB
	timeout time.Duration     // of elections
	turn    time.Duration     // of succession; 0: as usual
	peers   map[string]string // where they are
	// founders begin empty logs; nil: whoever comes is to be added.
	founders  map[string]string
	elsewhere func(id, known string) string
	dirs      map[string]string
	marks     map[string]string // of those that have one
	up        map[string]*replica
}

func newCluster(t testing.TB, size int) *cluster {
	c := &cluster{t: t, timeout: 150 * time.Millisecond, peers: map[string]string{}, dirs: map[string]string{}, up: map[string]*replica{}}
	for i := 1; i <= size; i++ {
		id := fmt.Sprintf("c%d", i)
		c.dirs[id] = t.TempDir()
		c.peers[id] = freeAddress(t)
	}
	c.founders = maps.Clone(c.peers)
	t.Cleanup(func() {
		for id := range c.up {
			c.crash(id)
		}
	})
	return c
}

// freeAddress is a loopback address whose port is free on TCP and UDP just now.
func freeAddress(t testing.TB) string {
	p, err := port.Listen(port.Config{Bind: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	return p.Addr().String()
}

func (c *cluster) start(id string) *replica {
	c.t.Helper()
	port, err := port.Listen(port.Config{Bind: c.peers[id], Logger: support.Log(c.t)})
	if err != nil {
		c.t.Fatal(err)
	}
	n, err := Start(Config{ID: id, Address: c.peers[id], Peers: c.founders, Elsewhere: c.elsewhere, Dir: c.dirs[id], Mark: c.marks[id], Port: port,
		ElectionTimeout: c.timeout, SnapshotEvery: 50, turn: c.turn, Logger: support.Log(c.t).With("at", id)}, &journal{})
	if err != nil {
		port.Close()
		c.t.Fatal(err)
	}
	c.up[id] = &replica{n, port}
	return c.up[id]
}

func (c *cluster) startAll() {
	c.t.Helper()
	for id := range c.peers {
		c.start(id)
	}
}

// crash takes a replica away without a word to the others, and without another write to its disk.
func (c *cluster) crash(id string) {
	r := c.up[id]
	delete(c.up, id)
	r.port.Close()
	r.once.Do(func() { r.result = r.end() })
	if r.result != nil {
		c.t.Errorf("end of %s: %v", id, r.result)
	}
}

func (c *cluster) nodes() (list []*Node) {
	for _, r := range c.up {
		list = append(list, r.Node)
	}
	return list
}

// leader waits until one leads and all others know.
func (c *cluster) leader() (id string) {
	c.t.Helper()
	support.Eventually(c.t, "all agree on a leader", func() bool {
		id = ""
		for _, r := range c.up {
			l, _, known := r.Leader()
			if !known || id != "" && l != id {
				return false
			}
			id = l
		}
		return c.up[id] != nil && c.up[id].IsLeader()
	})
	return id
}
