package node

import (
	"net"
	"sync"
	"time"
)

// queue is a listener over the connections of one kind.
type queue struct {
	address net.Addr
	conns   chan net.Conn
	done    chan struct{}

	mu     sync.Mutex
	closed bool
	open   map[*counted]struct{} // Raft's and gossip's, until they are closed
}

func newQueue(address net.Addr) *queue {
	return &queue{address: address, conns: make(chan net.Conn), done: make(chan struct{}), open: map[*counted]struct{}{}}
}

// counted is a connection that its queue counts, and closes when the queue is closed: Raft's transport leaves those open
// that came in.
type counted struct {
	net.Conn
	queue *queue
}

// Close closes the connection.
func (c *counted) Close() error {
	c.queue.mu.Lock()
	delete(c.queue.open, c)
	c.queue.mu.Unlock()
	return c.Conn.Close()
}

// admit counts a connection; false where there are too many, or the queue is closed.
func (q *queue) admit(conn net.Conn) (net.Conn, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || len(q.open) >= maxOpen {
		return conn, false
	}
	c := &counted{Conn: conn, queue: q}
	q.open[c] = struct{}{}
	return c, true
}

// push hands a connection to who accepts; false where nobody does in time.
func (q *queue) push(conn net.Conn, patience time.Duration) bool {
	timer := time.NewTimer(max(patience, time.Millisecond))
	defer timer.Stop()
	select {
	case <-q.done:
		return false
	case <-timer.C:
		return false
	case q.conns <- conn:
	}
	return true
}

// Accept waits for the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case <-q.done:
		return nil, net.ErrClosed
	default:
	}
	select {
	case c := <-q.conns:
		return c, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends this listener only: the port stays open. Raft's and gossip's connections are closed.
func (q *queue) Close() error {
	q.mu.Lock()
	first := !q.closed
	q.closed = true
	var open []*counted
	for c := range q.open {
		open = append(open, c)
	}
	q.mu.Unlock()
	if first {
		close(q.done)
	}
	for _, c := range open {
		c.Close()
	}
	return nil
}

// Addr is the address the port listens on.
func (q *queue) Addr() net.Addr { return q.address }
