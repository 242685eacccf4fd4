package node

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	certmanager "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/cert-manager/cert-manager/pkg/util/pki"
	"sigs.k8s.io/yaml"
)

// A real API server, whose admission restricts pods, takes every manifest without a warning.
func TestTheAPITakesTheManifests(t *testing.T) {
	c := up(t)
	c.namespace()
	c.do("kubectl", "apply", "--server-side", "--filename", definitions(t))
	c.do("kubectl", "wait", "--for=condition=established", "--timeout=60s", "crd/certificates.cert-manager.io", "crd/issuers.cert-manager.io")
	for _, m := range files(c.charts, "manifests/*/*.yaml") {
		text, err := os.ReadFile(m)
		if err != nil {
			t.Fatal(err)
		}
		var kept []string
		for _, document := range strings.Split(string(text), "\n---\n") {
			if !strings.Contains(document, "kind: ServiceMonitor") { // its operator's definitions are not in a module
				kept = append(kept, document)
			}
		}
		file := c.write("manifest.yaml", strings.Join(kept, "\n---\n"))
		out, err := c.try("kubectl", "apply", "--dry-run=server", "--validate=strict", "--namespace", "training", "--filename", file)
		if err != nil || strings.Contains(out, "Warning") || strings.Count(out, "(server dry run)") < 2 {
			t.Errorf("%s: %v %s", m, err, out)
		}
	}
	bad := c.write("manifest.yaml", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {a: b}}, template: {metadata: {labels: {a: c}}, spec: {containers: [{name: c, image: i}]}}}\n")
	if out, err := c.try("kubectl", "apply", "--dry-run=server", "--namespace", "training", "--filename", bad); err == nil {
		t.Errorf("a Deployment that does not select its pods is taken: %s", out)
	}
}

// definitions is cert-manager's file of custom resources.
func definitions(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/cert-manager/cert-manager").Output()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(strings.TrimSpace(string(out)), "deploy", "crds")
}

// The page's first commands work as they are written.
func TestThePageAsWritten(t *testing.T) {
	c := up(t)
	text, err := os.ReadFile(filepath.Join(c.charts, "..", "..", "docs", "kubernetes.md"))
	if err != nil {
		t.Fatal(err)
	}
	opening, _, _ := strings.Cut(string(text), "\n## ")
	for _, name := range []string{"deploy", "configs"} {
		if err := os.Symlink(filepath.Join(c.charts, "..", "..", name), filepath.Join(c.dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	want := c.reference(filepath.Join(c.charts, "..", "..", "configs", "quickstart.yaml"))
	last, n := "", 0
	for line := range strings.Lines(opening) {
		command, ok := strings.CutPrefix(line, "    ")
		if !ok {
			continue
		}
		words := strings.Fields(command)
		last = c.do(words[0], words[1:]...)
		n++
	}
	if n < 10 || !strings.Contains(last, want) {
		t.Errorf("%d commands, the last one tells %s, want digest %s", n, last, want)
	}
}

// A cluster whose authority cert-manager has made trains, and its one coordinator becomes three while it does. An upgrade that would found
// another cluster is refused.
func TestOneCoordinatorBecomesThree(t *testing.T) {
	c := up(t)
	c.namespace()
	c.faults = filepath.Join(c.claim("faults"), "slow")
	file := c.write("job.yaml", job)
	want := c.reference(file)
	values := c.write("values.yaml", `
certificates: {certManager: {enabled: true}}
workers:
  replicas: 1
  resources: {requests: {cpu: "1", memory: 256Mi}, limits: {memory: 1Gi}}
  env: [{name: RINGMASTER_FAULTS, value: /faults/slow}]
  volumes: [{name: faults, persistentVolumeClaim: {claimName: faults}}]
  volumeMounts: [{name: faults, mountPath: /faults}]
`)
	chart := filepath.Join(c.charts, "cluster")
	c.do("kubectl", "apply", "--server-side", "--filename", definitions(t))
	c.do("kubectl", "wait", "--for=condition=established", "--timeout=60s", "crd/certificates.cert-manager.io", "crd/issuers.cert-manager.io")
	c.do("helm", "install", "ringmaster", chart, "--namespace", "training", "--values", values)
	c.issue()
	c.ready("coordinator", 1)
	c.ready("worker", 1)
	release := c.slow()
	c.do("helm", "install", "first", filepath.Join(c.charts, "run"), "--namespace", "training", "--set-file", "job=job.yaml", "--set", "certificates.certManager.enabled=true")
	c.steps("first", 5)
	if out, err := c.try("helm", "upgrade", "ringmaster", chart, "--namespace", "training", "--values", values, "--set", "coordinators.replicas=3"); err == nil || !strings.Contains(err.Error(), "founded by 1") {
		t.Errorf("an upgrade that founds another cluster: %v %s", err, out)
	}
	c.do("helm", "upgrade", "ringmaster", chart, "--namespace", "training", "--values", values, "--set", "coordinators.replicas=3", "--set", "coordinators.founders=1")
	c.ready("coordinator", 3)
	c.until("all three coordinators vote", func() bool {
		out, err := c.try("ringmaster", "coordinators", "list", "--certs", "authority", "--cluster", "ringmaster-coordinator-1.ringmaster-coordinators.training.svc.cluster.local:7070")
		return err == nil && strings.Count(out, "votes")+strings.Count(out, "leads") == 3
	})
	c.steps("first", 5)
	release()
	c.do("kubectl", "wait", "--for=condition=complete", "job/first", "--timeout=180s")
	if j := c.jobs(); len(j) != 1 || j["first"].Digest != want {
		t.Errorf("the cluster has %+v, want one job with digest %s", j, want)
	}
}

// issue does what cert-manager does for the release's Certificate, by its own package, and makes a folder for the test's commands.
func (c *cluster) issue() {
	c.t.Helper()
	var asked certmanager.Certificate
	if err := yaml.Unmarshal([]byte(c.do("kubectl", "get", "certificate", "ringmaster-authority", "--output=yaml")), &asked); err != nil {
		c.t.Fatal(err)
	}
	template, err := pki.CertificateTemplateFromCertificate(&asked)
	if err != nil {
		c.t.Fatal(err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	template.PublicKey = key.Public()
	_, cert, err := pki.SignCertificate(template, template, key.Public(), key)
	if err != nil {
		c.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		c.t.Fatal(err)
	}
	if cert.NotAfter.Before(time.Now().AddDate(9, 0, 0)) || !cert.IsCA {
		c.t.Errorf("the authority is valid until %v, and is one: %v", cert.NotAfter, cert.IsCA)
	}
	at := filepath.Join(c.dir, "authority")
	if err := os.Mkdir(at, 0o700); err != nil {
		c.t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{"ca.crt": {Type: "CERTIFICATE", Bytes: cert.Raw}, "ca.key": {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(filepath.Join(at, name), pem.EncodeToMemory(block), 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
	c.do("kubectl", "create", "secret", "generic", asked.Spec.SecretName, "--from-file=tls.crt=authority/ca.crt", "--from-file=tls.key=authority/ca.key", "--from-file=ca.crt=authority/ca.crt")
	c.do("ringmaster", "certs", "node", "me", "--role", "client", "--ca", "authority", "--out", "me")
	for _, name := range []string{"node.crt", "node.key"} {
		text, err := os.ReadFile(filepath.Join(c.dir, "me", name))
		if err == nil {
			err = os.WriteFile(filepath.Join(at, name), text, 0o600)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
}
