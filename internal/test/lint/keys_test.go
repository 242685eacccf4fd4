package lint

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// keyed is an error that writes a key of the job file into its text alone.
var keyed = regexp.MustCompile(`(fmt\.Errorf|errors\.New)\("(model|data|train)\.[a-z_.]+(\[%d\])?: `)

// An error of a key carries it as a value, so that a message can point at the place where it was written.
func TestErrorsOfKeysAreTyped(t *testing.T) {
	for _, dir := range []string{"dataset", "loss", "model", "trainer"} {
		files, err := filepath.Glob(filepath.Join("..", "..", dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatalf("no files in %s: %v", dir, err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if found := keyed.Find(text); found != nil {
				t.Errorf("%s: %s...: use config.KeyErrorf", file, found)
			}
		}
	}
}
