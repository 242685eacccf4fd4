package release

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const source = "../.."

func TestArchiveFollowsFromItsFilesAlone(t *testing.T) {
	files := []File{{Path: "bin/b", Mode: 0o755, Data: []byte("program")}, {Path: "a", Mode: 0o644, Data: []byte("text")}, {Path: "link", Mode: 0o777, Link: "a"}}
	at := time.Unix(1_700_000_000, 0)
	var one, other bytes.Buffer
	if err := WriteArchive(&one, "top", files, at); err != nil {
		t.Fatal(err)
	}
	slices.Reverse(files)
	if err := WriteArchive(&other, "top", files, at); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(one.Bytes(), other.Bytes()) {
		t.Error("the order of the files shows in the archive")
	}
	unzipped, err := gzip.NewReader(&one)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for r := tar.NewReader(unzipped); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
		if !h.ModTime.Equal(at) || h.Uid != 0 || h.Gid != 0 || h.Uname != "" {
			t.Errorf("%s: %v of %d:%d %q", h.Name, h.ModTime, h.Uid, h.Gid, h.Uname)
		}
		if want := map[string]fs.FileMode{"top/bin/b": 0o755, "top/a": 0o644}[h.Name]; want != 0 && h.FileInfo().Mode() != want {
			t.Errorf("%s has mode %v", h.Name, h.FileInfo().Mode())
		}
	}
	if want := "top/ top/a top/bin/ top/bin/b top/link"; strings.Join(names, " ") != want {
		t.Errorf("the archive holds %q, not %q", names, want)
	}
}

func TestVersionFollowsFromTagOrCommit(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		t.Skip("needs git")
	}
	t.Setenv("SOURCE_DATE_EPOCH", "")
	dir := t.TempDir()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=a", "-c", "user.email=a@example.com"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_COMMITTER_DATE=2026-11-29T09:00:00Z", "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %s: %v: %s", args, err, out)
		}
	}
	expect := func(given, want string) {
		t.Helper()
		v, err := VersionOf(dir, given)
		if want = strings.ReplaceAll(want, "COMMIT", strings.TrimSuffix(v.Commit, "+changes")); err != nil || v.Name != want {
			t.Errorf("version %q, %v; want %q", v.Name, err, want)
		}
	}
	run("init", "-q")
	if _, err := VersionOf(dir, ""); err == nil {
		t.Error("a repository without a commit has a version")
	}
	run("commit", "-q", "--allow-empty", "-m", "begin")
	expect("", "0.0.0-20261129090000.COMMIT")
	run("tag", "nightly")
	run("tag", "v1.2.0-rc.1")
	expect("", "1.2.0-rc.1")
	expect("2.0.0", "2.0.0")
	if err := os.WriteFile(filepath.Join(dir, "new"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	expect("", "1.2.0-rc.1+changes")
	if _, err := VersionOf(dir, "two"); err == nil || !strings.Contains(err.Error(), `version "two"`) {
		t.Errorf("version two: %v", err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "1000000000")
	if v, err := VersionOf(dir, ""); err != nil || v.Time.Unix() != 1_000_000_000 || !strings.HasSuffix(v.Commit, "+changes") {
		t.Errorf("%v at %v, %v", v.Commit, v.Time, err)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "soon")
	if _, err := VersionOf(dir, ""); err == nil || !strings.Contains(err.Error(), "SOURCE_DATE_EPOCH") {
		t.Errorf("SOURCE_DATE_EPOCH=soon: %v", err)
	}
}

// Every module that is linked for some platform has its licence in the notices.
func TestNoticesHaveTheLicenceOfEveryModule(t *testing.T) {
	works, err := Works(source, Platforms)
	if err != nil {
		t.Fatal(err)
	}
	notices := string(Notices(works))
	for _, p := range Platforms {
		packages, err := linked(source, p)
		if err != nil {
			t.Fatal(err)
		}
		if len(packages) < 100 {
			t.Fatalf("only %d packages for %v", len(packages), p)
		}
		for _, l := range packages {
			if l.Module == nil || l.Module.Main {
				continue
			}
			at := slices.IndexFunc(works, func(w Work) bool { return w.Name == l.Module.Path && w.Version == l.Module.Version })
			if at < 0 {
				t.Fatalf("%s %s is linked for %v and has no notice", l.Module.Path, l.Module.Version, p)
			}
			for _, text := range works[at].Texts {
				if !strings.Contains(notices, strings.TrimRight(text.Text, "\n")) {
					t.Errorf("the notices lack %s of %s", text.File, l.Module.Path)
				}
			}
		}
	}
	for _, want := range []string{"go mod download github.com/hashicorp/raft@v", "\nstd 1.", "\nuPlot 1.", "Copyright 2009 The Go Authors", "Mozilla Public License"} {
		if !strings.Contains(notices, want) {
			t.Errorf("the notices lack %q", want)
		}
	}
}

func TestWorkWithoutLicenceIsRefused(t *testing.T) {
	dir := t.TempDir()
	w := Work{Name: "example.com/module", Version: "v1.0.0"}
	if err := w.read(dir, []string{dir}); err == nil || !strings.Contains(err.Error(), "example.com/module v1.0.0 has no file with its licence") {
		t.Errorf("no file: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "LICENSE"), []byte("Ask me."), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := w.read(dir, []string{dir}); err == nil || !strings.Contains(err.Error(), "no licence that is known in LICENSE") {
		t.Errorf("an unknown licence: %v", err)
	}
}
