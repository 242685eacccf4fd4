package shards

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"ringmaster/internal/dataset/merkle"
)

// pack writes a set of one part, train, of these records.
func pack(t interface {
	Helper()
	Fatal(...any)
}, dir string, records [][]byte, largest int, same bool) {
	t.Helper()
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Part("train", len(records), largest, same); err != nil {
		t.Fatal(err)
	}
	var tree merkle.Tree
	for _, r := range records {
		leaf := merkle.Leaf(append([]byte{0}, r...))
		tree.Add(leaf)
		if err := w.Add(r, leaf); err != nil {
			t.Fatal(err)
		}
	}
	if root, err := w.EndPart(); err != nil || root != tree.Root() {
		t.Fatal("another root, or ", err)
	}
	if err := w.Finish(map[string]int{"n": len(records)}); err != nil {
		t.Fatal(err)
	}
}

// alike are n records of a size, whose bytes tell their number.
func alike(n, size int) (records [][]byte) {
	for i := range n {
		r := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, (size+1)/2)[:size]
		records = append(records, r)
	}
	return records
}

// TestReadBack reads records of all sizes back by number.
func TestReadBack(t *testing.T) {
	dir := t.TempDir()
	k := 0
	rapid.Check(t, func(t *rapid.T) {
		same := rapid.Bool().Draw(t, "same")
		largest := rapid.SampledFrom([]int{1, 100, 20000}).Draw(t, "largest")
		records := alike(rapid.IntRange(0, 30).Draw(t, "n"), largest)
		if !same {
			for i := range records {
				records[i] = records[i][:rapid.IntRange(0, largest).Draw(t, "length")]
			}
		}
		k++
		path := filepath.Join(dir, fmt.Sprint(k))
		pack(t, path, records, largest, same)
		s, err := Open(path, Options{Memory: rapid.SampledFrom([]int64{0, 30000, 1 << 20}).Draw(t, "memory")})
		if err != nil {
			t.Fatal(err)
		}
		p := s.Part("train")
		if _, err := s.Load(); err != nil || p.Len() != len(records) {
			t.Fatal(err, p.Len())
		}
		var room []byte
		for range 2 {
			for i := range records {
				var got []byte
				if got, room, err = p.Read(i, room); err != nil || !bytes.Equal(got, records[i]) {
					t.Fatalf("record %d is %.20x, %v", i, got, err)
				}
			}
		}
	})
}

// TestAFlippedByteIsNamed flips each byte of a set's files in turn. Opening or reading it must say so, with the shard and the place, and no
// record may differ; of a byte that was read and checked before, too.
func TestAFlippedByteIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	records := alike(40, 1000)
	pack(t, dir, records, 1000, false)
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	for _, e := range entries {
		name := filepath.Join(dir, e.Name())
		whole, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(whole); at += 331 {
			if at < len(magic) && e.Name() != IndexName {
				continue
			}
			s, err := Open(dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			before := at%2 == 0 && e.Name() != IndexName
			if before {
				if err := readAll(s, records); err != nil {
					t.Fatal(err)
				}
			}
			bad := bytes.Clone(whole)
			bad[at] ^= 1 << (at % 8)
			if err := os.WriteFile(name, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			if !before {
				s, err = Open(dir, Options{})
			}
			if err == nil {
				err = readAll(s, records)
			}
			inTable := at >= len(whole)-3*entryBytes // which was read before, and is not again
			if err == nil && !(before && inTable) || errors.Is(err, errOther) || err != nil && !strings.Contains(err.Error(), e.Name()) {
				t.Fatalf("byte %d of %s flipped: %v", at, e.Name(), err)
			}
			if err := os.WriteFile(name, whole, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

var errOther = errors.New("another record")

func readAll(s *Set, records [][]byte) error {
	for i := range records {
		got, _, err := s.Part("train").Read(i, nil)
		if err != nil {
			return err
		}
		if !bytes.Equal(got, records[i]) {
			return errOther
		}
	}
	return nil
}

// flaky serves a folder over HTTP with faults.
type flaky struct {
	files    http.Handler
	requests atomic.Int64
	down     atomic.Bool  // answers 503
	lies     atomic.Int64 // number of answers still to get a flipped byte; below zero: all
	cut      atomic.Int64 // number of answers still to end early
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.requests.Add(1)
	if f.down.Load() {
		http.Error(w, "down", http.StatusServiceUnavailable)
		return
	}
	answer := httptest.NewRecorder()
	f.files.ServeHTTP(answer, r)
	body := answer.Body.Bytes()
	for k, v := range answer.Header() {
		w.Header()[k] = v
	}
	if !strings.HasSuffix(r.URL.Path, IndexName) {
		if n := f.lies.Load(); n != 0 && len(body) > 0 {
			body[len(body)/2] ^= 1
			f.lies.Add(-1)
		}
		if f.cut.Load() > 0 {
			f.cut.Add(-1)
			w.WriteHeader(answer.Code)
			_, _ = w.Write(body[:len(body)/2])
			panic(http.ErrAbortHandler)
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(body)
}

func serve(t *testing.T, dir string) (*flaky, string) {
	t.Helper()
	f := &flaky{files: http.FileServer(http.Dir(dir))}
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return f, server.URL
}

func openWeb(t *testing.T, url, cache string, limit int64) *Set {
	t.Helper()
	s, err := Open(url, Options{Cache: cache, CacheBytes: limit})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestOverHTTP reads a set from a server that is down for a while, cuts answers short and flips a byte once: nothing of it shows. Another process
// with the same cache asks the server for the index alone.
func TestOverHTTP(t *testing.T) {
	dir, cache := filepath.Join(t.TempDir(), "set"), t.TempDir()
	records := alike(300, 3000)
	pack(t, dir, records, 3000, true)
	server, url := serve(t, dir)
	s := openWeb(t, url, cache, 1<<30)
	if _, _, err := s.Part("train").Read(0, nil); err != nil {
		t.Fatal(err)
	}
	if n := server.requests.Load(); n > 3 {
		t.Errorf("%d requests for one record, and not the index, a table and a chunk", n)
	}
	server.down.Store(true)
	server.cut.Store(2)
	server.lies.Store(1)
	timer := time.AfterFunc(300*time.Millisecond, func() { server.down.Store(false) })
	defer timer.Stop()
	if err := readAll(s, records); err != nil {
		t.Fatal(err)
	}
	before := server.requests.Load()
	if err := readAll(openWeb(t, url, cache, 1<<30), records); err != nil {
		t.Fatal(err)
	}
	if n := server.requests.Load() - before; n != 1 {
		t.Errorf("%d requests with a full cache, and not for the index alone", n)
	}
	// What a disk has spoilt in the cache is fetched again.
	err := filepath.WalkDir(cache, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		return os.WriteFile(path, bytes.Repeat([]byte{7}, chunkBytes), 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := readAll(openWeb(t, url, cache, 1<<30), records); err != nil {
		t.Fatal(err)
	}
}

// TestALyingServerIsNamed reads from servers that send other bytes, that have other files, and that know no ranges.
func TestALyingServerIsNamed(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	records := alike(100, 3000)
	pack(t, dir, records, 3000, true)
	server, url := serve(t, dir)
	s := openWeb(t, url, t.TempDir(), 1<<30)
	if _, _, err := s.Part("train").Read(0, nil); err != nil {
		t.Fatal(err)
	}
	server.lies.Store(-1)
	err := readAll(s, records)
	if err == nil || !strings.Contains(err.Error(), "train-00000.shard: bytes ") || !strings.Contains(err.Error(), url) {
		t.Errorf("a lying server: %v", err)
	}
	server.lies.Store(0)
	if err := os.Truncate(filepath.Join(dir, "train-00000.shard"), 100); err != nil {
		t.Fatal(err)
	}
	if err := readAll(openWeb(t, url, t.TempDir(), 1<<30), records); err == nil || !strings.Contains(err.Error(), "416") {
		t.Errorf("a short file: %v", err)
	}
	if err := os.Remove(filepath.Join(dir, "train-00000.shard")); err != nil {
		t.Fatal(err)
	}
	if err := readAll(openWeb(t, url, t.TempDir(), 1<<30), records); err == nil || !strings.Contains(err.Error(), "train-00000.shard: the server answers 404") {
		t.Errorf("a missing file: %v", err)
	}
	text, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		t.Fatal(err)
	}
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(text) }))
	defer plain.Close()
	if err := readAll(openWeb(t, plain.URL, t.TempDir(), 1<<30), records); err == nil || !strings.Contains(err.Error(), "ranges of bytes") {
		t.Errorf("a server without ranges: %v", err)
	}
}

// TestPatienceEnds reads from a server that stays down.
func TestPatienceEnds(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	pack(t, dir, alike(10, 10), 10, true)
	server, url := serve(t, dir)
	s := openWeb(t, url, t.TempDir(), 1<<30)
	s.from.(*web).patience = 100 * time.Millisecond
	server.down.Store(true)
	if _, _, err := s.Part("train").Read(0, nil); err == nil || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
}

// TestReadsEndWithTheirContext waits for a server that stays down, within a context that ends: the read ends with it, and not after minutes of patience. Later reads have a context of their own.
func TestReadsEndWithTheirContext(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	pack(t, dir, alike(10, 10), 10, true)
	server, url := serve(t, dir)
	s := openWeb(t, url, t.TempDir(), 1<<30)
	server.down.Store(true)
	before := server.requests.Load()
	ctx, end := context.WithCancel(context.Background())
	s.Within(ctx)
	read := make(chan error)
	go func() {
		_, _, err := s.Part("train").Read(0, nil)
		read <- err
	}()
	for server.requests.Load() < before+2 { // it has tried again
		time.Sleep(time.Millisecond)
	}
	end()
	if err := <-read; !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	server.down.Store(false)
	s.Within(context.Background())
	if _, _, err := s.Part("train").Read(0, nil); err != nil {
		t.Error(err)
	}
}

// TestCacheIsBounded reads more than the cache may hold.
func TestCacheIsBounded(t *testing.T) {
	dir, folder := filepath.Join(t.TempDir(), "set"), t.TempDir()
	records := alike(250, 30000) // 7.5 MB
	pack(t, dir, records, 30000, true)
	_, url := serve(t, dir)
	const limit = 3 << 20
	s := openWeb(t, url, folder, limit)
	for i := range records {
		if _, _, err := s.Part("train").Read(i, nil); err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		_ = filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
			if info, e := d.Info(); err == nil && e == nil && !d.IsDir() {
				total += info.Size()
			}
			return nil
		})
		if total > limit {
			t.Fatalf("after record %d the cache has %d bytes, more than %d", i, total, limit)
		}
	}
}

// TestInterruptedPacking begins to pack again where a packing was interrupted: there is no set before the last one is whole, and it is whole.
func TestInterruptedPacking(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "set")
	w, err := Create(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Part("train", 2, 10, true), w.Add(make([]byte, 10), merkle.Hash{})); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), IndexName) {
		t.Errorf("a set that is not whole opens: %v", err)
	}
	if _, err := Create(dir); err == nil {
		t.Error("two may pack into one folder")
	}
	if err := w.draft.lock.Release(); err != nil { // as the system does when the process dies
		t.Fatal(err)
	}
	records := alike(5, 10)
	pack(t, dir, records, 10, true)
	s, err := Open(dir, Options{})
	if err != nil || readAll(s, records) != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + partialSuffix); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder of the packing is left: %v", err)
	}
	if _, err := Create(dir); err == nil || !strings.Contains(err.Error(), "not empty") {
		t.Errorf("a set is overwritten: %v", err)
	}
}

// FuzzIndex decodes indexes: none costs more than its bytes, and what is taken is whole.
func FuzzIndex(f *testing.F) {
	for _, n := range []int{0, 5, 3000} {
		dir := filepath.Join(f.TempDir(), "set")
		pack(f, dir, alike(n, 100), 100, n != 5)
		text, err := os.ReadFile(filepath.Join(dir, IndexName))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		x, err := decodeIndex(text)
		if err != nil {
			return
		}
		for _, l := range x.Parts {
			newPart(&Set{}, l)
		}
	})
}

// memory is a set in memory, of one shard.
type memory struct{ raw []byte }

func (m *memory) String() string         { return "memory" }
func (m *memory) near() bool             { return true }
func (m *memory) index() ([]byte, error) { return nil, fs.ErrNotExist }
func (m *memory) readAt(f *file, p []byte, at int64, _ bool) error {
	if at < 0 || at+int64(len(p)) > int64(len(m.raw)) {
		return fmt.Errorf("%s: bytes %d to %d of %d", f.name, at, at+int64(len(p)), len(m.raw))
	}
	copy(p, m.raw[at:])
	return nil
}

// FuzzShard reads shards of any bytes: records that are given are those that were packed.
func FuzzShard(f *testing.F) {
	dir := filepath.Join(f.TempDir(), "set")
	records := alike(30, 700)
	for i := range records {
		records[i] = records[i][:20*i+1]
	}
	pack(f, dir, records, 700, false)
	text, err := os.ReadFile(filepath.Join(dir, IndexName))
	if err != nil {
		f.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(dir, "train-00000.shard"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		x, err := decodeIndex(text)
		if err != nil {
			t.Fatal(err)
		}
		s := &Set{from: &memory{raw}}
		s.parts = []*Part{newPart(s, x.Parts[0])}
		if err := readAll(s, records); errors.Is(err, errOther) {
			t.Fatal(err)
		}
	})
}
