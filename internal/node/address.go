package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"
)

const lookupTimeout = 5 * time.Second

// network is what this machine says of its interfaces and of names.
type network struct {
	own    func() []netip.Addr                                          // of interfaces that are up
	of     func(name string) ([]netip.Addr, error)                      // of an interface
	lookup func(ctx context.Context, name string) ([]netip.Addr, error) // of a host
	toward func(to netip.Addr) (from netip.Addr, err error)             // the address from which packets to another leave
}

// reachable is the address of this node at which the other nodes reach it. Asked for is the name of an interface or an address, or nothing: then it is
// the one that the node's own name stands for, or from which packets to another node leave. That of the machine on which srun was
// called, which Slurm tells too, plays no part.
func (n network) reachable(ctx context.Context, asked, self string, nodes []string) (netip.Addr, error) {
	if asked != "" {
		return n.asked(asked)
	}
	if len(nodes) == 1 {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	own := map[netip.Addr]bool{}
	for _, a := range n.own() {
		own[a] = !a.IsLoopback()
	}
	named, _ := n.lookup(ctx, self) // a node's name need not be known
	for _, a := range named {
		if own[a] {
			return a, nil
		}
	}
	for _, other := range nodes {
		if other == self {
			continue
		}
		addresses, _ := n.lookup(ctx, other)
		for _, to := range addresses {
			if from, err := n.toward(to); err == nil && own[from] {
				return from, nil
			}
		}
	}
	documentation := netip.AddrFrom4([4]byte{192, 0, 2, 1}) // RFC 5737: somewhere else; nothing is sent
	if from, err := n.toward(documentation); err == nil && own[from] {
		return from, nil
	}
	return netip.Addr{}, errors.New("which address the other nodes reach cannot be told: name an interface or an address by --interface")
}

// asked is the address that a person named.
func (n network) asked(name string) (netip.Addr, error) {
	if a, err := netip.ParseAddr(name); err == nil {
		return a, nil
	}
	addresses, err := n.of(name)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("--interface: %w", err)
	}
	for _, a := range addresses {
		if a.Is4() || a.IsGlobalUnicast() {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("--interface: %s has no address", name)
}

// machine is this machine's network.
func machine() network {
	return network{
		own: func() []netip.Addr {
			addresses, err := net.InterfaceAddrs()
			if err != nil {
				return nil
			}
			return parsed(addresses)
		},
		of: func(name string) ([]netip.Addr, error) {
			i, err := net.InterfaceByName(name)
			if err != nil {
				return nil, fmt.Errorf("%s is neither an address nor an interface of this machine: %w", name, err)
			}
			addresses, err := i.Addrs()
			return parsed(addresses), err
		},
		lookup: func(ctx context.Context, name string) ([]netip.Addr, error) {
			addresses, err := net.DefaultResolver.LookupNetIP(ctx, "ip", name)
			for i := range addresses {
				addresses[i] = addresses[i].Unmap()
			}
			return addresses, err
		},
		toward: func(to netip.Addr) (netip.Addr, error) {
			conn, err := net.Dial("udp", netip.AddrPortFrom(to, 9).String()) // which sends nothing
			if err != nil {
				return netip.Addr{}, err
			}
			defer conn.Close()
			return conn.LocalAddr().(*net.UDPAddr).AddrPort().Addr().Unmap(), nil
		},
	}
}

func parsed(addresses []net.Addr) []netip.Addr {
	var out []netip.Addr
	for _, a := range addresses {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	return out
}

// freePort finds a port of an address that is free in TCP and UDP.
func freePort(address netip.Addr) (int, error) {
	const attempts = 50
	for range attempts {
		tcp, err := net.Listen("tcp", netip.AddrPortFrom(address, 0).String())
		if err != nil {
			return 0, fmt.Errorf("find a free port of %s: %w", address, err)
		}
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", net.JoinHostPort(address.String(), strconv.Itoa(port)))
		_ = tcp.Close() // nothing was sent
		if err == nil {
			_ = udp.Close() // likewise
			return port, nil
		}
	}
	return 0, fmt.Errorf("%s has no port that is free in TCP and UDP", address)
}
