// Command dist makes a release of Ringmaster in bin/dist: archives, packages, an image, bills of materials and SHA256SUMS. It needs Go and git alone,
// and gives the same bytes in every folder and on every machine with the same Go release.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"ringmaster/dist/image"
	"ringmaster/dist/packages"
	"ringmaster/dist/release"
)

func main() {
	source := flag.String("source", ".", "the repository's folder")
	out := flag.String("out", "", "folder for the release; default: bin/dist in the repository")
	version := flag.String("version", "", "the version, instead of the tag's")
	only := flag.String("only", "", "platforms with commas between them, like linux_amd64; default: all")
	flag.Parse()
	if err := run(*source, *out, *version, *only); err != nil {
		fmt.Fprintln(os.Stderr, "dist:", err)
		os.Exit(1)
	}
}

func run(source, out, version, only string) error {
	if out == "" {
		out = filepath.Join(source, "bin", "dist")
	}
	platforms, err := chosen(only)
	if err != nil {
		return err
	}
	v, err := release.VersionOf(source, version)
	if err != nil {
		return err
	}
	temporary, err := os.MkdirTemp("", "ringmaster-dist-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temporary)
	if err := os.RemoveAll(out); err != nil {
		return err
	}
	if err := os.MkdirAll(out, 0o755); err != nil {
		return err
	}
	m := &maker{source: source, out: out, temporary: temporary, version: v}
	if err := m.make(platforms); err != nil {
		return err
	}
	return release.WriteSums(out)
}

func chosen(only string) ([]release.Platform, error) {
	if only == "" {
		return release.Platforms, nil
	}
	var found []release.Platform
	for name := range strings.SplitSeq(only, ",") {
		at := slices.IndexFunc(release.Platforms, func(p release.Platform) bool { return p.String() == name })
		if at < 0 {
			return nil, fmt.Errorf("-only %s: there are %v", name, release.Platforms)
		}
		found = append(found, release.Platforms[at])
	}
	return found, nil
}

// maker makes one release.
type maker struct {
	source, out, temporary string
	version                release.Version
	works                  []release.Work
	common                 []release.File // what all platforms have
}

func (m *maker) make(platforms []release.Platform) error {
	var err error
	if m.works, err = release.Works(m.source, platforms); err != nil {
		return err
	}
	if m.common, err = m.documents(); err != nil {
		return err
	}
	linux := map[release.Platform][]release.File{}
	for _, p := range platforms {
		files, err := m.programs(p)
		if err != nil {
			return err
		}
		name := "ringmaster_" + m.version.Name + "_" + p.String()
		files = append(files, m.common...)
		if err := m.archive(name, files); err != nil {
			return err
		}
		if p.OS != "linux" {
			continue
		}
		linux[p] = files
		if err := m.packages(files, p); err != nil {
			return err
		}
	}
	return m.image(linux, platforms)
}

// image makes the container image of all Linux platforms.
func (m *maker) image(files map[release.Platform][]release.File, platforms []release.Platform) error {
	if len(files) == 0 {
		return nil
	}
	index, err := image.Make(files, platforms, m.version)
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	digest, err := index.Digest()
	if err != nil {
		return fmt.Errorf("image: %w", err)
	}
	var out bytes.Buffer
	err = image.Write(&out, index, m.version, filepath.Join(m.temporary, "image"))
	if err := m.write("ringmaster_"+m.version.Name+"_image.tar", out.Bytes(), err); err != nil {
		return err
	}
	fmt.Println("image", digest)
	return nil
}

// packages makes the platform's deb and rpm.
func (m *maker) packages(files []release.File, p release.Platform) error {
	made, err := packages.Make(files, p, m.version, filepath.Join(m.temporary, "packages", p.String()))
	if err != nil {
		return fmt.Errorf("packages for %v: %w", p, err)
	}
	for _, made := range made {
		if err := m.write(made.Name, made.Data, nil); err != nil {
			return err
		}
	}
	return nil
}

// documents are the files of the repository that go with the programs, the notices, and what a ringmaster writes about itself.
func (m *maker) documents() ([]release.File, error) {
	files, err := release.Committed(m.source, "README.md", "CHANGELOG.md", "LICENSE", "configs", "deploy", "docs/*.md", "docs/*.png", "docs/*.svg")
	if err != nil {
		return nil, err
	}
	here, err := m.build(release.Here())
	if err != nil {
		return nil, err
	}
	pages, err := release.Pages(filepath.Join(here, "ringmaster"))
	if err != nil {
		return nil, err
	}
	return append(append(files, pages...), release.File{Path: "NOTICES", Mode: 0o644, Data: release.Notices(m.works)}), nil
}

// build builds a platform's programs, once, and returns their folder.
func (m *maker) build(p release.Platform) (string, error) {
	folder := filepath.Join(m.temporary, p.String())
	if _, err := os.Stat(folder); err == nil {
		return folder, nil
	}
	return folder, release.Build(m.source, folder, p, m.version)
}

// programs builds a platform's programs and their bill of materials, which also lies beside the archives.
func (m *maker) programs(p release.Platform) ([]release.File, error) {
	folder, err := m.build(p)
	if err != nil {
		return nil, err
	}
	var files []release.File
	for _, name := range release.Programs {
		data, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil {
			return nil, err
		}
		files = append(files, release.File{Path: "bin/" + name, Mode: 0o755, Data: data})
	}
	bill, err := release.Materials(folder, p, m.version, m.works)
	if err != nil {
		return nil, err
	}
	name := "ringmaster_" + m.version.Name + "_" + p.String() + ".cdx.json"
	return append(files, release.File{Path: "sbom.cdx.json", Mode: 0o644, Data: bill}), m.write(name, bill, nil)
}

func (m *maker) archive(name string, files []release.File) error {
	var out bytes.Buffer
	err := release.WriteArchive(&out, name, files, m.version.Time)
	return m.write(name+".tar.gz", out.Bytes(), err)
}

// write writes a file of the release and says so.
func (m *maker) write(name string, data []byte, err error) error {
	if err == nil {
		err = os.WriteFile(filepath.Join(m.out, name), data, fs.FileMode(0o644))
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	fmt.Printf("%9.1f MB  %s\n", float64(len(data))/1e6, name)
	return nil
}
