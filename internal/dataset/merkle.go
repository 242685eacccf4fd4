package dataset

import (
	"crypto/sha256"
	"encoding/binary"
	"math"
	"runtime"
	"sync"
)

// The data's fingerprint is made of the roots of two Merkle trees, one over the training records and one over those for evaluation, in the order
// of their numbers. The trees are those of RFC 6962: a leaf is SHA-256(0 | record), a node SHA-256(1 | left | right), and the left
// part of n leaves is the largest power of two below n. So a record can be shown to belong to the data by the log2(n) hashes beside its path. A record is
// encoded over its decoded values, so that the same rows have the same root whatever file they come from:
//
//	for each field of the schema, in order
//	    ragged fields only: its number of values, uint32
//	    uint8: a byte a value; int32, float32: four bytes a value
//
// little-endian; a NaN is 0x7fc00000.

// hash256 is a leaf, a node or the root of a tree.
type hash256 = [sha256.Size]byte

// merkleTree is a Merkle tree to which leaves are added in order. It keeps the roots of the full subtrees, the largest first.
type merkleTree struct {
	leaves uint64
	roots  []hash256
}

func (t *merkleTree) add(leaf hash256) {
	t.roots = append(t.roots, leaf)
	t.leaves++
	for n := t.leaves; n&1 == 0; n >>= 1 {
		t.join()
	}
}

// join makes one of the last two roots.
func (t *merkleTree) join() {
	k := len(t.roots) - 2
	t.roots[k] = node(t.roots[k], t.roots[k+1])
	t.roots = t.roots[:k+1]
}

// root is the root over the leaves so far. Nothing can be added afterwards.
func (t *merkleTree) root() hash256 {
	if t.leaves == 0 {
		return sha256.Sum256(nil)
	}
	for len(t.roots) > 1 {
		t.join()
	}
	return t.roots[0]
}

func node(left, right hash256) hash256 {
	var both [1 + 2*sha256.Size]byte
	both[0] = 1
	copy(both[1:], left[:])
	copy(both[1+sha256.Size:], right[:])
	return sha256.Sum256(both[:])
}

// appendRecord appends the encoding of a record.
func appendRecord(dst []byte, schema Schema, r Record) []byte {
	le := binary.LittleEndian
	for k := range schema {
		v := &r[k]
		if schema[k].Ragged {
			dst = le.AppendUint32(dst, uint32(len(v.Bytes)+len(v.Ints)+len(v.Floats)))
		}
		switch schema[k].Type {
		case Uint8:
			dst = append(dst, v.Bytes...)
		case Int32:
			for _, x := range v.Ints {
				dst = le.AppendUint32(dst, uint32(x))
			}
		case Float32:
			for _, x := range v.Floats {
				bits := math.Float32bits(x)
				if x != x {
					bits = 0x7fc00000
				}
				dst = le.AppendUint32(dst, bits)
			}
		}
	}
	return dst
}

// leafOf is the leaf of a record's encoding, which begins with a zero byte.
func leafOf(encoded []byte) hash256 { return sha256.Sum256(encoded) }

// leafChunk is how many records are hashed by one goroutine at a time.
const leafChunk = 256

// sumRecords is the root over the reader's records. It reads all of them, on all CPUs, and gives each leaf to see, if not nil, in order.
// Where several records cannot be read, the error is that of the first.
func sumRecords(r Reader, see func(number int, leaf hash256)) (hash256, error) {
	total := r.Len()
	own, overlapping := r.(leafed)
	if overlapping {
		total = own.leaves()
	}
	var t merkleTree
	workers := max(min(runtime.GOMAXPROCS(0), total/leafChunk), 1)
	leaves, failed := make([]hash256, workers*leafChunk), make([]error, workers)
	hashers := make([]*hasher, workers)
	for w := range hashers {
		hashers[w] = &hasher{reader: r, own: own, record: make(Record, len(r.Schema()))}
	}
	for begin := 0; begin < total; begin += len(leaves) {
		var running sync.WaitGroup
		for w := range workers {
			running.Go(func() {
				from := min(begin+w*leafChunk, total)
				failed[w] = hashers[w].hash(leaves[w*leafChunk:], from, min(from+leafChunk, total))
			})
		}
		running.Wait()
		for _, err := range failed {
			if err != nil {
				return hash256{}, err
			}
		}
		for i, leaf := range leaves[:min(len(leaves), total-begin)] {
			t.add(leaf)
			if see != nil {
				see(begin+i, leaf)
			}
		}
	}
	return t.root(), nil
}

// hasher is what one goroutine needs to hash records.
type hasher struct {
	reader  Reader
	own     leafed
	record  Record
	encoded []byte
}

func (h *hasher) hash(dst []hash256, begin, end int) error {
	for i := begin; i < end; i++ {
		h.encoded = append(h.encoded[:0], 0)
		if h.own != nil {
			h.encoded = h.own.appendLeaf(h.encoded, i)
		} else {
			if err := h.reader.Read(h.record, i); err != nil {
				return err
			}
			h.encoded = appendRecord(h.encoded, h.reader.Schema(), h.record)
		}
		dst[i-begin] = leafOf(h.encoded)
	}
	return nil
}

// appendSchema appends an encoding of a schema that no other has.
func appendSchema(dst []byte, s Schema) []byte {
	le := binary.LittleEndian
	text := func(s string) {
		dst = le.AppendUint64(dst, uint64(len(s)))
		dst = append(dst, s...)
	}
	number := func(n int) { dst = le.AppendUint64(dst, uint64(n)) }
	number(len(s))
	for k := range s {
		f := &s[k]
		text(f.Name)
		dst = append(dst, byte(f.Type), byte(f.Role), 0)
		if f.Ragged {
			dst[len(dst)-1] = 1
		}
		number(len(f.Shape))
		for _, n := range f.Shape {
			number(n)
		}
		number(f.Classes)
		number(len(f.Labels))
		for _, label := range f.Labels {
			text(label)
		}
	}
	return dst
}
