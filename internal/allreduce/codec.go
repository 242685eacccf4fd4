package allreduce

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// rawSubtype is the gRPC content subtype of ring frames. It is registered beside protobuf, which other services of the
// same server keep.
const rawSubtype = "ringraw"

// rawCodec hands buffers through as they are: what is sent are views of the gradients, what comes are the buffers that gRPC
// read into.
type rawCodec struct{}

func init() { encoding.RegisterCodecV2(rawCodec{}) }

// outMessage is what is given to SendMsg, inMessage to RecvMsg. An inMessage's frame holds a reference.
type (
	outMessage struct{ data mem.BufferSlice }
	inMessage  struct{ frame Frame }
)

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	m, ok := v.(*outMessage)
	if !ok {
		return nil, fmt.Errorf("the ring's codec cannot send a %T", v)
	}
	return m.data, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	m, ok := v.(*inMessage)
	if !ok {
		return fmt.Errorf("the ring's codec cannot receive a %T", v)
	}
	// The slice of buffers is gRPC's; the buffers are shared.
	frame, err := parseFrame(data)
	m.frame = frame
	return err
}

func (rawCodec) Name() string { return rawSubtype }

// message is the frame as gRPC sends it: its header, then its payload.
func (f *Frame) message() mem.BufferSlice {
	head := smallBuffers.Get(headerLen)
	f.encode((*[headerLen]byte)(*head))
	return append(mem.BufferSlice{mem.NewBuffer(head, smallBuffers)}, f.Data...)
}

// smallBuffers are reused for headers and for payloads that are copied. They are larger than what mem.NewBuffer takes for
// too small to give back.
var smallBuffers smallPool

const smallBuffer = 2 << 10

type smallPool struct{}

var smallMemory = sync.Pool{New: func() any { b := make([]byte, smallBuffer); return &b }}

// Get is a buffer of the length, at most smallBuffer, with any content.
func (smallPool) Get(length int) *[]byte {
	b := smallMemory.Get().(*[]byte)
	*b = (*b)[:length]
	return b
}

// Put takes the buffer back.
func (smallPool) Put(b *[]byte) { smallMemory.Put(b) }
