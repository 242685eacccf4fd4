package image

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/validate"

	"ringmaster/dist/release"
)

const source = "../.."

// The image, read back from its file, trains as its user in a root where that user may write nothing but its own folder.
func TestImageRunsAsItsUser(t *testing.T) {
	here := release.Here()
	if here.OS != "linux" || os.Getuid() != 0 {
		t.Skip("needs root on Linux, for a root folder of the image's own")
	}
	made := read(t, write(t, archive(t, here)), here)
	config, err := made.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if config.Config.User != "65532:65532" || config.Architecture != here.Arch || len(config.Config.Volumes) != 1 {
		t.Errorf("the image is configured as %+v", config)
	}
	root := t.TempDir()
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	for dir := filepath.Dir(root); dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // the user has to pass
			t.Fatal(err)
		}
	}
	extract(t, made, root)
	// Whoever runs the image gives it devices.
	if err := errors.Join(os.Mkdir(filepath.Join(root, "dev"), 0o755), syscall.Mknod(filepath.Join(root, "dev", "null"), syscall.S_IFCHR|0o666, 1<<8|3), os.Chmod(filepath.Join(root, "dev", "null"), 0o666)); err != nil {
		t.Fatal(err)
	}
	inside := func(args ...string) (string, error) {
		args = append(config.Config.Entrypoint[1:], args...)
		cmd := &exec.Cmd{Path: config.Config.Entrypoint[0], Args: append(config.Config.Entrypoint[:1:1], args...), Env: config.Config.Env, Dir: config.Config.WorkingDir,
			SysProcAttr: &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: User, Gid: User}}}
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := inside("version"); err != nil || !strings.Contains(out, "ringmaster 1.2.3 (0123456789ab)") {
		t.Errorf("version: %v: %s", err, out)
	}
	if out, err := inside("launch", "/usr/share/ringmaster/configs/quickstart.yaml", "--workers", "2", "--progress", "none", "--set", "train.steps=200"); err != nil || !strings.Contains(out, "done after step 200") {
		t.Errorf("launch: %v: %s", err, out)
	}
	if _, err := os.Stat(filepath.Join(root, State, "runs", "quickstart-1")); err != nil {
		t.Error(err)
	}
	if out, err := inside("man", "--dir", "/man"); err == nil {
		t.Errorf("the user writes into the root: %s", out)
	}
}

// archive is what the image is made from: the programs, and the configurations of the repository.
func archive(t *testing.T, p release.Platform) []release.File {
	t.Helper()
	dir := t.TempDir()
	if err := release.Build(source, dir, p, version); err != nil {
		t.Fatal(err)
	}
	files, err := release.Committed(source, "configs")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range release.Programs {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, release.File{Path: "bin/" + name, Mode: 0o755, Data: data})
	}
	return files
}

var version = release.Version{Name: "1.2.3", Commit: "0123456789ab"}

// write makes an image for two platforms, of the same programs, and returns its file.
func write(t *testing.T, files []release.File) []byte {
	t.Helper()
	archives := map[release.Platform][]release.File{release.Platforms[0]: files, release.Platforms[1]: files}
	index, err := Make(archives, release.Platforms, version)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Write(&out, index, version, t.TempDir()); err != nil {
		t.Fatal(err)
	}
	t.Logf("the image's file has %d MB", out.Len()/1e6)
	return out.Bytes()
}

// read finds a platform's image in a file.
func read(t *testing.T, file []byte, p release.Platform) v1.Image {
	t.Helper()
	dir := t.TempDir()
	unpack(t, bytes.NewReader(file), dir)
	top, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		t.Fatal(err)
	}
	names, err := top.IndexManifest()
	if err != nil || len(names.Manifests) != 1 || names.Manifests[0].Annotations["org.opencontainers.image.ref.name"] != "1.2.3" {
		t.Fatalf("the layout names %+v, %v", names, err)
	}
	index, err := top.ImageIndex(names.Manifests[0].Digest)
	if err != nil {
		t.Fatal(err)
	}
	manifest, err := index.IndexManifest()
	if err != nil || len(manifest.Manifests) != 2 {
		t.Fatalf("the index names %+v, %v", manifest, err)
	}
	for _, m := range manifest.Manifests {
		if m.Platform.OS == p.OS && m.Platform.Architecture == p.Arch {
			made, err := index.Image(m.Digest)
			if err != nil {
				t.Fatal(err)
			}
			if err := validate.Image(made); err != nil {
				t.Error(err)
			}
			return made
		}
	}
	t.Fatalf("no image for %v", p)
	return nil
}

func extract(t *testing.T, made v1.Image, root string) {
	t.Helper()
	files := mutate.Extract(made)
	defer files.Close()
	unpack(t, files, root)
}

// unpack writes the files and folders of a tar with their owners.
func unpack(t *testing.T, r io.Reader, dir string) {
	t.Helper()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, filepath.FromSlash(h.Name))
		if h.Typeflag == tar.TypeDir {
			err = os.MkdirAll(path, 0o755)
		} else {
			var data []byte
			if data, err = io.ReadAll(in); err == nil {
				err = os.WriteFile(path, data, 0o644)
			}
		}
		if err := errors.Join(err, os.Chown(path, h.Uid, h.Gid), os.Chmod(path, h.FileInfo().Mode())); err != nil {
			t.Fatal(err)
		}
	}
}
