package node

import (
	"path/filepath"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const job = `seed: 1
seats: 4
model: {kind: mlp, layers: [784, 32, 10]}
data: {kind: glyphs}
train: {steps: 1500, batch_per_seat: 8, optimizer: {kind: adam, lr: 0.001}}
checkpoint: {every_steps: 200}
`

// The pods of the charts train on a real API server with its real controllers, while workers are scaled and a coordinator is made again at
// another address, and the digest is that of one worker alone. A run goes on after it was suspended, and a wrong one fails its Job.
func TestPodsTrain(t *testing.T) {
	c := up(t)
	c.namespace()
	faults := c.claim("faults")
	results := c.claim("results")
	c.faults = filepath.Join(faults, "slow")
	file := c.write("job.yaml", job)
	want := c.reference(file)

	c.do("ringmaster", "certs", "init", "--dir", "authority")
	c.do("kubectl", "create", "secret", "generic", "ringmaster-authority", "--from-file", "authority")
	c.do("helm", "install", "ringmaster", filepath.Join(c.charts, "cluster"), "--namespace", "training", "--values", c.write("values.yaml", `
coordinators: {replicas: 3}
workers:
  replicas: 2
  resources: {requests: {cpu: "1", memory: 256Mi}, limits: {memory: 1Gi}}
  env: [{name: RINGMASTER_FAULTS, value: /faults/slow}]
  volumes: [{name: faults, persistentVolumeClaim: {claimName: faults}}]
  volumeMounts: [{name: faults, mountPath: /faults}]
`))
	c.ready("coordinator", 3)
	c.ready("worker", 2)

	release := c.slow()
	run := filepath.Join(c.charts, "run")
	c.do("helm", "install", "first", run, "--namespace", "training", "--set-file", "job=job.yaml", "--set", "results.claim=results")
	c.steps("first", 5)
	c.do("kubectl", "scale", "deployment", "ringmaster-worker", "--replicas", "3")
	c.ready("worker", 3)
	c.steps("first", 5)
	old := c.address("ringmaster-coordinator-0")
	c.do("kubectl", "delete", "pod", "ringmaster-coordinator-0", "--wait=false")
	c.until("the coordinator is there again, elsewhere", func() bool {
		at := c.address("ringmaster-coordinator-0")
		return at != "" && at != old
	})
	c.ready("coordinator", 3)
	c.steps("first", 5)
	c.do("kubectl", "scale", "deployment", "ringmaster-worker", "--replicas", "1")
	c.ready("worker", 1)
	c.steps("first", 5)
	release()
	c.do("kubectl", "wait", "--for=condition=complete", "job/first", "--timeout=180s")
	if log := c.do("kubectl", "logs", "job/first"); !strings.Contains(log, want) {
		t.Errorf("the log does not tell the digest %s: %s", want, log)
	}
	s := c.summary(filepath.Join(results, "first.json"))
	causes := map[string]bool{}
	for _, v := range s.Views {
		causes[v.Cause] = true
		t.Logf("%d workers: %s", v.Workers, v.Reason)
	}
	if s.State != "done" || s.Digest != want || !causes["joined"] || !causes["left"] || causes["worker lost"] {
		t.Errorf("the run: %+v, want digest %s, a worker that joined and two that left", s, want)
	}
	c.suspended(run, want)
	c.wrong(run)
}

// suspended suspends a run and lets it go on.
func (c *cluster) suspended(run, want string) {
	c.t.Helper()
	release := c.slow()
	c.do("helm", "install", "second", run, "--namespace", "training", "--set-file", "job=job.yaml")
	c.steps("second", 5)
	c.do("kubectl", "patch", "job", "second", "--type=merge", "--patch", `{"spec":{"suspend":true}}`)
	c.until("the suspended run is paused", func() bool { return c.jobs()["second"].State == "paused" })
	c.do("kubectl", "patch", "job", "second", "--type=merge", "--patch", `{"spec":{"suspend":false}}`)
	c.steps("second", 5)
	release()
	c.do("kubectl", "wait", "--for=condition=complete", "job/second", "--timeout=180s")
	if j := c.jobs(); len(j) != 2 || j["second"].State != "done" || j["second"].Digest != want {
		c.t.Errorf("after the suspended run the cluster has %+v", j)
	}
}

// wrong installs a run whose job file is wrong.
func (c *cluster) wrong(run string) {
	c.t.Helper()
	c.write("wrong.yaml", strings.Replace(job, "784", "785", 1))
	c.do("helm", "install", "wrong", run, "--namespace", "training", "--set-file", "job=wrong.yaml")
	c.do("kubectl", "wait", "--for=condition=failed", "job/wrong", "--timeout=120s")
	if why := c.do("kubectl", "get", "job", "wrong", "--output=jsonpath={.status.conditions[*].reason}"); !strings.Contains(why, "PodFailurePolicy") {
		c.t.Errorf("a wrong job failed because of %s", why)
	}
}

// address is a pod's, once it has one.
func (c *cluster) address(name string) string {
	p, err := c.plane.API.CoreV1().Pods("training").Get(c.ctx, name, metav1.GetOptions{})
	if err != nil {
		return ""
	}
	return p.Status.PodIP
}
