package release

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Programs are the commands of a release.
var Programs = []string{"ringmaster", "coordinator", "worker"}

// Platform is an operating system and an architecture by Go's names.
type Platform struct{ OS, Arch string }

// Platforms are those that releases are made for.
var Platforms = []Platform{{"linux", "amd64"}, {"linux", "arm64"}, {"darwin", "arm64"}}

func (p Platform) String() string { return p.OS + "_" + p.Arch }

// Build builds the programs of the source for a platform into a folder.
func Build(source, into string, p Platform, v Version) error {
	stamp := "-s -w -X ringmaster/internal/cli.release=" + v.Name + " -X ringmaster/internal/cli.commit=" + v.Commit
	args := []string{"build", "-trimpath", "-buildvcs=false", "-ldflags", stamp, "-o", into + string(filepath.Separator)}
	for _, name := range Programs {
		args = append(args, "./cmd/"+name)
	}
	_, err := command(source, environment(p), "go", args...)
	return err
}

// environment is the build's: whatever else is set on this machine does not show in the bytes.
func environment(p Platform) []string {
	return append(os.Environ(), "GOOS="+p.OS, "GOARCH="+p.Arch, "CGO_ENABLED=0", "GOAMD64=v1", "GOARM64=v8.0", "GOFLAGS=", "GOEXPERIMENT=", "GOWORK=off")
}

// Here is the platform of this machine.
func Here() Platform { return Platform{runtime.GOOS, runtime.GOARCH} }

// Pages lets a ringmaster that runs here write completions and manual pages.
func Pages(ringmaster string) ([]File, error) {
	dir, err := os.MkdirTemp("", "ringmaster-man-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	bare := []string{"HOME=/nonexistent", "PATH=/nonexistent"} // nothing of this machine in the pages
	if _, err := command(dir, bare, ringmaster, "man", "--dir", dir); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []File
	for _, e := range entries {
		page, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		section := strings.TrimPrefix(filepath.Ext(e.Name()), ".")
		files = append(files, File{Path: "share/man/man" + section + "/" + e.Name(), Mode: 0o644, Data: page})
	}
	for shell, name := range map[string]string{"bash": "share/bash-completion/completions/ringmaster", "zsh": "share/zsh/site-functions/_ringmaster",
		"fish": "share/fish/vendor_completions.d/ringmaster.fish"} {
		script, err := command(dir, bare, ringmaster, "completion", shell)
		if err != nil {
			return nil, err
		}
		files = append(files, File{Path: name, Mode: 0o644, Data: script})
	}
	return files, nil
}

// command runs a program in a folder and returns what it prints.
func command(dir string, environment []string, name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Dir, cmd.Env = dir, environment
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w: %s", name, args[0], err, bytes.TrimSpace(complaint.Bytes()))
	}
	return out, nil
}
