package check

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write the manifests and their sums")

// The manifests are what the charts make of the values.
func TestManifestsAreTheCharts(t *testing.T) {
	all, err := manifests()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		text, err := render(m.chart, m.values, m.as)
		if err != nil {
			t.Errorf("%s: %v", m.values, err)
			continue
		}
		head, err := m.header()
		if err != nil {
			t.Fatal(err)
		}
		compare(t, m.golden, []byte(head+text))
	}
	if t.Failed() {
		return
	}
	sums, err := sumsOf(root)
	if err != nil {
		t.Fatal(err)
	}
	compare(t, filepath.Join(root, "manifests", "SHA256SUMS"), sums)
}

// compare compares a kept file with what it should be, or writes it.
func compare(t *testing.T, path string, want []byte) {
	t.Helper()
	if *rewrite {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
		t.Errorf("%s is not what the chart makes (%v): run make manifests, look at the difference and commit it", path, err)
	}
}

// sumsOf is "sha256sum" of the charts, the values and the manifests. The test beside the charts compares it in every run of the unit
// tests, which have no helm.
func sumsOf(folder string) ([]byte, error) {
	var out bytes.Buffer
	for _, part := range []string{"cluster", "manifests/cluster", "manifests/run", "run", "values"} {
		err := filepath.WalkDir(filepath.Join(folder, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			name, err := filepath.Rel(folder, path)
			fmt.Fprintf(&out, "%x  %s\n", sha256.Sum256(text), filepath.ToSlash(name))
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// Wrong values are refused with a line that says what to do.
func TestWrongValuesAreRefused(t *testing.T) {
	for _, test := range []struct{ chart, values, want string }{
		{"cluster", "coordinators: {replicas: 2}", "coordinators.replicas must be 1, 3 or 5, not 2"},
		{"cluster", "coordinators: {replicas: 1, founders: 3}", "coordinators.founders must be 1, 3 or 5 and at most coordinators.replicas (1)"},
		{"run", "{}", "job is empty: give the job file by --set-file job=job.yaml"},
	} {
		values := filepath.Join(t.TempDir(), "values.yaml")
		if err := os.WriteFile(values, []byte(test.values), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := render(filepath.Join(root, test.chart), values, release{"ringmaster", "training"}); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s with %s: %v", test.chart, test.values, err)
		}
	}
}

// Both charts describe pods by the same file.
func TestChartsShareThePod(t *testing.T) {
	a, errA := os.ReadFile(filepath.Join(root, "cluster", "templates", "_pod.tpl"))
	b, errB := os.ReadFile(filepath.Join(root, "run", "templates", "_pod.tpl"))
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		t.Errorf("cluster/templates/_pod.tpl and run/templates/_pod.tpl differ: %v, %v", errA, errB)
	}
}
