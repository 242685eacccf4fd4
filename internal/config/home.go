package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// ExpandHome replaces a leading ~ or ~/ by the home folder of whoever runs the program: a shell does so only where the ~ begins a word,
// and nobody does so in files. The data of a job are read on every worker's machine, so there it is the worker's home.
func ExpandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || rest != "" && rest[0] != '/' {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	return filepath.Join(home, rest)
}

var variable = regexp.MustCompile(`\$(\{\w+\}|[A-Za-z_]\w*)`)

// Unexpanded says what a path that does not exist seems to expect; "" where that is nothing.
func Unexpanded(path string) string {
	if name := variable.FindString(path); name != "" {
		return name + " is taken as it is written: variables are not replaced in paths, which may be read on other machines; write ~/ for the home folder, or let the shell replace it (--set data.dir=...)"
	}
	if name, _, _ := strings.Cut(path, "/"); strings.HasPrefix(name, "~") && len(name) > 1 {
		return name + " is taken as it is written: only ~/ is replaced, by the home folder of whoever runs the program"
	}
	return ""
}
