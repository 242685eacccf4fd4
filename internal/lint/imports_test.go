package lint

import (
	"go/build"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers lists the packages from the bottom to the top. A package may import those of the layers below its own and
// nothing of its own layer or above, so arrows go one way. The reason stands beside each layer.
var layers = []struct {
	why      string
	packages []string
}{
	{"words and draws: the standard library only", []string{"plan"}},
	{"leaves", []string{"rng", "config", "certs", "rpc", "checkpoint/disk", "launch/tether", "cluster/logs"}},
	{"pure parts that know the words", []string{"tensor/kernel", "checkpoint", "cluster/fsm", "dataset/glyphs"}},
	{"data and sums", []string{"dataset", "allreduce", "optim", "tensor", "tensor/blas", "cluster/node"}},
	{"models", []string{"model"}},
	{"the step loop", []string{"trainer"}},
	{"the coordinator and the worker: they meet only through rpc", []string{"cluster", "session"}},
	{"the processes", []string{"daemon"}},
	{"what people see", []string{"progress", "launch/control"}},
	{"clusters on one machine", []string{"launch", "launch/run"}},
	{"what is done to them", []string{"chaos"}},
}

func TestImportsGoOneWay(t *testing.T) {
	root := filepath.Join("..", "..")
	level := map[string]int{}
	for i, l := range layers {
		for _, p := range l.packages {
			level["ringmaster/internal/"+p] = i
		}
	}
	err := filepath.WalkDir(filepath.Join(root, "internal"), func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == "testdata" || hasModule(dir) {
			return filepath.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		if err != nil {
			return nil // no Go files here
		}
		rel, _ := filepath.Rel(root, dir)
		own := "ringmaster/" + filepath.ToSlash(rel)
		for _, imported := range p.Imports {
			if strings.HasPrefix(imported, "ringmaster/cmd") {
				t.Errorf("%s imports %s: nobody imports cmd", own, imported)
			}
			to, known := level[imported]
			from, placed := level[own]
			if !known || !placed {
				continue
			}
			if to >= from && path.Dir(imported) != own {
				t.Errorf("%s (layer %d: %s) imports %s (layer %d: %s)", own, from, layers[from].why, imported, to, layers[to].why)
			}
		}
		if own == "ringmaster/internal/plan" {
			for _, imported := range p.Imports {
				if strings.Contains(imported, ".") {
					t.Errorf("plan imports %s: it stands on the standard library alone", imported)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoCgo keeps the product free of C.
func TestNoCgo(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("..", ".."), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains([]string{"peer", "testdata", ".git"}, d.Name()) || hasModule(name) && name != filepath.Join("..", "..")) {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		text, err := os.ReadFile(name)
		if err == nil && strings.Contains(string(text), "\nimport \"C\"") {
			t.Errorf("%s uses cgo", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// hasModule reports whether a folder is a module of its own.
func hasModule(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "go.mod"))
	return err == nil
}
