package raftnode

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/hashicorp/raft"
)

func writeSnapshot(t testing.TB, s *snapshots, index uint64, state []byte) {
	t.Helper()
	c := raft.Configuration{Servers: []raft.Server{{ID: "c1", Address: "a:1"}, {ID: "c2", Address: "b:2"}}}
	sink, err := s.Create(1, index, 3, c, 2, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := sink.Write(state); err != nil {
		t.Fatal(err)
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

func readSnapshot(s *snapshots) (*raft.SnapshotMeta, []byte, error) {
	all, err := s.List()
	if err != nil || len(all) == 0 {
		return nil, nil, err
	}
	m, r, err := s.Open(all[0].ID)
	if err != nil {
		return nil, nil, err
	}
	defer r.Close()
	if !reflect.DeepEqual(m, all[0]) {
		return nil, nil, errors.New("listed and opened differ")
	}
	state, err := io.ReadAll(r)
	return m, state, err
}

func TestSnapshotsKeepTheNewest(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "snapshots")
	s, err := openSnapshots(dir)
	if err != nil {
		t.Fatal(err)
	}
	if m, _, err := readSnapshot(s); m != nil || err != nil {
		t.Fatalf("before the first: %v, %v", m, err)
	}
	for index, state := range []string{"", "first", "second"} {
		writeSnapshot(t, s, uint64(7+index), []byte(state))
		m, got, err := readSnapshot(s)
		if err != nil || string(got) != state || m.Size != int64(len(state)) || m.Index != uint64(7+index) || m.Term != 3 || len(m.Configuration.Servers) != 2 || m.ConfigurationIndex != 2 {
			t.Fatalf("read %+v, %q, %v", m, got, err)
		}
	}
	given, err := s.Create(1, 20, 3, raft.Configuration{}, 1, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := given.Cancel(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(1, 21, 3, raft.Configuration{}, 1, nil); err != nil { // and then the process is killed
		t.Fatal(err)
	}
	if s, err = openSnapshots(dir); err != nil {
		t.Fatal(err)
	}
	if m, got, err := readSnapshot(s); err != nil || string(got) != "second" || m.Index != 9 {
		t.Errorf("read %+v, %q, %v", m, got, err)
	}
	if files, _ := os.ReadDir(dir); len(files) != 1 {
		t.Errorf("the folder holds %v", files)
	}
}

func TestChangedSnapshotIsNoticed(t *testing.T) {
	dir := t.TempDir()
	s, err := openSnapshots(dir)
	if err != nil {
		t.Fatal(err)
	}
	writeSnapshot(t, s, 9, bytes.Repeat([]byte("state "), 60))
	path := s.path(snapshotID(3, 9))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var damaged *DamagedError
	for at := range whole {
		changed := bytes.Clone(whole)
		changed[at] ^= byte(1 << (at % 8))
		for _, text := range [][]byte{changed, whole[:at]} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := openSnapshots(dir); !errors.As(err, &damaged) || damaged.Path != path {
				t.Fatalf("byte %d of %d: opened with %v", at, len(whole), err)
			}
			if m, state, err := readSnapshot(s); !errors.As(err, &damaged) {
				t.Fatalf("byte %d of %d: read as %v %q, %v", at, len(whole), m, state, err)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, snapshotID(3, 10)+snapshotEnd), whole, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.List(); !errors.As(err, &damaged) {
		t.Errorf("a snapshot under another's name: %v", err)
	}
}

func FuzzReadHead(f *testing.F) {
	s, err := openSnapshots(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	writeSnapshot(f, s, 9, []byte("state"))
	whole, err := os.ReadFile(s.path(snapshotID(3, 9)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:20])
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, _, err := readHead(bytes.NewReader(b), snapshotID(3, 9)); err == nil && (m.Index != 9 || m.Term != 3) {
			t.Errorf("%x was read as %+v", b, m)
		}
	})
}
