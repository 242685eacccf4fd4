package ssh

import (
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"

	"ringmaster/internal/printable"
)

// failed is ssh's exit code where not the script but the connection failed.
const failed = 255

// maxWords bounds what is shown of what a machine said.
const maxWords = 300

// ErrConnection is wrapped where the connection failed, and not what ran over it.
var ErrConnection = errors.New("ssh")

// explain says why a session ended: in ssh's own words, and what to do where that is known. nil where it ended well.
func explain(destination string, err error, stderr string) error {
	if err == nil {
		return nil
	}
	words := lastWords(stderr)
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && exit.ExitCode() != failed && words != "" && exit.ExitCode() > 0:
		return errors.New(words)
	case errors.As(err, &exit) && exit.ExitCode() != failed && exit.ExitCode() > 0:
		return fmt.Errorf("what ran there ended without a word (%w)", err)
	case words == "":
		return fmt.Errorf("%w: %w", ErrConnection, err)
	}
	if advice := advise(destination, stderr); advice != "" {
		words += "; " + advice
	}
	return fmt.Errorf("%w: %s", ErrConnection, words)
}

// lastWords is what of stderr tells most: its last line, and where a host's key is not the known one also where that is written down.
func lastWords(stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		line = printable.Line(strings.TrimSpace(line), maxWords)
		if line != "" && strings.Trim(line, "@") != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		return ""
	}
	last := strings.TrimPrefix(lines[len(lines)-1], "ssh: ")
	offending := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "Offending ") })
	if strings.HasPrefix(last, "Host key verification failed") && offending >= 0 {
		return "the host's key has changed. " + last + " " + lines[offending]
	}
	return last
}

// advise says what a person does about an error of ssh.
func advise(destination, stderr string) string {
	switch {
	case strings.Contains(stderr, "REMOTE HOST IDENTIFICATION HAS CHANGED"):
		return "if the host was set up again, take its old key away (ssh-keygen -R HOST) and connect once by hand: ssh " + destination
	case strings.Contains(stderr, "Host key verification failed"):
		return "its key is not known here; connect once by hand and compare it: ssh " + destination
	case strings.Contains(stderr, "Permission denied"):
		return "it must let you in without a password: ssh-copy-id " + destination + ", and ssh-add for a key with a passphrase"
	}
	return ""
}
