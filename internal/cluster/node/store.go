package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"github.com/hashicorp/raft"
	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// store keeps Raft's log and its stable values (term and vote) in one bbolt file. Every write is on disk when it returns.
//
//	bucket "log":    index (8 bytes, big-endian) -> entry
//	bucket "stable": key -> value
//
//	entry:  version (1) | type (1) | term (8) | appended at, ns since 1970, 0 none (8) | data length (4) | data | extensions
type store struct {
	db *bbolt.DB
}

var (
	_ raft.LogStore    = (*store)(nil)
	_ raft.StableStore = (*store)(nil)
)

var (
	bucketLog    = []byte("log")
	bucketStable = []byte("stable")
)

// errNoKey is what Raft recognises, by its text, as a value never set.
var errNoKey = errors.New("not found")

const (
	entryVersion = 1
	entryHeader  = 1 + 1 + 8 + 8 + 4
)

// openStore opens or makes the file. A second process on the same file gets an error after lockWait.
func openStore(path string, lockWait time.Duration) (s *store, err error) {
	defer func() { // bbolt panics on some damaged files
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("open Raft's log %s: %w", path, damaged(r))
		}
	}()
	if err := check(path, lockWait); err != nil {
		return nil, fmt.Errorf("open Raft's log %s: %w", path, err)
	}
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, FreelistType: bbolt.FreelistMapType, NoFreelistSync: true})
	if err != nil {
		return nil, fmt.Errorf("open Raft's log %s: %w", path, err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range [][]byte{bucketLog, bucketStable} {
			if _, err := tx.CreateBucketIfNotExists(name); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil {
		err = syncDir(filepath.Dir(path)) // the file itself must survive, too
	}
	if err != nil {
		db.Close()
		return nil, fmt.Errorf("open Raft's log %s: %w", path, err)
	}
	return &store{db: db}, nil
}

// damaged says what is wrong with the file and what to do.
func damaged(what any) error {
	return fmt.Errorf("it is damaged (%v); set its folder aside: where there are other replicas, remove this one (ringmaster coordinators remove ID) "+
		"and let it join anew; alone it founds the cluster anew, without its jobs, whose checkpoints stay", what)
}

// check reads the whole file, and says what is wrong with it. bbolt reads all of it too when it opens it for writing, but in a
// goroutine of its own, where nobody can catch its panic.
func check(path string, lockWait time.Duration) (err error) {
	if info, err := os.Stat(path); err != nil || info.Size() == 0 {
		return nil // not made yet
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // beyond the end of the file, which lies in memory
			err = damaged("the file is cut short")
		default:
			err = damaged(r)
		}
	}()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockWait, ReadOnly: true})
	var unreadable *fs.PathError
	switch {
	case errors.Is(err, bbolterrors.ErrTimeout):
		return errors.New("another process has it open")
	case errors.As(err, &unreadable):
		return err
	case err != nil:
		return damaged(err)
	}
	defer db.Close()
	err = db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				if !bytes.Equal(name, bucketLog) {
					return nil
				}
				index, err := decodeIndex(key)
				if err != nil {
					return err
				}
				return decodeEntry(index, value, &raft.Log{})
			})
		})
	})
	if err != nil {
		return damaged(err)
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

// FirstIndex is the index of the oldest entry, 0 where there is none.
func (s *store) FirstIndex() (uint64, error) { return s.edge((*bbolt.Cursor).First) }

// LastIndex is the index of the newest entry, 0 where there is none.
func (s *store) LastIndex() (uint64, error) { return s.edge((*bbolt.Cursor).Last) }

func (s *store) edge(to func(*bbolt.Cursor) (key, value []byte)) (index uint64, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		key, _ := to(tx.Bucket(bucketLog).Cursor())
		if key != nil {
			index, err = decodeIndex(key)
		}
		return err
	})
	return index, err
}

// GetLog reads an entry; raft.ErrLogNotFound where there is none of that index.
func (s *store) GetLog(index uint64, into *raft.Log) error {
	return s.db.View(func(tx *bbolt.Tx) error {
		value := tx.Bucket(bucketLog).Get(encodeIndex(index))
		if value == nil {
			return raft.ErrLogNotFound
		}
		return decodeEntry(index, value, into)
	})
}

// StoreLog stores one entry.
func (s *store) StoreLog(entry *raft.Log) error { return s.StoreLogs([]*raft.Log{entry}) }

// StoreLogs stores entries, all or none; one of an index that is there is replaced. Gaps are allowed.
func (s *store) StoreLogs(entries []*raft.Log) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket(bucketLog)
		b.FillPercent = 0.9 // entries are appended, hardly ever inserted
		for _, e := range entries {
			value, err := encodeEntry(e)
			if err != nil {
				return err
			}
			if err := b.Put(encodeIndex(e.Index), value); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("store %d entries of Raft's log: %w", len(entries), err)
	}
	return nil
}

// DeleteRange deletes the entries of indices first to last, both included. Missing ones are no error.
func (s *store) DeleteRange(first, last uint64) error {
	err := s.db.Update(func(tx *bbolt.Tx) error {
		c := tx.Bucket(bucketLog).Cursor()
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
			// Delete may leave the cursor before or on the next key: look it up.
			if index == math.MaxUint64 {
				return nil
			}
			key, _ = c.Seek(encodeIndex(index + 1))
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("delete entries %d to %d of Raft's log: %w", first, last, err)
	}
	return nil
}

// Set stores a stable value.
func (s *store) Set(key, value []byte) error {
	err := s.db.Update(func(tx *bbolt.Tx) error { return tx.Bucket(bucketStable).Put(key, value) })
	if err != nil {
		return fmt.Errorf("store Raft's %s: %w", key, err)
	}
	return nil
}

// Get reads a stable value.
func (s *store) Get(key []byte) (value []byte, err error) {
	err = s.db.View(func(tx *bbolt.Tx) error {
		v := tx.Bucket(bucketStable).Get(key)
		if v == nil {
			return errNoKey
		}
		value = append([]byte{}, v...) // v is only valid in here
		return nil
	})
	return value, err
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

func encodeIndex(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func decodeIndex(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("a key of Raft's log has %d bytes, want 8", len(key))
	}
	return binary.BigEndian.Uint64(key), nil
}

func encodeEntry(e *raft.Log) ([]byte, error) {
	if uint64(len(e.Data)) > math.MaxUint32 {
		return nil, fmt.Errorf("entry %d has %d bytes, more than fit", e.Index, len(e.Data))
	}
	var at int64
	if !e.AppendedAt.IsZero() {
		at = e.AppendedAt.UnixNano()
	}
	b := make([]byte, 0, entryHeader+len(e.Data)+len(e.Extensions))
	b = append(b, entryVersion, byte(e.Type))
	b = binary.BigEndian.AppendUint64(b, e.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	b = append(b, e.Data...)
	return append(b, e.Extensions...), nil
}

// decodeEntry copies what it keeps.
func decodeEntry(index uint64, b []byte, into *raft.Log) error {
	if len(b) < entryHeader {
		return fmt.Errorf("entry %d of Raft's log has %d bytes, fewer than its header's %d", index, len(b), entryHeader)
	}
	if b[0] != entryVersion {
		return fmt.Errorf("entry %d of Raft's log has format %d, this program reads %d", index, b[0], entryVersion)
	}
	n := binary.BigEndian.Uint32(b[18:])
	rest := b[entryHeader:]
	if uint64(n) > uint64(len(rest)) {
		return fmt.Errorf("entry %d of Raft's log says %d bytes of data and has %d", index, n, len(rest))
	}
	*into = raft.Log{Index: index, Term: binary.BigEndian.Uint64(b[2:]), Type: raft.LogType(b[1])}
	if at := int64(binary.BigEndian.Uint64(b[10:])); at != 0 {
		into.AppendedAt = time.Unix(0, at)
	}
	if n > 0 {
		into.Data = append([]byte{}, rest[:n]...)
	}
	if int(n) < len(rest) {
		into.Extensions = append([]byte{}, rest[n:]...)
	}
	return nil
}
