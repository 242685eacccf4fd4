// Package tether ties the life of a process to that of the one that started it, by a pipe whose other end the parent
// holds: however the parent dies, by SIGKILL too, the pipe ends and the child ends with it.
package tether

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
)

// variable is the environment variable that tells a child which file descriptor the pipe is.
const variable = "RINGMASTER_PARENT_FD"

// Bind prepares a command that has not been started yet to end when this process does.
func Bind(cmd *exec.Cmd, parent *Parent) {
	cmd.ExtraFiles = append(cmd.ExtraFiles, parent.childEnd)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, variable+"="+strconv.Itoa(2+len(cmd.ExtraFiles)))
}

// Parent is the parent's end of the pipe. One serves any number of children.
type Parent struct {
	held, childEnd *os.File
}

// NewParent makes the pipe. It ends with the process, or with Close.
func NewParent() (*Parent, error) {
	childEnd, held, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make the pipe that ties child processes to this one: %w", err)
	}
	return &Parent{held: held, childEnd: childEnd}, nil
}

// Close lets go of the children: those that still run end.
func (p *Parent) Close() error {
	return errors.Join(p.held.Close(), p.childEnd.Close())
}

// Watch calls gone, in a goroutine of its own and once, when the process that started this one has died. Without such a
// parent (started by hand) it does nothing. It must be called early and takes the variable out of the environment,
// since the number means nothing to further children.
func Watch(gone func()) error {
	value, ok := os.LookupEnv(variable)
	if !ok {
		return nil
	}
	if err := os.Unsetenv(variable); err != nil {
		return fmt.Errorf("clear %s: %w", variable, err)
	}
	fd, err := strconv.ParseUint(value, 10, 16)
	if err != nil || fd < 3 {
		return fmt.Errorf("%s=%s is not the number of an inherited file descriptor", variable, value)
	}
	pipe := os.NewFile(uintptr(fd), "parent")
	if _, err := pipe.Stat(); err != nil {
		return fmt.Errorf("%s=%s is not open: %w", variable, value, err)
	}
	go func() {
		// The parent never writes: a read returns when the last copy of its end is gone.
		var one [1]byte
		for {
			if _, err := pipe.Read(one[:]); err != nil {
				gone()
				return
			}
		}
	}()
	return nil
}
