package lint

import (
	"errors"
	"go/build"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layers lists every package of internal from the bottom to the top. A package may import those of the layers below its
// own and nothing of its own layer or above, so arrows go one way. The reason is next to each layer.
var layers = []struct {
	why      string
	packages []string
}{
	{"words, how they are counted, and what may be opened: the standard library only", []string{"plan", "regularfile", "plural", "printable", "lobby", "median", "sleep", "elementary", "wholefile", "histogram", "trace", "caches"}},
	{"what decoders' tests share", []string{"test/cost"}},
	{"leaves, each of one subject", []string{"rng", "config", "certs", "rpc", "host", "checkpoint/disk", "dataset/merkle", "dataset/picture/jpeg", "tether", "folderlock", "setaside", "pulse", "logs", "telemetry", "slurm", "ssh", "tensor/kernel", "objects"}},
	{"what tests share", []string{"test/support", "test/browser", "test/s3"}},
	{"the one port of a daemon", []string{"port"}},
	{"what evaluations tell", []string{"metric"}},
	{"pure parts that know the words", []string{"checkpoint", "checkpoint/bucket", "cluster/fsm", "dataset/glyphs", "dataset/picture", "dataset/shards", "dataset/nearby", "dataset/augment", "bench/kernels", "cli", "table", "tokenizer"}},
	{"data, sums, who is there, and decisions' log", []string{"dataset", "dataset/glyphs/gen", "allreduce", "optim", "tensor", "tensor/blas", "tensor/kernel/rival", "tensor/kernel/rival/vector", "tensor/kernel/emulate", "gossip", "cluster/raftnode", "cluster/decide"}},
	{"what is minimised", []string{"loss"}},
	{"models", []string{"model"}},
	{"what models write", []string{"generate"}},
	{"models in other programs' forms", []string{"onnx", "hf"}},
	{"pictures as the codes of a model", []string{"codes"}},
	{"the step loop", []string{"trainer"}},
	{"the coordinator and the worker: they meet only through rpc", []string{"cluster", "worker"}},
	{"the processes, and whole clusters within one process", []string{"daemon", "daemon/program", "simulation"}},
	{"what people see", []string{"progress", "client"}},
	{"what is written of a training", []string{"records"}},
	{"who is told of it", []string{"notify"}},
	{"clusters on one machine", []string{"launch"}},
	{"clusters that a scheduler starts", []string{"node"}},
	{"clusters on machines that ssh reaches", []string{"fleet", "fleet/agent"}},
	{"what people see in a browser", []string{"ui"}},
	{"what people see of runs side by side", []string{"report"}},
	{"what people see in a terminal", []string{"watch", "doctor"}},
	{"what is done with them", []string{"chaos", "sweep"}},
	{"what is measured", []string{"bench"}},
	{"tests of the whole: nobody imports them", []string{"test/golden", "test/e2e", "test/netns", "test/slurm", "test/ssh", "test/lint"}},
}

// pure packages take time, randomness and the outside world as arguments: the same arguments give the same results.
var pure = map[string][]string{
	"plan":        impure,
	"rng":         impure,
	"optim":       impure,
	"loss":        impure,
	"model":       impure,
	"generate":    impure,
	"tensor":      impure,
	"cluster/fsm": impure,
	// It compares times that it is told; see timelessPackages.
	"cluster/decide": append([]string{"context", "sync", "sync/atomic"}, withoutTime...),
	"metric":         impure,
}

// impure are packages of the standard library whose results depend on more than their arguments.
var impure = append([]string{"time"}, withoutTime...)

// withoutTime are those of them whose values are impure, too.
var withoutTime = []string{"os", "net", "log", "log/slog", "math/rand", "math/rand/v2", "crypto/rand"}

// fences name the packages that may import a module of others, so that it can be replaced in one place. Tests may import all.
var fences = map[string][]string{
	"github.com/hashicorp/raft":        {"cluster/raftnode"},
	"github.com/hashicorp/memberlist":  {"gossip"},
	"go.etcd.io/bbolt":                 {"cluster/raftnode"},
	"github.com/goccy/go-yaml":         {"config"},
	"github.com/parquet-go/parquet-go": {"table"},
	"github.com/klauspost/compress":    {"table"},
	"github.com/minio/minio-go":        {"objects"},
	"github.com/clipperhouse/uax29":    {"tokenizer"},
	"github.com/vbauerster/mpb":        {"progress"},
	"charm.land/bubbletea":             {"watch"},
	"github.com/charmbracelet/x/ansi":  {"watch"},
	"github.com/prometheus":            {"telemetry"},
	"github.com/spf13/cobra":           {"cli", "daemon/program"},
	"gonum.org/v1/gonum":               {"tensor/blas"}, // its results differ between CPUs
	"google.golang.org/grpc":           {"pulse", "rpc", "certs", "allreduce", "cluster", "port", "worker", "daemon", "simulation", "launch", "client", "node", "fleet/agent", "bench", "doctor"},
}

const internal = "ringmaster/internal/"

func TestImportsGoOneWay(t *testing.T) {
	level := map[string]int{}
	for i, l := range layers {
		for _, p := range l.packages {
			if _, twice := level[p]; twice {
				t.Errorf("%s has two places in the layers", p)
			}
			level[p] = i
		}
	}
	for own, imports := range packagesOfInternal(t) {
		from, placed := level[own]
		if !placed {
			t.Errorf("internal/%s has no place in the layers: decide what may import it, and add it", own)
			continue
		}
		for _, imported := range imports {
			if strings.HasPrefix(imported, "ringmaster/cmd") {
				t.Errorf("%s imports %s: nobody imports cmd", own, imported)
			}
			if from == 0 && strings.Contains(imported, ".") {
				t.Errorf("%s imports %s: it stands on the standard library alone", own, imported)
			}
			other, ours := strings.CutPrefix(imported, internal)
			if !ours {
				continue
			}
			// Within a layer a package may use the one whose folder contains it, or one that its own folder contains.
			related := strings.HasPrefix(other, own+"/") || strings.HasPrefix(own, other+"/")
			if to, known := level[other]; known && (to > from || to == from && !related) {
				t.Errorf("%s (layer %d: %s) imports %s (layer %d: %s)", own, from, layers[from].why, other, to, layers[to].why)
			}
		}
	}
}

// A worker knows the coordinator through rpc alone: its dependencies include nothing of the coordinator's folder.
func TestWorkerNeedsNoCoordinator(t *testing.T) {
	all := packagesOfInternal(t)
	file := filepath.Join("..", "..", "daemon", "worker.go")
	parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
	if err != nil {
		t.Fatal(err)
	}
	all["daemon/worker.go"] = nil
	for _, i := range parsed.Imports {
		all["daemon/worker.go"] = append(all["daemon/worker.go"], strings.Trim(i.Path.Value, `"`))
	}
	seen := map[string]bool{}
	var look func(own string)
	look = func(own string) {
		seen[own] = true
		for _, imported := range all[own] {
			other, ours := strings.CutPrefix(imported, internal)
			if ours && strings.Split(other, "/")[0] == "cluster" {
				t.Errorf("%s imports %s, and a worker needs it", own, other)
			}
			if ours && !seen[other] {
				look(other)
			}
		}
	}
	look("daemon/worker.go")
	if !seen["worker"] || !seen["port"] {
		t.Errorf("a worker's process is made of %v", slices.Sorted(maps.Keys(seen)))
	}
}

func TestImportsOfPurePackages(t *testing.T) {
	all := packagesOfInternal(t)
	for own, forbidden := range pure {
		imports, exists := all[own]
		if !exists {
			t.Errorf("internal/%s is listed as pure and does not exist", own)
		}
		for _, imported := range imports {
			if slices.Contains(forbidden, imported) {
				t.Errorf("%s imports %s: it is pure; take what you need as an argument", own, imported)
			}
		}
	}
}

func TestImportsStayWithinFences(t *testing.T) {
	for own, imports := range packagesOfInternal(t) {
		for _, imported := range imports {
			for module, allowed := range fences {
				if strings.HasPrefix(imported, module) && !slices.Contains(allowed, own) {
					t.Errorf("%s imports %s, which only %s may", own, imported, strings.Join(allowed, ", "))
				}
			}
		}
	}
}

// packagesOfInternal lists the packages of internal by their path below it, with what they import outside their tests. It
// leaves out folders that are modules of their own.
func packagesOfInternal(t *testing.T) map[string][]string {
	t.Helper()
	root := filepath.Join("..", "..", "..", "internal")
	found := map[string][]string{}
	err := filepath.WalkDir(root, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		if d.Name() == "testdata" || hasModule(dir) {
			return filepath.SkipDir
		}
		p, err := build.ImportDir(dir, 0)
		var none *build.NoGoError
		switch {
		case errors.As(err, &none) && p.TestGoFiles == nil && p.IgnoredGoFiles == nil:
			return nil // no Go here
		case err != nil && !errors.As(err, &none):
			return err
		}
		rel, err := filepath.Rel(root, dir)
		found[filepath.ToSlash(rel)] = p.Imports
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(found) < 20 {
		t.Fatalf("only %d packages found below %s", len(found), root)
	}
	return found
}

// TestNoCgo keeps the product free of C.
func TestNoCgo(t *testing.T) {
	err := filepath.WalkDir(filepath.Join("..", "..", ".."), func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains([]string{"peer", "testdata", ".git"}, d.Name()) || hasModule(name) && name != filepath.Join("..", "..", "..")) {
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
