package config

import (
	"strings"
	"testing"
)

func TestExpandHome(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	for path, want := range map[string]string{"~": "/home/me", "~/txt": "/home/me/txt", "~/": "/home/me", "a/~/b": "a/~/b", "~you/x": "~you/x", "": "", "/~": "/~",
		"$HOME/x": "$HOME/x"} {
		if got := ExpandHome(path); got != want {
			t.Errorf("%s becomes %s, want %s", path, got, want)
		}
	}
	t.Setenv("HOME", "")
	if got := ExpandHome("~/x"); got != "~/x" {
		t.Errorf("without a home: %s", got)
	}
}

func TestWhatAShellWouldHaveExpandedIsNamed(t *testing.T) {
	for path, want := range map[string]string{"$HOME/x": "$HOME is taken as it is written", "/data/${USER}/x": "${USER} is", "~you/x": "~you is", "/a/b": "", "cost$": "", "a$1": "",
		"~/x": ""} {
		if got := Unexpanded(path); want == "" && got != "" || !strings.HasPrefix(got, want) {
			t.Errorf("%s: %q, want %q", path, got, want)
		}
	}
}

// The daemons' folders may begin with ~/, in the file and in flags.
func TestDaemonsFoldersInTheHome(t *testing.T) {
	t.Setenv("HOME", "/home/me")
	c, err := LoadCoordinator("", []Flag{{"--dir", "dir", "~/c1"}})
	if err != nil || c.Dir != "/home/me/c1" || c.RaftDir != "/home/me/c1/raft" {
		t.Errorf("%+v, %v", c, err)
	}
	w, err := LoadWorker("", []Flag{{"--join", "join", "127.0.0.1:1"}, {"--dir", "dir", "~/w"}, {"--certs", "certs", "~/certs/w1"}})
	if err != nil || w.Dir != "/home/me/w" || w.Certs != "/home/me/certs/w1" {
		t.Errorf("%+v, %v", w, err)
	}
}
