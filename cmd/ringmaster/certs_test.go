package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A token comes from a file or from standard input, so that no list of processes shows it.
func TestReadToken(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("ringmaster1.abc\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ path, stdin, want, fault string }{
		{file, "", "ringmaster1.abc", ""},
		{"-", "  ringmaster1.xyz\n", "ringmaster1.xyz", ""},
		{"-", "\n", "", "holds no token"},
		{"-", strings.Repeat("x", maxTokenFile+1), "", "holds no token"},
		{file + "s", "", "", "--token-file: "},
		{filepath.Dir(file), "", "", "--token-file: "},
	} {
		got, err := readToken(c.path, strings.NewReader(c.stdin))
		if got != c.want || (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s, %.20q: %q, %v", c.path, c.stdin, got, err)
		}
	}
}
