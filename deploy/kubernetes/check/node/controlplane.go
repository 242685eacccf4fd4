package node

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// ControlPlane is etcd, the API server and the controllers, as processes.
type ControlPlane struct {
	API        kubernetes.Interface
	Kubeconfig string

	dir, programs string
	running       []*exec.Cmd
}

const token = "check"

// controllers are those that the charts need.
const controllers = "deployment-controller,replicaset-controller,statefulset-controller,job-controller,endpointslice-controller,disruption-controller," +
	"serviceaccount-controller,persistentvolume-binder-controller,persistentvolumeclaim-protection-controller,garbage-collector-controller"

// StartControlPlane starts the programs of a folder. The network must be open: the API server wants an address beyond loopback.
func StartControlPlane(ctx context.Context, programs, dir string) (*ControlPlane, error) {
	c := &ControlPlane{Kubeconfig: filepath.Join(dir, "kubeconfig"), dir: dir, programs: programs}
	if err := c.files(); err != nil {
		return nil, err
	}
	key := filepath.Join(dir, "accounts.key")
	err := errors.Join(
		c.start("etcd", "--data-dir="+filepath.Join(dir, "etcd"), "--listen-client-urls=http://127.0.0.1:2379", "--advertise-client-urls=http://127.0.0.1:2379",
			"--listen-peer-urls=http://127.0.0.1:2380", "--log-level=warn"),
		c.start("kube-apiserver", "--etcd-servers=http://127.0.0.1:2379", "--secure-port=6443", "--advertise-address="+Address, "--cert-dir="+filepath.Join(dir, "certificates"),
			"--service-cluster-ip-range=10.94.0.0/16", "--service-account-issuer=https://kubernetes", "--service-account-key-file="+key, "--service-account-signing-key-file="+key,
			"--token-auth-file="+filepath.Join(dir, "tokens.csv"), "--authorization-mode=AlwaysAllow", "--kubelet-preferred-address-types=InternalIP"))
	if err != nil {
		return c, err
	}
	config := &rest.Config{Host: "https://127.0.0.1:6443", BearerToken: token, TLSClientConfig: rest.TLSClientConfig{Insecure: true}, QPS: 500, Burst: 1000}
	if c.API, err = kubernetes.NewForConfig(config); err != nil {
		return c, err
	}
	for last := error(nil); ; {
		if _, last = c.API.Discovery().RESTClient().Get().AbsPath("/readyz").DoRaw(ctx); last == nil {
			break
		}
		select {
		case <-ctx.Done():
			return c, fmt.Errorf("the API server is not ready: %w (%v)", last, ctx.Err())
		case <-time.After(300 * time.Millisecond):
		}
	}
	return c, c.start("kube-controller-manager", "--kubeconfig="+c.Kubeconfig, "--controllers="+controllers, "--leader-elect=false", "--secure-port=0",
		"--service-account-private-key-file="+key)
}

func (c *ControlPlane) files() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	kubeconfig := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:6443', insecure-skip-tls-verify: true}}]\n" +
		"users: [{name: u, user: {token: " + token + "}}]\ncontexts: [{name: x, context: {cluster: c, user: u, namespace: training}}]\ncurrent-context: x\n"
	return errors.Join(
		os.WriteFile(filepath.Join(c.dir, "accounts.key"), pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}), 0o600),
		os.WriteFile(filepath.Join(c.dir, "tokens.csv"), []byte(token+",admin,admin,\"system:masters\"\n"), 0o600),
		os.WriteFile(c.Kubeconfig, []byte(kubeconfig), 0o600))
}

// start starts a program; what it says is in its log in the folder.
func (c *ControlPlane) start(name string, args ...string) error {
	log, err := os.Create(filepath.Join(c.dir, name+".log"))
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(filepath.Join(c.programs, name), args...)
	cmd.Stdout, cmd.Stderr, cmd.Dir = log, log, c.dir
	if err := cmd.Start(); err != nil {
		return err
	}
	c.running = append(c.running, cmd)
	return nil
}

// Stop kills the programs, the one started last first.
func (c *ControlPlane) Stop() {
	for i := len(c.running) - 1; i >= 0; i-- {
		_ = c.running[i].Process.Kill() // it may have ended
		_ = c.running[i].Wait()
	}
}
