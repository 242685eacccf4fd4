package slurm

import (
	"bytes"
	"crypto/rand"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// The programs that a Slurm of the test's own consists of.
var programs = []string{"munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol", "scancel"}

// patience bounds how long anything may take: the machine may be busy.
const patience = 3 * time.Minute

// long is a training that is worth interrupting.
var long = []string{"--interface", "lo", "--progress", "plain", "--set", "train.epochs=12"}

// controller is a Slurm with two nodes, both of them this machine.
type controller struct {
	t    *testing.T
	dir  string
	path string // PATH with ringmaster
}

const configuration = `
ClusterName=ringmaster
SlurmctldHost=%[1]s(127.0.0.1)
SlurmctldPort=%[3]d
AuthType=auth/munge
AuthInfo=socket=%[2]s/munge.sock
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=%[2]s/state
SlurmdSpoolDir=%[2]s/spool.%%n
SlurmctldPidFile=%[2]s/slurmctld.pid
SlurmdPidFile=%[2]s/slurmd.%%n.pid
SlurmctldLogFile=%[2]s/slurmctld.log
SlurmdLogFile=%[2]s/slurmd.%%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
SlurmdTimeout=10
ReturnToService=2
KillWait=20
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName=n[1-2] NodeHostname=%[1]s NodeAddr=127.0.0.1 Port=[%[4]d-%[5]d] CPUs=1
PartitionName=low Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1
PartitionName=high Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10
`

// start starts a Slurm, or skips the test where it cannot be.
func start(t *testing.T) *controller {
	t.Helper()
	if os.Getenv("RINGMASTER_SLURM") == "" {
		t.Skip("a Slurm of its own takes two minutes: make slurm")
	}
	if os.Getuid() != 0 {
		t.Skip("only root can start a Slurm")
	}
	for _, p := range programs {
		if _, err := exec.LookPath(p); err != nil {
			t.Skipf("%s is not installed (Debian: slurm-wlm and munge)", p)
		}
	}
	dir, err := os.MkdirTemp("", "slurm") // whose path is short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	c := &controller{t: t, dir: dir, path: filepath.Join(dir, "bin") + ":" + os.Getenv("PATH")}
	c.must(exec.Command("go", "build", "-o", filepath.Join(dir, "bin")+"/", "ringmaster/cmd/ringmaster"))
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ = strings.Cut(host, ".")
	const port = 21700
	if err := os.WriteFile(filepath.Join(dir, "slurm.conf"), fmt.Appendf(nil, configuration, host, dir, port, port+1, port+2), 0o600); err != nil {
		t.Fatal(err)
	}
	key := make([]byte, 1024)
	_, _ = rand.Read(key) // which never fails
	if err := os.WriteFile(filepath.Join(dir, "munge.key"), key, 0o400); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SLURM_CONF", filepath.Join(dir, "slurm.conf"))
	c.daemon("munged", "--foreground", "--force", "--socket="+dir+"/munge.sock", "--key-file="+dir+"/munge.key", "--pid-file="+dir+"/munged.pid", "--log-file="+dir+"/munged.log", "--seed-file="+dir+"/seed")
	c.eventually("munge", func() bool { _, err := os.Stat(dir + "/munge.sock"); return err == nil })
	c.daemon("slurmctld", "-D")
	c.daemon("slurmd", "-D", "-N", "n1")
	c.daemon("slurmd", "-D", "-N", "n2")
	c.eventually("both nodes", func() bool { return strings.Count(c.out("sinfo", "-h", "-N", "-p", "low", "-t", "idle"), "idle") == 2 })
	return c
}

// daemon starts a program that runs until the test ends.
func (c *controller) daemon(name string, args ...string) *exec.Cmd {
	c.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		ended := make(chan struct{})
		go func() { _ = cmd.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			<-ended
		}
	})
	return cmd
}

func (c *controller) must(cmd *exec.Cmd) string {
	c.t.Helper()
	cmd.Env = append(os.Environ(), "PATH="+c.path)
	if cmd.Dir == "" && cmd.Args[0] != "go" {
		cmd.Dir = c.dir
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		c.t.Fatalf("%v: %v: %s", cmd.Args, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

func (c *controller) out(name string, args ...string) string {
	out, _ := exec.Command(name, args...).Output() // what fails says nothing, and is asked again
	return string(out)
}

func (c *controller) eventually(what string, cond func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); !cond(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(deadline) {
			logs, _ := filepath.Glob(c.dir + "/*.log") // what there is
			for _, log := range logs {
				text, _ := os.ReadFile(log)
				c.t.Logf("%s:\n%s", log, text[max(0, len(text)-4000):])
			}
			c.t.Fatalf("%s did not come: %s", what, c.out("scontrol", "show", "job"))
		}
	}
}

// submit submits the batch script of the project and returns the job's id.
func (c *controller) submit(options ...string) string {
	c.t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		c.t.Fatal(err)
	}
	args := append([]string{"--parsable", "--output=" + c.dir + "/%j.log"}, options...)
	args = append(args, filepath.Join(root, "configs/slurm/train.sbatch"), filepath.Join(root, "configs/quickstart.yaml"))
	return c.must(exec.Command("sbatch", append(args, long...)...))
}

func (c *controller) log(job string) string {
	text, _ := os.ReadFile(filepath.Join(c.dir, job+".log")) // not there yet
	return string(text)
}

var stepLine = regexp.MustCompile(`(?m)^step (\d+)/`)

// reaches waits until a job has made at least this number of steps.
func (c *controller) reaches(job string, steps int) {
	c.t.Helper()
	c.eventually(fmt.Sprintf("step %d of job %s", steps, job), func() bool {
		for _, m := range stepLine.FindAllStringSubmatch(c.log(job), -1) {
			if n, _ := strconv.Atoi(m[1]); n >= steps {
				return true
			}
		}
		return false
	})
}

var digestLine = regexp.MustCompile(`(?m)^  digest +([0-9a-f]{64})$`)

// digest waits for a job's end and returns its digest.
func (c *controller) digest(job string) string {
	c.t.Helper()
	c.eventually("the end of job "+job, func() bool { return strings.Contains(c.log(job), ", done after step 7500") })
	found := digestLine.FindAllStringSubmatch(c.log(job), -1)
	if len(found) == 0 {
		c.t.Fatalf("job %s has no digest:\n%s", job, c.log(job))
	}
	return found[len(found)-1][1]
}

// TestSlurm trains one job in a real Slurm: on one node, on two, warned and requeued, preempted, and with a node that is lost. The bits are the same.
func TestSlurm(t *testing.T) {
	c := start(t)
	want := c.digest(c.submit("--nodes=1"))
	check := func(how, job string, wants ...string) {
		t.Helper()
		if got := c.digest(job); got != want {
			t.Errorf("%s: digest %s, on one node %s", how, got, want)
		}
		for _, text := range wants {
			if !strings.Contains(c.log(job), text) {
				t.Errorf("%s: nothing says %q:\n%s", how, text, c.log(job))
			}
		}
	}
	check("two nodes", c.submit())

	job := c.submit()
	c.reaches(job, 1000)
	c.must(exec.Command("scancel", "--batch", "--signal=TERM", job))
	c.eventually("the requeue", func() bool { return strings.Contains(c.out("scontrol", "show", "job", job), "Restarts=1") })
	c.restart(job)
	check("warned", job, "going on from step")

	job = c.submit()
	c.reaches(job, 1000)
	urgent := c.must(exec.Command("sbatch", "--parsable", "--partition=high", "--nodes=2", "--output=/dev/null", "--wrap=sleep 2"))
	c.eventually("the preemption", func() bool { return strings.Contains(c.out("scontrol", "show", "job", job), "Restarts=1") })
	c.eventually("the urgent job's end", func() bool { return strings.Contains(c.out("scontrol", "show", "job", urgent), "JobState=COMPLETED") })
	c.restart(job)
	check("preempted", job)

	job = c.submit()
	c.reaches(job, 1000)
	c.lose("n2")
	check("a node lost", job, "1 worker")
}

// restart starts a requeued job before the two minutes have passed that Slurm waits. Not at once: a node refuses a job by its number for
// seconds after it ended it.
func (c *controller) restart(job string) {
	c.t.Helper()
	c.eventually("the requeued job", func() bool { return strings.Contains(c.out("scontrol", "show", "job", job), "JobState=PENDING") })
	time.Sleep(5 * time.Second)
	c.must(exec.Command("scontrol", "update", "JobId="+job, "StartTime=now"))
}

// lose kills everything that runs on a node.
func (c *controller) lose(node string) {
	c.t.Helper()
	entries, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		c.t.Fatal(err)
	}
	lost := 0
	for _, path := range entries {
		pid, _ := strconv.Atoi(strings.Split(path, "/")[2])
		environ, _ := os.ReadFile(path) // of a process that has ended
		line, _ := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"))
		ours := bytes.Contains(environ, []byte("SLURM_CONF="+c.dir))
		task := bytes.Contains(environ, []byte("SLURMD_NODENAME="+node+"\x00"))
		daemon := bytes.HasPrefix(line, []byte("slurmd\x00")) && bytes.Contains(line, []byte("\x00"+node+"\x00"))
		if ours && (task || daemon) {
			_ = syscall.Kill(pid, syscall.SIGKILL) // it may have ended
			lost++
		}
	}
	if lost < 2 {
		c.t.Fatalf("%d processes ran on %s", lost, node)
	}
}
