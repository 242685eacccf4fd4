package lint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const (
	maxFunctionLines = 70
	maxFileLines     = 500
)

// tooLong lists the functions that are longer than they should be, as file and name. The list shrinks: one that has become
// shorter must be taken off, and none is added.
var tooLong = map[string]bool{
	"internal/cluster/raftnode/node_test.go TestPartitionsInMemory": true,
}

// tooLarge lists the files that are larger than they should be; it shrinks likewise.
var tooLarge = map[string]bool{}

func TestFunctionsAndFilesStayShort(t *testing.T) {
	root := filepath.Join("..", "..", "..")
	longSeen, largeSeen := map[string]bool{}, map[string]bool{}
	err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && strings.HasPrefix(d.Name(), ".") && name != root:
			return filepath.SkipDir
		case !strings.HasSuffix(name, ".go"):
			return nil
		}
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, name)
		rel = filepath.ToSlash(rel)
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, rel, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		if ast.IsGenerated(file) {
			return nil
		}
		if lines := bytes.Count(text, []byte("\n")); lines > maxFileLines {
			largeSeen[rel] = true
			if !tooLarge[rel] {
				t.Errorf("%s has %d lines, more than %d: divide it by subject", rel, lines, maxFileLines)
			}
		}
		for _, declared := range file.Decls {
			f, ok := declared.(*ast.FuncDecl)
			if !ok {
				continue
			}
			lines := fset.Position(f.End()).Line - fset.Position(f.Pos()).Line + 1
			if key := rel + " " + f.Name.Name; lines > maxFunctionLines {
				longSeen[key] = true
				if !tooLong[key] {
					t.Errorf("%s has %d lines, more than %d: divide it", key, lines, maxFunctionLines)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for key := range tooLong {
		if !longSeen[key] {
			t.Errorf("%s is not too long any more: take it off the list", key)
		}
	}
	for key := range tooLarge {
		if !largeSeen[key] {
			t.Errorf("%s is not too large any more: take it off the list", key)
		}
	}
}
