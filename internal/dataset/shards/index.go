// Package shards writes and reads packed sets: records as byte strings in files of bounded size, which are read by number from a folder or
// over HTTP. Whatever is read is checked against the Merkle root over all records of its part.
//
//	DIR/index.json         what is packed, the layout of each part, and the Merkle root and size of each of its shards
//	DIR/train-00000.shard  "RMSHARD1" | block | block | ... | table
//	DIR/eval-00000.shard
//
// A shard holds a power of two of records, a block within it likewise, the last ones what is left; so each has a node of its own in the Merkle tree of
// the part. A block is its records one after another; where they differ in length, these come before them, as uint32. The
// table has for each block its Merkle root and its length in bytes, as uint32. Numbers are little-endian. A record is shown to belong
// to the part by its block, the table, and the roots of the shards: they are the hashes beside its path.
package shards

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/bits"
	"regexp"

	"ringmaster/internal/dataset/merkle"
)

// IndexName is the file that makes a folder a packed set. It is written last.
const IndexName = "index.json"

const (
	format  = "ringmaster shards"
	version = 1
	magic   = "RMSHARD1"

	blockBytes = 16 << 10 // of a block, unless a single record has more
	shardBytes = 64 << 20 // of a shard, likewise
	entryBytes = sha256.Size + 4

	maxIndex  = 64 << 20
	maxParts  = 8
	maxRecord = 1 << 28 // bytes of a record
	maxBlocks = 1 << 14 // of a shard
)

// index is the content of the index file.
type index struct {
	Format  string          `json:"format"`
	Version int             `json:"version"`
	Content json.RawMessage `json:"content"` // what is packed, in the words of whoever packs
	Parts   []*layout       `json:"parts"`
	Sum     string          `json:"sha256"` // of the file with an empty sum
}

// layout is how a part is packed.
type layout struct {
	Name        string  `json:"name"`
	Records     int     `json:"records"`
	RecordBytes int     `json:"record_bytes,omitempty"` // of every record; 0: they differ
	Largest     int     `json:"largest"`                // bytes of a record
	PerBlock    int     `json:"per_block"`              // records; a power of two
	PerShard    int     `json:"per_shard"`              // records; a power of two
	Root        digest  `json:"root"`
	Shards      []shard `json:"shards"`
}

type shard struct {
	Root  digest `json:"root"`
	Bytes int64  `json:"bytes"`
}

// digest is a hash in hexadecimal.
type digest merkle.Hash

// MarshalText implements encoding.TextMarshaler.
func (d digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *digest) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("a hash of %d characters", len(text))
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// encode is the index file. It sets the sum.
func (x *index) encode() ([]byte, error) {
	x.Sum = ""
	text, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	x.Sum = hex.EncodeToString(sum[:])
	if text, err = json.Marshal(x); err == nil && len(text) > maxIndex {
		err = fmt.Errorf("the index has %d bytes, more than %d", len(text), maxIndex)
	}
	return text, err
}

// decodeIndex reads an index file, and checks all that can be checked without the shards.
func decodeIndex(text []byte) (*index, error) {
	x := &index{}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(x); err != nil {
		return nil, fmt.Errorf("its JSON cannot be read (%w)", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, errors.New("there is more behind its JSON")
	}
	if x.Format != format || x.Version != version {
		return nil, fmt.Errorf("it is of format %.40q, version %d, and this program reads %q, version %d", x.Format, x.Version, format, version)
	}
	sum := x.Sum
	if again, err := x.encode(); err != nil || x.Sum != sum || !bytes.Equal(again, bytes.TrimSpace(text)) {
		return nil, errors.New("its content is not that of its sha256")
	}
	if len(x.Parts) > maxParts {
		return nil, fmt.Errorf("it has %d parts, more than %d", len(x.Parts), maxParts)
	}
	names := map[string]bool{}
	for _, l := range x.Parts {
		if l == nil || names[l.Name] {
			return nil, errors.New("a part occurs twice, or is missing")
		}
		names[l.Name] = true
		if err := l.check(); err != nil {
			return nil, fmt.Errorf("part %.40q: %w", l.Name, err)
		}
	}
	return x, nil
}

var partName = regexp.MustCompile(`^[a-z]{1,16}$`)

// check checks a layout: its numbers go together, and its root is that of its shards.
func (l *layout) check() error {
	single := func(n int) bool { return n > 0 && bits.OnesCount(uint(n)) == 1 }
	switch {
	case !partName.MatchString(l.Name):
		return errors.New("a part has a name of small letters")
	case l.Records < 0 || l.Records > math.MaxInt32:
		return fmt.Errorf("%d records", l.Records)
	case l.Largest < 0 || l.Largest > maxRecord || l.RecordBytes != 0 && l.RecordBytes != l.Largest:
		return fmt.Errorf("records of %d bytes", l.Largest)
	case !single(l.PerBlock) || !single(l.PerShard) || l.PerBlock > l.PerShard || l.PerShard/l.PerBlock > maxBlocks || l.PerShard > 1<<32:
		return fmt.Errorf("%d records in a block and %d in a shard", l.PerBlock, l.PerShard)
	case min(l.PerBlock, l.Records)*(l.Largest+4) > maxRecord+4:
		return fmt.Errorf("blocks of %d records of %d bytes", l.PerBlock, l.Largest)
	case len(l.Shards) != (l.Records+l.PerShard-1)/l.PerShard:
		return fmt.Errorf("%d shards of %d records for %d", len(l.Shards), l.PerShard, l.Records)
	}
	var tree merkle.Tree
	for k := range l.Shards {
		least, most := l.shardSize(k)
		if n := l.Shards[k].Bytes; n < least || n > most {
			return fmt.Errorf("%s has %d bytes, and should have from %d to %d", l.file(k), n, least, most)
		}
		tree.Add(merkle.Hash(l.Shards[k].Root))
	}
	if tree.Root() != merkle.Hash(l.Root) {
		return errors.New("its Merkle root is not that of its shards")
	}
	return nil
}

// file is the name of a shard.
func (l *layout) file(shard int) string { return fmt.Sprintf("%s-%05d.shard", l.Name, shard) }

// inShard and inBlock are how many records shard k, or block b of the part, has.
func (l *layout) inShard(k int) int { return min(l.PerShard, l.Records-k*l.PerShard) }
func (l *layout) inBlock(b int) int { return min(l.PerBlock, l.Records-b*l.PerBlock) }

// blocks is how many blocks n records make.
func (l *layout) blocks(n int) int { return (n + l.PerBlock - 1) / l.PerBlock }

// shardSize bounds the bytes of shard k.
func (l *layout) shardSize(k int) (least, most int64) {
	n := l.inShard(k)
	rest := int64(len(magic) + l.blocks(n)*entryBytes)
	if l.RecordBytes > 0 {
		return rest + int64(n)*int64(l.RecordBytes), rest + int64(n)*int64(l.RecordBytes)
	}
	return rest + 4*int64(n), rest + int64(n)*int64(l.Largest+4)
}

// blockSize bounds the bytes of block b.
func (l *layout) blockSize(b int) (least, most int) {
	n := l.inBlock(b)
	if l.RecordBytes > 0 {
		return n * l.RecordBytes, n * l.RecordBytes
	}
	return 4 * n, n * (l.Largest + 4)
}
