package dataset

import "ringmaster/internal/rng"

// Value is one field of one record. The slice of the field's type holds its values; a ragged field's has the record's own length.
type Value struct {
	Bytes  []byte    // of uint8
	Ints   []int32   // of int32
	Floats []float32 // of float32

	// Ahead is the same field of a record that is read soon, of uint8: whoever works through Bytes may fetch it into the cache meanwhile.
	Ahead []byte

	ownBytes  []byte // room that a reader may write values into
	ownInts   []int32
	ownFloats []float32

	spare []byte // of bytes that a transform makes: as much room again
}

// OwnBytes makes Bytes room for n values that belongs to the record. Their values are undefined.
func (v *Value) OwnBytes(n int) []byte {
	v.ownBytes = grow(v.ownBytes, n)
	v.Bytes = v.ownBytes
	return v.Bytes
}

// OwnInts makes Ints room for n values that belongs to the record.
func (v *Value) OwnInts(n int) []int32 {
	v.ownInts = grow(v.ownInts, n)
	v.Ints = v.ownInts
	return v.Ints
}

// OwnFloats makes Floats room for n values that belongs to the record.
func (v *Value) OwnFloats(n int) []float32 {
	v.ownFloats = grow(v.ownFloats, n)
	v.Floats = v.ownFloats
	return v.Floats
}

// Record is the fields of one sample, in the order of its schema.
type Record []Value

// Reader gives the records of one format by their numbers, from 0. What it gives depends on the data alone. Several goroutines
// may read, each with a record of its own.
type Reader interface {
	// Schema is the fields of a record.
	Schema() Schema
	// Len is the number of records in one pass.
	Len() int
	// Read makes r the record of a number. Its values are views of memory that nobody changes, or are in the record's own room
	// (OwnBytes, OwnInts, OwnFloats): so they last until r is read again, and reading allocates nothing in the long run.
	// The error names the file and the place in it. Numbers outside panic.
	Read(r Record, number int) error
	// Resident reports whether all records are in memory, so that reading one costs next to nothing.
	Resident() bool
}

// shifting is a reader that cuts its data in several ways: record s*Len + i is record i of cut s.
type shifting interface {
	// shift is the number of the first record of the cut that the key draws.
	shift(key rng.Key) int32
}

// leafed is a reader whose records overlap, so that it says by itself what of its content is hashed.
type leafed interface {
	// leaves is how many parts are hashed, of at most leafBytes each, and appendLeaf appends the encoding of one to dst.
	leaves() int
	leafBytes() int
	appendLeaf(dst []byte, leaf int) ([]byte, error)
}

// rooted is a reader that knows the Merkle root over its records, and checks against it what it reads.
type rooted interface {
	root() hash256
}

// Draw is what a transform draws from where samples are augmented: a stream of random numbers of the sample's own.
type Draw struct {
	key    rng.Key // of the seat's micro-batch; zero: samples come as they are
	sample uint64  // within the micro-batch
	number uint64  // of the record
}

// Off reports whether samples come as they are, as they do outside training.
func (d Draw) Off() bool { return d.key.IsZero() }

// Block is four random words of a transform's own stream for this sample.
func (d Draw) Block(stream uint64) [4]uint32 { return d.key.Derive(stream).Block(d.sample) }

// Key is the key of a transform's own stream for this sample, where four words are not enough.
func (d Draw) Key(stream uint64) rng.Key { return d.key.Derive(stream).Derive(d.sample) }

// Always is the draw itself or, where samples come as they are, one that depends on the record's number alone: for a transform
// without whose draws there is nothing to learn or to evaluate.
func (d Draw) Always() Draw {
	if d.Off() {
		return Draw{key: rng.FixedKey(), sample: d.number, number: d.number}
	}
	return d
}

// Streams below a seat's key from which transforms draw. Layers count from 0.
const (
	streamAugment = 1 << 32
	streamMask    = 1<<32 + 64
	streamSpans   = 1<<32 + 65
)

// Transform makes fields of a record from other fields of it: a pure function of their values and, in training, of the draw.
// It is immutable.
type Transform interface {
	// Fields says which fields of a record of that schema are read, by their names, and what is made of them. What is read is gone
	// afterwards; what is made takes its place. All other fields pass.
	Fields(schema Schema) (reads []string, makes []Field, err error)
	// Apply makes out from in. The slices of out have the widths of the fields; of a ragged one, Apply cuts it to the length that it has.
	Apply(out, in []Value, draw Draw)
}

// blending is a transform that mixes the samples of a micro-batch with each other once all are in their columns.
type blending interface {
	// blend mixes the samples of a batch, as the key of the seat's micro-batch draws. spare is the room it needs.
	blend(b *Batch, schema Schema, spare []float32, key rng.Key)
	// room is how many numbers it needs room for.
	room(schema Schema) int
}
