package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"ringmaster/internal/sleep"
)

// network carries everything but Raft's own messages: connections between hosts on which messages take a while, that a
// partition holds up, and that break when a host dies or when nothing passes for long.
type network struct {
	mu      sync.Mutex
	random  *rand.Rand
	blocked map[[2]string]time.Time // from, to: since when nothing passes
	changed chan struct{}           // closed and replaced when blocked changes
	conns   map[*conn]struct{}
}

// conn is one connection.
type conn struct {
	from, to string
	ctx      context.Context
	close    context.CancelFunc
}

// keepalive is how long nothing may pass before a connection counts as dead.
const keepalive = 3 * time.Second

var errBroken = errors.New("the connection is broken")

func newNetwork(seed uint64) *network {
	return &network{random: rand.New(rand.NewPCG(seed, 3)), blocked: map[[2]string]time.Time{}, changed: make(chan struct{}), conns: map[*conn]struct{}{}}
}

// block lets nothing through from one host to the other.
func (n *network) block(from, to string) { n.set(from, to, true) }

// heal takes a block back.
func (n *network) heal(from, to string) { n.set(from, to, false) }

func (n *network) set(from, to string, blocked bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	key := [2]string{from, to}
	if _, was := n.blocked[key]; was == blocked {
		return
	}
	if blocked {
		n.blocked[key] = time.Now()
	} else {
		delete(n.blocked, key)
	}
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *network) healAll() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.blocked)
	close(n.changed)
	n.changed = make(chan struct{})
}

// open makes a connection, which needs both directions. It waits while one is blocked.
func (n *network) open(ctx context.Context, from, to string) (*conn, error) {
	return n.openFor(ctx, ctx, from, to)
}

// openFor is open for a connection that lasts as long as life, while it waits no longer than ctx.
func (n *network) openFor(ctx, life context.Context, from, to string) (*conn, error) {
	for _, way := range [][2]string{{from, to}, {to, from}} {
		if err := n.wait(ctx, way); err != nil {
			return nil, err
		}
	}
	inner, cancel := context.WithCancel(life)
	c := &conn{from: from, to: to, ctx: inner, close: cancel}
	n.mu.Lock()
	n.conns[c] = struct{}{}
	n.mu.Unlock()
	go n.watch(c)
	return c, nil
}

// watch ends a connection that has been silent for too long, and forgets it when it has ended.
func (n *network) watch(c *conn) {
	tick := time.NewTicker(keepalive / 4)
	defer tick.Stop()
	for {
		select {
		case <-c.ctx.Done():
			n.mu.Lock()
			delete(n.conns, c)
			n.mu.Unlock()
			return
		case <-tick.C:
			n.mu.Lock()
			for _, way := range [][2]string{{c.from, c.to}, {c.to, c.from}} {
				if since, ok := n.blocked[way]; ok && time.Since(since) > keepalive {
					c.close()
				}
			}
			n.mu.Unlock()
		}
	}
}

// wait returns when the way is free.
func (n *network) wait(ctx context.Context, way [2]string) error {
	for {
		n.mu.Lock()
		_, blocked := n.blocked[way]
		changed := n.changed
		n.mu.Unlock()
		if !blocked {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return errBroken
		}
	}
}

// pass is the journey of one message from one end to the other. A sender sends one message at a time on a connection,
// so their order is kept; messages of different connections overtake each other.
func (n *network) pass(c *conn, from, to string) error {
	n.mu.Lock()
	delay := time.Duration(n.random.IntN(300)) * time.Microsecond
	if n.random.IntN(50) == 0 {
		delay *= 20
	}
	n.mu.Unlock()
	if !sleep.For(c.ctx, delay) {
		return errBroken
	}
	return n.wait(c.ctx, [2]string{from, to})
}

// kill breaks all connections of a host.
func (n *network) kill(host string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.conns {
		if c.from == host || c.to == host {
			c.close()
		}
	}
}
