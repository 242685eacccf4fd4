package ssh

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Where systemd looks after a user's services, daemons are started by it where that outlives a logout, come back when they are killed, and leave nothing behind.
func TestUnderSystemd(t *testing.T) {
	if os.Getenv("RINGMASTER_SSH") == "" {
		t.Skip("a systemd of its own takes a minute: make ssh")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can boot a systemd in namespaces")
	}
	for _, p := range []string{"/lib/systemd/systemd", "/usr/sbin/sshd", "loginctl", "dbus-daemon", "useradd", "unshare", "/lib/x86_64-linux-gnu/security/pam_systemd.so"} {
		if _, err := os.Stat(p); err != nil {
			if _, err := exec.LookPath(p); err != nil {
				t.Skipf("%s is not there (Debian on amd64: systemd, libpam-systemd, dbus-user-session, openssh-server)", p)
			}
		}
	}
	dir := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", dir+"/", "ringmaster/cmd/ringmaster").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	script, err := os.ReadFile("testdata/systemd.sh")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "systemd.sh"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command("../../../dist/testdata/boot.sh", dir, "bash", "/release/systemd.sh").CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !strings.HasSuffix(string(out), "PASSED\n") {
		t.Errorf("%v", err)
	}
}
