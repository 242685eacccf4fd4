package launch

import (
	"errors"
	"fmt"
	"net"
	"strconv"
)

// portAttempts bounds the search for a port that is free for TCP and UDP.
const portAttempts = 100

// freePorts finds n different ports of the loopback interface that are free for both TCP and UDP. They are free when it
// looks, which is no promise: whoever uses them must be ready to ask again.
func freePorts(n int) ([]int, error) {
	var held []interface{ Close() error }
	defer func() {
		for _, h := range held {
			_ = h.Close() // nothing was sent, nothing can be lost
		}
	}()
	var ports []int
	for range portAttempts {
		if len(ports) == n {
			break
		}
		tcp, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		held = append(held, tcp)
		port := tcp.Addr().(*net.TCPAddr).Port
		udp, err := net.ListenPacket("udp", "127.0.0.1:"+strconv.Itoa(port))
		if err != nil {
			continue
		}
		held = append(held, udp)
		ports = append(ports, port)
	}
	if len(ports) < n {
		return nil, errors.New("find a free port: none is free for both TCP and UDP")
	}
	return ports, nil
}
