package main

import (
	"bytes"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"
)

var rewrite = flag.Bool("rewrite", false, "write what the commands of the scripts say into the scripts")

// TestMistakes carries out the commands of testdata/mistakes as a new user would type them, in a folder with the script's files. Each command
// is wrong: it says so in one line, with the place of the mistake, and starts and leaves nothing.
func TestMistakes(t *testing.T) {
	scripts, err := filepath.Glob("testdata/mistakes/*.txt")
	if err != nil || len(scripts) < 4 {
		t.Fatalf("scripts %v, %v", scripts, err)
	}
	count := 0
	for _, script := range scripts {
		archive, err := txtar.ParseFile(script)
		if err != nil {
			t.Fatal(err)
		}
		script, _ := filepath.Abs(script)
		t.Run(filepath.Base(script), func(t *testing.T) {
			t.Chdir(t.TempDir())
			for _, f := range archive.Files {
				unpack(t, f)
			}
			said := followScript(t, string(archive.Comment), &count)
			if said == string(archive.Comment) {
				return
			}
			if *rewrite {
				archive.Comment = []byte(said)
				if err := os.WriteFile(script, txtar.Format(archive), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			want := strings.Split(string(archive.Comment), "\n")
			for i, line := range strings.Split(said, "\n") {
				if i >= len(want) || line != want[i] {
					t.Fatalf("a command says\n%s\nwhere the script has\n%s\n(go test -run Mistakes -rewrite)", line, want[min(i, len(want)-1)])
				}
			}
		})
	}
	if count < 100 {
		t.Errorf("%d mistakes, want 100 or more", count)
	}
}

// unpack writes a file of a script. In one that is no text, \x41 stands for a byte; where the name ends in .raw, that ending is cut off.
func unpack(t *testing.T, f txtar.File) {
	t.Helper()
	name, data := f.Name, f.Data
	if raw, is := strings.CutSuffix(name, ".raw"); is {
		name, data = raw, unescape(bytes.TrimSuffix(data, []byte("\n")))
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func unescape(data []byte) []byte {
	var out []byte
	for i := 0; i < len(data); i++ {
		if data[i] == '\\' && i+3 < len(data) && data[i+1] == 'x' {
			digit := func(c byte) byte { return byte(strings.IndexByte("0123456789abcdef", c)) }
			out = append(out, digit(data[i+2])<<4|digit(data[i+3]))
			i += 3
			continue
		}
		out = append(out, data[i])
	}
	return out
}

// longList is a list of seven or more words that are known.
var longList = regexp.MustCompile(`there are ((?:[a-z0-9_]+, ){2}[a-z0-9_]+)(?:, [a-z0-9_]+){4,}`)

// followScript carries out the lines that begin with "> " and gives the script with what they said behind them.
func followScript(t *testing.T, script string, count *int) string {
	t.Helper()
	var said strings.Builder
	for line := range strings.Lines(script) {
		command, is := strings.CutPrefix(strings.TrimSpace(line), "> ringmaster ")
		if !is {
			if strings.HasPrefix(line, "#") || line == "\n" {
				said.WriteString(line)
			}
			continue
		}
		code, out, problem := typed(t, strings.Fields(command))
		said.WriteString(line)
		said.WriteString(longList.ReplaceAllString(problem, "there are $1, ...")) // so that a new kind or key changes no script
		*count++
		if code != 2 || out != "" || strings.Count(problem, "\n") != 1 {
			t.Errorf("%s: exit code %d, standard output %q, %q", command, code, out, problem)
		}
	}
	if _, err := os.Stat("runs"); err == nil {
		t.Error("a mistake left a folder runs")
	}
	return said.String()
}

// typed carries out one command within this process.
func typed(t *testing.T, args []string) (code int, out, problem string) {
	t.Helper()
	stdout, stderr := os.Stdout, os.Stderr
	defer func() { os.Stdout, os.Stderr = stdout, stderr }()
	var read [2]*os.File
	for i, to := range []**os.File{&os.Stdout, &os.Stderr} {
		f, err := os.CreateTemp(t.TempDir(), "")
		if err != nil {
			t.Fatal(err)
		}
		*to, read[i] = f, f
	}
	code = run(args)
	var texts [2]string
	for i, f := range read {
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		texts[i] = string(text)
	}
	return code, texts[0], texts[1]
}
