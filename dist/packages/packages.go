// Package packages makes deb and rpm packages of a release: programs, systemd units, the user and its folders, configurations.
package packages

import (
	"bytes"
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/goreleaser/nfpm/v2"
	"github.com/goreleaser/nfpm/v2/deb"
	"github.com/goreleaser/nfpm/v2/files"
	"github.com/goreleaser/nfpm/v2/rpm"

	"ringmaster/dist/release"
)

//go:embed files
var own embed.FS

// programs is where the packages have the programs: coordinator and worker are too common as names on the PATH.
const programs = "/usr/lib/ringmaster/"

// Package is a file.
type Package struct {
	Name string
	Data []byte
}

// Make makes the deb and the rpm of a Linux platform from the files of its archive. Temporary is a folder for its use.
func Make(archive []release.File, p release.Platform, v release.Version, temporary string) ([]Package, error) {
	contents, err := lay(archive, v, temporary)
	if err != nil {
		return nil, err
	}
	var made []Package
	for format, packager := range map[string]nfpm.Packager{"deb": deb.Default, "rpm": rpm.DefaultRPM} {
		info := describe(p, v, temporary)
		info.Contents = contents
		if err := nfpm.PrepareForPackager(info, format); err != nil {
			return nil, err
		}
		var out bytes.Buffer
		if err := packager.Package(info, &out); err != nil {
			return nil, err
		}
		made = append(made, Package{packager.ConventionalFileName(info), out.Bytes()})
	}
	return made, nil
}

// describe says what the package is. Of 1.2.0-rc.1 both formats make 1.2.0~rc.1, which they place before 1.2.0.
func describe(p release.Platform, v release.Version, temporary string) *nfpm.Info {
	number, before, _ := strings.Cut(v.Name, "-")
	before, changes, _ := strings.Cut(before, "+")
	script := func(name string) string { return filepath.Join(temporary, name) }
	return nfpm.WithDefaults(&nfpm.Info{
		Name: "ringmaster", Arch: p.Arch, Platform: p.OS, VersionSchema: "none", Version: number, Prerelease: before, VersionMetadata: changes, Release: "1",
		Section: "science", Priority: "optional", Maintainer: "The Ringmaster project", License: "see /usr/share/doc/ringmaster/copyright",
		Description: "distributed training coordinator\nTrains neural networks data-parallel on ordinary machines, with the same bits on any cluster.",
		MTime:       v.Time, DisableGlobbing: true,
		Overridables: nfpm.Overridables{
			Scripts: nfpm.Scripts{PostInstall: script("postinstall.sh"), PreRemove: script("preremove.sh"), PostRemove: script("postremove.sh")},
			RPM:     nfpm.RPM{BuildHost: "localhost"},
		},
	})
}

// place says where a file of the archive goes in the package; empty: nowhere.
func place(name string) string {
	switch dir, rest, _ := strings.Cut(name, "/"); {
	case dir == "bin":
		return programs + rest
	case dir == "share":
		return "/usr/" + name
	case strings.HasPrefix(name, "configs/systemd/"):
		return "/usr/lib/systemd/system/" + path.Base(name)
	case dir == "configs", dir == "deploy":
		return "/usr/share/ringmaster/" + name
	}
	return "/usr/share/doc/ringmaster/" + name
}

// lay puts the files of the archive, and the packages' own, where they go.
func lay(archive []release.File, v release.Version, temporary string) (files.Contents, error) {
	all := map[string]release.File{}
	for _, f := range archive {
		to := place(f.Path)
		if strings.HasPrefix(to, "/usr/lib/systemd/") {
			f.Data = bytes.ReplaceAll(f.Data, []byte("/usr/local/bin/"), []byte(programs))
		}
		all[to] = f
		if base := path.Base(f.Path); f.Path == "configs/coordinator.yaml" || f.Path == "configs/worker.yaml" {
			all["/etc/ringmaster/"+base] = f
		}
	}
	own, err := ownFiles(temporary)
	if err != nil {
		return nil, err
	}
	all["/usr/lib/sysusers.d/ringmaster.conf"], all["/etc/ringmaster/environment"] = own["sysusers.conf"], own["environment"]
	all["/usr/share/doc/ringmaster/copyright"] = release.File{Mode: 0o644, Data: copyright(all)}
	return list(all, v, temporary)
}

// list writes files below a folder and lists them with their folders, and links to the programs.
func list(all map[string]release.File, v release.Version, temporary string) (files.Contents, error) {
	contents := files.Contents{}
	for _, name := range release.Programs {
		link := "/usr/bin/ringmaster-" + name
		if name == "ringmaster" {
			link = "/usr/bin/ringmaster"
		}
		contents = append(contents, &files.Content{Source: ".." + strings.TrimPrefix(programs, "/usr") + name, Destination: link, Type: files.TypeSymlink,
			FileInfo: &files.ContentFileInfo{MTime: v.Time}})
	}
	folders := map[string]bool{} // the package's own, which go with it
	for to := range all {
		for dir := path.Dir(to); strings.Contains(dir, "/ringmaster"); dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	for dir := range folders {
		contents = append(contents, &files.Content{Destination: dir, Type: files.TypeDir, FileInfo: &files.ContentFileInfo{Mode: 0o755, MTime: v.Time}})
	}
	for to, f := range all {
		c := &files.Content{Source: filepath.Join(temporary, "root", filepath.FromSlash(to)), Destination: to,
			FileInfo: &files.ContentFileInfo{Owner: "root", Group: "root", Mode: f.Mode.Perm(), MTime: v.Time}}
		if strings.HasPrefix(to, "/etc/") {
			c.Type = files.TypeConfigNoReplace
		}
		contents = append(contents, c)
		if err := write(c.Source, f.Data); err != nil {
			return nil, err
		}
	}
	return contents, nil
}

// ownFiles are the packages' own files, by name. They are written beside the others, for the scripts.
func ownFiles(temporary string) (map[string]release.File, error) {
	entries, err := own.ReadDir("files")
	if err != nil {
		return nil, err
	}
	found := map[string]release.File{}
	for _, e := range entries {
		data, err := fs.ReadFile(own, "files/"+e.Name())
		if err != nil {
			return nil, err
		}
		found[e.Name()] = release.File{Mode: 0o644, Data: data}
		if err := write(filepath.Join(temporary, e.Name()), data); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// copyright is what Debian's packages have under this name.
func copyright(all map[string]release.File) []byte {
	text := "Ringmaster: no licence has been chosen yet; until then all rights are the owner's.\n"
	if licence, ok := all["/usr/share/doc/ringmaster/LICENSE"]; ok {
		text = string(licence.Data)
	}
	return fmt.Appendf(nil, "%s\nThe licences of the works of others that it contains are in /usr/share/doc/ringmaster/NOTICES.\n", text)
}

func write(file string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, data, 0o644)
}
