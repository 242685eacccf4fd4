// Package image makes the container image of a release: from scratch, without a container engine, the same digest everywhere.
package image

import (
	"bytes"
	"compress/gzip"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/crypto/x509roots/fallback/bundle"

	"ringmaster/dist/release"
)

// User is the number of the image's user and group, and State the folder that this user may write to beside /tmp.
const (
	User  = 65532
	State = "/var/lib/ringmaster"
)

// Make makes the index of the images of some platforms, from the files of their archives.
func Make(archives map[release.Platform][]release.File, order []release.Platform, v release.Version) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, p := range order {
		if len(archives[p]) == 0 {
			continue
		}
		made, err := one(archives[p], p, v)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: made,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: p.OS, Architecture: p.Arch}, MediaType: types.OCIManifestSchema1}})
	}
	return index, nil
}

// one makes a platform's image: a layer of the programs over a layer of what they need.
func one(archive []release.File, p release.Platform, v release.Version) (v1.Image, error) {
	var programs []release.File
	base := surroundings()
	for _, f := range archive {
		switch {
		case strings.HasPrefix(f.Path, "bin/"):
			programs = append(programs, f)
		case f.Path == "NOTICES", strings.HasPrefix(f.Path, "configs/") && strings.Count(f.Path, "/") == 1:
			f.Path = "usr/share/ringmaster/" + f.Path
			base = append(base, f)
		}
	}
	made := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	for _, files := range [][]release.File{base, programs} {
		layer, err := layerOf(files, v)
		if err != nil {
			return nil, err
		}
		if made, err = mutate.AppendLayers(made, layer); err != nil {
			return nil, err
		}
	}
	return mutate.ConfigFile(made, configure(made, p, v))
}

// configure says how the image runs.
func configure(made v1.Image, p release.Platform, v release.Version) *v1.ConfigFile {
	config, err := made.ConfigFile()
	if err != nil {
		panic(fmt.Sprintf("a configuration made here: %v", err))
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = p.OS, p.Arch, v1.Time{Time: v.Time}
	config.Config = v1.Config{
		Entrypoint: []string{"/bin/ringmaster"}, Cmd: []string{"help"}, User: strconv.Itoa(User) + ":" + strconv.Itoa(User),
		WorkingDir: State, Env: []string{"PATH=/bin", "HOME=" + State}, Volumes: map[string]struct{}{State: {}},
		Labels: map[string]string{"org.opencontainers.image.title": "ringmaster", "org.opencontainers.image.version": v.Name,
			"org.opencontainers.image.revision": v.Commit, "org.opencontainers.image.created": v.Time.Format("2006-01-02T15:04:05Z")},
	}
	return config
}

// surroundings is what the programs need of a system: a user, folders to write to, the certificates of public authorities.
func surroundings() []release.File {
	user := fmt.Sprintf("root:x:0:0:root:/:/none\nringmaster:x:%d:%d::%s:/none\n", User, User, State)
	group := fmt.Sprintf("root:x:0:\nringmaster:x:%d:\n", User)
	return []release.File{
		{Path: "etc/passwd", Mode: 0o644, Data: []byte(user)},
		{Path: "etc/group", Mode: 0o644, Data: []byte(group)},
		{Path: "etc/ssl/certs/ca-certificates.crt", Mode: 0o644, Data: authorities()},
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
		{Path: strings.TrimPrefix(State, "/"), Mode: fs.ModeDir | 0o700, Owner: User},
	}
}

// authorities are Mozilla's, but those that it trusts with conditions, which the file cannot express.
func authorities() []byte {
	var out bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint == nil {
			out.Write(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}))
		}
	}
	return out.Bytes()
}

func layerOf(files []release.File, v release.Version) (v1.Layer, error) {
	var out bytes.Buffer
	compressed, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if err := release.WriteTar(compressed, files, v.Time); err != nil {
		return nil, err
	}
	if err := compressed.Close(); err != nil {
		return nil, err
	}
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }, tarball.WithMediaType(types.OCILayer))
}

// Write writes the index as a tar of an OCI layout, which podman, skopeo, crane, containerd and docker load. Temporary is a folder for its use.
func Write(w io.Writer, index v1.ImageIndex, v release.Version, temporary string) error {
	path, err := layout.Write(temporary, empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendIndex(index, layout.WithAnnotations(map[string]string{"org.opencontainers.image.ref.name": v.Name})); err != nil {
		return err
	}
	var files []release.File
	err = filepath.WalkDir(temporary, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		within, err := filepath.Rel(temporary, name)
		files = append(files, release.File{Path: filepath.ToSlash(within), Mode: 0o644, Data: data})
		return err
	})
	if err != nil {
		return err
	}
	return release.WriteTar(w, files, v.Time)
}
