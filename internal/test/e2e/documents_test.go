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
	blocks := regexp.MustCompile("(?s)([^\n]*\n[^\n]*)\n\n```(sh|yaml|csv)\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	if all := regexp.MustCompile("(?m)^```(sh|yaml|csv)$").FindAll(text, -1); len(blocks) != len(all) {
		t.Fatalf("%d of the tutorial's %d blocks have a text before them; the others would not be tested", len(blocks), len(all))
	}
	for _, block := range blocks {
		before, kind, body := block[1], block[2], block[3]
		if kind != "sh" {
			name := regexp.MustCompile("as\\s+`([a-z]+\\.(?:yaml|csv))`").FindStringSubmatch(before)
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
			if digest := regexp.MustCompile(`(?m)^ +digest +([0-9a-f]{64})$`).FindStringSubmatch(out); digest != nil && strings.Contains(line, "digits.yaml") && !strings.Contains(line, "model.init") {
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

// The page on the numerics contract lets the reader check it: all trainings that it names have one digest.
func TestNumericsPage(t *testing.T) {
	digests := map[string]bool{}
	trained := 0
	for _, c := range documented(t, filepath.Join("docs", "numerics.md")) {
		if !strings.Contains(c, " launch ") {
			continue
		}
		out := typed(t, t.TempDir(), strings.ReplaceAll(c, "configs/", filepath.Join(repository(t), "configs")+"/"))
		digest := regexp.MustCompile(`(?m)^ +digest +([0-9a-f]{64})$`).FindStringSubmatch(out)
		if digest == nil {
			t.Fatalf("%s shows no digest:\n%s", c, out)
		}
		digests[digest[1]] = true
		trained++
	}
	if trained < 3 || len(digests) != 1 {
		t.Errorf("%d trainings, digests %v", trained, digests)
	}
}

// Every command that a document names exists, with its flags.
func TestDocumentedCommands(t *testing.T) {
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "configs/*.md", "configs/*.yaml"} {
		found, err := filepath.Glob(filepath.Join(repository(t), pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	checked := map[string]bool{}
	for _, file := range files {
		name, _ := filepath.Rel(repository(t), file)
		for _, c := range documented(t, name) {
			if checked[c] {
				continue
			}
			checked[c] = true
			cmd := exec.CommandContext(t.Context(), "sh", "-c", c+" --help")
			cmd.Env = append(os.Environ(), "PATH="+programs+string(os.PathListSeparator)+os.Getenv("PATH"))
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s\n%v: %s", name, c, err, out)
			}
			// The help of a command that does not exist is that of the one above it.
			words := regexp.MustCompile(`(ringmaster [a-z]+|coordinator|worker)\b`).FindString(c)
			if !strings.Contains(string(out), "Usage:\n  "+words) {
				t.Errorf("%s: %s: there is no %q:\n%s", name, c, words, out)
			}
		}
	}
	if len(checked) < 40 {
		t.Errorf("only %d commands", len(checked))
	}
}

// documented lists the commands in a document's blocks of code, without the folder bin, what they print to, and comments.
func documented(t *testing.T, name string) (commands []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(t), name))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`(?m)^(?:#? {4})?((?:[A-Z_]+=\S+ )?)(?:bin/)?((?:ringmaster|coordinator|worker) [a-z-][^#>\n]*)`)
	for _, m := range line.FindAllStringSubmatch(string(text), -1) {
		if strings.Contains(m[2], "|") || strings.Contains(m[2], "...") || strings.Contains(m[2], " / ") {
			continue // an alternative, not a command
		}
		commands = append(commands, m[1]+strings.TrimSpace(m[2]))
	}
	return commands
}
