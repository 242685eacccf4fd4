package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The tutorial is typed in as it is, in an empty folder: files are written where it says so, and every command succeeds. Its trainings
// that claim the same digest have the same digest.
func TestTutorial(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(repository(t), "docs", "tutorial.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	own := map[string]func(file string){ // what the reader brings along
		"seven.png": func(file string) { paint(t, file, 28, 1, 5) },
		"new.png":   func(file string) { paint(t, file, 32, 0, 9) },
	}
	for name, draw := range own {
		draw(filepath.Join(dir, name))
	}
	for i, file := range []string{"train/red/a", "train/red/b", "train/red/c", "train/red/d", "train/blue/a", "train/blue/b", "train/blue/c", "train/blue/d", "test/red/a", "test/blue/a"} {
		path := filepath.Join(dir, "pictures", filepath.FromSlash(file)+".png")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		class := 0
		if strings.Contains(file, "blue") {
			class = 1
		}
		paint(t, path, 32, class, i)
	}
	var digests []string
	commands := 0
	for _, block := range regexp.MustCompile("(?s)([^\n]*\n[^\n]*)\n\n```(sh|yaml)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		before, kind, body := block[1], block[2], block[3]
		if kind == "yaml" {
			name := regexp.MustCompile("as\\s+`([a-z]+\\.yaml)`").FindStringSubmatch(before)
			if name == nil {
				t.Fatalf("the tutorial does not say where to write\n%s", body)
			}
			if err := os.WriteFile(filepath.Join(dir, name[1]), []byte(body), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for line := range strings.Lines(body) {
			commands++
			out := typed(t, dir, strings.TrimSpace(line))
			if digest := regexp.MustCompile(`(?m)^ +digest +([0-9a-f]{64})$`).FindStringSubmatch(out); digest != nil && strings.Contains(line, "digits.yaml") {
				digests = append(digests, digest[1])
			}
		}
	}
	if commands < 10 || len(digests) != 4 {
		t.Fatalf("%d commands, %d trainings of digits", commands, len(digests))
	}
	if digests[1] != digests[0] || digests[2] == digests[0] || digests[3] != digests[0] {
		t.Errorf("the first, second and last should be equal: %v", digests)
	}
}

// typed runs a line in a shell that finds the programs.
func typed(t *testing.T, dir, line string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s\n%v\n%s", line, err, out)
	}
	return string(out)
}
