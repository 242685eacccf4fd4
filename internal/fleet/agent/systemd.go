package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"ringmaster/internal/wholefile"
)

// systemdTimeout bounds a call, but for those that wait for a daemon's end.
const systemdTimeout = 10 * time.Second

// systemd is the user's own service manager.
type systemd struct {
	cluster string
	home    string
}

// available says whether the manager answers (nil), and whether it goes on after the user has logged out.
func (s systemd) available(ctx context.Context) (works error, lingers bool) {
	if _, err := s.call(ctx, systemdTimeout, "systemctl", "--user", "show", "--property=Version"); err != nil {
		return err, false
	}
	name := strconv.Itoa(os.Getuid())
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	said, err := s.call(ctx, systemdTimeout, "loginctl", "show-user", name, "--property=Linger", "--value")
	return nil, err == nil && strings.TrimSpace(said) == "yes"
}

// call runs a program of systemd's. Over ssh the variable that leads to the manager may not be set.
func (s systemd) call(ctx context.Context, timeout time.Duration, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = os.Environ()
	if os.Getenv("XDG_RUNTIME_DIR") == "" {
		cmd.Env = append(cmd.Env, "XDG_RUNTIME_DIR=/run/user/"+strconv.Itoa(os.Getuid()))
	}
	var stderr strings.Builder
	cmd.Stderr, cmd.WaitDelay = &stderr, time.Second
	out, err := cmd.Output()
	if err != nil {
		if said := strings.Join(strings.Fields(stderr.String()), " "); said != "" {
			err = errors.New(said)
		}
		return "", fmt.Errorf("%s: %w", program, err)
	}
	return string(out), nil
}

func (s systemd) unit(id string) string { return "ringmaster-" + s.cluster + "-" + id + ".service" }

func (s systemd) file(id string) string {
	return filepath.Join(s.home, ".config", "systemd", "user", s.unit(id))
}

// unitText is a daemon's unit.
func (s systemd) unitText(id string, command []string, log string) string {
	var words []string
	for _, w := range command {
		words = append(words, unitQuote(w))
	}
	return "[Unit]\nDescription=Ringmaster " + id + " of " + s.cluster + "\n\n[Service]\n" +
		"ExecStart=" + strings.Join(words, " ") + "\n" +
		"WorkingDirectory=~\n" +
		"StandardOutput=append:" + strings.ReplaceAll(log, "%", "%%") + "\nStandardError=inherit\n" +
		// The exit codes of a wrong configuration and of a coordinator that was removed: trying again changes nothing.
		"Restart=on-failure\nRestartSec=2\nRestartPreventExitStatus=2 4\nStartLimitIntervalSec=0\n" +
		"TimeoutStopSec=" + seconds(stopGrace) + "\nLimitNOFILE=65536\nUMask=0077\n\n[Install]\nWantedBy=default.target\n"
}

// unitQuote writes a word of a command line in a unit, in which $ and % have meanings too.
func unitQuote(word string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "$", "$$", "%", "%%").Replace(word) + `"`
}

// start writes a daemon's unit, which starts after a reboot too, and starts it. ended reports whether it has ended.
func (s systemd) start(ctx context.Context, id string, command []string, log string) (ended func() bool, err error) {
	if err := os.MkdirAll(filepath.Dir(s.file(id)), 0o755); err != nil {
		return nil, err
	}
	text := s.unitText(id, command, log)
	if err := wholefile.Write(s.file(id), 0o644, func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}); err != nil {
		return nil, err
	}
	for _, args := range [][]string{{"daemon-reload"}, {"enable", s.unit(id)}, {"restart", s.unit(id)}} {
		if _, err := s.call(ctx, stopGrace+systemdTimeout, "systemctl", append([]string{"--user"}, args...)...); err != nil {
			return nil, err
		}
	}
	return func() bool {
		said, err := s.call(ctx, systemdTimeout, "systemctl", "--user", "show", "--property=ActiveState", "--property=NRestarts", s.unit(id))
		return err == nil && (!strings.Contains(said, "ActiveState=active") || !strings.Contains(said, "NRestarts=0"))
	}, nil
}

// stop ends a daemon, which does not start after a reboot then. systemd itself ends it by force where it does not end.
func (s systemd) stop(ctx context.Context, id string) error {
	_, err := s.call(ctx, stopGrace+systemdTimeout, "systemctl", "--user", "disable", "--now", s.unit(id))
	return err
}

// forget deletes a daemon's unit, if it has one.
func (s systemd) forget(id string) error {
	if _, err := os.Lstat(s.file(id)); err != nil {
		return nil
	}
	ctx := context.Background()
	_, stopped := s.call(ctx, stopGrace+systemdTimeout, "systemctl", "--user", "disable", "--now", s.unit(id))
	if err := os.Remove(s.file(id)); err != nil {
		return err
	}
	if stopped != nil {
		return nil // the manager does not answer, and finds no unit when it does
	}
	_, err := s.call(ctx, systemdTimeout, "systemctl", "--user", "daemon-reload")
	return err
}
