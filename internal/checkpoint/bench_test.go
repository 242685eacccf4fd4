package checkpoint

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"ringmaster/internal/checkpoint/disk"
)

// BenchmarkSave hashes, encodes and stores a checkpoint of 100 MB on disk.
func BenchmarkSave(b *testing.B) {
	l := mustLayout(b, 1, tensorsOf("p", []int{25 << 20}), nil)
	s, n := l.NewState(), 0
	dir := b.TempDir()
	store := mustOpen(b, disk.OS{}, dir)
	b.SetBytes(l.Shares()[0].Bytes)
	for b.Loop() {
		n++
		f, err := l.EncodeShare(io.Discard, 0, s)
		must(b, err)
		u, err := store.Begin(Name{Step: uint64(n), Generation: 1}.Folder(), f.Name, f.Bytes)
		must(b, err)
		must(b, l.WriteShare(u, 0, s))
		must(b, u.Commit(f.SHA256))
		retire(b, store, Name{Step: uint64(n), Generation: 1})
	}
}

// BenchmarkDisk writes the same bytes plainly, for comparison.
func BenchmarkDisk(b *testing.B) {
	data, n := make([]byte, 100<<20), 0
	dir := b.TempDir()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		n++
		name := filepath.Join(dir, fmt.Sprint(n))
		f, err := os.Create(name)
		must(b, err)
		_, err = f.Write(data)
		must(b, err)
		must(b, f.Sync())
		must(b, f.Close())
		must(b, os.Remove(name))
	}
}

func BenchmarkLoad(b *testing.B) {
	l := mustLayout(b, 1, tensorsOf("p", []int{25 << 20}), nil)
	s := l.NewState()
	s.Step = 1
	var buf bytes.Buffer
	f, err := l.EncodeShare(&buf, 0, s)
	must(b, err)
	m := &Manifest{Version: ManifestVersion, Step: 1, Generation: 1, Seats: 1, Digest: Digest(s.Params), StateDigest: StateDigest(s), Files: []File{f}}
	dir := b.TempDir()
	store := mustOpen(b, disk.OS{}, dir)
	must(b, store.PutFile(m.Folder(), f.Name, &buf, f.Bytes, f.SHA256))
	must(b, store.Commit(m))
	e, _, err := newestOf(store)
	must(b, err)
	b.SetBytes(f.Bytes)
	for b.Loop() {
		if _, err := e.Load(l); err != nil {
			b.Fatal(err)
		}
	}
}
