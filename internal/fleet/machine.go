package fleet

import (
	"bufio"
	"compress/gzip"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"ringmaster/internal/fleet/agent"
	"ringmaster/internal/ssh"
)

//go:embed host.sh
var hostScript string

// greeting begins what the script says; what a login shell prints comes before it.
const greeting = "ringmaster-host-1"

const (
	lookTimeout  = 30 * time.Second // of a session that only looks
	agentTimeout = 5 * time.Minute  // of one in which an agent is at work
	stallTimeout = time.Minute      // a copy that has not moved for so long is given up
	maxAnswer    = 1 << 20          // bytes of a script's answer
	maxPrograms  = 64               // of a folder
)

// machine is a host to which there is a connection.
type machine struct {
	ssh  *ssh.Connection
	dir  string // as it is written; a leading ~/ is the home folder there
	seen facts
}

// facts are what a host says of itself.
type facts struct {
	platform string // linux/arm64
	dir      string // the cluster's folder, absolute
	address  string // at which ssh arrives; "" where it does not say
	programs []string
}

// platforms are what uname -sm says of those that there are programs for.
var platforms = map[string]string{
	"Linux x86_64": "linux/amd64", "Linux amd64": "linux/amd64", "Linux aarch64": "linux/arm64", "Linux arm64": "linux/arm64",
	"Darwin arm64": "darwin/arm64", "Darwin x86_64": "darwin/amd64",
}

// look asks a host what it is.
func (m *machine) look(ctx context.Context) error {
	text, err := m.script(ctx, "look", "", "", nil)
	if err == nil {
		m.seen, err = parseFacts(text)
	}
	return err
}

// script runs a part of the host's script to its end and returns what it says behind the greeting.
func (m *machine) script(ctx context.Context, what, hash, word string, input func(io.Writer) error) (string, error) {
	if input == nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, lookTimeout, fmt.Errorf("the host has not answered within %v", lookTimeout))
		defer cancel()
	}
	s, err := m.ssh.Run(ctx, hostScript, what, m.dir, hash, word)
	if err != nil {
		return "", err
	}
	var sent error
	if input != nil {
		sent = input(s.Input)
	}
	_ = s.Input.Close() // the script's end says whether all has come
	text, err := io.ReadAll(io.LimitReader(s.Output, maxAnswer))
	err = errors.Join(s.Wait(), err)
	switch {
	case context.Cause(ctx) != nil:
		return "", context.Cause(ctx)
	case err != nil:
		return "", err
	case sent != nil:
		return "", sent
	}
	_, answer, found := strings.Cut("\n"+string(text), "\n"+greeting+"\n")
	if !found {
		return "", errors.New("its shell runs no script of ours; does  ssh HOST true  print anything, or is the account restricted?")
	}
	return answer, nil
}

// parseFacts reads what the script says to look.
func parseFacts(text string) (facts, error) {
	var f facts
	ended := false
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		switch key {
		case "system":
			platform, known := platforms[value]
			if !known {
				return f, fmt.Errorf("it is a %.40q; there are programs for Linux on amd64 and arm64, and for macOS", value)
			}
			f.platform = platform
		case "dir":
			f.dir = value
		case "connection":
			f.address = serverAddress(value)
		case "program":
			if sum, err := hex.DecodeString(value); err == nil && len(sum) == 32 && len(f.programs) < maxPrograms {
				f.programs = append(f.programs, value)
			}
		case "end":
			ended = true
		}
	}
	if !ended || f.platform == "" || !strings.HasPrefix(f.dir, "/") {
		return f, fmt.Errorf("its answer was cut or changed: %.80q", text)
	}
	return f, nil
}

// serverAddress is the third word of SSH_CONNECTION: the host's address at which the connection arrived. One that others cannot dial is none.
func serverAddress(connection string) string {
	words := strings.Fields(connection)
	if len(words) != 4 {
		return ""
	}
	a, err := netip.ParseAddr(words[2])
	if err != nil || a.Zone() != "" || a.IsLinkLocalUnicast() || a.IsUnspecified() {
		return ""
	}
	return a.Unmap().String()
}

// has reports whether a host has a program, whole.
func (m *machine) has(ctx context.Context, p *program) (bool, error) {
	for _, hash := range m.seen.programs {
		if hash == p.hash {
			said, err := m.script(ctx, "check", hash, "", nil)
			return strings.TrimSpace(said) == "whole", err
		}
	}
	return false, nil
}

// put copies a program to a host, under a temporary name until its sum has been verified there.
func (m *machine) put(ctx context.Context, p *program) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stall := time.AfterFunc(stallTimeout, func() { cancel(fmt.Errorf("the copy of the program has not moved for %v", stallTimeout)) })
	defer stall.Stop()
	said, err := m.script(ctx, "put", p.hash, word(), func(to io.Writer) error {
		f, err := os.Open(p.path)
		if err != nil {
			return err
		}
		defer f.Close()
		packed, err := gzip.NewWriterLevel(moving{to, func() { stall.Reset(stallTimeout) }}, gzip.BestSpeed)
		if err != nil {
			return err
		}
		_, err = io.Copy(packed, f)
		return errors.Join(err, packed.Close())
	})
	if err == nil && strings.TrimSpace(said) != "whole" {
		err = errors.New("the host did not take the program")
	}
	return err
}

// moving calls moved whenever something was written.
type moving struct {
	io.Writer
	moved func()
}

func (m moving) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(p)
	m.moved()
	return n, err
}

// word is a random word for a temporary name.
func word() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return hex.EncodeToString(b[:])
}

// errMissing means that a host does not have the program that would answer.
var errMissing = errors.New("nothing is installed")

// begin starts an agent and hands it a request; what it says follows.
func (m *machine) begin(ctx context.Context, hash string, r agent.Request) (*ssh.Session, error) {
	s, err := m.ssh.Run(ctx, hostScript, "run", m.dir, hash, "")
	if err != nil {
		return nil, err
	}
	r.Protocol, r.Dir = agent.Protocol, m.seen.dir
	_ = agent.WriteLine(s.Input, r) // how it ends says more
	for read := 0; read < maxAnswer; {
		line, err := s.Output.ReadString('\n')
		if err != nil {
			_ = s.Input.Close() // it has ended
			return nil, errors.Join(s.Wait(), context.Cause(ctx), noEOF(err))
		}
		if read += len(line); line == greeting+"\n" {
			break
		}
	}
	switch line, err := s.Output.ReadString('\n'); {
	case err == nil && line == "running\n":
		return s, nil
	case err == nil && line == "missing\n":
		_ = s.Input.Close() // likewise
		return nil, errors.Join(s.Wait(), errMissing)
	default:
		_ = s.Input.Close() // likewise
		return nil, errors.Join(s.Wait(), context.Cause(ctx), fmt.Errorf("its shell answers %.40q", line))
	}
}

// noEOF is nil for the end of what is read: how the session ended tells why.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// call has an agent carry out a request. grant answers its requests for certificates, note hears what it says meanwhile; both may be nil.
func (m *machine) call(ctx context.Context, hash string, r agent.Request, grant func(agent.Enrol) (any, error), note func(string)) (*agent.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, agentTimeout, fmt.Errorf("the host has not finished within %v", agentTimeout))
	defer cancel()
	s, err := m.begin(ctx, hash, r)
	if err != nil {
		return nil, err
	}
	result, err := converse(s.Output, s.Input, grant, note)
	_ = s.Input.Close() // the agent has answered, or has ended
	if ended := s.Wait(); err == nil || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		err = ended
		if err == nil && result == nil {
			err = errors.New("the program there ended without an answer")
		}
	}
	if cause := context.Cause(ctx); cause != nil {
		return nil, cause
	}
	return result, err
}

// maxMessages bounds the lines of an answer.
const maxMessages = 100_000

// converse reads an agent's messages until its result.
func converse(from *bufio.Reader, to io.Writer, grant func(agent.Enrol) (any, error), note func(string)) (*agent.Result, error) {
	for range maxMessages {
		var m agent.Message
		if err := agent.ReadLine(from, &m); err != nil {
			return nil, err
		}
		switch {
		case m.Result != nil:
			return m.Result, nil
		case m.Error != "":
			return nil, errors.New(m.Error)
		case m.Enrol != nil && grant != nil:
			answer, err := grant(*m.Enrol)
			if err != nil {
				return nil, err
			}
			if err := agent.WriteLine(to, answer); err != nil {
				return nil, err
			}
		case m.Note != "" && note != nil:
			note(m.Note)
		}
	}
	return nil, errors.New("the program there says more than is heard")
}
