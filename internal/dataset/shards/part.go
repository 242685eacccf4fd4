package shards

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"math"
	"sync"
	"sync/atomic"

	"ringmaster/internal/dataset/merkle"
)

// Part is the records of one part of a set.
type Part struct {
	set    *Set
	layout *layout
	files  []file
	tables []atomic.Pointer[table] // by shard; nil: not read yet
	kept   atomic.Int64            // how many blocks are in memory
}

const seen = 1 << 32

// table says of each block of a shard where it is and what its root is, and has what is known of its bytes.
type table struct {
	roots []merkle.Hash
	at    []int64 // and the end of the last one
	// Zero before they were checked against the root; then their CRC-32C with seen set, against which they are checked when they are
	// read again: that costs a hundredth, and they have been this host's since.
	sums []atomic.Uint64
	kept []atomic.Pointer[[]byte] // the bytes, where they are kept in memory
}

func newPart(s *Set, l *layout) *Part {
	p := &Part{set: s, layout: l, tables: make([]atomic.Pointer[table], len(l.Shards))}
	for k := range l.Shards {
		p.files = append(p.files, file{l.file(k), merkle.Hash(l.Shards[k].Root), l.Shards[k].Bytes})
	}
	return p
}

// Len is the number of records.
func (p *Part) Len() int { return p.layout.Records }

// Largest is the most bytes that a record has.
func (p *Part) Largest() int { return p.layout.Largest }

// Resident reports whether all records are in memory.
func (p *Part) Resident() bool { return p.kept.Load() == int64(p.layout.blocks(p.layout.Records)) }

// String names where the part is.
func (p *Part) String() string { return p.set.String() }

// Root is the Merkle root over the records.
func (p *Part) Root() merkle.Hash { return merkle.Hash(p.layout.Root) }

// Read is record number i. It is a view of memory that nobody changes, or of room, which is grown where it is too small and returned.
// The error names the shard and the place in it. Other numbers panic.
func (p *Part) Read(i int, room []byte) (record, newRoom []byte, err error) {
	if i < 0 || i >= p.layout.Records {
		panic(fmt.Sprintf("dataset/shards: record %d of %d", i, p.layout.Records))
	}
	b := i / p.layout.PerBlock
	block, room, err := p.readBlock(b, room)
	if err != nil {
		return nil, room, err
	}
	return p.record(block, p.layout.inBlock(b), i-b*p.layout.PerBlock), room, nil
}

// record is record k of a block of n, which has been checked.
func (p *Part) record(block []byte, n, k int) []byte {
	if size := p.layout.RecordBytes; size > 0 {
		return block[k*size : (k+1)*size : (k+1)*size]
	}
	begin := 4 * n
	for j := range k {
		begin += int(binary.LittleEndian.Uint32(block[4*j:]))
	}
	end := begin + int(binary.LittleEndian.Uint32(block[4*k:]))
	return block[begin:end:end]
}

// readBlock is a block, from memory or from its shard.
func (p *Part) readBlock(b int, room []byte) (block, newRoom []byte, err error) {
	perShard := p.layout.PerShard / p.layout.PerBlock
	k, i := b/perShard, b%perShard
	t := p.tables[k].Load()
	if t == nil {
		if t, err = p.readTable(k); err != nil {
			return nil, room, err
		}
		if !p.tables[k].CompareAndSwap(nil, t) {
			t = p.tables[k].Load()
		}
	}
	if kept := t.kept[i].Load(); kept != nil {
		return *kept, room, nil
	}
	at, end := t.at[i], t.at[i+1]
	if int64(cap(room)) < end-at {
		room = make([]byte, end-at)
	}
	block = room[:end-at]
	for _, fresh := range []bool{false, true} {
		if err = p.set.from.readAt(&p.files[k], block, at, fresh); err != nil {
			return nil, room, p.explain(err)
		}
		if p.good(t, i, block, p.layout.inBlock(b)) {
			return p.keep(t, i, block), room, nil
		}
	}
	return nil, room, p.damaged(k, at, end)
}

// keep keeps a copy of block i of a shard if there is room. What was kept stays: an epoch takes every record once, in an order of its own, so no
// other choice of what to keep would be met more often.
func (p *Part) keep(t *table, i int, block []byte) []byte {
	size := int64(len(block))
	if p.set.kept.Add(size) > p.set.memory {
		p.set.kept.Add(-size)
		return block
	}
	block = bytes.Clone(block)
	if t.kept[i].CompareAndSwap(nil, &block) {
		p.kept.Add(1)
	} else {
		p.set.kept.Add(-size)
	}
	return block
}

func (p *Part) explain(err error) error { return fmt.Errorf("packed set %s: %w", p.set.from, err) }

func (p *Part) damaged(shard int, at, end int64) error {
	return p.explain(fmt.Errorf("%s: bytes %d to %d are not those of the Merkle root: the file is damaged or another one; get it again, or pack again", p.files[shard].name, at, end-1))
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// good reports whether the bytes of block i of a shard, of n records, are those of its root.
func (p *Part) good(t *table, i int, block []byte, n int) bool {
	sum := seen | uint64(crc32.Checksum(block, castagnoli))
	if known := t.sums[i].Load(); known != 0 {
		return sum == known
	}
	if !p.wellFormed(block, n) {
		return false
	}
	h := hashers.Get().(*hasher)
	defer hashers.Put(h)
	for k := range n {
		h.add(p.record(block, n, k))
	}
	if h.tree.Root() != t.roots[i] {
		return false
	}
	t.sums[i].Store(sum)
	return true
}

// wellFormed reports whether the lengths of a block's records make its own.
func (p *Part) wellFormed(block []byte, n int) bool {
	if size := p.layout.RecordBytes; size > 0 {
		return len(block) == n*size
	}
	if len(block) < 4*n {
		return false
	}
	total := int64(4 * n)
	for k := range n {
		length := binary.LittleEndian.Uint32(block[4*k:])
		if int64(length) > int64(p.layout.Largest) {
			return false
		}
		total += int64(length)
	}
	return total == int64(len(block))
}

// hasher computes the root of a block.
type hasher struct {
	hash hash.Hash
	sum  []byte
	tree merkle.Tree
}

var hashers = sync.Pool{New: func() any { return &hasher{hash: sha256.New()} }}

var zero = []byte{0}

func (h *hasher) add(record []byte) {
	h.hash.Reset()
	h.hash.Write(zero)
	h.hash.Write(record)
	h.sum = h.hash.Sum(h.sum[:0])
	h.tree.Add(merkle.Hash(h.sum))
}

// readTable reads the table of a shard, and checks it against the shard's root.
func (p *Part) readTable(k int) (*table, error) {
	f := &p.files[k]
	n := p.layout.blocks(p.layout.inShard(k))
	raw := make([]byte, n*entryBytes)
	var bad error
	for _, fresh := range []bool{false, true} {
		if err := p.set.from.readAt(f, raw, f.bytes-int64(len(raw)), fresh); err != nil {
			return nil, p.explain(err)
		}
		var t *table
		if t, bad = p.decodeTable(k, raw); bad == nil {
			return t, nil
		}
	}
	return nil, p.explain(fmt.Errorf("%s: its table, bytes %d to %d, is damaged or of another file (%w); get it again, or pack again", f.name, f.bytes-int64(len(raw)), f.bytes-1, bad))
}

// decodeTable reads the table of shard k.
func (p *Part) decodeTable(k int, raw []byte) (*table, error) {
	l := p.layout
	n := len(raw) / entryBytes
	t := &table{roots: make([]merkle.Hash, n), at: make([]int64, n+1), sums: make([]atomic.Uint64, n), kept: make([]atomic.Pointer[[]byte], n)}
	t.at[0] = int64(len(magic))
	var tree merkle.Tree
	first := k * (l.PerShard / l.PerBlock)
	for i := range n {
		entry := raw[i*entryBytes:]
		t.roots[i] = merkle.Hash(entry[:sha256.Size])
		size := int64(binary.LittleEndian.Uint32(entry[sha256.Size:]))
		if least, most := l.blockSize(first + i); size < int64(least) || size > int64(min(most, math.MaxInt32)) {
			return nil, fmt.Errorf("block %d of %d bytes", i, size)
		}
		t.at[i+1] = t.at[i] + size
		tree.Add(t.roots[i])
	}
	if tree.Root() != merkle.Hash(l.Shards[k].Root) {
		return nil, errors.New("its Merkle root is another")
	}
	if end := p.files[k].bytes - int64(len(raw)); t.at[n] != end {
		return nil, fmt.Errorf("blocks up to byte %d, and not to %d", t.at[n], end)
	}
	return t, nil
}
