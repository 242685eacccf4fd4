package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// store keeps Raft's log and its stable values (term and vote) in one bbolt file. Every write is on disk when it returns. All
// content has checksums, which every read verifies, and the whole file is verified before it is used.
//
//	bucket "log":   index (8 bytes, big-endian) -> entry
//	bucket "state": "record" -> record
type store struct {
	db      *bbolt.DB
	path    string
	damaged func(error) // told of an entry that turns out to be damaged while the store is in use; may be nil

	mu  sync.Mutex // guards what follows, and is held by all that write
	now record     // as the file has it; its map is replaced, never changed
}

var (
	_ raft.LogStore    = (*store)(nil)
	_ raft.StableStore = (*store)(nil)
)

var (
	bucketLog   = []byte("log")
	bucketState = []byte("state")
	keyRecord   = []byte("record")
)

// errNoKey is what Raft recognises, by its text, as a value never set.
var errNoKey = errors.New("not found")

// DamagedError means that what a replica keeps on its disk is not what it wrote.
type DamagedError struct {
	Path string // of the file
	What string // is wrong with it
}

// Error names the file and what is wrong with it.
func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged (%s)", e.Path, e.What) }

// openStore opens or makes the file. The error is a *DamagedError where it is not as it was written; a second process on the same
// file gets another one after lockWait.
func openStore(path string, lockWait time.Duration) (*store, error) {
	s, err := openFile(path, lockWait)
	if err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(path)); err != nil { // the file itself must survive, too
		return nil, errors.Join(fmt.Errorf("open Raft's log: %w", err), s.close())
	}
	return s, nil
}

func openFile(path string, lockWait time.Duration) (s *store, err error) {
	defer func() { // in case bbolt panics on what verify lets pass
		if r := recover(); r != nil {
			s, err = nil, &DamagedError{path, fmt.Sprint(r)}
		}
	}()
	s = &store{path: path}
	made, err := s.verify(lockWait)
	if err != nil {
		return nil, err
	}
	s.db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open Raft's log %s: %w", path, err)
	}
	if !made {
		err = s.db.Update(func(tx *bbolt.Tx) error {
			if _, err := tx.CreateBucketIfNotExists(bucketLog); err != nil {
				return err
			}
			b, err := tx.CreateBucketIfNotExists(bucketState)
			if err != nil {
				return err
			}
			return b.Put(keyRecord, s.now.encode())
		})
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open Raft's log %s: %w", path, err), s.db.Close())
	}
	return s, nil
}

// verify reads the whole file and notes its record. made is false where there is nothing yet: no file, or one that a process
// that made it left without its first transaction.
func (s *store) verify(lockWait time.Duration) (made bool, err error) {
	info, err := os.Stat(s.path)
	if errors.Is(err, fs.ErrNotExist) || err == nil && info.Size() == 0 {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("open Raft's log: %w", err)
	}
	f, err := os.Open(s.path)
	if err != nil {
		return false, fmt.Errorf("open Raft's log: %w", err)
	}
	defer f.Close()
	// Opened for reading, bbolt locks the file and looks at the meta pages alone.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // beyond the end of the memory-mapped file
			err = &DamagedError{s.path, "it is cut short"}
		default:
			err = &DamagedError{s.path, fmt.Sprint(r)}
		}
	}()
	db, err := bbolt.Open(s.path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
	var unreadable *fs.PathError
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return false, fmt.Errorf("open Raft's log %s: another process has it open", s.path)
	case errors.As(err, &unreadable):
		return false, fmt.Errorf("open Raft's log: %w", err)
	case err != nil:
		return false, &DamagedError{s.path, err.Error()}
	}
	defer db.Close()
	if info, err = f.Stat(); err != nil { // it may have grown before it was locked
		return false, err
	}
	c := &content{}
	transactions, err := scanPages(f, info.Size(), db.Info().PageSize, c.take)
	made = transactions > 1
	if err == nil && made {
		err = c.complete()
	}
	if err != nil {
		return false, &DamagedError{s.path, err.Error()}
	}
	s.now = c.record
	return made, nil
}

// content gathers what a file holds, to compare it with its record.
type content struct {
	found  record
	record record
	kept   bool // there is a record
}

func (c *content) take(bucket string, key, value []byte) error {
	switch {
	case bucket == string(bucketLog):
		index, err := decodeIndex(key)
		if err == nil {
			err = decodeEntry(index, value, &raft.Log{})
		}
		if c.found.count == 0 {
			c.found.first = index
		}
		c.found.last = index // keys come in their order
		c.found.count++
		return err
	case bucket == string(bucketState) && string(key) == string(keyRecord):
		r, err := decodeRecord(value)
		c.record, c.kept = r, true
		return err
	case bucket == "stable":
		return errors.New("an earlier build wrote it, without checksums")
	}
	return fmt.Errorf("it holds %q in %q", key, bucket)
}

// complete compares what the file holds with what it should.
func (c *content) complete() error {
	switch {
	case !c.kept:
		return errors.New("the term and vote of Raft are missing")
	case c.found.first != c.record.first || c.found.last != c.record.last || c.found.count != c.record.count:
		return fmt.Errorf("it holds %d entries from %d to %d, and should hold %d from %d to %d",
			c.found.count, c.found.first, c.found.last, c.record.count, c.record.first, c.record.last)
	}
	return nil
}

func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (s *store) close() error { return s.db.Close() }

// report makes what is wrong with the store's content an error, and tells whoever cares.
func (s *store) report(what error) error {
	err := &DamagedError{s.path, what.Error()}
	if s.damaged != nil {
		s.damaged(err)
	}
	return err
}

// FirstIndex is the index of the oldest entry, 0 where there is none.
func (s *store) FirstIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.first, nil
}

// LastIndex is the index of the newest entry, 0 where there is none.
func (s *store) LastIndex() (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now.last, nil
}

// GetLog reads an entry; raft.ErrLogNotFound where there is none of that index.
func (s *store) GetLog(index uint64, into *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLog).Get(encodeIndex(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		if err := decodeEntry(index, value, into); err != nil {
			return s.report(err)
		}
		return nil
	})
}

// StoreLog stores one entry.
func (s *store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs stores entries, all or none; one of an index that is there is replaced. Gaps are allowed.
func (s *store) StoreLogs(entries []*raft.Log) error {
	err := s.update(func(b *bbolt.Bucket, r *record) error {
		b.FillPercent = 0.9 // entries are appended, hardly ever inserted
		for _, e := range entries {
			value, err := encodeEntry(e)
			if err != nil {
				return err
			}
			key := encodeIndex(e.Index)
			if e.Index > r.last || b.Get(key) == nil {
				r.count++
			}
			if err := b.Put(key, value); err != nil {
				return err
			}
			if r.last = max(r.last, e.Index); r.count == 1 || e.Index < r.first {
				r.first = e.Index
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d entries of Raft's log: %w", len(entries), err)
	}
	return nil
}

// update changes the log and the record, both or none of them.
func (s *store) update(do func(log *bbolt.Bucket, r *record) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.now
	err := s.db.Update(func(tx *bbolt.Tx) error {
		if err := do(tx.Bucket(bucketLog), &r); err != nil {
			return err
		}
		return tx.Bucket(bucketState).Put(keyRecord, r.encode())
	})
	if err == nil {
		s.now = r
	}
	return err
}

// DeleteRange deletes the entries of indices first to last, both included. Missing ones are no error.
func (s *store) DeleteRange(first, last uint64) error {
	err := s.update(func(b *bbolt.Bucket, r *record) error {
		if err := cut(b, first, last, r); err != nil {
			return err
		}
		r.first, r.last = 0, 0
		if r.count == 0 {
			return nil
		}
		c := b.Cursor()
		oldest, _ := c.First()
		newest, _ := c.Last()
		var err error
		if r.first, err = decodeIndex(oldest); err == nil {
			r.last, err = decodeIndex(newest)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("delete entries %d to %d of Raft's log: %w", first, last, err)
	}
	return nil
}

// cut deletes entries and takes them off the record's count.
func cut(b *bbolt.Bucket, first, last uint64, r *record) error {
	c := b.Cursor()
	for key, _ := c.Seek(encodeIndex(first)); key != nil; {
		index, err := decodeIndex(key)
		if err != nil {
			return err
		}
		if index > last {
			return nil
		}
		if err := c.Delete(); err != nil {
			return err
		}
		r.count--
		// Delete may leave the cursor before or on the next key: look it up.
		if index == math.MaxUint64 {
			return nil
		}
		key, _ = c.Seek(encodeIndex(index + 1))
	}
	return nil
}

// Set stores a stable value.
func (s *store) Set(key, value []byte) error {
	err := s.update(func(_ *bbolt.Bucket, r *record) error {
		stable := maps.Clone(r.stable)
		if stable == nil {
			stable = map[string][]byte{}
		}
		stable[string(key)] = append([]byte{}, value...)
		r.stable = stable
		return nil
	})
	if err != nil {
		return fmt.Errorf("store Raft's %s: %w", key, err)
	}
	return nil
}

// Get reads a stable value.
func (s *store) Get(key []byte) (value []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v, ok := s.now.stable[string(key)]
	if !ok {
		return nil, errNoKey
	}
	return append([]byte{}, v...), nil
}

// SetUint64 stores a stable number.
func (s *store) SetUint64(key []byte, value uint64) error { return s.Set(key, encodeIndex(value)) }

// GetUint64 reads a stable number.
func (s *store) GetUint64(key []byte) (uint64, error) {
	value, err := s.Get(key)
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, fmt.Errorf("read Raft's %s: %d bytes, want 8", key, len(value))
	}
	return binary.BigEndian.Uint64(value), nil
}
