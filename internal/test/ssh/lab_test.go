package ssh

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// patience bounds how long anything may take: the machine may be busy.
const patience = 3 * time.Minute

// lab is a laptop and hosts in one network. Each host is a namespace of networks, processes, mounts and names: it has its own address 10.0.0.N, its own
// sshd as its first process, with which everything there ends, and its own user alice with a home folder. On the laptop the folder /root is the lab's.
type lab struct {
	t    *testing.T
	dir  string
	name string // begins those of the namespaces
}

// laptop is its number in the network.
const laptop = 9

func address(host int) string { return fmt.Sprintf("10.0.0.%d", host) }

// newLab makes a network with hosts 1 to n, or skips the test where that cannot be.
func newLab(t *testing.T, hosts int) *lab {
	t.Helper()
	if os.Getenv("RINGMASTER_SSH") == "" {
		t.Skip("hosts with an sshd of their own take two minutes: make ssh")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can make namespaces")
	}
	for _, p := range []string{"/usr/sbin/sshd", "ssh", "ssh-keygen", "ip", "unshare", "nsenter"} {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (Debian: openssh-server, openssh-client, iproute2, util-linux)", p)
		}
	}
	l := &lab{t: t, dir: t.TempDir(), name: fmt.Sprintf("rmssh-%d-%d", os.Getpid(), time.Now().UnixNano()%100000)}
	l.must("go", "build", "-o", l.path("bin")+"/", "ringmaster/cmd/ringmaster", "ringmaster/cmd/coordinator", "ringmaster/cmd/worker")
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(root, "configs"), l.path("configs")); err != nil {
		t.Fatal(err)
	}
	l.must("ip", "netns", "add", l.space(0)) // the switch
	t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", l.space(0)).Run() })
	l.must("ip", "-n", l.space(0), "link", "add", "switch", "type", "bridge")
	l.must("ip", "-n", l.space(0), "link", "set", "switch", "up")
	l.must("mkdir", "-p", l.path("root/.ssh"))
	l.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", l.path("root/.ssh/id_ed25519"))
	l.plug(laptop)
	for host := 1; host <= hosts; host++ {
		l.plug(host)
		l.install(host)
		l.boot(host)
		l.know(host)
	}
	return l
}

func (l *lab) path(names ...string) string {
	return filepath.Join(append([]string{l.dir}, names...)...)
}
func (l *lab) space(number int) string { return fmt.Sprintf("%s-%d", l.name, number) }
func (l *lab) home(host int) string    { return l.path(fmt.Sprint(host), "home", "alice") }

func (l *lab) must(program string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %v: %v: %s", program, args, err, out)
	}
	return string(out)
}

func (l *lab) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(l.path(name), []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

// plug connects a machine to the switch.
func (l *lab) plug(number int) {
	l.t.Helper()
	port := fmt.Sprintf("p%d", number)
	l.must("ip", "netns", "add", l.space(number))
	l.t.Cleanup(func() { _ = exec.Command("ip", "netns", "delete", l.space(number)).Run() })
	l.must("ip", "-n", l.space(0), "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", l.space(number))
	l.must("ip", "-n", l.space(0), "link", "set", port, "master", "switch", "up")
	l.must("ip", "-n", l.space(number), "addr", "add", address(number)+"/24", "dev", "eth0")
	l.must("ip", "-n", l.space(number), "link", "set", "lo", "up")
	l.must("ip", "-n", l.space(number), "link", "set", "eth0", "up")
}

// link takes a host's link up or down.
func (l *lab) link(host int, state string) {
	l.t.Helper()
	l.must("ip", "-n", l.space(0), "link", "set", fmt.Sprintf("p%d", host), state)
}

const sshdConfig = `Port 22
ListenAddress %s
HostKey %s/host_key
AuthorizedKeysFile .ssh/authorized_keys
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
StrictModes no
PidFile none
`

// install makes a host's files.
func (l *lab) install(host int) {
	l.t.Helper()
	dir := l.path(fmt.Sprint(host))
	l.must("mkdir", "-p", l.home(host)+"/.ssh")
	l.write(fmt.Sprintf("%d/passwd", host), "root:*:0:0::/root:/bin/sh\nsshd:*:101:65534::/run/sshd:/usr/sbin/nologin\nalice:*:4242:4242::/home/alice:/bin/bash\n")
	l.write(fmt.Sprintf("%d/home/alice/.bashrc", host), "echo 'Welcome to the lab!'\n")
	l.write(fmt.Sprintf("%d/sshd_config", host), fmt.Sprintf(sshdConfig, address(host), dir))
	l.must("cp", l.path("root/.ssh/id_ed25519.pub"), l.home(host)+"/.ssh/authorized_keys")
	l.must("chown", "-R", "4242:4242", l.home(host))
	l.key(host)
}

// key makes a host's key.
func (l *lab) key(host int) {
	l.t.Helper()
	key := l.path(fmt.Sprint(host), "host_key")
	_ = os.Remove(key) // none yet
	l.must("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
}

// boot starts a host, which is its sshd. Another sshd may have been there before.
func (l *lab) boot(host int) {
	l.t.Helper()
	const setup = `mount --bind "$1/passwd" /etc/passwd && mount --bind "$1/home" /home && mkdir -p /run/sshd && hostname "host$2" && exec /usr/sbin/sshd -D -e -f "$1/sshd_config"`
	log, err := os.OpenFile(l.path(fmt.Sprint(host), "sshd.log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		l.t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command("ip", "netns", "exec", l.space(host), "unshare", "--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", setup, "sh", l.path(fmt.Sprint(host)), fmt.Sprint(host))
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() {
		_ = cmd.Process.Kill() // which takes the host's first process along, and with it all others
		_ = cmd.Wait()
	})
	l.write(fmt.Sprintf("%d/pid", host), fmt.Sprint(cmd.Process.Pid))
	l.eventually("sshd of host "+fmt.Sprint(host), func() bool {
		text, _ := os.ReadFile(log.Name()) // not written yet
		return strings.Contains(string(text), "Server listening")
	})
}

// know writes a host's key where the laptop's ssh looks, as a person does who connects once by hand.
func (l *lab) know(host int) {
	l.t.Helper()
	key, err := os.ReadFile(l.path(fmt.Sprint(host), "host_key.pub"))
	if err != nil {
		l.t.Fatal(err)
	}
	known, err := os.OpenFile(l.path("root/.ssh/known_hosts"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer known.Close()
	if _, err := fmt.Fprintf(known, "%s %s", address(host), key); err != nil {
		l.t.Fatal(err)
	}
}

// first is the number of a host's first process, as this machine counts.
func (l *lab) first(host int) int {
	l.t.Helper()
	outer, err := os.ReadFile(l.path(fmt.Sprint(host), "pid"))
	if err != nil {
		l.t.Fatal(err)
	}
	inner, err := os.ReadFile(fmt.Sprintf("/proc/%s/task/%s/children", outer, outer))
	if err != nil {
		l.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(inner)))
	if err != nil {
		l.t.Fatal(err)
	}
	return pid
}

// on prepares a command as root on a host.
func (l *lab) on(host int, script string) *exec.Cmd {
	l.t.Helper()
	return exec.Command("nsenter", "-t", strconv.Itoa(l.first(host)), "--all", "sh", "-c", script)
}

// freeze stops a host's sshd: its kernel still takes connections, and nobody answers.
func (l *lab) freeze(host int) {
	l.t.Helper()
	if err := syscall.Kill(l.first(host), syscall.SIGSTOP); err != nil {
		l.t.Fatal(err)
	}
}

// typed prepares a line that is typed on the laptop, in the lab's folder.
func (l *lab) typed(line string) *exec.Cmd {
	cmd := exec.Command("ip", "netns", "exec", l.space(laptop), "unshare", "--mount", "sh", "-c", `mount --bind "$1" /root && HOME=/root && export HOME && exec sh -c "$2"`, "sh", l.path("root"), "exec "+line)
	cmd.Dir = l.dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return cmd
}

// enter types a line and expects an exit code; it returns what it printed.
func (l *lab) enter(code int, line string) string {
	l.t.Helper()
	cmd := l.typed(line)
	var both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &both, &both
	began := time.Now()
	err := cmd.Run()
	l.t.Logf("%s (%v)\n%s", line, time.Since(began).Round(10*time.Millisecond), both.String())
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || cmd.ProcessState.ExitCode() != code {
		l.t.Fatalf("%s: %v, want exit code %d: %s%s", line, err, code, both.String(), l.logs())
	}
	return both.String()
}

// logs are the ends of those of the daemons.
func (l *lab) logs() string {
	var out strings.Builder
	found, _ := filepath.Glob(l.path("*/home/alice/.local/share/ringmaster/*/*/log")) // what there is
	for _, file := range found {
		text, _ := os.ReadFile(file)
		fmt.Fprintf(&out, "== %s\n%s\n", file, text[max(0, len(text)-2000):])
	}
	return out.String()
}

func (l *lab) eventually(what string, cond func() bool) {
	l.t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			l.t.Fatalf("%s did not come\n%s", what, l.logs())
		}
	}
}

// has fails unless a text holds all of these.
func (l *lab) has(text string, wants ...string) {
	l.t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			l.t.Errorf("nothing says %q:\n%s", want, text)
		}
	}
}
