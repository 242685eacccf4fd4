package lint

import (
	"flag"
	"fmt"
	"go/doc"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write ARCHITECTURE.md's table of packages")

var root = filepath.Join("..", "..", "..")

// ARCHITECTURE.md's table of packages says what the layers say, and of each package what its documentation says first.
func TestPackageTableAgreesWithLayers(t *testing.T) {
	const begin, end = "<!-- packages: begin -->\n", "<!-- packages: end -->\n"
	file := filepath.Join(root, "ARCHITECTURE.md")
	text := read(t, file)
	before, rest, found := strings.Cut(text, begin)
	written, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("ARCHITECTURE.md has no place for the table of packages: %q to %q", begin, end)
	}
	want := packageTable(t)
	if written == want {
		return
	}
	if !*rewrite {
		t.Errorf("ARCHITECTURE.md's table of packages differs from the layers or the packages' documentation. Write it with: go test ./internal/test/lint -rewrite")
		return
	}
	if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func packageTable(t *testing.T) string {
	var out strings.Builder
	out.WriteString("| layer | package | |\n|---|---|---|\n")
	for _, l := range layers {
		why := l.why
		for _, p := range l.packages {
			fmt.Fprintf(&out, "| %s | `%s` | %s |\n", why, p, subject(t, filepath.Join(root, "internal", filepath.FromSlash(p))))
			why = ""
		}
	}
	return out.String()
}

// subject is the first sentence of a package's documentation without its first two words, which are "Package x" or "Command x".
func subject(t *testing.T, dir string) string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.SplitN(new(doc.Package).Synopsis(parsed.Doc.Text()), " ", 3)
		if len(words) == 3 && (words[0] == "Package" || words[0] == "Command") {
			said, _, _ := strings.Cut(words[2], ": ") // what follows is detail
			return strings.TrimSuffix(strings.ReplaceAll(said, "|", `\|`), ".")
		}
	}
	t.Errorf("%s has no documentation that begins with \"Package\" or \"Command\"", dir)
	return ""
}

// The answers to a newcomer's questions are paths of this repository.
func TestNewcomersFindWhatTheyAskFor(t *testing.T) {
	_, rest, found := strings.Cut(read(t, filepath.Join(root, "ARCHITECTURE.md")), "\n## Where is …?\n")
	if !found {
		t.Fatal(`ARCHITECTURE.md has no section "Where is …?"`)
	}
	section, _, _ := strings.Cut(rest, "\n## ")
	questions := 0
	for line := range strings.Lines(section) {
		question, answer, _ := strings.Cut(strings.Trim(line, "| \n"), " | ")
		if !strings.HasSuffix(question, "?") {
			continue
		}
		questions++
		paths := regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(answer, -1)
		if len(paths) == 0 {
			t.Errorf("%s has no path for an answer", question)
			continue
		}
		dir := paths[0][1]
		for _, p := range paths {
			// A file without a folder is beside what was named first; a pattern must match something.
			matches, err := filepath.Glob(filepath.Join(root, p[1]))
			beside, _ := filepath.Glob(filepath.Join(root, dir, p[1]))
			inFolder, _ := filepath.Glob(filepath.Join(root, filepath.Dir(dir), p[1]))
			if err != nil || len(matches)+len(beside)+len(inFolder) == 0 {
				t.Errorf("%s %s is not in the repository", question, p[1])
			}
		}
	}
	if questions < 10 {
		t.Errorf("only %d questions", questions)
	}
}

var (
	link       = regexp.MustCompile(`\]\(([^)\s]+)\)|<img[^>]* src="([^"]+)"|<source[^>]* srcset="([^"]+)"`)
	heading    = regexp.MustCompile(`(?m)^#+ (.+)$`)
	makeTarget = regexp.MustCompile("(?m)(?:`|^ {4})make ([a-z0-9-]+)")
)

// Links between documents lead somewhere, and make knows the targets that they name.
func TestDocumentsNameWhatExists(t *testing.T) {
	makefile := read(t, filepath.Join(root, "Makefile"))
	for _, file := range documents(t) {
		text := read(t, file)
		name, _ := filepath.Rel(root, file)
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			target := m[1] + m[2] + m[3]
			if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(target, "#")
			to := file
			if path != "" {
				to = filepath.Join(filepath.Dir(file), filepath.FromSlash(path))
			}
			if _, err := os.Stat(to); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, target)
			} else if anchor != "" && !slices.Contains(anchors(read(t, to)), anchor) {
				t.Errorf("%s links to %s, which has no such heading", name, target)
			}
		}
		for _, m := range makeTarget.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(makefile, "\n"+m[1]+":") {
				t.Errorf("%s names make %s, which the Makefile does not have", name, m[1])
			}
		}
	}
}

// anchors are the names that GitHub gives to headings.
func anchors(text string) (all []string) {
	drop := regexp.MustCompile(`[^\p{L}\p{N} _-]`)
	for _, m := range heading.FindAllStringSubmatch(text, -1) {
		all = append(all, strings.ReplaceAll(drop.ReplaceAllString(strings.ToLower(m[1]), ""), " ", "-"))
	}
	return all
}

// documents are the repository's Markdown files.
func documents(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && slices.Contains([]string{".git", "testdata", "runs", "bin"}, d.Name()):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".md"):
			all = append(all, name)
		}
		return nil
	})
	if err != nil || len(all) < 5 {
		t.Fatalf("%d documents, %v", len(all), err)
	}
	return all
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
