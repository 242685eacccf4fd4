package allreduce

import (
	"unsafe"

	"google.golang.org/grpc/mem"
)

// floats iterates over a frame's payload in runs of float32. They are used in place; only where a piece is not aligned or a
// number is split between two pieces, they are copied to a small scratch.
type floats struct {
	data    mem.BufferSlice
	piece   []byte // what is left of the first piece
	scratch [1024]float32
}

// reset starts at the beginning of the frame's payload.
func (r *floats) reset(f *Frame) {
	r.data, r.piece = f.Data, nil
	for skip := f.skip; len(r.data) > 0; r.data = r.data[1:] {
		piece := r.data[0].ReadOnlyData()
		if skip < len(piece) {
			r.piece, r.data = piece[skip:], r.data[1:]
			return
		}
		skip -= len(piece)
	}
}

// next returns the next run, valid until the next call; empty at the payload's end. Bytes that do not make up a number are dropped:
// the caller has checked that the length is a multiple of 4.
func (r *floats) next() []float32 {
	for len(r.piece) == 0 {
		if len(r.data) == 0 {
			return nil
		}
		r.piece, r.data = r.data[0].ReadOnlyData(), r.data[1:]
	}
	if n := len(r.piece) / 4; n > 0 {
		at := unsafe.Pointer(unsafe.SliceData(r.piece))
		if uintptr(at)%4 == 0 {
			run := unsafe.Slice((*float32)(at), n)
			r.piece = r.piece[4*n:]
			return run
		}
		n = min(n, len(r.scratch))
		copy(asBytes(r.scratch[:n]), r.piece)
		r.piece = r.piece[4*n:]
		return r.scratch[:n]
	}
	return r.split()
}

// split puts together a number that is spread over several pieces.
func (r *floats) split() []float32 {
	number := asBytes(r.scratch[:1])
	n := copy(number, r.piece)
	for n < 4 && len(r.data) > 0 {
		r.piece, r.data = r.data[0].ReadOnlyData(), r.data[1:]
		k := copy(number[n:], r.piece)
		n += k
		r.piece = r.piece[k:]
	}
	if n < 4 {
		r.piece = nil
		return nil
	}
	return r.scratch[:1]
}

// asBytes is the memory of a float32 slice. Little-endian machines only, which init asserts.
func asBytes(f []float32) []byte {
	if len(f) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 4*len(f))
}

// littleEndian reports whether this machine's memory holds numbers as the wire does.
func littleEndian() bool {
	one := [1]uint32{1}
	return *(*byte)(unsafe.Pointer(&one)) == 1
}
