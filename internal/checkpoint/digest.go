package checkpoint

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"unsafe"
)

// Hash is a SHA-256. As text it is 64 hexadecimal digits.
type Hash [sha256.Size]byte

// String is the hash in hexadecimal.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// Short is the beginning of the hash, for messages.
func (h Hash) Short() string { return hex.EncodeToString(h[:6]) + "…" }

// MarshalText writes the hash in hexadecimal.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(h)) {
		return fmt.Errorf("a SHA-256 has 64 hexadecimal digits, not %d", len(text))
	}
	if _, err := hex.Decode(h[:], text); err != nil {
		return fmt.Errorf("read SHA-256: %w", err)
	}
	return nil
}

const (
	canonicalNaN   = 0x7fc00000
	canonicalNaN64 = 0x7ff8000000000001

	// chunkFloats is how many values are hashed and written at a time: 64 KiB stay in the cache between
	// the two, and are enough for one system call.
	chunkFloats = 1 << 14
)

// nativeLittle says whether float32 values have the same bytes in memory as in files.
var nativeLittle = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// Digest is SHA-256 over values as little-endian float32 in their order, every NaN as 0x7fc00000. Over the flat
// parameters it is the digest used to compare runs.
func Digest(values []float32) Hash {
	h := NewStateHasher()
	return h.Digest(values)
}

// StateDigest is the state digest of s, see StateHasher.
func StateDigest(s *State) Hash {
	return NewStateHasher().Sum(s)
}

// StateHasher computes digests again and again without allocating. It is not for use by two goroutines at once.
//
// The state digest is the SHA-256 of sections in this order, each its name with a length byte before it and its size in
// bytes as uint64, then its data; all numbers are little-endian and NaNs canonical:
//
//	"step"         the step, uint64
//	"params"       the flat parameters, float32
//	buffer's name  for each optimizer buffer in order, float32
//	"stats"        the running statistics, float32
//	"history"      the history of the steps, float32, where one is kept
//	"sums"         loss sum float64, count uint64, correct uint64, of the epoch under way
//	"weight"       of its targets' classes, float64, where these have weights
type StateHasher struct {
	h   hash.Hash
	buf [4 * chunkFloats]byte // for big-endian machines and canonical NaNs
	sum Hash
	hdr [1 + 255 + 8]byte
}

// NewStateHasher makes a StateHasher.
func NewStateHasher() *StateHasher { return &StateHasher{h: sha256.New()} }

// Digest is the package's function Digest.
func (s *StateHasher) Digest(values []float32) Hash {
	s.h.Reset()
	_ = s.floats(context.Background(), values) // which never ends
	return s.finish()
}

// Sum is the state digest of state.
func (s *StateHasher) Sum(state *State) Hash {
	sum, _ := s.SumWithin(context.Background(), state)
	return sum
}

// SumWithin is Sum, abandoned when ctx ends.
func (s *StateHasher) SumWithin(ctx context.Context, state *State) (Hash, error) {
	s.h.Reset()
	var word [24]byte
	le := binary.LittleEndian
	le.PutUint64(word[:], state.Step)
	s.bytes("step", word[:8])
	s.section("params", 4*len(state.Params))
	if err := s.floats(ctx, state.Params); err != nil {
		return Hash{}, err
	}
	for _, b := range state.Optim {
		s.section(b.Name, 4*len(b.Data))
		if err := s.floats(ctx, b.Data); err != nil {
			return Hash{}, err
		}
	}
	s.section("stats", 4*len(state.Stats))
	if err := s.floats(ctx, state.Stats); err != nil {
		return Hash{}, err
	}
	if len(state.History) > 0 {
		s.section("history", 4*len(state.History))
		if err := s.floats(ctx, state.History); err != nil {
			return Hash{}, err
		}
	}
	bits := math.Float64bits(state.Sums.Loss)
	if math.IsNaN(state.Sums.Loss) {
		bits = canonicalNaN64
	}
	le.PutUint64(word[0:], bits)
	le.PutUint64(word[8:], state.Sums.Count)
	le.PutUint64(word[16:], state.Sums.Correct)
	s.bytes("sums", word[:])
	if state.Sums.Weight != 0 {
		le.PutUint64(word[:], math.Float64bits(state.Sums.Weight))
		s.bytes("weight", word[:8])
	}
	return s.finish(), nil
}

func (s *StateHasher) finish() Hash {
	s.h.Sum(s.sum[:0])
	return s.sum
}

func (s *StateHasher) section(name string, size int) {
	// NewLayout refuses names too long for a length byte; here such names would merely not be distinguished.
	n := copy(s.hdr[1:256], name)
	s.hdr[0] = byte(n)
	binary.LittleEndian.PutUint64(s.hdr[1+n:], uint64(size))
	s.h.Write(s.hdr[:1+n+8])
}

func (s *StateHasher) bytes(name string, data []byte) {
	s.section(name, len(data))
	// Through the hasher's buffer, since a slice passed through an interface would be allocated.
	s.h.Write(s.buf[:copy(s.buf[:], data)])
}

func (s *StateHasher) floats(ctx context.Context, values []float32) error {
	for len(values) > 0 {
		if ctx.Err() != nil {
			return fmt.Errorf("compute the state's digest: %w", context.Cause(ctx))
		}
		part := values[:min(chunkFloats, len(values))]
		values = values[len(part):]
		s.h.Write(canonical(s.buf[:], part))
	}
	return nil
}

// writeFloats writes values as canonical little-endian float32. buf holds 4*chunkFloats bytes.
func writeFloats(w io.Writer, buf []byte, values []float32) error {
	for len(values) > 0 {
		part := values[:min(chunkFloats, len(values))]
		values = values[len(part):]
		if _, err := w.Write(canonical(buf, part)); err != nil {
			return err
		}
	}
	return nil
}

// canonical is values as canonical little-endian bytes: a view if memory already holds them so, else a copy in buf.
func canonical(buf []byte, values []float32) []byte {
	if nativeLittle && !anyNaN(values) {
		return floatBytes(values)
	}
	return canonicalCopy(buf, values)
}

func canonicalCopy(buf []byte, values []float32) []byte {
	for i, x := range values {
		bits := math.Float32bits(x)
		if bits&0x7fffffff > 0x7f800000 {
			bits = canonicalNaN
		}
		binary.LittleEndian.PutUint32(buf[4*i:], bits)
	}
	return buf[:4*len(values)]
}

// anyNaN has no branch in its loop: a NaN's magnitude exceeds infinity's, so the difference borrows into the sign bit.
func anyNaN(values []float32) bool {
	var a, b, c, d uint32
	for ; len(values) >= 4; values = values[4:] {
		a |= 0x7f800000 - math.Float32bits(values[0])&0x7fffffff
		b |= 0x7f800000 - math.Float32bits(values[1])&0x7fffffff
		c |= 0x7f800000 - math.Float32bits(values[2])&0x7fffffff
		d |= 0x7f800000 - math.Float32bits(values[3])&0x7fffffff
	}
	for _, x := range values {
		a |= 0x7f800000 - math.Float32bits(x)&0x7fffffff
	}
	return (a|b|c|d)>>31 != 0
}

// floatBytes is the memory of values.
func floatBytes(values []float32) []byte {
	if len(values) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), 4*len(values))
}

// fromLittle turns little-endian values in memory into the machine's own.
func fromLittle(values []float32) {
	raw := floatBytes(values)
	for i := range values {
		values[i] = math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:]))
	}
}
