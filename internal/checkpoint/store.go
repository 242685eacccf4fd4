package checkpoint

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"syscall"

	"ringmaster/internal/checkpoint/disk"
	"ringmaster/internal/regularfile"
)

var (
	// ErrConflict is wrapped if a file of that name with other bytes already exists. Files are never rewritten.
	ErrConflict = errors.New("the store holds other bytes under this name")
	// ErrUnfinished is wrapped by the error of an entry that has no manifest: it was never finished, or is being
	// written, or its deletion was interrupted.
	ErrUnfinished = errors.New("it has no manifest: it was never finished")
)

const tempPrefix = ".tmp-"

// Store is a directory of checkpoints. It is safe for concurrent use; one process writes to a directory at a time.
// Nothing is made on disk before the first write.
type Store struct {
	fs  disk.FS
	dir string

	mu    sync.Mutex      // held while a file gets its name, and while a checkpoint is deleted
	made  map[string]bool // folders that this process has made durable
	whole map[string]File // "folder/name" of files that this process has written or read whole
	temps int             // number of the next temporary file
}

// Open opens the store in dir, which need not exist yet.
func Open(fsys disk.FS, dir string) (*Store, error) {
	e, err := fsys.Stat(dir)
	if err == nil && !e.Dir {
		return nil, fmt.Errorf("open checkpoint store: %s is not a directory", dir)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open checkpoint store: %w", err)
	}
	return &Store{fs: fsys, dir: dir, made: map[string]bool{}, whole: map[string]File{}}, nil
}

func (s *Store) path(elements ...string) string {
	return filepath.Join(append([]string{s.dir}, elements...)...)
}

// PutFile stores size bytes of r as a file of a checkpoint, durably, if their SHA-256 is sha. Storing the same bytes
// again is not an error; other bytes under the same name are an ErrConflict. Different files may be stored concurrently.
func (s *Store) PutFile(folder, name string, r io.Reader, size int64, sha Hash) error {
	u, err := s.Begin(folder, name, size)
	if err != nil {
		return err
	}
	defer u.Abort()
	if _, err := io.CopyBuffer(u, r, make([]byte, 1<<18)); err != nil {
		return fmt.Errorf("store checkpoint file %s/%s: %w", folder, name, err)
	}
	return u.Commit(sha)
}

// Upload is a file on its way into a store. It is not for use by two goroutines at once.
type Upload struct {
	s            *Store
	folder, name string
	temp         string
	size, n      int64
	f            disk.File
	h            hash.Hash
}

// Begin begins to store a file of a checkpoint whose SHA-256 may become known only at its end. The upload must end with
// Commit or Abort.
func (s *Store) Begin(folder, name string, size int64) (*Upload, error) {
	if _, err := filePath(folder, name); err != nil {
		return nil, fmt.Errorf("store checkpoint file: %w", err)
	}
	if size < 0 || size > maxFileBytes {
		return nil, fmt.Errorf("store checkpoint file %s/%s: %d bytes, at most %d are allowed", folder, name, size, int64(maxFileBytes))
	}
	u := &Upload{s: s, folder: folder, name: name, size: size, h: sha256.New()}
	if err := u.create(); err != nil {
		return nil, u.failed(err)
	}
	return u, nil
}

func (u *Upload) create() error {
	u.s.mu.Lock()
	defer u.s.mu.Unlock()
	if err := u.s.makeFolder(u.folder); err != nil {
		return err
	}
	for {
		u.temp = u.s.path(u.folder, fmt.Sprintf("%s%d-%s", tempPrefix, u.s.temps, u.name))
		u.s.temps++
		f, err := u.s.fs.Create(u.temp)
		if errors.Is(err, fs.ErrExist) {
			continue // left behind by an earlier process
		}
		if errors.Is(err, fs.ErrNotExist) {
			delete(u.s.made, u.folder) // somebody removed it: the next attempt makes it again
		}
		u.f = f
		return err
	}
}

// makeFolder makes a checkpoint's folder and everything above it, durably.
func (s *Store) makeFolder(folder string) error {
	if s.made[folder] {
		return nil
	}
	if err := s.makeDir(s.dir); err != nil {
		return err
	}
	if err := s.fs.Mkdir(s.path(folder)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	// Also if the folder already existed: the process that made it may have died before it was durable.
	if err := s.fs.SyncDir(s.dir); err != nil {
		return err
	}
	s.made[folder] = true
	return nil
}

func (s *Store) makeDir(dir string) error {
	if _, err := s.fs.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	parent := filepath.Dir(dir)
	if parent == dir {
		return &fs.PathError{Op: "mkdir", Path: dir, Err: fs.ErrNotExist}
	}
	if err := s.makeDir(parent); err != nil {
		return err
	}
	if err := s.fs.Mkdir(dir); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return s.fs.SyncDir(parent)
}

func (u *Upload) failed(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("store checkpoint file %s/%s: no space for its %d bytes in %s: %w", u.folder, u.name, u.size, u.s.dir, err)
	}
	return fmt.Errorf("store checkpoint file %s/%s: %w", u.folder, u.name, err)
}

// Write takes the next bytes of the file. More than its size are refused.
func (u *Upload) Write(p []byte) (int, error) {
	if u.f == nil {
		return 0, u.failed(fs.ErrClosed)
	}
	if int64(len(p)) > u.size-u.n {
		return 0, u.failed(fmt.Errorf("more than the %d bytes announced", u.size))
	}
	n, err := u.f.Write(p)
	u.h.Write(p[:n])
	u.n += int64(n)
	if err != nil {
		return n, u.failed(err)
	}
	return n, nil
}

// Commit ends the upload: if it returns no error, the file is durably in the store under its name.
func (u *Upload) Commit(sha Hash) error {
	if u.f == nil {
		return u.failed(fs.ErrClosed)
	}
	defer u.Abort()
	if u.n != u.size {
		return u.failed(fmt.Errorf("%d bytes came, %d were announced", u.n, u.size))
	}
	var sum Hash
	if u.h.Sum(sum[:0]); sum != sha {
		return u.failed(fmt.Errorf("the bytes that came have SHA-256 %s, announced was %s", sum.Short(), sha.Short()))
	}
	if err := u.f.Sync(); err != nil {
		return u.failed(err)
	}
	f := u.f
	u.f = nil
	defer u.s.fs.Remove(u.temp) // does nothing once it has its name
	err := f.Close()
	if err == nil {
		err = u.publish(File{u.name, u.size, sha})
	}
	if err != nil {
		return u.failed(err)
	}
	return nil
}

// publish gives the temporary file its name unless the same bytes are already stored under it.
func (u *Upload) publish(f File) error {
	s := u.s
	s.mu.Lock()
	defer s.mu.Unlock()
	stands, err := s.stands(u.folder, f)
	if err != nil || stands {
		return err
	}
	if err := s.fs.Rename(u.temp, s.path(u.folder, f.Name)); err != nil {
		return err
	}
	if err := s.fs.SyncDir(s.path(u.folder)); err != nil {
		return err
	}
	s.whole[path.Join(u.folder, f.Name)] = f
	return nil
}

// stands reports whether the file is in the store with the bytes of f. It refuses other bytes, unless the checkpoint's own
// manifest says that they are damaged and f is right: then f may replace them.
func (s *Store) stands(folder string, f File) (bool, error) {
	if _, err := s.fs.Stat(s.path(folder, f.Name)); errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, err
	}
	differs := s.verify(folder, f)
	if !errors.Is(differs, ErrDamaged) {
		return differs == nil, differs
	}
	m, err := s.readManifest(folder)
	if f.Name == ManifestName {
		if err != nil {
			return false, nil
		}
		return false, ErrConflict
	}
	if err == nil {
		for _, right := range m.Files {
			if right == f {
				return false, nil
			}
		}
	}
	return false, ErrConflict
}

// open opens a file of a checkpoint. Anything but a regular file under its name counts as damage.
func (s *Store) open(folder, name string) (io.ReadCloser, error) {
	r, err := s.fs.Open(s.path(folder, name))
	var other *regularfile.Error
	if errors.As(err, &other) {
		return nil, damaged("file %s is damaged (%v)", name, other)
	}
	return r, err
}

// verify reads a file and compares it with f, or remembers that this process has done so.
func (s *Store) verify(folder string, f File) error {
	key := path.Join(folder, f.Name)
	if s.whole[key] == f {
		e, err := s.fs.Stat(s.path(folder, f.Name))
		if err == nil && e.Bytes != f.Bytes {
			err = damaged("file %s is damaged (it has %d bytes, the manifest says %d)", f.Name, e.Bytes, f.Bytes)
		}
		return err
	}
	if err := s.reread(folder, f); err != nil {
		return err
	}
	// A process may have given it its name and died before the name was durable.
	if err := s.fs.SyncDir(s.path(folder)); err != nil {
		return err
	}
	s.whole[key] = f
	return nil
}

// reread reads a file whole and compares it with f.
func (s *Store) reread(folder string, f File) error {
	r, err := s.open(folder, f.Name)
	if errors.Is(err, fs.ErrNotExist) {
		return damaged("file %s is missing", f.Name)
	}
	if err != nil {
		return err
	}
	defer r.Close()
	h := &hashingReader{r: r, h: sha256.New()}
	if _, err := io.CopyBuffer(io.Discard, struct{ io.Reader }{h}, make([]byte, 1<<18)); err != nil {
		return fmt.Errorf("read file %s: %w", f.Name, err)
	}
	return h.compare(f)
}

// HasFile reports whether the file is durably in the store with exactly these bytes.
func (s *Store) HasFile(folder string, f File) (bool, error) {
	if _, err := filePath(folder, f.Name); err != nil {
		return false, fmt.Errorf("look for checkpoint file: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	err := s.verify(folder, f)
	if errors.Is(err, ErrDamaged) || errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for checkpoint file %s/%s: %w", folder, f.Name, err)
	}
	return true, nil
}

// OpenFile opens a file of a checkpoint for reading and returns its size.
func (s *Store) OpenFile(folder, name string) (io.ReadCloser, int64, error) {
	if _, err := filePath(folder, name); err != nil {
		return nil, 0, fmt.Errorf("open checkpoint file: %w", err)
	}
	e, err := s.fs.Stat(s.path(folder, name))
	if err != nil {
		return nil, 0, fmt.Errorf("open checkpoint file: %w", err)
	}
	r, err := s.open(folder, name)
	if err != nil {
		return nil, 0, fmt.Errorf("open checkpoint file: %w", err)
	}
	return r, e.Bytes, nil
}

// Commit makes a folder of files a checkpoint by writing its manifest, durably, after checking that every file is there
// with the right bytes. Committing the same manifest again is not an error.
func (s *Store) Commit(m *Manifest) error {
	data, err := m.Encode()
	if err != nil {
		return err
	}
	if err := s.checkFiles(m); err != nil {
		return fmt.Errorf("commit checkpoint step %d: %w", m.Step, err)
	}
	return s.PutFile(m.Folder(), ManifestName, bytes.NewReader(data), int64(len(data)), sha256.Sum256(data))
}

func (s *Store) checkFiles(m *Manifest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range m.Files {
		if err := s.verify(m.Folder(), f); err != nil {
			return err
		}
	}
	return nil
}

// Abort ends an upload that did not reach its Commit; after Commit it does nothing.
func (u *Upload) Abort() {
	if u.f == nil {
		return
	}
	// A failed removal leaves a temporary file behind, which Clean removes.
	u.f.Close()
	u.f = nil
	u.s.fs.Remove(u.temp)
}

func isTemp(name string) bool { return strings.HasPrefix(name, tempPrefix) }
