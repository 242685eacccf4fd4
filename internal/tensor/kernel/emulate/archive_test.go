//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// It reads what was written with the rules of the format.
func TestArchivesFollowTheFormat(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.MkdirAll("testdata/sub", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile("testdata/sub/x", []byte("12345"), 0o644); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	a := &archive{to: &out}
	a.folder("work")
	a.file("empty", nil)
	a.tree("work", "testdata")
	a.end()
	if a.err != nil {
		t.Fatal(a.err)
	}
	var names []string
	contents := map[string]string{}
	for b := out.Bytes(); len(b) > 0; {
		if string(b[:6]) != "070701" || len(b) < 110 {
			t.Fatalf("no header at %q", b[:min(len(b), 20)])
		}
		size, length := hex(t, b[54:62]), hex(t, b[94:102])
		name := string(b[110 : 110+length-1])
		names = append(names, name)
		b = b[(110+length+3)&^3:]
		contents[name] = string(b[:size])
		b = b[(size+3)&^3:]
	}
	want := []string{"work", "empty", "work/testdata", "work/testdata/sub", "work/testdata/sub/x", "TRAILER!!!"}
	if len(names) != len(want) {
		t.Fatalf("got %v, want %v", names, want)
	}
	for i := range want {
		if names[i] != want[i] {
			t.Fatalf("got %v, want %v", names, want)
		}
	}
	if contents["work/testdata/sub/x"] != "12345" {
		t.Errorf("contents %q", contents)
	}
}

func hex(t *testing.T, digits []byte) (n int) {
	for _, d := range digits {
		at := bytes.IndexByte([]byte("0123456789abcdef"), d)
		if at < 0 {
			t.Fatalf("no number: %q", digits)
		}
		n = 16*n + at
	}
	return n
}

// TestMissingPartsAreNamed: the one thing that most people will see.
func TestMissingPartsAreNamed(t *testing.T) {
	m := machine{kernel: filepath.Join(t.TempDir(), "vmlinuz")}
	if _, err := m.run(t.Context(), []string{"x"}); err == nil || !bytes.Contains([]byte(err.Error()), []byte("vmlinuz")) {
		t.Errorf("got %v", err)
	}
}
