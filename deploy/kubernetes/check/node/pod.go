package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	core "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/util/retry"
)

// pod is one pod's life on the node.
type pod struct {
	node      *Node
	spec      *core.Pod
	dir       string
	namespace string // of the network
	address   string
	mounts    map[string]string

	once   sync.Once
	ending chan struct{} // closed when it is to end
	grace  time.Duration
	over   atomic.Bool
}

// end asks the pod to end, once.
func (p *pod) end(grace time.Duration) {
	p.once.Do(func() {
		p.grace = grace
		close(p.ending)
	})
}

func (p *pod) isEnding() bool {
	select {
	case <-p.ending:
		return true
	default:
		return false
	}
}

func (p *pod) say(format string, args ...any) {
	p.node.log("%s: %s", p.spec.Name, fmt.Sprintf(format, args...))
}

// live runs the pod to its end.
func (p *pod) live(ctx context.Context) {
	defer p.over.Store(true)
	if phase := p.spec.Status.Phase; phase == core.PodSucceeded || phase == core.PodFailed {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	final, err := p.run(ctx)
	if err != nil && ctx.Err() == nil {
		p.say("%v", err)
	}
	if ctx.Err() != nil {
		return
	}
	if final != "" {
		p.report(ctx, func(s *core.PodStatus) {
			s.Phase = final
			p.condition(s, core.PodReady, false)
			p.condition(s, core.ContainersReady, false)
		})
	}
	p.over.Store(true)
	if p.namespace != "" {
		if err := p.node.network.remove(p.namespace); err != nil {
			p.say("%v", err)
		}
	}
	<-orDone(ctx, p.ending)
	now := int64(0)
	err = p.node.api.CoreV1().Pods(p.spec.Namespace).Delete(ctx, p.spec.Name, metav1.DeleteOptions{GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(p.spec.UID))})
	p.say("is gone: %v", err)
}

func orDone(ctx context.Context, c <-chan struct{}) <-chan struct{} {
	out := make(chan struct{})
	go func() {
		defer close(out)
		select {
		case <-ctx.Done():
		case <-c:
		}
	}()
	return out
}

// run prepares the pod and runs its containers; it returns the phase in which it ended.
func (p *pod) run(ctx context.Context) (core.PodPhase, error) {
	said := ""
	for p.mounts == nil {
		var err error
		if p.mounts, err = p.volumes(ctx); err != nil && err.Error() != said {
			said = err.Error()
			p.say("waits: %v", err)
		}
		if p.mounts == nil && !p.sleep(ctx, look) {
			return core.PodFailed, nil
		}
	}
	var err error
	if p.namespace, p.address, err = p.node.network.add(); err != nil {
		return "", err
	}
	if err := p.etc(); err != nil {
		return "", err
	}
	p.report(ctx, func(s *core.PodStatus) {
		s.Phase, s.HostIP, s.PodIP, s.PodIPs = core.PodPending, Address, p.address, []core.PodIP{{IP: p.address}}
		started := metav1.Now()
		s.StartTime = &started
	})
	for i := range p.spec.Spec.InitContainers {
		for {
			code := p.container(ctx, &p.spec.Spec.InitContainers[i], nil)
			if code == 0 || p.isEnding() || ctx.Err() != nil {
				break
			}
			p.say("%s ended with %d", p.spec.Spec.InitContainers[i].Name, code)
			if p.spec.Spec.RestartPolicy == core.RestartPolicyNever {
				return core.PodFailed, nil
			}
			p.sleep(ctx, time.Second)
		}
	}
	return p.main(ctx, &p.spec.Spec.Containers[0])
}

// sleep waits; false: the pod is to end.
func (p *pod) sleep(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-p.ending:
		return false
	case <-time.After(d):
		return true
	}
}

// main runs the pod's container, again and again where the pod says so.
func (p *pod) main(ctx context.Context, c *core.Container) (core.PodPhase, error) {
	for restarts := int32(0); ; restarts++ {
		if p.isEnding() || ctx.Err() != nil {
			return core.PodFailed, nil
		}
		status := core.ContainerStatus{Name: c.Name, Image: c.Image, RestartCount: restarts}
		p.report(ctx, func(s *core.PodStatus) {
			s.Phase = core.PodRunning
			p.condition(s, core.PodInitialized, true)
			status.State = core.ContainerState{Running: &core.ContainerStateRunning{StartedAt: metav1.Now()}}
			s.ContainerStatuses = []core.ContainerStatus{status}
		})
		code := p.container(ctx, c, func(ready bool) {
			p.report(ctx, func(s *core.PodStatus) {
				s.ContainerStatuses[0].Ready = ready
				p.condition(s, core.ContainersReady, ready)
				p.condition(s, core.PodReady, ready)
			})
		})
		p.say("%s ended with %d", c.Name, code)
		p.report(ctx, func(s *core.PodStatus) {
			status.State = core.ContainerState{Terminated: &core.ContainerStateTerminated{ExitCode: int32(code), FinishedAt: metav1.Now()}}
			s.ContainerStatuses = []core.ContainerStatus{status}
			p.condition(s, core.ContainersReady, false)
			p.condition(s, core.PodReady, false)
		})
		if p.spec.Spec.RestartPolicy == core.RestartPolicyNever || p.isEnding() {
			if code == 0 {
				return core.PodSucceeded, nil
			}
			return core.PodFailed, nil
		}
		p.sleep(ctx, time.Second)
	}
}

// container runs one container to its end and returns its exit code. ready, where it is given, is told what the probes say.
func (p *pod) container(ctx context.Context, c *core.Container, ready func(bool)) int {
	out, err := p.node.openLog(p.spec.Namespace, p.spec.Name, c.Name)
	if err != nil {
		p.say("%v", err)
		return 128
	}
	defer out.Close()
	cmd, err := p.command(c)
	if err != nil {
		p.say("%v", err)
		return 128
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		p.say("%v", err)
		return 128
	}
	done := make(chan struct{})
	probing, stop := context.WithCancel(ctx)
	var helpers sync.WaitGroup
	helpers.Go(func() {
		select {
		case <-ctx.Done():
			_ = cmd.Process.Kill()
			return
		case <-done:
			return
		case <-p.ending:
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-done:
		case <-ctx.Done():
			_ = cmd.Process.Kill()
		case <-time.After(p.grace):
			p.say("%s did not end in %v and is killed", c.Name, p.grace)
			_ = cmd.Process.Kill()
		}
	})
	if ready != nil {
		helpers.Go(func() { p.probe(probing, c, ready, func() { _ = cmd.Process.Kill() }) })
	}
	_ = cmd.Wait() // the code is read from the state
	close(done)
	stop()
	helpers.Wait()
	status := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// command is this program, to become the container, in the pod's network and namespaces of its own.
func (p *pod) command(c *core.Container) (*exec.Cmd, error) {
	env := p.environment(c)
	known := map[string]string{}
	for _, e := range env {
		name, value, _ := strings.Cut(e, "=")
		known[name] = value
	}
	security := p.spec.Spec.SecurityContext
	b := box{Root: filepath.Join(p.dir, "root-"+c.Name), Image: p.node.image, Etc: filepath.Join(p.dir, "etc"), Host: p.spec.Name,
		User: int(*security.RunAsUser), Group: int(*security.RunAsGroup), Groups: []int{p.group()}, Env: env}
	for _, v := range c.VolumeMounts {
		b.Mounts = append(b.Mounts, mount{p.mounts[v.Name], v.MountPath, v.ReadOnly})
	}
	for _, word := range append(append([]string{}, c.Command...), c.Args...) {
		b.Program = append(b.Program, expand(word, known))
	}
	text, err := json.Marshal(b)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(b.Root, 0o755); err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command("ip", "netns", "exec", p.namespace, self)
	cmd.Env = []string{containerVariable + "=" + string(text), "PATH=" + os.Getenv("PATH")}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC, Setpgid: true}
	return cmd, nil
}

// environment are the container's variables.
func (p *pod) environment(c *core.Container) []string {
	env := []string{"PATH=/bin", "HOSTNAME=" + p.spec.Name}
	for _, e := range c.Env {
		value := e.Value
		if from := e.ValueFrom; from != nil {
			switch {
			case from.FieldRef != nil:
				value = p.field(from.FieldRef.FieldPath)
			case from.ResourceFieldRef != nil:
				quantity := c.Resources.Requests[core.ResourceCPU]
				if from.ResourceFieldRef.Resource == "limits.cpu" {
					quantity = c.Resources.Limits[core.ResourceCPU]
				}
				value = strconv.FormatInt(quantity.Value(), 10)
			}
		}
		env = append(env, e.Name+"="+value)
	}
	return env
}

func (p *pod) field(path string) string {
	if label, ok := strings.CutPrefix(path, "metadata.labels['"); ok {
		return p.spec.Labels[strings.TrimSuffix(label, "']")]
	}
	return map[string]string{"metadata.name": p.spec.Name, "metadata.namespace": p.spec.Namespace, "status.podIP": p.address}[path]
}

// etc writes what a pod finds in /etc.
func (p *pod) etc() error {
	at := filepath.Join(p.dir, "etc")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	ns := p.spec.Namespace
	names := fmt.Sprintf("nameserver %s\nsearch %s.svc.%s svc.%s %s\noptions ndots:5\n", Address, ns, domain, domain, domain)
	hosts := fmt.Sprintf("127.0.0.1 localhost\n%s %s\n", p.address, p.spec.Name)
	return errors.Join(os.WriteFile(filepath.Join(at, "resolv.conf"), []byte(names), 0o644), os.WriteFile(filepath.Join(at, "hosts"), []byte(hosts), 0o644))
}

// probe carries the container's probes out until ctx ends.
func (p *pod) probe(ctx context.Context, c *core.Container, ready func(bool), kill func()) {
	if c.StartupProbe != nil && !p.until(ctx, c, c.StartupProbe, true) {
		if ctx.Err() == nil {
			p.say("the startup probe of %s failed", c.Name)
			kill()
		}
		return
	}
	var both sync.WaitGroup
	defer both.Wait()
	both.Go(func() {
		if c.LivenessProbe != nil && p.until(ctx, c, c.LivenessProbe, false) {
			p.say("the liveness probe of %s failed", c.Name)
			kill()
		}
	})
	if c.ReadinessProbe == nil {
		ready(true)
		return
	}
	for ctx.Err() == nil {
		if p.until(ctx, c, c.ReadinessProbe, true) {
			ready(true)
		}
		if p.until(ctx, c, c.ReadinessProbe, false) {
			ready(false)
		}
	}
}

// until probes until the answer is, as often in a row as the probe says, a success or a failure. false: it never was, or ctx has ended. A
// probe for success gives up only at the startup's number of failures.
func (p *pod) until(ctx context.Context, c *core.Container, probe *core.Probe, success bool) bool {
	failures := int32(0)
	for {
		if ok := p.try(ctx, c, probe); ok && success {
			return true
		} else if ok {
			failures = 0
		} else if failures++; ctx.Err() == nil && failures >= probe.FailureThreshold && (!success || probe == c.StartupProbe) {
			return !success
		}
		select {
		case <-ctx.Done():
			return false
		case <-time.After(time.Duration(probe.PeriodSeconds) * time.Second):
		}
	}
}

// try carries a probe by HTTP out.
func (p *pod) try(ctx context.Context, c *core.Container, probe *core.Probe) bool {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(probe.TimeoutSeconds)*time.Second)
	defer cancel()
	port := probe.HTTPGet.Port.IntValue()
	for _, known := range c.Ports {
		if probe.HTTPGet.Port.Type == intstr.String && known.Name == probe.HTTPGet.Port.StrVal {
			port = int(known.ContainerPort)
		}
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+net.JoinHostPort(p.address, strconv.Itoa(port))+probe.HTTPGet.Path, nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	answer.Body.Close()
	return answer.StatusCode >= 200 && answer.StatusCode < 400
}

// report changes the pod's status.
func (p *pod) report(ctx context.Context, change func(*core.PodStatus)) {
	pods := p.node.api.CoreV1().Pods(p.spec.Namespace)
	err := retry.RetryOnConflict(retry.DefaultBackoff, func() error {
		now, err := pods.Get(ctx, p.spec.Name, metav1.GetOptions{})
		if err != nil || now.UID != p.spec.UID {
			return err
		}
		change(&now.Status)
		_, err = pods.UpdateStatus(ctx, now, metav1.UpdateOptions{})
		return err
	})
	if err != nil && ctx.Err() == nil {
		p.say("status: %v", err)
	}
}

// condition sets one of the status's.
func (p *pod) condition(s *core.PodStatus, kind core.PodConditionType, is bool) {
	value := core.ConditionFalse
	if is {
		value = core.ConditionTrue
	}
	for i := range s.Conditions {
		if s.Conditions[i].Type == kind {
			if s.Conditions[i].Status != value {
				s.Conditions[i].Status, s.Conditions[i].LastTransitionTime = value, metav1.Now()
			}
			return
		}
	}
	s.Conditions = append(s.Conditions, core.PodCondition{Type: kind, Status: value, LastTransitionTime: metav1.Now()})
}
