package lint

import (
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"testing"
)

// timelessPackages are pure packages that know times and durations as values. None of them looks what time it is, or waits.
var timelessPackages = []string{"cluster/decide"}

// allowedTime are the functions of package time whose results depend on their arguments alone. Methods of times and durations do, too.
var allowedTime = []string{"Unix", "UnixMilli", "UnixMicro", "ParseDuration"}

func TestPurePackagesReadNoClock(t *testing.T) {
	for _, own := range timelessPackages {
		for _, p := range load(t, internal+own) {
			for _, file := range p.Syntax {
				for _, problem := range checkPurity(p.Fset, p.TypesInfo, file) {
					t.Error(problem)
				}
			}
		}
	}
}

// TestPurityIsChecked shows that the check finds what it is there to find, and nothing else.
func TestPurityIsChecked(t *testing.T) {
	impure := []string{
		`func _() time.Time { return time.Now() }`,
		`func _(at time.Time) time.Duration { return time.Since(at) }`,
		`func _(at time.Time) time.Duration { return time.Until(at) }`,
		`func _() { time.Sleep(time.Second) }`,
		`func _() <-chan time.Time { return time.After(time.Second) }`,
		`func _() any { return time.NewTicker(time.Second) }`,
		`func _(t *time.Timer) { t.Stop() }`,
		`func _(at time.Time) time.Time { return at.In(time.Local) }`,
		`var _ = time.Now`,
		`func _() { go func() {}() }`,
		`func _(c chan int) { select { case <-c: default: } }`,
		`func _(c chan int) { c <- 1 }`,
		`func _(c chan int) int { return <-c }`,
		`func _(c chan int) { for range c {} }`,
	}
	pure := []string{
		`func _(at, now time.Time) bool { return now.Sub(at) > 2*time.Second }`,
		`func _(at time.Time) time.Time { return at.Add(time.Millisecond) }`,
		`func _() time.Time { return time.Unix(1000, 0) }`,
		`func _(text string) { _, _ = time.ParseDuration(text) }`,
		`type clock struct{}; func (clock) Now() int { return 1 }; var _ = clock{}.Now()`,
	}
	lines := slices.Concat(impure, pure)
	fset, info, file := parse(t, "package p; import \"time\"\n"+strings.Join(lines, "\n"))
	problems := checkPurity(fset, info, file)
	for i, source := range lines {
		found := slices.ContainsFunc(problems, func(problem string) bool { return strings.HasPrefix(problem, fmt.Sprintf("p.go:%d:", i+2)) })
		if found != (i < len(impure)) {
			t.Errorf("%s: found to be impure: %v", source, found)
		}
	}
}

// checkPurity finds what makes results depend on when and in which order something runs: the clock, timers, goroutines and channels.
func checkPurity(fset *token.FileSet, info *types.Info, file *ast.File) []string {
	var problems []string
	report := func(at token.Pos, what string) {
		problems = append(problems, fmt.Sprintf("%s: %s: a pure package is told what time it is, and only computes", fset.Position(at), what))
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.GoStmt:
			report(n.Pos(), "it starts a goroutine")
		case *ast.SelectStmt:
			report(n.Pos(), "it waits for channels")
		case *ast.RangeStmt:
			if of, ok := info.Types[n.X]; ok {
				if _, channel := of.Type.Underlying().(*types.Chan); channel {
					report(n.Pos(), "it receives from a channel")
				}
			}
		case *ast.SendStmt:
			report(n.Pos(), "it sends on a channel")
		case *ast.UnaryExpr:
			if n.Op == token.ARROW {
				report(n.Pos(), "it receives from a channel")
			}
		case *ast.SelectorExpr:
			if name := clockName(info.Uses[n.Sel]); name != "" {
				report(n.Pos(), "it uses time."+name)
			}
		}
		return true
	})
	return problems
}

// clockName is the name of what package time offers that is more than a value; empty for everything else.
func clockName(used types.Object) string {
	if used == nil || used.Pkg() == nil || used.Pkg().Path() != "time" {
		return ""
	}
	switch used := used.(type) {
	case *types.Func:
		if used.Signature().Recv() == nil && !slices.Contains(allowedTime, used.Name()) {
			return used.Name()
		}
	case *types.TypeName:
		if used.Name() == "Timer" || used.Name() == "Ticker" {
			return used.Name()
		}
	case *types.Var:
		if used.Name() == "Local" {
			return used.Name()
		}
	}
	return ""
}
