package certs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
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

// described is a file of a mode and an owner, as it is mounted into a container, say.
type described struct {
	os.FileInfo
	mode os.FileMode
	of   uint32
}

func (d described) Mode() os.FileMode { return d.mode }
func (d described) Sys() any          { return &syscall.Stat_t{Uid: d.of} }

// A key may be read by its owner alone; one of root's may be given to a group, as secrets are to containers.
func TestWhoMayReadAKey(t *testing.T) {
	for _, test := range []struct {
		mode os.FileMode
		of   uint32
		user int
		open bool
	}{
		{0o600, 65532, 65532, false}, {0o400, 0, 0, false}, {0o440, 0, 65532, false}, {0o640, 0, 65532, false},
		{0o440, 65532, 65532, true}, {0o440, 0, 0, true}, {0o460, 0, 65532, true}, {0o444, 0, 65532, true}, {0o442, 0, 65532, true},
	} {
		if got := tooOpen(described{mode: test.mode, of: test.of}, test.user); got != test.open {
			t.Errorf("mode %04o of user %d, read by %d: too open is %v", test.mode, test.of, test.user, got)
		}
	}
}

// An authority that another program made has no keys of gossip and tokens: they follow from its key, so that everybody who has it gets the
// same ones. One that Init made and has lost a key is not taken for such.
func TestAuthorityOfAnotherProgram(t *testing.T) {
	_, dir := authority(t)
	for _, name := range []string{fileGossip, fileTokenKey} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		if _, err := LoadAuthority(dir); (err == nil) != (name == fileTokenKey) {
			t.Errorf("without %s: %v", name, err)
		}
	}
	a, errA := LoadAuthority(dir)
	b, errB := LoadAuthority(dir)
	_, otherDir := authority(t)
	if err := errors.Join(errA, errB, os.Remove(filepath.Join(otherDir, fileGossip)), os.Remove(filepath.Join(otherDir, fileTokenKey))); err != nil {
		t.Fatal(err)
	}
	other, err := LoadAuthority(otherDir)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(a.gossip, b.gossip) || !bytes.Equal(a.tokenKey, b.tokenKey) || len(a.gossip) != secretBytes || len(a.tokenKey) != secretBytes {
		t.Error("two readings of one authority give other keys")
	}
	if bytes.Equal(a.gossip, a.tokenKey) || bytes.Equal(a.gossip, other.gossip) || bytes.Equal(a.tokenKey, other.tokenKey) {
		t.Error("keys for two purposes, or of two authorities, are the same")
	}
	w := identity(t, a, Peer{Worker, "w1"}, false)
	if !bytes.Equal(w.GossipKey, b.gossip) {
		t.Error("a worker got another key of gossip")
	}
}

// What an attempt has left behind does not prevent the next one, where it may be replaced.
func TestRenew(t *testing.T) {
	a, _ := authority(t)
	dir := filepath.Join(t.TempDir(), "node")
	for _, left := range []string{"", fileKey, fileCert} {
		if err := a.Renew(dir, Peer{Worker, "w1"}, false, 1, now); err != nil {
			t.Fatal(err)
		}
		if i, err := Load(dir, now); err != nil || i.ID != "w1" {
			t.Errorf("%+v, %v", i, err)
		}
		if left != "" {
			if err := os.Remove(filepath.Join(dir, left)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Node(dir, Peer{Worker, "w1"}, false, 1, now); err == nil {
		t.Error("a folder with a certificate is taken without a word")
	}
}
