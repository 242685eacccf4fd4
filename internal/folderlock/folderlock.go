// Package folderlock gives a folder one owner at a time. The owner holds a lock on a file in it, which the system takes back
// when the process ends, however it ends.
package folderlock

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ringmaster/internal/printable"
)

// LockName is the file in a folder that its owner locks. It says who that is, and stays when the owner has gone: only
// the lock counts.
const LockName = "lock"

// retry is the pause between two attempts to get a lock that another process holds.
const retry = 20 * time.Millisecond

// TakenError means that a folder has another owner, which lives.
type TakenError struct {
	Folder string
	Owner  string // "process 123 on host a", or "another process" where the file does not say
}

// Error names the owner.
func (e *TakenError) Error() string { return fmt.Sprintf("%s is in use by %s", e.Folder, e.Owner) }

// Lock is held by the owner of a folder.
type Lock struct{ file *os.File }

// Own makes this process the owner of a folder, which is made where it is missing. An owner before this one that is just
// ending has until patience is over; the error is a *TakenError where it does not.
func Own(path string, patience time.Duration) (*Lock, error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, err
	}
	// Files are opened so that child processes do not inherit them: they would hold the lock on after this process's end.
	// Some file systems lock only files that are open for writing.
	f, err := os.OpenFile(filepath.Join(path, LockName), os.O_RDWR|os.O_CREATE|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return nil, err
	}
	for end := time.Now().Add(patience); ; time.Sleep(retry) {
		err = lock(f)
		if err == nil || !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(end) {
			break
		}
	}
	if err == nil {
		err = sign(f)
	}
	switch {
	case err == nil:
		return &Lock{f}, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		err = &TakenError{path, owner(f)}
	default:
		err = fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return nil, errors.Join(err, f.Close())
}

// lock takes the lock, or returns EWOULDBLOCK.
func lock(f *os.File) error { return flock(f, syscall.LOCK_EX|syscall.LOCK_NB) }

func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// sign writes who holds the lock.
func sign(f *os.File) error {
	host, err := os.Hostname()
	if err != nil {
		host = "?"
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strconv.Itoa(os.Getpid())+" "+host+"\n"), 0)
	return err
}

// owner reads who holds the lock. A host is named where it is another one.
func owner(f *os.File) string {
	pid, host, ok := signature(f)
	if !ok {
		return "another process"
	}
	if here, err := os.Hostname(); err == nil && here == host {
		return fmt.Sprintf("process %d", pid)
	}
	return fmt.Sprintf("process %d on host %s", pid, printable.Line(host, maxSignature))
}

// maxSignature bounds what is read of who holds a lock.
const maxSignature = 300

// signature reads what sign wrote.
func signature(f *os.File) (pid int, host string, ok bool) {
	text, err := io.ReadAll(io.NewSectionReader(f, 0, maxSignature))
	words := strings.Fields(string(text))
	if err != nil || len(words) != 2 {
		return 0, "", false
	}
	pid, err = strconv.Atoi(words[0])
	return pid, words[1], err == nil
}

// Holder is the process that owns a folder, and since when; ok is false where nobody does. It disturbs nobody.
func Holder(path string) (pid int, since time.Time, ok bool, err error) {
	f, err := os.OpenFile(filepath.Join(path, LockName), os.O_RDWR|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, time.Time{}, false, nil
	} else if err != nil {
		return 0, time.Time{}, false, err
	}
	defer f.Close()
	if err := flock(f, syscall.LOCK_SH|syscall.LOCK_NB); err == nil {
		return 0, time.Time{}, false, nil // nobody owns it; the lock ends with the file
	} else if !errors.Is(err, syscall.EWOULDBLOCK) {
		return 0, time.Time{}, false, fmt.Errorf("look at the lock of %s: %w", path, err)
	}
	if info, err := f.Stat(); err == nil {
		since = info.ModTime()
	}
	pid, _, _ = signature(f) // 0 where it does not say
	return pid, since, true, nil
}

// Release lets the folder go. There may be no lock: nil.
func (l *Lock) Release() error {
	if l == nil {
		return nil
	}
	return l.file.Close()
}
