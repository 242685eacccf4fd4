package main

import (
	"bytes"
	"context"
	"io"
	"maps"
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
	var found []string
	for word := range strings.Lines(s.output(t, "bash", "--norc", "-c", script, "bash", line)) {
		word, _, _ = strings.Cut(strings.TrimRight(word, "\n"), "  ") // what follows describes it
		if word = strings.TrimSpace(word); word != "" {
			found = append(found, word)
		}
	}
	return found
}

// output is what a real shell writes in the folder. It complains of nothing.
func (s shell) output(t *testing.T, name string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(s.dir, "bin")+":"+os.Getenv("PATH"), "HOME="+s.dir, "XDG_CONFIG_HOME="+s.dir, "XDG_DATA_HOME="+s.dir, "ZDOTDIR="+s.dir)
	var out, complaints bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaints
	if err := cmd.Run(); err != nil || complaints.Len() > 0 {
		t.Fatalf("%s %q: %v: %s", name, args, err, &complaints)
	}
	return out.String()
}

func TestFishCompletes(t *testing.T) {
	if _, err := exec.LookPath("fish"); err != nil {
		t.Skip("there is no fish on this machine")
	}
	s := newShell(t)
	for line, want := range map[string]string{
		"ringmaster wat":                                 "watch",
		"ringmaster jobs pa":                             "pause",
		"ringmaster launch ":                             "digits.yaml",
		"ringmaster launch jobs/":                        "jobs/other.yaml",
		"ringmaster launch digits.yaml --set train.step": "train.steps=",
		"ringmaster eval ru":                             "runs/digits-1 runs/digits-2",
		"ringmaster jobs pause x":                        "", // no cluster is up
	} {
		var found []string
		for word := range strings.Lines(s.output(t, "fish", "-c", `ringmaster completion fish | source; complete -C "$argv[1]"`, line)) {
			word, _, _ = strings.Cut(strings.TrimSpace(word), "\t") // what follows describes it
			found = append(found, word)
		}
		if got := strings.Join(found, " "); got != want {
			t.Errorf("%q: %q, want %q", line, got, want)
		}
	}
}

// What zsh makes of a line when the tab key is pressed behind it, set up as the command's help says.
func TestZshCompletes(t *testing.T) {
	if exec.Command("zsh", "-f", "-c", "zmodload zsh/zpty").Run() != nil {
		t.Skip("there is no zsh on this machine, or it has no pseudo-terminals")
	}
	s := newShell(t)
	setup := `
autoload -U compinit
compinit -u -D
source <(ringmaster completion zsh)
zle-line-init() {
    local line
    for line in "${(@f)$(<lines)}"; do
        BUFFER=$line CURSOR=$#line
        zle complete-word
        print -r -- $BUFFER >>completed
    done
    exit
}
zle -N zle-line-init`
	if err := os.WriteFile(filepath.Join(s.dir, ".zshrc"), []byte(setup), 0o600); err != nil {
		t.Fatal(err)
	}
	wants := map[string]string{
		"ringmaster wat":                                 "ringmaster watch ",
		"ringmaster jobs pa":                             "ringmaster jobs pause ",
		"ringmaster launch d":                            "ringmaster launch digits.yaml ",
		"ringmaster launch jobs/":                        "ringmaster launch jobs/other.yaml ",
		"ringmaster launch digits.yaml --set train.step": "ringmaster launch digits.yaml --set train.steps=",
		"ringmaster eval ru":                             "ringmaster eval runs/digits-", // there are two
		"ringmaster jobs pause x":                        "ringmaster jobs pause x",      // no cluster is up
	}
	lines := slices.Sorted(maps.Keys(wants))
	if err := os.WriteFile(filepath.Join(s.dir, "lines"), []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	shown := s.output(t, "zsh", "-f", "-c", `zmodload zsh/zpty; zpty shell zsh -d -i; while zpty -r shell shown; do print -rn -- $shown; done`)
	text, err := os.ReadFile(filepath.Join(s.dir, "completed"))
	completed := strings.Split(string(text), "\n")
	if err != nil || len(completed) != len(lines)+1 {
		t.Fatalf("%v: %q, the terminal shows %q", err, completed, shown)
	}
	for i, line := range lines {
		if completed[i] != wants[line] {
			t.Errorf("%q: %q, want %q", line, completed[i], wants[line])
		}
	}
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
