package kernel

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestAVX2KeepsToItsRegisters reads the generated assembly: where a generator runs out of registers, it goes on with those of
// AVX-512, and tests on a CPU that has these would not notice.
func TestAVX2KeepsToItsRegisters(t *testing.T) {
	files, err := filepath.Glob("*_amd64.s")
	if err != nil || len(files) == 0 {
		t.Fatalf("no assembly here: %v", err)
	}
	function := regexp.MustCompile(`^TEXT ·(\w+)\(`)
	wide := regexp.MustCompile(`\b([XY](1[6-9]|[23]\d)|Z\d+|K[0-7])\b`)
	count := 0
	for _, file := range append(files, "../taprun_amd64.s") {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		name := ""
		for n, line := range strings.Split(string(text), "\n") {
			if m := function.FindStringSubmatch(line); m != nil {
				name = m[1]
				count++
			}
			if found := wide.FindString(line); found != "" && strings.Contains(name, "AVX2") {
				t.Fatalf("%s:%d: %s uses %s", file, n+1, name, found)
			}
		}
	}
	if count < 100 {
		t.Errorf("found %d functions, which cannot be all", count)
	}
}
