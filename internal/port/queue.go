package port

import (
	"fmt"
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
	open   map[*counted]struct{} // until they are closed
	held   map[string]int        // how many of them belong to one certificate
}

func newQueue(address net.Addr) *queue {
	return &queue{address: address, conns: make(chan net.Conn), done: make(chan struct{}), open: map[*counted]struct{}{}, held: map[string]int{}}
}

// counted is a connection that its queue counts, and closes when the queue is closed: Raft's transport leaves those open
// that came in.
type counted struct {
	net.Conn
	queue  *queue
	holder string
}

// Close closes the connection.
func (c *counted) Close() error {
	c.queue.mu.Lock()
	if _, is := c.queue.open[c]; is {
		delete(c.queue.open, c)
		if c.queue.held[c.holder]--; c.queue.held[c.holder] == 0 {
			delete(c.queue.held, c.holder)
		}
	}
	c.queue.mu.Unlock()
	return c.Conn.Close()
}

// NetConn is the connection below.
func (c *counted) NetConn() net.Conn { return c.Conn }

// admit counts a connection of a certificate's holder ("": of nobody in particular). The error says why it may not stay.
func (q *queue) admit(conn net.Conn, k kind, holder string) (net.Conn, error) {
	most := maxOpen
	if k == kindRPC {
		most = maxRPC
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.closed:
		return conn, fmt.Errorf("nobody here takes %v connections", k)
	case len(q.open) >= most:
		return conn, fmt.Errorf("more than %d %v connections", most, k)
	case holder != "" && q.held[holder] >= maxOfHolder:
		return conn, fmt.Errorf("%s has more than %d %v connections", holder, maxOfHolder, k)
	}
	c := &counted{Conn: conn, queue: q, holder: holder}
	q.open[c] = struct{}{}
	q.held[holder]++
	return c, nil
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

// Close ends this listener only: the port stays open. Its connections are closed.
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
