package launch

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"ringmaster/internal/host"
	"ringmaster/internal/logs"
	"ringmaster/internal/tether"
)

// Child is a process that launch started: in a process group of its own (Ctrl-C in the terminal must not reach it before
// launch has decided what to do), tied to launch's life, its output in a log file.
type Child struct {
	Name string // "w1"
	Log  string // path of the log file

	cmd         *exec.Cmd
	began       time.Time
	killed      int64 // processes that the kernel had killed for their memory by then
	coordinator bool
	dismissed   atomic.Bool   // it was asked to end
	done        chan struct{} // closed when the process has ended
	err         error         // how it ended; set before done is closed
	starved     bool          // the machine had no memory for it; set before done is closed
}

// maxLog is how large a process's log may have grown for the next process to go on in it. A larger one is set aside as NAME.log.1, in
// the place of the one before.
const maxLog = 16 << 20

// startChild starts a program. The log is appended to: a process started again goes on in the same file.
func startChild(name, program string, args, env []string, log string, parent *tether.Parent) (*Child, error) {
	if info, err := os.Stat(log); err == nil && info.Size() > maxLog {
		if err := os.Rename(log, log+".1"); err != nil {
			return nil, fmt.Errorf("set the log of %s aside: %w", name, err)
		}
	}
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", name, err)
	}
	defer out.Close() // the child has its own copy
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	tether.Bind(cmd, parent)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	c := &Child{Name: name, Log: log, cmd: cmd, began: time.Now(), killed: host.KilledForMemory(), done: make(chan struct{})}
	go func() {
		c.err = cmd.Wait()
		c.starved = c.ranOutOfMemory()
		close(c.done)
	}()
	return c, nil
}

// PID is the process's number.
func (c *Child) PID() int { return c.cmd.Process.Pid }

// Done is closed when the process has ended.
func (c *Child) Done() <-chan struct{} { return c.done }

// Ended reports whether the process has ended.
func (c *Child) Ended() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// peakBytes is the most memory that the process, which has ended, had resident; 0 where the system does not say.
func (c *Child) peakBytes() int64 {
	usage, ok := c.cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0
	}
	if runtime.GOOS == "darwin" {
		return usage.Maxrss
	}
	return usage.Maxrss << 10 // kibibytes everywhere else
}

// Signal sends a signal to the process alone. A process that has ended gets none.
func (c *Child) Signal(signal os.Signal) error {
	if err := c.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %v to %s: %w", signal, c.Name, err)
	}
	return nil
}

// Failure says in one line how a process ended: its last word in the log tells more than its
// exit status.
func (c *Child) Failure() error {
	how := "ended"
	if c.err != nil {
		how = "ended (" + c.err.Error() + ")"
	}
	if c.starved {
		how += " for want of memory"
	}
	if last := logs.LastWord(c.Log); last != "" && c.failed() { // a killed process has no last word
		return fmt.Errorf("%s %s: %s (log: %s)", c.Name, how, last, c.Log)
	}
	return fmt.Errorf("%s %s; its log is %s", c.Name, how, c.Log)
}

// ranOutOfMemory reports whether it was for memory that a process ended: it said so itself, or it was killed and the kernel has killed
// somebody for that meanwhile.
func (c *Child) ranOutOfMemory() bool {
	if exit, ok := c.err.(*exec.ExitError); ok {
		if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
			return status.Signal() == syscall.SIGKILL && host.KilledForMemory() > c.killed
		}
	}
	last := logs.LastWord(c.Log)
	return c.failed() && strings.HasPrefix(last, "fatal error: ") && strings.Contains(last, "memory")
}

// remedy says what to change if doing the same again would end the same way.
func (c *Child) remedy() string {
	if !c.starved {
		return ""
	}
	return ", but needs less memory: fewer workers on this machine, or, which is another job, a smaller train.batch_per_seat or model"
}

// Kill ends the process at once and returns when it has ended; its end is no news then.
func (c *Child) Kill() {
	c.dismissed.Store(true)
	killChildren([]*Child{c})
}

// Dismiss asks the process to end gracefully, however long that takes; its end is then expected.
func (c *Child) Dismiss() {
	c.dismissed.Store(true)
	c.signalGroup(syscall.SIGTERM)
}

// stopChildren asks processes to end, and makes those that have not after grace. It returns when all have ended.
func stopChildren(children []*Child, grace time.Duration) {
	for _, c := range children {
		c.signalGroup(syscall.SIGTERM)
	}
	deadline := time.NewTimer(grace)
	defer deadline.Stop()
	for _, c := range children {
		select {
		case <-c.done:
		case <-deadline.C:
			killChildren(children)
			return
		}
	}
}

// killChildren ends processes at once.
func killChildren(children []*Child) {
	for _, c := range children {
		c.signalGroup(syscall.SIGKILL)
	}
	for _, c := range children {
		<-c.done
	}
}

// signalGroup reaches the process and whatever it has started. A stopped process is woken so that it can end.
func (c *Child) signalGroup(signal syscall.Signal) {
	if c.Ended() {
		return
	}
	// The only error is that the group is gone, which is what is wanted.
	_ = syscall.Kill(-c.PID(), signal)
	_ = syscall.Kill(-c.PID(), syscall.SIGCONT)
}

// FindProgram finds a sibling of this executable, or a program on the PATH.
func FindProgram(name string) (string, error) {
	if self, err := os.Executable(); err == nil {
		if real, err := filepath.EvalSymlinks(self); err == nil {
			self = real
		}
		sibling := filepath.Join(filepath.Dir(self), name)
		if info, err := os.Stat(sibling); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return sibling, nil
		}
	}
	path, err := exec.LookPath(name)
	if err != nil {
		return "", fmt.Errorf("the program %s is neither beside this one nor on the PATH; run \"make build\"", name)
	}
	return path, nil
}
