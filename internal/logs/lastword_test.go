package logs

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A crash says why above a stack of every goroutine, which may be long.
func TestLastWordOfACrash(t *testing.T) {
	log := filepath.Join(t.TempDir(), "w1.log")
	text := "up\nfatal error: runtime: out of memory\n\n" + strings.Repeat("goroutine 7 [running]:\n\tloop.go:3 +0x1\n", 2000)
	if err := os.WriteFile(log, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := LastWord(log); got != "fatal error: runtime: out of memory" {
		t.Errorf("%q", got)
	}
}
