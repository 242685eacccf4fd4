package certs

import (
	"os"
	"path/filepath"
	"testing"
)

// openFolder is a folder that everybody may write to.
func openFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

// FuzzFolder: whatever the files of a folder hold, reading it gives an identity or an error, and an authority likewise.
func FuzzFolder(f *testing.F) {
	a, dir := authority(f)
	w := filepath.Join(f.TempDir(), "w1")
	if err := a.Node(w, Peer{Worker, "w1"}, false, 1, now); err != nil {
		f.Fatal(err)
	}
	names := []string{fileCA, fileCert, fileKey, fileGossip, fileCAKey, fileTokenKey}
	whole := map[string][]byte{}
	for _, from := range []string{dir, w} { // the node's where both have one
		for i, name := range names {
			if data, err := os.ReadFile(filepath.Join(from, name)); err == nil {
				whole[name] = data
				f.Add(i, data)
			}
		}
	}
	f.Add(0, []byte("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"))
	f.Add(2, []byte("-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		changed := names[uint(which)%uint(len(names))]
		at := t.TempDir()
		for name, was := range whole {
			if name == changed {
				was = data
			}
			if err := os.WriteFile(filepath.Join(at, name), was, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if i, err := Load(at, now); err == nil && (i.ID != "w1" || i.Role != Worker) {
			t.Errorf("with other bytes in %s the identity is %v %s", changed, i.Role, i.ID)
		}
		_, _ = LoadAuthority(at)
	})
}
