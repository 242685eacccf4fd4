package check

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
)

// release is what a chart is installed as.
type release struct {
	name, namespace string
}

// render is what "helm template" makes of a chart and a file of values: YAML documents in the order of the templates' names.
func render(chart, values string, as release) (string, error) {
	loaded, err := loader.Load(chart)
	if err != nil {
		return "", err
	}
	chosen, err := chartutil.ReadValuesFile(values)
	if err != nil {
		return "", err
	}
	all, err := chartutil.ToRenderValues(loaded, chosen, chartutil.ReleaseOptions{Name: as.name, Namespace: as.namespace, Revision: 1, IsInstall: true}, chartutil.DefaultCapabilities)
	if err != nil {
		return "", err
	}
	files, err := engine.Engine{Strict: false}.Render(loaded, all)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Ext(name) != ".yaml" {
			continue
		}
		for _, document := range documents(files[name]) {
			fmt.Fprintf(&out, "---\n%s\n", document)
		}
	}
	return out.String(), nil
}

// documents are the parts of a file of YAML that hold more than comments.
func documents(text string) []string {
	var out []string
	for _, part := range strings.Split("\n"+text, "\n---\n") {
		holds := false
		for _, line := range strings.Split(part, "\n") {
			line = strings.TrimSpace(line)
			holds = holds || line != "" && !strings.HasPrefix(line, "#")
		}
		if holds {
			out = append(out, strings.Trim(part, "\n"))
		}
	}
	return out
}

// manifest is a file of values and what a chart makes of it.
type manifest struct {
	chart, values string
	golden        string
	as            release
}

// root is the folder of the charts.
const root = ".."

// manifests are all that are kept: one for each file of values.
func manifests() ([]manifest, error) {
	found, err := filepath.Glob(filepath.Join(root, "values", "*", "*.yaml"))
	if err != nil || len(found) == 0 {
		return nil, fmt.Errorf("no values in %s: %v", root, err)
	}
	var all []manifest
	for _, values := range found {
		chart, name := filepath.Base(filepath.Dir(values)), filepath.Base(values)
		m := manifest{chart: filepath.Join(root, chart), values: values, golden: filepath.Join(root, "manifests", chart, name), as: release{"ringmaster", "training"}}
		if chart == "run" {
			m.as.name = strings.TrimSuffix(name, ".yaml")
		}
		all = append(all, m)
	}
	return all, nil
}

// header is the beginning of a manifest: what the values say of themselves, and where it comes from.
func (m manifest) header() (string, error) {
	text, err := os.ReadFile(m.values)
	if err != nil {
		return "", err
	}
	var said strings.Builder
	for _, line := range strings.SplitAfter(string(text), "\n") {
		if !strings.HasPrefix(line, "#") {
			break
		}
		said.WriteString(line)
	}
	return fmt.Sprintf("%s# Made from the chart %s and values/%s/%s by make manifests.\n", said.String(), filepath.Base(m.chart), filepath.Base(m.chart), filepath.Base(m.values)), nil
}
