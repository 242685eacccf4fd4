package release

import (
	"bytes"
	"debug/buildinfo"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
	"github.com/santhosh-tekuri/jsonschema/v6"
)

// A small program takes the place of Ringmaster's.
func TestMaterialsAreValidAndComplete(t *testing.T) {
	dir, works := t.TempDir(), []Work{{Name: "std", Version: "1.26", Licences: []string{"BSD-3-Clause"}}, {Name: "uPlot", Version: "1.0", Licences: []string{"MIT"}}}
	program := filepath.Join(dir, Programs[0])
	if out, err := exec.Command("go", "build", "-o", program, "./testdata/program").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range Programs[1:] {
		if err := os.Symlink(program, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	v := Version{Name: "1.2.0", Commit: "0123456789ab", Time: time.Unix(1_700_000_000, 0).UTC()}
	if _, err := Materials(dir, Here(), v, works); err == nil || !strings.Contains(err.Error(), "whose licence is not known") {
		t.Errorf("modules without a known licence: %v", err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		works = append(works, Work{Name: m.Path, Version: m.Version, Sum: m.Sum, Licences: []string{"Apache-2.0"}})
	}
	text, err := Materials(dir, Here(), v, works)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := Materials(dir, Here(), v, works); err != nil || !bytes.Equal(text, again) {
		t.Errorf("another bill for the same programs, %v", err)
	}
	validate(t, text)
	validateRefused(t, bytes.Replace(text, []byte(`"type": "library"`), []byte(`"type": "book"`), 1))
	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(bytes.NewReader(text), cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		t.Fatal(err)
	}
	if got, want := len(*bom.Components), len(Programs)+len(works); got != want {
		t.Errorf("%d components of %d", got, want)
	}
	if !strings.Contains(string(text), "pkg:golang/github.com/CycloneDX/cyclonedx-go@v") {
		t.Error("a module is missing")
	}
}

// schema is CycloneDX's own, which its library brings along.
func schema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/CycloneDX/cyclonedx-go").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(strings.TrimSpace(string(out)), "schema")
	c := jsonschema.NewCompiler()
	for id, file := range map[string]string{"bom-1.6.schema.json": "bom-1.6.schema.json", "spdx.schema.json": "spdx.schema.json", "jsf-0.82.schema.json": "jsf-0.82.schemax.json"} {
		text, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil {
			t.Fatal(err)
		}
		document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource("http://cyclonedx.org/schema/"+id, document); err != nil {
			t.Fatal(err)
		}
	}
	s, err := c.Compile("http://cyclonedx.org/schema/bom-1.6.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func validate(t *testing.T, text []byte) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema(t).Validate(document); err != nil {
		t.Error(err)
	}
}

func validateRefused(t *testing.T, text []byte) {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if schema(t).Validate(document) == nil {
		t.Error("the schema refuses nothing")
	}
}
