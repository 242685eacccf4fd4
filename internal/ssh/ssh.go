// Package ssh runs scripts on other machines by the system's ssh, with the user's own configuration, agent and known hosts.
//
// Nothing that a person wrote reaches a shell unquoted. The command that ssh carries is a constant but for a number: a POSIX shell that reads its
// script from its input, exactly so many bytes, and leaves what follows to the script. So the login shell there may be any, and a script's
// arguments are words in single quotes.
package ssh

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Bounds on what is waited for.
const (
	ConnectTimeout = 10 * time.Second // for the connection and its handshake
	openTimeout    = 30 * time.Second // until a shell has answered
	endPatience    = 2 * time.Second  // for an ssh that is told to end
	maxGreeting    = 1 << 20          // bytes that a login shell may print before our answer
)

// hello is the first line of the holding session's answer.
const hello = "ringmaster-ssh-is-up"

// Client opens connections. They share a private folder, which holds the sockets over which sessions share a connection.
type Client struct {
	program string
	dir     string
	mu      sync.Mutex
	opened  int
}

// New looks for the program ssh.
func New() (*Client, error) {
	program, err := exec.LookPath("ssh")
	if err != nil {
		return nil, errors.New("the program ssh is not on the PATH: install OpenSSH's client (Debian: openssh-client)")
	}
	temp := os.TempDir()
	if len(temp) > 60 || strings.Contains(temp, "%") { // sockets have short paths, in which ssh replaces %
		temp = "/tmp"
	}
	dir, err := os.MkdirTemp(temp, "ringmaster-ssh-") // mode 0700
	if err != nil {
		return nil, fmt.Errorf("make a folder for ssh's sockets: %w", err)
	}
	return &Client{program: program, dir: dir}, nil
}

// Close removes the folder; connections must have been closed.
func (c *Client) Close() error { return os.RemoveAll(c.dir) }

// options are those of every call. All else is the user's: name, keys, agent, jumps, known hosts.
func options(socket, master string) []string {
	return []string{"-T", "-x", "-o", "BatchMode=yes", "-o", fmt.Sprintf("ConnectTimeout=%d", int(ConnectTimeout.Seconds())),
		"-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3", "-o", "ControlMaster=" + master, "-o", "ControlPath=" + socket, "-o", "ControlPersist=no",
		"-o", "ClearAllForwardings=yes", "-o", "PermitLocalCommand=no", "-o", "RemoteCommand=none"}
}

// Connection is an authenticated connection to a machine. It lasts until it is closed, or this process has ended.
type Connection struct {
	client      *Client
	destination string
	socket      string
	hold        *Session // keeps the connection open
}

// Open connects to a destination, as a person types it behind ssh.
func (c *Client) Open(ctx context.Context, destination string) (*Connection, error) {
	c.mu.Lock()
	c.opened++
	conn := &Connection{client: c, destination: destination, socket: filepath.Join(c.dir, strconv.Itoa(c.opened))}
	c.mu.Unlock()
	session, err := conn.start(context.WithoutCancel(ctx), "yes", "echo "+hello+" && exec cat") // which ends with its input
	if err != nil {
		return nil, err
	}
	conn.hold = session
	up := make(chan bool, 1)
	go func() { up <- session.await(hello) }()
	late := time.NewTimer(openTimeout)
	defer late.Stop()
	select {
	case ok := <-up:
		if ok {
			return conn, nil
		}
		err = session.Wait()
		if err == nil {
			err = errors.New("the session ended without an answer; does  ssh " + destination + " true  work?")
		}
	case <-late.C:
		err = fmt.Errorf("no shell has answered within %v; does  ssh %s true  work?", openTimeout, destination)
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	session.kill()
	return nil, err
}

// Close ends the connection.
func (c *Connection) Close() {
	if c == nil {
		return
	}
	_ = c.hold.Input.Close() // the session has ended already
	c.hold.end()
}

// Session is a script that runs on the machine.
type Session struct {
	Input  io.WriteCloser // the script's, behind its own text
	Output *bufio.Reader

	cmd    *exec.Cmd
	output *os.File // behind Output
	stderr tail
	done   chan struct{}
	err    error
}

// Run begins a script with arguments ($1, $2, ...). ctx ends it.
func (c *Connection) Run(ctx context.Context, script string, args ...string) (*Session, error) {
	text, err := withArguments(script, args)
	if err != nil {
		return nil, err
	}
	s, err := c.start(ctx, "no", fmt.Sprintf(`exec /bin/sh -c 'eval "$(dd bs=1 count=%d 2>/dev/null)"'`, len(text)))
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(s.Input, text); err != nil && !errors.Is(err, syscall.EPIPE) { // how it ended says more
		s.kill()
		return nil, fmt.Errorf("send the script: %w", err)
	}
	return s, nil
}

// withArguments puts a line before the script that sets its arguments.
func withArguments(script string, args []string) (string, error) {
	line := "set --"
	for _, a := range args {
		if strings.ContainsRune(a, 0) {
			return "", fmt.Errorf("an argument holds a zero byte: %.40q", a)
		}
		line += " " + Quote(a)
	}
	return line + "\n" + script, nil
}

// Quote writes a text without zero bytes as one word of a POSIX shell.
func Quote(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// start begins a session that carries a command, which is one line.
func (c *Connection) start(ctx context.Context, master, command string) (*Session, error) {
	args := append(options(c.socket, master), "--", c.destination, command)
	s := &Session{cmd: exec.CommandContext(ctx, c.client.program, args...), done: make(chan struct{})}
	s.cmd.Stderr = &s.stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is for this program to handle
	s.cmd.Cancel = func() error { return signalGroup(s.cmd, syscall.SIGTERM) }
	s.cmd.WaitDelay = endPatience
	var err error
	if s.Input, err = s.cmd.StdinPipe(); err != nil {
		return nil, fmt.Errorf("start ssh: %w", err)
	}
	output, input, err := os.Pipe() // not StdoutPipe, which Wait would close before everything is read
	if err != nil {
		return nil, fmt.Errorf("start ssh: %w", err)
	}
	s.cmd.Stdout, s.output, s.Output = input, output, bufio.NewReaderSize(output, 1<<16)
	err = s.cmd.Start()
	_ = input.Close() // the child has its own copy
	if err != nil {
		_ = output.Close() // nothing came
		return nil, fmt.Errorf("start ssh: %w", err)
	}
	go func() {
		s.err = explain(c.destination, s.cmd.Wait(), s.stderr.String())
		close(s.done)
	}()
	return s, nil
}

func signalGroup(cmd *exec.Cmd, signal syscall.Signal) error {
	return syscall.Kill(-cmd.Process.Pid, signal) // what ProxyCommand has started, too
}

// await reads lines until one is the marker; false where none is.
func (s *Session) await(marker string) bool {
	limited := bufio.NewReader(io.LimitReader(s.Output, maxGreeting))
	for {
		line, err := limited.ReadString('\n')
		if strings.TrimSpace(line) == marker {
			return true
		}
		if err != nil {
			return false
		}
	}
}

// Wait reads what is left of the output and waits until the session has ended.
func (s *Session) Wait() error {
	_, _ = io.Copy(io.Discard, s.Output) // how the session ends says what failed
	<-s.done
	_ = s.output.Close() // everything was read
	return s.err
}

// kill ends the session's processes.
func (s *Session) kill() {
	_ = signalGroup(s.cmd, syscall.SIGTERM) // they may have ended
	s.end()
}

// end waits for a session that is to end, and makes it.
func (s *Session) end() {
	select {
	case <-s.done:
	case <-time.After(endPatience):
		_ = signalGroup(s.cmd, syscall.SIGKILL) // likewise
		<-s.done
	}
	_ = s.output.Close() // nobody reads on
}

// maxStderr bounds what is kept of what ssh and scripts say on stderr: its end.
const maxStderr = 16 << 10

// tail keeps the end of what is written.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	if over := len(t.text) - maxStderr; over > 0 {
		t.text = bytes.Clone(t.text[over:])
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.text)
}
