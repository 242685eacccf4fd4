package lint

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The manifests of deploy/kubernetes are made from its charts, which takes Helm; whether they were made since charts and values were changed last, the
// sums tell that were written then.
func TestManifestsAreOfTheseCharts(t *testing.T) {
	root := filepath.Join("..", "..", "..", "deploy", "kubernetes")
	listed, err := os.ReadFile(filepath.Join(root, "manifests", "SHA256SUMS"))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{}
	for line := range strings.Lines(string(listed)) {
		sum, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "  ")
		want[name] = sum
	}
	for _, part := range []string{"cluster", "run", "values", "manifests"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || d.Name() == "SHA256SUMS" {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			relative, err := filepath.Rel(root, path)
			name := filepath.ToSlash(relative)
			if got := fmt.Sprintf("%x", sha256.Sum256(text)); got != want[name] {
				t.Errorf("deploy/kubernetes/%s has changed since the manifests were made: run make manifests, look at the difference and commit it", name)
			}
			delete(want, name)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for name := range want {
		t.Errorf("deploy/kubernetes/%s is gone since the manifests were made: run make manifests", name)
	}
}
