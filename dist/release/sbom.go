package release

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// Materials is the bill of materials of the programs in a folder, as CycloneDX's JSON: what the programs' own build information says, with
// the licences of works. The programs are listed with their SHA-256, each with the modules that it contains.
func Materials(programs string, p Platform, v Version, works []Work) ([]byte, error) {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Timestamp: v.Time.Format(time.RFC3339), Component: &cdx.Component{
		BOMRef: "ringmaster", Type: cdx.ComponentTypeApplication, Name: "ringmaster", Version: v.Name,
		Properties: &[]cdx.Property{{Name: "commit", Value: v.Commit}, {Name: "platform", Value: p.OS + "/" + p.Arch}}}}
	var components []cdx.Component
	var needs []cdx.Dependency
	root := cdx.Dependency{Ref: "ringmaster", Dependencies: &[]string{}}
	listed := map[string]bool{}
	for _, name := range Programs {
		program, modules, err := contents(filepath.Join(programs, name), name, v)
		if err != nil {
			return nil, err
		}
		components = append(components, program)
		*root.Dependencies = append(*root.Dependencies, program.BOMRef)
		refs := []string{}
		for _, path := range modules {
			at := slices.IndexFunc(works, func(w Work) bool { return w.Name == path })
			if at < 0 {
				return nil, fmt.Errorf("%s contains %s, whose licence is not known", name, path)
			}
			work := works[at].component()
			refs = append(refs, work.BOMRef)
			if !listed[path] {
				listed[path] = true
				components = append(components, work)
				needs = append(needs, cdx.Dependency{Ref: work.BOMRef})
			}
		}
		needs = append(needs, cdx.Dependency{Ref: program.BOMRef, Dependencies: &refs})
	}
	needs = append(needs, root)
	bom.Components, bom.Dependencies = &components, &needs
	return encode(bom)
}

// encode gives the bill a number that follows from its content, and writes it.
func encode(bom *cdx.BOM) ([]byte, error) {
	write := func() ([]byte, error) {
		var out bytes.Buffer
		err := cdx.NewBOMEncoder(&out, cdx.BOMFileFormatJSON).SetPretty(true).EncodeVersion(bom, cdx.SpecVersion1_6)
		return out.Bytes(), err
	}
	text, err := write()
	if err != nil {
		return nil, fmt.Errorf("bill of materials: %w", err)
	}
	sum := sha256.Sum256(text)
	sum[6], sum[8] = sum[6]&0x0f|0x80, sum[8]&0x3f|0x80 // a UUID of version 8 (RFC 9562): of one's own making
	bom.SerialNumber = fmt.Sprintf("urn:uuid:%x-%x-%x-%x-%x", sum[:4], sum[4:6], sum[6:8], sum[8:10], sum[10:16])
	return write()
}

// contents describes a program, and names what it contains.
func contents(path, name string, v Version) (cdx.Component, []string, error) {
	info, err := buildinfo.ReadFile(path)
	if err != nil {
		return cdx.Component{}, nil, err
	}
	program, err := os.ReadFile(path)
	if err != nil {
		return cdx.Component{}, nil, err
	}
	sum := sha256.Sum256(program)
	modules := []string{"std"}
	for _, m := range info.Deps {
		if m.Replace != nil {
			return cdx.Component{}, nil, fmt.Errorf("%s: %s is replaced by %s: a release is made of published modules", name, m.Path, m.Replace.Path)
		}
		modules = append(modules, m.Path)
	}
	if name == "ringmaster" {
		modules = append(modules, "uPlot")
	}
	return cdx.Component{BOMRef: "program/" + name, Type: cdx.ComponentTypeApplication, Name: name, Version: v.Name,
		Hashes: &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: hex.EncodeToString(sum[:])}}}, modules, nil
}

func (w Work) component() cdx.Component {
	c := cdx.Component{BOMRef: strings.TrimSuffix(w.Name+"@"+w.Version, "@"), Type: cdx.ComponentTypeLibrary, Name: w.Name, Version: w.Version, Licenses: &cdx.Licenses{}}
	switch {
	case w.Name == "uPlot":
		c.PackageURL = "pkg:npm/uplot@" + w.Version
	default:
		c.PackageURL = "pkg:golang/" + w.Name + "@" + w.Version
	}
	for _, id := range w.Licences {
		*c.Licenses = append(*c.Licenses, cdx.LicenseChoice{License: &cdx.License{ID: id}})
	}
	if w.Sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go.sum", Value: w.Sum}}
	}
	return c
}
