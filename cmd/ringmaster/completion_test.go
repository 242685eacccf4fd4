package main

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"ringmaster/internal/config"
)

// program tells the test's own binary to be ringmaster; see TestMain.
const program = "RINGMASTER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(program) != "" {
		os.Exit(run(os.Args[1:]))
	}
	os.Exit(m.Run())
}

// shell is a folder with ringmaster and what it may complete, in which bash completes a line.
type shell struct{ dir string }

func newShell(t *testing.T) shell {
	t.Helper()
	s := shell{t.TempDir()}
	for _, dir := range []string{"bin", "runs/digits-1", "runs/digits-2", "jobs"} {
		if err := os.MkdirAll(filepath.Join(s.dir, dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"bin/ringmaster": "#!/bin/sh\n" + program + "=1 exec '" + self + "' \"$@\"\n", "digits.yaml": "", "digits.txt": "", "jobs/other.yaml": ""} {
		if err := os.WriteFile(filepath.Join(s.dir, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// completions is what a real bash offers for a line, as its readline would ask for it: COMP_WORDS are divided at = and :.
func (s shell) completions(t *testing.T, line string) []string {
	t.Helper()
	script := `
source <(ringmaster completion bash) || exit 1
line=$1
COMP_LINE=$line COMP_POINT=${#line} COMP_TYPE=9 COMP_KEY=9
read -ra COMP_WORDS <<<"${line//=/ = }"
[[ $line == *[[:space:]=] ]] && COMP_WORDS+=("")
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
compopt() { :; } # which only works within readline
__start_ringmaster
printf '%s\n' "${COMPREPLY[@]}"`
	cmd := exec.Command("bash", "--norc", "-c", script, "bash", line)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"))
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("%q: %v: %s", line, err, &complaints)
	}
	var found []string
	for word := range strings.Lines(out.String()) {
		word, _, _ = strings.Cut(strings.TrimRight(word, "\n"), "  ") // what follows describes it
		if word = strings.TrimSpace(word); word != "" {
			found = append(found, word)
		}
	}
	return found
}

func TestBashCompletes(t *testing.T) {
	if _, err := exec.LookPath("bash"); err != nil {
		t.Skip("there is no bash on this machine")
	}
	s := newShell(t)
	for line, want := range map[string][]string{
		"ringmaster wat":                                 {"watch"},
		"ringmaster jobs pa":                             {"pause"},
		"ringmaster launch ":                             {"digits.yaml"},
		"ringmaster launch jobs/":                        {"jobs/other.yaml"},
		"ringmaster launch digits.yaml --set train.step": {"train.steps="},
		"ringmaster launch digits.yaml --set seat":       {"seats="},
		"ringmaster eval ru":                             {"runs/digits-1", "runs/digits-2"},
		"ringmaster status --dir ru":                     {"runs/digits-1", "runs/digits-2"},
		"ringmaster launch digits.yaml --progress b":     {"bar"},
		"ringmaster completion z":                        {"zsh"},
		"ringmaster jobs pause x":                        nil, // no cluster is up
	} {
		if got := s.completions(t, line); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
	if got := s.completions(t, "ringmaster launch digits.yaml --set "); !slices.Contains(got, "train.optimizer.lr=") || !slices.Contains(got, "checkpoint.every_steps=") || len(got) != len(config.JobKeys()) {
		t.Errorf("--set completes %q", got)
	}
}

// A cluster that is silent makes nobody wait.
func TestCompletionsOfASilentClusterEnd(t *testing.T) {
	s := newShell(t)
	root := rootCommand()
	var out bytes.Buffer
	root.SetOut(&out)
	root.SetErr(io.Discard)
	root.SetArgs([]string{cobra.ShellCompNoDescRequestCmd, "jobs", "pause", "--cluster", "192.0.2.77:7070", "--certs", s.dir, ""})
	ended := make(chan error, 1)
	go func() { ended <- root.Execute() }()
	select {
	case err := <-ended:
		if err != nil || !strings.HasPrefix(out.String(), ":4") {
			t.Errorf("%v: %q", err, &out)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for the cluster")
	}
}

func TestScriptsOfOtherShellsAreWritten(t *testing.T) {
	s := newShell(t)
	for _, name := range []string{"bash", "zsh", "fish"} {
		out, err := exec.Command(filepath.Join(s.dir, "bin", "ringmaster"), "completion", name).Output()
		if err != nil || !bytes.Contains(out, []byte("__complete")) {
			t.Errorf("%s: %v: %.100s", name, err, out)
		}
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("%s is not on this machine: its script is not read", name)
			continue
		}
		check := exec.Command(path, "-n")
		check.Stdin = bytes.NewReader(out)
		if complaint, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s cannot read its script: %v: %s", name, err, complaint)
		}
	}
}

// everyCommand calls see with every command that a person can call.
func everyCommand(cmd *cobra.Command, see func(*cobra.Command)) {
	see(cmd)
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			everyCommand(sub, see)
		}
	}
}

// Every help has an example, and every example is one that the command takes.
func TestEveryHelpHasAnExampleThatParses(t *testing.T) {
	call := regexp.MustCompile(`ringmaster((?: (?:'[^'\n]*'|"[^"\n]*"|[^'"\n#;)&|>])*)?)`)
	everyCommand(rootCommand(), func(cmd *cobra.Command) {
		own := 0
		for _, found := range call.FindAllStringSubmatch(strings.ReplaceAll(cmd.Example, "$id", "3"), -1) {
			args := words(found[1])
			root := rootCommand()
			meant, rest, err := root.Find(args)
			if err != nil {
				t.Errorf("%s: %q: %v", cmd.CommandPath(), found[0], err)
				continue
			}
			if strings.HasPrefix(meant.CommandPath(), cmd.CommandPath()) {
				own++
			}
			if err := meant.ParseFlags(rest); err != nil {
				t.Errorf("%s: %q: %v", cmd.CommandPath(), found[0], err)
				continue
			}
			if err := meant.ValidateArgs(meant.Flags().Args()); err != nil {
				t.Errorf("%s: %q: %v", cmd.CommandPath(), found[0], err)
			}
		}
		if own == 0 {
			t.Errorf("%s has no example of itself: %q", cmd.CommandPath(), cmd.Example)
		}
	})
	for path := range examples {
		if cmd, _, err := rootCommand().Find(strings.Fields(path)[1:]); err != nil || cmd.CommandPath() != path {
			t.Errorf("an example of %q, which is no command", path)
		}
	}
}

// words divides a line as a shell does, as far as examples need it.
func words(line string) []string {
	var all []string
	for _, w := range regexp.MustCompile(`"[^"]*"|'[^']*'|\S+`).FindAllString(line, -1) {
		all = append(all, strings.Trim(w, `"'`))
	}
	return all
}

func TestManualPages(t *testing.T) {
	dir := t.TempDir()
	if err := writeManual(rootCommand(), dir); err != nil {
		t.Fatal(err)
	}
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Log("groff is not on this machine: the pages are not formatted")
	}
	everyCommand(rootCommand(), func(cmd *cobra.Command) {
		page := filepath.Join(dir, pageName(cmd)+".1")
		text, err := os.ReadFile(page)
		if err != nil {
			t.Error(err)
			return
		}
		for _, section := range []string{".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH EXAMPLES"} {
			if !bytes.Contains(text, []byte(section+"\n")) {
				t.Errorf("%s has no %s", page, section)
			}
		}
	})
	if groff == "" {
		return
	}
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil || len(pages) < 50 {
		t.Fatalf("%d pages, %v", len(pages), err)
	}
	for _, page := range pages {
		if complaint, err := exec.Command(groff, "-ww", "-man", "-z", "-K", "utf8", page).CombinedOutput(); err != nil || len(complaint) > 0 {
			t.Errorf("%s: %v: %s", filepath.Base(page), err, complaint)
		}
	}
}
