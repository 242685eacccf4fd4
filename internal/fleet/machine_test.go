package fleet

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"ringmaster/internal/fleet/agent"
)

func TestFactsOfAHost(t *testing.T) {
	hash := strings.Repeat("0a", 32)
	f, err := parseFacts("system Linux aarch64\ndir /home/alice/.local/share/ringmaster/lab\nconnection 10.0.0.9 5000 10.0.0.2 22\nprogram " + hash + "\nprogram ../../x\nend\n")
	if err != nil || f.platform != "linux/arm64" || f.dir != "/home/alice/.local/share/ringmaster/lab" || f.address != "10.0.0.2" || len(f.programs) != 1 || f.programs[0] != hash {
		t.Errorf("%+v, %v", f, err)
	}
	for text, want := range map[string]string{
		"system SunOS sun4v\ndir /x\nend\n":   `it is a "SunOS sun4v"; there are programs`,
		"system Linux x86_64\ndir /x\n":       "its answer was cut or changed",
		"system Linux x86_64\ndir x\nend\n":   "its answer was cut or changed",
		"system Linux x86_64\ndir /x\nconnec": "its answer was cut or changed",
	} {
		if _, err := parseFacts(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	for connection, want := range map[string]string{"": "", "a b c d": "", "::1 1 ::ffff:10.0.0.1 2": "10.0.0.1", "fe80::1%eth0 1 fe80::2%eth0 22": "", "1.1.1.1 1 127.0.0.1 22": "127.0.0.1"} {
		if got := serverAddress(connection); got != want {
			t.Errorf("%q: %q, want %q", connection, got, want)
		}
	}
}

// Whatever a host says becomes facts that are fit to use, or an error.
func FuzzParseFacts(f *testing.F) {
	f.Add("system Linux x86_64\ndir /x\nconnection 1.1.1.1 1 2.2.2.2 22\nprogram " + strings.Repeat("ab", 32) + "\nend\n")
	f.Fuzz(func(t *testing.T, text string) {
		facts, err := parseFacts(text)
		if err != nil {
			return
		}
		if facts.dir[0] != '/' || facts.platform == "" || len(facts.programs) > maxPrograms {
			t.Errorf("%q gives %+v", text, facts)
		}
		for _, p := range facts.programs {
			if len(p) != 64 || strings.Trim(p, "0123456789abcdefABCDEF") != "" {
				t.Errorf("%q names the program %q", text, p)
			}
		}
	})
}

// Whatever an agent says ends in a result or an error, and a grant answers only what was asked.
func FuzzConverse(f *testing.F) {
	f.Add([]byte("{\"note\":\"hello\"}\n{\"enrol\":{\"id\":\"a-w1\",\"role\":\"worker\",\"request\":\"AAAA\"}}\n{\"result\":{\"daemons\":[{\"id\":\"a-w1\"}]}}\n"))
	f.Add([]byte("{\"error\":\"no room\"}\n"))
	f.Add([]byte("{}\n{\"x\":1}\nnonsense\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		refused := errors.New("refused")
		result, err := converse(bufio.NewReader(bytes.NewReader(text)), io.Discard, func(e agent.Enrol) (any, error) {
			if e.ID == "a-w1" {
				return struct{}{}, nil
			}
			return nil, refused
		}, func(string) {})
		if (result == nil) == (err == nil) {
			t.Errorf("%q gives %v and %v", text, result, err)
		}
	})
}

// runScript runs the host's script here, as a host's shell would.
func runScript(t *testing.T, home, stdin string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("sh", append([]string{"-c", hostScript, "sh"}, args...)...)
	cmd.Env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "SSH_CONNECTION=10.0.0.9 5000 10.0.0.2 22"}
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = errors.New(strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.TrimPrefix(string(out), greeting+"\n"), err
}

// The script takes in what it is sent whole, and nothing else.
func TestScriptVerifiesTheProgram(t *testing.T) {
	home := t.TempDir()
	dir := "~/it's a folder"
	program := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\necho \"$@\"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := (&Programs{Given: map[string]string{"linux/arm64": program}}).of("linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := exec.Command("gzip", "-c", program).Output()
	if err != nil {
		t.Skip("needs gzip")
	}
	wrong := strings.Repeat("00", 32)
	if _, err := runScript(t, home, string(packed), "put", dir, wrong, "w"); err == nil || !strings.Contains(err.Error(), "its SHA-256 differs") {
		t.Errorf("another program: %v", err)
	}
	if _, err := runScript(t, home, string(packed[:len(packed)-9]), "put", dir, p.hash, "w"); err == nil {
		t.Error("a program that was cut was taken")
	}
	if out, err := runScript(t, home, "", "run", dir, p.hash, ""); err != nil || out != "missing\n" {
		t.Errorf("%q, %v", out, err)
	}
	if out, err := runScript(t, home, string(packed), "put", dir, p.hash, "w"); err != nil || out != "whole\n" {
		t.Fatalf("%q, %v", out, err)
	}
	bin := filepath.Join(home, "it's a folder", "bin")
	if entries, err := os.ReadDir(bin); err != nil || len(entries) != 1 {
		t.Errorf("%v, %v", entries, err)
	}
	if out, err := runScript(t, home, "", "run", dir, p.hash, ""); err != nil || out != "running\nhost agent\n" {
		t.Errorf("%q, %v", out, err)
	}
	out, err := runScript(t, home, "", "look", dir, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if f, err := parseFacts(out); err == nil && (f.dir != filepath.Dir(bin) || len(f.programs) != 1 || f.programs[0] != p.hash || f.address != "10.0.0.2") {
		t.Errorf("%+v", f)
	}
	if err := os.WriteFile(filepath.Join(bin, "ringmaster-"+p.hash), []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := runScript(t, home, "", "check", dir, p.hash, ""); err != nil || out != "missing\n" {
		t.Errorf("a damaged program: %q, %v", out, err)
	}
	blocked := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(blocked, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := runScript(t, home, string(packed), "put", blocked+"/x", p.hash, "w"); err == nil || !strings.Contains(err.Error(), "mkdir") {
		t.Errorf("no folder can be made: %v", err)
	}
}

func TestProgramsOfOtherPlatforms(t *testing.T) {
	if _, err := ParseBinaries([]string{"linux/riscv=x"}); err == nil {
		t.Error("an unknown platform is accepted")
	}
	if _, err := ParseBinaries([]string{"linux/arm64=x", "linux/arm64=y"}); err == nil {
		t.Error("two programs for a platform are accepted")
	}
	other := "linux/arm64"
	if _, err := (&Programs{}).locate(platforms["Linux x86_64"]); err != nil {
		other = platforms["Linux x86_64"]
	}
	if _, err := (&Programs{}).of(other); err == nil || !strings.Contains(err.Error(), "--binary "+other+"=PATH") {
		t.Errorf("no program: %v", err)
	}
	dist := t.TempDir()
	if _, err := (&Programs{Dist: dist}).of(other); err == nil || !strings.Contains(err.Error(), "make dist") {
		t.Errorf("no archive: %v", err)
	}
	name := "ringmaster_1_" + strings.ReplaceAll(other, "/", "_")
	inner := filepath.Join(t.TempDir(), name, "bin")
	if err := os.MkdirAll(inner, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(inner, "ringmaster"), []byte("program"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", filepath.Dir(filepath.Dir(inner)), "-czf", filepath.Join(dist, name+".tar.gz"), name).CombinedOutput(); err != nil {
		t.Skipf("needs tar: %s", out)
	}
	p := &Programs{Dist: dist}
	defer p.Close()
	found, err := p.of(other)
	if err != nil || found.bytes != 7 || len(found.hash) != 64 {
		t.Errorf("%+v, %v", found, err)
	}
}
