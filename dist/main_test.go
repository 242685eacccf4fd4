package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/dist/release"
)

// clone makes a copy of the repository, as committed, in a folder.
func clone(t *testing.T, folder string) string {
	t.Helper()
	if out, err := exec.Command("git", "clone", "-q", "--shared", "..", folder).CombinedOutput(); err != nil {
		t.Fatalf("git clone: %v: %s", err, out)
	}
	return folder
}

// Two builds that share nothing, in folders of different names, have the same bytes.
func TestReleaseIsTheSameInEveryFolder(t *testing.T) {
	if testing.Short() {
		t.Skip("builds everything twice")
	}
	one, other := clone(t, filepath.Join(t.TempDir(), "a")), clone(t, filepath.Join(t.TempDir(), "another", "place"))
	if err := run(one, "", "", "linux_amd64"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOCACHE", t.TempDir())
	t.Setenv("GOFLAGS", "-tags=whatever")
	t.Setenv("GOAMD64", "v3")
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("LANG", "C")
	if err := run(other, "", "", "linux_amd64"); err != nil {
		t.Fatal(err)
	}
	sums := readFile(t, filepath.Join(one, "bin", "dist", release.SumsFile))
	if again := readFile(t, filepath.Join(other, "bin", "dist", release.SumsFile)); again != sums {
		t.Errorf("one folder:\n%sthe other:\n%s", sums, again)
	}
	check := exec.Command("sha256sum", "--check", "--strict", release.SumsFile)
	check.Dir = filepath.Join(one, "bin", "dist")
	if out, err := check.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	archive, err := filepath.Glob(filepath.Join(one, "bin", "dist", "*_linux_amd64.tar.gz"))
	if err != nil || len(archive) != 1 {
		t.Fatalf("archives %v, %v", archive, err)
	}
	testArchive(t, archive[0])
	testDocument(t, filepath.Dir(archive[0]))
}

// testDocument types in what docs/install.md says of archives, beside the archive.
func testDocument(t *testing.T, dir string) {
	_, section, _ := strings.Cut(readFile(t, filepath.Join("..", "docs", "install.md")), "\n## The archive\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var commands strings.Builder
	for line := range strings.Lines(section) {
		if command, found := strings.CutPrefix(line, "    "); found {
			commands.WriteString(command)
		}
	}
	cmd := exec.Command("bash", "-e", "-c", commands.String())
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil || !strings.Contains(string(out), "f9125966c1f1a6b58e51e313d7b1218ad1e60d76311f96d8cba86e88ef1ec4ce") {
		t.Errorf("%s: %v: %s", &commands, err, out)
	}
}

// testArchive unpacks an archive and tries what is in it.
func testArchive(t *testing.T, archive string) {
	dir := t.TempDir()
	for name, data := range unpack(t, archive) {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	top := filepath.Join(dir, strings.TrimSuffix(filepath.Base(archive), ".tar.gz"))
	for _, name := range []string{"README.md", "NOTICES", "sbom.cdx.json", "configs/quickstart.yaml", "configs/systemd/ringmaster-worker@.service", "deploy/alerts.yml",
		"share/man/man1/ringmaster-launch.1", "share/man/man8/ringmaster-worker.8", "share/zsh/site-functions/_ringmaster"} {
		if _, err := os.Stat(filepath.Join(top, name)); err != nil {
			t.Error(err)
		}
	}
	for _, args := range [][]string{{"bash", "-n", "share/bash-completion/completions/ringmaster"}, {"bin/ringmaster", "version"}, {"bin/coordinator", "--version"}, {"bin/worker", "--version"},
		{"bin/ringmaster", "validate", "configs/quickstart.yaml"}} {
		cmd := exec.Command(args[0], args[1:]...)
		if strings.HasPrefix(args[0], "bin/") {
			cmd.Path = filepath.Join(top, args[0])
		}
		cmd.Dir = top
		out, err := cmd.CombinedOutput()
		if err != nil || strings.HasSuffix(args[len(args)-1], "version") && !strings.Contains(string(out), " 0.0.0-2") {
			t.Errorf("%s: %v: %s", args, err, out)
		}
	}
}

// unpack reads the files of a compressed tar.
func unpack(t *testing.T, archive string) map[string][]byte {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader([]byte(readFile(t, archive))))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{}
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		} else if err != nil {
			t.Fatal(err)
		}
		if h.Typeflag != tar.TypeReg {
			continue
		}
		if files[h.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
