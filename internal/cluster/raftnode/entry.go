package raftnode

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/hashicorp/raft"
)

// An entry of Raft's log, as stored in the file. The checksum, CRC-32C, covers the entry's index and all that follows it.
//
//	version (1) | checksum (4) | type (1) | term (8) | appended at, ns since 1970, 0 none (8) | data length (4) | data | extensions
const (
	entryVersion = 2
	entryHeader  = 1 + 4 + 1 + 8 + 8 + 4
	entrySummed  = 1 + 4 // where what the checksum covers begins
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func encodeIndex(index uint64) []byte { return binary.BigEndian.AppendUint64(nil, index) }

func decodeIndex(key []byte) (uint64, error) {
	if len(key) != 8 {
		return 0, fmt.Errorf("a key has %d bytes, want 8", len(key))
	}
	return binary.BigEndian.Uint64(key), nil
}

func entryChecksum(index uint64, b []byte) uint32 {
	return crc32.Update(crc32.Checksum(encodeIndex(index), castagnoli), castagnoli, b[entrySummed:])
}

func encodeEntry(e *raft.Log) ([]byte, error) {
	if uint64(len(e.Data)) > math.MaxUint32 {
		return nil, fmt.Errorf("entry %d has %d bytes, more than fit", e.Index, len(e.Data))
	}
	var at int64
	if !e.AppendedAt.IsZero() {
		at = e.AppendedAt.UnixNano()
	}
	b := make([]byte, entrySummed, entryHeader+len(e.Data)+len(e.Extensions))
	b[0] = entryVersion
	b = append(b, byte(e.Type))
	b = binary.BigEndian.AppendUint64(b, e.Term)
	b = binary.BigEndian.AppendUint64(b, uint64(at))
	b = binary.BigEndian.AppendUint32(b, uint32(len(e.Data)))
	b = append(b, e.Data...)
	b = append(b, e.Extensions...)
	binary.BigEndian.PutUint32(b[1:], entryChecksum(e.Index, b))
	return b, nil
}

// decodeEntry copies what it keeps.
func decodeEntry(index uint64, b []byte, into *raft.Log) error {
	if len(b) < entryHeader {
		return fmt.Errorf("entry %d has %d bytes, fewer than its header's %d", index, len(b), entryHeader)
	}
	if b[0] != entryVersion {
		return fmt.Errorf("entry %d has format %d, this program reads %d", index, b[0], entryVersion)
	}
	if binary.BigEndian.Uint32(b[1:]) != entryChecksum(index, b) {
		return fmt.Errorf("entry %d does not have its checksum", index)
	}
	head, rest := b[entrySummed:], b[entryHeader:]
	n := binary.BigEndian.Uint32(head[17:])
	if uint64(n) > uint64(len(rest)) {
		return fmt.Errorf("entry %d says %d bytes of data and has %d", index, n, len(rest))
	}
	*into = raft.Log{Index: index, Type: raft.LogType(head[0]), Term: binary.BigEndian.Uint64(head[1:])}
	if at := int64(binary.BigEndian.Uint64(head[9:])); at != 0 {
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

// record is the file's content other than the entries: which of them there are, so that a lost one is noticed, and the stable values.
// It is written with every change, from the file's first moment on.
type record struct {
	first, last uint64 // indices of the oldest and newest entry; 0: there is none
	count       uint64 // of entries
	stable      map[string][]byte
}

// A record, as stored in the file, ordered by keys. The checksum, CRC-32C, covers all that follows it.
//
//	version (1) | checksum (4) | first (8) | last (8) | count (8) | { key length (4) | key | value length (4) | value }
const (
	recordVersion = 1
	recordSummed  = 1 + 4
	recordHeader  = recordSummed + 3*8
)

func (r record) encode() []byte {
	b := make([]byte, recordSummed, recordHeader)
	b[0] = recordVersion
	for _, n := range []uint64{r.first, r.last, r.count} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	for _, key := range slices.Sorted(maps.Keys(r.stable)) {
		for _, text := range [][]byte{[]byte(key), r.stable[key]} {
			b = binary.BigEndian.AppendUint32(b, uint32(len(text)))
			b = append(b, text...)
		}
	}
	binary.BigEndian.PutUint32(b[1:], crc32.Checksum(b[recordSummed:], castagnoli))
	return b
}

func decodeRecord(b []byte) (record, error) {
	switch {
	case len(b) < recordHeader:
		return record{}, fmt.Errorf("the term and vote of Raft have %d bytes, fewer than their header's %d", len(b), recordHeader)
	case b[0] != recordVersion:
		return record{}, fmt.Errorf("the term and vote of Raft have format %d, this program reads %d", b[0], recordVersion)
	case binary.BigEndian.Uint32(b[1:]) != crc32.Checksum(b[recordSummed:], castagnoli):
		return record{}, errors.New("the term and vote of Raft do not have their checksum")
	}
	head := b[recordSummed:]
	r := record{first: binary.BigEndian.Uint64(head), last: binary.BigEndian.Uint64(head[8:]), count: binary.BigEndian.Uint64(head[16:]), stable: map[string][]byte{}}
	for rest := b[recordHeader:]; len(rest) > 0; {
		key, after, ok := cutBytes(rest)
		value, end, more := cutBytes(after)
		if !ok || !more {
			return record{}, errors.New("the term and vote of Raft end too soon")
		}
		r.stable[string(key)] = append([]byte{}, value...)
		rest = end
	}
	return r, nil
}

// cutBytes takes bytes with their length before them off b.
func cutBytes(b []byte) (text, rest []byte, ok bool) {
	if len(b) < 4 || uint64(len(b)-4) < uint64(binary.BigEndian.Uint32(b)) {
		return nil, nil, false
	}
	n := 4 + int(binary.BigEndian.Uint32(b))
	return b[4:n], b[n:], true
}
