package rpc

import (
	"strings"

	"google.golang.org/grpc/encoding"
	protobuf "google.golang.org/grpc/encoding/proto"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// codec is gRPC's own, but it sends a message whose texts are not all UTF-8, with question marks in the place of what is not. Texts
// quote the names of files, which may hold any bytes, and a report that cannot be sent would leave its worker without a line and
// everybody without the reason.
type codec struct{ encoding.CodecV2 }

func init() { encoding.RegisterCodecV2(codec{encoding.GetCodecV2(protobuf.Name)}) }

// Marshal encodes a message.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	data, err := c.CodecV2.Marshal(v)
	if m, ok := v.(proto.Message); ok && err != nil {
		m = proto.Clone(m) // others may be reading this one
		spell(m.ProtoReflect())
		return c.CodecV2.Marshal(m)
	}
	return data, err
}

// spell makes all texts of a message UTF-8.
func spell(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		isText := f.Kind() == protoreflect.StringKind
		switch {
		case isText && f.IsList():
			for i, list := 0, v.List(); i < list.Len(); i++ {
				list.Set(i, spelled(list.Get(i)))
			}
		case isText:
			m.Set(f, spelled(v))
		case f.Message() != nil && f.IsList():
			for i, list := 0, v.List(); i < list.Len(); i++ {
				spell(list.Get(i).Message())
			}
		case f.Message() != nil:
			spell(v.Message())
		}
		return true
	})
}

func spelled(v protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfString(strings.ToValidUTF8(v.String(), "?"))
}
