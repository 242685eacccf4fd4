package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFlagsOfDaemonsAreReadAndCompleted(t *testing.T) {
	c, err := LoadCoordinator("", []Flag{{"--id", "id", "c2"}, {"--bind", "bind", "10.0.0.1:7070"}, {"--certs", "certs", "x"}, {"--election-timeout", "election_timeout", "1s"}})
	if err != nil {
		t.Fatal(err)
	}
	want := &Coordinator{ID: "c2", Bind: "10.0.0.1:7070", Advertise: "10.0.0.1:7070", Dir: "coordinator-c2", RaftDir: "coordinator-c2/raft", Peers: map[string]string{"c2": "10.0.0.1:7070"}, Certs: "x",
		ElectionTimeout: time.Second, WorkerTimeout: 1500 * time.Millisecond, Log: "info"}
	if !reflect.DeepEqual(c, want) {
		t.Errorf("%+v, want %+v", c, want)
	}
	c, err = LoadCoordinator("", []Flag{{"--peers", "peers", "c1=h:1, c2=h:2,c3=[::1]:3"}, {"--join", "join", "a:1,b:2"}})
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(c.Peers, map[string]string{"c1": "h:1", "c2": "h:2", "c3": "[::1]:3"}) || !slices.Equal(c.Join, []string{"a:1", "b:2"}) {
		t.Errorf("peers %v, join %v", c.Peers, c.Join)
	}
	if _, err := LoadCoordinator("", []Flag{{"--peers", "peers", "c1"}}); err == nil || !strings.Contains(err.Error(), "--peers: peers.c1: \"\" is not an address") {
		t.Errorf("a peer without an address gives %v", err)
	}
	for _, test := range []struct {
		flags []Flag
		want  string
	}{
		{nil, "join is missing: name a coordinator's host:port (in the file, or by --join)"},
		{[]Flag{{"--join", "join", "nowhere"}}, "--join: join[0]: nowhere is not an address; write host:port, like 10.0.0.1:7070"},
		{[]Flag{{"--join", "join", "b:1,a:0"}}, "--join: join[1]: a:0 has no port number from 1 to 65535"},
		{[]Flag{{"--join", "join", "a:1"}, {"--id", "id", ""}}, `--id: id "" must be 1 to 64 letters, digits, '-', '_' or '.'`},
		{[]Flag{{"--join", "join", "a:1"}, {"--threads", "threads", "-1"}}, "--threads: threads must be from 0 to 1024, not -1"},
	} {
		if _, err := LoadWorker("", test.flags); err == nil || err.Error() != test.want {
			t.Errorf("%v gives %v, want %s", test.flags, err, test.want)
		}
	}
	for _, test := range []struct {
		flags []Flag
		want  string
	}{
		{[]Flag{{"--bind", "bind", "x"}}, "--bind: bind: x is not an address; write host:port, like 10.0.0.1:7070"}, // and not what follows from it
		{[]Flag{{"--id", "id", ""}}, `--id: id "" must be 1 to 64 letters, digits, '-', '_' or '.'`},
		{[]Flag{{"--advertise", "advertise", "x"}}, "--advertise: advertise: x is not an address; write host:port, like 10.0.0.1:7070"},
		{[]Flag{{"--peers", "peers", "c1=x"}}, "--peers: peers.c1: x is not an address; write host:port, like 10.0.0.1:7070"},
	} {
		if _, err := LoadCoordinator("", test.flags); err == nil || err.Error() != test.want {
			t.Errorf("%v gives %v, want %s", test.flags, err, test.want)
		}
	}
	bad := filepath.Join(t.TempDir(), "c.yaml")
	for text, want := range map[string]string{"\tjoin: [a:1]": ":1:5: is not YAML: there is a tab", "- join": ":1:1: the file must be a mapping (key: value), not a list"} {
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadWorker(bad, nil); err == nil || !strings.HasPrefix(err.Error(), bad+want) || strings.Contains(err.Error(), "join is missing") {
			t.Errorf("%q gives %v", text, err)
		}
	}
	if err := os.WriteFile(bad, []byte("id: c1\npeers: {c2: 'h:1', c3: 'h:2'}\nelection_timeout: 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadCoordinator(bad, nil)
	wantText := bad + ":2:8: peers must list 1, 3 or 5 coordinators, not 2; " + bad + ":2:8: peers must list this coordinator (id c1) too, or name those to join by join; " +
		bad + ":3:19: election_timeout must be a duration like 300ms or 2s, not 5"
	if err == nil || err.Error() != wantText {
		t.Errorf("%v, want %s", err, wantText)
	}
	if _, err = LoadWorker("testdata/none.yaml", nil); err == nil || !strings.Contains(err.Error(), "cannot read the worker's file testdata/none.yaml: no such file") {
		t.Errorf("a missing file gives %v", err)
	}
}

// Beyond loopback there is nothing without certificates.
func TestSecureByDefault(t *testing.T) {
	const remedy = "is beyond loopback, where everything speaks mutual TLS; make certificates (ringmaster certs init; ringmaster certs node ID --role "
	coordinator := func(flags ...Flag) error { _, err := LoadCoordinator("", flags); return err }
	worker := func(flags ...Flag) error {
		_, err := LoadWorker("", append(flags, Flag{"--join", "join", "127.0.0.1:1,name:2"}))
		return err
	}
	for _, test := range []struct {
		err  error
		want string // "": none
	}{
		{coordinator(), ""},
		{coordinator(Flag{"--bind", "bind", "127.0.0.9:7070"}), ""},
		{coordinator(Flag{"--bind", "bind", "localhost:7070"}), ""},
		{coordinator(Flag{"--bind", "bind", "[::1]:7070"}), ""},
		{coordinator(Flag{"--bind", "bind", ":7070"}), "--bind: bind: :7070 " + remedy + "coordinator"},
		{coordinator(Flag{"--bind", "bind", "0.0.0.0:7070"}), "--bind: bind: 0.0.0.0:7070 " + remedy},
		{coordinator(Flag{"--bind", "bind", "[::]:7070"}), "--bind: bind: [::]:7070 " + remedy},
		{coordinator(Flag{"--advertise", "advertise", "10.1.1.1:7070"}), "--advertise: advertise: 10.1.1.1:7070 " + remedy},
		{coordinator(Flag{"--peers", "peers", "c1=127.0.0.1:1,c2=10.0.0.2:1,c3=10.0.0.3:1"}), "--peers: peers.c2: 10.0.0.2:1 " + remedy},
		{coordinator(Flag{"--peers", "peers", "c1=127.0.0.1:1,c2=10.0.0.2:1,c3=10.0.0.3:1"}, Flag{"--certs", "certs", "x"}), ""},
		{coordinator(Flag{"--join", "join", "10.0.0.2:1"}), "--join: join[0]: 10.0.0.2:1 " + remedy},
		{coordinator(Flag{"--bind", "bind", "nonsense"}), "--bind: bind: nonsense is not an address"},
		{worker(), ""},
		{worker(Flag{"--bind", "bind", "0.0.0.0:0"}), "--bind: bind: 0.0.0.0:0 " + remedy + "worker"},
		{worker(Flag{"--bind", "bind", "0.0.0.0:0"}, Flag{"--certs", "certs", "x"}), ""},
	} {
		if test.want == "" && test.err != nil || test.want != "" && (test.err == nil || !strings.HasPrefix(test.err.Error(), test.want)) {
			t.Errorf("%v, want %q", test.err, test.want)
		}
	}
	w, err := LoadWorker("", []Flag{{"--join", "join", "10.0.0.1:7070"}, {"--certs", "certs", "x"}})
	if err != nil || w.Bind != "0.0.0.0:0" {
		t.Errorf("with a certificate a worker listens on %+v, %v", w, err)
	}
	c, err := LoadCoordinator("", []Flag{{"--peers", "peers", "c1=localhost:7071,c2=localhost:7072,c3=localhost:7073"}, {"--id", "id", "c2"}})
	if err != nil || c.Advertise != "localhost:7072" {
		t.Errorf("advertises %+v, %v; want what its peers are told", c, err)
	}
}

// Whatever a machine is called, the default id is valid and differs between machines.
func TestDefaultID(t *testing.T) {
	pod := strings.Repeat("a", 57)
	seen := map[string]string{}
	for _, host := range []string{"node7", pod + "-x1", pod + "-x2", strings.Repeat("b", 63), strings.Repeat("ä", 200), "", "-a", ".b", "my host", "_c", "a.b.c."} {
		id := DefaultID(host, 40001)
		if !validName(id) || !strings.HasSuffix(id, "-40001") {
			t.Errorf("%q has the id %q", host, id)
		}
		if other, twice := seen[id]; twice {
			t.Errorf("%q and %q share the id %q", host, other, id)
		}
		seen[id] = host
	}
	if id := DefaultID("node7", 1); id != "node7-1" {
		t.Errorf("an ordinary name becomes %q", id)
	}
}

// Where all coordinators have the same flags, those that are not among the founders join them.
func TestACoordinatorThatIsNoFounderJoins(t *testing.T) {
	flags := []Flag{{"--peers", "peers", "c1=h:1"}, {"--join", "join", "h:2"}}
	c, err := LoadCoordinator("", append(flags, Flag{"--id", "id", "c2"}))
	if err != nil || len(c.Peers) > 0 || !slices.Equal(c.Join, []string{"h:2", "h:1"}) {
		t.Errorf("%+v, %v", c, err)
	}
	c, err = LoadCoordinator("", append(flags, Flag{"--id", "id", "c1"}))
	if err != nil || c.Peers["c1"] != "h:1" || !slices.Equal(c.Join, []string{"h:2"}) {
		t.Errorf("the founder: %+v, %v", c, err)
	}
}
