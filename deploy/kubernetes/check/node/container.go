package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// containerVariable holds the box that a process of this program is to become the container of.
const containerVariable = "RINGMASTER_CHECK_CONTAINER"

// box describes a container's surroundings and program.
type box struct {
	Root    string // an empty folder
	Image   string // whose bin is the container's
	Etc     string // files of the pod's /etc
	Host    string
	Mounts  []mount
	User    int
	Group   int
	Groups  []int
	Program []string
	Env     []string
}

type mount struct {
	From, At string
	ReadOnly bool
}

// MaybeContainer turns this process into a container's program where it was started for that; the tests' main function calls it first. The
// process is alone in its namespaces already; of the network's, its pod's share.
func MaybeContainer() {
	text := os.Getenv(containerVariable)
	if text == "" {
		return
	}
	var b box
	err := json.Unmarshal([]byte(text), &b)
	if err == nil {
		err = b.enter()
	}
	fmt.Fprintln(os.Stderr, "container:", err)
	os.Exit(128)
}

// enter builds the root, confines the process, and becomes the program.
func (b *box) enter() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return fmt.Errorf("private mounts: %w", err)
	}
	if err := unix.Mount("tmpfs", b.Root, "tmpfs", 0, "mode=755"); err != nil {
		return fmt.Errorf("root: %w", err)
	}
	mounts := append([]mount{{filepath.Join(b.Image, "bin"), "/bin", true}, {b.Etc, "/etc", true}, {"/dev/null", "/dev/null", false},
		{"/dev/zero", "/dev/zero", false}, {"/dev/urandom", "/dev/urandom", false}}, b.Mounts...)
	for _, m := range mounts {
		if err := b.bind(m); err != nil {
			return fmt.Errorf("mount %s: %w", m.At, err)
		}
	}
	if err := errors.Join(os.Mkdir(b.Root+"/proc", 0o555), unix.Mount("proc", b.Root+"/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV, "")); err != nil {
		return fmt.Errorf("proc: %w", err)
	}
	if err := unix.Mount("", b.Root, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("read-only root: %w", err)
	}
	if err := errors.Join(unix.Sethostname([]byte(b.Host)), unix.Chroot(b.Root), unix.Chdir("/")); err != nil {
		return fmt.Errorf("enter the root: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	for c := uintptr(0); c <= unix.CAP_LAST_CAP; c++ {
		_ = unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0) // a kernel may know fewer
	}
	if err := errors.Join(syscall.Setgroups(b.Groups), syscall.Setresgid(b.Group, b.Group, b.Group), syscall.Setresuid(b.User, b.User, b.User)); err != nil {
		return fmt.Errorf("user: %w", err)
	}
	return syscall.Exec(b.Program[0], b.Program, b.Env)
}

// bind makes a file or folder appear in the root.
func (b *box) bind(m mount) error {
	at := filepath.Join(b.Root, m.At)
	info, err := os.Stat(m.From)
	if err != nil {
		return err
	}
	if info.IsDir() {
		err = os.MkdirAll(at, 0o755)
	} else {
		err = errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, nil, 0o644))
	}
	if err != nil {
		return err
	}
	if err := unix.Mount(m.From, at, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return err
	}
	if !m.ReadOnly {
		return nil
	}
	return unix.Mount("", at, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, "")
}

// expand replaces $(NAME) as the kubelet does.
func expand(text string, env map[string]string) string {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "$(")
		out.WriteString(before)
		if !found {
			return out.String()
		}
		name, after, closed := strings.Cut(rest, ")")
		value, known := env[name]
		switch {
		case closed && known:
			out.WriteString(value)
		case closed:
			out.WriteString("$(" + name + ")")
		default:
			out.WriteString("$(" + rest)
			return out.String()
		}
		text = after
	}
}
