package ssh

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"ringmaster/internal/fleet"
)

var digestLine = regexp.MustCompile(`(?m)^ +digest +([0-9a-f]{64})$`)

func digest(t *testing.T, text string) string {
	t.Helper()
	found := digestLine.FindStringSubmatch(text)
	if found == nil {
		t.Fatalf("there is no digest in\n%s", text)
	}
	return found[1]
}

// The document's commands are typed as they are written, on machines with the addresses that it names, and reach the digest that README shows.
func TestTheDocument(t *testing.T) {
	l := newLab(t, 2)
	text, err := os.ReadFile("../../../docs/two-machines.md")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	count := 0
	for line := range strings.Lines(string(text)) {
		line, isCode := strings.CutPrefix(strings.TrimRight(line, "\n"), "    ")
		if !isCode {
			continue
		}
		count++
		out := l.enter(0, line)
		switch {
		case strings.HasSuffix(line, "ringmaster up"):
			l.has(out, "1 coordinator and 2 workers run", "2 workers attached")
			l.has(l.enter(0, line), "nothing was to change")
		case strings.Contains(line, "submit"):
			if got, want := digest(t, out), digest(t, string(readme)); got != want {
				t.Errorf("digest %s, README shows %s", got, want)
			}
		}
	}
	if count < 7 {
		t.Errorf("the document has only %d commands", count)
	}
	l.enter(0, "bin/ringmaster down --purge")
	for host := 1; host <= 2; host++ {
		if left, err := os.ReadDir(l.home(host) + "/.local/share/ringmaster"); err != nil || len(left) > 0 {
			t.Errorf("down --purge left %v, %v", left, err)
		}
	}
	keys, err := filepath.Glob(l.path("hosts-cluster/certs/*"))
	if err != nil || len(keys) == 0 {
		t.Errorf("the authority is gone: %v, %v", keys, err)
	}
}

// report asks for the hosts as JSON.
func (l *lab) report(file string) *fleet.Report {
	l.t.Helper()
	out, _ := l.typed("bin/ringmaster hosts " + file + " --json").Output() // exit code 1 where something does not run
	var r fleet.Report
	if err := json.Unmarshal(out, &r); err != nil {
		l.t.Fatalf("%v: %s", err, out)
	}
	return &r
}

func hostsFile(numbers ...int) string {
	text := "hosts:\n"
	for _, n := range numbers {
		text += fmt.Sprintf("- {ssh: alice@%s, name: n%d, threads: 1}\n", address(n), n)
	}
	return text
}

// A job goes on through whatever happens to its hosts, and comes to the same bits as on one machine.
func TestHostsComeAndGoUnderAJob(t *testing.T) {
	l := newLab(t, 4)
	const long = " configs/quickstart.yaml --set train.epochs=40 --set checkpoint.every_steps=1000"
	want := digest(t, l.enter(0, "bin/ringmaster launch"+long+" --workers 2 --threads 1 --progress none"))
	l.write("lab.yaml", hostsFile(1, 2, 3))
	l.has(l.enter(0, "bin/ringmaster up lab.yaml"), "3 coordinators and 3 workers run, 6 daemons changed", "3 workers attached")
	l.enter(0, "bin/ringmaster submit"+long+" --cluster lab.yaml --detach")
	l.reaches(500)

	// A daemon is killed.
	pid := 0
	for _, d := range l.report("lab.yaml").Hosts[1].Daemons {
		if d.ID == "n2-w1" {
			pid = d.PID
		}
	}
	if out, err := l.on(2, fmt.Sprintf("kill -9 %d", pid)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	l.has(l.enter(1, "bin/ringmaster hosts lab.yaml"), "n2-w1", "ended")
	out := l.enter(0, "bin/ringmaster up lab.yaml")
	l.has(out, "n2: n2-w1 started", "3 workers run, 1 daemon changed")

	// A host is cut off. The others go on, and it is named.
	l.link(3, "down")
	out = l.enter(1, "bin/ringmaster up lab.yaml")
	l.has(out, "ringmaster: n3: ssh: ", "1 of 3 hosts failed: n3", "nothing was to change")
	l.link(3, "up")
	l.eventually("host 3 after its link is back", func() bool { return len(l.report("lab.yaml").Cluster.Workers) == 3 })

	// One coordinator is replaced by another, on a host that is new.
	l.write("lab.yaml", hostsFile(1, 2, 4))
	out = l.enter(0, "bin/ringmaster up lab.yaml")
	l.has(out, "n4: n4-c started", "n3: n3-c stopped", "n3: is no part of the cluster any more", "3 coordinators and 3 workers run")
	if list := l.enter(0, "bin/ringmaster coordinators list --cluster lab.yaml"); strings.Contains(list, "n3-c") || strings.Count(list, "\n") != 3 {
		t.Errorf("the coordinators are\n%s", list)
	}

	// Everything is stopped in the middle, and started again.
	l.has(l.enter(0, "bin/ringmaster down lab.yaml"), "saved a checkpoint of quickstart", "nothing of the cluster runs any more")
	if out, err := l.on(1, "ps ax | grep -c '[h]ost worker'").CombinedOutput(); strings.TrimSpace(string(out)) != "0" {
		t.Errorf("workers still run after down: %s, %v", out, err)
	}
	l.enter(0, "bin/ringmaster up lab.yaml")
	l.eventually("the job's end", func() bool { return l.job().State == "done" })
	if got := l.job().Digest; got != want {
		t.Errorf("digest %s, launch has %s", got, want)
	}
	l.enter(0, "bin/ringmaster down lab.yaml --purge")
}

// jobState is what jobs list --json says of the job.
type jobState struct {
	State  string `json:"state"`
	Step   int    `json:"step"`
	Digest string `json:"digest"`
}

func (l *lab) job() jobState {
	l.t.Helper()
	out, _ := l.typed("bin/ringmaster status --cluster lab.yaml --json").Output() // the cluster may be about to elect
	var j jobState
	_ = json.Unmarshal(out, &j) // then it says nothing
	return j
}

// reaches waits until the job has made at least this number of steps.
func (l *lab) reaches(steps int) {
	l.t.Helper()
	l.eventually(fmt.Sprintf("step %d", steps), func() bool { return l.job().Step >= steps })
}

// What does not work on a host is said in one line, and keeps no other from working.
func TestHostsThatFail(t *testing.T) {
	l := newLab(t, 4)
	l.write("lab.yaml", hostsFile(1, 2)+"- {ssh: alice@10.0.0.77, address: 10.0.0.77}\n- {ssh: nobody@10.0.0.1, name: stranger}\n- {ssh: alice@10.0.0.4, name: n4}\n")

	// Another key than the known one, and no room on the disk.
	l.key(2)
	_ = l.on(2, "kill 1").Run()
	l.reboot(2)
	if out, err := l.on(4, "mkdir -p /home/alice/.local && mount -t tmpfs -o size=4m,mode=777 tmpfs /home/alice/.local").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out := l.enter(1, "bin/ringmaster up lab.yaml")
	l.has(out, "ringmaster: n2: ssh: the host's key has changed.", "known_hosts:2", "ssh-keygen -R",
		"ringmaster: 10.0.0.77: ssh: connect to host 10.0.0.77 port 22: ", "ringmaster: stranger: ssh: nobody@10.0.0.1: Permission denied", "ssh-copy-id nobody@10.0.0.1",
		"ringmaster: n4: gzip: stdout: No space left on device", "n1: n1-c started", "4 of 5 hosts failed: n2, 10.0.0.77, stranger, n4")

	// A folder that may not be written, a host that hangs, and one on which the port is taken.
	l.write("other.yaml", hostsFile(1, 3, 4))
	_ = l.on(4, "umount /home/alice/.local; mkdir -p /home/alice/.local; chown root:root /home/alice/.local; chmod 755 /home/alice/.local").Run()
	l.freeze(3)
	out = l.enter(1, "bin/ringmaster up other.yaml")
	l.has(out, "ringmaster: n3: ssh: Connection to 10.0.0.3 port 22 timed out", "ringmaster: n4: mkdir: cannot create directory", "Permission denied",
		"ringmaster: n1: n1-c: ", "address already in use", "n1-c, which is to found the cluster, is not up, so nothing else was started; 3 of 3 hosts failed: n1, n3, n4")
	l.enter(0, "sed -i '/77\\|nobody\\|alice@10.0.0.2\\|alice@10.0.0.4/d' lab.yaml")
	l.has(l.enter(0, "bin/ringmaster up lab.yaml"), "1 coordinator and 1 worker run, nothing was to change")
	l.enter(0, "bin/ringmaster down lab.yaml")
}

// reboot starts a host whose first process was told to end.
func (l *lab) reboot(host int) {
	l.t.Helper()
	if err := os.Remove(l.path(fmt.Sprint(host), "sshd.log")); err != nil {
		l.t.Fatal(err)
	}
	l.boot(host)
}

// Ctrl-C in the middle leaves nothing half done: the next up goes on.
func TestInterrupted(t *testing.T) {
	l := newLab(t, 1)
	l.must("ip", "netns", "exec", l.space(laptop), "tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "20mbit", "burst", "64kb", "latency", "400ms")
	l.write("lab.yaml", hostsFile(1))
	cmd := l.typed("bin/ringmaster up lab.yaml")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	first := make([]byte, 100)
	n, _ := out.Read(first)
	l.has(string(first[:n]), "n1: copying ringmaster")
	bin := l.home(1) + "/.local/share/ringmaster/lab/bin"
	l.eventually("a part of the copy", func() bool { parts, _ := filepath.Glob(bin + "/.ringmaster-*"); return len(parts) == 1 })
	if err := syscall.Kill(-cmd.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // the code tells
	if code := cmd.ProcessState.ExitCode(); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
	l.eventually("the copy's end", func() bool { parts, _ := filepath.Glob(bin + "/.ringmaster-*"); return len(parts) == 0 })
	began := time.Now()
	l.has(l.enter(0, "bin/ringmaster up lab.yaml"), "1 coordinator and 1 worker run")
	t.Logf("up took %v", time.Since(began))
	l.enter(0, "bin/ringmaster down lab.yaml")
}
