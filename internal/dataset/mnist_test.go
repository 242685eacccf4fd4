package dataset

import (
	"os"
	"testing"
)

// mnistDir is the folder of the real MNIST files; the test is skipped where it is absent.
func mnistDir(t testing.TB) string {
	const dir = "../../../shared/data/mnist"
	if _, err := os.Stat(dir); err != nil {
		t.Skipf("the MNIST files are not at %s", dir)
	}
	return dir
}
