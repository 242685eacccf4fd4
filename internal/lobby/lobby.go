// Package lobby bounds the connections of strangers that have not said yet what they want. Whoever comes is let in: where there are too
// many, the oldest of the source that has the most gives way, so that silent connections keep nobody out, and one source only itself.
package lobby

import (
	"net"
	"net/netip"
	"slices"
	"sync"
)

// Lobby holds the connections that wait.
type Lobby struct {
	limit, perSource int

	mu      sync.Mutex
	closed  bool
	waiting map[string][]*Guest // by source, the oldest first; none is empty
	count   int
}

// Guest is a connection in a lobby.
type Guest struct {
	source string
	out    func()
}

// New makes a lobby for limit connections, at most perSource of them from one source.
func New(limit, perSource int) *Lobby {
	return &Lobby{limit: limit, perSource: perSource, waiting: map[string][]*Guest{}}
}

// source is the machine that an address belongs to, as far as it can be told: its IP address, or the IPv6 network of 64 bits.
func source(address net.Addr) string {
	at, err := netip.ParseAddrPort(address.String())
	if err != nil {
		return address.Network()
	}
	ip := at.Addr().Unmap().WithZone("")
	if ip.Is6() {
		if network, err := ip.Prefix(64); err == nil {
			return network.String()
		}
	}
	return ip.String()
}

// Enter lets a connection from an address in, and puts another out where it is one too many. out is called, at most once, when the
// connection must give way to a newer one, or when the lobby is closed; it must not block. The guest is nil where the lobby is closed.
func (l *Lobby) Enter(from net.Addr, out func()) *Guest {
	g := &Guest{source: source(from), out: out}
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	var victim *Guest
	switch {
	case len(l.waiting[g.source]) >= l.perSource:
		victim = l.waiting[g.source][0]
	case l.count >= l.limit:
		victim = l.largest()[0]
	}
	if victim != nil {
		l.remove(victim)
	}
	l.waiting[g.source] = append(l.waiting[g.source], g)
	l.count++
	l.mu.Unlock()
	if victim != nil {
		victim.out()
	}
	return g
}

// largest are the guests of a source that has most of them. The caller holds the lock.
func (l *Lobby) largest() (most []*Guest) {
	for _, guests := range l.waiting {
		if len(guests) > len(most) {
			most = guests
		}
	}
	return most
}

// remove takes a guest out; false where it is not in. The caller holds the lock.
func (l *Lobby) remove(g *Guest) bool {
	guests := l.waiting[g.source]
	at := slices.Index(guests, g)
	if at < 0 {
		return false
	}
	l.count--
	if len(guests) == 1 {
		delete(l.waiting, g.source)
	} else {
		l.waiting[g.source] = slices.Delete(guests, at, at+1)
	}
	return true
}

// Leave takes a guest out that has said what it wants; false where it was put out before.
func (l *Lobby) Leave(g *Guest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.remove(g)
}

// Len is the number of guests.
func (l *Lobby) Len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

// Close puts all out and lets nobody in any more.
func (l *Lobby) Close() {
	l.mu.Lock()
	l.closed = true
	all := l.waiting
	l.waiting, l.count = map[string][]*Guest{}, 0
	l.mu.Unlock()
	for _, guests := range all {
		for _, g := range guests {
			g.out()
		}
	}
}
