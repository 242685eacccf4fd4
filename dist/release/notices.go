package release

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Work is what others have written and a release contains: a module, Go's library, a script of the page.
type Work struct {
	Name     string // a module's path
	Version  string
	Sum      string   // of a module, as go.sum has it
	Licences []string // SPDX identifiers, sorted
	Texts    []Text   // at least one
}

// Text is a file with a licence or a notice.
type Text struct {
	File string // within the work
	Text string
}

// linkedPackage is what `go list` says of a package.
type linkedPackage struct {
	Dir      string
	Standard bool
	Module   *struct {
		Path, Version, Dir, Sum string
		Main                    bool
	}
}

// Works lists all that the programs contain on some platforms, by name.
func Works(source string, platforms []Platform) ([]Work, error) {
	folders := map[string]map[string]bool{} // of each module: where its licences may lie
	works := map[string]*Work{}
	roots := map[string]string{}
	for _, p := range platforms {
		linked, err := linked(source, p)
		if err != nil {
			return nil, err
		}
		for _, l := range linked {
			if l.Standard || l.Module == nil {
				continue
			}
			m := l.Module
			if works[m.Path] == nil && !m.Main {
				works[m.Path] = &Work{Name: m.Path, Version: m.Version, Sum: m.Sum}
				roots[m.Path], folders[m.Path] = m.Dir, map[string]bool{}
			}
			for dir := l.Dir; !m.Main && len(dir) >= len(m.Dir); dir = filepath.Dir(dir) {
				folders[m.Path][dir] = true
			}
		}
	}
	for name, w := range works {
		if err := w.read(roots[name], slices.Sorted(maps.Keys(folders[name]))); err != nil {
			return nil, err
		}
	}
	others, err := withoutModules(source)
	if err != nil {
		return nil, err
	}
	all := others
	for _, w := range works {
		all = append(all, *w)
	}
	slices.SortFunc(all, func(a, b Work) int { return cmp.Compare(a.Name, b.Name) })
	return all, nil
}

func linked(source string, p Platform) ([]linkedPackage, error) {
	args := []string{"list", "-deps", "-json=Dir,Standard,Module"}
	for _, name := range Programs {
		args = append(args, "./cmd/"+name)
	}
	out, err := command(source, environment(p), "go", args...)
	if err != nil {
		return nil, err
	}
	var all []linkedPackage
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var one linkedPackage
		if err := decoder.Decode(&one); errors.Is(err, io.EOF) {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
}

// withoutModules are the works that are no modules: Go's own library, which every program contains, and what the page's scripts are made of.
func withoutModules(source string) ([]Work, error) {
	out, err := command(source, os.Environ(), "go", "env", "GOROOT", "GOVERSION")
	if err != nil {
		return nil, err
	}
	goroot, version, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	library := Work{Name: "std", Version: strings.TrimPrefix(version, "go")}
	if err := library.read(goroot, []string{goroot}); err != nil {
		return nil, err
	}
	scripts := filepath.Join(source, "internal", "ui", "static", "uplot")
	plot := Work{Name: "uPlot"}
	script, err := os.ReadFile(filepath.Join(scripts, "uPlot.iife.min.js"))
	if err != nil {
		return nil, err
	}
	if v := regexp.MustCompile(`\(v([0-9.]+)\)`).FindSubmatch(script[:min(400, len(script))]); v != nil {
		plot.Version = string(v[1])
	}
	return []Work{library, plot}, plot.read(scripts, []string{scripts})
}

var licenceFile = regexp.MustCompile(`(?i)^((un)?licen[cs]e|copying|copyright|notice|patents)([-.].*)?$`)

// read reads the licences in some folders of a work.
func (w *Work) read(root string, folders []string) error {
	for _, dir := range folders {
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() || !licenceFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(dir, e.Name()))
			if err != nil {
				return err
			}
			name, _ := filepath.Rel(root, filepath.Join(dir, e.Name()))
			w.Texts = append(w.Texts, Text{filepath.ToSlash(name), string(text)})
			if id := identify(string(text)); id != "" && !slices.Contains(w.Licences, id) {
				w.Licences = append(w.Licences, id)
			}
		}
	}
	slices.Sort(w.Licences)
	if len(w.Texts) == 0 {
		return fmt.Errorf("%s %s has no file with its licence in %s: it must not be released like that", w.Name, w.Version, root)
	}
	if len(w.Licences) == 0 {
		return fmt.Errorf("%s %s: no licence that is known in %s of %s", w.Name, w.Version, w.Texts[0].File, root)
	}
	return nil
}

// identify says which licence a text is, by sentences that only this one has; empty for notices and what is not known.
func identify(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	has := func(words string) bool { return strings.Contains(text, words) }
	switch {
	case has("Mozilla Public License") && has("2.0"):
		return "MPL-2.0"
	case has("Apache License") && has("Version 2.0, January 2004"):
		return "Apache-2.0"
	case has("Permission is hereby granted, free of charge, to any person obtaining a copy"):
		return "MIT"
	case has("Permission to use, copy, modify, and/or distribute this software"), has("Permission to use, copy, modify, and distribute this software"):
		return "ISC"
	case has("Redistribution and use in source and binary forms") && has("Neither the name"):
		return "BSD-3-Clause"
	case has("Redistribution and use in source and binary forms"):
		return "BSD-2-Clause"
	case has("This is free and unencumbered software released into the public domain"):
		return "Unlicense"
	case has("CC0 1.0 Universal"):
		return "CC0-1.0"
	}
	return ""
}

// Notices repeats all licences, and says of works under the MPL where their source is.
func Notices(works []Work) []byte {
	var out bytes.Buffer
	out.WriteString("Ringmaster contains works of others, each under its own licence. They are repeated below.\n\n")
	for _, w := range works {
		fmt.Fprintf(&out, "%s\n", strings.TrimSpace(fmt.Sprintf("    %s %s (%s)", w.Name, w.Version, strings.Join(w.Licences, ", "))))
	}
	for _, w := range works {
		fmt.Fprintf(&out, "\n%s\n%s %s\n", strings.Repeat("=", 100), w.Name, w.Version)
		if slices.Contains(w.Licences, "MPL-2.0") {
			fmt.Fprintf(&out, "Its source code, unchanged, is the Go module of this name and version: go mod download %s@%s\n", w.Name, w.Version)
		}
		for _, text := range w.Texts {
			fmt.Fprintf(&out, "%s %s\n\n%s\n", strings.Repeat("-", 10), text.File, strings.TrimRight(text.Text, "\n"))
		}
	}
	return out.Bytes()
}
