package raftnode

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	"pgregory.net/rapid"
)

func mustOpen(t interface{ Fatal(...any) }, path string) *store {
	s, err := openStore(path, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	s.db.NoSync = true // only in tests: what is durable is shown by TestKilledReplicaKeepsWhatItAcknowledged
	return s
}

// TestStoreAgainstAMap does what Raft does to a log (append, overwrite, gap, cut at either end) to the store and to a map,
// closing and opening the store in between.
func TestStoreAgainstAMap(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := mustOpen(t, path) // one for all: opening waits for the disk
	defer func() { s.close() }()
	rapid.Check(t, func(t *rapid.T) {
		if err := s.DeleteRange(0, math.MaxUint64); err != nil {
			t.Fatal(err)
		}
		model := map[uint64]raft.Log{}
		first, last := uint64(0), uint64(0)
		edges := func() {
			first, last = 0, 0
			for i := range model {
				if first == 0 || i < first {
					first = i
				}
				last = max(last, i)
			}
		}
		for range rapid.IntRange(1, 25).Draw(t, "operations") {
			switch rapid.IntRange(0, 49).Draw(t, "operation") % 25 {
			case 1, 2, 3, 4, 5, 6, 7, 8, 9, 10: // append, sometimes after a gap
				var list []*raft.Log
				at := last + rapid.Uint64Range(1, 3).Draw(t, "after")
				for range rapid.IntRange(1, 5).Draw(t, "entries") {
					list = append(list, drawEntry(t, at))
					at++
				}
				if err := s.StoreLogs(list); err != nil {
					t.Fatal(err)
				}
				for _, e := range list {
					model[e.Index] = *e
				}
			case 11, 12, 13, 14, 15, 16: // overwrite
				if last > 0 {
					e := drawEntry(t, rapid.Uint64Range(first, last).Draw(t, "index"))
					if err := s.StoreLog(e); err != nil {
						t.Fatal(err)
					}
					model[e.Index] = *e
				}
			case 0: // close and open
				if err := s.close(); err != nil {
					t.Fatal(err)
				}
				s = mustOpen(t, path)
			default: // cut off one end or both, or what is not there
				from := rapid.Uint64Range(0, last+2).Draw(t, "from")
				to := rapid.Uint64Range(from, last+4).Draw(t, "to")
				if err := s.DeleteRange(from, to); err != nil {
					t.Fatal(err)
				}
				for i := from; i <= to; i++ {
					delete(model, i)
				}
			}
			edges()
			compareStore(t, s, model, first, last)
		}
	})
}

func drawEntry(t *rapid.T, index uint64) *raft.Log {
	e := &raft.Log{Index: index, Term: rapid.Uint64().Draw(t, "term"), Type: raft.LogType(rapid.IntRange(0, 5).Draw(t, "type"))}
	if b := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "data"); len(b) > 0 {
		e.Data = b
	}
	if b := rapid.SliceOfN(rapid.Byte(), 0, 4).Draw(t, "extensions"); len(b) > 0 {
		e.Extensions = b
	}
	if ns := rapid.Int64Range(0, 1<<61).Draw(t, "at"); ns > 0 {
		e.AppendedAt = time.Unix(0, ns)
	}
	return e
}

func compareStore(t *rapid.T, s *store, model map[uint64]raft.Log, first, last uint64) {
	gotFirst, err1 := s.FirstIndex()
	gotLast, err2 := s.LastIndex()
	if err1 != nil || err2 != nil || gotFirst != first || gotLast != last {
		t.Fatalf("indices %d to %d (%v, %v), want %d to %d", gotFirst, gotLast, err1, err2, first, last)
	}
	for i := uint64(0); i <= last+1; i++ {
		var got raft.Log
		err := s.GetLog(i, &got)
		want, ok := model[i]
		if !ok {
			if err != raft.ErrLogNotFound { // Raft compares with ==
				t.Fatalf("entry %d is not there, but the error is %v", i, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if got.Index != want.Index || got.Term != want.Term || got.Type != want.Type || !bytes.Equal(got.Data, want.Data) ||
			!bytes.Equal(got.Extensions, want.Extensions) || !got.AppendedAt.Equal(want.AppendedAt) {
			t.Fatalf("entry %d is %+v, want %+v", i, got, want)
		}
	}
}

func TestStoreKeepsStableValues(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := mustOpen(t, path)
	if _, err := s.Get([]byte("vote")); err == nil || err.Error() != "not found" { // the text is what Raft looks at
		t.Errorf("a value never set: %v", err)
	}
	if _, err := s.GetUint64([]byte("term")); err == nil || err.Error() != "not found" {
		t.Errorf("a number never set: %v", err)
	}
	if err := errors.Join(s.Set([]byte("vote"), []byte("c1")), s.SetUint64([]byte("term"), 7), s.Set([]byte("empty"), nil)); err != nil {
		t.Fatal(err)
	}
	s.close()
	s = mustOpen(t, path)
	defer s.close()
	if v, err := s.Get([]byte("vote")); err != nil || string(v) != "c1" {
		t.Errorf("vote is %q, %v", v, err)
	}
	if v, err := s.GetUint64([]byte("term")); err != nil || v != 7 {
		t.Errorf("term is %d, %v", v, err)
	}
	if v, err := s.Get([]byte("empty")); err != nil || v == nil || len(v) != 0 {
		t.Errorf("an empty value is %v, %v", v, err)
	}
	if _, err := s.GetUint64([]byte("vote")); err == nil {
		t.Error("a value of two bytes was read as a number")
	}
}

func TestStoreOpensAFileOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	s := mustOpen(t, path)
	defer s.close()
	_, err := openStore(path, 20*time.Millisecond)
	if err == nil || !strings.Contains(err.Error(), "another process has it open") {
		t.Errorf("opened twice: %v", err)
	}
}

// filledStore makes a file with entries of several sizes, some of them deleted, and stable values. Then it is closed.
func filledStore(t testing.TB) (path string, whole []byte) {
	path = filepath.Join(t.TempDir(), "raft.db")
	s := mustOpen(t, path)
	var batch []*raft.Log
	for i := range uint64(120) {
		e := &raft.Log{Index: i + 1, Term: 3, Data: bytes.Repeat([]byte{byte(i)}, 90+int(i)), AppendedAt: time.Unix(1, 0)}
		if i%40 == 9 {
			e.Data = bytes.Repeat([]byte("large"), 2000) // takes pages of its own
		}
		if batch = append(batch, e); len(batch) == 40 {
			if err := s.StoreLogs(batch); err != nil {
				t.Fatal(err)
			}
			batch = nil
		}
	}
	if err := errors.Join(s.DeleteRange(1, 15), s.DeleteRange(112, 120), s.SetUint64([]byte("CurrentTerm"), 3), s.Set([]byte("LastVoteCand"), []byte("c2"))); err != nil {
		t.Fatal(err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, whole
}

// contents is everything that Raft can read from a store.
func contents(s *store) (string, error) {
	first, err1 := s.FirstIndex()
	last, err2 := s.LastIndex()
	term, err3 := s.GetUint64([]byte("CurrentTerm"))
	vote, err4 := s.Get([]byte("LastVoteCand"))
	text := fmt.Sprintln(first, last, term, string(vote))
	err := errors.Join(err1, err2, err3, err4)
	for i := uint64(0); i < 130; i++ {
		var e raft.Log
		switch got := s.GetLog(i, &e); got {
		case raft.ErrLogNotFound:
		case nil:
			text += fmt.Sprintln(e)
		default:
			err = errors.Join(err, got)
		}
	}
	return text, err
}

// TestChangedBytesAreNoticed changes bytes of a file, one at a time: all of those that say where things are, and others all over it.
// Either the file is refused by name, or what it holds is what was written.
func TestChangedBytesAreNoticed(t *testing.T) {
	path, whole := filledStore(t)
	want := readAll(t, path)
	page := os.Getpagesize()
	noticed, tried := 0, 0
	for at := range whole {
		inPage := at % page
		if inPage >= 64 && at%331 != 0 || inPage < 64 && at%11 != 0 {
			continue
		}
		tried++
		changed := bytes.Clone(whole)
		changed[at] ^= []byte{1, 0x80, 0xff, 0x10}[tried%4]
		if err := os.WriteFile(path, changed, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := openFile(path, time.Second)
		if err == nil {
			var got string
			got, err = contents(s)
			if s.close(); err == nil && got != want {
				t.Fatalf("byte %d (%d of page %d) changed: other content is read without a word", at, inPage, at/page)
			}
		}
		if damaged := (*DamagedError)(nil); err != nil && (!errors.As(err, &damaged) || damaged.Path != path) {
			t.Errorf("byte %d changed: the error does not name the file: %v", at, err)
		}
		if err != nil {
			noticed++
		}
	}
	t.Logf("%d bytes changed, %d noticed, the others are not in use", tried, noticed)
	if noticed < 150 {
		t.Errorf("only %d of %d changed bytes were in use", noticed, tried)
	}
}

func readAll(t *testing.T, path string) string {
	s := mustOpen(t, path)
	defer s.close()
	text, err := contents(s)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestEntryDamagedInUse: the file was whole when it was opened.
func TestEntryDamagedInUse(t *testing.T) {
	path, whole := filledStore(t)
	s := mustOpen(t, path)
	defer s.close()
	var told error
	s.damaged = func(err error) { told = err }
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for at := 0; ; at++ { // wherever the entry was
		next := bytes.Index(whole[at:], bytes.Repeat([]byte{50}, 140))
		if next < 0 {
			break
		}
		at += next
		if _, err := f.WriteAt([]byte{51}, int64(at+70)); err != nil {
			t.Fatal(err)
		}
	}
	var e raft.Log
	err = s.GetLog(51, &e)
	if want := path + " is damaged (entry 51 does not have its checksum)"; err == nil || err.Error() != want || told != err {
		t.Errorf("read as %v, %v, told %v; want %s", e, err, told, want)
	}
}

func TestStoreRefusesADamagedFile(t *testing.T) {
	path, whole := filledStore(t)
	page := os.Getpagesize()
	for name, damage := range map[string]func([]byte) []byte{
		"no file of ours":   func(b []byte) []byte { return bytes.Repeat([]byte("x"), len(b)) },
		"one meta page":     func(b []byte) []byte { clear(b[:page]); return b },
		"the other":         func(b []byte) []byte { clear(b[page : 2*page]); return b },
		"both meta pages":   func(b []byte) []byte { clear(b[:2*page]); return b },
		"all pages but two": func(b []byte) []byte { clear(b[2*page:]); return b },
		"cut short":         func(b []byte) []byte { return b[:4*page] },
	} {
		if err := os.WriteFile(path, damage(bytes.Clone(whole)), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := openStore(path, time.Second); err == nil {
			s.close()
			t.Errorf("%s: opened", name)
		} else if !errors.As(err, new(*DamagedError)) || !strings.HasPrefix(err.Error(), path+" is damaged (") {
			t.Errorf("%s: the error does not name the file and its damage: %v", name, err)
		}
	}
}

// TestFileThatWasNeverUsed: a process killed while it created the file left one without content, or an empty one.
func TestFileThatWasNeverUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "raft.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	for range 2 {
		s := mustOpen(t, path)
		if last, err := s.LastIndex(); last != 0 || err != nil {
			t.Errorf("last index %d, %v", last, err)
		}
		s.close()
		if err := os.Truncate(path, 0); err != nil {
			t.Fatal(err)
		}
	}
}

func FuzzScanPages(f *testing.F) {
	_, whole := filledStore(f)
	page := os.Getpagesize()
	f.Add(whole[:8*page])
	f.Add(whole)
	f.Fuzz(func(t *testing.T, b []byte) {
		total := 0
		_, err := scanPages(bytes.NewReader(b), int64(len(b)), page, func(_ string, key, value []byte) error {
			total += len(key) + len(value)
			return nil
		})
		if total > len(b) {
			t.Errorf("%d bytes were read from a file of %d (%v)", total, len(b), err)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(record{1, 2, 2, map[string][]byte{"a": []byte("b"), "": nil}}.encode())
	f.Add(record{}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeRecord(b); err == nil && len(r.encode()) > len(b) { // keys may repeat in bytes that nobody wrote
			t.Errorf("%x was read as %v", b, r)
		}
	})
}

func FuzzDecodeEntry(f *testing.F) {
	whole, err := encodeEntry(&raft.Log{Index: 9, Term: 3, Data: []byte("data"), Extensions: []byte("more"), AppendedAt: time.Unix(1, 0)})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:entryHeader])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		var e raft.Log
		if decodeEntry(9, b, &e) != nil {
			return
		}
		again, err := encodeEntry(&e)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x was read as %+v, which is written %x (%v)", b, e, again, err)
		}
	})
}
