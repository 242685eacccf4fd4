package agent

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ringmaster/internal/folderlock"
)

// asked is an agent that answers a request in a folder, and what it says.
func asked(t *testing.T, dir string, r Request) (said []Message) {
	t.Helper()
	r.Dir, r.Cluster = dir, "lab"
	if r.Protocol == 0 {
		r.Protocol = Protocol
	}
	if r.Authority == "" {
		r.Authority = "aa"
	}
	r.Service = "detached"
	var in, out bytes.Buffer
	if err := WriteLine(&in, r); err != nil {
		t.Fatal(err)
	}
	a := &Agent{Program: filepath.Join(dir, binDir, "ringmaster-new"), Home: t.TempDir(), In: &in, Out: &out, Now: time.Now}
	if err := a.Serve(context.Background()); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(out.String()) {
		var m Message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		said = append(said, m)
	}
	return said
}

func write(t *testing.T, text string, names ...string) {
	t.Helper()
	path := filepath.Join(names...)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// A folder of another cluster, or with other files, is left alone.
func TestAFolderHasOneCluster(t *testing.T) {
	dir := t.TempDir()
	refused := func(what, want string, r Request) {
		t.Helper()
		said := asked(t, dir, r)
		if len(said) != 1 || !strings.Contains(said[0].Error, want) {
			t.Errorf("%s: %+v, want %q", what, said, want)
		}
	}
	refused("nothing is installed", "no cluster is installed", Request{Op: Look})
	refused("nothing is installed", "no cluster is installed", Request{Op: Stop})
	write(t, "thesis", dir, "thesis.tex")
	refused("other files", "holds other files (thesis.tex)", Request{Op: Apply})
	if err := os.Remove(filepath.Join(dir, "thesis.tex")); err != nil {
		t.Fatal(err)
	}
	if said := asked(t, dir, Request{Op: Apply}); len(said) != 1 || said[0].Result == nil {
		t.Fatalf("%+v", said)
	}
	for _, op := range []string{Apply, Look, Stop, Purge} {
		refused(op, "belongs to a cluster with another authority", Request{Op: op, Authority: "bb"})
	}
	refused("another version", "version 1 of the protocol and was asked by version 2", Request{Op: Look, Protocol: 2})
	refused("nothing known", `"dance" is nothing to ask`, Request{Op: "dance"})
	refused("an id that is a path", "must be 1 to 64 letters", Request{Op: Stop, IDs: []string{"../x"}})
}

// What the cluster has is deleted, what others have is not, and nothing while a daemon runs.
func TestPurge(t *testing.T) {
	dir := t.TempDir()
	asked(t, dir, Request{Op: Apply})
	write(t, `{"role":"worker","program":"x","stopped":true}`, dir, "a-w1", startedFile)
	write(t, "old", dir, binDir, "ringmaster-old")
	owner, err := folderlock.Own(filepath.Join(dir, "a-w1", dataDir), 0)
	if err != nil {
		t.Fatal(err)
	}
	if said := asked(t, dir, Request{Op: Purge}); len(said) != 1 || !strings.Contains(said[0].Error, "a-w1 still runs") {
		t.Errorf("%+v", said)
	}
	if said := asked(t, dir, Request{Op: Look}); len(said) != 1 || len(said[0].Result.Daemons) != 1 || said[0].Result.Daemons[0].State != Running || said[0].Result.Daemons[0].PID != os.Getpid() {
		t.Errorf("%+v", said)
	}
	if err := owner.Release(); err != nil {
		t.Fatal(err)
	}
	write(t, "mine", dir, "notes")
	if said := asked(t, dir, Request{Op: Purge}); len(said) != 1 || said[0].Result == nil || strings.Join(said[0].Result.Left, " ") != "notes" {
		t.Errorf("%+v", said)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 || entries[0].Name() != "notes" {
		t.Errorf("%v, %v", entries, err)
	}
}

// A daemon that ended shows its last word, one that was stopped does not; programs that nothing uses go.
func TestLook(t *testing.T) {
	dir := t.TempDir()
	write(t, `{"role":"worker","program":"`+filepath.Join(dir, binDir, "ringmaster-used")+`"}`, dir, "a-w1", startedFile)
	write(t, "up\nworker: bind: no such address\n", dir, "a-w1", logFile)
	write(t, `{"role":"coordinator","stopped":true}`, dir, "a-c", startedFile)
	write(t, "nonsense", dir, "b-w1", startedFile)
	for _, name := range []string{"used", "old", "new"} {
		write(t, "", dir, binDir, "ringmaster-"+name)
	}
	write(t, "aa\n", dir, authorityFile)
	said := asked(t, dir, Request{Op: Apply})
	if len(said) != 1 || said[0].Result == nil || len(said[0].Result.Daemons) != 3 {
		t.Fatalf("%+v", said)
	}
	for i, want := range []struct{ id, state, problem string }{{"a-c", Stopped, ""}, {"a-w1", Ended, "worker: bind: no such address"}, {"b-w1", Ended, "started.json"}} {
		if s := said[0].Result.Daemons[i]; s.ID != want.id || s.State != want.state || !strings.Contains(s.Problem, want.problem) || !s.Unwanted || want.problem == "" && s.Problem != "" {
			t.Errorf("%+v, want %+v", s, want)
		}
	}
	programs, err := filepath.Glob(filepath.Join(dir, binDir, "*"))
	if err != nil || len(programs) != 2 || filepath.Base(programs[0]) != "ringmaster-new" || filepath.Base(programs[1]) != "ringmaster-used" {
		t.Errorf("%v, %v", programs, err)
	}
}

func TestLastLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, test := range []struct {
		text  string
		lines int
		want  string
	}{
		{"", 3, ""}, {"a", 1, "a"}, {"a\nb\nc\n", 2, "b\nc\n"}, {"a\nb\nc", 2, "b\nc"}, {"a\nb\n", 9, "a\nb\n"}, {"a\nb\n", 0, ""}, {"\n\n\n", 2, "\n\n"},
	} {
		write(t, test.text, path)
		if got, size, err := lastLines(path, test.lines); err != nil || string(got) != test.want || size != int64(len(test.text)) {
			t.Errorf("%d lines of %q: %q, %d, %v", test.lines, test.text, got, size, err)
		}
	}
}

// Nothing in a command means something to systemd.
func TestUnit(t *testing.T) {
	s := systemd{cluster: "lab", home: "/home/a"}
	text := s.unitText("n-w1", []string{`/x y/50%/$HOME/"q"`, "host"}, "/x y/50%/log")
	for _, want := range []string{
		`ExecStart="/x y/50%%/$$HOME/\"q\"" "host"` + "\n", "StandardOutput=append:/x y/50%%/log\n", "WantedBy=default.target\n", "TimeoutStopSec=30\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if got := s.file("n-w1"); got != "/home/a/.config/systemd/user/ringmaster-lab-n-w1.service" {
		t.Error(got)
	}
}

// A request of any bytes is answered by one line, or not at all where nothing came.
func FuzzServe(f *testing.F) {
	f.Add([]byte("{\"protocol\":1,\"op\":\"look\",\"dir\":\"/nowhere/at/all\"}\n"))
	f.Add([]byte("{\"protocol\":1,\"op\":\"logs\",\"dir\":\"/nowhere\",\"ids\":[\"..\"]}\n"))
	f.Add([]byte("x"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var r Request
		if json.Unmarshal(bytes.TrimSpace(text), &r) == nil && (r.Op == Apply || r.Op == Purge) {
			return // which may write
		}
		var out bytes.Buffer
		a := &Agent{Home: "/nowhere", In: bytes.NewReader(text), Out: &out, Now: time.Now}
		if err := a.Serve(context.Background()); err != nil {
			t.Fatal(err)
		}
		if strings.Count(out.String(), "\n") != 1 || !json.Valid(out.Bytes()) {
			t.Errorf("%q is answered by %q", text, out.String())
		}
	})
}
