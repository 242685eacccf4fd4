package raftnode

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/raft"
)

// snapshots keeps the newest snapshot of the state, in a file of its own that is complete from the moment it has its name. Every
// read verifies its checksums, CRC-32C.
//
//	"RMSNAP1\n" (8) | head length (4) | head, in JSON | checksum of all before (4) | state | checksum of all before (4)
type snapshots struct{ dir string }

var _ raft.SnapshotStore = (*snapshots)(nil)

const (
	snapshotMagic = "RMSNAP1\n"
	snapshotEnd   = ".snapshot"
	snapshotTemp  = ".tmp" // ends the name of one that is not complete
	maxHead       = 1 << 20
)

// openSnapshots makes the folder where it is missing, removes what a crash left in it, and verifies what is there.
func openSnapshots(dir string) (*snapshots, error) {
	s := &snapshots{dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the folder of Raft's snapshots: %w", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list Raft's snapshots: %w", err)
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), snapshotTemp) {
			if err := os.Remove(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	all, err := s.List()
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		_, f, err := s.Open(m.ID)
		if err != nil {
			return nil, err
		}
		f.Close()
	}
	return s, nil
}

// snapshotID orders as terms and indices do.
func snapshotID(term, index uint64) string { return fmt.Sprintf("%020d-%020d", term, index) }

func (s *snapshots) path(id string) string { return filepath.Join(s.dir, id+snapshotEnd) }

// List describes the snapshots that there are, the newest first.
func (s *snapshots) List() ([]*raft.SnapshotMeta, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, fmt.Errorf("list Raft's snapshots: %w", err)
	}
	var all []*raft.SnapshotMeta
	for _, e := range entries {
		id, whole := strings.CutSuffix(e.Name(), snapshotEnd)
		switch {
		case whole:
			m, f, _, err := s.head(id)
			if err != nil {
				return nil, err
			}
			f.Close()
			all = append(all, m)
		case e.IsDir():
			return nil, &DamagedError{filepath.Join(s.dir, e.Name()), "an earlier build wrote it"}
		}
	}
	slices.SortFunc(all, func(a, b *raft.SnapshotMeta) int { return cmp.Compare(b.ID, a.ID) })
	return all, nil
}

// head opens a snapshot and reads up to its state. sum is the checksum so far.
func (s *snapshots) head(id string) (m *raft.SnapshotMeta, f *os.File, sum uint32, err error) {
	path := s.path(id)
	f, err = os.Open(path)
	if err != nil {
		return nil, nil, 0, fmt.Errorf("open Raft's snapshot: %w", err)
	}
	m, sum, err = readHead(f, id)
	if err == nil {
		var info os.FileInfo
		if info, err = f.Stat(); err == nil {
			at, _ := f.Seek(0, io.SeekCurrent)
			if m.Size = info.Size() - at - 4; m.Size < 0 {
				err = errors.New("it is cut short")
			}
		}
	}
	if err != nil {
		f.Close()
		return nil, nil, 0, &DamagedError{path, err.Error()}
	}
	return m, f, sum, nil
}

// readHead reads the head that precedes a snapshot's state.
func readHead(from io.Reader, id string) (*raft.SnapshotMeta, uint32, error) {
	fixed := make([]byte, len(snapshotMagic)+4)
	if _, err := io.ReadFull(from, fixed); err != nil {
		return nil, 0, errors.New("it is cut short")
	}
	n := binary.BigEndian.Uint32(fixed[len(snapshotMagic):])
	if string(fixed[:len(snapshotMagic)]) != snapshotMagic || n > maxHead {
		return nil, 0, errors.New("it does not begin as a snapshot does")
	}
	rest := make([]byte, n+4)
	if _, err := io.ReadFull(from, rest); err != nil {
		return nil, 0, errors.New("it is cut short")
	}
	sum := crc32.Update(crc32.Checksum(fixed, castagnoli), castagnoli, rest[:n])
	if binary.BigEndian.Uint32(rest[n:]) != sum {
		return nil, 0, errors.New("its head does not have its checksum")
	}
	m := &raft.SnapshotMeta{}
	if err := json.Unmarshal(rest[:n], m); err != nil {
		return nil, 0, fmt.Errorf("its head is not as written: %w", err)
	}
	if m.ID != id || id != snapshotID(m.Term, m.Index) {
		return nil, 0, errors.New("it has the name of another")
	}
	return m, crc32.Update(sum, castagnoli, rest[n:]), nil
}

// Open reads a snapshot, after all of it has been verified.
func (s *snapshots) Open(id string) (*raft.SnapshotMeta, io.ReadCloser, error) {
	m, f, sum, err := s.head(id)
	if err != nil {
		return nil, nil, err
	}
	begin, _ := f.Seek(0, io.SeekCurrent)
	var end [4]byte
	_, err = io.CopyN((*updating)(&sum), f, m.Size)
	if err == nil {
		_, err = io.ReadFull(f, end[:])
	}
	if err == nil && binary.BigEndian.Uint32(end[:]) != sum {
		err = errors.New("its state does not have its checksum")
	}
	if err != nil {
		f.Close()
		return nil, nil, &DamagedError{f.Name(), err.Error()}
	}
	return m, &section{io.NewSectionReader(f, begin, m.Size), f}, nil
}

// updating goes on with a checksum.
type updating uint32

func (u *updating) Write(p []byte) (int, error) {
	*u = updating(crc32.Update(uint32(*u), castagnoli, p))
	return len(p), nil
}

// section is a part of a file, which is closed with it.
type section struct {
	io.Reader
	file *os.File
}

func (s *section) Close() error { return s.file.Close() }

// Create begins a snapshot.
func (s *snapshots) Create(version raft.SnapshotVersion, index, term uint64, c raft.Configuration, at uint64, _ raft.Transport) (raft.SnapshotSink, error) {
	id := snapshotID(term, index)
	head, err := json.Marshal(raft.SnapshotMeta{Version: version, ID: id, Index: index, Term: term, Configuration: c, ConfigurationIndex: at})
	if err != nil {
		return nil, fmt.Errorf("write Raft's snapshot %s: %w", id, err)
	}
	if len(head) > maxHead {
		return nil, fmt.Errorf("write Raft's snapshot %s: its head has %d bytes, more than %d", id, len(head), maxHead)
	}
	f, err := os.CreateTemp(s.dir, id+"-*"+snapshotTemp)
	if err != nil {
		return nil, fmt.Errorf("write Raft's snapshot: %w", err)
	}
	sink := &snapshotSink{store: s, id: id, file: f, out: bufio.NewWriterSize(f, 1<<16)}
	text := append(binary.BigEndian.AppendUint32([]byte(snapshotMagic), uint32(len(head))), head...)
	_, err = sink.Write(binary.BigEndian.AppendUint32(text, crc32.Checksum(text, castagnoli)))
	if err != nil {
		return nil, errors.Join(err, sink.Cancel())
	}
	return sink, nil
}

// snapshotSink writes one snapshot.
type snapshotSink struct {
	store *snapshots
	id    string
	file  *os.File
	out   *bufio.Writer
	sum   uint32
	ended bool
}

// ID is the snapshot's.
func (s *snapshotSink) ID() string { return s.id }

// Write adds to the state.
func (s *snapshotSink) Write(p []byte) (int, error) {
	s.sum = crc32.Update(s.sum, castagnoli, p)
	return s.out.Write(p)
}

// Close completes the snapshot: it is on disk, and older ones are gone.
func (s *snapshotSink) Close() error {
	if s.ended {
		return nil
	}
	_, err := s.out.Write(binary.BigEndian.AppendUint32(nil, s.sum))
	err = errors.Join(err, s.out.Flush(), s.file.Sync())
	if err != nil {
		return errors.Join(fmt.Errorf("write Raft's snapshot %s: %w", s.id, err), s.Cancel())
	}
	s.ended = true
	err = errors.Join(s.file.Close(), os.Rename(s.file.Name(), s.store.path(s.id)))
	if err == nil {
		err = syncDir(s.store.dir)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write Raft's snapshot %s: %w", s.id, err), os.Remove(s.file.Name()))
	}
	return s.store.removeBefore(s.id)
}

// Cancel forgets the snapshot.
func (s *snapshotSink) Cancel() error {
	if s.ended {
		return nil
	}
	s.ended = true
	return errors.Join(s.file.Close(), os.Remove(s.file.Name()))
}

// removeBefore removes the snapshots that are older than one.
func (s *snapshots) removeBefore(id string) error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if old, ok := strings.CutSuffix(e.Name(), snapshotEnd); ok && old < id {
			err = errors.Join(err, os.Remove(s.path(old)))
		}
	}
	return err
}
