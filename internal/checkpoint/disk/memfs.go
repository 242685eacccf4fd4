package disk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// ErrCrashed is what every operation returns after the one at which a MemFS was told to crash.
var ErrCrashed = errors.New("the machine has crashed")

// MemFS is a file system in memory that remembers what is durable: the bytes of a file at its last Sync and the names
// of a directory at its last SyncDir. It can crash at any operation; Crash then gives what a restart might find. The
// root is "/"; paths are slash-separated and always taken from it.
type MemFS struct {
	mu      sync.Mutex
	root    *node
	log     []string
	failAt  int // number of the operation that fails, from 1; 0: none
	failErr error
	crashed bool
}

type node struct {
	dir   bool
	data  []byte           // of a file
	names map[string]*node // of a directory

	syncedLen   int // file bytes are only ever appended
	syncedNames map[string]*node
}

// NewMemFS makes an empty file system.
func NewMemFS() *MemFS { return &MemFS{root: newDir()} }

func newDir() *node {
	return &node{dir: true, names: map[string]*node{}, syncedNames: map[string]*node{}}
}

// Log lists the operations that changed something, in their order: "create x", "write x 100", "sync x", "rename x y".
func (m *MemFS) Log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.log)
}

// FailAt makes the n-th changing operation from now on fail (a write half done) with err. With ErrCrashed all
// operations after it fail too.
func (m *MemFS) FailAt(n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failAt, m.failErr = len(m.log)+n, err
}

// Corrupt changes a byte of a file in place, as a failing disk does.
func (m *MemFS) Corrupt(name string, at int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file("corrupt", name)
	if err != nil {
		return err
	}
	if at < 0 || at >= len(n.data) {
		return fmt.Errorf("corrupt %s: byte %d of %d", name, at, len(n.data))
	}
	// A copy, since readers may hold the old bytes.
	n.data = bytes.Clone(n.data)
	n.data[at] ^= 0x10
	return nil
}

// Truncate cuts a file to size bytes, durably.
func (m *MemFS) Truncate(name string, size int) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file("truncate", name)
	if err != nil {
		return err
	}
	if size < 0 || size > len(n.data) {
		return fmt.Errorf("truncate %s: to %d of %d bytes", name, size, len(n.data))
	}
	n.data, n.syncedLen = n.data[:size:size], size
	return nil
}

// Crash is the file system after a power failure. Of every change that was not made durable pick decides how much of
// it survives: pick(n) chooses from [0, n), where 0 loses the change and n-1 keeps it whole. The bytes of a file that
// were written but not synced may come back in part, or as zeros.
func (m *MemFS) Crash(pick func(n int) int) *MemFS {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &MemFS{root: m.root.afterCrash(pick)}
}

func (n *node) afterCrash(pick func(int) int) *node {
	if !n.dir {
		keep := n.syncedLen + pick(len(n.data)-n.syncedLen+1)
		data := bytes.Clone(n.data[:keep])
		if keep > n.syncedLen && keep < len(n.data) && pick(2) == 1 {
			clear(data[n.syncedLen:])
		}
		return &node{data: data, syncedLen: keep}
	}
	all := maps.Clone(n.syncedNames)
	maps.Copy(all, n.names)
	out := newDir()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		old, now := n.syncedNames[name], n.names[name]
		survivor := now
		if old != now && pick(2) == 0 {
			survivor = old
		}
		if survivor != nil {
			out.names[name] = survivor.afterCrash(pick)
		}
	}
	out.syncedNames = maps.Clone(out.names)
	return out
}

// change logs an operation and says whether it is the one that fails.
func (m *MemFS) change(format string, args ...any) error {
	if m.crashed {
		return ErrCrashed
	}
	m.log = append(m.log, fmt.Sprintf(format, args...))
	if m.failAt != len(m.log) {
		return nil
	}
	m.crashed = errors.Is(m.failErr, ErrCrashed)
	return m.failErr
}

func split(name string) []string {
	return strings.FieldsFunc(path.Clean("/"+name), func(r rune) bool { return r == '/' })
}

// find walks to a file or directory.
func (m *MemFS) find(op, name string) (*node, error) {
	if m.crashed {
		return nil, &fs.PathError{Op: op, Path: name, Err: ErrCrashed}
	}
	at := m.root
	for _, element := range split(name) {
		if !at.dir {
			return nil, &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
		}
		next := at.names[element]
		if next == nil {
			return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
		}
		at = next
	}
	return at, nil
}

func (m *MemFS) file(op, name string) (*node, error) {
	n, err := m.find(op, name)
	if err == nil && n.dir {
		return nil, &fs.PathError{Op: op, Path: name, Err: syscall.EISDIR}
	}
	return n, err
}

// parent finds the directory that contains name.
func (m *MemFS) parent(op, name string) (*node, string, error) {
	elements := split(name)
	if len(elements) == 0 {
		return nil, "", &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	dir, err := m.find(op, path.Dir(path.Clean("/"+name)))
	if err == nil && !dir.dir {
		err = &fs.PathError{Op: op, Path: name, Err: syscall.ENOTDIR}
	}
	return dir, elements[len(elements)-1], err
}

// Mkdir makes a directory.
func (m *MemFS) Mkdir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.insert("mkdir", dir, newDir())
}

func (m *MemFS) insert(op, name string, n *node) error {
	parent, base, err := m.parent(op, name)
	if err != nil {
		return err
	}
	if parent.names[base] != nil {
		return &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	if err := m.change("%s %s", op, name); err != nil {
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
	parent.names[base] = n
	return nil
}

// List reads a directory.
func (m *MemFS) List(dir string) ([]Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("list", dir)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, &fs.PathError{Op: "list", Path: dir, Err: syscall.ENOTDIR}
	}
	entries := []Entry{}
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		entries = append(entries, Entry{Name: name, Dir: n.names[name].dir, Bytes: int64(len(n.names[name].data))})
	}
	return entries, nil
}

// Stat describes a file or directory.
func (m *MemFS) Stat(name string) (Entry, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("stat", name)
	if err != nil {
		return Entry{}, err
	}
	return Entry{Name: path.Base(name), Dir: n.dir, Bytes: int64(len(n.data))}, nil
}

// Open opens a file for reading what it holds now.
func (m *MemFS) Open(name string) (io.ReadCloser, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.file("open", name)
	if err != nil {
		return nil, err
	}
	return io.NopCloser(bytes.NewReader(n.data)), nil
}

// Create makes a new file.
func (m *MemFS) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := &node{}
	if err := m.insert("create", name, n); err != nil {
		return nil, err
	}
	return &memoryFile{m: m, name: name, n: n}, nil
}

// Rename moves a file, or a directory to where nothing is.
func (m *MemFS) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("rename", from)
	if err != nil {
		return err
	}
	source, base, err := m.parent("rename", from)
	if err != nil {
		return err
	}
	target, newBase, err := m.parent("rename", to)
	if err != nil {
		return err
	}
	if old := target.names[newBase]; old != nil && (old.dir || n.dir) {
		return &fs.PathError{Op: "rename", Path: to, Err: fs.ErrExist}
	}
	if err := m.change("rename %s %s", from, to); err != nil {
		return &fs.PathError{Op: "rename", Path: from, Err: err}
	}
	delete(source.names, base)
	target.names[newBase] = n
	return nil
}

// Remove deletes a file or an empty directory.
func (m *MemFS) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("remove", name)
	if err != nil {
		return err
	}
	if len(n.names) > 0 {
		return &fs.PathError{Op: "remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	parent, base, err := m.parent("remove", name)
	if err != nil {
		return err
	}
	if err := m.change("remove %s", name); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	delete(parent.names, base)
	return nil
}

// SyncDir makes the names in a directory durable.
func (m *MemFS) SyncDir(dir string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find("syncdir", dir)
	if err != nil {
		return err
	}
	if err := m.change("syncdir %s", dir); err != nil {
		return &fs.PathError{Op: "syncdir", Path: dir, Err: err}
	}
	n.syncedNames = maps.Clone(n.names)
	return nil
}

type memoryFile struct {
	m    *MemFS
	name string
	n    *node
}

func (f *memoryFile) Write(p []byte) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	half := len(p) / 2
	if f.m.crashed {
		half = 0
	}
	if err := f.m.change("write %s %d", f.name, len(p)); err != nil {
		f.n.data = append(f.n.data, p[:half]...)
		return half, &fs.PathError{Op: "write", Path: f.name, Err: err}
	}
	f.n.data = append(f.n.data, p...)
	return len(p), nil
}

func (f *memoryFile) Sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.change("sync %s", f.name); err != nil {
		return &fs.PathError{Op: "sync", Path: f.name, Err: err}
	}
	f.n.syncedLen = len(f.n.data)
	return nil
}

func (f *memoryFile) Close() error { return nil }
