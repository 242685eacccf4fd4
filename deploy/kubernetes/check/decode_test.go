package check

import (
	"os"
	"strings"
	"testing"

	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// podOf is the template of an object that makes pods, else nil.
func podOf(object runtime.Object) *core.PodSpec {
	switch o := object.(type) {
	case *apps.StatefulSet:
		return &o.Spec.Template.Spec
	case *apps.Deployment:
		return &o.Spec.Template.Spec
	case *batch.Job:
		return &o.Spec.Template.Spec
	}
	return nil
}

// Every manifest is made of objects of Kubernetes' APIs, without a field that they do not have, and its pods are restricted.
func TestManifestsAreObjectsOfTheAPIs(t *testing.T) {
	all, err := manifests()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		text, err := os.ReadFile(m.golden)
		if err != nil {
			t.Fatal(err)
		}
		objects, err := decode(string(text))
		if err != nil {
			t.Errorf("%s: %v", m.golden, err)
		}
		pods := 0
		for _, object := range objects {
			if pod := podOf(object); pod != nil {
				pods++
				if fault := unrestricted(pod); fault != "" {
					t.Errorf("%s: %T: %s", m.golden, object, fault)
				}
			}
		}
		if pods == 0 {
			t.Errorf("%s makes no pod", m.golden)
		}
	}
}

// unrestricted says what a pod has that none here needs.
func unrestricted(pod *core.PodSpec) string {
	s := pod.SecurityContext
	switch {
	case pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken:
		return "it gets a token of the API"
	case s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.RunAsUser == nil || *s.RunAsUser == 0:
		return "it may run as root"
	case s.SeccompProfile == nil || s.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
		return "it has no seccomp profile"
	}
	for _, c := range append(append([]core.Container{}, pod.InitContainers...), pod.Containers...) {
		s := c.SecurityContext
		switch {
		case s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem:
			return c.Name + " may write to its root"
		case s.AllowPrivilegeEscalation == nil || *s.AllowPrivilegeEscalation:
			return c.Name + " may get more privileges"
		case s.Capabilities == nil || len(s.Capabilities.Drop) != 1 || s.Capabilities.Drop[0] != "ALL" || len(s.Capabilities.Add) > 0:
			return c.Name + " has capabilities"
		case c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero():
			return c.Name + " does not say what it needs"
		}
		for _, v := range c.VolumeMounts {
			if v.Name == "authority" && c.Name != "certify" {
				return c.Name + " sees the authority's key"
			}
		}
	}
	return ""
}

// Decoding refuses what the API would drop silently.
func TestDecodingIsStrict(t *testing.T) {
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers: [{name: c, image: i}]\n"
	for text, want := range map[string]string{
		pod:                        "",
		pod + "  hostnam: h\n":     "unknown field",
		pod + "  containers: []\n": "already set",
		"apiVersion: cert-manager.io/v1\nkind: Certificate\nspec: {isCa: true}\n": "unknown field",
	} {
		if _, err := decode(text); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s gives %v, want %q", text, err, want)
		}
	}
}
