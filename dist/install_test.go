package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Packages are installed, started, upgraded while a job trains and removed on a copy of this machine that systemd runs.
func TestPackagesAreInstalledUpgradedAndRemoved(t *testing.T) {
	if testing.Short() {
		t.Skip("builds two releases")
	}
	if os.Getuid() != 0 {
		t.Skip("needs root, for namespaces with a systemd of their own")
	}
	for _, tool := range []string{"unshare", "systemd-analyze", "ip"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("needs %s", tool)
		}
	}
	place := t.TempDir()
	source := clone(t, filepath.Join(place, "source"))
	packages := filepath.Join(place, "packages")
	if err := os.Mkdir(packages, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, version := range []string{"0.0.1", "0.0.2"} {
		out := filepath.Join(place, version)
		if err := run(source, out, version, "linux_amd64"); err != nil {
			t.Fatal(err)
		}
		for _, pattern := range []string{"*.deb", "*.rpm"} {
			for _, file := range match(t, filepath.Join(out, pattern)) {
				if err := os.Rename(file, filepath.Join(packages, filepath.Base(file))); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	script, err := os.ReadFile(filepath.Join("testdata", "install.sh"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(packages, "install.sh"), script, 0o755); err != nil {
		t.Fatal(err)
	}
	for kind, tool := range map[string]string{"deb": "dpkg", "rpm": "rpm"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := exec.LookPath(tool); err != nil {
				t.Skipf("needs %s", tool)
			}
			files := match(t, filepath.Join(packages, "*."+kind))
			if len(files) != 2 {
				t.Fatalf("packages: %q", files)
			}
			out, err := exec.Command("testdata/boot.sh", packages, "bash", "/release/install.sh", kind, filepath.Base(files[0]), filepath.Base(files[1])).CombinedOutput()
			fmt.Printf("%s", out)
			if err != nil || !strings.HasSuffix(string(out), "PASSED\n") {
				t.Errorf("%v", err)
			}
		})
	}
}

func match(t *testing.T, pattern string) []string {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		t.Fatal(err)
	}
	return files
}
