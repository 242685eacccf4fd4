package dataset

import (
	"encoding/binary"
	"math"
	"runtime"
	"sync"

	"ringmaster/internal/dataset/merkle"
)

// The data's fingerprint is made of the roots of two Merkle trees, one over the training records and one over those for evaluation, in the order
// of their numbers; see package merkle. A record is encoded over its decoded values, so that the same rows have the same root whatever file they come from:
//
//	for each field of the schema, in order
//	    ragged fields only: its number of values, uint32
//	    uint8: a byte a value; int32, float32: four bytes a value
//
// little-endian; a NaN is 0x7fc00000.

// hash256 is a leaf, a node or the root of a tree.
type hash256 = merkle.Hash

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
func leafOf(encoded []byte) hash256 { return merkle.Leaf(encoded) }

// Records are hashed in chunks, each by one goroutine. A chunk has this many records, or fewer where they are large.
const (
	leafChunk      = 256
	leafChunkBytes = 4 << 20
)

// recordBytes is the most bytes that the encoding of a record has, and whether all have as many.
func recordBytes(r Reader) (largest int, same bool) {
	if own, overlapping := r.(leafed); overlapping {
		return own.leafBytes(), false
	}
	same = true
	for _, f := range r.Schema() {
		n := f.Width()
		if f.Type != Uint8 {
			n *= 4
		}
		if f.Ragged {
			n, same = n+4, false
		}
		largest += n
	}
	return largest, same
}

// leavesOf is how many parts of what the reader reads are hashed.
func leavesOf(r Reader) int {
	if own, overlapping := r.(leafed); overlapping {
		return own.leaves()
	}
	return r.Len()
}

// sumRecords is the root over the reader's records. It reads all of them, on all CPUs, and gives each leaf to see, if not nil, in order.
// Where several records cannot be read, the error is that of the first.
func sumRecords(r Reader, see func(number int, leaf hash256)) (hash256, error) {
	return eachRecord(r, false, func(number int, leaf hash256, _ []byte) error {
		if see != nil {
			see(number, leaf)
		}
		return nil
	})
}

// eachRecord is sumRecords that with keep gives to see the encodings of the records too.
func eachRecord(r Reader, keep bool, see func(number int, leaf hash256, encoded []byte) error) (hash256, error) {
	total := leavesOf(r)
	largest, _ := recordBytes(r)
	chunk := max(min(leafChunk, leafChunkBytes/max(largest, 1)), 1)
	var t merkle.Tree
	hashers := make([]*hasher, max(min(runtime.GOMAXPROCS(0), total/chunk), 1))
	for w := range hashers {
		hashers[w] = &hasher{reader: r, record: make(Record, len(r.Schema())), keep: keep}
		hashers[w].own, _ = r.(leafed)
	}
	failed := make([]error, len(hashers))
	for begin := 0; begin < total; begin += len(hashers) * chunk {
		var running sync.WaitGroup
		for w, h := range hashers {
			running.Go(func() {
				from := min(begin+w*chunk, total)
				failed[w] = h.hash(from, min(from+chunk, total))
			})
		}
		running.Wait()
		for w, h := range hashers {
			if failed[w] != nil {
				return hash256{}, failed[w]
			}
			for i, leaf := range h.leaves {
				t.Add(leaf)
				if err := see(begin+w*chunk+i, leaf, h.kept(i)); err != nil {
					return hash256{}, err
				}
			}
		}
	}
	return t.Root(), nil
}

// hasher is what one goroutine needs to hash a chunk of records.
type hasher struct {
	reader Reader
	own    leafed
	record Record
	keep   bool

	leaves  []hash256 // of the chunk
	encoded []byte    // records, each with a zero byte before it; without keep the last one alone
	ends    []int     // in encoded, of each
}

// kept is the encoding of record i of the chunk; without keep nothing.
func (h *hasher) kept(i int) []byte {
	if !h.keep {
		return nil
	}
	begin := 0
	if i > 0 {
		begin = h.ends[i-1]
	}
	return h.encoded[begin+1 : h.ends[i]]
}

// known is the leaf of a record that need not be read for it.
func (h *hasher) known(i int) (leaf hash256, known bool) {
	if r, ok := h.reader.(*gallery); ok {
		return r.known(i)
	}
	return leaf, false
}

func (h *hasher) hash(begin, end int) (err error) {
	h.leaves, h.ends, h.encoded = h.leaves[:0], h.ends[:0], h.encoded[:0]
	for i := begin; i < end; i++ {
		if !h.keep {
			h.encoded = h.encoded[:0]
			if leaf, known := h.known(i); known {
				h.leaves, h.ends = append(h.leaves, leaf), append(h.ends, 0)
				continue
			}
		}
		from := len(h.encoded)
		h.encoded = append(h.encoded, 0)
		if h.own != nil {
			h.encoded, err = h.own.appendLeaf(h.encoded, i)
		} else if err = h.reader.Read(h.record, i); err == nil {
			h.encoded = appendRecord(h.encoded, h.reader.Schema(), h.record)
		}
		if err != nil {
			return err
		}
		h.leaves, h.ends = append(h.leaves, leafOf(h.encoded[from:])), append(h.ends, len(h.encoded))
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
