package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"ringmaster/internal/plan"
)

// maxSocketPath is the longest path that a unix socket may have on all systems, with a byte to spare for unready.
const maxSocketPath = 100

// unready ends the name of a socket on which nobody listens yet.
const unready = "~"

// listenLocal opens a unix socket for peers on the same machine and notes it in self. It is in the worker's folder, or
// among the temporary files if there is no such folder or its name is too long for a socket. Killed workers could not remove
// their sockets from there: that is done here.
func listenLocal(self *plan.Member, dir string) (net.Listener, error) {
	name := fmt.Sprintf("ringmaster-%016x.sock", uint64(self.Incarnation))
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return nil, err
	}
	if dir == "" || len(path) > maxSocketPath {
		path = filepath.Join(os.TempDir(), name)
	} else if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the worker's folder: %w", err)
	}
	removeDead(filepath.Dir(path))
	l, err := listenPrivately(path)
	if err != nil {
		return nil, err
	}
	self.Socket = path
	return l, nil
}

// listenPrivately listens on a unix socket that nobody but this user can open, from its first moment on. It gets its name when it
// can be dialled, so one that refuses is dead.
func listenPrivately(path string) (net.Listener, error) {
	was := syscall.Umask(0o177)
	l, err := net.Listen("unix", path+unready)
	syscall.Umask(was)
	if err != nil {
		return nil, err
	}
	err = os.Chmod(path+unready, 0o600) // in case the system ignores the umask for sockets
	if err == nil {
		err = os.Rename(path+unready, path)
	}
	if err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeDead removes those workers' sockets in a folder on which nobody listens any more. No live one can be among them: names
// are never reused, and even a stopped or busy process does not refuse connections. Uncertain or undeletable ones stay.
func removeDead(dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		// A file that is not a socket refuses as well.
		if ours, _ := filepath.Match("ringmaster-*.sock", e.Name()); !ours || e.Type() != fs.ModeSocket {
			continue
		}
		path := filepath.Join(dir, e.Name())
		conn, err := net.Dial("unix", path)
		switch {
		case err == nil:
			conn.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			os.Remove(path)
		}
	}
}
