package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"ringmaster/internal/test/s3"
)

// typeDocument types in what a page of docs has in blocks for a shell, in a folder, and returns the outputs. Blocks of YAML are written as the text before
// them says.
func typeDocument(t *testing.T, page, dir string) (outputs []string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(repository(t), "docs", page))
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range regexp.MustCompile("(?s)([^\n]*)\n\n```(sh|yaml)\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
		if block[2] == "yaml" {
			name := regexp.MustCompile("as `([a-z]+\\.yaml)`").FindStringSubmatch(block[1])
			if name == nil {
				t.Fatalf("%s does not say where to write\n%s", page, block[3])
			}
			if err := os.WriteFile(filepath.Join(dir, name[1]), []byte(block[3]), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		for line := range strings.Lines(block[3]) {
			outputs = append(outputs, typed(t, dir, strings.TrimSpace(line)))
		}
	}
	return outputs
}

var digestLine = regexp.MustCompile(`digest +([0-9a-f]{64})`)

// What two instances make one after the other is what one makes that is never taken away.
func TestSpotInstances(t *testing.T) {
	needsStores(t)
	s3.New(t)
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	outputs := typeDocument(t, "spot.md", dir)
	if len(outputs) != 3 {
		t.Fatalf("%d commands", len(outputs))
	}
	whole := typed(t, dir, "ringmaster launch spot.yaml --dir whole --workers 2 --set train.steps=500 --set checkpoint.copy_to=s3://training/whole")
	want, got := digestLine.FindStringSubmatch(whole), digestLine.FindStringSubmatch(outputs[1])
	if want == nil || got == nil || want[1] != got[1] {
		t.Errorf("%s\n%s", outputs[1], whole)
	}
	if !strings.Contains(outputs[0], "begins at step 0") || !strings.Contains(outputs[1], "going on from step 300 (s3://training/spot/step-") || !strings.Contains(outputs[2], "good") {
		t.Errorf("%q", outputs)
	}
}

// What comes out behind the gap has the digest that it has outside, with no network to ask.
func TestWithoutInternet(t *testing.T) {
	needsStores(t)
	for _, proxy := range []string{"http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(proxy, "http://127.0.0.1:1") // who asks is refused
	}
	dir := t.TempDir()
	text, err := os.ReadFile(config(t, "quickstart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "job.yaml"), []byte(strings.Replace(string(text), "epochs: 5", "epochs: 1", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	outputs := typeDocument(t, "air-gapped.md", dir)
	if len(outputs) != 5 {
		t.Fatalf("%d commands", len(outputs))
	}
	outside := digestLine.FindStringSubmatch(typed(t, dir, "ringmaster launch job.yaml --workers 1 --dir outside"))
	inside, exported := digestLine.FindStringSubmatch(outputs[1]), digestLine.FindStringSubmatch(outputs[4])
	if outside == nil || inside == nil || exported == nil || inside[1] != outside[1] || exported[1] != outside[1] {
		t.Errorf("outside %v, inside %v, exported %v", outside, inside, exported)
	}
}
