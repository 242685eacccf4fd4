package allreduce

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"

	"google.golang.org/grpc/mem"

	"ringmaster/internal/plan"
)

// phase is the kind of data that a frame carries.
type phase uint8

const (
	phaseHello  phase = iota + 1 // the first frame of a link: who calls; the payload is the caller's worker id
	phaseAccept                  // the answer: the session of this view is open
	phaseBye                     // the last frame in either direction: see farewell
	phaseBody                    // partial sums of a segment's chunks but the last
	phaseTail                    // partial sums of a segment's last chunk
	phaseFinal                   // finished sums of a segment
	phaseRaw                     // a worker's seats of a small bucket
	phaseRecord                  // a worker's records of a gather
	phaseBoard                   // the first frames of a wire: a board to use together, or none; then whether all have it
	phaseEnd
)

var phaseNames = [...]string{"none", "hello", "accept", "bye", "body", "tail", "final", "raw", "record", "board"}

func (p phase) String() string {
	if int(p) < len(phaseNames) {
		return phaseNames[p]
	}
	return fmt.Sprintf("phase %d", uint8(p))
}

// headerLen is the size of an encoded Header. With gRPC's prefix of 5 bytes it makes a multiple of 4, so that received float32s
// are aligned in the HTTP/2 frames (whose size is a multiple of 4 too) and can be added in place.
const headerLen = 71

// version is the version of the wire format.
const version = 1

// wireMagic is the first byte of every header.
const wireMagic = 'R'

// Header comes before the payload of every frame. On the wire (little-endian):
//
//	 0  magic "RMR", version        4  cluster incarnation (8)    12  job hash (8)     20  generation (8)
//	28  from incarnation (8)       36  to incarnation (8)         44  step (8)         52  phase, kind, 0 (3)
//	55  bucket (4)                 59  segment (4)                63  offset (4)       67  payload length (4)
type Header struct {
	Cluster    plan.Incarnation
	Job        uint64 // hash of the job's id
	Generation plan.Generation
	From, To   plan.Incarnation // the sending and the receiving worker's
	Step       uint64
	Phase      phase
	Kind       uint8  // of a gather; of a farewell
	Bucket     uint32 // the bucket; of a record: the bytes of one seat's record
	Segment    uint32 // position in the ring of the worker that owns the lane
	Offset     uint32 // of the first element within the lane: elements, or bytes of a record
	Length     uint32 // bytes of payload
}

func (h *Header) encode(b *[headerLen]byte) {
	le := binary.LittleEndian
	b[0], b[1], b[2], b[3] = 'R', 'M', 'R', version
	le.PutUint64(b[4:], uint64(h.Cluster))
	le.PutUint64(b[12:], h.Job)
	le.PutUint64(b[20:], uint64(h.Generation))
	le.PutUint64(b[28:], uint64(h.From))
	le.PutUint64(b[36:], uint64(h.To))
	le.PutUint64(b[44:], h.Step)
	b[52], b[53], b[54] = byte(h.Phase), h.Kind, 0
	le.PutUint32(b[55:], h.Bucket)
	le.PutUint32(b[59:], h.Segment)
	le.PutUint32(b[63:], h.Offset)
	le.PutUint32(b[67:], h.Length)
}

func (h *Header) decode(b *[headerLen]byte) error {
	le := binary.LittleEndian
	if b[0] != 'R' || b[1] != 'M' || b[2] != 'R' {
		return fmt.Errorf("a frame begins with % x, not with Ringmaster's magic", b[:3])
	}
	if b[3] != version {
		return fmt.Errorf("a frame has wire format version %d, this worker speaks %d", b[3], version)
	}
	h.Cluster = plan.Incarnation(le.Uint64(b[4:]))
	h.Job = le.Uint64(b[12:])
	h.Generation = plan.Generation(le.Uint64(b[20:]))
	h.From = plan.Incarnation(le.Uint64(b[28:]))
	h.To = plan.Incarnation(le.Uint64(b[36:]))
	h.Step = le.Uint64(b[44:])
	h.Phase, h.Kind = phase(b[52]), b[53]
	h.Bucket = le.Uint32(b[55:])
	h.Segment = le.Uint32(b[59:])
	h.Offset = le.Uint32(b[63:])
	h.Length = le.Uint32(b[67:])
	if h.Phase < phaseHello || h.Phase >= phaseEnd || b[54] != 0 {
		return fmt.Errorf("a frame has the unknown phase %d/%d", b[52], b[54])
	}
	if h.Length > frameBytes {
		return fmt.Errorf("a frame announces %d bytes of payload, the limit is %d", h.Length, frameBytes)
	}
	return nil
}

// check compares a frame's identity with the one expected on this direction of the link.
func (h *Header) check(want *Header) error {
	switch {
	case h.Cluster != want.Cluster:
		return fmt.Errorf("expected cluster incarnation %016x, got %016x", uint64(want.Cluster), uint64(h.Cluster))
	case h.Job != want.Job:
		return fmt.Errorf("expected job hash %016x, got %016x", want.Job, h.Job)
	case h.Generation != want.Generation:
		return fmt.Errorf("expected generation %d, got %d", want.Generation, h.Generation)
	case h.From != want.From:
		return fmt.Errorf("expected sender's incarnation %016x, got %016x", uint64(want.From), uint64(h.From))
	case h.To != want.To:
		return fmt.Errorf("expected receiver's incarnation %016x, got %016x", uint64(want.To), uint64(h.To))
	}
	return nil
}

// jobHash is the first 8 bytes of SHA-256 over the job's id.
func jobHash(job string) uint64 {
	sum := sha256.Sum256([]byte(job))
	return binary.LittleEndian.Uint64(sum[:8])
}

// Frame is one message between neighbours.
type Frame struct {
	Header
	// Data holds the payload behind skip other bytes. The receiver of a frame frees it. The sender of a frame leaves the
	// payload as it is until its buffers are freed.
	Data mem.BufferSlice
	skip int
}

// Free gives the frame's buffers back.
func (f *Frame) Free() {
	f.Data.Free()
	f.Data = nil
}

// payload copies out a small payload (of a hello or a farewell).
func (f *Frame) payload() []byte {
	b := f.Data.Materialize()
	return b[min(f.skip, len(b)):]
}

// parseFrame reads the header of a received message, which the frame then holds a reference to.
func parseFrame(data mem.BufferSlice) (Frame, error) {
	var head [headerLen]byte
	if n := data.Len(); n < headerLen {
		return Frame{}, fmt.Errorf("a frame of %d bytes is shorter than a header (%d)", n, headerLen)
	}
	data.CopyTo(head[:])
	f := Frame{Data: data, skip: headerLen}
	if err := f.decode(&head); err != nil {
		return Frame{}, err
	}
	if n := data.Len() - headerLen; n != int(f.Length) {
		return Frame{}, fmt.Errorf("a frame announces %d bytes of payload and has %d", f.Length, n)
	}
	data.Ref()
	return f, nil
}

// A farewell is the last thing a worker says in a session: whether it ends normally, and if not, whose fault it was as far as
// it knows.
type farewell struct {
	kind    uint8
	step    uint64
	culprit string // worker id; empty: the sender itself
	reason  string
}

// maxFarewell is the largest payload of a farewell.
const maxFarewell = 1 << 10

// The kinds of farewell.
const (
	byeOrderly = iota + 1 // after a finished step
	byeClosed             // in the middle of a step
	byeFailed
)

func (f farewell) frame(h Header) Frame {
	h.Phase, h.Kind, h.Step = phaseBye, f.kind, f.step
	text := f.culprit + "\n" + f.reason
	text = text[:min(len(text), maxFarewell)]
	h.Length = uint32(len(text))
	return Frame{Header: h, Data: mem.BufferSlice{mem.SliceBuffer(text)}}
}

func readFarewell(f *Header, text []byte) (farewell, error) {
	for i, c := range text {
		if c == '\n' {
			return farewell{f.Kind, f.Step, string(text[:i]), string(text[i+1:])}, nil
		}
	}
	return farewell{}, errors.New("a farewell has no reason")
}
