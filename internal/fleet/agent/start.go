package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"ringmaster/internal/certs"
	"ringmaster/internal/config"
	"ringmaster/internal/folderlock"
	"ringmaster/internal/logs"
	"ringmaster/internal/sleep"
)

const (
	upTimeout = 60 * time.Second       // until a daemon says that it is up: a new coordinator takes over the log first
	stopGrace = 30 * time.Second       // a daemon ends by itself after twenty seconds at most
	looks     = 100 * time.Millisecond // between two looks
	maxLog    = 16 << 20               // bytes of a log to which a daemon that starts appends; a larger one is set aside as log.1
)

// start starts a daemon and waits until it says that it is up.
func (a *Agent) start(ctx context.Context, d Daemon, how started) error {
	log := a.path(d.ID, logFile)
	from := int64(0)
	if info, err := os.Stat(log); err == nil {
		if from = info.Size(); from > maxLog {
			if err := os.Rename(log, log+".1"); err != nil {
				return fmt.Errorf("set the log aside: %w", err)
			}
			from = 0
		}
	}
	if err := a.write(d.ID, how); err != nil {
		return err
	}
	args := append(append([]string{}, a.Command...), string(d.Role), "--config", a.path(d.ID, configFile))
	var ended func() bool
	var err error
	if how.Service == config.ServiceSystemd {
		ended, err = a.system.start(ctx, d.ID, append([]string{a.Program}, args...), log)
	} else {
		ended, err = a.detach(args, log)
	}
	if err != nil {
		return err
	}
	return a.awaitUp(ctx, d, log, from, ended)
}

// detach starts a daemon as a process of a session of its own, which outlives this one.
func (a *Agent) detach(args []string, log string) (ended func() bool, err error) {
	out, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the log: %w", err)
	}
	defer out.Close() // the daemon has its own copy
	cmd := exec.Command(a.Program, args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = out, out, a.Home
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "SSH_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start it: %w", err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // its log says why
		close(done)
	}()
	return func() bool {
		select {
		case <-done:
			return true
		default:
			return false
		}
	}, nil
}

// awaitUp waits until the log says that the daemon is up, or it has ended.
func (a *Agent) awaitUp(ctx context.Context, d Daemon, log string, from int64, ended func() bool) error {
	word := []byte(`msg="` + string(d.Role) + ` is up"`)
	for late := time.Now().Add(upTimeout); ; {
		over := ended()
		text, err := readFrom(log, from)
		if err == nil && bytes.Contains(text, word) {
			if !over {
				return nil
			}
		}
		switch {
		case over:
			return errors.New(a.lastWord(d.ID))
		case time.Now().After(late):
			return fmt.Errorf("it runs, but has not come up within %v: %s", upTimeout, a.lastWord(d.ID))
		case !sleep.For(ctx, looks):
			return context.Cause(ctx)
		}
	}
}

// readFrom reads what a log has had added, as far as a start takes.
func readFrom(path string, from int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.NewSectionReader(f, from, 1<<20))
}

// lastWord says what a daemon said last.
func (a *Agent) lastWord(id string) string {
	log := a.path(id, logFile)
	if word := logs.LastWord(log); word != "" {
		return word + " (" + log + ")"
	}
	return "it has said nothing (" + log + ")"
}

// stop asks daemons to end and waits until they have.
func (a *Agent) stop(ctx context.Context) ([]State, error) {
	all, err := a.look()
	if err != nil {
		return nil, err
	}
	wanted := map[string]bool{}
	for _, id := range a.request.IDs {
		wanted[id] = true
	}
	var states []State
	for _, s := range all {
		if (len(wanted) == 0 || wanted[s.ID]) && (!a.request.Workers || s.Role == certs.Worker) {
			states = append(states, s)
		}
	}
	var group sync.WaitGroup
	for i, s := range states {
		group.Go(func() {
			how, _ := a.read(s.ID) // a damaged one: as if it were detached
			err := a.stopOne(ctx, s.ID, how)
			states[i] = a.state(s.ID)
			switch {
			case err != nil:
				states[i].Problem = err.Error()
			case s.State == Running:
				states[i].Changed = "stopped"
			}
		})
	}
	group.Wait()
	return states, nil
}

// stopOne ends a daemon, if it runs, and notes that it was asked to.
func (a *Agent) stopOne(ctx context.Context, id string, how started) error {
	how.Stopped = true
	if err := a.write(id, how); err != nil {
		return err
	}
	if how.Service == config.ServiceSystemd {
		if err := a.system.stop(ctx, id); err != nil {
			return err
		}
	}
	data := a.path(id, dataDir)
	signalled := 0
	for late := time.Now().Add(stopGrace); ; {
		pid, _, runs, err := folderlock.Holder(data)
		if err != nil || !runs {
			return err
		}
		if pid > 1 && pid != signalled && how.Service != config.ServiceSystemd {
			if err := errors.Join(syscall.Kill(pid, syscall.SIGTERM), syscall.Kill(pid, syscall.SIGCONT)); err != nil && !errors.Is(err, syscall.ESRCH) {
				return fmt.Errorf("end process %d: %w", pid, err)
			}
			signalled = pid
		}
		if time.Now().After(late) {
			return fmt.Errorf("process %d has not ended %v after SIGTERM; look at %s, or end it there: kill -9 %d", pid, stopGrace, a.path(id, logFile), pid)
		}
		if !sleep.For(ctx, looks) {
			return context.Cause(ctx)
		}
	}
}

// logs writes the ends of the logs of daemons, and with follow what is added to them until the input ends.
func (a *Agent) logs(ctx context.Context) error {
	all := a.request.IDs
	if len(all) == 0 {
		var err error
		if all, err = a.installed(); err != nil {
			return err
		}
	}
	read := make([]int64, len(all))
	shown := -1
	show := func(i int, text []byte) error {
		if len(text) == 0 {
			return nil
		}
		if shown != i && len(all) > 1 {
			if _, err := fmt.Fprintf(a.Out, "== %s\n", all[i]); err != nil {
				return err
			}
		}
		shown = i
		_, err := a.Out.Write(text)
		return err
	}
	for i, id := range all {
		text, size, err := lastLines(a.path(id, logFile), a.request.Lines)
		if err != nil {
			return fmt.Errorf("%s has no log to show: %w", id, err)
		}
		read[i] = size
		if err := show(i, text); err != nil {
			return err
		}
	}
	if !a.request.Follow {
		return nil
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		_, _ = io.Copy(io.Discard, a.In) // ends when nobody watches any more
		cancel()
	}()
	for sleep.For(ctx, 5*looks) {
		for i, id := range all {
			path := a.path(id, logFile)
			if info, err := os.Stat(path); err == nil && info.Size() < read[i] {
				read[i] = 0 // set aside: it begins anew
			}
			text, err := readFrom(path, read[i])
			read[i] += int64(len(text))
			if err == nil {
				err = show(i, text)
			}
			if err != nil && !os.IsNotExist(err) {
				return err
			}
		}
	}
	return nil
}

// lastLines reads the last lines of a file, at most a megabyte, and returns its size.
func lastLines(path string, lines int) ([]byte, int64, error) {
	const most = 1 << 20
	f, err := os.Open(filepath.Clean(path))
	if err != nil {
		return nil, 0, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, 0, err
	}
	text, err := io.ReadAll(io.NewSectionReader(f, max(0, info.Size()-most), min(most, info.Size())))
	if err != nil {
		return nil, 0, err
	}
	at := len(bytes.TrimSuffix(text, []byte("\n")))
	for range lines {
		if at = bytes.LastIndexByte(text[:max(at, 0)], '\n'); at < 0 {
			break
		}
	}
	return text[at+1:], info.Size(), nil
}
