package allreduce

import (
	"fmt"
	"sync"

	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/mem"
)

// rawSubtype is the gRPC content subtype of ring frames. It is registered in addition to protobuf, which other services of the
// same server keep.
const rawSubtype = "ringraw"

// rawCodec passes buffers through unchanged: outgoing ones are views of the gradients, incoming ones are the buffers that gRPC
// read into.
type rawCodec struct{}

func init() { encoding.RegisterCodecV2(rawCodec{}) }

// outMessage is the argument of SendMsg, inMessage that of RecvMsg. An inMessage's frame holds a reference.
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
	head := buffers.Get(headerLen)
	f.encode((*[headerLen]byte)(*head))
	return append(mem.BufferSlice{mem.NewBuffer(head, buffers)}, f.Data...)
}

// buffers is the pool for headers, small copies and everything that gRPC reads and writes. Unlike gRPC's own pool it does
// not clear its buffers, which would cost as much as adding the numbers.
var buffers = &bufferPool{}

// poolTiers are the capacities that are pooled. The smallest is above the size below which mem.NewBuffer does not return buffers to the pool;
// HTTP/2 data frames have 16 KiB.
var poolTiers = [...]int{2 << 10, 16 << 10, 32 << 10, 256 << 10, 1 << 20}

type bufferPool struct{ tiers [len(poolTiers)]sync.Pool }

// Get returns a buffer of the given length; its content is undefined.
func (p *bufferPool) Get(length int) *[]byte {
	for i, size := range poolTiers {
		if length > size {
			continue
		}
		if b, ok := p.tiers[i].Get().(*[]byte); ok {
			*b = (*b)[:length]
			return b
		}
		b := make([]byte, length, size)
		return &b
	}
	b := make([]byte, length)
	return &b
}

// Put takes a buffer back that Get made.
func (p *bufferPool) Put(b *[]byte) {
	for i, size := range poolTiers {
		if cap(*b) == size {
			p.tiers[i].Put(b)
			return
		}
	}
}
