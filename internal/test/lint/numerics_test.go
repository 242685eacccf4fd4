package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"testing"

	"golang.org/x/tools/go/packages"
)

// numericPackages reach weights or samples: what they compute must be the same bits on every CPU.
var numericPackages = []string{
	"ringmaster/internal/plan", "ringmaster/internal/elementary", "ringmaster/internal/rng", "ringmaster/internal/dataset/...", "ringmaster/internal/model", "ringmaster/internal/generate",
	"ringmaster/internal/optim", "ringmaster/internal/tensor", "ringmaster/internal/tensor/kernel",
	"ringmaster/internal/allreduce", "ringmaster/internal/trainer", "ringmaster/internal/tokenizer",
}

// exemptPackages are below the numeric ones but run on the developer's machine only; their output is committed.
var exemptPackages = []string{"ringmaster/internal/dataset/glyphs/gen"}

// allowedMath are the names of package math whose results IEEE 754 or integer arithmetic fixes. All others (Exp, Log, Cos,
// Pow ...) have assembly on some CPUs that gives other bits.
var allowedMath = map[string]bool{
	"Sqrt": true, "FMA": true, "Abs": true, "Floor": true, "Trunc": true, "Copysign": true,
	"Float32bits": true, "Float32frombits": true, "Float64bits": true, "Float64frombits": true,
	"IsNaN": true, "IsInf": true, "NaN": true, "Inf": true, "Signbit": true,
}

func TestNumericsContract(t *testing.T) {
	for _, p := range load(t, numericPackages...) {
		if slices.Contains(exemptPackages, p.PkgPath) {
			continue
		}
		for _, file := range p.Syntax {
			for _, problem := range checkNumerics(p.Fset, p.TypesInfo, file) {
				t.Error(problem)
			}
		}
	}
}

// TestNumericsContractIsKept shows that the check finds what it is there to find.
func TestNumericsContractIsKept(t *testing.T) {
	for source, want := range map[string]int{
		`func f(x, y, z float32) float32 { return x*y + z }`:                  1,
		`func f(x, y, z float32) float32 { return z - (x * y) }`:              1,
		`func f(x, y, z float64) float64 { z += x * y; return z }`:            1,
		`func f(x, y, z float64) float64 { return -(x * y) + z }`:             1,
		`func f(x, y, z float32) float32 { return float32(x*y) + z }`:         0,
		`func f(x, y, z float32) float32 { p := x * y; return p + z }`:        0,
		`func f(x, y, z int) int { return x*y + z }`:                          0,
		`func f(x float64) float64 { return 2*3.5 + x }`:                      0,
		`func f(x float64) float64 { return math.Exp(x) }`:                    1,
		`func f(x float64) float64 { return math.Sqrt(x) }`:                   0,
		`func f(x float64) float64 { return math.Pi }`:                        0,
		`func f(x float64) func(float64) float64 { return math.Log }`:         1,
		`func f(x []float32, y float32) { for i := range x { x[i] -= y*y } }`: 1,
	} {
		text := "package p\nimport \"math\"\nvar _ = math.Abs\n" + source
		fset, info, file := parse(t, text)
		if got := checkNumerics(fset, info, file); len(got) != want {
			t.Errorf("%s: %d problems, want %d: %v", source, len(got), want, got)
		}
	}
}

func checkNumerics(fset *token.FileSet, info *types.Info, file *ast.File) []string {
	var problems []string
	report := func(at token.Pos, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s: %s", fset.Position(at), fmt.Sprintf(format, args...)))
	}
	product := func(e ast.Expr) bool {
		for {
			switch x := e.(type) {
			case *ast.ParenExpr:
				e = x.X
				continue
			case *ast.UnaryExpr:
				e = x.X
				continue
			case *ast.BinaryExpr:
				return x.Op == token.MUL && isFloat(info, x)
			}
			return false
		}
	}
	const fused = "the compiler may fuse this product with the addition on some CPUs: convert it first, float32(x*y) + z"
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.BinaryExpr:
			if (n.Op == token.ADD || n.Op == token.SUB) && isFloat(info, n) && (product(n.X) || product(n.Y)) {
				report(n.OpPos, fused)
			}
		case *ast.AssignStmt:
			if (n.Tok == token.ADD_ASSIGN || n.Tok == token.SUB_ASSIGN) && product(n.Rhs[0]) {
				report(n.TokPos, fused)
			}
		case *ast.SelectorExpr:
			if id, ok := n.X.(*ast.Ident); ok {
				if pkg, ok := info.Uses[id].(*types.PkgName); ok && pkg.Imported().Path() == "math" {
					if _, isFunc := info.Uses[n.Sel].(*types.Func); isFunc && !allowedMath[n.Sel.Name] {
						report(n.Pos(), "math.%s gives other bits on other CPUs: use the kernels' or rng's own function", n.Sel.Name)
					}
				}
			}
		}
		return true
	})
	return problems
}

// isFloat reports whether an expression is computed in floating point when the program runs.
func isFloat(info *types.Info, e ast.Expr) bool {
	tv, ok := info.Types[e]
	if !ok || tv.Value != nil { // constants are exact
		return false
	}
	basic, ok := tv.Type.Underlying().(*types.Basic)
	return ok && basic.Info()&types.IsFloat != 0
}

func load(t *testing.T, patterns ...string) []*packages.Package {
	t.Helper()
	found, err := packages.Load(&packages.Config{
		Mode: packages.NeedName | packages.NeedFiles | packages.NeedSyntax | packages.NeedTypes | packages.NeedTypesInfo,
		Dir:  "../../..",
	}, patterns...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range found {
		for _, e := range p.Errors {
			t.Fatalf("load %s: %v", p.PkgPath, e)
		}
	}
	if len(found) == 0 {
		t.Fatalf("no packages match %v", patterns)
	}
	return found
}
