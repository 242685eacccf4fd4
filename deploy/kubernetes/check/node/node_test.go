package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The variables by which make kubernetes says where the programs are.
const (
	kubernetesVariable = "RINGMASTER_KUBERNETES" // etcd, kube-apiserver, kube-controller-manager, kubectl, helm
	programsVariable   = "RINGMASTER_PROGRAMS"   // bin with ringmaster, coordinator, worker
)

func TestMain(m *testing.M) {
	MaybeContainer()
	os.Exit(m.Run())
}

// patience is for anything that is waited for; a loaded machine starts a pod in seconds.
const patience = 90 * time.Second

// cluster is a Kubernetes of one node, under a test.
type cluster struct {
	t      *testing.T
	ctx    context.Context
	dir    string // of the test's own files
	charts string
	tools  string
	plane  *ControlPlane
	node   *Node
	faults string // the file that slows the workers down
}

// up starts it, with volumes for claims.
func up(t *testing.T) *cluster {
	t.Helper()
	tools, programs := os.Getenv(kubernetesVariable), os.Getenv(programsVariable)
	if tools == "" || programs == "" || os.Getuid() != 0 {
		t.Skip("needs root in a network namespace of its own and the programs of Kubernetes: make kubernetes")
	}
	ctx, cancel := context.WithCancel(context.Background())
	dir := t.TempDir()
	c := &cluster{t: t, ctx: ctx, dir: dir, charts: filepath.Join("..", ".."), tools: tools}
	if absolute, err := filepath.Abs(c.charts); err == nil {
		c.charts = absolute
	}
	net, err := OpenNetwork()
	if err != nil {
		t.Fatal(err)
	}
	starting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	c.plane, err = StartControlPlane(starting, tools, dir)
	t.Cleanup(func() { c.plane.Stop() })
	if err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(dir, "node.log"))
	if err != nil {
		t.Fatal(err)
	}
	say := func(format string, args ...any) {
		fmt.Fprintf(log, "%s "+format+"\n", append([]any{time.Now().Format(time.TimeOnly)}, args...)...)
	}
	var wait func()
	c.node, wait, err = Start(ctx, c.plane.API, net, dir, filepath.Dir(programs), say)
	t.Cleanup(func() {
		if t.Failed() {
			c.tell()
		}
		cancel()
		if wait != nil {
			wait()
		}
		log.Close()
	})
	if err != nil {
		t.Fatal(err)
	}
	c.prepare()
	return c
}

// tell logs what is known after a failure.
func (c *cluster) tell() {
	for _, path := range append(files(c.dir, "*.log"), files(c.dir, "logs/*.log")...) {
		if text, err := os.ReadFile(path); err == nil {
			c.t.Logf("%s:\n%s", filepath.Base(path), tail(text, 4000))
		}
	}
	out, _ := c.try("kubectl", "get", "pods,jobs,sts,deploy,pvc,endpointslices", "-o", "wide")
	c.t.Log(out)
}

func files(dir, pattern string) []string {
	found, _ := filepath.Glob(filepath.Join(dir, pattern))
	return found
}

func tail(text []byte, n int) []byte { return text[max(0, len(text)-n):] }

// prepare makes the volumes.
func (c *cluster) prepare() {
	c.t.Helper()
	var err error
	for i := range 8 {
		volume := &core.PersistentVolume{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("v%d", i)}, Spec: core.PersistentVolumeSpec{
			Capacity: core.ResourceList{core.ResourceStorage: resource.MustParse("10Gi")}, AccessModes: []core.PersistentVolumeAccessMode{core.ReadWriteOnce, core.ReadOnlyMany},
			PersistentVolumeSource: core.PersistentVolumeSource{HostPath: &core.HostPathVolumeSource{Path: filepath.Join(c.dir, "state", fmt.Sprintf("v%d", i))}}}}
		_, other := c.plane.API.CoreV1().PersistentVolumes().Create(c.ctx, volume, metav1.CreateOptions{})
		err = errors.Join(err, other)
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

// namespace makes one that admits restricted pods only.
func (c *cluster) namespace() {
	c.t.Helper()
	restricted := map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
	_, err := c.plane.API.CoreV1().Namespaces().Create(c.ctx, &core.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "training", Labels: restricted}}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.until("the namespace has its account", func() bool {
		_, err := c.plane.API.CoreV1().ServiceAccounts("training").Get(c.ctx, "default", metav1.GetOptions{})
		return err == nil
	})
}

// claim makes a claim that a volume is bound to and returns its folder.
func (c *cluster) claim(name string) string {
	c.t.Helper()
	_, err := c.plane.API.CoreV1().PersistentVolumeClaims("training").Create(c.ctx, &core.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: core.PersistentVolumeClaimSpec{AccessModes: []core.PersistentVolumeAccessMode{core.ReadWriteOnce},
			Resources: core.VolumeResourceRequirements{Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")}}}}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	at := ""
	c.until("claim "+name+" is bound", func() bool {
		claim, err := c.plane.API.CoreV1().PersistentVolumeClaims("training").Get(c.ctx, name, metav1.GetOptions{})
		if err == nil && claim.Status.Phase == core.ClaimBound {
			at = filepath.Join(c.dir, "state", claim.Spec.VolumeName)
		}
		return at != ""
	})
	if err := os.MkdirAll(at, 0o755); err != nil {
		c.t.Fatal(err)
	}
	return at
}

func (c *cluster) until(what string, ok func() bool) {
	c.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			c.t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// try runs a program: kubectl or helm with this cluster, or ringmaster.
func (c *cluster) try(name string, args ...string) (string, error) {
	path := filepath.Join(c.tools, name)
	if name == "ringmaster" {
		path = filepath.Join(os.Getenv(programsVariable), name)
	}
	ctx, cancel := context.WithTimeout(c.ctx, 10*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Dir = c.dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.plane.Kubeconfig, "HOME="+c.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return string(out), err
}

// do is try for what must not fail.
func (c *cluster) do(name string, args ...string) string {
	c.t.Helper()
	out, err := c.try(name, args...)
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// write makes a file of the test's folder.
func (c *cluster) write(name, text string) string {
	c.t.Helper()
	path := filepath.Join(c.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return path
}

// ready waits until a workload has n pods that are ready, and no others.
func (c *cluster) ready(workload string, n int) {
	c.t.Helper()
	c.until(fmt.Sprintf("%s has %d pods that are ready", workload, n), func() bool {
		pods, err := c.plane.API.CoreV1().Pods("training").List(c.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=" + workload})
		if err != nil || len(pods.Items) != n {
			return false
		}
		for _, p := range pods.Items {
			if !isReady(&p) || p.DeletionTimestamp != nil {
				return false
			}
		}
		return true
	})
}

func isReady(p *core.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == core.PodReady {
			return c.Status == core.ConditionTrue
		}
	}
	return false
}

// summary is what a run has written.
type summary struct {
	State, Digest string
	Step          int
	Views         []struct {
		Workers       int
		Cause, Reason string
	}
}

func (c *cluster) summary(path string) summary {
	c.t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		c.t.Fatal(err)
	}
	var s summary
	if err := json.Unmarshal(text, &s); err != nil {
		c.t.Fatal(err)
	}
	return s
}

// reference is the digest of the job on one worker, without Kubernetes.
func (c *cluster) reference(job string) string {
	c.t.Helper()
	out := filepath.Join(c.dir, "reference.json")
	c.do("ringmaster", "launch", job, "--workers", "1", "--dir", filepath.Join(c.dir, "reference"), "--summary", out, "--progress", "none")
	return c.summary(out).Digest
}

// slow makes the workers wait before each batch, until the returned function is called.
func (c *cluster) slow() (release func()) {
	c.t.Helper()
	if err := os.WriteFile(c.faults, []byte("read-delay 50ms\n"), 0o644); err != nil {
		c.t.Fatal(err)
	}
	return func() {
		if err := os.Remove(c.faults); err != nil {
			c.t.Fatal(err)
		}
	}
}

// steps waits until a job of the cluster has done n steps more than it has now.
func (c *cluster) steps(job string, n int) {
	c.t.Helper()
	first := -1
	c.until(fmt.Sprintf("job %s does %d steps more", job, n), func() bool {
		j, ok := c.jobs()[job]
		if ok && first < 0 {
			first = j.Step
		}
		return ok && j.Step >= first+n
	})
}

type listed struct {
	ID, State, Digest string
	Step, Workers     int
}

// jobs asks the coordinators, by a certificate of a person.
func (c *cluster) jobs() map[string]listed {
	all := map[string]listed{}
	pods, err := c.plane.API.CoreV1().Pods("training").List(c.ctx, metav1.ListOptions{LabelSelector: "app.kubernetes.io/component=coordinator"})
	if err != nil {
		return all
	}
	for _, p := range pods.Items {
		if !isReady(&p) {
			continue
		}
		out, err := c.try("ringmaster", "jobs", "--json", "--certs", filepath.Join(c.dir, "authority"), "--cluster", p.Status.PodIP+":7070")
		var list []listed
		if err != nil || json.NewDecoder(bytes.NewReader([]byte(out))).Decode(&list) != nil {
			continue
		}
		for _, j := range list {
			all[j.ID] = j
		}
		return all
	}
	return all
}
