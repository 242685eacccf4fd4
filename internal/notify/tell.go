package notify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ringmaster/internal/printable"
	"ringmaster/internal/records"
	"ringmaster/internal/sleep"
)

// execute runs a command with the event as JSON on its standard input, and its main parts as variables.
func execute(parent context.Context, command string, e records.Event, body []byte) error {
	ctx, cancel := context.WithTimeout(parent, commandTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	cmd.Env = append(os.Environ(), "RINGMASTER_EVENT="+e.Event, "RINGMASTER_JOB="+e.Job, "RINGMASTER_STEP="+strconv.FormatUint(e.Step, 10),
		"RINGMASTER_TEXT="+printable.Line(e.Text, 1<<10))
	said := &tail{}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(append(body, '\n')), said, said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // a Ctrl-C in the terminal is not meant for it
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	switch {
	case err == nil || errors.Is(err, syscall.EPIPE): // it did not read all of the event
		return nil
	case ctx.Err() != nil:
		return errors.New("it took too long and was killed")
	}
	if line := said.last(); line != "" {
		return fmt.Errorf("%w: %s", err, line)
	}
	return err
}

// tail keeps the end of what is written.
type tail struct{ text []byte }

const tailBytes = 4 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if n := len(t.text) - tailBytes; n > 0 {
		t.text = append(t.text[:0], t.text[n:]...)
	}
	return len(p), nil
}

func (t *tail) last() string {
	lines := strings.Split(strings.TrimSpace(string(t.text)), "\n")
	return printable.Line(lines[len(lines)-1], 200)
}

// post sends the event to a hook, again where that may help.
func post(ctx context.Context, hook string, body []byte) error {
	for attempt := 0; ; attempt++ {
		again, err := postOnce(ctx, hook, body)
		if err == nil || !again || attempt == len(pauses) || !sleep.For(ctx, pauses[attempt]) {
			return err
		}
	}
}

func postOnce(parent context.Context, hook string, body []byte) (again bool, err error) {
	ctx, cancel := context.WithTimeout(parent, attemptTime)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook, bytes.NewReader(body))
	if err != nil {
		return false, errors.New("its URL cannot be used")
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("User-Agent", "ringmaster")
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		var of *url.Error
		if errors.As(err, &of) {
			err = of.Err // without the URL, part of which may be secret
		}
		return true, err
	}
	defer answer.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, 64<<10)) // so that the connection can be used again
	if answer.StatusCode/100 == 2 {
		return false, nil
	}
	return answer.StatusCode >= 500 || answer.StatusCode == http.StatusTooManyRequests, fmt.Errorf("it answers %s", printable.Line(answer.Status, 100))
}
