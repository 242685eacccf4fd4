package ssh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// fake puts a program ssh on the PATH that carries commands out here.
func fake(t *testing.T, script string) *Client {
	t.Helper()
	dir := t.TempDir()
	text := "#!/bin/sh\nwhile [ \"$1\" != -- ]; do shift; done\nshift\n" + script
	if err := os.WriteFile(filepath.Join(dir, "ssh"), []byte(text), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	c, err := New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

const here = "echo 'Welcome!'\nexec sh -c \"$2\"\n"

// A script gets its arguments as they are, and what follows it as its input.
func TestRun(t *testing.T) {
	c, err := fake(t, here).Open(t.Context(), "alice@node1")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	args := []string{"it's", "$(touch x) `y` \\ \"z\"", "", "a\nb", "-n", "!!", "*"}
	s, err := c.Run(t.Context(), "for a do printf '<%s>' \"$a\"; done; wc -c | tr -d ' '; cat", args...)
	if err != nil {
		t.Fatal(err)
	}
	input := strings.Repeat("data\x00", 1000)
	if _, err := io.WriteString(s.Input, input); err != nil {
		t.Fatal(err)
	}
	s.Input.Close()
	out, err := io.ReadAll(s.Output)
	want := "Welcome!\n<" + strings.Join(args, "><") + ">5000\n"
	if err := errors.Join(err, s.Wait()); err != nil || string(out) != want {
		t.Errorf("%v\n%q\nwant\n%q", err, out, want)
	}

	s, err = c.Run(t.Context(), "echo one >&2; echo two >&2; exit 3")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Wait(); err == nil || err.Error() != "two" || errors.Is(err, ErrConnection) {
		t.Errorf("a script that failed: %v", err)
	}
	if _, err := c.Run(t.Context(), "true", "a\x00b"); err == nil {
		t.Error("an argument with a zero byte was sent")
	}
}

// Why there is no connection is said in ssh's words, with what to do.
func TestOpenSaysWhy(t *testing.T) {
	for stderr, want := range map[string]string{
		"ssh: connect to host a port 22: Connection refused\n":                                                                                           "ssh: connect to host a port 22: Connection refused",
		"Warning: x\r\nalice@a: Permission denied (publickey).\r\n":                                                                                      "ssh: alice@a: Permission denied (publickey).; it must let you in without a password: ssh-copy-id a, and ssh-add for a key with a passphrase",
		"No ED25519 host key is known for a\nHost key verification failed.\n":                                                                            "ssh: Host key verification failed.; its key is not known here; connect once by hand and compare it: ssh a",
		"@@@@\n@  WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!  @\n@@@@\nOffending ED25519 key in /h/known_hosts:3\nHost key verification failed.\n": "ssh: the host's key has changed. Host key verification failed. Offending ED25519 key in /h/known_hosts:3; if the host was set up again, take its old key away (ssh-keygen -R HOST) and connect once by hand: ssh a",
		"": "ssh: exit status 255",
	} {
		c := fake(t, fmt.Sprintf("printf '%%s' %s >&2; exit 255", Quote(stderr)))
		_, err := c.Open(t.Context(), "a")
		if !errors.Is(err, ErrConnection) || err.Error() != want {
			t.Errorf("%q gives\n%v\nwant\n%s", stderr, err, want)
		}
	}
}

// A host that does not answer holds nobody up who has given it up.
func TestOpenIsGivenUp(t *testing.T) {
	c := fake(t, "exec sleep 600")
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	time.AfterFunc(50*time.Millisecond, func() { cancel(stopped) })
	if _, err := c.Open(ctx, "a"); !errors.Is(err, stopped) {
		t.Errorf("%v", err)
	}
}

// Whatever is quoted, a real shell takes it for one word.
func FuzzQuote(f *testing.F) {
	for _, text := range []string{"", "'", "a b", "$(x)`y`", "\\", "a\nb\r", "''\\''", "-e", "é\xff"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.ContainsRune(text, 0) {
			return
		}
		script, err := withArguments(`printf '%s.%s' "$#" "$1"`, []string{text})
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-s")
		cmd.Stdin = strings.NewReader(script)
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "1."+text {
			t.Errorf("%q becomes %q (%v)", text, out, err)
		}
	})
}
