package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"ringmaster/internal/config"
	"ringmaster/internal/test/support"
)

// The test binary plays the daemon: RINGMASTER_TEST_BODY says what its body does.
func TestMain(m *testing.M) {
	what := os.Getenv("RINGMASTER_TEST_BODY")
	if what == "" {
		os.Exit(m.Run())
	}
	os.Exit(Main(Daemon{Name: "worker", Options: config.WorkerOptions, Load: func(file string, flags []config.Flag) (Body, string, error) {
		cfg, err := config.LoadWorker(file, flags)
		if err != nil {
			return nil, "", err
		}
		return func(ctx context.Context, log *slog.Logger) error { return body(ctx, log, what, cfg) }, cfg.Log, nil
	}}))
}

func body(ctx context.Context, log *slog.Logger, what string, cfg *config.Worker) error {
	switch what {
	case "show":
		fmt.Println(cfg.ID, cfg.Bind, cfg.Join, cfg.Threads)
		log.Info("not shown at this level")
		log.Warn("shown")
		return nil
	case "fail":
		return errors.New("two\nlines")
	case "port":
		return fmt.Errorf("listen: %w", syscall.EADDRINUSE)
	case "wait", "hangup":
		fmt.Println("up")
		<-ctx.Done()
		return ctx.Err()
	default: // deaf
		fmt.Println("up")
		<-ctx.Done()
		fmt.Println("asked")
		select {}
	}
}

func command(what string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), "RINGMASTER_TEST_BODY="+what)
	return cmd
}

func TestMainFunction(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.yaml")
	if err := os.WriteFile(file, []byte("id: w9\njoin: [\"a:1\", \"b:2\"]\nthreads: 3\nlog: warn\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, what     string
		args           []string
		code           int
		stdout, stderr string
	}{
		{"flags over the file", "show", []string{"--config", file, "--threads", "5", "--bind", "h:7"}, 0, "w9 h:7 [a:1 b:2] 5\n", "level=WARN msg=shown"},
		{"flags alone", "show", []string{"--join", "c:3", "--log", "error"}, 0, " 127.0.0.1:0 [c:3] 0\n", ""},
		{"wrong flag's value", "show", []string{"--config", file, "--threads", "many"}, 2, "", "worker: --threads: threads must be a whole number"},
		{"unknown flag", "show", []string{"--thread", "3"}, 2, "", "worker: unknown flag: --thread"},
		{"argument", "show", []string{"x"}, 2, "", "worker: unexpected argument x: worker takes no arguments beside its flags"},
		{"failure", "fail", []string{"--config", file}, 1, "", "worker: two lines\n"},
		{"port in use", "port", []string{"--config", file}, 2, "", "worker: listen: address already in use\n"},
	} {
		cmd := command(test.what, test.args...)
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if code := cmd.ProcessState.ExitCode(); code != test.code || string(out) != test.stdout || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("%s: exit code %d (%v), %q, %q; want %d, %q, %q", test.name, code, err, out, stderr.String(), test.code, test.stdout, test.stderr)
		}
		if strings.Contains(stderr.String(), "not shown") {
			t.Errorf("%s: the log shows what is below its level", test.name)
		}
	}
}

// The first signal ends the body's context, the second one the process.
func TestTheFirstSignalEndsTheBodyTheSecondTheProcess(t *testing.T) {
	support.Attentive(t)
	for _, test := range []struct {
		what string
		code int
	}{{"wait", 0}, {"deaf", 143}, {"hangup", 0}} {
		cmd := command(test.what, "--join", "c:3")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		said := make([]byte, 3)
		if _, err := out.Read(said); err != nil || string(said) != "up\n" {
			t.Fatalf("%q, %v", said, err)
		}
		first := syscall.SIGTERM
		if test.what == "hangup" {
			first = syscall.SIGHUP
		}
		if err := cmd.Process.Signal(first); err != nil {
			t.Fatal(err)
		}
		if test.what == "deaf" {
			asked := make([]byte, 6)
			if _, err := out.Read(asked); err != nil || string(asked) != "asked\n" {
				t.Fatalf("%q, %v", asked, err)
			}
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		_ = cmd.Wait() // the code tells
		if code := cmd.ProcessState.ExitCode(); code != test.code {
			t.Errorf("%s: exit code %d, want %d", test.what, code, test.code)
		}
	}
}

// Every key of the daemons' files is a flag.
func TestEveryKeyIsAFlag(t *testing.T) {
	for _, test := range []struct {
		options []config.Option
		keys    []string
	}{{config.CoordinatorOptions, config.Keys(config.Coordinator{})}, {config.WorkerOptions, config.Keys(config.Worker{})}} {
		var have []string
		for _, o := range test.options {
			have = append(have, o.Key)
		}
		if strings.Join(have, " ") != strings.Join(test.keys, " ") {
			t.Errorf("the flags are %v, the keys %v", have, test.keys)
		}
	}
}
