package allreduce

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"

	"google.golang.org/grpc"
)

// Listeners are where a worker's gRPC server can be reached: TCP, and a unix socket for processes on the same machine.
type Listeners struct {
	TCP  net.Listener
	Unix net.Listener // nil without a socket
}

// Listen listens on a TCP address (host:port, port 0 picks a free one) and, where socket is not empty, on a unix socket with that
// path, which replaces what an earlier process has left there.
func Listen(address, socket string) (*Listeners, error) {
	tcp, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	l := &Listeners{TCP: tcp}
	if socket == "" {
		return l, nil
	}
	if err = removeSocket(socket); err == nil {
		l.Unix, err = net.Listen("unix", socket)
	}
	if err != nil {
		tcp.Close()
		return nil, fmt.Errorf("listen on unix socket %s: %w", socket, err)
	}
	return l, nil
}

// removeSocket removes a socket that nobody listens on any more, and nothing else.
func removeSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&os.ModeSocket == 0 {
		return errors.New("there is a file that is no socket")
	}
	return os.Remove(path)
}

// Serve serves on all listeners until the server is stopped, which closes them, or one of them fails.
func (l *Listeners) Serve(s *grpc.Server) error {
	var serving sync.WaitGroup
	errs := make([]error, 2)
	for i, lis := range []net.Listener{l.TCP, l.Unix} {
		if lis == nil {
			continue
		}
		serving.Go(func() {
			if errs[i] = s.Serve(lis); errs[i] != nil {
				s.Stop()
			}
		})
	}
	serving.Wait()
	return errors.Join(errs...)
}

// Close closes listeners that are not served yet.
func (l *Listeners) Close() error {
	err := l.TCP.Close()
	if l.Unix != nil {
		err = errors.Join(err, l.Unix.Close())
	}
	return err
}

// Machine identifies this machine until it reboots: equal means that unix sockets reach. On Linux it is the boot id,
// elsewhere the host's name.
var Machine = sync.OnceValue(func() string {
	if runtime.GOOS == "linux" {
		if id, err := os.ReadFile("/proc/sys/kernel/random/boot_id"); err == nil {
			return strings.TrimSpace(string(id))
		}
	}
	name, err := os.Hostname()
	if err != nil {
		return ""
	}
	return name
})
